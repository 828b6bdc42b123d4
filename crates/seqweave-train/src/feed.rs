//! Batches for the trainer, made one step ahead on another thread.

use crate::Result;
use seqweave_data::{BatchPlan, Example};
use seqweave_seq2seq::Batch;
use std::sync::Arc;

/// The micro-batches of one optimizer step, and where the data stands after it.
pub(crate) struct Feed {
    /// The micro-batches.
    pub(crate) batches: Vec<Batch>,
    /// The position of the next step: all that resuming needs to know of the data.
    pub(crate) next: Position,
    /// The epoch of this step, counted from 1.
    pub(crate) epoch: u64,
    /// Whether this step ends its epoch.
    pub(crate) ends_epoch: bool,
    /// Source tokens, end marks included.
    pub(crate) src_tokens: u64,
    /// Target tokens, end marks included.
    pub(crate) tgt_tokens: u64,
}

/// A place in the data: epochs count from 0, steps from 0 within the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) step: u64,
}

/// Everything the order and the content of the batches depend on.
pub(crate) struct FeedSource {
    pub(crate) examples: Arc<Vec<Example>>,
    pub(crate) plan: BatchPlan,
    pub(crate) seed: u64,
    /// Micro-batches a step.
    pub(crate) accumulate: usize,
}

impl FeedSource {
    /// Optimizer steps of the first epoch. Another epoch may have a few more or less, because its batches are cut from
    /// another shuffle.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.plan.epoch(self.seed, 0).len().div_ceil(self.accumulate) as u64
    }

    /// The endless sequence of steps from `start` on.
    pub(crate) fn from(
        self: Arc<Self>,
        start: Position,
    ) -> impl Iterator<Item = Result<Feed>> + Send + 'static {
        let mut position = start;
        let mut order = None;
        std::iter::from_fn(move || {
            let epoch = order.get_or_insert_with(|| self.plan.epoch(self.seed, position.epoch));
            let first = position.step as usize * self.accumulate;
            let last = (first + self.accumulate).min(epoch.len());
            let feed = self.feed(&epoch[first..last]);
            let (ends_epoch, epoch) = (last == epoch.len(), position.epoch + 1);
            if ends_epoch {
                position = Position { epoch, step: 0 };
                order = None;
            } else {
                position.step += 1;
            }
            Some(feed.map(|feed| Feed { next: position, epoch, ends_epoch, ..feed }))
        })
    }

    fn feed(&self, parts: &[Vec<u32>]) -> Result<Feed> {
        let batch = |part: &Vec<u32>| {
            let rows = part.iter().map(|&i| &self.examples[i as usize]);
            let rows: Vec<(&[u32], &[u32])> =
                rows.map(|example| (&example.src[..], &example.tgt[..])).collect();
            Batch::from_rows(&rows)
        };
        let batches = parts.iter().map(batch).collect::<std::result::Result<Vec<_>, _>>()?;
        let sum = |tokens: fn(&Batch) -> usize| batches.iter().map(|batch| tokens(batch) as u64).sum();
        let (src_tokens, tgt_tokens) = (sum(Batch::src_tokens), sum(Batch::tgt_tokens));
        let next = Position { epoch: 0, step: 0 };
        Ok(Feed { batches, next, epoch: 0, ends_epoch: false, src_tokens, tgt_tokens })
    }
}
