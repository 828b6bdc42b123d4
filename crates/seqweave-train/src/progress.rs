//! Where a run stands, and what it did since the last report.

use std::time::Instant;

use seqweave_tensor::Float;

use crate::checkpoint::{Best, TrainState};
use crate::event::StepReport;
use crate::feed::Feed;
use crate::sums::Sums;
use seqweave_data::Position;

/// Where the run stands; with weights, optimizer, schedule and metric table, all there is to resume from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progress {
    /// Optimizer steps made.
    pub(crate) step: u64,
    /// What comes next in the data.
    pub(crate) position: Position,
    /// The best validation so far.
    pub(crate) best: Option<Best>,
    /// Validations since then.
    pub(crate) bad_validations: u64,
    /// Steps in a row that were not finite.
    pub(crate) bad_steps: u64,
    /// Training sums since the last validation.
    pub(crate) since_validation: Sums,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            step: 0,
            position: Position::default(),
            best: None,
            bad_validations: 0,
            bad_steps: 0,
            since_validation: Sums::default(),
        }
    }

    pub(crate) fn from_state(state: &TrainState) -> Progress {
        Progress {
            step: state.step,
            position: Position { epoch: state.epoch, block: state.next_block, batch: state.next_batch },
            best: state.best,
            bad_validations: state.bad_validations,
            bad_steps: state.bad_steps,
            since_validation: Sums::from_numbers(&state.running),
        }
    }
}

/// The `f64` that is written with the digits of `x`: 0.1 for the `f32` 0.1, which `f64::from` makes 0.10000000149011612.
pub(crate) fn decimal(x: Float) -> f64 {
    x.to_string().parse().unwrap_or(f64::NAN)
}

/// What happened since the last progress report.
pub(crate) struct Window {
    since: Instant,
    sums: Sums,
    src_tokens: u64,
    tgt_tokens: u64,
    grad_norm: f64,
    lr: f64,
}

impl Window {
    pub(crate) fn new() -> Window {
        Window {
            since: Instant::now(),
            sums: Sums::default(),
            src_tokens: 0,
            tgt_tokens: 0,
            grad_norm: 0.0,
            lr: 0.0,
        }
    }

    pub(crate) fn add(&mut self, feed: &Feed, sums: &Sums, grad_norm: f64, lr: f64) {
        self.sums.add(sums);
        self.src_tokens += feed.src_tokens;
        self.tgt_tokens += feed.tgt_tokens;
        (self.grad_norm, self.lr) = (grad_norm, lr);
    }

    pub(crate) fn report(&self, step: u64, epoch: u64, total: u64, clock: Instant) -> StepReport {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let xent = self.sums.xent().unwrap_or(f64::NAN);
        StepReport {
            step,
            total,
            epoch,
            acc: self.sums.acc().unwrap_or(f64::NAN),
            ppl: xent.exp(),
            xent,
            lr: self.lr,
            grad_norm: self.grad_norm,
            src_tok_s: self.src_tokens as f64 / seconds,
            tgt_tok_s: self.tgt_tokens as f64 / seconds,
            seconds: clock.elapsed().as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_the_digits_of_the_short_number() {
        for (x, text) in [(0.1, "0.1"), (3e-4, "0.0003"), (1e-30, "1e-30"), (1e30, "1e30"), (0.0, "0.0")] {
            assert_eq!(format!("{:?}", decimal(x)), text);
            assert_eq!(decimal(x) as Float, x);
        }
        assert_eq!(decimal(Float::INFINITY), f64::INFINITY);
        assert!(decimal(Float::NAN).is_nan());
    }
}
