//! Alignments of words, from those of tokens.

use std::collections::BTreeSet;

use crate::{Output, Translation, Translator};
use seqweave_data::Tokenizer;

impl Translator {
    /// The words of the source that the words of an output look at most, as pairs `(source, target)` in the order of the
    /// target. A word is what stands between white space in the text; two are linked where any of their tokens are.
    pub fn word_alignment(&self, translation: &Translation, output: &Output) -> Vec<(usize, usize)> {
        let source = words(&self.model().source.tokenizer, translation.source_text());
        let target = words(&self.model().target.tokenizer, &output.tokens);
        let of_words = |(s, t): (usize, usize)| Some(((*target.get(t)?)?, (*source.get(s)?)?));
        let links: BTreeSet<(usize, usize)> =
            translation.alignment(output).into_iter().filter_map(of_words).collect();
        links.into_iter().map(|(t, s)| (s, t)).collect()
    }
}

/// The word that each token is part of: that of the text of all tokens up to it which is the last. None for a token that
/// is nothing but white space.
fn words(tokenizer: &Tokenizer, tokens: &[String]) -> Vec<Option<usize>> {
    let up_to = |end: usize| tokenizer.decode(&tokens[..end]).split_whitespace().count().checked_sub(1);
    (0..tokens.len()).map(|at| if tokens[at].trim().is_empty() { None } else { up_to(at + 1) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_data::{Form, Level, SubwordConfig, SubwordKind, Subwords};

    fn of(tokenizer: &Tokenizer, text: &str) -> Vec<Option<usize>> {
        words(tokenizer, &tokenizer.encode(text))
    }

    #[test]
    fn tokens_are_counted_by_the_words_they_make() {
        let word = Tokenizer::new(Level::Word);
        assert_eq!(of(&word, "a  bc d"), [Some(0), Some(1), Some(2)]);
        let char = Tokenizer::new(Level::Char);
        assert_eq!(of(&char, "ab c"), [Some(0), Some(0), None, Some(1)]);
        let config = SubwordConfig {
            kind: SubwordKind::Bpe,
            pieces: 300,
            byte_fallback: true,
            form: Form::Nfc,
            lowercase: false,
        };
        let mut pieces = Tokenizer::new(Level::Bpe);
        pieces.subwords = Some(Subwords::train(["low, lower, lowest", "new newer newest"], &config).unwrap());
        let tokens = pieces.encode("lower slow, 雪");
        let words = words(&pieces, &tokens);
        assert_eq!(words.iter().flatten().copied().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
        assert!(words.is_sorted() && words.len() > 5, "{tokens:?} {words:?}");
        let comma = tokens.iter().position(|token| token.contains(',')).unwrap();
        assert_eq!(words[comma], Some(1), "a mark belongs to the word it is written to");
    }
}
