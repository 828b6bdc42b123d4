//! Text to tokens and back: words, or characters as a reader sees them.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::subword::{SubwordKind, Subwords};
use crate::vocab::SPECIALS;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A run of characters between Unicode white space; tokens are joined by one space.
    #[default]
    Word,
    /// An extended grapheme cluster (Unicode Standard Annex 29); a space is a token as well.
    Char,
    /// A piece of a word, learnt by byte-pair encoding from the training pairs.
    Bpe,
    /// A piece of a word, learnt by a unigram language model from the training pairs.
    Unigram,
}

/// The Unicode normal form into which text is put first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Text as it is.
    #[default]
    None,
    /// Characters and their marks are composed; nothing is lost.
    Nfc,
    /// Composed, and forms of the same character made one: full-width letters, ligatures, raised digits.
    Nfkc,
}

impl Level {
    /// Whether tokens are pieces that must be learnt.
    pub fn is_subword(self) -> bool {
        self.kind().is_some()
    }

    /// How pieces are learnt, for the levels of pieces.
    pub fn kind(self) -> Option<SubwordKind> {
        match self {
            Self::Word | Self::Char => None,
            Self::Bpe => Some(SubwordKind::Bpe),
            Self::Unigram => Some(SubwordKind::Unigram),
        }
    }

    /// The tokens of `text`, borrowed from it; words, at the levels of pieces.
    pub fn split(self, text: &str) -> impl Iterator<Item = &str> {
        let (words, chars) = match self {
            Self::Word | Self::Bpe | Self::Unigram => (Some(text.split_whitespace()), None),
            Self::Char => (None, Some(text.graphemes(true))),
        };
        words.into_iter().flatten().chain(chars.into_iter().flatten())
    }

    /// What stands between two tokens in text.
    pub fn separator(self) -> &'static str {
        match self {
            Self::Word | Self::Bpe | Self::Unigram => " ",
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
    /// The Unicode normal form into which text is put before anything else.
    #[serde(skip_serializing_if = "is_default")]
    pub form: Form,
    /// The pieces, at the levels of pieces once they are learnt; they have a file of their own.
    #[serde(skip)]
    pub subwords: Option<Subwords>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Tokenizer {
    /// A tokenizer that keeps the case.
    pub fn new(level: Level) -> Self {
        Self { level, ..Self::default() }
    }

    /// Chooses the Unicode normal form.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Chooses whether text is put into lower case.
    #[must_use]
    pub fn with_lowercase(mut self, lowercase: bool) -> Self {
        self.lowercase = lowercase;
        self
    }

    /// The text that is split: in its normal form and in lower case where that was chosen.
    pub fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text: Cow<'a, str> = match self.form {
            Form::None => Cow::Borrowed(text),
            Form::Nfc => Cow::Owned(text.nfc().collect()),
            Form::Nfkc => Cow::Owned(text.nfkc().collect()),
        };
        if self.lowercase { Cow::Owned(text.to_lowercase()) } else { text }
    }

    /// The tokens of `text`.
    pub fn encode(&self, text: &str) -> Vec<String> {
        // Rules of a file that do not fit a text leave it unknown; they were tried when the file was read.
        if let Some(subwords) = &self.subwords {
            return subwords.encode(text).unwrap_or_else(|_| vec![SPECIALS[1].to_owned()]);
        }
        self.level.split(&self.normalize(text)).map(str::to_owned).collect()
    }

    /// The number of tokens of `text`; of words, at the levels of pieces.
    pub fn count(&self, text: &str) -> usize {
        self.level.split(&self.normalize(text)).count()
    }

    /// The text of `tokens`.
    pub fn decode<I>(&self, tokens: I) -> String
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        if let Some(subwords) = &self.subwords {
            let tokens: Vec<I::Item> = tokens.into_iter().collect();
            let joined = || tokens.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ");
            return subwords.decode(&tokens).unwrap_or_else(|_| joined());
        }
        let mut text = String::new();
        for (i, token) in tokens.into_iter().enumerate() {
            if i > 0 {
                text.push_str(self.level.separator());
            }
            text.push_str(token.as_ref());
        }
        text
    }

    /// The one spelling of all texts that have the same tokens, or words: `decode(encode(text))`.
    ///
    /// Duplicates and held-out sources are compared by it.
    pub fn canonical(&self, text: &str) -> String {
        let text = self.normalize(text);
        let tokens: Vec<&str> = self.level.split(&text).collect();
        tokens.join(self.level.separator())
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
        assert!(serde_json::from_str::<Tokenizer>(r#"{"level":"syllable"}"#).is_err());
        assert!(serde_json::from_str::<Tokenizer>(r#"{"levl":"char"}"#).is_err());
    }
}
