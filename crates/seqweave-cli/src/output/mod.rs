//! What the verbs write to stdout: plain structs that are JSON by serde and text by hand.

mod checkup;
mod comparison;
mod evaluation;
mod translation;

pub use checkup::checkup_lines;
pub use comparison::{ComparisonReport, Measurement, SystemReport};
pub use evaluation::{EvaluationReport, GateResult};
pub use translation::{
    Candidate, ScoreRecord, ScoreSummary, TokenScore, TranslationRecord, alignment, one_line,
};
