//! `bench`: how fast this machine trains and decodes.

use std::io::{self, Write};

use seqweave_train::bench::{BenchOptions, Measurement, bench};

use super::{open_device, start_pool};
use crate::exit::{Exit, Outcome};
use crate::progress::grouped;
use crate::resolve::Context;
use crate::ui::Ui;
use crate::values::DeviceChoice;

/// Checks, measures, prints.
///
/// # Errors
/// When a check fails, or stdout cannot be written.
pub fn run(ui: &Ui, context: &Context, options: &BenchOptions, json: bool) -> Outcome {
    start_pool(context.threads.unwrap_or(0))?;
    let (device, why) = open_device(context.device.unwrap_or(DeviceChoice::Auto))?;
    ui.detail(format!("device {why}"));
    let measured = bench(options, device)?;
    if json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&measured)?)?;
    } else {
        ui.detail(&measured.checked);
        writeln!(io::stdout(), "{}", text(&measured))?;
    }
    Ok(Exit::Good)
}

fn text(m: &Measurement) -> String {
    let ceiling =
        m.percent_of_ceiling.map_or(String::new(), |percent| format!(", {percent:.0} % of the ceiling"));
    let memory = m.peak_rss_mb.map_or(String::new(), |mb| format!("\nmemory    {mb} MiB at most"));
    format!(
        "tokens/s  {} (best {})\nstep      {:.1} ms, median of {}\nproducts  {:.0} GFLOP/s{ceiling}, {}{memory}",
        grouped(m.tokens_per_s as usize),
        grouped(m.best_tokens_per_s as usize),
        m.step_ms,
        m.steps,
        m.gflop_per_s,
        m.kernels,
    )
}
