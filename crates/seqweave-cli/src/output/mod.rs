//! What the verbs write to stdout: plain structs that are JSON by serde and text by hand.

mod evaluation;
mod translation;

pub use evaluation::{EvaluationReport, GateResult};
pub use translation::{Candidate, ScoreRecord, ScoreSummary, TokenScore, TranslationRecord, alignment};
