//! Hashes that never change: over releases, machines and byte orders.
//!
//! The standard library's hasher may change with any release, so checkpoints and splits cannot use it.

use crate::tokenize::{Level, Tokenizer};

/// A 64-bit FNV-1a hash, fed piece by piece.
///
/// `h ← (h xor byte) · 0x100000001b3`, starting from `0xcbf29ce484222325` (Fowler, Noll, Vo).
/// It tells data apart that changed by accident; it is no defence against data made to collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fnv64(u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    /// Feeds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Feeds a number as eight bytes, the lowest first.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Feeds ids, their count first, so that neighbouring sequences cannot run together.
    pub fn ids(&mut self, ids: &[u32]) {
        self.number(ids.len() as u64);
        for id in ids {
            self.bytes(&id.to_le_bytes());
        }
    }

    /// The hash of everything fed so far.
    pub fn finish(self) -> u64 {
        self.0
    }
}

/// A hash of what a text consists of, keyed by a seed and spread evenly over all 64 bits: equal for texts that have the
/// same tokens, or words.
///
/// In a hundred million different texts, two have the same hash with a probability of 1 in 3700.
pub(crate) struct TextHash {
    hash: Fnv64,
    separator: &'static str,
    is_first: bool,
}

impl TextHash {
    pub(crate) fn new(seed: u64, level: Level) -> Self {
        let mut hash = Fnv64::default();
        hash.number(seed);
        Self { hash, separator: level.separator(), is_first: true }
    }

    /// Feeds a token.
    pub(crate) fn token(&mut self, token: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.hash.bytes(self.separator.as_bytes());
        }
        self.hash.bytes(token.as_bytes());
    }

    /// Feeds the tags of a source, which follow its tokens.
    pub(crate) fn tags(&mut self, tags: &[&str]) {
        if !tags.is_empty() {
            self.hash.bytes(b"\t");
            self.hash.bytes(tags.join(" ").as_bytes());
        }
    }

    /// FNV-1a alone leaves the high bits of short texts close together, so its result goes through the finaliser of
    /// MurmurHash3.
    pub(crate) fn finish(self) -> u64 {
        spread(self.hash.finish())
    }
}

/// The [`TextHash`] of a whole text.
pub(crate) fn source_hash(seed: u64, tokenizer: &Tokenizer, line: &str) -> u64 {
    let (text, tags) = tokenizer.text_and_tags(line);
    let mut hash = TextHash::new(seed, tokenizer.level);
    tokenizer.level.split(&tokenizer.normalize(text)).for_each(|token| hash.token(token));
    hash.tags(&tags);
    hash.finish()
}

/// The finaliser of MurmurHash3, a bijection.
pub(crate) fn spread(mut h: u64) -> u64 {
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_gives_the_published_values() {
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv64::default();
            hash.bytes(text.as_bytes());
            assert_eq!(hash.finish(), expected, "{text:?}");
        }
    }

    #[test]
    fn keyed_hashes_are_even_and_differ_by_seed() {
        let words = Tokenizer::new(Level::Word);
        let mut bins = [0usize; 16];
        for i in 0..16_000 {
            bins[(source_hash(7, &words, &format!("w{i}")) >> 60) as usize] += 1;
        }
        // A fair draw puts 1000 ± 31 (one standard deviation) into each bin.
        assert!(bins.iter().all(|n| (850..1150).contains(n)), "{bins:?}");
        assert_ne!(source_hash(1, &words, "a"), source_hash(2, &words, "a"));
        assert_eq!(source_hash(1, &words, " a  b"), source_hash(1, &words, "a b"));
        assert_ne!(source_hash(1, &words, "ab"), source_hash(1, &words, "a b"));
    }
}
