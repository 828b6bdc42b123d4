//! Batches for the trainer: what each step is made of, and where the data stands after it.

use crate::Result;
use seqweave_data::{BatchPlan, Batches, Example, Examples, Position, Resampler};
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

/// Everything the order and the content of the batches depend on.
pub(crate) struct FeedSource {
    pub(crate) examples: Examples,
    /// Cuts the examples anew for each epoch; its batches then follow from the new lengths.
    pub(crate) resampler: Option<Resampler>,
    pub(crate) plan: BatchPlan,
    pub(crate) seed: u64,
    /// Micro-batches a step.
    pub(crate) accumulate: usize,
}

impl FeedSource {
    /// The examples of the epoch of a position, and its batches from there on.
    fn open(&self, at: Position) -> Result<(Examples, Batches)> {
        let Some(resampler) = &self.resampler else {
            return Ok((self.examples.clone(), self.plan.clone().batches(self.seed, at)?));
        };
        let examples = resampler.epoch(&self.examples, at.epoch)?;
        let plan = BatchPlan::of(&examples, self.plan.config().clone())?;
        Ok((examples, plan.batches(self.seed, at)?))
    }

    /// Optimizer steps of an epoch, counted from 0. They are a few more or less than those of another, because the
    /// batches are cut from another shuffle; of a corpus of several blocks, the first stands for all.
    pub(crate) fn steps(&self, epoch: u64) -> Result<u64> {
        let (_, batches) = self.open(Position { epoch, block: 0, batch: 0 })?;
        let plan = batches.plan();
        let batches = plan.block(self.seed, epoch, 0).len() as u64 * plan.blocks();
        Ok(batches.div_ceil(self.accumulate as u64))
    }

    /// Optimizer steps of the first `epochs` epochs: exact unless to cut them all into batches would take a while, as it does
    /// where each epoch cuts its text anew, and then as if each were as long as the first.
    pub(crate) fn steps_of(&self, epochs: u64) -> Result<u64> {
        /// Examples that are shuffled and cut in less than a second.
        const QUICK: u64 = 4_000_000;
        match epochs.saturating_mul(self.examples.len() as u64) {
            ..=QUICK if self.resampler.is_none() => (0..epochs).map(|epoch| self.steps(epoch)).sum(),
            _ => Ok(epochs.saturating_mul(self.steps(0)?)),
        }
    }

    /// Refuses a position that the data do not have, such as one that was saved with others.
    pub(crate) fn check(&self, position: Position) -> Result<()> {
        let (_, batches) = self.open(position)?;
        // After a step, the position is that of the batch which comes next, wherever that is.
        if batches.at_end_of_block() {
            let Position { epoch, block, batch } = position;
            let (blocks, batches) = (self.plan.blocks(), batch as usize);
            return Err(seqweave_data::Error::Position { epoch, block, batch, blocks, batches }.into());
        }
        Ok(())
    }

    /// The endless sequence of steps from `start` on.
    ///
    /// # Errors
    /// A position that the data do not have.
    pub(crate) fn from(
        self: Arc<Self>,
        start: Position,
    ) -> Result<impl Iterator<Item = Result<Feed>> + Send + 'static> {
        let (mut examples, mut batches) = self.open(start)?;
        Ok(std::iter::from_fn(move || {
            // Examples are read before the next batch is looked for: going to another block gives back the pages of this one.
            let mut parts = Vec::with_capacity(self.accumulate);
            let (first, indices) = batches.next()?;
            parts.push(read(&examples, &indices));
            let mut ends_epoch = batches.begins_epoch();
            while parts.len() < self.accumulate && !ends_epoch {
                parts.push(read(&examples, &batches.next()?.1));
                ends_epoch = batches.begins_epoch();
            }
            let (next, epoch) = (batches.position(), first.epoch + 1);
            let feed = feed(parts).map(|feed| Feed { next, epoch, ends_epoch, ..feed });
            if ends_epoch && self.resampler.is_some() {
                (examples, batches) = match self.open(next) {
                    Ok(opened) => opened,
                    Err(error) => return Some(Err(error)),
                };
            }
            Some(feed)
        }))
    }
}

fn read(examples: &Examples, indices: &[usize]) -> Result<Vec<Example>> {
    Ok(indices.iter().map(|&i| examples.get(i)).collect::<seqweave_data::Result<_>>()?)
}

fn feed(parts: Vec<Result<Vec<Example>>>) -> Result<Feed> {
    let batch = |part: Result<Vec<Example>>| -> Result<Batch> {
        let examples = part?;
        let rows: Vec<(&[u32], &[u32])> =
            examples.iter().map(|example| (&example.src[..], &example.tgt[..])).collect();
        Ok(Batch::from_rows(&rows)?)
    };
    let batches = parts.into_iter().map(batch).collect::<Result<Vec<_>>>()?;
    let sum = |tokens: fn(&Batch) -> usize| batches.iter().map(|batch| tokens(batch) as u64).sum();
    let (src_tokens, tgt_tokens) = (sum(Batch::src_tokens), sum(Batch::tgt_tokens));
    Ok(Feed { batches, next: Position::default(), epoch: 0, ends_epoch: false, src_tokens, tgt_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_data::BatchConfig;

    /// Forty examples, each with a token of its own, in batches of about three.
    fn source(accumulate: usize) -> Arc<FeedSource> {
        let example =
            |i: u32| Example { src: vec![4 + i; 1 + i as usize % 3], tgt: vec![5; 1 + i as usize % 4] };
        let examples = Examples::from((0..40).map(example).collect::<Vec<Example>>());
        let plan = BatchPlan::of(&examples, BatchConfig { tokens: 20, ..BatchConfig::default() }).unwrap();
        Arc::new(FeedSource { examples, resampler: None, plan, seed: 5, accumulate })
    }

    /// The source ids of each micro-batch, as one list.
    fn ids(feed: &Feed) -> Vec<Vec<u32>> {
        feed.batches.iter().map(|batch| batch.src.as_slice().to_vec()).collect()
    }

    #[test]
    fn an_epoch_has_every_example_once_and_says_where_it_ends() {
        for accumulate in [1, 3, 100] {
            let (source, mut total) = (source(accumulate), 0);
            let mut feeds = source.clone().from(Position::default()).unwrap().map(|feed| feed.unwrap());
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
                        assert_eq!(feed.next, Position { epoch, block: 0, batch: 0 });
                        break;
                    }
                    let batch = steps * accumulate as u64;
                    assert_eq!(feed.next, Position { epoch: epoch - 1, block: 0, batch });
                }
                seen.sort_unstable();
                assert_eq!(seen, (4..44).collect::<Vec<u32>>(), "epoch {epoch}, {accumulate} batches a step");
                assert!(epoch > 1 || steps == source.steps(0).unwrap());
                total += steps;
                let of_all = source.steps_of(epoch).unwrap();
                assert_eq!(of_all, total, "{epoch} epochs, {accumulate} batches a step");
            }
        }
    }

    #[test]
    fn from_any_position_the_rest_is_the_same() {
        let source = source(2);
        let take = |start, n| {
            source.clone().from(start).unwrap().take(n).map(|feed| feed.unwrap()).collect::<Vec<Feed>>()
        };
        let whole = take(Position::default(), 30);
        assert!(whole.iter().any(|feed| feed.epoch == 3), "the run crosses two ends of epochs");
        for (i, feed) in whole.iter().enumerate().take(29) {
            let rest = take(feed.next, 29 - i);
            assert!(rest.iter().map(ids).eq(whole[i + 1..].iter().map(ids)), "after step {}", i + 1);
        }
        let order =
            |epoch| take(Position { epoch, block: 0, batch: 0 }, 1).iter().map(ids).collect::<Vec<_>>();
        assert_ne!(order(0), order(1), "every epoch has its own order");
    }
}
