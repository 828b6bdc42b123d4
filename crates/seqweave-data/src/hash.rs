//! Hashes that never change: over releases, machines and byte orders.
//!
//! The standard library's hasher may change with any release, so checkpoints and splits cannot use it.

use crate::batch::Example;

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

/// A hash of examples and their order, for checkpoints: a run resumes only on the data it began with.
///
/// ```
/// use seqweave_data::{Example, fingerprint};
///
/// let data = [Example { src: vec![4, 5], tgt: vec![6] }];
/// assert_eq!(format!("{:016x}", fingerprint(&data)), "37bf125c2493f530");
/// ```
pub fn fingerprint(examples: &[Example]) -> u64 {
    let mut hash = Fnv64::default();
    hash.number(examples.len() as u64);
    for example in examples {
        hash.ids(&example.src);
        hash.ids(&example.tgt);
    }
    hash.finish()
}

/// A hash of text keyed by a seed, spread evenly over all 64 bits.
///
/// FNV-1a alone leaves the high bits of short texts close together, so its result goes through the
/// finaliser of MurmurHash3.
pub(crate) fn keyed(seed: u64, text: &str) -> u64 {
    let mut hash = Fnv64::default();
    hash.number(seed);
    hash.bytes(text.as_bytes());
    let mut h = hash.finish();
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
    fn a_fingerprint_sees_every_change() {
        let example = |src: &[u32], tgt: &[u32]| Example { src: src.to_vec(), tgt: tgt.to_vec() };
        let data = vec![example(&[4, 5], &[6]), example(&[7], &[8, 9])];
        let base = fingerprint(&data);
        assert_eq!(base, fingerprint(&data.clone()));
        let others = [
            vec![],
            vec![data[0].clone()],
            vec![data[1].clone(), data[0].clone()],
            vec![example(&[4], &[5, 6]), data[1].clone()],
            vec![example(&[4, 5], &[7]), data[1].clone()],
            vec![example(&[4, 5], &[6, 7]), example(&[], &[8, 9])],
        ];
        for other in others {
            assert_ne!(base, fingerprint(&other), "{other:?}");
        }
    }

    #[test]
    fn keyed_hashes_are_even_and_differ_by_seed() {
        let mut bins = [0usize; 16];
        for i in 0..16_000 {
            bins[(keyed(7, &format!("w{i}")) >> 60) as usize] += 1;
        }
        // A fair draw puts 1000 ± 31 (one standard deviation) into each bin.
        assert!(bins.iter().all(|n| (850..1150).contains(n)), "{bins:?}");
        assert_ne!(keyed(1, "a"), keyed(2, "a"));
    }
}
