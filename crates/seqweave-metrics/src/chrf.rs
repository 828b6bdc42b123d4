//! chrF and chrF++ (Popović 2015, 2017), as sacreBLEU counts them.

use crate::ngrams::{how_many, matches, ngrams};
use crate::space::{is_space, words};

/// The longest character n-grams.
const CHARS: usize = 6;

/// Recall counts twice as much as precision: `β² = 4`.
const FACTOR: f64 = 4.0;

/// Sums a sentence has: for each order, n-grams of the output, of the reference, and matches.
pub(crate) fn width(word_order: usize) -> usize {
    3 * (CHARS + word_order)
}

/// `[output, reference, matches]` for each order, of the reference with the best score.
pub(crate) fn sums(output: &str, references: &[&str], word_order: usize, lowercase: bool) -> Vec<f64> {
    let output = Text::of(output, lowercase);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for reference in references {
        let sums = output.against(&Text::of(reference, lowercase), word_order);
        let score = f_score(&sums);
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, sums));
        }
    }
    best.map_or_else(|| vec![0.0; width(word_order)], |(_, sums)| sums)
}

/// The F score of the mean precision and the mean recall, over the orders that both sides have; 0 to 100.
pub(crate) fn f_score(sums: &[f64]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in sums.chunks_exact(3) {
        let (output, reference, matches) = (order[0], order[1], order[2]);
        if output > 0.0 && reference > 0.0 {
            precision += matches / output;
            recall += matches / reference;
            orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    (precision, recall) = (precision / orders, recall / orders);
    100.0 * ((1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall))
}

/// A line as characters without white space and as words.
struct Text {
    chars: Vec<char>,
    words: Vec<String>,
}

impl Text {
    fn of(line: &str, lowercase: bool) -> Self {
        let line = if lowercase { line.to_lowercase() } else { line.to_owned() };
        let chars = line.chars().filter(|&c| !is_space(c)).collect();
        Text { chars, words: words(&line).flat_map(without_punctuation).collect() }
    }

    fn against(&self, reference: &Text, word_order: usize) -> Vec<f64> {
        let mut sums = Vec::with_capacity(width(word_order));
        let mut push = |output: u64, reference: u64, matches: u64| {
            // Without n-grams in the reference, those of the output do not count against it.
            let output = if reference == 0 { 0 } else { output };
            sums.extend([output, reference, matches].map(|count| count as f64));
        };
        for n in 1..=CHARS {
            let hits = matches(&ngrams(&self.chars, n), &ngrams(&reference.chars, n));
            push(how_many(self.chars.len(), n), how_many(reference.chars.len(), n), hits);
        }
        for n in 1..=word_order {
            let hits = matches(&ngrams(&self.words, n), &ngrams(&reference.words, n));
            push(how_many(self.words.len(), n), how_many(reference.words.len(), n), hits);
        }
        sums
    }
}

/// A word with one ASCII punctuation mark taken off its end, or else off its start; `(hi)` gives `(hi` and `)`.
fn without_punctuation(word: &str) -> Vec<String> {
    let mut chars = word.chars();
    match (chars.next(), chars.next_back()) {
        (Some(_), Some(last)) if last.is_ascii_punctuation() => {
            let (head, tail) = word.split_at(word.len() - last.len_utf8());
            vec![head.to_owned(), tail.to_owned()]
        }
        (Some(first), Some(_)) if first.is_ascii_punctuation() => {
            let (head, tail) = word.split_at(first.len_utf8());
            vec![head.to_owned(), tail.to_owned()]
        }
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_leaves_one_end_of_a_word() {
        let rows: [(&str, &[&str]); 5] = [
            ("(hi)", &["(hi", ")"]),
            ("\"a", &["\"", "a"]),
            (".", &["."]),
            ("..", &[".", "."]),
            ("ä„", &["ä„"]),
        ];
        for (word, want) in rows {
            assert_eq!(without_punctuation(word), want, "{word}");
        }
    }

    #[test]
    fn equal_texts_score_100_and_nothing_scores_0() {
        let score = |a: &str, b: &[&str]| f_score(&sums(a, b, 2, false));
        assert_eq!(score("Das ist gut.", &["Das ist gut."]), 100.0);
        assert_eq!(score("", &["Das"]), 0.0);
        assert_eq!(score("", &[""]), 0.0);
        assert_eq!(score("ab", &["xy", "ab"]), 100.0);
    }
}
