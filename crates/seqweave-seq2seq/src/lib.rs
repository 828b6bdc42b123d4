//! placeholder
#![forbid(unsafe_code)]
#![allow(clippy::unnecessary_cast)] // `as Float` and `as f64` are casts in one of the two builds only

mod batch;
mod bridge;
mod config;
mod decoder;
mod encoder;
mod error;
mod model;
mod output;
pub mod search;
mod state;

pub use batch::Batch;
pub use bridge::Bridge;
pub use config::{BridgeKind, ConfigProblem, DecoderConfig, EncoderConfig, ModelConfig, Tie};
pub use decoder::{Decoder, DecoderState};
pub use encoder::{Encoded, Encoder};
pub use error::{Error, Result};
pub use model::{Forced, Seq2Seq};
pub use output::Output;
pub use state::State;

/// Fills a batch beyond a sentence's end; never predicted and never counted.
pub const PAD: u32 = 0;
/// Stands for any token the vocabulary does not have.
pub const UNK: u32 = 1;
/// What the decoder reads before the first token; never predicted.
pub const BOS: u32 = 2;
/// Ends every source and every output.
pub const EOS: u32 = 3;
