//! Which examples come together: an epoch as a sequence of blocks, each found from its number alone.
//!
//! A corpus is cut into chunks of [`CHUNK`] neighbouring examples, and the chunks of an epoch, in an order keyed by seed
//! and epoch, into blocks of about [`BLOCK`] examples. Only a block is ever shuffled as a whole. So
//!
//! - a corpus of one block, up to half a million pairs, is shuffled as a whole;
//! - a larger one needs memory for one block, and reads its files in runs of [`CHUNK`] examples instead of one by one;
//! - any block of any epoch is found at once: the order of the chunks is a permutation that is computed number by
//!   number (a Feistel network over the number's halves, walked until the result is in range) and never stored.
//!
//! The price is that neighbours in a file of more than a block come into the same block; they do not come into the same
//! batch more often than others of that block. A file that is sorted by domain or length should be shuffled once.
//!
//! A corpus of weight `w` has its chunks `⌊w⌋` times in an epoch, and once more thinned to the share `f = w − ⌊w⌋`:
//! example `i` is kept in epoch `e` where `⌊(e+1)·f + u⌋ > ⌊e·f + u⌋`, with `u` a draw from 0 to 1 by seed and `i`. So it
//! is shown `w·n ± 1` times in any `n` epochs.

use crate::shard::Part;

/// Neighbouring examples that stay in one block.
const CHUNK: u64 = 1 << 12;
/// Examples that are shuffled together.
pub(crate) const BLOCK: u64 = 1 << 19;

/// The examples of one corpus.
#[derive(Debug, Clone)]
struct Span {
    /// The number of the first.
    first: u64,
    examples: u64,
    chunks: u64,
    /// How often all of them are shown.
    full: u64,
    /// The share of them that is shown once more.
    share: f64,
}

impl Span {
    /// Chunks in an epoch.
    fn slots(&self) -> u64 {
        self.chunks * (self.full + u64::from(self.share > 0.0))
    }
}

/// The blocks of an epoch over some corpora.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    spans: Vec<Span>,
    slots: u64,
    blocks: u64,
}

impl Order {
    pub(crate) fn new(parts: &[Part]) -> Self {
        let mut first = 0;
        let span = |part: &Part| {
            let (full, share) = (part.weight.floor(), part.weight.fract());
            let span = Span {
                first,
                examples: part.examples,
                chunks: part.examples.div_ceil(CHUNK),
                full: full as u64,
                share,
            };
            first += part.examples;
            span
        };
        let spans: Vec<Span> = parts.iter().map(span).collect();
        let slots = spans.iter().map(Span::slots).sum::<u64>();
        Self { spans, slots, blocks: slots.div_ceil(BLOCK / CHUNK).max(1) }
    }

    /// Blocks of an epoch.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The examples of a block, in the order of the corpora.
    pub(crate) fn block(&self, seed: u64, epoch: u64, block: u64) -> Vec<u32> {
        let border =
            |block: u64| (u128::from(block) * u128::from(self.slots) / u128::from(self.blocks)) as u64;
        let mut slots: Vec<u64> = (border(block)..border(block + 1)).collect();
        if self.blocks > 1 {
            let key = mix(mix(seed ^ 0x7365_7177_6561_7665).wrapping_add(epoch));
            slots.iter_mut().for_each(|slot| *slot = permute(key, self.slots, *slot));
            slots.sort_unstable();
        }
        let mut examples = Vec::new();
        for slot in slots {
            self.chunk(slot, seed, epoch, &mut examples);
        }
        examples
    }

    /// Adds the examples of one chunk.
    fn chunk(&self, mut slot: u64, seed: u64, epoch: u64, examples: &mut Vec<u32>) {
        for span in &self.spans {
            let slots = span.slots();
            if slot >= slots {
                slot -= slots;
                continue;
            }
            let (copy, chunk) = (slot / span.chunks, slot % span.chunks);
            let from = span.first + chunk * CHUNK;
            let to = (from + CHUNK).min(span.first + span.examples);
            let all = (from..to).map(|i| i as u32);
            if copy < span.full {
                examples.extend(all);
            } else {
                examples.extend(all.filter(|&i| is_kept(span.share, seed, epoch, i)));
            }
            return;
        }
    }
}

/// Whether a thinned corpus shows example `i` in this epoch.
fn is_kept(share: f64, seed: u64, epoch: u64, i: u32) -> bool {
    let draw = mix(mix(seed).wrapping_add(u64::from(i)));
    let phase = (draw >> 11) as f64 / (1u64 << 53) as f64;
    ((epoch + 1) as f64 * share + phase).floor() > (epoch as f64 * share + phase).floor()
}

/// A permutation of `0..n`, of which each number is computed alone.
fn permute(key: u64, n: u64, x: u64) -> u64 {
    let half = (u64::BITS - (n - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let mut y = x;
    loop {
        let (mut left, mut right) = (y >> half, y & mask);
        for round in 0..6u64 {
            let turned = mix(key ^ mix(round << 32 | right)) & mask;
            (left, right) = (right, left ^ turned);
        }
        y = left << half | right;
        // Outside the range: the walk goes on, and comes back into it, since it began inside.
        if y < n {
            return y;
        }
    }
}

/// A bijection of 64 bits in which every bit of the result depends on every bit given (the finaliser of SplitMix64).
fn mix(x: u64) -> u64 {
    let mut h = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(order: &Order, n: usize, seed: u64, epochs: u64) -> Vec<u32> {
        let mut counts = vec![0; n];
        for epoch in 0..epochs {
            for block in 0..order.blocks() {
                order.block(seed, epoch, block).iter().for_each(|&i| counts[i as usize] += 1);
            }
        }
        counts
    }

    #[test]
    fn a_permutation_hits_every_number_once() {
        for n in [1, 2, 3, 7, 64, 65, 1000] {
            let mut found: Vec<u64> = (0..n).map(|x| permute(5, n, x)).collect();
            assert!(n < 64 || found.windows(2).filter(|two| two[1] < two[0]).count() as u64 > n / 4);
            found.sort_unstable();
            assert!(found.into_iter().eq(0..n), "{n}");
        }
    }

    #[test]
    fn a_small_corpus_is_one_block_in_its_order() {
        let order = Order::new(&[Part { examples: 10_000, weight: 1.0 }]);
        assert_eq!(order.blocks(), 1);
        assert!(order.block(1, 3, 0).into_iter().eq(0..10_000));
    }

    #[test]
    fn a_large_corpus_has_every_example_once_in_blocks_of_one_size() {
        let n = 3 * BLOCK + 12_345;
        let order = Order::new(&[Part { examples: n, weight: 1.0 }]);
        assert_eq!(order.blocks(), 4);
        assert!(counts(&order, n as usize, 1, 1).iter().all(|count| *count == 1));
        let sizes: Vec<usize> = (0..4).map(|block| order.block(1, 0, block).len()).collect();
        assert!(sizes.iter().all(|size| (350_000..=BLOCK as usize).contains(size)), "{sizes:?}");
        assert_ne!(order.block(1, 0, 0), order.block(1, 1, 0), "every epoch has blocks of its own");
        assert_ne!(order.block(1, 0, 0), order.block(2, 0, 0));
    }

    #[test]
    fn weights_are_kept_over_the_epochs() {
        let (n, m) = (5000, 3000);
        let parts = [Part { examples: n, weight: 2.25 }, Part { examples: m, weight: 0.1 }];
        let order = Order::new(&parts);
        for epochs in [1, 7, 20] {
            let counts = counts(&order, (n + m) as usize, 9, epochs);
            let (often, seldom) = counts.split_at(n as usize);
            for (counts, weight) in [(often, 2.25), (seldom, 0.1)] {
                let exact = weight * epochs as f64;
                let near = |count: &u32| (f64::from(*count) - exact).abs() < 1.0;
                assert!(counts.iter().all(near), "{epochs} epochs of weight {weight}");
            }
        }
    }

    #[test]
    fn nothing_to_show_is_an_empty_block() {
        let order = Order::new(&[Part { examples: 0, weight: 1.0 }]);
        assert_eq!((order.blocks(), order.block(1, 0, 0).len()), (1, 0));
    }
}
