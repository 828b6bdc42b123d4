//! Edit distance, word and phoneme error rate, accuracy, perplexity.
//!
//! Every measure is an **accumulator**: a few sums that items are added to, that can be merged with the sums of another
//! thread or shard, and that give the same result, to the last bit, in whatever order the items came.
//! A result over nothing (no items, or no reference tokens) is `None`, never a made-up number.
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
#![forbid(unsafe_code)]

mod accuracy;
mod edit;
mod error;
mod error_rate;
mod metric;
mod perplexity;
mod references;
mod score;
mod text;

pub use accuracy::Accuracy;
pub use edit::{EditCounts, EditOp, align, distance};
pub use error::{Error, Result};
pub use error_rate::{ItemErrors, TokenErrors};
pub use metric::Metric;
pub use perplexity::Perplexity;
pub use references::{Item, group_references};
pub use score::Score;
pub use text::TextScores;
