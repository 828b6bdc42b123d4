//! `compare`: systems against a baseline, with p-values.

use std::io::{self, Write};
use std::path::Path;

use seqweave_data::{SourceSpec, load};
use seqweave_metrics::{Measured, Metric, Sentence};

use super::{open_translator, start_pool, translate_options};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{ComparisonReport, Measurement, SystemReport};
use crate::resolve::{Compare, Context};
use crate::ui::Ui;

/// Measures every system and tests each against the first.
///
/// # Errors
/// When a file or model is refused, when files have different numbers of lines, or when a source is needed and missing.
pub fn run(ui: &Ui, context: &Context, job: Compare) -> Outcome {
    start_pool(context.threads.unwrap_or(0))?;
    let references: Vec<Vec<String>> = columns(&job)?;
    let sources = match &job.src {
        Some(src) => Some(beside(src, &job.references[0])?),
        None => None,
    };
    let mut reports: Vec<SystemReport> = Vec::new();
    let mut baseline: Vec<Measured> = Vec::new();
    for system in &job.systems {
        let outputs = if system.is_dir() {
            translated(ui, context, &job, system, sources.as_deref())?
        } else {
            beside(system, &job.references[0])?
        };
        let measured = measure(&job, sources.as_deref(), &outputs, &references)?;
        let mut metrics = Vec::new();
        for (i, measured) in measured.iter().enumerate() {
            let p_value = match (baseline.get(i), job.scoring.bootstrap()) {
                (Some(base), Some((samples, seed))) => {
                    base.against(measured, samples, seed).map_err(Failure::from)?.map(|paired| paired.p_value)
                }
                _ => None,
            };
            metrics.push(Measurement { p_value, ..Measurement::of(measured, job.scoring.bootstrap()) });
        }
        if baseline.is_empty() {
            baseline = measured;
        }
        reports.push(SystemReport { system: system.display().to_string(), metrics });
    }
    let report = ComparisonReport { lines: references.len(), systems: reports };
    let text = if job.json { serde_json::to_string_pretty(&report)? } else { report.text() };
    writeln!(io::stdout(), "{text}")?;
    Ok(Exit::Good)
}

/// The references of each line.
fn columns(job: &Compare) -> Outcome<Vec<Vec<String>>> {
    let first = &job.references[0];
    let mut rows: Vec<Vec<String>> = beside(first, first)?.into_iter().map(|line| vec![line]).collect();
    for file in &job.references[1..] {
        for (row, line) in rows.iter_mut().zip(beside(file, first)?) {
            row.push(line);
        }
    }
    Ok(rows)
}

/// The lines of a file, which must be as many as those of `other`.
fn beside(file: &Path, other: &Path) -> Outcome<Vec<String>> {
    let pairs = load(&SourceSpec::Parallel { src: file.into(), tgt: other.into() })?;
    Ok(pairs.into_iter().map(|pair| pair.src).collect())
}

fn translated(
    ui: &Ui,
    context: &Context,
    job: &Compare,
    dir: &Path,
    sources: Option<&[String]>,
) -> Outcome<Vec<String>> {
    let sources = sources.ok_or_else(|| {
        Failure::usage(format!("{} is a model, which needs something to translate", dir.display()))
            .help("add --src FILE, or give a file of its output")
    })?;
    let translator = open_translator(ui, context, dir)?;
    let options = translate_options(&translator, &job.search);
    ui.note(format!("translating {} lines with {}", sources.len(), dir.display()));
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let outputs = translator.translate(&sources, &options)?;
    Ok(outputs.iter().map(|output| output.text().to_owned()).collect())
}

fn measure(
    job: &Compare,
    sources: Option<&[String]>,
    outputs: &[String],
    references: &[Vec<String>],
) -> Outcome<Vec<Measured>> {
    if sources.is_none() && job.metrics.contains(&Metric::F05) {
        return Err(Failure::usage("f0.5 compares edits of the source, and there is no --src")
            .help("add --src FILE with the uncorrected lines"));
    }
    let references: Vec<Vec<&str>> =
        references.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let sentence = |i: usize| Sentence {
        source: sources.map_or("", |sources| &sources[i]),
        output: &outputs[i],
        references: &references[i],
    };
    let sentences: Vec<Sentence<'_>> = (0..outputs.len()).map(sentence).collect();
    let over = |&metric: &Metric| Measured::over(metric, job.scoring.options(), &sentences);
    job.metrics.iter().map(over).collect::<Result<_, _>>().map_err(Failure::from)
}
