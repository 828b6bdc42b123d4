//! The training loop: configuration, schedules, validation, checkpoints, exact resume.
//!
//! The parts that touch the disk stand on the sealed folders of [`seqweave::store`]:
//!
//! - [`config`] is the one TOML file of a training run, with every mistake reported at its place, all at once.
//! - [`run_folder`] is the folder a run writes: locked by one trainer, with the metric table and the event log.
//! - [`checkpoint`] saves and finds the state from which training goes on bit for bit.
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
pub mod config;
mod dataset;
mod error;
mod evaluate;
mod event;
mod feed;
mod progress;
pub mod run_folder;
pub mod state_file;
mod trainer;
mod update;

pub use error::{Error, Result};
pub use evaluate::{Answer, EvaluateOptions, Evaluation, evaluate};
pub use event::{Event, Outcome, Sample, Started, StepReport, Validation};
pub use trainer::{OpenOptions, Trainer};
