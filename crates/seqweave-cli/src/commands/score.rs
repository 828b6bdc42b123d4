//! `score`: the log-probability of each given translation.

use std::io::{self, BufWriter, Write};

use seqweave_data::{Pair, pairs};
use seqweave_metrics::Perplexity;

use super::open_ensemble;
use crate::exit::{Exit, Outcome};
use crate::output::{ScoreRecord, ScoreSummary};
use crate::resolve::{Context, Score};
use crate::ui::Ui;

/// Batches that are read and scored before their lines are written.
const BATCHES: usize = 8;

/// Scores pair by pair until the files end.
///
/// # Errors
/// When the model or the data is refused; pairs before a bad line are scored.
pub fn run(ui: &Ui, context: &Context, job: Score) -> Outcome {
    let translator = open_ensemble(ui, context, &job.models)?;
    let tags = translator.model().source.tokenizer.tags.is_some();
    let mut source = pairs(&job.pairs)?.with_tags(tags);
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut id, mut log_prob, mut perplexity) = (0, 0.0, Perplexity::default());
    loop {
        let mut failed = None;
        let mut chunk: Vec<(String, String)> = Vec::new();
        for pair in source.by_ref().take(BATCHES * job.batch) {
            match pair {
                Ok(Pair { src, tgt, .. }) => chunk.push((src, tgt)),
                Err(error) => failed = Some(error),
            }
        }
        if chunk.is_empty() && failed.is_none() {
            break;
        }
        let scores = translator.score(&chunk, job.batch)?;
        for (pair, score) in chunk.into_iter().zip(scores) {
            let record = ScoreRecord::of(id, pair, score, job.per_token);
            log_prob += record.log_prob;
            perplexity.add(-record.log_prob, record.tokens);
            if job.json {
                serde_json::to_writer(&mut output, &record).map_err(io::Error::from)?;
                output.write_all(b"\n")?;
            } else {
                writeln!(output, "{}", record.text())?;
            }
            id += 1;
        }
        if let Some(error) = failed {
            output.flush()?;
            return Err(error.into());
        }
    }
    let summary = ScoreSummary {
        pairs: id,
        tokens: perplexity.tokens(),
        log_prob,
        perplexity: perplexity.perplexity(),
    };
    if job.json {
        serde_json::to_writer(&mut output, &summary).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
    } else if let Some(perplexity) = summary.perplexity {
        ui.note(format!("{id} pairs, {} tokens, perplexity {perplexity:.3}", summary.tokens));
    }
    output.flush()?;
    Ok(Exit::Good)
}
