//! Which symbols are taken for which: counts over edit alignments.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{EditOp, align, distance};

/// Counts of right and wrong symbols over a corpus.
///
/// ```
/// use seqweave_metrics::Confusions;
///
/// let mut confusions = Confusions::default();
/// confusions.add(&["B", "AA", "TH"], &[&["B", "AE", "TH"]]);
/// let worst = &confusions.wrong()[0];
/// assert_eq!((worst.reference.as_deref(), worst.output.as_deref()), (Some("AE"), Some("AA")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusions {
    /// (symbol of the reference, symbol of the output): `None` where there is none on that side.
    pairs: BTreeMap<(Option<String>, Option<String>), u64>,
    /// How often a symbol stands in the references that were aligned.
    seen: BTreeMap<String, u64>,
}

/// One way to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The symbol of the reference; `None` for one that is too many.
    pub reference: Option<String>,
    /// The symbol of the output; `None` for one that is missing.
    pub output: Option<String>,
    /// How often.
    pub count: u64,
    /// How often the symbol stands in the references; 0 for one that is too many.
    pub of: u64,
}

impl Confusions {
    /// Adds an output, aligned with the nearest of its references, the first of those equally near.
    pub fn add(&mut self, output: &[&str], references: &[&[&str]]) {
        let Some(reference) = references.iter().min_by_key(|reference| distance(output, reference)) else {
            return;
        };
        let (mut expected, mut found) = (reference.iter(), output.iter());
        for op in align(output, reference) {
            let expected = if op == EditOp::Insert { None } else { expected.next() };
            let found = if op == EditOp::Delete { None } else { found.next() };
            let owned = |symbol: Option<&&str>| symbol.map(|symbol| (*symbol).to_owned());
            *self.pairs.entry((owned(expected), owned(found))).or_default() += 1;
            if let Some(symbol) = expected {
                *self.seen.entry((*symbol).to_owned()).or_default() += 1;
            }
        }
    }

    /// How often the output has `output` where the reference has `reference`.
    pub fn count(&self, reference: &str, output: &str) -> u64 {
        self.pairs.get(&(Some(reference.to_owned()), Some(output.to_owned()))).copied().unwrap_or(0)
    }

    /// How often a symbol stands in the references.
    pub fn seen(&self, symbol: &str) -> u64 {
        self.seen.get(symbol).copied().unwrap_or(0)
    }

    /// Different symbols of the references.
    pub fn symbols(&self) -> usize {
        self.seen.len()
    }

    /// The ways to be wrong, the most frequent first; those equally frequent in the order of their symbols.
    pub fn wrong(&self) -> Vec<Confusion> {
        let wrong = self.pairs.iter().filter(|((reference, output), _)| reference != output);
        let mut wrong: Vec<Confusion> = wrong
            .map(|((reference, output), &count)| Confusion {
                of: reference.as_deref().map_or(0, |symbol| self.seen(symbol)),
                reference: reference.clone(),
                output: output.clone(),
                count,
            })
            .collect();
        wrong.sort_by_key(|confusion| std::cmp::Reverse(confusion.count));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_be_wrong_is_counted_against_the_nearest_reference() {
        let mut confusions = Confusions::default();
        confusions.add(&["a", "x"], &[&["q", "q"], &["a", "b"]]);
        confusions.add(&["x"], &[&["b"]]);
        confusions.add(&["a", "b", "c"], &[&["a", "b"]]);
        confusions.add(&["a"], &[&["a", "d"]]);
        let wrong: Vec<_> = confusions
            .wrong()
            .into_iter()
            .map(|c| (c.reference.unwrap_or_default(), c.output.unwrap_or_default(), c.count, c.of))
            .collect();
        let of =
            |reference: &str, output: &str, count, of| (reference.to_owned(), output.to_owned(), count, of);
        assert_eq!(wrong, [of("b", "x", 2, 3), of("", "c", 1, 0), of("d", "", 1, 1)]);
        assert_eq!((confusions.count("b", "x"), confusions.count("a", "a"), confusions.seen("a")), (2, 3, 3));
        assert_eq!(confusions.symbols(), 3);
    }

    #[test]
    fn an_output_without_references_counts_nothing() {
        let mut confusions = Confusions::default();
        confusions.add(&["a"], &[]);
        assert_eq!(confusions, Confusions::default());
    }
}
