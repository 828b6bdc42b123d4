//! Toy corpora: tasks which a model of a few thousand weights learns in seconds.

use std::io;
use std::path::Path;

use crate::SplitMix64;

/// What the target of a toy pair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToyTask {
    /// The source itself.
    Copy,
    /// The source read backwards: without attention or memory it cannot be learned.
    Reverse,
}

/// A generator of toy pairs: strings over the first letters of the alphabet.
///
/// ```
/// use seqweave_testkit::Toy;
///
/// let toy = Toy { spaced: true, ..Toy::copy() };
/// for (source, target) in toy.pairs(10, 7) {
///     assert_eq!(source, target);
///     assert!(source.split(' ').all(|s| ("a"..="h").contains(&s)));
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Toy {
    /// What the target is.
    pub task: ToyTask,
    /// Size of the alphabet, `a` upwards; between 1 and 26 (others count as the nearest of them).
    pub symbols: usize,
    /// Fewest symbols in a source.
    pub min_len: usize,
    /// Most symbols in a source.
    pub max_len: usize,
    /// `a b c` for the whitespace level instead of `abc` for the character level.
    pub spaced: bool,
}

impl Toy {
    /// Copy 2 to 6 of 8 symbols.
    pub fn copy() -> Self {
        Toy { task: ToyTask::Copy, symbols: 8, min_len: 2, max_len: 6, spaced: false }
    }

    /// Reverse 2 to 6 of 8 symbols.
    pub fn reverse() -> Self {
        Toy { task: ToyTask::Reverse, ..Toy::copy() }
    }

    /// `n` pairs `(source, target)`; the same seed gives the same pairs, and a longer list starts with the shorter one.
    pub fn pairs(&self, n: usize, seed: u64) -> Vec<(String, String)> {
        let mut rng = SplitMix64::new(seed);
        (0..n).map(|_| self.pair(&mut rng)).collect()
    }

    /// The pairs as the lines of a TSV file, `source<TAB>target`.
    pub fn tsv(&self, n: usize, seed: u64) -> String {
        self.pairs(n, seed).iter().map(|(source, target)| format!("{source}\t{target}\n")).collect()
    }

    /// Writes [`Toy::tsv`] to a file.
    pub fn write_tsv(&self, path: impl AsRef<Path>, n: usize, seed: u64) -> io::Result<()> {
        std::fs::write(path, self.tsv(n, seed))
    }

    fn pair(&self, rng: &mut SplitMix64) -> (String, String) {
        let symbols = self.symbols.clamp(1, 26);
        let len = self.min_len + rng.below(self.max_len.saturating_sub(self.min_len) + 1);
        let source: Vec<char> = (0..len).map(|_| (b'a' + rng.below(symbols) as u8) as char).collect();
        let mut target = source.clone();
        match self.task {
            ToyTask::Copy => {}
            ToyTask::Reverse => target.reverse(),
        }
        (self.join(&source), self.join(&target))
    }

    fn join(&self, symbols: &[char]) -> String {
        let separator = if self.spaced { " " } else { "" };
        symbols.iter().map(char::to_string).collect::<Vec<_>>().join(separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_from_the_seed() {
        let toy = Toy::reverse();
        assert_eq!(toy.pairs(20, 3), toy.pairs(20, 3));
        assert_eq!(toy.pairs(20, 3)[..5], toy.pairs(5, 3));
        assert_ne!(toy.pairs(20, 3), toy.pairs(20, 4));
    }

    #[test]
    fn pairs_keep_the_limits_and_the_task() {
        let toy = Toy { symbols: 3, min_len: 1, max_len: 4, spaced: true, ..Toy::reverse() };
        let mut lengths = [0; 5];
        for (source, target) in toy.pairs(200, 0) {
            let mut symbols: Vec<&str> = source.split(' ').collect();
            lengths[symbols.len()] += 1;
            assert!(symbols.iter().all(|s| ["a", "b", "c"].contains(s)), "{source}");
            symbols.reverse();
            assert_eq!(symbols.join(" "), target);
        }
        assert_eq!(lengths[0], 0);
        assert!(lengths[1..].iter().all(|&n| n > 0), "{lengths:?}");
    }

    #[test]
    fn tsv_has_a_pair_a_line() {
        let toy = Toy::copy();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.tsv");
        toy.write_tsv(&path, 4, 9).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 4);
        for (line, (source, target)) in text.lines().zip(toy.pairs(4, 9)) {
            assert_eq!(line.split_once('\t'), Some((source.as_str(), target.as_str())));
        }
    }
}
