//! Which characters are pieces of their own, where the text has more of them than there may be pieces.

use std::collections::{BTreeMap, HashSet};

use super::{SubwordConfig, SubwordKind};
use crate::error::{Error, Result};

/// Words with the number of times that they stand in the text.
pub(super) type Words = BTreeMap<String, u64>;

/// The words within which pieces are learnt, so that the pieces are at most as many as `config` allows.
///
/// A trainer makes a piece of every character that it sees, however few pieces it is asked for.
/// So where there are too many, and bytes spell what no piece covers, words are cut at the rarest characters, which are left
/// out: the trainer sees neither them nor neighbours that do not touch in the text.
///
/// # Errors
/// [`Error::TooFewPieces`]: the characters do not fit and bytes do not spell them, or not even those of bytes fit.
pub(super) fn fit(words: Words, config: &SubwordConfig) -> Result<Words> {
    let counts = characters(&words);
    let taken = taken(config);
    let room = config.pieces.saturating_sub(taken);
    let too_few = |needed: usize, why: String, help| Error::TooFewPieces {
        name: "pieces".to_owned(),
        allowed: config.pieces,
        needed: taken + needed,
        why,
        help,
    };
    if counts.len() <= room {
        Ok(words)
    } else if !config.byte_fallback {
        let why = format!("the text has {} different characters, each of them a piece", counts.len());
        Err(too_few(counts.len(), why, ", or set `byte_fallback`, which spells rare characters in bytes"))
    } else if room == 0 {
        Err(too_few(1, "256 pieces spell bytes, and <unk> is one more".to_owned(), ""))
    } else {
        Ok(without_rare(&words, counts, room))
    }
}

/// The pieces that are neither characters nor learnt, and those that a trainer wants beside the characters.
fn taken(config: &SubwordConfig) -> usize {
    let bytes = if config.byte_fallback { 256 } else { 0 };
    // The trainer of the unigram model looks at the limit after each piece that is no character, so one must be allowed.
    let beside = usize::from(config.kind == SubwordKind::Unigram);
    bytes + 1 + beside
}

/// How often each character stands in the text.
fn characters(words: &Words) -> BTreeMap<char, u64> {
    let mut counts = BTreeMap::new();
    for (word, count) in words {
        word.chars().for_each(|character| *counts.entry(character).or_default() += count);
    }
    counts
}

/// The parts of the words between characters that are not among the `most` most frequent ones; of equally frequent ones, the
/// first in the order of Unicode are kept, so that the same text always gives the same.
fn without_rare(words: &Words, counts: BTreeMap<char, u64>, most: usize) -> Words {
    let mut by_count: Vec<(char, u64)> = counts.into_iter().collect();
    by_count.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let kept: HashSet<char> = by_count.into_iter().take(most).map(|(character, _)| character).collect();
    let mut parts = Words::new();
    for (word, count) in words {
        for part in word.split(|c| !kept.contains(&c)).filter(|part| !part.is_empty()) {
            *parts.entry(part.to_owned()).or_default() += count;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subword::Subwords;
    use crate::tokenize::Form;

    const KINDS: [SubwordKind; 2] = [SubwordKind::Bpe, SubwordKind::Unigram];

    fn config(kind: SubwordKind, pieces: usize, byte_fallback: bool) -> SubwordConfig {
        SubwordConfig { kind, pieces, byte_fallback, form: Form::None, lowercase: false }
    }

    /// Lines of 300 different characters, the earlier the rarer.
    fn many_characters() -> Vec<String> {
        let from = |start: u32| (0x4E00 + start..0x4E00 + 300).filter_map(char::from_u32).collect();
        (0..300).step_by(10).map(from).collect()
    }

    #[test]
    fn a_limit_holds_however_many_characters_there_are() {
        let texts = many_characters();
        for kind in KINDS {
            // With the mark of a word's beginning there are 301 characters.
            for room in [1, 2, 40, 299, 300, 301, 302, 320] {
                let pieces = taken(&config(kind, 0, true)) + room;
                let subwords = Subwords::train(&texts, &config(kind, pieces, true)).unwrap();
                assert!(subwords.pieces().len() <= pieces, "{kind:?} {room}: {subwords:?}");
                for text in &texts {
                    assert_eq!(subwords.decode(&subwords.encode(text)), *text, "{kind:?} {room}");
                }
                let again = Subwords::train(texts.iter().rev(), &config(kind, pieces, true)).unwrap();
                assert!(again == subwords, "{kind:?} {room}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_number_that_would() {
        let texts = many_characters();
        for kind in KINDS {
            let needed = taken(&config(kind, 0, false)) + 301;
            for pieces in [0, 1, 40, needed - 1] {
                let error = Subwords::train(&texts, &config(kind, pieces, false)).unwrap_err().to_string();
                let words =
                    format!("pieces is {pieces}, and {needed} is the least that will do: the text has 301");
                assert!(error.starts_with(&words) && error.contains("byte_fallback"), "{error}");
            }
            let subwords = Subwords::train(&texts, &config(kind, needed, false)).unwrap();
            assert!(subwords.pieces().len() <= needed, "{kind:?}: {subwords:?}");
            let least = taken(&config(kind, 0, true)) + 1;
            let error = Subwords::train(&texts, &config(kind, least - 1, true)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{least} is the least")) && !error.contains("byte_fallback"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_rarest_characters_go_and_their_neighbours_do_not_meet() {
        let words = Words::from([("abcab".to_owned(), 2), ("xb".to_owned(), 1)]);
        let kept = without_rare(&words, characters(&words), 2);
        assert_eq!(kept, Words::from([("ab".to_owned(), 4), ("b".to_owned(), 1)]));
    }
}
