//! Batches of similar length within a token budget, in an order that three integers can resume.
//!
//! An epoch is a sequence of blocks (see `order`), most often of one, and a block is a pure function of (lengths,
//! configuration, seed, epoch, block):
//!
//! 1. its examples are shuffled;
//! 2. each window of `window` examples is sorted by length, equal lengths in shuffled order, and every second
//!    window backwards, so that neighbouring windows meet at similar lengths;
//! 3. the examples in that order fill one batch after the other until the next would break a limit;
//! 4. the batches are shuffled.
//!
//! A checkpoint therefore stores the seed it was started with and a [`Position`]: no order, no generator
//! state. Neither threads nor earlier epochs matter, and no more than one block is ever in memory.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Problems, Result};
use crate::order::Order;
use crate::shard::{Examples, Part};

/// One sentence pair as ids, without special tokens at the ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Example {
    /// The source ids.
    pub src: Vec<u32>,
    /// The target ids.
    pub tgt: Vec<u32>,
}

impl Example {
    /// The numbers of source and target ids.
    pub fn lens(&self) -> Lens {
        // A sequence that outgrows u32 would need 16 GiB.
        let len = |ids: &[u32]| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        Lens { src: len(&self.src), tgt: len(&self.tgt) }
    }
}

/// The lengths of one example in ids, special tokens not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lens {
    /// The number of source ids.
    pub src: u32,
    /// The number of target ids.
    pub tgt: u32,
}

/// How examples are put into batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// The budget of a batch in padded tokens of both sides, special tokens included:
    /// sentences · ((longest source + 1) + (longest target + 1)).
    #[schemars(range(min = 4, max = 100_000_000))]
    pub tokens: usize,
    /// The most sentences of a batch; 0 is no limit.
    #[schemars(range(max = 1_000_000))]
    pub max_sentences: usize,
    /// How many shuffled examples are sorted by length together; more means less padding and less random batches, and
    /// 0 means all that are shuffled together, about half a million.
    #[schemars(range(max = 1_000_000_000))]
    pub window: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { tokens: 4096, max_sentences: 0, window: 10_000 }
    }
}

impl BatchConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] with all bad values at once.
    pub fn validate(&self) -> Result<()> {
        let mut p = Problems::default();
        p.require(
            self.tokens >= 4,
            "tokens",
            "at least 4 tokens, one token and </s> on each side",
            self.tokens,
        );
        p.into_result()
    }
}

/// Padded tokens of `b` sentences, the longest of which have `src` and `tgt` ids: `B · (S + T)` with
/// `S = src + 1` (`</s>`) and `T = tgt + 1` (`<s>` before the decoder's input, `</s>` after its output).
fn padded(b: usize, src: u32, tgt: u32) -> u64 {
    (b as u64).saturating_mul(u64::from(src) + u64::from(tgt) + 2)
}

/// Knows the lengths of all examples and makes the batches of any epoch.
///
/// ```
/// use seqweave_data::{BatchConfig, BatchPlan, Lens};
///
/// let lens: Vec<Lens> = (0..100).map(|i| Lens { src: i % 7 + 1, tgt: i % 5 + 1 }).collect();
/// let plan = BatchPlan::new(&lens, BatchConfig { tokens: 64, ..BatchConfig::default() })?;
/// let batches = plan.epoch(42, 0);
/// assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 100);
/// assert_eq!(batches, plan.epoch(42, 0));
/// assert_ne!(batches, plan.epoch(42, 1));
/// println!("{}", plan.waste(&batches));
/// # Ok::<(), seqweave_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchPlan {
    lens: Lengths,
    order: Order,
    config: BatchConfig,
}

/// Where a plan reads the lengths of its examples.
#[derive(Debug, Clone)]
enum Lengths {
    Listed(Vec<Lens>),
    Of(Examples),
}

impl Lengths {
    fn len(&self) -> usize {
        match self {
            Self::Listed(lens) => lens.len(),
            Self::Of(examples) => examples.len(),
        }
    }

    fn get(&self, i: usize) -> Lens {
        match self {
            Self::Listed(lens) => lens[i],
            Self::Of(examples) => examples.lens(i),
        }
    }
}

impl BatchPlan {
    /// A plan for examples of the given lengths.
    ///
    /// # Errors
    /// Bad values, no example, or more examples than a `u32` can count.
    pub fn new(lens: &[Lens], config: BatchConfig) -> Result<Self> {
        let parts = [Part { examples: lens.len() as u64, weight: 1.0 }];
        Self::over(Lengths::Listed(lens.to_vec()), &parts, config)
    }

    /// A plan for examples.
    ///
    /// # Errors
    /// As [`BatchPlan::new`].
    pub fn of(examples: &Examples, config: BatchConfig) -> Result<Self> {
        Self::over(Lengths::Of(examples.clone()), examples.parts(), config)
    }

    fn over(lens: Lengths, parts: &[Part], config: BatchConfig) -> Result<Self> {
        config.validate()?;
        let (found, limit) = (lens.len(), u32::MAX as usize);
        if found == 0 {
            return Err(Error::NoExamples { why: "a batch plan was asked for 0 examples".to_owned() });
        }
        if found > limit {
            return Err(Error::TooManyExamples { found, limit });
        }
        Ok(Self { lens, order: Order::new(parts), config })
    }

    /// The number of examples.
    pub fn examples(&self) -> usize {
        self.lens.len()
    }

    /// The number of blocks of an epoch.
    pub fn blocks(&self) -> u64 {
        self.order.blocks()
    }

    /// The configuration.
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// How many examples exceed the budget alone. Each gets a batch of its own.
    pub fn oversized(&self) -> usize {
        let is_over = |lens: Lens| padded(1, lens.src, lens.tgt) > self.config.tokens as u64;
        (0..self.lens.len()).filter(|&i| is_over(self.lens.get(i))).count()
    }

    /// The batches of one epoch as indices of examples, block after block. Unless corpora have weights, every example
    /// is there exactly once.
    pub fn epoch(&self, seed: u64, epoch: u64) -> Vec<Vec<u32>> {
        (0..self.blocks()).flat_map(|block| self.block(seed, epoch, block)).collect()
    }

    /// The batches of one block of an epoch, shuffled; without weights, those of a corpus of up to half a million
    /// examples are all in block 0. Weights below 1 may leave a block empty.
    pub fn block(&self, seed: u64, epoch: u64, block: u64) -> Vec<Vec<u32>> {
        let mut rng = block_rng(seed, epoch, block);
        let mut order = self.order.block(seed, epoch, block);
        shuffle(&mut rng, &mut order);
        let window = if self.config.window == 0 { order.len().max(1) } else { self.config.window };
        for (k, window) in order.chunks_mut(window).enumerate() {
            window.sort_by_cached_key(|&i| self.sort_key(i));
            if k % 2 == 1 {
                window.reverse();
            }
        }
        let mut batches = self.fill(&order);
        shuffle(&mut rng, &mut batches);
        batches
    }

    /// The batches of a fixed order for measuring: sorted by length over all examples, not shuffled.
    pub fn sorted(&self) -> Vec<Vec<u32>> {
        let mut order: Vec<u32> = (0..self.lens.len() as u32).collect();
        order.sort_by_cached_key(|&i| self.sort_key(i));
        self.fill(&order)
    }

    /// Endless batches over all epochs, from a position on.
    ///
    /// # Errors
    /// [`Error::Position`] where the epoch has fewer batches than the position says.
    pub fn batches(self, seed: u64, from: Position) -> Result<Batches> {
        Batches::new(self, seed, from)
    }

    /// How much of the batches is padding.
    pub fn waste(&self, batches: &[Vec<u32>]) -> PadWaste {
        let mut waste = PadWaste::default();
        for batch in batches {
            let lens = || batch.iter().map(|&i| self.lens.get(i as usize));
            let src = lens().map(|l| l.src).max().unwrap_or(0);
            let tgt = lens().map(|l| l.tgt).max().unwrap_or(0);
            waste.tokens += lens().map(|l| padded(1, l.src, l.tgt)).sum::<u64>();
            waste.padded += padded(batch.len(), src, tgt);
            waste.batches += 1;
        }
        waste
    }

    /// Targets rise; among equal targets the sources rise and fall in turn. A batch that spans two target
    /// lengths then holds similar sources, which saves about a third of the padding of a plain sort.
    fn sort_key(&self, i: u32) -> (u32, u32) {
        let Lens { src, tgt } = self.lens.get(i as usize);
        (tgt, if tgt % 2 == 0 { src } else { u32::MAX - src })
    }

    /// Cuts ordered examples into batches within the limits.
    fn fill(&self, order: &[u32]) -> Vec<Vec<u32>> {
        let most = if self.config.max_sentences == 0 { usize::MAX } else { self.config.max_sentences };
        let (mut batches, mut batch) = (Vec::new(), Vec::new());
        let (mut src, mut tgt) = (0, 0);
        for &i in order {
            let lens = self.lens.get(i as usize);
            let (s, t) = (lens.src.max(src), lens.tgt.max(tgt));
            let full = batch.len() >= most || padded(batch.len() + 1, s, t) > self.config.tokens as u64;
            if full && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                (src, tgt) = (lens.src, lens.tgt);
            } else {
                (src, tgt) = (s, t);
            }
            batch.push(i);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

/// Real and padded tokens of some batches, special tokens included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PadWaste {
    /// The number of batches.
    pub batches: u64,
    /// The tokens of all sentences.
    pub tokens: u64,
    /// The tokens with padding up to the longest sentence of each batch.
    pub padded: u64,
}

impl PadWaste {
    /// The share of padding, from 0 (none) to below 1.
    pub fn share(&self) -> f64 {
        if self.padded == 0 { 0.0 } else { (self.padded - self.tokens) as f64 / self.padded as f64 }
    }
}

impl fmt::Display for PadWaste {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, tokens, padded } = self;
        let percent = 100.0 * self.share();
        write!(f, "{batches} batches, {tokens} tokens, {padded} with padding ({percent:.1} % padding)")
    }
}

/// A place in the endless stream of batches: the batch `batch` of the block `block` of the epoch `epoch`, all from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The block within the epoch, from 0.
    pub block: u64,
    /// The batch within the block, from 0. One past the last batch means the first of what follows.
    pub batch: u64,
}

impl Position {
    /// The place after this batch: what a checkpoint stores once the batch is trained on.
    #[must_use]
    pub fn after(self) -> Self {
        Self { batch: self.batch.saturating_add(1), ..self }
    }
}

/// An endless iterator over batches; each comes with its own position.
///
/// Having trained on the batch at position `p`, resume from [`p.after()`](Position::after):
///
/// ```
/// use seqweave_data::{BatchConfig, BatchPlan, Lens, Position};
///
/// let config = BatchConfig { tokens: 40, ..BatchConfig::default() };
/// let plan = BatchPlan::new(&[Lens { src: 3, tgt: 2 }; 50], config)?;
/// let mut whole = plan.clone().batches(1, Position::default())?.take(30);
/// let (stopped_at, _) = whole.nth(9).expect("endless");
/// let resumed = plan.batches(1, stopped_at.after())?.take(20);
/// assert!(whole.eq(resumed));
/// # Ok::<(), seqweave_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batches {
    plan: BatchPlan,
    seed: u64,
    next: Position,
    /// The batches of the block of `next`.
    block: Vec<Vec<u32>>,
}

impl Batches {
    /// Batches of `plan` from a position on.
    ///
    /// # Errors
    /// [`Error::Position`] where the epoch has fewer blocks, or the block fewer batches, than the position says.
    pub fn new(plan: BatchPlan, seed: u64, from: Position) -> Result<Self> {
        let Position { epoch, block, batch } = from;
        let batches = if block < plan.blocks() { plan.block(seed, epoch, block) } else { Vec::new() };
        if block >= plan.blocks() || batch > batches.len() as u64 {
            let (blocks, batches) = (plan.blocks(), batches.len());
            return Err(Error::Position { epoch, block, batch, blocks, batches });
        }
        Ok(Self { plan, seed, next: from, block: batches })
    }

    /// The position of the batch that comes next; one past the last of a block, before that block is left.
    pub fn position(&self) -> Position {
        self.next
    }

    /// Whether the batch that comes next is in another block than [`Batches::position`].
    pub fn at_end_of_block(&self) -> bool {
        self.next.batch >= self.block.len() as u64
    }

    /// Whether the batch that comes next begins an epoch; [`Batches::position`] is then its own.
    ///
    /// It may have to look into the block that follows.
    pub fn begins_epoch(&mut self) -> bool {
        let epoch = self.next.epoch;
        self.settle();
        self.next.epoch > epoch || (self.next.block == 0 && self.next.batch == 0)
    }

    /// The plan.
    pub fn plan(&self) -> &BatchPlan {
        &self.plan
    }

    /// Goes to the next block that has a batch, if this one is at its end.
    fn settle(&mut self) {
        // A plan has an example, and weights show each one sooner or later, so some block that follows has a batch.
        while self.next.batch >= self.block.len() as u64 {
            if let Lengths::Of(examples) = &self.plan.lens {
                examples.forget();
            }
            let Position { epoch, block, .. } = self.next;
            self.next = if block + 1 < self.plan.blocks() {
                Position { epoch, block: block + 1, batch: 0 }
            } else {
                Position { epoch: epoch.wrapping_add(1), block: 0, batch: 0 }
            };
            self.block = self.plan.block(self.seed, self.next.epoch, self.next.block);
        }
    }
}

impl Iterator for Batches {
    type Item = (Position, Vec<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.settle();
        let batch = &self.block[self.next.batch as usize];
        let item = (self.next, batch.iter().map(|&i| i as usize).collect());
        self.next = self.next.after();
        Some(item)
    }
}

/// The random stream of a block: ChaCha8 with the key (seed, epoch) and the block as its stream.
fn block_rng(seed: u64, epoch: u64, block: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(b"seqweave batches");
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(block);
    rng
}

/// Fisher and Yates' shuffle. It is written out because a library may change its draws with any release,
/// and a resumed run would then see another order.
fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i as u64 + 1) as usize);
    }
}

/// An even draw from `0..n` by rejection.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let fair = u64::MAX - u64::MAX % n;
    loop {
        let draw = rng.next_u64();
        if draw < fair {
            return draw % n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(n: u32) -> Vec<Lens> {
        (0..n).map(|i| Lens { src: 1 + i * 7 % 31, tgt: 1 + i * 5 % 23 }).collect()
    }

    fn plan(n: u32, tokens: usize) -> BatchPlan {
        BatchPlan::new(&lens(n), BatchConfig { tokens, ..BatchConfig::default() }).expect("a good plan")
    }

    #[test]
    fn the_order_is_frozen() {
        // A resumed run of an earlier release must see the order it began with.
        let plan = plan(12, 90);
        assert_eq!(
            plan.epoch(1, 0),
            [vec![6, 11, 2], vec![0, 5, 10, 1], vec![7, 3], vec![8], vec![9], vec![4]]
        );
        assert_eq!(
            plan.epoch(1, 1),
            [vec![8], vec![9], vec![7, 3], vec![6, 11, 2], vec![0, 5, 10, 1], vec![4]]
        );
    }

    #[test]
    fn the_order_over_small_windows_is_frozen() {
        let config = BatchConfig { tokens: 90, window: 4, ..BatchConfig::default() };
        let plan = BatchPlan::new(&lens(12), config).expect("a good plan");
        // The first batch ends one window backwards and begins the next forwards.
        assert_eq!(
            plan.epoch(1, 0),
            [vec![10, 5, 1, 6], vec![4], vec![9], vec![0, 11], vec![8], vec![3], vec![2, 7]]
        );
    }

    #[test]
    fn a_new_batch_forgets_the_lengths_of_the_last() {
        let long_then_short = [30, 1, 1, 1].map(|src| Lens { src, tgt: 1 });
        let config = BatchConfig { tokens: 35, ..BatchConfig::default() };
        let plan = BatchPlan::new(&long_then_short, config).expect("a good plan");
        assert_eq!(plan.sorted(), [vec![0], vec![1, 2, 3]]);
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let plan = plan(300, 200);
        assert_eq!(plan.epoch(1, 5), plan.clone().epoch(1, 5));
        assert_ne!(plan.epoch(1, 5), plan.epoch(1, 6));
        assert_ne!(plan.epoch(1, 5), plan.epoch(2, 5));
        assert_ne!(plan.epoch(1, 2), plan.epoch(2, 1));
    }

    #[test]
    fn batches_come_in_no_order_of_length() {
        let plan = plan(2000, 300);
        let longest: Vec<u32> = plan
            .epoch(3, 0)
            .iter()
            .map(|b| b.iter().map(|&i| plan.lens.get(i as usize).tgt).max().unwrap_or(0))
            .collect();
        let falls = longest.windows(2).filter(|two| two[1] < two[0]).count();
        assert!(falls > longest.len() / 4, "{falls} falls in {} batches", longest.len());
    }

    #[test]
    fn sorting_saves_padding() {
        let lens = lens(5000);
        let waste = |window| {
            let config = BatchConfig { tokens: 1000, window, ..BatchConfig::default() };
            let plan = BatchPlan::new(&lens, config).expect("a good plan");
            plan.waste(&plan.epoch(1, 0))
        };
        let (unsorted, sorted) = (waste(1), waste(0));
        assert_eq!(unsorted.tokens, sorted.tokens);
        assert!(sorted.share() < 0.08 && unsorted.share() > 0.3, "{sorted} against {unsorted}");
        assert!(sorted.to_string().contains("% padding)"), "{sorted}");
    }

    #[test]
    fn an_example_over_the_budget_is_alone() {
        let mut lens = lens(40);
        lens[17] = Lens { src: 500, tgt: 1 };
        let plan =
            BatchPlan::new(&lens, BatchConfig { tokens: 100, ..BatchConfig::default() }).expect("a plan");
        assert_eq!(plan.oversized(), 1);
        assert!(plan.epoch(1, 0).contains(&vec![17]));
    }

    #[test]
    fn the_sorted_order_is_for_measuring() {
        let plan = plan(50, 300);
        let order: Vec<u32> = plan.sorted().into_iter().flatten().collect();
        assert!(order.windows(2).all(|two| plan.sort_key(two[0]) <= plan.sort_key(two[1])));
        assert_eq!(order.len(), 50);
    }

    #[test]
    fn a_position_may_be_one_past_the_end_and_no_more() {
        let plan = plan(30, 200);
        let n = plan.epoch(1, 4).len() as u64;
        let mut rolled =
            plan.clone().batches(1, Position { epoch: 4, block: 0, batch: n }).expect("the end of an epoch");
        assert_eq!(rolled.next().map(|(p, _)| p), Some(Position { epoch: 5, block: 0, batch: 0 }));
        assert_eq!(rolled.position(), Position { epoch: 5, block: 0, batch: 1 });
        let message =
            plan.batches(1, Position { epoch: 4, block: 0, batch: n + 1 }).expect_err("too far").to_string();
        assert!(
            message
                .contains(&format!("cannot resume at batch {} of block 0 of epoch 4: there are {n}", n + 1))
        );
    }

    #[test]
    fn a_corpus_of_several_blocks_has_every_example_once_and_goes_on_from_anywhere() {
        let n = (2 * crate::order::BLOCK) as u32 + 100;
        let config = BatchConfig { tokens: 4000, ..BatchConfig::default() };
        let plan = BatchPlan::new(&lens(n), config).expect("a good plan");
        assert_eq!(plan.blocks(), 3);
        let sizes: Vec<u64> = (0..3).map(|block| plan.block(1, 0, block).len() as u64).collect();
        let mut seen: Vec<u32> = plan.epoch(1, 0).into_iter().flatten().collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..n));
        // The end of a block, of an epoch, and the middle of one.
        for (block, batch) in [(0, sizes[0] - 1), (2, sizes[2] - 1), (1, 17)] {
            let from = Position { epoch: 0, block, batch };
            let mut whole = plan.clone().batches(1, from).expect("a position");
            whole.next();
            let resumed = plan.clone().batches(1, from.after()).expect("a position");
            assert!(whole.take(3).eq(resumed.take(3)), "after {from:?}");
        }
        let message = plan.batches(1, Position { epoch: 0, block: 3, batch: 0 }).expect_err("too far");
        assert!(message.to_string().contains("block 3 of epoch 0"), "{message}");
    }

    #[test]
    fn meaningless_plans_are_refused() {
        let message = |lens: &[Lens], tokens| {
            let config = BatchConfig { tokens, ..BatchConfig::default() };
            BatchPlan::new(lens, config).expect_err("a bad plan").to_string()
        };
        assert!(message(&[], 100).contains("no training pair is left"));
        assert!(message(&lens(3), 0).contains("tokens: expected at least 4 tokens"));
    }

    #[test]
    fn draws_are_even() {
        let mut rng = block_rng(0, 0, 0);
        let mut bins = [0; 5];
        for _ in 0..5000 {
            bins[below(&mut rng, 5) as usize] += 1;
        }
        // A fair draw puts 1000 ± 28 (one standard deviation) into each bin.
        assert!(bins.iter().all(|n| (870..1130).contains(n)), "{bins:?}");
    }
}
