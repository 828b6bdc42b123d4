//! Each pair of a chunk looked at once: its place, a reason to drop it, its tokens as numbers.
//!
//! The runs of a chunk are encoded side by side, each with numbers of its own for its tokens; then, in order, those of
//! the pairs that are kept get the numbers of the corpus, one look-up for each different token of a run. So the result
//! does not depend on the number of threads.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::config::DataConfig;
use crate::divide::{Divider, Place};
use crate::filter::{Filter, FilterReport, Measured, Reason, Texts, pair_hash};
use crate::hash::TextHash;
use crate::intern::Interner;
use crate::shard::RawShard;
use crate::stream::Chunk;
use crate::tokenize::{Level, TAG, Tokenizer, count_without_spaces};
use crate::vocab::TokenCounter;

/// Pairs that a thread encodes at a time.
const RUN: usize = 1 << 11;

/// How pairs are encoded.
pub(crate) struct Encoder<'a> {
    pub(crate) src: &'a Tokenizer,
    pub(crate) tgt: &'a Tokenizer,
    pub(crate) filter: Filter,
    pub(crate) divider: &'a Divider,
    /// Whether duplicates are dropped.
    pub(crate) dedup: bool,
    /// The key of hashes.
    pub(crate) seed: u64,
}

/// What becomes of a pair.
enum Fate {
    Dropped(Reason),
    Elsewhere(Place),
    /// So many source and target tokens, and the hash of the pair.
    Kept(usize, usize, u64),
}

/// Some pairs, encoded with numbers of their own.
#[derive(Default)]
pub(crate) struct Run {
    tokens: [Interner; 2],
    ids: Vec<u32>,
    fates: Vec<Fate>,
}

/// Tokens of one side of the corpus with their counts.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) tokens: Interner,
    pub(crate) counts: Vec<u64>,
}

/// What has been seen of a corpus so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// One counter a side; only the first where both sides share a vocabulary.
    pub(crate) sides: [Counted; 2],
    pub(crate) report: FilterReport,
    pub(crate) held_out: usize,
    pairs: HashSet<u64, Spread>,
}

/// Pair hashes are spread already.
type Spread = std::hash::BuildHasherDefault<AsItIs>;

/// The hash of a number is the number.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct AsItIs(u64);

impl std::hash::Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(
        config: &DataConfig,
        src: &'a Tokenizer,
        tgt: &'a Tokenizer,
        divider: &'a Divider,
    ) -> Self {
        let (dedup, seed) = (config.filter.dedup, config.split.seed);
        Self { src, tgt, filter: Filter::new(&config.filter), divider, dedup, seed }
    }

    /// Encodes a chunk, its runs side by side.
    pub(crate) fn runs(&self, chunk: &Chunk) -> Vec<Run> {
        let starts: Vec<usize> = (0..chunk.len()).step_by(RUN).collect();
        starts.par_iter().map(|&from| self.run(chunk, from, (from + RUN).min(chunk.len()))).collect()
    }

    /// Gives the runs of a chunk the numbers of the corpus. Pairs that are kept go to `shard`, which is handed to `full`
    /// whenever it is; `placed` is told the index and the place of every pair but those that are dropped.
    pub(crate) fn join<E>(
        &self,
        runs: &[Run],
        seen: &mut Seen,
        shard: &mut RawShard,
        mut full: impl FnMut(RawShard) -> Result<(), E>,
        mut placed: impl FnMut(Place, usize),
    ) -> Result<u64, E> {
        let (mut i, mut kept) = (0, 0);
        for run in runs {
            let mut known = [0, 1].map(|side: usize| vec![u32::MAX; run.tokens[side].len()]);
            let mut ids = &run.ids[..];
            for fate in &run.fates {
                match *fate {
                    Fate::Dropped(reason) => seen.report.count(Some(reason)),
                    Fate::Elsewhere(place) => {
                        seen.held_out += usize::from(place == Place::HeldOut);
                        placed(place, i);
                    }
                    Fate::Kept(s, t, hash) => {
                        let (src, rest) = ids.split_at(s);
                        let (tgt, rest) = rest.split_at(t);
                        ids = rest;
                        if self.dedup && !seen.pairs.insert(hash) {
                            seen.report.count(Some(Reason::Duplicate));
                        } else {
                            seen.report.count(None);
                            placed(Place::Train, i);
                            kept += 1;
                            if shard.is_full() {
                                full(std::mem::take(shard))?;
                            }
                            let [src_side, tgt_side] = &mut seen.sides;
                            let [src_known, tgt_known] = &mut known;
                            shard.push(
                                src.iter().map(|id| src_side.number(&run.tokens[0], src_known, *id)),
                                tgt.iter().map(|id| tgt_side.number(&run.tokens[1], tgt_known, *id)),
                            );
                        }
                    }
                }
                i += 1;
            }
        }
        Ok(kept)
    }

    /// Whether training sees a pair, by its text alone; `seen` are the pairs before it.
    pub(crate) fn is_kept(&self, src: &str, tgt: &str, seen: &mut HashSet<u64>) -> bool {
        let measured = || (Measured::of(self.seed, self.src, src), Measured::of(self.seed, self.tgt, tgt));
        match self.filter.reason(Texts::of(self.src, src, tgt), measured) {
            Ok((s, t)) => {
                self.divider.place(s.hash) == Place::Train
                    && (!self.dedup || seen.insert(pair_hash(s.hash, t.hash)))
            }
            Err(_) => false,
        }
    }

    fn run(&self, chunk: &Chunk, from: usize, to: usize) -> Run {
        let mut run = Run::default();
        for i in from..to {
            let (src, tgt, _) = chunk.get(i);
            let fate = self.pair(&mut run, src, tgt);
            run.fates.push(fate);
        }
        run
    }

    /// Encodes one pair at the end of the ids of `run`, and takes them back where it is not kept.
    fn pair(&self, run: &mut Run, src: &str, tgt: &str) -> Fate {
        let start = run.ids.len();
        let mut lens = (0, 0);
        let mut source = None;
        let judged = self.filter.reason(Texts::of(self.src, src, tgt), || {
            let s = self.side(self.src, src, &mut run.tokens[0], &mut run.ids);
            source = Some(s.hash);
            lens.0 = run.ids.len() - start;
            let t = self.side(self.tgt, tgt, &mut run.tokens[1], &mut run.ids);
            lens.1 = run.ids.len() - start - lens.0;
            (s, t)
        });
        // A pair that training never sees is not judged by the filter, so its place comes first.
        let hash = source.unwrap_or_else(|| crate::hash::source_hash(self.seed, self.src, src));
        let fate = match (self.divider.place(hash), judged) {
            (Place::Train, Ok((s, t))) => return Fate::Kept(lens.0, lens.1, pair_hash(s.hash, t.hash)),
            (Place::Train, Err(reason)) => Fate::Dropped(reason),
            (place, _) => Fate::Elsewhere(place),
        };
        run.ids.truncate(start);
        fate
    }

    /// Encodes and measures one side in one go.
    fn side(&self, tokenizer: &Tokenizer, line: &str, tokens: &mut Interner, ids: &mut Vec<u32>) -> Measured {
        let (text, tags) = tokenizer.text_and_tags(line);
        let (mut hash, mut count) = (TextHash::new(self.seed, tokenizer.level), 0);
        let normal = tokenizer.normalize(text);
        let pieces = tokenizer.subwords.is_some();
        let mut token = |token: &str| {
            hash.token(token);
            count += if tokenizer.level.is_subword() { count_without_spaces(token) } else { 1 };
            if !pieces {
                ids.push(tokens.add(token));
            }
        };
        // In ASCII a cluster is a byte, but for the one of carriage return and line feed.
        if tokenizer.level == Level::Char && normal.is_ascii() && !normal.contains('\r') {
            (0..normal.len()).for_each(|at| token(&normal[at..at + 1]));
        } else {
            tokenizer.level.split(&normal).for_each(token);
        }
        hash.tags(&tags);
        if pieces {
            ids.extend(tokenizer.encode(line).iter().map(|piece| tokens.add(piece)));
        } else {
            ids.extend(tags.iter().map(|tag| tokens.add(&format!("{TAG}{tag}"))));
        }
        Measured { tokens: count, tags: tags.len(), hash: hash.finish() }
    }
}

impl Counted {
    /// Each token with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tokens.texts().zip(self.counts.iter().copied())
    }

    /// The counts as a vocabulary takes them.
    pub(crate) fn counter(&self) -> TokenCounter {
        let mut counter = TokenCounter::default();
        self.iter().for_each(|(token, n)| counter.add_times(token, n));
        counter
    }

    /// Adds the tokens and counts of another side.
    pub(crate) fn merge(&mut self, other: &Counted) {
        for (text, count) in other.tokens.texts().zip(&other.counts) {
            let number = self.tokens.add(text) as usize;
            if self.counts.len() < self.tokens.len() {
                self.counts.push(0);
            }
            self.counts[number] += count;
        }
    }

    /// The number of the token that a run calls `id`, counted once more; `known` remembers it for the run.
    fn number(&mut self, run: &Interner, known: &mut [u32], id: u32) -> u32 {
        let mut number = known[id as usize];
        if number == u32::MAX {
            let (text, hash) = run.hashed(id);
            number = self.tokens.add_hashed(text, hash);
            known[id as usize] = number;
            if self.counts.len() < self.tokens.len() {
                self.counts.push(0);
            }
        }
        self.counts[number as usize] += 1;
        number
    }
}
