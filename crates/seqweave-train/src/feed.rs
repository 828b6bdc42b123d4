//! Batches for the trainer: what each step is made of, and where the data stands after it.

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
    /// Optimizer steps of an epoch, counted from 0. They are a few more or less than those of another, because the
    /// batches are cut from another shuffle.
    pub(crate) fn steps(&self, epoch: u64) -> u64 {
        self.plan.epoch(self.seed, epoch).len().div_ceil(self.accumulate) as u64
    }

    /// Refuses a position that the data do not have, such as one that was saved with others.
    pub(crate) fn check(&self, Position { epoch, step }: Position) -> Result<()> {
        let batches = self.plan.epoch(self.seed, epoch).len();
        let batch = step.saturating_mul(self.accumulate as u64);
        if batch >= batches as u64 {
            return Err(seqweave_data::Error::Position { epoch, batch, batches }.into());
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_data::BatchConfig;

    /// Forty examples, each with a token of its own, in batches of about three.
    fn source(accumulate: usize) -> Arc<FeedSource> {
        let example =
            |i: u32| Example { src: vec![4 + i; 1 + i as usize % 3], tgt: vec![5; 1 + i as usize % 4] };
        let examples: Vec<Example> = (0..40).map(example).collect();
        let plan = BatchPlan::of(&examples, BatchConfig { tokens: 20, ..BatchConfig::default() }).unwrap();
        Arc::new(FeedSource { examples: Arc::new(examples), plan, seed: 5, accumulate })
    }

    /// The source ids of each micro-batch, as one list.
    fn ids(feed: &Feed) -> Vec<Vec<u32>> {
        feed.batches.iter().map(|batch| batch.src.as_slice().to_vec()).collect()
    }

    #[test]
    fn an_epoch_has_every_example_once_and_says_where_it_ends() {
        for accumulate in [1, 3, 100] {
            let source = source(accumulate);
            let mut feeds = source.clone().from(Position { epoch: 0, step: 0 }).map(|feed| feed.unwrap());
            for epoch in 1..=3 {
                let (mut seen, mut steps) = (Vec::new(), 0);
                loop {
                    let feed = feeds.next().unwrap();
                    steps += 1;
                    assert_eq!(feed.epoch, epoch);
                    assert!((1..=accumulate).contains(&feed.batches.len()));
                    for batch in &feed.batches {
                        // The first step of time has the first token of every sentence.
                        seen.extend_from_slice(&batch.src.as_slice()[..batch.len()]);
                    }
                    let sum: usize = feed.batches.iter().map(Batch::tgt_tokens).sum();
                    assert_eq!(feed.tgt_tokens, sum as u64);
                    if feed.ends_epoch {
                        assert_eq!(feed.next, Position { epoch, step: 0 });
                        break;
                    }
                    assert_eq!(feed.next, Position { epoch: epoch - 1, step: steps });
                }
                seen.sort_unstable();
                assert_eq!(seen, (4..44).collect::<Vec<u32>>(), "epoch {epoch}, {accumulate} batches a step");
                assert!(epoch > 1 || steps == source.steps(0));
            }
        }
    }

    #[test]
    fn from_any_position_the_rest_is_the_same() {
        let source = source(2);
        let take =
            |start, n| source.clone().from(start).take(n).map(|feed| feed.unwrap()).collect::<Vec<Feed>>();
        let whole = take(Position { epoch: 0, step: 0 }, 30);
        assert!(whole.iter().any(|feed| feed.epoch == 3), "the run crosses two ends of epochs");
        for (i, feed) in whole.iter().enumerate().take(29) {
            let rest = take(feed.next, 29 - i);
            assert!(rest.iter().map(ids).eq(whole[i + 1..].iter().map(ids)), "after step {}", i + 1);
        }
        let order = |epoch| take(Position { epoch, step: 0 }, 1).iter().map(ids).collect::<Vec<_>>();
        assert_ne!(order(0), order(1), "every epoch has its own order");
    }
}
