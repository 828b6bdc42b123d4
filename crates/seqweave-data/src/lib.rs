//! Text to ids to batches: corpora, tokenizers, vocabularies, filters, splits and length-bucketed batches
//! for sequence-to-sequence models.
//!
//! The crate knows no tensors. What leaves it is plain: ids as `Vec<u32>`, batches as lists of indices, and a
//! position of three integers from which training goes on exactly where it stopped.
//!
//! | step | here | promise |
//! |---|---|---|
//! | read | [`pairs`], [`load`], [`read_lines`] | strict UTF-8, bounded memory, faults named by file and line |
//! | divide | [`split`](fn@split), [`exclude_sources`] | no source on both sides, in any order of the file |
//! | drop | [`select`] | a count for every reason |
//! | number | [`Tokenizer`], [`Vocab`], [`Codec`] | same counts, same ids; text never reaches a special id |
//! | look over | [`diagnose`] | every finding with what to do about it |
//! | keep | [`read_data`], [`prepare_shards`], [`Examples`] | memory and mapped shards hold the same; every byte verified |
//! | batch | [`BatchPlan`], [`Batches`] | an epoch is a pure function of lengths, configuration and seed |
//! | run ahead | [`prefetch`](fn@prefetch) | order, errors and panics kept |
//! | check | [`Examples::fingerprint`] | a run resumes only on the data it began with |
//!
//! # The whole way
//!
//! ```
//! use seqweave_data::{
//!     BatchConfig, BatchPlan, DataConfig, Level, Position, SideConfig, SourceSpec, prefetch, read_data,
//! };
//!
//! // A toy corpus: spell a number backwards.
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("reverse.tsv");
//! let line = |n: u32| format!("{n}\t{}\n", n.to_string().chars().rev().collect::<String>());
//! std::fs::write(&path, (1..=500).map(line).collect::<String>())?;
//!
//! // Read it, keep 5 % of the sources for the dev set, and build character vocabularies.
//! let side = SideConfig { level: Level::Char, ..SideConfig::default() };
//! let config = DataConfig {
//!     train: Some(SourceSpec::Tsv { path }.into()),
//!     src: side.clone(),
//!     tgt: side,
//!     ..DataConfig::default()
//! };
//! let data = read_data(&config)?;
//! println!("{}", data.report);
//!
//! // Batches of at most 256 padded tokens, made on another thread, from the start of epoch 0.
//! let plan = BatchPlan::of(&data.examples, BatchConfig { tokens: 256, ..BatchConfig::default() })?;
//! for (position, batch) in prefetch(plan.batches(1, Position::default())?, 4)?.take(3) {
//!     let first = data.examples.get(batch[0])?;
//!     let (src, tgt) = (data.src.decode(&first.src)?, data.tgt.decode(&first.tgt)?);
//!     println!("{position:?}: {} sentences, the first is {src} -> {tgt}", batch.len());
//!     // Train on the batch; a checkpoint stores `position.after()`.
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! Everything that can fail returns one [`Error`]. A message says what, where, what was expected and found,
//! and ends with a next step:
//!
//! ```
//! let mut lines = seqweave_data::read_lines(&b"good\nb\xE4d\n"[..], "train.de");
//! assert!(lines.next().is_some_and(|line| line.is_ok()));
//! let error = lines.next().and_then(Result::err).expect("the second line is Latin-1");
//! assert_eq!(
//!     error.to_string(),
//!     "train.de:2: invalid UTF-8 at byte 6 of the file (byte 2 of the line): sequence that begins with E4 is \
//!      cut short\nhelp: convert the file first, e.g. `iconv -f LATIN1 -t UTF-8`; it is never guessed or \
//!      repaired here"
//! );
//! ```

#![deny(unsafe_code)]

mod batch;
mod codec;
mod config;
mod corpus;
mod divide;
mod doctor;
mod encode;
mod error;
mod filter;
mod hash;
mod intern;
mod known;
mod learn;
mod lines;
mod order;
mod prefetch;
mod prepare;
mod resample;
mod script;
mod shard;
mod split;
mod stream;
mod subword;
mod tokenize;
mod vocab;

pub use batch::{BatchConfig, BatchPlan, Batches, Example, Lens, PadWaste, Position};
pub use codec::{Codec, CodecFiles};
pub use config::{DataConfig, SideConfig};
pub use corpus::{
    Pair, Pairs, SourceSpec, TrainSpec, WeightedSource, load, load_lines, pairs, to_jsonl, to_tsv,
};
pub use doctor::{Diagnosis, Finding, Severity, SideFacts, diagnose};
pub use error::{EntryFlaw, Error, Problem, Result, ShardFlaw, Utf8Flaw};
pub use filter::{FilterConfig, FilterReport, select};
pub use hash::Fnv64;
pub use known::Known;
pub use lines::{Lines, MAX_LINE_BYTES, read_lines};
pub use prefetch::{Prefetch, prefetch};
pub use prepare::{
    Corpora, PrepareReport, Prepared, VocabReport, encode_pairs, load_corpora, prepare, prepare_from,
    prepare_shards, prepare_shards_from, read_data, read_data_from,
};
pub use resample::Resampler;
pub use shard::{Examples, Part, ShardFolder, ShardInfo};
pub use split::{Amount, Split, SplitConfig, exclude_sources, split};
pub use subword::{
    Noise, Origin, OriginName, SamplingConfig, Side, SubwordConfig, SubwordKind, Subwords, noise_rng,
};
pub use tokenize::{Form, Level, Tokenizer, is_mostly_unspaced};
pub use vocab::{BOS, EOS, PAD, SPECIALS, TokenCounter, UNK, Vocab};
