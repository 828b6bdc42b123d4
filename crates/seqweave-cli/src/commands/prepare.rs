//! `prepare`: corpora to a folder of shards.

use std::time::Instant;

use seqweave_data::ShardInfo;

use super::{config, start_pool};
use crate::exit::{Exit, Outcome};
use crate::progress::{grouped, short};
use crate::resolve::{Context, Prepare};
use crate::ui::Ui;

/// Makes the shards and says what became of the pairs.
///
/// # Errors
/// When configuration or data are refused, or the folder cannot be written.
pub fn run(ui: &Ui, context: &Context, job: Prepare) -> Outcome {
    let config = config::load(ui, &job.config)?;
    start_pool(job.jobs.or(context.threads).unwrap_or(config.run.threads as usize))?;
    let start = Instant::now();
    let bar = ui.bar(0);
    let mut read = 0;
    let info = seqweave_train::prepare(&config, &job.output, &mut |pairs| {
        read = pairs;
        bar.set_position(pairs);
        bar.set_message(format!("{} pairs", grouped(pairs as usize)));
    });
    ui.clear_bar();
    let info = info?;
    let seconds = start.elapsed().as_secs_f64();
    if job.json {
        println!("{}", json(&info, read, seconds));
    } else {
        info.report.to_string().lines().for_each(|line| ui.note(line));
        let speed = read as f64 / seconds.max(1e-9);
        ui.note(format!(
            "{} pairs read in {seconds:.1} s, {} a second, with {} threads",
            grouped(read as usize),
            grouped(speed as usize),
            rayon::current_num_threads()
        ));
        ui.note(format!("{} examples in {}", grouped(info.examples as usize), short(&job.output)));
        ui.note(format!(
            "next: seqweave train … --set data.train='{{ shards = \"{}\" }}'",
            short(&job.output)
        ));
    }
    Ok(Exit::Good)
}

fn json(info: &ShardInfo, read: u64, seconds: f64) -> serde_json::Value {
    serde_json::json!({
        "pairs": read,
        "examples": info.examples,
        "parts": info.parts,
        "fingerprint": info.fingerprint,
        "report": info.report,
        "seconds": seconds,
        "pairs_per_second": read as f64 / seconds.max(1e-9),
        "threads": rayon::current_num_threads(),
    })
}
