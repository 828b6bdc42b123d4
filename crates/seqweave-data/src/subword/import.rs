//! Tokenizer files of other programs.

use std::fmt;

use super::{Subwords, codes, sentencepiece};
use crate::error::{Error, Result};

/// Which program wrote a tokenizer file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginName {
    /// `tokenizer.json` of Hugging Face's library, or of this one.
    HuggingFace,
    /// `.model` of SentencePiece (Kudo & Richardson 2018).
    SentencePiece,
    /// Codes of subword-nmt (Sennrich et al. 2016), version 0.2.
    SubwordNmt,
}

impl OriginName {
    /// The program that wrote `bytes`, by how they begin.
    pub fn guess(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
        // Field 1 of a model, a message: its first piece.
        match bytes.first()? {
            _ if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') => Some(Self::HuggingFace),
            _ if codes::is_codes(&text) => Some(Self::SubwordNmt),
            0x0A => Some(Self::SentencePiece),
            _ => None,
        }
    }
}

impl fmt::Display for OriginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HuggingFace => "tokenizer.json",
            Self::SentencePiece => "SentencePiece model",
            Self::SubwordNmt => "subword-nmt codes",
        })
    }
}

/// A tokenizer file of another program.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The file's content.
    pub bytes: &'a [u8],
    /// The file in error messages.
    pub name: &'a str,
    /// Who wrote it; without it, what it looks like.
    pub program: Option<OriginName>,
    /// Texts whose characters are pieces too, for codes of subword-nmt, which do not say which characters there are.
    pub alphabet: &'a [String],
}

impl Subwords {
    /// The pieces and rules of another program's file.
    ///
    /// # Errors
    /// [`Error::Import`] with the reason, for a file of another kind and for what a `tokenizer.json` cannot carry.
    ///
    /// ```
    /// use seqweave_data::{Origin, Subwords};
    ///
    /// let codes = "#version: 0.2\nl o\nlo w</w>\n";
    /// let origin = Origin { bytes: codes.as_bytes(), name: "codes", program: None, alphabet: &["erst".to_owned()] };
    /// let subwords = Subwords::import(&origin)?;
    /// let pieces = subwords.encode("low lower");
    /// assert_eq!(pieces, ["low</w>", "lo", "w", "e", "r</w>"]);
    /// assert_eq!(subwords.decode(&pieces), "low lower");
    /// # Ok::<(), seqweave_data::Error>(())
    /// ```
    pub fn import(origin: &Origin<'_>) -> Result<Self> {
        let refuse = |why: String| Error::Import { name: origin.name.to_owned(), why };
        let program = origin.program.or_else(|| OriginName::guess(origin.bytes)).ok_or_else(|| {
            refuse("it looks like none of tokenizer.json, SentencePiece model, subword-nmt codes".to_owned())
        })?;
        let text = || std::str::from_utf8(origin.bytes).map_err(|error| refuse(error.to_string()));
        let json = match program {
            OriginName::HuggingFace => text()?.trim_start_matches('\u{feff}').to_owned(),
            OriginName::SentencePiece => sentencepiece::convert(origin.bytes).map_err(refuse)?.to_string(),
            OriginName::SubwordNmt => codes::convert(text()?, origin.alphabet).map_err(refuse)?.to_string(),
        };
        Self::from_json(&json, origin.name).map_err(|error| match error {
            Error::Subwords { why, .. } => refuse(why),
            other => other,
        })
    }
}
