//! BLEU, chrF, TER and ROUGE with the values that the field prints; error rates, accuracy, perplexity; significance.
//!
//! Error rates, accuracy and perplexity are **accumulators**: a few sums that items are added to, that can be merged with
//! the sums of another thread or shard, and that give the same result, to the last bit, in whatever order the items came.
//! Over nothing (no items, or no reference tokens) they are `None`, never a made-up number.
//! The scores of texts below follow the programs that they equal, in their values over nothing too.
//!
//! Texts are scored with [`TextScores`]; a pronunciation dictionary often lists a word several times, once for each way
//! to say it, and those lines are *one* item with several references:
//!
//! ```
//! use seqweave_metrics::{Metric, TextScores, group_references};
//!
//! let lines = [("live", "L IH V"), ("live", "L AY V"), ("bath", "B AE TH")];
//! let items = group_references(lines);
//! assert_eq!(items.len(), 2);
//!
//! let outputs = ["L AY V", "B AA TH"]; // the second has one phoneme wrong
//! let mut scores = TextScores::default();
//! for (item, output) in items.iter().zip(outputs) {
//!     scores.add(output, &item.references)?;
//! }
//! assert_eq!(scores.score(Metric::Wer).unwrap().value, Some(50.0));
//! assert_eq!(scores.score(Metric::Per).unwrap().value, Some(100.0 / 6.0));
//! println!("{}", scores.score(Metric::Per).unwrap()); // per 16.67 % of 6
//! # Ok::<(), seqweave_metrics::Error>(())
//! ```
//!
//! Sequences of any type that can be compared are scored with the parts: [`distance`], [`align`], [`ItemErrors`],
//! [`TokenErrors`], [`Accuracy`], [`Perplexity`].
//!
//! ```
//! use seqweave_metrics::{EditCounts, distance};
//!
//! let (output, reference) = ([1, 2, 3], [1, 3, 4]);
//! assert_eq!(distance(&output, &reference), 2);
//! let counts = EditCounts::between(&output, &reference);
//! assert_eq!((counts.matches, counts.substitutions, counts.insertions, counts.deletions), (1, 2, 0, 0));
//! ```
//!
//! # Scores that can be quoted
//!
//! [`Measured`] counts a metric over a corpus and gives its value, its signature, a confidence interval, and a paired
//! test against another system.
//! BLEU, chrF, chrF++ and TER equal sacreBLEU 2.6.0 and ROUGE equals rouge-score 0.1.2, to 1e-9 before rounding: texts
//! made to be hard, scored by the Python packages, lie in `tests/parity`, and a test compares.
#![forbid(unsafe_code)]

mod accuracy;
mod bleu;
mod bootstrap;
mod buckets;
mod chrf;
mod confusion;
mod correction;
mod edit;
mod error;
mod error_rate;
mod measure;
mod metric;
mod ngrams;
mod options;
mod pcg;
mod perplexity;
mod references;
mod rouge;
mod score;
mod space;
mod ter;
mod text;
mod tok;

pub use accuracy::Accuracy;
pub use bleu::Bleu;
pub use bootstrap::{Interval, Paired, SEED};
pub use buckets::length_buckets;
pub use confusion::{Confusion, Confusions};
pub use edit::{EditCounts, EditOp, align, distance};
pub use error::{Error, Result};
pub use error_rate::{ItemErrors, TokenErrors};
pub use measure::{Measured, Sentence};
pub use metric::Metric;
pub use options::{Smooth, TextOptions};
pub use perplexity::Perplexity;
pub use references::{Item, group_references};
pub use score::Score;
pub use text::TextScores;
pub use tok::Tok;
