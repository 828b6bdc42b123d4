//! The training loop: configuration, schedules, validation, checkpoints, exact resume.
//!
//! The parts that touch the disk stand on the sealed folders of [`seqweave::store`]:
//!
//! - [`config`] is the one TOML file of a training run, with every mistake reported at its place, all at once.
//! - [`run_folder`] is the folder a run writes: locked by one trainer, with the metric table and the event log.
//! - [`choice`] ranks checkpoints by their validations and names those to keep or to average.
//! - [`run_log`] reads the event log back, also while it is written.
//! - [`checkpoint`] saves and finds the state from which training goes on bit for bit.
//! - [`suggest`](mod@suggest) makes a first configuration from a look at the data.
//! - [`state_file`] is the private file format inside a checkpoint.
//!
//! ```
//! use seqweave_train::config::{Config, Sources};
//!
//! # fn main() -> Result<(), seqweave_train::Error> {
//! let config = Config::load(&Sources {
//!     sets: vec!["data.train=words.tsv".into(), "model.cell=gru".into()],
//!     ..Sources::default()
//! })?;
//! assert_eq!(config.value.model.hidden, 256);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod bench;
pub mod checkpoint;
pub mod choice;
pub mod config;
mod dataset;
mod describe;
mod doctor;
mod error;
mod evaluate;
mod event;
mod examine;
mod feed;
mod initial;
mod plan;
mod prepare;
mod progress;
mod resume;
pub mod run_folder;
pub mod run_log;
pub mod state_file;
pub mod suggest;
mod sums;
mod tensorboard;
mod timestamp;
mod trainer;
mod update;
mod word_dropout;

pub use doctor::{Checkup, MemoryCheck, doctor};
pub use error::{Error, Result};
pub use evaluate::{Answer, EvaluateOptions, Evaluation, evaluate};
pub use event::{Event, Outcome, Sample, Started, StepReport, Validation};
pub use examine::{
    Bucket, Examination, ExamineOptions, Wrong, development_pairs, examine, other_pairs, split_symbols,
};
pub use prepare::prepare;
pub use timestamp::timestamp;
pub use trainer::{OpenOptions, Trainer};
