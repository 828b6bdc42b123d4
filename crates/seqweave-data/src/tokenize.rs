//! Text to tokens and back: words, or characters as a reader sees them.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A run of characters between Unicode white space; tokens are joined by one space.
    #[default]
    Word,
    /// An extended grapheme cluster (Unicode Standard Annex 29); a space is a token as well.
    Char,
}

impl Level {
    /// The tokens of `text`, borrowed from it.
    pub fn split(self, text: &str) -> impl Iterator<Item = &str> {
        let (words, chars) = match self {
            Self::Word => (Some(text.split_whitespace()), None),
            Self::Char => (None, Some(text.graphemes(true))),
        };
        words.into_iter().flatten().chain(chars.into_iter().flatten())
    }

    /// What stands between two tokens in text.
    pub fn separator(self) -> &'static str {
        match self {
            Self::Word => " ",
            Self::Char => "",
        }
    }
}

/// Text to tokens and back.
///
/// ```
/// use seqweave_data::{Level, Tokenizer};
///
/// let words = Tokenizer::new(Level::Word).with_lowercase(true);
/// assert_eq!(words.encode("  Guten   Tag "), ["guten", "tag"]);
/// assert_eq!(words.decode(["guten", "tag"]), "guten tag");
///
/// let chars = Tokenizer::new(Level::Char);
/// assert_eq!(chars.encode("né 👩‍🚀"), ["n", "é", " ", "👩‍🚀"]);
/// ```
///
/// Decoding what was encoded gives the text back at the `char` level, and the text with single spaces
/// at the `word` level; lower case stays lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tokenizer {
    /// What a token is.
    pub level: Level,
    /// Whether text is put into lower case (Unicode, no locale) before it is split.
    pub lowercase: bool,
}

impl Tokenizer {
    /// A tokenizer that keeps the case.
    pub fn new(level: Level) -> Self {
        Self { level, lowercase: false }
    }

    /// Chooses whether text is put into lower case.
    #[must_use]
    pub fn with_lowercase(mut self, lowercase: bool) -> Self {
        self.lowercase = lowercase;
        self
    }

    /// The text that is split: in lower case where that was chosen.
    pub fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.lowercase { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) }
    }

    /// The tokens of `text`.
    pub fn encode(&self, text: &str) -> Vec<String> {
        self.level.split(&self.normalize(text)).map(str::to_owned).collect()
    }

    /// The number of tokens of `text`.
    pub fn count(&self, text: &str) -> usize {
        self.level.split(&self.normalize(text)).count()
    }

    /// The text of `tokens`.
    pub fn decode<I>(&self, tokens: I) -> String
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut text = String::new();
        for (i, token) in tokens.into_iter().enumerate() {
            if i > 0 {
                text.push_str(self.level.separator());
            }
            text.push_str(token.as_ref());
        }
        text
    }

    /// The one spelling of all texts that have the same tokens: `decode(encode(text))`.
    ///
    /// Duplicates and held-out sources are compared by it.
    pub fn canonical(&self, text: &str) -> String {
        self.decode(self.level.split(&self.normalize(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_split_as_a_reader_would() {
        let cases: &[(Level, &str, &[&str])] = &[
            (Level::Word, "", &[]),
            (Level::Word, " \t\u{a0}\u{2028} ", &[]),
            (Level::Word, "a  b\u{3000}c\n", &["a", "b", "c"]),
            (Level::Word, "don't, stop.", &["don't,", "stop."]),
            (Level::Char, "", &[]),
            (Level::Char, "a b", &["a", " ", "b"]),
            (Level::Char, "e\u{301}é", &["e\u{301}", "é"]),
            (Level::Char, "🇩🇪🇫🇷", &["🇩🇪", "🇫🇷"]),
            (Level::Char, "👨‍👩‍👧x", &["👨‍👩‍👧", "x"]),
            (Level::Char, "각", &["각"]),
            (Level::Char, "שלום", &["ש", "ל", "ו", "ם"]),
            (Level::Char, "\u{e000}\u{378}", &["\u{e000}", "\u{378}"]),
        ];
        for (level, text, expected) in cases {
            assert_eq!(Tokenizer::new(*level).encode(text), *expected, "{level:?} {text:?}");
        }
    }

    #[test]
    fn lower_case_is_unicode_and_opt_in() {
        let upper = "ÄPFEL ΣΑΣ İ";
        assert_eq!(Tokenizer::new(Level::Word).encode(upper), ["ÄPFEL", "ΣΑΣ", "İ"]);
        assert_eq!(
            Tokenizer::new(Level::Word).with_lowercase(true).encode(upper),
            ["äpfel", "σας", "i\u{307}"]
        );
    }

    #[test]
    fn a_run_of_marks_is_one_token_and_a_long_word_is_many() {
        let marks = format!("a{}", "\u{301}".repeat(100_000));
        assert_eq!(Tokenizer::new(Level::Char).count(&marks), 1);
        let long = "ab".repeat(500_000);
        assert_eq!(Tokenizer::new(Level::Char).count(&long), 1_000_000);
        assert_eq!(Tokenizer::new(Level::Word).count(&long), 1);
    }

    #[test]
    fn the_configuration_names_are_word_and_char() {
        let parsed: Tokenizer =
            serde_json::from_str(r#"{"level":"char","lowercase":true}"#).expect("a tokenizer");
        assert_eq!(parsed, Tokenizer::new(Level::Char).with_lowercase(true));
        assert_eq!(serde_json::to_string(&Level::Word).expect("a name"), r#""word""#);
        assert!(serde_json::from_str::<Tokenizer>(r#"{"level":"bpe"}"#).is_err());
        assert!(serde_json::from_str::<Tokenizer>(r#"{"levl":"char"}"#).is_err());
    }
}
