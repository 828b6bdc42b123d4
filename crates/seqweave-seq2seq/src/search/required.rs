//! Phrases that an output must contain.
//!
//! After Post & Vilar 2018, "Fast lexically constrained decoding with dynamic beam allocation": hypotheses are held in
//! *banks* by how many tokens of required phrases they have said, and the places of the beam are shared among banks.

use super::Query;
use super::rules::{Rules, check_phrases};
use crate::{Error, Result};

/// The required phrases of one sentence: none is part of another.
pub(super) struct Required<'a> {
    phrases: Vec<&'a [u32]>,
    /// Tokens of all phrases.
    tokens: usize,
}

/// How far a beginning of an output is with the required phrases.
pub(super) struct Met {
    /// Tokens of the phrases it contains, and of the longest beginning of another that it ends in.
    pub tokens: usize,
    /// For each phrase that it does not contain, the token that takes it further.
    pub next: Vec<u32>,
}

impl<'a> Required<'a> {
    /// The phrases of sentence `sentence`, which must be possible under `rules`.
    pub fn new(query: &Query<'a>, sentence: usize, rules: &Rules, vocab: usize) -> Result<Self> {
        check_phrases("required", Some(sentence), query.required, vocab)?;
        let mut phrases: Vec<&[u32]> = Vec::new();
        for (number, phrase) in query.required.iter().enumerate() {
            if let Some(forbidden) = rules.forbidden_in(phrase) {
                return Err(Error::Contradiction { sentence, number, required: phrase.clone(), forbidden });
            }
            if !phrases.iter().any(|other| contains(other, phrase)) {
                phrases.retain(|other| !contains(phrase, other));
                phrases.push(phrase);
            }
        }
        let tokens = phrases.iter().map(|phrase| phrase.len()).sum();
        Ok(Self { phrases, tokens })
    }

    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// The number of tokens to be said: that of banks, less one.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// How far `history` is.
    pub fn met(&self, history: &[u32]) -> Met {
        let (mut tokens, mut longest, mut next) = (0, 0, Vec::new());
        for phrase in &self.phrases {
            if contains(history, phrase) {
                tokens += phrase.len();
                continue;
            }
            let said = (0..phrase.len()).rev().find(|&n| history.ends_with(&phrase[..n])).unwrap_or(0);
            longest = longest.max(said);
            next.push(phrase[said]);
        }
        next.sort_unstable();
        next.dedup();
        Met { tokens: tokens + longest, next }
    }

    /// Shares the `width` places of a beam among candidates, best first, given as the bank of each: round by round, each
    /// bank that has a candidate left gets a place, the fullest bank first. Returns those that got one, best first.
    ///
    /// So the hypothesis that is furthest always lives on, and goes further: one of the candidates is its next token.
    pub fn share(banks: &[usize], width: usize) -> Vec<usize> {
        let mut queues: std::collections::BTreeMap<usize, std::collections::VecDeque<usize>> =
            Default::default();
        for (candidate, &bank) in banks.iter().enumerate() {
            queues.entry(bank).or_default().push_back(candidate);
        }
        let mut placed = Vec::with_capacity(width);
        while placed.len() < width && !queues.is_empty() {
            for queue in queues.values_mut().rev() {
                if placed.len() < width {
                    placed.extend(queue.pop_front());
                }
            }
            queues.retain(|_, queue| !queue.is_empty());
        }
        placed.sort_unstable();
        placed
    }
}

/// Whether `text` contains `phrase`.
fn contains(text: &[u32], phrase: &[u32]) -> bool {
    text.windows(phrase.len()).any(|window| window == phrase)
}

#[cfg(test)]
mod tests {
    use super::super::SearchOptions;
    use super::*;

    const VOCAB: usize = 20;

    fn with<R>(phrases: &[&[u32]], forbidden: &[u32], f: impl FnOnce(Result<Required<'_>>) -> R) -> R {
        let phrases: Vec<Vec<u32>> = phrases.iter().map(|phrase| phrase.to_vec()).collect();
        let forbidden = if forbidden.is_empty() { vec![] } else { vec![forbidden.to_vec()] };
        let rules = Rules::new(&SearchOptions::default(), &forbidden, VOCAB).unwrap();
        let query = Query { required: &phrases, ..Query::default() };
        f(Required::new(&query, 3, &rules, VOCAB))
    }

    #[test]
    fn progress_is_counted_in_tokens() {
        with(&[&[4, 5, 6], &[7], &[4, 8]], &[], |required| {
            let required = required.unwrap();
            let met = |history: &[u32]| {
                let Met { tokens, next } = required.met(history);
                (tokens, next)
            };
            assert_eq!(required.tokens(), 6);
            assert_eq!(met(&[]), (0, vec![4, 7]));
            assert_eq!(met(&[4]), (1, vec![5, 7, 8]));
            assert_eq!(met(&[4, 5]), (2, vec![4, 6, 7]));
            assert_eq!(met(&[4, 5, 9]), (0, vec![4, 7]), "what was begun is lost");
            assert_eq!(met(&[4, 5, 4]), (1, vec![5, 7, 8]));
            assert_eq!(met(&[4, 5, 6, 9]), (3, vec![4, 7]));
            assert_eq!(met(&[4, 5, 6, 9, 7, 4]), (5, vec![8]));
            assert_eq!(met(&[4, 8, 7, 4, 5, 6]), (6, vec![]));
        });
    }

    #[test]
    fn the_next_token_always_takes_the_furthest_further() {
        let phrases: [&[u32]; 4] = [&[4, 4, 5], &[5, 4, 4, 6], &[6, 5], &[4, 6, 4]];
        with(&phrases, &[], |required| {
            let required = required.unwrap();
            let mut rng = seqweave_testkit::SplitMix64::new(5);
            for _ in 0..2000 {
                let history: Vec<u32> = (0..rng.below(9)).map(|_| 4 + rng.below(4) as u32).collect();
                let met = required.met(&history);
                let further =
                    |&token: &u32| required.met(&[&history[..], &[token]].concat()).tokens > met.tokens;
                assert!(met.next.iter().any(further) || met.next.is_empty(), "{history:?}");
                assert_eq!(met.next.is_empty(), met.tokens == required.tokens(), "{history:?}");
            }
        });
    }

    #[test]
    fn a_phrase_within_another_needs_nothing_more() {
        with(&[&[5], &[4, 5], &[4, 5], &[5, 4], &[3 + 4, 4, 5]], &[], |required| {
            assert_eq!(required.unwrap().phrases, [&[5, 4][..], &[7, 4, 5]]);
        });
    }

    #[test]
    fn the_impossible_is_refused() {
        let text = |phrases: &[&[u32]], forbidden: &[u32]| {
            with(phrases, forbidden, |required| {
                required.err().map(|error| error.to_string()).unwrap_or_default()
            })
        };
        assert!(text(&[&[4], &[]], &[]).starts_with("required phrase 2 of sentence 4 is empty"));
        assert!(text(&[&[99]], &[]).contains("required row 4 holds id 99"));
        let found = text(&[&[8], &[4, 5, 6]], &[5, 6]);
        assert!(found.starts_with("required phrase 2 of sentence 4, [4, 5, 6], contains [5, 6]"), "{found}");
    }

    #[test]
    fn places_are_shared_round_by_round() {
        let share = |banks: &[usize], width| Required::share(banks, width);
        assert_eq!(share(&[0, 0, 0, 0], 3), [0, 1, 2]);
        assert_eq!(share(&[0, 0, 0, 2, 1, 2], 3), [0, 3, 4]);
        assert_eq!(share(&[0, 0, 0, 2, 1, 2], 4), [0, 3, 4, 5]);
        assert_eq!(share(&[0, 0, 0, 2, 1, 2], 5), [0, 1, 3, 4, 5]);
        assert_eq!(share(&[0, 0, 0, 2], 1), [3]);
        assert_eq!(share(&[0, 1], 5), [0, 1]);
        assert_eq!(share(&[], 5), [0; 0]);
    }
}
