//! One side of a model's text: a tokenizer and a vocabulary.

use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::subword::Noise;
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

impl Codec {
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
