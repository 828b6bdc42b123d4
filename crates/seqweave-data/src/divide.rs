//! The place of a pair: training, validation, test, or left out because its source is in one of the others.
//!
//! It is found from the hash of the source alone, so that a corpus can be divided while it streams by. Groups of pairs
//! with one source are ordered by that hash; the test set is taken from the low end, the dev set from the high end.
//! A share is a bound on the hash. For a number of pairs the sizes of the outermost groups must be known first, which
//! takes a reading of the corpus and memory for some times as many groups as pairs are wanted.

use std::collections::{BTreeMap, HashSet};

use crate::error::{Error, Result};
use crate::split::{Amount, SplitConfig};

/// Where a pair belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Train,
    Dev,
    Test,
    /// Nowhere: its source is in a dev or test file.
    HeldOut,
}

/// Calls back with the hash of every pair's source; fails where the corpus cannot be read.
pub(crate) type Hashes<'a> = dyn Fn(&mut dyn FnMut(u64)) -> Result<()> + 'a;

/// Finds the place of every pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct Divider {
    test: Taken,
    dev: Taken,
    held_out: HashSet<u64>,
}

/// The groups of one end that a set takes.
#[derive(Debug, Clone, Default)]
enum Taken {
    #[default]
    None,
    Share(f64),
    Groups(HashSet<u64>),
}

impl Divider {
    /// Chooses the groups of both sets; `every` is read only if a number of pairs is wanted.
    pub(crate) fn choose(config: &SplitConfig, every: &Hashes<'_>) -> Result<Self> {
        let mut divider = Self::default();
        let cap = |pairs: u64| usize::try_from(pairs.saturating_mul(4)).unwrap_or(usize::MAX).max(1 << 16);
        if let (Amount::Pairs(0) | Amount::Share(_), Amount::Pairs(0) | Amount::Share(_)) =
            (config.test, config.dev)
        {
            divider.test = Taken::share(config.test);
            divider.dev = Taken::share(config.dev);
            return Ok(divider);
        }
        let wanted = |amount| if let Amount::Pairs(pairs) = amount { pairs } else { 0 };
        let mut most = cap(wanted(config.test).max(wanted(config.dev)));
        loop {
            let mut ends = Ends { most, ..Ends::default() };
            every(&mut |hash| ends.see(hash))?;
            let lowest = ends.low.iter().map(|(hash, pairs)| (*hash, *pairs));
            let (test, short) = take(config.test, lowest, |_| true);
            divider.test = test;
            // What went to the test set is not there for the dev set, although at the other end.
            let highest = ends.high.iter().rev().map(|(turned, pairs)| (*turned, *pairs));
            let (dev, short_too) = take(config.dev, highest, |hash| !divider.test.has_low(hash));
            divider.dev = dev;
            if !((short && ends.is_cut[0]) || (short_too && ends.is_cut[1])) {
                return Ok(divider);
            }
            most = most.saturating_mul(8);
        }
    }

    /// Also leaves out of training what has one of these sources.
    pub(crate) fn hold_out(&mut self, sources: impl Iterator<Item = u64>) {
        self.held_out.extend(sources);
    }

    pub(crate) fn place(&self, hash: u64) -> Place {
        if self.test.has_low(hash) {
            Place::Test
        } else if self.dev.has_high(hash) {
            Place::Dev
        } else if self.held_out.contains(&hash) {
            Place::HeldOut
        } else {
            Place::Train
        }
    }
}

impl Taken {
    fn share(amount: Amount) -> Self {
        match amount {
            Amount::Share(share) if share > 0.0 => Self::Share(share),
            _ => Self::None,
        }
    }

    fn has_low(&self, hash: u64) -> bool {
        self.has(hash, place(hash))
    }

    fn has_high(&self, hash: u64) -> bool {
        self.has(hash, 1.0 - place(hash))
    }

    fn has(&self, hash: u64, place: f64) -> bool {
        match self {
            Self::None => false,
            Self::Share(share) => place < *share,
            Self::Groups(groups) => groups.contains(&hash),
        }
    }
}

/// The place of a hash on a line from 0 to 1.
fn place(hash: u64) -> f64 {
    // The high 53 bits are what an f64 holds exactly; the half keeps both ends away from 0 and 1.
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// The outermost groups and their sizes.
#[derive(Default)]
struct Ends {
    low: BTreeMap<u64, u64>,
    high: BTreeMap<u64, u64>,
    most: usize,
    /// Whether there were more groups than are held, at each end.
    is_cut: [bool; 2],
}

impl Ends {
    fn see(&mut self, hash: u64) {
        // A group that was dropped never comes back, since the bound only moves outwards: the sizes held are exact.
        let is_low =
            self.low.len() < self.most || self.low.last_key_value().is_some_and(|(last, _)| hash <= *last);
        if is_low {
            *self.low.entry(hash).or_default() += 1;
            if self.low.len() > self.most {
                self.low.pop_last();
                self.is_cut[0] = true;
            }
        } else {
            self.is_cut[0] = true;
        }
        let is_high = self.high.len() < self.most
            || self.high.first_key_value().is_some_and(|(first, _)| hash >= *first);
        if is_high {
            *self.high.entry(hash).or_default() += 1;
            if self.high.len() > self.most {
                self.high.pop_first();
                self.is_cut[1] = true;
            }
        } else {
            self.is_cut[1] = true;
        }
    }
}

/// Takes whole groups in the given order until the amount is reached, and says whether it was not.
fn take(
    amount: Amount,
    groups: impl Iterator<Item = (u64, u64)>,
    is_free: impl Fn(u64) -> bool,
) -> (Taken, bool) {
    let Amount::Pairs(mut left) = amount else { return (Taken::share(amount), false) };
    let mut taken = HashSet::new();
    for (hash, pairs) in groups.filter(|(hash, _)| is_free(*hash)) {
        if left == 0 {
            break;
        }
        // A group that is too large is passed over; a smaller one may still fit.
        if pairs <= left {
            left -= pairs;
            taken.insert(hash);
        }
    }
    (Taken::Groups(taken), left > 0)
}

/// That no part which was asked for came out empty; `found` are the pairs of training, dev and test.
pub(crate) fn check_parts(config: &SplitConfig, found: [usize; 3], every: &Hashes<'_>) -> Result<()> {
    let [train, dev, test] = found;
    let asked = [
        (
            "test",
            config.test,
            test,
            "change `data.split.test`, a number of pairs or a share, or name a file, `data.test`",
        ),
        (
            "dev",
            config.dev,
            dev,
            "change `data.split.dev`, a number of pairs or a share, or name a file, `data.dev`",
        ),
    ];
    let empty = asked.into_iter().find(|(_, amount, found, _)| *found == 0 && !amount.is_zero());
    let (set, asked, help) = match empty {
        Some((set, amount, _, help)) => (set, amount.to_string(), help),
        None if train == 0 => {
            ("train", "what dev and test leave".to_owned(), "lower `dev` and `test`, or add data")
        }
        None => return Ok(()),
    };
    let (mut pairs, mut groups) = (0, HashSet::new());
    every(&mut |hash| {
        pairs += 1;
        groups.insert(hash);
    })?;
    Err(Error::EmptySplit { set, asked, pairs, groups: groups.len(), help })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::spread;

    #[test]
    fn few_groups_in_memory_choose_as_all_would() {
        // Groups of 70 pairs, and few of one: an amount of 10 needs groups far from the end.
        let hashes: Vec<u64> =
            (0..3000u64).flat_map(|i| vec![spread(i + 1); if i % 300 == 0 { 1 } else { 70 }]).collect();
        let every = |see: &mut dyn FnMut(u64)| {
            hashes.iter().for_each(|hash| see(*hash));
            Ok(())
        };
        let all = |turn: bool| {
            let mut sizes = BTreeMap::new();
            hashes.iter().for_each(|hash| *sizes.entry(*hash).or_insert(0u64) += 1);
            let mut groups: Vec<(u64, u64)> = sizes.into_iter().collect();
            if turn {
                groups.reverse();
            }
            groups
        };
        let ends = |most| {
            let mut ends = Ends { most, ..Ends::default() };
            every(&mut |hash| ends.see(hash)).unwrap();
            ends
        };
        let few = ends(50);
        assert!(few.low.iter().map(|(h, n)| (*h, *n)).eq(all(false).into_iter().take(50)));
        assert!(few.high.iter().rev().map(|(h, n)| (*h, *n)).eq(all(true).into_iter().take(50)));
        assert_eq!(few.is_cut, [true, true]);
        assert_eq!(ends(3000).is_cut, [false, false]);

        let config = SplitConfig { dev: Amount::Pairs(4), test: Amount::Pairs(4), seed: 1 };
        let divider = Divider::choose(&config, &every).unwrap();
        let count = |place| hashes.iter().filter(|hash| divider.place(**hash) == place).count();
        assert_eq!((count(Place::Test), count(Place::Dev)), (4, 4));
    }
}
