//! `evaluate`: translate, compare with references, hold against gates.

use std::io::{self, Write};
use std::time::Instant;

use seqweave_data::{SourceSpec, pairs};
use seqweave_metrics::Score;
use seqweave_train::{EvaluateOptions, Evaluation};

use super::{names, open_ensemble, translate_options};
use crate::args::Scoring;
use crate::exit::{Exit, Outcome};
use crate::output::{EvaluationReport, GateResult, Measurement};
use crate::resolve::{Context, Evaluate};
use crate::ui::Ui;

/// Measures and reports; [`Exit::Gate`] when a gate is not met.
///
/// # Errors
/// When the model or the data is refused.
pub fn run(ui: &Ui, context: &Context, job: Evaluate) -> Outcome {
    let translator = open_ensemble(ui, context, &job.models)?;
    let tags = translator.model().source.tokenizer.tags.is_some();
    let pairs = pairs(&job.pairs)?.with_tags(tags).collect::<Result<Vec<_>, _>>()?;
    let translate = translate_options(&translator, &job.search);
    let beam = translate.search.beam;
    ui.note(format!("evaluating {} on {} lines, beam {beam}", names(&job.models), pairs.len()));
    let references = pairs.iter().map(|pair| pair.tgt.as_str());
    job.scoring.doubt(&job.metrics, references).iter().for_each(|doubt| ui.warn(doubt));
    let clock = Instant::now();
    let options = EvaluateOptions { translate, metrics: job.metrics, text: job.scoring.options() };
    let evaluation = seqweave_train::evaluate(&translator, &pairs, &options)?;
    let report = EvaluationReport {
        model: names(&job.models),
        data: name(&job.pairs),
        items: evaluation.items,
        references: evaluation.lines,
        beam,
        gates: job.gates.iter().map(|gate| GateResult::of(gate, &evaluation.scores)).collect(),
        metrics: evaluation
            .scores
            .iter()
            .map(|&score| measurement(&evaluation, score, job.scoring))
            .collect(),
        examples: evaluation.answers.into_iter().take(job.examples).collect(),
        seconds: clock.elapsed().as_secs_f64(),
    };
    let text = if job.json { serde_json::to_string_pretty(&report)? } else { report.text() };
    writeln!(io::stdout(), "{text}")?;
    Ok(if report.passes() { Exit::Good } else { Exit::Gate })
}

/// A score, and for one of texts its interval and signature.
fn measurement(evaluation: &Evaluation, score: Score, scoring: Scoring) -> Measurement {
    match evaluation.measured.iter().find(|measured| measured.metric() == score.metric) {
        Some(measured) => Measurement::of(measured, scoring.bootstrap()),
        None => Measurement::plain(score),
    }
}

/// Where pairs come from, in words.
pub(super) fn name(pairs: &SourceSpec) -> String {
    pairs.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}
