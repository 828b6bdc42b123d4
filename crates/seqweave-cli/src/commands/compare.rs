//! `compare`: systems against a baseline, with p-values.

use std::io::{self, Write};
use std::path::Path;

use seqweave_data::load_lines;
use seqweave_metrics::{Measured, Metric, Sentence, group_references};

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
    let lines: Vec<Vec<String>> = columns(&job)?;
    let references: Vec<Vec<&str>> =
        lines.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let every = references.iter().flatten().copied();
    job.scoring.doubt(&job.metrics, every).iter().for_each(|doubt| ui.warn(doubt));
    let beside_references = |file: &Path| beside(file, &job.references[0], references.len());
    let sources = job.src.as_deref().map(beside_references).transpose()?;
    let mut reports: Vec<SystemReport> = Vec::new();
    let mut baseline: Vec<Measured> = Vec::new();
    for system in &job.systems {
        let outputs = if system.is_dir() {
            translated(ui, context, &job, system, sources.as_deref())?
        } else {
            beside_references(system)?
        };
        let measured = measure(&job, sources.as_deref(), &outputs, &references)?;
        let bootstrap = job.scoring.bootstrap();
        let metrics = measured.iter().enumerate().map(|(i, measured)| match baseline.get(i) {
            Some(base) => Measurement::against(base, measured, bootstrap),
            None => Ok(Measurement::of(measured, bootstrap)),
        });
        let metrics = metrics.collect::<Result<Vec<Measurement>, _>>()?;
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
    let (first, others) =
        job.references.split_first().ok_or_else(|| Failure::usage("expected --ref FILE"))?;
    let mut rows: Vec<Vec<String>> = load_lines(first)?.into_iter().map(|line| vec![line]).collect();
    for file in others {
        let lines = beside(file, first, rows.len())?;
        for (row, line) in rows.iter_mut().zip(lines) {
            row.push(line);
        }
    }
    Ok(rows)
}

/// The lines of a file, which must be as many as the `expected` ones of the references.
fn beside(file: &Path, references: &Path, expected: usize) -> Outcome<Vec<String>> {
    let lines = load_lines(file)?;
    if lines.len() != expected {
        let (found, other) = (lines.len(), references.display());
        let what = format!("expected {expected} lines, as in {other}, found {found}");
        return Err(Failure::new(Exit::Data, what)
            .at(file.display())
            .help("the lines of all files must correspond; look for a lost or doubled one"));
    }
    Ok(lines)
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
    references: &[Vec<&str>],
) -> Outcome<Vec<Measured>> {
    if sources.is_none() && job.metrics.contains(&Metric::F05) {
        return Err(Failure::usage("f0.5 compares edits of the source, and there is no --src")
            .help("add --src FILE with the uncorrected lines"));
    }
    let sentence = |i: usize| Sentence {
        source: sources.map_or("", |sources| &sources[i]),
        output: &outputs[i],
        references: &references[i],
    };
    let of_line: Vec<Sentence<'_>> = (0..outputs.len()).map(sentence).collect();
    // As in `evaluate`: lines of one source are one item, which is right if any of them is met.
    let lines = (0..outputs.len()).map(|i| (sources.map_or(Err(i), |sources| Ok(&sources[i])), i));
    let items: Vec<(usize, Vec<&str>)> = group_references(lines)
        .into_iter()
        .map(|item| {
            let all = item.references.iter().flat_map(|&i| references[i].iter().copied());
            (item.references[0], all.collect())
        })
        .collect();
    let of_item: Vec<Sentence<'_>> =
        items.iter().map(|(i, references)| Sentence { references, ..sentence(*i) }).collect();
    let over = |&metric: &Metric| {
        let sentences = if metric.is_of_items() { &of_item } else { &of_line };
        Measured::over(metric, job.scoring.options(), sentences)
    };
    job.metrics.iter().map(over).collect::<Result<_, _>>().map_err(Failure::from)
}
