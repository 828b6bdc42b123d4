//! `tokenizer`: learn pieces of words, cut and join text, look into a file.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use seqweave_data::{Form, SourceSpec, SubwordConfig, SubwordKind, Subwords, pairs, read_lines};

use crate::args::{FormName, PieceModel, TokenizerTrain, TokenizerVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::ui::Ui;

/// Does what was asked.
///
/// # Errors
/// When a file is refused, cannot be written, or has no text to learn from.
pub fn run(ui: &Ui, verb: TokenizerVerb) -> Outcome {
    match verb {
        TokenizerVerb::Train(job) => train(ui, &job),
        TokenizerVerb::Encode(job) => {
            let subwords = open(&job.tokenizer)?;
            filter(|line| Ok(subwords.encode(line)?.join(" ")))
        }
        TokenizerVerb::Decode(job) => {
            let subwords = open(&job.tokenizer)?;
            filter(
                |line| Ok(subwords.decode(&line.split(' ').filter(|p| !p.is_empty()).collect::<Vec<_>>())?),
            )
        }
        TokenizerVerb::Info(job) => {
            let subwords = open(&job.tokenizer)?;
            let pieces = subwords.pieces();
            let mut out = BufWriter::new(io::stdout().lock());
            writeln!(out, "{}: {}, {} pieces", job.tokenizer.display(), subwords.model(), pieces.len())?;
            if job.pieces {
                for (id, piece) in pieces {
                    writeln!(out, "{id}\t{piece}")?;
                }
            }
            out.flush()?;
            Ok(Exit::Good)
        }
    }
}

fn train(ui: &Ui, job: &TokenizerTrain) -> Outcome {
    let mut texts = Vec::new();
    for file in &job.input {
        // The one reader of files that knows gzip reads pairs: a file beside itself.
        for pair in pairs(&SourceSpec::Parallel { src: file.clone(), tgt: file.clone() })? {
            texts.push(pair?.src);
        }
    }
    let config = SubwordConfig {
        kind: match job.model {
            PieceModel::Bpe => SubwordKind::Bpe,
            PieceModel::Unigram => SubwordKind::Unigram,
        },
        pieces: job.vocab_size,
        byte_fallback: job.byte_fallback,
        form: match job.normalize {
            FormName::None => Form::None,
            FormName::Nfc => Form::Nfc,
            FormName::Nfkc => Form::Nfkc,
        },
        lowercase: job.lowercase,
    };
    let subwords = Subwords::train(&texts, &config)?;
    fs::write(&job.output, subwords.to_json())
        .map_err(|error| Failure::from(error).at(job.output.display()).help("choose another --output"))?;
    let (lines, pieces) = (texts.len(), subwords.pieces().len());
    ui.note(format!("{pieces} pieces from {lines} lines in {}", job.output.display()));
    Ok(Exit::Good)
}

fn open(path: &Path) -> Outcome<Subwords> {
    let text = fs::read_to_string(path).map_err(|error| Failure::from(error).at(path.display()))?;
    Ok(Subwords::from_json(&text, &path.display().to_string())?)
}

/// Standard input to standard output, line by line.
fn filter(change: impl Fn(&str) -> Outcome<String>) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in read_lines(io::stdin().lock(), "standard input") {
        writeln!(out, "{}", change(&line?)?)?;
    }
    out.flush()?;
    Ok(Exit::Good)
}
