//! Tokens to ids and back.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{EntryFlaw, Error, Result};
use crate::subword::Subwords;
use crate::tokenize::{Tokenizer, is_tag};

/// The id of `<pad>`, which fills the short rows of a batch.
pub const PAD: u32 = 0;
/// The id of `<unk>`, which stands for every token outside the vocabulary.
pub const UNK: u32 = 1;
/// The id of `<s>`, which begins a target sequence.
pub const BOS: u32 = 2;
/// The id of `</s>`, which ends a sequence.
pub const EOS: u32 = 3;

/// The special tokens in the order of their ids.
pub const SPECIALS: [&str; 4] = ["<pad>", "<unk>", "<s>", "</s>"];

/// The version of the JSON form.
const VERSION: u32 = 1;

/// How often each token was seen.
#[derive(Debug, Clone, Default)]
pub struct TokenCounter {
    counts: HashMap<String, u64>,
    total: u64,
}

impl TokenCounter {
    /// Counts one token.
    pub fn add(&mut self, token: &str) {
        self.total += 1;
        match self.counts.get_mut(token) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(token.to_owned(), 1);
            }
        }
    }

    /// Counts one token so many times.
    pub(crate) fn add_times(&mut self, token: &str, times: u64) {
        *self.counts.entry(token.to_owned()).or_default() += times;
        self.total += times;
    }

    /// Counts the tokens of a text.
    pub fn add_text(&mut self, tokenizer: &Tokenizer, text: &str) {
        if tokenizer.subwords.is_some() || tokenizer.tags.is_some() {
            tokenizer.encode(text).iter().for_each(|token| self.add(token));
            return;
        }
        for token in tokenizer.level.split(&tokenizer.normalize(text)) {
            self.add(token);
        }
    }

    /// Adds all counts of another counter, as for a vocabulary that both sides share.
    pub fn merge(&mut self, other: &TokenCounter) {
        for (token, count) in &other.counts {
            *self.counts.entry(token.clone()).or_default() += count;
        }
        self.total += other.total;
    }

    /// How often `token` was seen.
    pub fn get(&self, token: &str) -> u64 {
        self.counts.get(token).copied().unwrap_or(0)
    }

    /// How many different tokens were seen.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// How many tokens were seen.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// The tokens that a model knows, by id.
///
/// Ids 0 to 3 are [`PAD`], [`UNK`], [`BOS`] and [`EOS`]. Text never reaches them: a token that is spelled
/// `<pad>` in a corpus is an unknown token like any other.
///
/// ```
/// use seqweave_data::{Level, TokenCounter, Tokenizer, UNK, Vocab};
///
/// let mut counter = TokenCounter::default();
/// counter.add_text(&Tokenizer::new(Level::Word), "b a b c");
/// let vocab = Vocab::build(&counter, 1, 6); // four special tokens and two others
/// assert_eq!(vocab.encode(["b", "a", "c", "<pad>"]), [4, 5, UNK, UNK]);
/// assert_eq!(vocab.decode(&[2, 4, 5, 3, 0])?, ["b", "a"]);
/// # Ok::<(), seqweave_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocab {
    tokens: Vec<(Arc<str>, u64)>,
    /// Every token but the special ones.
    ids: HashMap<Arc<str>, u32>,
}

impl Vocab {
    /// The vocabulary of the most frequent tokens.
    ///
    /// Tokens seen less than `min_freq` times are left out. `max_size` bounds the whole vocabulary, special
    /// tokens included; 0 means no bound. Ids follow falling counts, and equal counts follow the order of the
    /// tokens' bytes, so that the same counts always give the same vocabulary. The count of `<unk>` is the
    /// number of seen tokens that were left out. Tags, if there are any, come last and are all known.
    pub fn build(counter: &TokenCounter, min_freq: u64, max_size: usize) -> Self {
        let counts = counter.counts.iter().map(|(token, &count)| (token.as_str(), count));
        Self::of_counts(counts, min_freq, max_size)
    }

    /// The same from different tokens with their counts.
    pub(crate) fn of_counts<'t>(
        counts: impl Iterator<Item = (&'t str, u64)>,
        min_freq: u64,
        max_size: usize,
    ) -> Self {
        let (mut total, mut tags) = (0, Vec::new());
        let mut ranked: Vec<(&str, u64)> = counts
            .inspect(|(_, count)| total += count)
            .filter(|(token, count)| {
                let is_tag = is_tag(token);
                if is_tag {
                    tags.push((*token, *count));
                }
                !is_tag && *count >= min_freq && !token.is_empty() && !SPECIALS.contains(token)
            })
            .collect();
        ranked.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        // Ids are u32: the ceiling is far above any corpus that fits a machine.
        let bound = if max_size == 0 { u32::MAX as usize } else { max_size };
        ranked.truncate(bound.saturating_sub(SPECIALS.len()));

        tags.sort_unstable();
        ranked.extend(tags);

        let known: u64 = ranked.iter().map(|(_, count)| count).sum();
        let mut tokens: Vec<(Arc<str>, u64)> = SPECIALS.iter().map(|&token| (token.into(), 0)).collect();
        tokens[UNK as usize].1 = total - known;
        tokens.extend(ranked.into_iter().map(|(token, count)| (token.into(), count)));
        Self::index(tokens)
    }

    /// This vocabulary with the tokens of a corpus that it does not know appended, and its counts added.
    ///
    /// Known tokens keep their order and, where there are no tags, their ids. New ones follow as in [`Vocab::build`]: by
    /// falling count, then by their bytes, each seen at least `min_freq` times, and no more of them than `max_size` tokens in
    /// all allow; 0 is no bound. Tags stay last, and new tags come after the known ones.
    pub fn extended(&self, counter: &TokenCounter, min_freq: u64, max_size: usize) -> Self {
        let new = TokenCounter {
            counts: counter
                .counts
                .iter()
                .filter(|(t, _)| !self.ids.contains_key(t.as_str()))
                .map(own)
                .collect(),
            total: counter.total - self.iter().skip(SPECIALS.len()).map(|(t, _)| counter.get(t)).sum::<u64>(),
        };
        let room = if max_size == 0 { 0 } else { max_size.saturating_sub(self.len()) + SPECIALS.len() };
        let appended = Self::build(&new, min_freq, room);
        // What is spelt like a special token is not that token.
        let specials = self.tokens.iter().zip(&appended.tokens).take(SPECIALS.len());
        let specials = specials.map(|((token, old), (_, new))| (token.clone(), old + new));
        let mut tokens: Vec<(Arc<str>, u64)> = specials.collect();
        let known = self.tokens.iter().skip(SPECIALS.len());
        let known = known.map(|(token, count)| (token.clone(), count + counter.get(token)));
        let new = appended.tokens.into_iter().skip(SPECIALS.len());
        let (tags, words): (Vec<_>, Vec<_>) = known.chain(new).partition(|(token, _)| is_tag(token));
        tokens.extend(words);
        tokens.extend(tags);
        Self::index(tokens)
    }

    /// The vocabulary of all pieces of a tokenizer, seen or not, the most frequent first.
    pub fn of_pieces(subwords: &Subwords, counter: &TokenCounter) -> Self {
        let mut all = counter.clone();
        for (_, piece) in subwords.pieces() {
            all.counts.entry(piece).or_default();
        }
        Self::build(&all, 0, 0)
    }

    fn index(tokens: Vec<(Arc<str>, u64)>) -> Self {
        let ids =
            tokens.iter().zip(0u32..).skip(SPECIALS.len()).map(|((t, _), id)| (t.clone(), id)).collect();
        Self { tokens, ids }
    }

    /// The number of tokens, special ones included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The number of tags, which have the last ids.
    pub(crate) fn tags(&self) -> usize {
        self.tokens.iter().rev().take_while(|(token, _)| is_tag(token)).count()
    }

    /// Whether there is no token beside the special ones.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of a token of text, [`UNK`] where it is not known.
    pub fn id(&self, token: &str) -> u32 {
        self.ids.get(token).copied().unwrap_or(UNK)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(|(token, _)| &**token)
    }

    /// How often the token of an id was seen when the vocabulary was built.
    pub fn count(&self, id: u32) -> Option<u64> {
        self.tokens.get(id as usize).map(|(_, count)| *count)
    }

    /// The tokens and their counts in the order of ids, special ones included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.tokens.iter().map(|(token, count)| (&**token, *count))
    }

    /// The ids of tokens of text; none is [`PAD`], [`BOS`] or [`EOS`].
    pub fn encode<I>(&self, tokens: I) -> Vec<u32>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        tokens.into_iter().map(|token| self.id(token.as_ref())).collect()
    }

    /// The tokens of ids. [`PAD`], [`BOS`] and [`EOS`] are skipped; [`UNK`] stays as `<unk>`, since a word
    /// stood there.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<&str>> {
        ids.iter()
            .enumerate()
            .filter(|(_, id)| !matches!(**id, PAD | BOS | EOS))
            .map(|(position, &id)| self.token(id).ok_or(Error::TokenId { id, position, len: self.len() }))
            .collect()
    }

    /// The JSON form, `{"version":1,"tokens":[["<pad>",0],…]}`, one token a line.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\"version\":{VERSION},\"tokens\":[\n");
        for (id, (token, count)) in self.iter().enumerate() {
            let comma = if id + 1 < self.len() { "," } else { "" };
            let token = serde_json::Value::from(token);
            text.push_str(&format!("[{token},{count}]{comma}\n"));
        }
        text.push_str("]}\n");
        text
    }

    /// Reads the JSON form and checks every entry. `name` is the file in error messages.
    ///
    /// # Errors
    /// Other text than the JSON form, another version, special tokens that are missing or moved, a token
    /// that is empty or there twice, no token beside the special ones.
    pub fn from_json(text: &str, name: &str) -> Result<Self> {
        let json = |source| Error::VocabJson { name: name.to_owned(), source };
        // The version comes first: a later one may give `tokens` another shape.
        let Head { version } = serde_json::from_str(text).map_err(json)?;
        if version != VERSION {
            return Err(Error::VocabVersion { name: name.to_owned(), expected: VERSION, found: version });
        }
        let Body { tokens, .. } = serde_json::from_str(text).map_err(json)?;

        for (id, expected) in SPECIALS.into_iter().enumerate() {
            let found = tokens.get(id).map(|(token, _)| &**token);
            if found != Some(expected) {
                let found = found.map_or("nothing".to_owned(), |token| format!("{token:?}"));
                return Err(Error::VocabSpecial { name: name.to_owned(), id, expected, found });
            }
        }
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(tokens.len());
        for (id, (token, _)) in tokens.iter().enumerate() {
            let flaw = match seen.insert(token, id) {
                Some(first) => EntryFlaw::DuplicateOf(first),
                None if token.is_empty() => EntryFlaw::Empty,
                None => continue,
            };
            return Err(Error::VocabEntry { name: name.to_owned(), id, token: token.to_string(), flaw });
        }
        if tokens.len() == SPECIALS.len() {
            return Err(Error::VocabEmpty { name: name.to_owned() });
        }
        Ok(Self::index(tokens.into_iter().map(|(token, count)| (token.into(), count)).collect()))
    }
}

fn own((token, count): (&String, &u64)) -> (String, u64) {
    (token.clone(), *count)
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[allow(dead_code, reason = "checked through `Head`, and named here so that it is a known field")]
    version: u32,
    tokens: Vec<(String, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Level;

    fn counter(text: &str) -> TokenCounter {
        let mut counter = TokenCounter::default();
        counter.add_text(&Tokenizer::new(Level::Word), text);
        counter
    }

    fn tokens(vocab: &Vocab) -> Vec<&str> {
        vocab.iter().skip(SPECIALS.len()).map(|(token, _)| token).collect()
    }

    #[test]
    fn ids_follow_counts_then_bytes() {
        let c = counter("b a c b ä a Z b");
        assert_eq!(tokens(&Vocab::build(&c, 1, 0)), ["b", "a", "Z", "c", "ä"]);
        assert_eq!(tokens(&Vocab::build(&c, 2, 0)), ["b", "a"]);
        assert_eq!(tokens(&Vocab::build(&c, 1, 7)), ["b", "a", "Z"]);
        assert!(Vocab::build(&c, 1, 3).is_empty(), "a bound below the special tokens leaves only them");
        let vocab = Vocab::build(&c, 2, 0);
        assert_eq!((vocab.count(4), vocab.count(UNK)), (Some(3), Some(3)));
    }

    #[test]
    fn an_extended_vocabulary_keeps_its_ids_and_appends_what_is_new() {
        let old = Vocab::build(&counter("b a b"), 1, 0);
        let corpus = counter("d c d a <s> e e e");
        let all = old.extended(&corpus, 1, 0);
        assert_eq!(tokens(&all), ["b", "a", "e", "d", "c"]);
        let counts: Vec<u64> = all.iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [0, 1, 0, 0, 2, 2, 3, 2, 1], "`<s>` in a text is unknown");
        assert_eq!(tokens(&old.extended(&corpus, 2, 0)), ["b", "a", "e", "d"]);
        assert_eq!(tokens(&old.extended(&corpus, 1, 7)), ["b", "a", "e"]);
        assert_eq!(tokens(&old.extended(&corpus, 1, 4)), ["b", "a"], "nothing that was known is lost");
        assert_eq!(Vocab::from_json(&all.to_json(), "v").expect("its own form"), all);
        assert_eq!(tokens(&all.extended(&corpus, 1, 0)), tokens(&all), "nothing is new the second time");

        let tagged = |text: &str| {
            let mut counter = TokenCounter::default();
            counter.add_text(&Tokenizer::new(Level::Word).with_tags(Some(";".into())), text);
            counter
        };
        let tags = Vocab::build(&tagged("a b\tN;PL"), 1, 0).extended(&tagged("a c\tN;DU"), 1, 0);
        assert_eq!(tokens(&tags), ["a", "b", "c", "\tN", "\tPL", "\tDU"]);
        assert_eq!(tags.tags(), 3);
    }

    #[test]
    fn text_never_reaches_a_special_id() {
        let c = counter("<pad> <pad> <pad> <unk> <s> </s> a");
        let vocab = Vocab::build(&c, 1, 0);
        assert_eq!(vocab.encode(["<pad>", "<unk>", "<s>", "</s>", "a", "?"]), [UNK, UNK, UNK, UNK, 4, UNK]);
        assert_eq!((vocab.len(), vocab.count(UNK)), (5, Some(6)));
        assert_eq!(Vocab::from_json(&vocab.to_json(), "v").expect("its own form"), vocab);
    }

    #[test]
    fn decoding_skips_what_no_reader_wants() {
        let vocab = Vocab::build(&counter("a b"), 1, 0);
        assert_eq!(vocab.decode(&[BOS, 4, UNK, 5, EOS, PAD, PAD]).expect("known ids"), ["a", "<unk>", "b"]);
        let message = vocab.decode(&[4, 6]).expect_err("6 tokens").to_string();
        assert!(
            message.contains("token id 6 at position 1 is outside the vocabulary of 6 tokens"),
            "{message}"
        );
    }

    #[test]
    fn merged_counters_count_both_sides() {
        let mut both = counter("a b");
        both.merge(&counter("b c"));
        assert_eq!((both.get("b"), both.get("a"), both.distinct(), both.total()), (2, 1, 3, 4));
    }

    #[test]
    fn the_json_form_is_frozen() {
        let vocab = Vocab::build(&counter("a \"q\" a"), 1, 0);
        let text = "{\"version\":1,\"tokens\":[\n[\"<pad>\",0],\n[\"<unk>\",0],\n[\"<s>\",0],\n[\"</s>\",0],\n\
                    [\"a\",2],\n[\"\\\"q\\\"\",1]\n]}\n";
        assert_eq!(vocab.to_json(), text);
    }

    #[test]
    fn a_damaged_file_is_refused_by_entry() {
        let specials = r#"["<pad>",0],["<unk>",0],["<s>",0],["</s>",0]"#;
        let with = |rest: &str| format!(r#"{{"version":1,"tokens":[{specials}{rest}]}}"#);
        let cases: Vec<(&str, String, &str)> = vec![
            ("nothing", String::new(), "not a vocabulary"),
            ("cut short", with(r#",["a",1]"#)[..40].to_owned(), "not a vocabulary"),
            ("trailing text", with(r#",["a",1]"#) + "x", "trailing characters"),
            ("a list", "[]".to_owned(), "not a vocabulary"),
            ("no version", r#"{"tokens":[]}"#.to_owned(), "missing field `version`"),
            ("later version", r#"{"version":2,"tokens":{"a":1}}"#.to_owned(), "version 2, expected 1"),
            ("no tokens", r#"{"version":1}"#.to_owned(), "missing field `tokens`"),
            ("unknown key", r#"{"version":1,"tokens":[],"extra":0}"#.to_owned(), "unknown field `extra`"),
            ("version twice", r#"{"version":1,"version":1,"tokens":[]}"#.to_owned(), "duplicate field"),
            ("empty", r#"{"version":1,"tokens":[]}"#.to_owned(), r#"entry 0 must be "<pad>", found nothing"#),
            (
                "special moved",
                r#"{"version":1,"tokens":[["<pad>",0],["a",3]]}"#.to_owned(),
                r#"entry 1 must be "<unk>", found "a""#,
            ),
            ("only specials", with(""), "holds no token beside"),
            ("duplicate", with(r#",["a",2],["b",2],["a",1]"#), r#"entry 6 ("a"): the same token as entry 4"#),
            ("special again", with(r#",["a",2],["<s>",1]"#), r#"entry 5 ("<s>"): the same token as entry 2"#),
            ("empty token", with(r#",["",2]"#), r#"entry 4 (""): the token is empty"#),
            ("negative count", with(r#",["a",-2]"#), "not a vocabulary"),
            ("fractional count", with(r#",["a",1.5]"#), "not a vocabulary"),
            ("count missing", with(r#",["a"]"#), "not a vocabulary"),
        ];
        for (name, text, expected) in cases {
            let message = Vocab::from_json(&text, "v.json").expect_err(name).to_string();
            assert!(message.contains(expected) && message.starts_with("v.json"), "{name}: {message}");
            assert!(message.contains("help:"), "{name}: {message}");
        }
    }
}
