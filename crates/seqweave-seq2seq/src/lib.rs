//! Encoder, decoder, bridge, model and search for sequence-to-sequence learning.
//!
//! A [`Seq2Seq`] reads a source and says an output, token by token: a recurrent encoder, a bridge, and a recurrent
//! decoder with attention. This crate knows token ids alone; text, files and training loops live above it.
//!
//! # A model that copies, trained in a second
//!
//! ```
//! use seqweave_autograd::Tape;
//! use seqweave_nn::{Ctx, Optimizer, OptimizerConfig};
//! use seqweave_seq2seq::search::{SearchOptions, translate_batch};
//! use seqweave_seq2seq::{Batch, ModelConfig, Seq2Seq};
//! use seqweave_tensor::Device;
//!
//! // Ids 0 to 3 are reserved: PAD, UNK, BOS and EOS. The words of this language are 4 to 7.
//! let config = ModelConfig { emb: 16, hidden: 32, dropout: 0.0, ..Default::default() };
//! let (model, mut params) = Seq2Seq::build(&config, 8, 8, &Device::cpu(), 1)?;
//! let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params)?;
//!
//! // Rows are bare tokens; BOS, EOS and padding are added by the batch.
//! let words = [4, 5, 6, 7].into_iter();
//! let pairs: Vec<_> = words.clone().flat_map(|a| words.clone().map(move |b| (vec![a, b, a], vec![a, b, a]))).collect();
//! let batch = Batch::from_rows(&pairs)?;
//! for _ in 0..60 {
//!     let tape = Tape::new();
//!     let loss = {
//!         let cx = Ctx::train(&params, tape.clone(), None);
//!         model.loss(&cx, &batch, 0.0, 1.0 / batch.tgt_tokens() as seqweave_tensor::Float)?.0
//!     };
//!     params.zero_grad()?;
//!     tape.backward(&loss, Some(params.grads_mut()))?;
//!     optimizer.step(&mut params, 0.01, Some(1.0))?;
//! }
//!
//! let options = SearchOptions { beam: 4, ..Default::default() };
//! let answers = translate_batch(&model, &params, &[[4, 7, 4], [6, 5, 6]], &options)?;
//! assert_eq!(answers[0][0].ids, [4, 7, 4]);
//! assert_eq!(answers[1][0].ids, [6, 5, 6]);
//! // Where the model looked: a row a target token, a column a source token, EOS included on both sides.
//! assert_eq!((answers[0][0].align.len(), answers[0][0].align[0].len()), (4, 4));
//! # Ok::<(), seqweave_seq2seq::Error>(())
//! ```
//!
//! # Reading order
//!
//! | module | what |
//! |---|---|
//! | [`ModelConfig`] | every choice, with its default |
//! | [`Batch`] | sentence pairs as padded columns |
//! | [`Encoder`] | Sutskever et al. 2014; bidirectional as in Bahdanau et al. 2015 |
//! | [`Bridge`] | from the encoder's last state to the decoder's first |
//! | [`Decoder`] | Luong et al. 2015, with or without input feeding |
//! | [`Output`] | logits; tied as in Press & Wolf 2017 |
//! | [`Seq2Seq`] | all of it: [`loss`](Seq2Seq::loss), [`forced`](Seq2Seq::forced), [`start`](Seq2Seq::start), [`step`](Seq2Seq::step) |
//! | [`State`] | what decoding carries along, a value |
//! | [`Ensemble`] | several models that speak with one voice |
//! | [`search`] | greedy and beam search, sampling, prefixes, forbidden and required phrases, scoring |
//!
//! # Papers
//!
//! * Sutskever, Vinyals & Le 2014, "Sequence to sequence learning with neural networks"
//! * Bahdanau, Cho & Bengio 2015, "Neural machine translation by jointly learning to align and translate"
//! * Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine translation"
//! * Wu et al. 2016, "Google's neural machine translation system"
//! * Press & Wolf 2017, "Using the output embedding to improve language models"
//! * Post & Vilar 2018, "Fast lexically constrained decoding with dynamic beam allocation for neural machine translation"
//! * Keskar et al. 2019, "CTRL: a conditional transformer language model for controllable generation"
//! * Holtzman et al. 2020, "The curious case of neural text degeneration"
//!
//! # Promises
//!
//! * A sentence gives the same tokens, scores and alignments, to the bit, alone and in any batch.
//! * Teacher forcing and stepping compute the same thing.
//! * Bad input is an [`Error`] that names the row; nothing panics.

#![forbid(unsafe_code)]
#![allow(clippy::unnecessary_cast)] // `as Float` and `as f64` are casts in one of the two builds only

mod batch;
mod bridge;
mod config;
mod decoder;
mod encoder;
mod ensemble;
mod error;
mod forced;
mod model;
mod output;
pub mod search;
mod state;
mod tags;

pub use batch::Batch;
pub use bridge::Bridge;
pub use config::{BridgeKind, ConfigProblem, DecoderConfig, EncoderConfig, ModelConfig, Tie};
pub use decoder::{Decoder, DecoderState};
pub use encoder::{Encoded, Encoder};
pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use forced::Forced;
pub use model::Seq2Seq;
pub use output::Output;
pub use state::State;
pub use tags::{FeaturesConfig, Merge};

/// Fills a batch beyond a sentence's end; never predicted and never counted.
pub const PAD: u32 = 0;
/// Stands for any token the vocabulary does not have.
pub const UNK: u32 = 1;
/// What the decoder reads before the first token; never predicted.
pub const BOS: u32 = 2;
/// Ends every source and every output.
pub const EOS: u32 = 3;
