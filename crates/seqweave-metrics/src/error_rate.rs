//! Error rates: over whole items (WER of pronunciation and inflection) and over tokens (PER, CER).

use std::cmp::Reverse;

use serde::Serialize;

use crate::{EditCounts, Error, Result};

/// Items that are wrong: `wrong / items`, where an item is wrong if its output equals none of its references.
///
/// This is the *word* error rate of pronunciation and inflection work, where one item is one word.
/// (Speech recognition calls the token error rate of a sentence by the same name; that one is [`TokenErrors`] over words.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ItemErrors {
    /// Items whose output equals none of the references.
    pub wrong: u64,
    /// Items counted.
    pub items: u64,
}

impl ItemErrors {
    /// Counts one item; returns whether it is right.
    ///
    /// # Errors
    ///
    /// [`Error::NoReference`]: `references` is empty. The item is then not counted.
    pub fn add<T: Eq, R: AsRef<[T]>>(&mut self, output: &[T], references: &[R]) -> Result<bool> {
        if references.is_empty() {
            return Err(no_reference(output));
        }
        let right = references.iter().any(|reference| reference.as_ref() == output);
        self.items += 1;
        self.wrong += u64::from(!right);
        Ok(right)
    }

    /// `wrong / items`, between 0 and 1; `None` over no items.
    pub fn rate(&self) -> Option<f64> {
        ratio(self.wrong, self.items)
    }

    /// Adds the items of another.
    pub fn merge(&mut self, other: &Self) {
        self.wrong += other.wrong;
        self.items += other.items;
    }
}

/// Token errors: `Σ distance(output, closest reference) / Σ |closest reference|`.
///
/// Over phonemes this is the phoneme error rate, over characters the character error rate.
///
/// The closest reference of an item has the smallest distance, not the smallest rate.
/// Ties go to the longest of them and then to the one with fewest insertions, so that the sums do not depend on the
/// order of the references.
/// The rate exceeds 1 when outputs are much longer than references.
/// An empty reference adds its insertions above and nothing below; an empty output costs the shortest reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TokenErrors {
    /// Operations from closest reference to output, summed over all items.
    pub counts: EditCounts,
    /// Items counted.
    pub items: u64,
}

impl TokenErrors {
    /// Counts one item; returns the operations from its closest reference.
    ///
    /// # Errors
    ///
    /// [`Error::NoReference`]: `references` is empty. The item is then not counted.
    pub fn add<T: Eq, R: AsRef<[T]>>(&mut self, output: &[T], references: &[R]) -> Result<EditCounts> {
        let closest = references
            .iter()
            .map(|reference| EditCounts::between(output, reference.as_ref()))
            .min_by_key(|counts| (counts.errors(), Reverse(counts.reference_len()), counts.insertions))
            .ok_or_else(|| no_reference(output))?;
        self.counts.merge(&closest);
        self.items += 1;
        Ok(closest)
    }

    /// Errors over reference tokens; `None` over no reference tokens, even if there are insertions.
    pub fn rate(&self) -> Option<f64> {
        ratio(self.counts.errors(), self.counts.reference_len())
    }

    /// Adds the items of another.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.items += other.items;
    }
}

/// `part / whole`, and nothing over nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn no_reference<T>(output: &[T]) -> Error {
    Error::NoReference { output: format!("{} tokens", output.len()) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_reference_makes_an_item_right() {
        let mut wer = ItemErrors::default();
        assert!(wer.add(b"abc", &[b"abd".to_vec(), b"abc".to_vec()]).unwrap());
        assert!(!wer.add(b"ab", &[b"abd", b"abc"]).unwrap());
        assert!(wer.add(b"", &[b""]).unwrap(), "an empty output of an empty reference is right");
        assert!(!wer.add(b"", &[b"a"]).unwrap());
        assert_eq!((wer.wrong, wer.items, wer.rate()), (2, 4, Some(0.5)));
    }

    #[test]
    fn closest_reference_by_distance_then_length() {
        // output, references, errors, length of the reference chosen
        let rows: [(&str, &[&str], u64, u64); 7] = [
            ("abc", &["xyz", "abd"], 1, 3),
            ("ab", &["a", "abc"], 1, 3), // a tie: the longer one, the smaller rate
            ("ab", &["abc", "a"], 1, 3), // in either order
            ("", &["abc", "a"], 1, 1),
            ("ab", &[""], 2, 0), // an empty reference: insertions, no tokens
            ("", &[""], 0, 0),
            ("abcdef", &["a"], 5, 1), // a rate above 1
        ];
        for (output, references, errors, length) in rows {
            let mut per = TokenErrors::default();
            let counts = per.add(output.as_bytes(), references).unwrap();
            assert_eq!(
                (counts.errors(), counts.reference_len()),
                (errors, length),
                "{output} {references:?}"
            );
            assert_eq!(per.rate(), ratio(errors, length));
            assert_eq!((per.counts, per.items), (counts, 1));
        }
    }

    #[test]
    fn nothing_over_nothing() {
        assert_eq!(ItemErrors::default().rate(), None);
        assert_eq!(TokenErrors::default().rate(), None);
        let mut per = TokenErrors::default();
        per.add(b"a", &[b""]).unwrap();
        assert_eq!((per.rate(), per.counts.insertions), (None, 1));
    }

    #[test]
    fn an_item_needs_a_reference() {
        let none: [&[u8]; 0] = [];
        let (mut wer, mut per) = (ItemErrors::default(), TokenErrors::default());
        let want = Error::NoReference { output: "2 tokens".into() };
        assert_eq!(wer.add(b"ab", &none), Err(want.clone()));
        assert_eq!(per.add(b"ab", &none), Err(want));
        assert_eq!((wer.items, per.items), (0, 0));
    }

    proptest! {
        #[test]
        fn order_and_sharding_change_nothing(
            items in vec((vec(0u8..3, 0..5), vec(vec(0u8..3, 0..5), 1..4)), 0..8),
            cut in 0usize..8,
        ) {
            let mut whole = (ItemErrors::default(), TokenErrors::default());
            for (output, references) in &items {
                whole.0.add(output, references).unwrap();
                whole.1.add(output, references).unwrap();
            }
            // The second shard first, backwards, with its references backwards.
            let (head, tail) = items.split_at(cut.min(items.len()));
            let mut merged = (ItemErrors::default(), TokenErrors::default());
            for shard in [tail, head] {
                let mut part = (ItemErrors::default(), TokenErrors::default());
                for (output, references) in shard.iter().rev() {
                    let references: Vec<_> = references.iter().rev().collect();
                    part.0.add(output, &references).unwrap();
                    part.1.add(output, &references).unwrap();
                }
                merged.0.merge(&part.0);
                merged.1.merge(&part.1);
            }
            prop_assert_eq!(merged, whole);
        }
    }
}
