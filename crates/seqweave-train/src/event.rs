//! What a training run tells its caller: the trainer never prints.
//!
//! The same events are the lines of `log.jsonl`, which [`crate::run_log`] reads back.
//! JSON has no NaN: a number that is not finite is written as `null` and read as NaN.
//! A field that an older log lacks is read as empty.

use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// One thing that happened in a training run, in the order it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The data is read, the model is built, training is about to start.
    Started(Started),
    /// A checkpoint was found and training goes on from it.
    Resumed {
        /// Optimizer steps done so far.
        step: u64,
        /// Newer checkpoints that were refused, and why.
        refused: Vec<String>,
    },
    /// Progress, every `train.log_every` steps.
    Step(StepReport),
    /// A validation was made.
    Validated(Validation),
    /// A checkpoint is complete on disk.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// A step was left out because a number in it was not finite; no weight was changed.
    Skipped {
        /// The step.
        step: u64,
        /// The tensor in which it was seen: `loss`, or the gradient of a named parameter.
        tensor: String,
        /// Bad steps in a row so far.
        in_a_row: u64,
    },
    /// Something worth knowing that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// The run is over.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Optimizer steps done in all.
        step: u64,
        /// Seconds of this process.
        #[serde(deserialize_with = "or_nan")]
        seconds: f64,
    },
}

/// What a run works with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// The run folder.
    pub run: PathBuf,
    /// Device and why it was chosen.
    pub device: String,
    /// Threads of the pool.
    pub threads: usize,
    /// Seed of every random stream.
    pub seed: u64,
    /// The model in one line.
    pub model: String,
    /// Number of trained numbers.
    pub parameters: usize,
    /// The data, one line a fact.
    pub data: Vec<String>,
    /// Fingerprint of the training and development data, as checkpoints hold it.
    pub data_fingerprint: String,
    /// Hash of the settings that decide the weights and of the model to start from, as checkpoints hold it.
    pub config_hash: String,
    /// The version of seqweave that trains.
    pub version: String,
    /// Operating system, processor cores, and how matrix products are made.
    pub machine: String,
    /// Optimizer steps this run will make, as far as is known.
    pub total_steps: u64,
}

/// Progress since the last report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepReport {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps planned.
    pub total: u64,
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Target tokens guessed right under teacher forcing, in percent.
    #[serde(deserialize_with = "or_nan")]
    pub acc: f64,
    /// Perplexity: exp(xent).
    #[serde(deserialize_with = "or_nan")]
    pub ppl: f64,
    /// Negative log-likelihood of a target token, in nats, without label smoothing.
    #[serde(deserialize_with = "or_nan")]
    pub xent: f64,
    /// Learning rate of the last step.
    #[serde(deserialize_with = "or_nan")]
    pub lr: f64,
    /// Norm of the last gradient before clipping.
    #[serde(deserialize_with = "or_nan")]
    pub grad_norm: f64,
    /// Source tokens a second.
    #[serde(deserialize_with = "or_nan")]
    pub src_tok_s: f64,
    /// Target tokens a second.
    #[serde(deserialize_with = "or_nan")]
    pub tgt_tok_s: f64,
    /// Seconds since this process began to train.
    #[serde(deserialize_with = "or_nan")]
    pub seconds: f64,
}

/// The scores of one validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Validation {
    /// Optimizer steps done.
    pub step: u64,
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Names and values, in a fixed order.
    #[serde(deserialize_with = "scores_or_nan")]
    pub scores: Vec<(String, f64)>,
    /// The score that decides which checkpoint is best.
    pub best_by: String,
    /// Whether this is the best so far.
    pub best: bool,
    /// Validations since the best one.
    pub since_best: u64,
    /// A few outputs beside their references.
    pub samples: Vec<Sample>,
}

/// A source, its reference and what the model makes of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Source text.
    pub source: String,
    /// The (first) reference.
    pub reference: String,
    /// The model's output.
    pub hypothesis: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// All epochs or steps are done.
    Completed,
    /// No improvement for `valid.patience` validations.
    StoppedEarly,
    /// The caller asked to stop; the state is saved.
    Interrupted,
    /// Too many steps in a row were not finite; the last good checkpoint is kept.
    Diverged,
}

fn or_nan<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(value)?.unwrap_or(f64::NAN))
}

fn scores_or_nan<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<(String, f64)>, D::Error> {
    let scores = Vec::<(String, Option<f64>)>::deserialize(value)?;
    Ok(scores.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let sample = Sample { source: "a\tb".into(), reference: "\"".into(), hypothesis: "<b>".into() };
        let events = [
            Event::Started(Started {
                run: "r".into(),
                threads: 2,
                data: vec!["d".into()],
                ..Started::default()
            }),
            Event::Resumed { step: 3, refused: vec!["x".into()] },
            Event::Step(StepReport { step: 4, xent: 0.1, ..StepReport::default() }),
            Event::Validated(Validation {
                scores: vec![("ppl".into(), 1.25)],
                samples: vec![sample],
                ..Validation::default()
            }),
            Event::Saved { path: "p".into() },
            Event::Skipped { step: 5, tensor: "loss".into(), in_a_row: 1 },
            Event::Warning { message: "w".into() },
            Event::Finished { outcome: Outcome::StoppedEarly, step: 6, seconds: 1.5 },
        ];
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }

    #[test]
    fn what_json_cannot_hold_comes_back_as_nan_and_what_is_missing_as_empty() {
        let report = StepReport { step: 1, acc: f64::NAN, ppl: f64::INFINITY, ..StepReport::default() };
        let text = serde_json::to_string(&Event::Step(report)).unwrap();
        let Event::Step(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert!(read.acc.is_nan() && read.ppl.is_nan() && read.xent == 0.0);
        let old = r#"{"event":"validated","step":7,"scores":[["wer",null],["ppl",2.0]]}"#;
        let Event::Validated(read) = serde_json::from_str(old).unwrap() else { panic!("{old}") };
        assert!(
            read.scores[0].1.is_nan() && read.scores[1] == ("ppl".into(), 2.0) && read.samples.is_empty()
        );
    }
}
