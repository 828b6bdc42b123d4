//! What may not be said, and what is made less probable: the same for every sentence of a search.

use std::collections::HashMap;

use super::SearchOptions;
use crate::{BOS, EOS, Error, PAD, Result, UNK};

/// Marks a token that may not be said among log-probabilities.
pub(super) const BARRED: f64 = f64::NAN;

/// The rules of one search.
pub(super) struct Rules {
    /// Tokens that are never said.
    pub never: Vec<u32>,
    forbidden: Forbidden,
    no_repeat_ngram: usize,
    repetition_penalty: f64,
}

impl Rules {
    /// Rules from options in range and forbidden phrases of tokens below `vocab`.
    pub fn new(options: &SearchOptions, forbidden: &[Vec<u32>], vocab: usize) -> Result<Self> {
        check_phrases("forbidden", None, forbidden, vocab)?;
        let mut never = vec![PAD, BOS];
        if options.no_unk {
            never.push(UNK);
        }
        Ok(Self {
            never,
            forbidden: Forbidden::new(forbidden),
            no_repeat_ngram: options.no_repeat_ngram,
            repetition_penalty: options.repetition_penalty,
        })
    }

    /// Whether they need the log-probabilities of all tokens, and not only of the best.
    pub fn need_all(&self) -> bool {
        !self.forbidden.lengths.is_empty() || self.no_repeat_ngram > 0 || self.repetition_penalty != 1.0
    }

    /// Applies the repetition penalty to log-probabilities, and bars what is never said and what would complete a
    /// forbidden phrase.
    pub fn amend(&self, history: &[u32], x: &mut [f64]) {
        if self.repetition_penalty != 1.0 {
            let mut said = history.to_vec();
            said.sort_unstable();
            said.dedup();
            said.into_iter().for_each(|id| x[id as usize] *= self.repetition_penalty);
        }
        self.never.iter().for_each(|&id| x[id as usize] = BARRED);
        self.forbidden.bar(history, x);
    }

    /// Bars what would say the last n tokens a second time.
    pub fn bar_repeated_ngrams(&self, history: &[u32], x: &mut [f64]) {
        let n = self.no_repeat_ngram;
        if n == 0 || history.len() < n {
            return;
        }
        let last = &history[history.len() + 1 - n..];
        for ngram in history.windows(n).filter(|ngram| ngram[..n - 1] == *last) {
            x[ngram[n - 1] as usize] = BARRED;
        }
    }

    /// The first forbidden phrase or never said token that `phrase` contains.
    pub fn forbidden_in(&self, phrase: &[u32]) -> Option<Vec<u32>> {
        if let Some(id) = phrase.iter().find(|id| self.never.contains(id)) {
            return Some(vec![*id]);
        }
        (0..phrase.len()).find_map(|end| self.forbidden.ending(&phrase[..end], phrase[end]))
    }
}

/// Phrases by all their tokens but the last.
struct Forbidden {
    last: HashMap<Vec<u32>, Vec<u32>>,
    /// Lengths of the keys, each once.
    lengths: Vec<usize>,
}

impl Forbidden {
    fn new(phrases: &[Vec<u32>]) -> Self {
        let mut last: HashMap<Vec<u32>, Vec<u32>> = HashMap::new();
        for phrase in phrases {
            if let Some((end, start)) = phrase.split_last() {
                last.entry(start.to_vec()).or_default().push(*end);
            }
        }
        let mut lengths: Vec<usize> = last.keys().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self { last, lengths }
    }

    /// The phrases' beginnings that `history` ends in, each with the tokens that would complete a phrase.
    fn begun<'a>(&'a self, history: &'a [u32]) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
        let beginnings = self.lengths.iter().filter_map(|n| history.get(history.len().checked_sub(*n)?..));
        beginnings.filter_map(|start| Some((start, &self.last.get(start)?[..])))
    }

    fn bar(&self, history: &[u32], x: &mut [f64]) {
        for (_, ends) in self.begun(history) {
            ends.iter().for_each(|&id| x[id as usize] = BARRED);
        }
    }

    /// The phrase that `token` after `history` completes.
    fn ending(&self, history: &[u32], token: u32) -> Option<Vec<u32>> {
        let (start, _) = self.begun(history).find(|(_, ends)| ends.contains(&token))?;
        Some([start, &[token]].concat())
    }
}

/// Refuses a phrase that is empty, or holds an id that the model alone may place or does not have. `list` is what the
/// phrases are, `sentence` whose they are.
pub(super) fn check_phrases(
    list: &'static str,
    sentence: Option<usize>,
    phrases: &[Vec<u32>],
    vocab: usize,
) -> Result<()> {
    for (number, phrase) in phrases.iter().enumerate() {
        if phrase.is_empty() {
            return Err(Error::EmptyPhrase { list, sentence, number });
        }
        check_ids(list, sentence.unwrap_or(number), phrase, vocab)?;
    }
    Ok(())
}

/// Refuses ids that the model alone may place or does not have.
pub(super) fn check_ids(side: &'static str, row: usize, ids: &[u32], vocab: usize) -> Result<()> {
    for (position, &id) in ids.iter().enumerate() {
        if [PAD, BOS, EOS].contains(&id) {
            return Err(Error::Reserved { side, row, position, id });
        }
        if id as usize >= vocab {
            return Err(Error::Vocabulary { side, row, position, id, vocab });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: usize = 9;

    fn rules(options: SearchOptions, forbidden: &[&[u32]]) -> Rules {
        let forbidden: Vec<Vec<u32>> = forbidden.iter().map(|phrase| phrase.to_vec()).collect();
        Rules::new(&options, &forbidden, VOCAB).unwrap()
    }

    /// The tokens that may not be said after `history`.
    fn barred(rules: &Rules, history: &[u32]) -> Vec<u32> {
        let mut x = vec![-1.0; VOCAB];
        rules.amend(history, &mut x);
        rules.bar_repeated_ngrams(history, &mut x);
        (0..).zip(x).filter(|(id, x)| x.is_nan() && ![PAD, BOS].contains(id)).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_forbidden_phrase_cannot_be_completed() {
        let rules = rules(SearchOptions::default(), &[&[4], &[5, 6], &[5, 7], &[6, 5, 8], &[5, 5, 5]]);
        assert_eq!(barred(&rules, &[]), [4]);
        assert_eq!(barred(&rules, &[5]), [4, 6, 7]);
        assert_eq!(barred(&rules, &[6, 5]), [4, 6, 7, 8]);
        assert_eq!(barred(&rules, &[5, 5]), [4, 5, 6, 7]);
        assert_eq!(barred(&rules, &[6, 8]), [4]);
        assert_eq!(rules.forbidden_in(&[8, 5, 7, 6]), Some(vec![5, 7]));
        assert_eq!(rules.forbidden_in(&[8, 7, 5]), None);
        assert_eq!(rules.forbidden_in(&[8, BOS]), Some(vec![BOS]));
    }

    #[test]
    fn an_ngram_is_not_said_twice() {
        let of = |n| rules(SearchOptions { no_repeat_ngram: n, ..Default::default() }, &[]);
        assert_eq!(barred(&of(1), &[4, 6, 4]), [4, 6]);
        assert_eq!(barred(&of(2), &[4, 6, 4]), [6]);
        assert_eq!(barred(&of(2), &[4, 6, 4, 7, 4]), [6, 7]);
        assert_eq!(barred(&of(2), &[4]), [0; 0]);
        assert_eq!(barred(&of(3), &[4, 4, 4, 4]), [4]);
        assert_eq!(barred(&of(3), &[4, 5, 6, 4, 5]), [6]);
        assert_eq!(barred(&of(0), &[4, 4, 4]), [0; 0]);
    }

    #[test]
    fn the_penalty_falls_once_on_what_was_said() {
        let rules = rules(SearchOptions { repetition_penalty: 1.5, ..Default::default() }, &[]);
        let mut x = vec![-2.0; VOCAB];
        rules.amend(&[5, 7, 5], &mut x);
        assert_eq!(x[EOS as usize..], [-2.0, -2.0, -3.0, -2.0, -3.0, -2.0]);
    }

    #[test]
    fn the_unknown_can_be_barred() {
        assert_eq!(barred(&rules(SearchOptions { no_unk: true, ..Default::default() }, &[]), &[]), [UNK]);
    }

    #[test]
    fn a_phrase_that_cannot_be_is_refused() {
        let refused = |phrase: &[u32]| {
            let phrases = [vec![4], phrase.to_vec()];
            Rules::new(&SearchOptions::default(), &phrases, VOCAB).err().unwrap().to_string()
        };
        assert!(refused(&[]).starts_with("forbidden phrase 2 is empty"), "{}", refused(&[]));
        assert!(refused(&[4, EOS]).contains("forbidden row 2 holds the reserved id 3 at position 2"));
        assert!(refused(&[9]).contains("forbidden row 2 holds id 9 at position 1"));
    }
}
