//! Tokens to numbers in the order in which they are first seen.

/// Different texts, each with its number.
///
/// The texts lie one after the other in one buffer, and the table holds only numbers: a token costs its bytes and about
/// forty more. The hash is fast and always the same, and is no defence against tokens made to collide.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: String,
    /// Where each text ends, and its hash.
    tokens: Vec<(usize, u64)>,
    /// Open addressing: the number of a token plus one, or 0, and the upper half of its hash, so that a slot of another
    /// token is passed by without a look at it.
    table: Vec<(u32, u32)>,
}

impl Interner {
    /// How many different texts there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of a number.
    #[inline]
    pub(crate) fn text(&self, id: u32) -> &str {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.tokens[id - 1].0 };
        &self.texts[start..self.tokens[id].0]
    }

    /// The text of a number, and its hash, for [`Interner::add_hashed`] of another.
    pub(crate) fn hashed(&self, id: u32) -> (&str, u64) {
        (self.text(id), self.tokens[id as usize].1)
    }

    /// All texts in the order of their numbers.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.tokens.len() as u32).map(|id| self.text(id))
    }

    /// The number of a text, a new one if it was not seen before.
    pub(crate) fn add(&mut self, text: &str) -> u32 {
        self.add_hashed(text, hash(text.as_bytes()))
    }

    /// The same where the hash is known.
    pub(crate) fn add_hashed(&mut self, text: &str, hash: u64) -> u32 {
        // Three quarters full is as full as linear probing likes.
        if self.tokens.len() * 4 >= self.table.len() * 3 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.table[at] {
                (0, _) => break,
                (id, half) if half == upper(hash) && self.text(id - 1) == text => return id - 1,
                _ => at = (at + 1) & mask,
            }
        }
        self.texts.push_str(text);
        self.tokens.push((self.texts.len(), hash));
        // Four billion different tokens would need 200 GB before this could overflow.
        self.table[at] = (self.tokens.len() as u32, upper(hash));
        self.tokens.len() as u32 - 1
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1 << 12);
        self.table.clear();
        self.table.resize(size, (0, 0));
        for (&(_, hash), id) in self.tokens.iter().zip(1..) {
            let mut at = hash as usize & (size - 1);
            while self.table[at].0 != 0 {
                at = (at + 1) & (size - 1);
            }
            self.table[at] = (id, upper(hash));
        }
    }
}

/// The half of a hash that does not choose the slot.
fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash of eight bytes at a time: multiplied to 128 bits and folded.
fn hash(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |h: u64, word: u64| {
        let wide = u128::from(h ^ word) * u128::from(K | 1);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let mut h = (bytes.len() as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        h = fold(h, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    // Shifted into a register: a copy to the stack read back as one word would stall.
    let last = words.remainder().iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
    fold(fold(h, last), 0xc4ce_b9fe_1a85_ec53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_first_sight() {
        let mut interner = Interner::default();
        let words: Vec<String> = (0..10_000).map(|i| format!("w{}", i * i % 4999)).collect();
        let ids: Vec<u32> = words.iter().map(|word| interner.add(word)).collect();
        assert!(ids.iter().zip(&words).all(|(id, word)| interner.text(*id) == word));
        let mut seen = std::collections::HashMap::new();
        for (word, id) in words.iter().zip(&ids) {
            let next = seen.len() as u32;
            assert_eq!(seen.entry(word).or_insert(next), id);
        }
        assert_eq!((interner.len(), interner.texts().count()), (seen.len(), seen.len()));
        assert_eq!(interner.add(""), interner.len() as u32 - 1, "the empty text is a text");
    }

    #[test]
    fn hashes_spread_in_the_low_bits() {
        let mut bins = [0usize; 64];
        (0..6400).for_each(|i| bins[hash(format!("{i}").as_bytes()) as usize % 64] += 1);
        // A fair draw puts 100 ± 10 (one standard deviation) into each bin.
        assert!(bins.iter().all(|n| (50..150).contains(n)), "{bins:?}");
    }
}
