//! What a score of texts depends on beside the texts.

use std::fmt;

use serde::Serialize;

use crate::Tok;

/// How BLEU treats an order of n-grams without a match (Chen and Cherry 2014).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub enum Smooth {
    /// Each such order counts half as much as the one before: `1 / 2^k` matches.
    #[default]
    Exp,
    /// Such an order has this many matches; 0.1 is usual.
    Floor(f64),
    /// Orders above 1 have this many matches and n-grams more; 1 is usual.
    AddK(f64),
    /// The score is 0.
    None,
}

impl fmt::Display for Smooth {
    /// As in signatures: `exp`, `floor[0.10]`, `add-k[1.00]`, `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Smooth::Exp => write!(f, "exp"),
            Smooth::Floor(value) => write!(f, "floor[{value:.2}]"),
            Smooth::AddK(value) => write!(f, "add-k[{value:.2}]"),
            Smooth::None => write!(f, "none"),
        }
    }
}

/// Choices that change the value of a metric and stand in its signature.
///
/// The default is what sacreBLEU does when nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TextOptions {
    /// The tokenizer of BLEU.
    pub tok: Tok,
    /// Whether BLEU and chrF look at text in lower case; TER and ROUGE always do.
    pub lowercase: bool,
    /// The smoothing of BLEU.
    pub smooth: Smooth,
}
