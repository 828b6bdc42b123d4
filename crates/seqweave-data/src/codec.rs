//! One side of a model's text: a tokenizer and a vocabulary.

use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::subword::{Noise, Subwords};
use crate::tokenize::{TAG, Tokenizer, is_tag};
use crate::vocab::{UNK, Vocab};

/// One side's way from text to ids and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Tokens to ids.
    pub vocab: Vocab,
}

/// The names of the files of one side.
#[derive(Debug, Clone, Copy)]
pub struct CodecFiles {
    /// The tokens in id order with their counts.
    pub vocab: &'static str,
    /// The pieces, at the levels of pieces.
    pub pieces: &'static str,
}

impl CodecFiles {
    /// Those of the source side.
    pub const SOURCE: Self = Self { vocab: "source.vocab.json", pieces: "source.tokenizer.json" };
    /// Those of the target side.
    pub const TARGET: Self = Self { vocab: "target.vocab.json", pieces: "target.tokenizer.json" };
}

impl Codec {
    /// The vocabulary and, at the levels of pieces, the pieces, as JSON under the names of `files`. The rest of the tokenizer
    /// is in neither.
    pub fn to_files(&self, files: &CodecFiles) -> Vec<(&'static str, String)> {
        let pieces =
            self.tokenizer.subwords.as_ref().map(|pieces| (files.pieces, pieces.to_json().to_owned()));
        std::iter::once((files.vocab, self.vocab.to_json())).chain(pieces).collect()
    }

    /// What [`Codec::to_files`] has written of a side with this tokenizer; `read` gives the text of a file, and its name for
    /// messages.
    ///
    /// # Errors
    /// Those of `read`; a file that is not what it should be.
    pub fn from_files<T: AsRef<str>, E: From<Error>>(
        mut tokenizer: Tokenizer,
        files: &CodecFiles,
        read: impl Fn(&str) -> Result<(T, String), E>,
    ) -> Result<Self, E> {
        if tokenizer.level.is_subword() {
            let (json, name) = read(files.pieces)?;
            tokenizer.subwords = Some(Subwords::from_json(json.as_ref(), &name)?);
        }
        let (json, name) = read(files.vocab)?;
        Ok(Self { tokenizer, vocab: Vocab::from_json(json.as_ref(), &name)? })
    }

    /// The ids of a text, without `<s>` and `</s>`.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        if self.tokenizer.subwords.is_some() || self.tokenizer.tags.is_some() {
            return self.ids(self.tokenizer.encode(text));
        }
        self.vocab.encode(self.tokenizer.level.split(&self.tokenizer.normalize(text)))
    }

    /// The ids of a text whose pieces are cut by chance; the usual ones where there are no pieces.
    pub fn sample(&self, text: &str, noise: Noise, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let Some(subwords) = &self.tokenizer.subwords else { return self.encode(text) };
        let (words, tags) = self.tokenizer.text_and_tags(text);
        let mut pieces = subwords.sample(words, noise, rng);
        pieces.extend(tags.into_iter().map(|tag| format!("{TAG}{tag}")));
        self.ids(pieces)
    }

    /// The number of tags, which have the last ids.
    pub fn tags(&self) -> usize {
        // A piece may look like a tag where there are none.
        if self.tokenizer.tags.is_some() { self.vocab.tags() } else { 0 }
    }

    /// The ids of tokens; a tag that was not there in training is left out, since nothing was learnt of it.
    fn ids(&self, tokens: Vec<String>) -> Vec<u32> {
        if self.tokenizer.tags.is_none() {
            return self.vocab.encode(tokens);
        }
        let ids = tokens.iter().map(|token| (token, self.vocab.id(token)));
        ids.filter(|(token, id)| *id != UNK || !is_tag(token)).map(|(_, id)| id).collect()
    }

    /// The text of ids; padding, `<s>` and `</s>` are skipped, and unknown tokens read `<unk>`.
    ///
    /// # Errors
    /// [`Error::TokenId`](crate::Error::TokenId) for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(self.tokenizer.decode(self.vocab.decode(ids)?))
    }
}
