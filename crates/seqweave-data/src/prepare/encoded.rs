//! A corpus in numbers, and the vocabularies and ids that follow from them.

use super::{PrepareReport, Prepared, VocabReport, is_cut_anew};
use crate::codec::Codec;
use crate::config::{DataConfig, SideConfig};
use crate::corpus::Pair;
use crate::divide::{Divider, Place};
use crate::encode::{Counted, Encoder, Run, Seen};
use crate::error::{Error, Result};
use crate::known::Known;
use crate::learn::learn;
use crate::shard::{Examples, Part, RawShard, id_width};
use crate::stream::{Chunk, Stream};
use crate::tokenize::Tokenizer;
use crate::vocab::Vocab;

/// A corpus in numbers that no vocabulary knows yet; the shards went elsewhere.
pub(crate) struct Encoded {
    src: Tokenizer,
    tgt: Tokenizer,
    pub(crate) seen: Seen,
    /// Examples of each corpus.
    parts: Vec<u64>,
    pub(crate) dev: Vec<Pair>,
    pub(crate) test: Vec<Pair>,
    /// The texts that are kept, if they are wanted.
    texts: Vec<Pair>,
}

impl Encoded {
    pub(crate) fn of(
        config: &DataConfig,
        stream: &Stream<'_>,
        divider: &Divider,
        known: Option<Known<'_>>,
        put: &mut dyn FnMut(RawShard) -> Result<()>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let (src, tgt) = learn(config, stream, divider, known)?;
        let encoder = Encoder::new(config, &src, &tgt, divider);
        let (mut seen, mut shard, mut read) = (Seen::default(), RawShard::default(), 0);
        let mut parts = vec![0; stream.parts()];
        let (mut dev, mut test, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let mut join = |chunk: &Chunk, runs: &[Run]| -> Result<()> {
            let placed = |place, i| match place {
                Place::Dev => dev.push(chunk.pair(i)),
                Place::Test => test.push(chunk.pair(i)),
                Place::Train if is_cut_anew(config) => texts.push(chunk.pair(i)),
                Place::Train | Place::HeldOut => {}
            };
            parts[chunk.part] += encoder.join(runs, &mut seen, &mut shard, &mut *put, placed)?;
            read += chunk.len() as u64;
            progress(read);
            Ok(())
        };
        let mut last: Option<(Chunk, Vec<Run>)> = None;
        stream.for_each(|chunk| {
            let mut runs = Vec::new();
            // What has to go in order goes on here while the pool encodes the next chunk.
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| runs = encoder.runs(&chunk));
                last.take().map_or(Ok(()), |(chunk, runs)| join(&chunk, &runs))
            })?;
            last = Some((chunk, runs));
            Ok(())
        })?;
        last.map_or(Ok(()), |(chunk, runs)| join(&chunk, &runs))?;
        if !shard.entries.is_empty() {
            put(shard)?;
        }
        Ok(Self { src, tgt, seen, parts, dev, test, texts })
    }

    /// That something is left to train on.
    pub(crate) fn check(&self) -> Result<()> {
        match self.seen.report.kept {
            0 => Err(Error::NoExamples { why: self.seen.report.to_string() }),
            _ => Ok(()),
        }
    }

    /// Builds the vocabularies.
    pub(crate) fn number(self, config: &DataConfig, known: Option<Known<'_>>) -> Result<Numbered> {
        let Self { src, tgt, seen, parts, dev, test, texts } = self;
        let [s, t] = &seen.sides;
        let (src_vocab, tgt_vocab) = if config.shared_vocab {
            let mut both = Counted::default();
            both.merge(s);
            both.merge(t);
            let vocab = match known {
                Some(known) => known.shared(&both, &config.src)?,
                None => build(&both, &src, &config.src, "shared vocabulary")?,
            };
            (vocab.clone(), vocab)
        } else if let Some(known) = known {
            let src = known.extended(known.src, s, &config.src);
            (src, known.extended(known.tgt, t, &config.tgt))
        } else {
            let vocab = build(s, &src, &config.src, "source vocabulary")?;
            (vocab, build(t, &tgt, &config.tgt, "target vocabulary")?)
        };
        let (src_report, tgt_report) = (VocabReport::of(&src_vocab, s), VocabReport::of(&tgt_vocab, t));
        let ids = |vocab: &Vocab, side: &Counted| side.tokens.texts().map(|token| vocab.id(token)).collect();
        Ok(Numbered {
            ids: [ids(&src_vocab, s), ids(&tgt_vocab, t)],
            report: PrepareReport {
                filter: seen.report,
                held_out: seen.held_out,
                src: src_report,
                tgt: tgt_report,
            },
            src: Codec { tokenizer: src, vocab: src_vocab },
            tgt: Codec { tokenizer: tgt, vocab: tgt_vocab },
            parts,
            dev,
            test,
            texts,
        })
    }
}

/// A corpus whose numbers can be replaced by ids.
pub(crate) struct Numbered {
    pub(crate) src: Codec,
    pub(crate) tgt: Codec,
    /// The id of each number of each side.
    ids: [Vec<u32>; 2],
    pub(crate) report: PrepareReport,
    /// Examples of each corpus.
    pub(crate) parts: Vec<u64>,
    pub(crate) dev: Vec<Pair>,
    pub(crate) test: Vec<Pair>,
    texts: Vec<Pair>,
}

impl Numbered {
    pub(crate) fn pack(&self, raw: &RawShard, content: &mut blake3::Hasher) -> Vec<u8> {
        let width = id_width(self.src.vocab.len().max(self.tgt.vocab.len()));
        raw.pack(&self.ids[0], &self.ids[1], width, content)
    }

    pub(crate) fn parts(&self, weights: &[f64]) -> Vec<Part> {
        self.parts.iter().zip(weights).map(|(&examples, &weight)| Part { examples, weight }).collect()
    }

    pub(crate) fn in_memory(self, raw: Vec<RawShard>, weights: &[f64]) -> Prepared {
        let mut content = blake3::Hasher::new();
        // Each raw shard goes as its packed form comes.
        let shards = raw.into_iter().map(|raw| self.pack(&raw, &mut content)).collect();
        let examples = Examples::packed(shards, self.parts(weights), &content);
        let Self { src, tgt, report, dev, test, texts, .. } = self;
        Prepared { src, tgt, examples, dev, test, texts, report }
    }
}

fn build(counted: &Counted, tokenizer: &Tokenizer, side: &SideConfig, name: &str) -> Result<Vocab> {
    let vocab = match &tokenizer.subwords {
        Some(subwords) => Vocab::of_pieces(subwords, &counted.counter()),
        None => Vocab::of_counts(counted.iter(), side.min_freq, side.max_vocab),
    };
    if vocab.is_empty() { Err(Error::VocabEmpty { name: name.to_owned() }) } else { Ok(vocab) }
}
