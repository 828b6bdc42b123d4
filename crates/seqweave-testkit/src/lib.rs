//! What the tests of every crate share: tolerances, values by formula, golden files, toy corpora.
//!
//! The crate depends on no sibling, so each of them can use it as a dev-dependency.
//!
//! ```
//! use seqweave_testkit::{Toy, assert_close, wave};
//!
//! // An op is compared with a naive formula; f32 and f64 slices mix freely.
//! let got: Vec<f32> = wave(4, 0.7, 0.1).iter().map(|&x| x as f32 * 2.0).collect();
//! let want: Vec<f64> = (0..4).map(|i| (0.7 * i as f64 + 0.1).cos()).collect();
//! assert_close(&got, &want, 1e-6, 1e-7, "doubled wave");
//!
//! // A toy task which a small model learns in seconds.
//! let pairs = Toy::reverse().pairs(3, 42);
//! let (source, target) = &pairs[0];
//! assert_eq!(source.chars().rev().collect::<String>(), *target);
//! ```
#![forbid(unsafe_code)]

mod close;
mod golden;
mod rng;
mod toy;
mod wave;

pub use close::{Mismatch, assert_close, check_close};
pub use golden::{Entry, Error, Golden, Result};
pub use rng::SplitMix64;
pub use toy::{Toy, ToyTask};
pub use wave::wave;
