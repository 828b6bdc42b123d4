//! `tokenizer`: learn pieces of words or take them over, cut and join text, look into a file or a model.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use seqweave::ModelFolder;
use seqweave_data::{Codec, Error, Origin, OriginName, Side, Subwords, UNK, load_lines, read_lines};
use seqweave_tensor::Device;

use crate::commands::info::level;
use crate::exit::{Exit, Failure, Outcome};
use crate::progress::grouped;
use crate::resolve::{Import, LearnPieces, Tokenizer, Tokens};
use crate::ui::Ui;

/// Does what was asked.
///
/// # Errors
/// When a file is refused, cannot be written, or has no text to learn from.
pub fn run(ui: &Ui, job: Tokenizer) -> Outcome {
    match job {
        Tokenizer::Train(job) => train(ui, &job),
        Tokenizer::Encode(of) => {
            let tokens = Cutter::of(&of)?;
            filter(|line| tokens.encode(line))
        }
        Tokenizer::Decode(of) => {
            let tokens = Cutter::of(&of)?;
            filter(|line| tokens.decode(line))
        }
        Tokenizer::Info { path, side, pieces } => info(&path, side, pieces),
        Tokenizer::Import(job) => import(ui, &job),
    }
}

/// What stands for a space that is a token, as it does in pieces.
const SPACE: &str = "\u{2581}";

/// Text to lines of tokens and back.
enum Cutter {
    Pieces(Subwords),
    /// A side of a model, whose tokens may be words or characters too.
    Side(Box<Codec>),
}

impl Cutter {
    fn of(tokens: &Tokens) -> Outcome<Self> {
        Ok(match tokens {
            Tokens::File(file) => Self::Pieces(Subwords::open(file)?),
            Tokens::Model(dir, side) => {
                let folder = ModelFolder::open(dir, &Device::cpu())?;
                Self::Side(Box::new(codec(folder, *side)))
            }
        })
    }

    fn encode(&self, line: &str) -> Outcome<String> {
        match self {
            Self::Pieces(subwords) => Ok(subwords.encode(line).join(" ")),
            Self::Side(codec) => {
                let tokens = codec.vocab.decode(&codec.encode(line))?;
                let shown: Vec<&str> = tokens.into_iter().map(|t| if t == " " { SPACE } else { t }).collect();
                Ok(shown.join(" "))
            }
        }
    }

    fn decode(&self, line: &str) -> Outcome<String> {
        let tokens = line.split(' ').filter(|token| !token.is_empty());
        match self {
            Self::Pieces(subwords) => Ok(subwords.decode(&tokens.collect::<Vec<_>>())),
            Self::Side(codec) => {
                // Where spaces are tokens, that is what `encode` writes for them.
                let has_spaces = codec.vocab.id(" ") != UNK;
                let tokens = tokens.map(|t| if t == SPACE && has_spaces { " " } else { t });
                Ok(codec.decode(&codec.vocab.encode(tokens))?)
            }
        }
    }
}

fn codec(folder: ModelFolder, side: Side) -> Codec {
    match side {
        Side::Source => folder.source,
        Side::Target => folder.target,
    }
}

fn info(path: &Path, side: Option<Side>, list: bool) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    if path.is_dir() {
        let ModelFolder { source, target, .. } = ModelFolder::open(path, &Device::cpu())?;
        for (name, codec, this) in [("source", source, Side::Source), ("target", target, Side::Target)] {
            if side.is_some_and(|side| side != this) {
                continue;
            }
            let tokens = grouped(codec.vocab.len());
            writeln!(out, "{}, {name}: {}, {tokens} tokens", path.display(), level(&codec))?;
            if list {
                for (id, (token, _)) in codec.vocab.iter().enumerate() {
                    writeln!(out, "{id}\t{}", if token == " " { SPACE } else { token })?;
                }
            }
        }
    } else {
        let subwords = Subwords::open(path)?;
        if side.is_some() {
            return Err(Failure::usage("a tokenizer file has no sides")
                .at(path.display())
                .help("leave out --side"));
        }
        let pieces = subwords.pieces();
        writeln!(out, "{}: {}, {} pieces", path.display(), subwords.model(), pieces.len())?;
        if list {
            for (id, piece) in pieces {
                writeln!(out, "{id}\t{piece}")?;
            }
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
fn filter(change: impl Fn(&str) -> Outcome<String>) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in read_lines(io::stdin().lock(), "stdin") {
        writeln!(out, "{}", change(&line?)?)?;
    }
    out.flush()?;
    Ok(Exit::Good)
}
