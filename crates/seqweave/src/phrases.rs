//! Prefixes and phrases: from text to tokens, and errors about them back into text.

use crate::{Error, Line, PhraseFlaw, Result};
use seqweave_data::{Codec, UNK};
use seqweave_seq2seq::search::Query;

/// What the outputs of one line must hold, as tokens.
pub(crate) struct Phrases {
    prefix: Vec<u32>,
    required: Vec<Vec<u32>>,
}

impl Phrases {
    /// # Errors
    /// [`Error::Phrase`] for a phrase that is empty, and for a token that the vocabulary does not have.
    pub fn of(target: &Codec, line: &Line<'_>, sentence: usize) -> Result<Self> {
        let prefix = match line.prefix {
            "" => Vec::new(),
            prefix => known(target, prefix, "prefix", Some(sentence), 0)?,
        };
        let required = line.required.iter().enumerate();
        let required = required
            .map(|(number, phrase)| filled(target, phrase, "required phrase", Some(sentence), number))
            .collect::<Result<_>>()?;
        Ok(Self { prefix, required })
    }

    /// The question for a source.
    pub fn query<'a>(&'a self, source: &'a [u32]) -> Query<'a> {
        Query { source, prefix: &self.prefix, required: &self.required }
    }
}

/// Forbidden phrases as tokens.
///
/// # Errors
/// [`Error::Phrase`] for a phrase that is empty, and for a token that the vocabulary does not have.
pub(crate) fn forbidden(target: &Codec, phrases: &[String]) -> Result<Vec<Vec<u32>>> {
    let phrases = phrases.iter().enumerate();
    phrases.map(|(number, phrase)| filled(target, phrase, "forbidden phrase", None, number)).collect()
}

/// A contradiction of tokens as one of texts; any other error as it is.
pub(crate) fn in_words(target: &Codec, error: seqweave_seq2seq::Error) -> Error {
    let seqweave_seq2seq::Error::Contradiction { sentence, number, required, forbidden } = error else {
        return error.into();
    };
    match (target.decode(&required), target.decode(&forbidden)) {
        (Ok(required), Ok(forbidden)) => Error::Contradiction { sentence, number, required, forbidden },
        (Err(error), _) | (_, Err(error)) => error.into(),
    }
}

/// The tokens of a phrase, at least one.
fn filled(
    target: &Codec,
    phrase: &str,
    list: &'static str,
    sentence: Option<usize>,
    number: usize,
) -> Result<Vec<u32>> {
    let ids = known(target, phrase, list, sentence, number)?;
    if ids.is_empty() {
        return Err(Error::Phrase { list, sentence, number, flaw: PhraseFlaw::Empty });
    }
    Ok(ids)
}

/// The tokens of a text, all of them known.
fn known(
    target: &Codec,
    text: &str,
    list: &'static str,
    sentence: Option<usize>,
    number: usize,
) -> Result<Vec<u32>> {
    let ids = target.encode(text);
    if let Some(at) = ids.iter().position(|&id| id == UNK) {
        let token = target.tokenizer.encode(text).swap_remove(at);
        let flaw = PhraseFlaw::Unknown { phrase: text.to_owned(), token };
        return Err(Error::Phrase { list, sentence, number, flaw });
    }
    Ok(ids)
}
