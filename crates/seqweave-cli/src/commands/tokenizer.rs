//! `tokenizer`: learn pieces of words or take them over, cut and join text, look into a file.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use seqweave_data::{Error, Origin, OriginName, Subwords, load_lines, read_lines};

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve::{Import, LearnPieces, Tokenizer};
use crate::ui::Ui;

/// Does what was asked.
///
/// # Errors
/// When a file is refused, cannot be written, or has no text to learn from.
pub fn run(ui: &Ui, job: Tokenizer) -> Outcome {
    match job {
        Tokenizer::Train(job) => train(ui, &job),
        Tokenizer::Encode(file) => {
            let subwords = Subwords::open(&file)?;
            filter(|line| subwords.encode(line).join(" "))
        }
        Tokenizer::Decode(file) => {
            let subwords = Subwords::open(&file)?;
            filter(|line| subwords.decode(&line.split(' ').filter(|p| !p.is_empty()).collect::<Vec<_>>()))
        }
        Tokenizer::Info { file, pieces } => info(&file, pieces),
        Tokenizer::Import(job) => import(ui, &job),
    }
}

fn info(file: &Path, list: bool) -> Outcome {
    let subwords = Subwords::open(file)?;
    let pieces = subwords.pieces();
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{}: {}, {} pieces", file.display(), subwords.model(), pieces.len())?;
    if list {
        for (id, piece) in pieces {
            writeln!(out, "{id}\t{piece}")?;
        }
    }
    out.flush()?;
    Ok(Exit::Good)
}

fn train(ui: &Ui, job: &LearnPieces) -> Outcome {
    let texts = texts(&job.input)?;
    let subwords = Subwords::train(&texts, &job.config).map_err(of_option)?;
    write(&job.output, &subwords)?;
    let (lines, pieces) = (texts.len(), subwords.pieces().len());
    ui.note(format!("{pieces} pieces from {lines} lines in {}", job.output.display()));
    Ok(Exit::Good)
}

/// A number of pieces as the option says it.
fn of_option(error: Error) -> Failure {
    match error {
        Error::TooFewPieces { allowed, needed, why, help, .. } => {
            let help = if help.is_empty() {
                ""
            } else {
                ", or add --byte-fallback, which spells rare characters in bytes"
            };
            let what = format!("--vocab-size is {allowed}, and {needed} is the least that will do: {why}");
            Failure::usage(what).help(format!("raise it{help}"))
        }
        error => error.into(),
    }
}

fn import(ui: &Ui, job: &Import) -> Outcome {
    let bytes = fs::read(&job.file).map_err(|error| Failure::from(error).at(job.file.display()))?;
    let program = job.program.or_else(|| OriginName::guess(&bytes));
    let (name, alphabet) = (job.file.display().to_string(), texts(&job.alphabet)?);
    let subwords = Subwords::import(&Origin { bytes: &bytes, name: &name, program, alphabet: &alphabet })?;
    write(&job.output, &subwords)?;
    let (model, pieces) = (subwords.model(), subwords.pieces().len());
    let origin = program.map_or_else(String::new, |program| program.to_string());
    ui.note(format!("{origin}: {model}, {pieces} pieces in {}", job.output.display()));
    if program == Some(OriginName::SubwordNmt) && alphabet.is_empty() {
        ui.note(
            "characters that are in no pair of the codes read <unk>; --alphabet names texts that have them",
        );
    }
    Ok(Exit::Good)
}

fn write(path: &Path, subwords: &Subwords) -> Outcome<()> {
    fs::write(path, subwords.to_json())
        .map_err(|error| Failure::from(error).at(path.display()).help("choose another --output"))
}

/// All lines of some files.
fn texts(files: &[PathBuf]) -> Outcome<Vec<String>> {
    let mut texts = Vec::new();
    for file in files {
        texts.extend(load_lines(file)?);
    }
    Ok(texts)
}

/// Standard input to standard output, line by line.
fn filter(change: impl Fn(&str) -> String) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in read_lines(io::stdin().lock(), "standard input") {
        writeln!(out, "{}", change(&line?))?;
    }
    out.flush()?;
    Ok(Exit::Good)
}
