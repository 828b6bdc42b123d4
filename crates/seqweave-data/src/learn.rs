//! Pieces of words, read from a file or learnt from the pairs that are kept.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::config::DataConfig;
use crate::divide::Divider;
use crate::encode::Encoder;
use crate::error::{Error, Problems, Result};
use crate::known::Known;
use crate::stream::{Chunk, Chunks, Stream};
use crate::subword::Subwords;
use crate::tokenize::Tokenizer;
use crate::vocab::SPECIALS;

/// The tokenizers with their pieces, where a side asks for pieces: those of a model that is trained further, from the
/// side's file, or learnt from the pairs that are kept.
pub(crate) fn learn(
    config: &DataConfig,
    stream: &Stream<'_>,
    divider: &Divider,
    known: Option<Known<'_>>,
) -> Result<(Tokenizer, Tokenizer)> {
    let (src, tgt) = match known {
        Some(known) => known.tokenizers(config)?,
        None => learn_pieces(config, stream, divider)?,
    };
    let mut problems = Problems::default();
    problems.nest("src", config.src.problems_of_noise(&src));
    problems.nest("tgt", config.tgt.problems_of_noise(&tgt));
    problems.into_result()?;
    Ok((src, tgt))
}

fn learn_pieces(
    config: &DataConfig,
    stream: &Stream<'_>,
    divider: &Divider,
) -> Result<(Tokenizer, Tokenizer)> {
    config.problems_of_pieces().into_result()?;
    let (mut src, mut tgt) = config.tokenizers();
    let (plain_src, plain_tgt) = (src.clone(), tgt.clone());
    let encoder = Encoder::new(config, &plain_src, &plain_tgt, divider);
    let failed = RefCell::new(None);
    let texts = |side| KeptTexts::new(stream, &encoder, side, &failed);
    if let (true, Some(pieces)) = (config.shared_vocab, config.src.subwords()) {
        let both = Subwords::train(texts(0).chain(texts(1)), &pieces);
        let both = failed.take().map_or(both, Err).map_err(|error| of_key(error, "src"))?;
        (src.subwords, tgt.subwords) = (Some(both.clone()), Some(both));
    } else {
        let sides = [(0, "src", &config.src, &mut src), (1, "tgt", &config.tgt, &mut tgt)];
        for (i, key, side, tokenizer) in sides {
            tokenizer.subwords = match (&side.tokenizer, side.subwords()) {
                (Some(path), _) => Some(Subwords::open(path)?),
                (None, Some(pieces)) => {
                    let learnt = Subwords::train(texts(i), &pieces);
                    Some(failed.take().map_or(learnt, Err).map_err(|error| of_key(error, key))?)
                }
                (None, None) => None,
            };
        }
    }
    Ok((src, tgt))
}

/// A number of pieces as the key says it, which counts all special tokens.
fn of_key(error: Error, side: &str) -> Error {
    let beside = SPECIALS.len() - 1;
    match error {
        Error::TooFewPieces { allowed, needed, why, help, .. } => Error::TooFewPieces {
            name: format!("data.{side}.max_vocab"),
            allowed: allowed + beside,
            needed: needed + beside,
            why,
            help,
        },
        error => error,
    }
}

/// The texts of one side of the pairs that are kept.
struct KeptTexts<'s> {
    chunks: Chunks<'s>,
    encoder: &'s Encoder<'s>,
    side: usize,
    seen: HashSet<u64>,
    chunk: Chunk,
    at: usize,
    /// Where a fault of the corpus goes, since an iterator of texts has no room for it.
    failed: &'s RefCell<Option<Error>>,
}

impl<'s> KeptTexts<'s> {
    fn new(
        stream: &'s Stream<'s>,
        encoder: &'s Encoder<'s>,
        side: usize,
        failed: &'s RefCell<Option<Error>>,
    ) -> Self {
        let (chunks, chunk) = (stream.chunks(), Chunk::default());
        Self { chunks, encoder, side, seen: HashSet::new(), chunk, at: 0, failed }
    }
}

impl Iterator for KeptTexts<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            while self.at == self.chunk.len() {
                match self.chunks.next()? {
                    Ok(chunk) => (self.chunk, self.at) = (chunk, 0),
                    Err(error) => {
                        self.failed.replace(Some(error));
                        return None;
                    }
                }
            }
            let (src, tgt, _) = self.chunk.get(self.at);
            self.at += 1;
            if self.encoder.is_kept(src, tgt, &mut self.seen) {
                return Some([src, tgt][self.side].to_owned());
            }
        }
    }
}
