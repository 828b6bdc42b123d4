//! What a model knows already when it is trained further: its pieces are not learnt anew, its tokens keep their ids.

use crate::codec::Codec;
use crate::config::SideConfig;
use crate::encode::Counted;
use crate::error::{Error, Result};
use crate::tokenize::Tokenizer;
use crate::vocab::Vocab;

/// Tokenizers and vocabularies that a model was trained with, and that its further training keeps.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The source side.
    pub src: &'a Codec,
    /// The target side.
    pub tgt: &'a Codec,
    /// Whether tokens of the new data that are not known are appended, as `min_freq` and `max_vocab` of their side allow.
    /// At the levels of pieces nothing is appended: the pieces stay as they were learnt.
    pub extend: bool,
}

impl Known<'_> {
    /// The model's tokenizers, if they are those that a configuration asks for, each with the pieces it has.
    pub(crate) fn tokenizers(&self, (src, tgt): (Tokenizer, Tokenizer)) -> Result<(Tokenizer, Tokenizer)> {
        Ok((same("src", &src, &self.src.tokenizer)?, same("tgt", &tgt, &self.tgt.tokenizer)?))
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
        if self.extend && codec.tokenizer.subwords.is_none() {
            codec.vocab.extended(&counted.counter(), side.min_freq, side.max_vocab)
        } else {
            codec.vocab.clone()
        }
    }

    /// Whether ids that were made with two codecs mean to the model what they say.
    pub(crate) fn reads(&self, src: &Codec, tgt: &Codec) -> bool {
        let same = |a: &Codec, b: &Codec| a.tokenizer == b.tokenizer && same_tokens(&a.vocab, &b.vocab);
        same(self.src, src) && same(self.tgt, tgt)
    }
}

fn same_tokens(a: &Vocab, b: &Vocab) -> bool {
    let token = |(token, _)| token;
    a.iter().map(token).eq(b.iter().map(token))
}

fn same(side: &'static str, asked: &Tokenizer, model: &Tokenizer) -> Result<Tokenizer> {
    if *asked == (Tokenizer { subwords: None, ..model.clone() }) {
        return Ok(model.clone());
    }
    let describe = |tokenizer: &Tokenizer| {
        let Tokenizer { level, lowercase, form, tags, .. } = tokenizer;
        let (level, form) = (format!("{level:?}").to_lowercase(), format!("{form:?}").to_lowercase());
        let tags = if tags.is_some() { ", tags" } else { "" };
        format!("level = \"{level}\", lowercase = {lowercase}, form = \"{form}\"{tags}")
    };
    Err(Error::OtherTokenizer { side, expected: describe(model), found: describe(asked) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataConfig;
    use crate::corpus::Pair;
    use crate::prepare::{prepare, prepare_from};
    use crate::tokenize::Level;
    use crate::vocab::UNK;

    fn pairs(sides: &[(&str, &str)]) -> Vec<Pair> {
        sides.iter().map(|(src, tgt)| Pair { src: (*src).into(), tgt: (*tgt).into(), line: 1 }).collect()
    }

    #[test]
    fn a_model_that_is_trained_further_keeps_its_ids() {
        let config = DataConfig::default();
        let old = prepare(&pairs(&[("a b a", "x"), ("b", "y y")]), &config).expect("good pairs");
        let new = pairs(&[("c a c", "x z")]);
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
}
