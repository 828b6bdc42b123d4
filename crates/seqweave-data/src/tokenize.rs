//! Text to tokens and back: words, or characters as a reader sees them.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::subword::{SubwordKind, Subwords};

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
    /// A piece of a word, by the rules of the file that `tokenizer` names; without one, those of the shards or of `train.init_from`.
    Pieces,
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
    /// Whether tokens are pieces of words.
    pub fn is_subword(self) -> bool {
        matches!(self, Self::Bpe | Self::Unigram | Self::Pieces)
    }

    /// Whether its pieces are learnt by a model of this name; see [`Subwords::model`].
    pub(crate) fn is_of(self, model: &str) -> bool {
        match self {
            Self::Word | Self::Char | Self::Pieces => false,
            Self::Bpe => model == "BPE",
            Self::Unigram => model == "Unigram",
        }
    }

    /// How pieces are learnt, for the levels whose pieces are.
    pub fn kind(self) -> Option<SubwordKind> {
        match self {
            Self::Word | Self::Char | Self::Pieces => None,
            Self::Bpe => Some(SubwordKind::Bpe),
            Self::Unigram => Some(SubwordKind::Unigram),
        }
    }

    /// The tokens of `text`, borrowed from it; words, at the levels of pieces.
    pub fn split(self, text: &str) -> impl Iterator<Item = &str> {
        let (words, chars) = match self {
            Self::Word | Self::Bpe | Self::Unigram | Self::Pieces => (Some(text.split_whitespace()), None),
            Self::Char => (None, Some(text.graphemes(true))),
        };
        words.into_iter().flatten().chain(chars.into_iter().flatten())
    }

    /// What stands between two tokens in text.
    pub fn separator(self) -> &'static str {
        match self {
            Self::Word | Self::Bpe | Self::Unigram | Self::Pieces => " ",
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
    /// The characters between the tags of a line, which then is `text<TAB>tags`.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Option<String>,
    /// The pieces, at the levels of pieces once they are learnt or read; they have a file of their own.
    #[serde(skip)]
    pub subwords: Option<Subwords>,
}

/// What a token that is a tag begins with. No token of text does and goes on.
pub(crate) const TAG: char = '\t';

/// Whether a token is a tag.
pub(crate) fn is_tag(token: &str) -> bool {
    token.strip_prefix(TAG).is_some_and(|tag| !tag.is_empty())
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

    /// Chooses the characters between the tags of a line, which then is `text<TAB>tags`; `None` for lines without tags.
    #[must_use]
    pub fn with_tags(mut self, separators: Option<String>) -> Self {
        self.tags = separators;
        self
    }

    /// The text and the tags of a line: all of it and none, unless there are tags.
    pub fn text_and_tags<'a>(&self, line: &'a str) -> (&'a str, Vec<&'a str>) {
        match (&self.tags, line.rsplit_once('\t')) {
            (Some(separators), Some((text, tags))) => {
                let tags = tags.split(|c| separators.contains(c)).map(str::trim);
                (text, tags.filter(|tag| !tag.is_empty()).collect())
            }
            _ => (line, Vec::new()),
        }
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

    /// The tokens of `text`, and then its tags, each after a tab.
    pub fn encode(&self, text: &str) -> Vec<String> {
        let (text, tags) = self.text_and_tags(text);
        let mut tokens = self.encode_text(text);
        tokens.extend(tags.into_iter().map(|tag| format!("{TAG}{tag}")));
        tokens
    }

    /// The tokens of a text without tags.
    fn encode_text(&self, text: &str) -> Vec<String> {
        if let Some(subwords) = &self.subwords {
            return subwords.encode(text);
        }
        self.level.split(&self.normalize(text)).map(str::to_owned).collect()
    }

    /// The number of tokens of `text`; at the levels of pieces, of words and of characters of scripts without spaces.
    pub fn count(&self, text: &str) -> usize {
        let text = self.normalize(self.text_and_tags(text).0);
        let tokens = self.level.split(&text);
        if self.level.is_subword() { tokens.map(count_without_spaces).sum() } else { tokens.count() }
    }

    /// The text of `tokens`, and after a tab the tags among them.
    pub fn decode<I>(&self, tokens: I) -> String
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let Some(separators) = &self.tags else { return self.decode_text(tokens) };
        let tokens: Vec<I::Item> = tokens.into_iter().collect();
        let (tags, tokens): (Vec<&str>, Vec<&str>) =
            tokens.iter().map(AsRef::as_ref).partition(|token| is_tag(token));
        let tags: Vec<&str> = tags.into_iter().filter_map(|tag| tag.strip_prefix(TAG)).collect();
        let separator = separators.chars().next().map(String::from).unwrap_or_default();
        let text = self.decode_text(tokens);
        if tags.is_empty() { text } else { format!("{text}{TAG}{}", tags.join(&separator)) }
    }

    /// The text of tokens that are no tags.
    fn decode_text<I>(&self, tokens: I) -> String
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        if let Some(subwords) = &self.subwords {
            return subwords.decode(&tokens.into_iter().collect::<Vec<I::Item>>());
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
        let (text, tags) = self.text_and_tags(text);
        let text = self.normalize(text);
        let tokens: Vec<&str> = self.level.split(&text).collect();
        let text = tokens.join(self.level.separator());
        if tags.is_empty() { text } else { format!("{text}{TAG}{}", tags.join(" ")) }
    }
}

/// Whether a character is of a script that puts no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Chinese
/// characters, kana, bopomofo, Yi.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0FFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x19E0..=0x19FF | 0x2E80..=0x2FDF | 0x3005..=0x3007
        | 0x3021..=0x312F | 0x31A0..=0x31BF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA000..=0xA4CF
        | 0xA9E0..=0xA9FF | 0xAA60..=0xAA7F | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x1B000..=0x1B16F | 0x20000..=0x3FFFF)
}

/// Whether most characters of some texts are of scripts that put no spaces between words, which the level of words would
/// make one token a line.
pub fn is_mostly_unspaced<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    let (mut unspaced, mut all) = (0u64, 0u64);
    for character in texts.into_iter().flat_map(str::chars).filter(|c| c.is_alphanumeric()) {
        unspaced += u64::from(is_unspaced(character));
        all += 1;
    }
    2 * unspaced > all
}

/// The length of a word: 1, or where characters stand for words or parts of them, one for each as a reader sees them.
pub(crate) fn count_without_spaces(word: &str) -> usize {
    if word.is_ascii() || !word.contains(is_unspaced) {
        return 1;
    }
    let (mut count, mut within) = (0, false);
    for character in word.graphemes(true) {
        let alone = character.contains(is_unspaced);
        // A run of other letters between such characters is one word.
        count += usize::from(alone || !within);
        within = !alone;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_after_a_tab_and_go_their_own_way() {
        let tags = |level, separators: &str| {
            Tokenizer::new(level).with_lowercase(true).with_tags(Some(separators.into()))
        };
        let chars = tags(Level::Char, ";(),");
        let line = "Ab a\tV;LGSPEC1(IND, PST)";
        assert_eq!(chars.encode(line), ["a", "b", " ", "a", "\tV", "\tLGSPEC1", "\tIND", "\tPST"]);
        assert_eq!(chars.decode(chars.encode(line)), "ab a\tV;LGSPEC1;IND;PST");
        assert_eq!((chars.count(line), chars.canonical(line)), (4, "ab a\tV LGSPEC1 IND PST".to_owned()));
        let words = tags(Level::Word, ";");
        assert_eq!(words.encode("A  b\t;N;"), ["a", "b", "\tN"]);
        assert_eq!(words.encode("a b"), ["a", "b"]);
        assert_eq!(words.encode("a\t"), ["a"]);
        // Without tags a tab is white space.
        assert_eq!(Tokenizer::new(Level::Word).encode("a\tN"), ["a", "N"]);
    }

    #[test]
    fn scripts_without_spaces_are_counted_by_character_at_the_levels_of_pieces() {
        let cases = [
            ("", 0),
            ("two words", 2),
            ("我爱深度学习", 6),
            ("用GPT-4 翻译, 好!", 7),
            ("ภาษาไทย", 7),
            ("한국어 말", 2),
        ];
        for (text, count) in cases {
            assert_eq!(Tokenizer::new(Level::Bpe).count(text), count, "{text}");
            assert_eq!(Tokenizer::new(Level::Word).count(text), text.split_whitespace().count(), "{text}");
        }
    }

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
