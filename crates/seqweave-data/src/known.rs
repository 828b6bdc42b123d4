//! What a model knows already when it is trained further: its pieces are not learnt anew, its tokens keep their ids.

use std::fmt;

use crate::codec::Codec;
use crate::config::{DataConfig, SideConfig};
use crate::encode::Counted;
use crate::error::{Error, Result};
use crate::subword::Subwords;
use crate::tokenize::{Level, Tokenizer};
use crate::vocab::Vocab;

/// Tokenizers and vocabularies that a model was trained with, and that its further training keeps.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The source side.
    pub src: &'a Codec,
    /// The target side.
    pub tgt: &'a Codec,
    /// Whether tokens of the new data that are not known are appended, as `min_freq` and `max_vocab` of their side allow.
    /// At the levels of pieces only tags are appended: the pieces stay as they were learnt.
    pub extend: bool,
}

impl Known<'_> {
    /// The tokenizers that a configuration asks for, with the pieces of the model, if it asks for what the model has.
    pub(crate) fn tokenizers(&self, config: &DataConfig) -> Result<(Tokenizer, Tokenizer)> {
        let (src, tgt) = config.tokenizers();
        Ok((
            with_pieces("src", src, &config.src, &self.src.tokenizer)?,
            with_pieces("tgt", tgt, &config.tgt, &self.tgt.tokenizer)?,
        ))
    }

    /// The model's one vocabulary of both sides, with what is new in the text.
    pub(crate) fn shared(&self, both: &Counted, side: &SideConfig) -> Result<Vocab> {
        let (src, tgt) = (&self.src.vocab, &self.tgt.vocab);
        if !same_tokens(src, tgt) {
            return Err(Error::NotShared { src: src.len(), tgt: tgt.len() });
        }
        Ok(self.extended(self.src, both, side))
    }

    /// The vocabulary of one side of the model, with what is new in its text.
    pub(crate) fn extended(&self, codec: &Codec, counted: &Counted, side: &SideConfig) -> Vocab {
        let Codec { tokenizer, vocab } = codec;
        match (&tokenizer.subwords, &tokenizer.tags) {
            _ if !self.extend => vocab.clone(),
            (None, _) => vocab.extended(&counted.counter(), side.min_freq, side.max_vocab),
            // No room for anything but tags, which need none.
            (Some(_), Some(_)) => vocab.extended(&counted.counter(), side.min_freq, vocab.len()),
            (Some(_), None) => vocab.clone(),
        }
    }

    /// Whether ids that were made with two codecs mean to the model what they say.
    pub(crate) fn reads(&self, src: &Codec, tgt: &Codec) -> bool {
        let same =
            |a: &Codec, b: &Codec| cut_alike(&a.tokenizer, &b.tokenizer) && same_tokens(&a.vocab, &b.vocab);
        same(self.src, src) && same(self.tgt, tgt)
    }

    /// What tells these tokens from others: a hash of pieces and of ids with their tokens.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for codec in [self.src, self.tgt] {
            let pieces = codec.tokenizer.subwords.as_ref().map_or("", Subwords::to_json);
            let tokens = codec.vocab.iter().map(|(token, _)| token);
            for text in std::iter::once(pieces).chain(tokens) {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
            hash.update(&u64::MAX.to_le_bytes());
        }
        hash.finalize().to_hex().to_string()
    }
}

fn same_tokens(a: &Vocab, b: &Vocab) -> bool {
    let token = |(token, _)| token;
    a.iter().map(token).eq(b.iter().map(token))
}

/// Whether two tokenizers give the same tokens; pieces have all rules with them, whatever their level is called.
fn cut_alike(a: &Tokenizer, b: &Tokenizer) -> bool {
    match (&a.subwords, &b.subwords) {
        (Some(ours), Some(theirs)) => ours == theirs && a.tags == b.tags,
        _ => a == b,
    }
}

/// The tokenizer that a side asks for, with the pieces of the model where it has any.
fn with_pieces(
    side: &'static str,
    asked: Tokenizer,
    config: &SideConfig,
    model: &Tokenizer,
) -> Result<Tokenizer> {
    let is_same = match (&model.subwords, &config.tokenizer) {
        (None, _) => asked == *model,
        (Some(pieces), Some(file)) => Subwords::open(file)? == *pieces,
        (Some(pieces), None) => {
            let plain = Tokenizer::new(Level::Pieces).with_tags(asked.tags.clone());
            let is_level = asked.level == model.level || asked.level.is_of(pieces.model());
            let rules = (asked.lowercase, asked.form) == (model.lowercase, model.form);
            let is_spelt = !config.byte_fallback || pieces.spells_everything();
            asked == plain || is_level && rules && is_spelt
        }
    };
    if is_same && asked.tags == model.tags {
        return Ok(Tokenizer { subwords: model.subwords.clone(), ..asked });
    }
    let found = match &config.tokenizer {
        Some(file) => format!("the pieces of {}{}", file.display(), tags(&asked)),
        None => describe(&asked, config.byte_fallback),
    };
    Err(Error::OtherTokenizer { side, expected: model.to_string(), found })
}

impl fmt::Display for Tokenizer {
    /// What it does, in the keys of a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.subwords.as_ref().is_some_and(Subwords::spells_everything);
        f.write_str(&describe(self, bytes))
    }
}

fn describe(tokenizer: &Tokenizer, byte_fallback: bool) -> String {
    let Tokenizer { level, lowercase, form, subwords, .. } = tokenizer;
    let (level, form) = (format!("{level:?}").to_lowercase(), format!("{form:?}").to_lowercase());
    let by = subwords.as_ref().map(|pieces| format!("pieces by {}: ", pieces.model())).unwrap_or_default();
    let bytes = if byte_fallback { ", byte_fallback = true" } else { "" };
    format!("{by}level = \"{level}\", lowercase = {lowercase}, form = \"{form}\"{bytes}{}", tags(tokenizer))
}

fn tags(tokenizer: &Tokenizer) -> String {
    tokenizer.tags.as_ref().map(|tags| format!(", tags between {tags:?}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::pairs_of;
    use crate::prepare::{prepare, prepare_from};
    use crate::vocab::UNK;

    #[test]
    fn a_model_that_is_trained_further_keeps_its_ids() {
        let config = DataConfig::default();
        let old = prepare(&pairs_of(&[("a b a", "x"), ("b", "y y")]), &config).expect("good pairs");
        let new = pairs_of(&[("c a c", "x z")]);
        let known = |extend| Some(Known { src: &old.src, tgt: &old.tgt, extend });
        let more = prepare_from(&new, &config, known(true)).expect("a good pair");
        let ids = |codec: &Codec, tokens: [&str; 3]| tokens.map(|token| codec.vocab.id(token));
        assert_eq!(ids(&more.src, ["a", "b", "c"]), [4, 5, 6]);
        assert_eq!(ids(&more.tgt, ["y", "x", "z"]), [4, 5, 6]);
        assert_eq!(more.examples.get(0).expect("one example").src, [6, 4, 6]);
        assert_eq!(more.report.src.unknown, 0);
        let same = prepare_from(&new, &config, known(false)).expect("a good pair");
        let first = same.examples.get(0).expect("one example");
        assert_eq!((first.src, same.report.src.unknown), (vec![UNK, 4, UNK], 2));

        let mut other = config.clone();
        other.tgt.level = Level::Char;
        let message = prepare_from(&new, &other, known(true)).expect_err("another level").to_string();
        assert!(message.contains("tgt") && message.contains("level = \"word\""), "{message}");
        let mut shared = config;
        shared.shared_vocab = true;
        let message = prepare_from(&new, &shared, known(true)).expect_err("two vocabularies").to_string();
        assert!(message.contains("shared_vocab"), "{message}");
    }

    #[test]
    fn new_tags_are_appended_at_every_level() {
        for level in [Level::Char, Level::Word, Level::Bpe, Level::Unigram] {
            let mut config = DataConfig { features: Some(";".to_owned()), ..DataConfig::default() };
            (config.src.level, config.src.max_vocab) = (level, 40);
            let old = [("abab ab\tPL;NOM", "x"), ("ba ba\tSG", "y")];
            let old = prepare(&pairs_of(&old), &config).expect("good pairs");
            let new = pairs_of(&[("ab\tSG;DAT", "x"), ("ba\tACC;PL", "y"), ("ab ba\tACC", "y")]);
            let known = |extend| Some(Known { src: &old.src, tgt: &old.tgt, extend });
            let more = prepare_from(&new, &config, known(true)).expect("good pairs");
            let tokens = |codec: &Codec| codec.vocab.iter().map(|(token, _)| token.to_owned()).collect();
            let mut want: Vec<String> = tokens(&old.src);
            want.extend(["\tACC", "\tDAT"].map(str::to_owned));
            assert_eq!((tokens(&more.src), more.src.tags()), (want, 5), "{level:?}");
            assert_eq!(more.report.src.unknown, 0, "{level:?}");
            let first = more.examples.get(0).expect("three examples").src;
            assert_eq!(more.src.decode(&first).expect("ids"), "ab\tSG;DAT", "{level:?}");
            let same = prepare_from(&new, &config, known(false)).expect("good pairs");
            assert_eq!((same.src.tags(), same.report.src.unknown), (3, 3), "{level:?}");
        }
    }
}
