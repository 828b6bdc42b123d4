//! The report of `evaluate`.

use std::fmt::Write as _;

use seqweave_metrics::{Metric, Score};
use seqweave_train::Answer;
use serde::Serialize;

use super::Measurement;
use crate::values::Gate;

/// What `evaluate` measured.
#[derive(Debug, Clone, Serialize)]
pub struct EvaluationReport {
    /// The model folder.
    pub model: String,
    /// The file or files.
    pub data: String,
    /// Distinct sources.
    pub items: usize,
    /// Lines, that is references.
    pub references: usize,
    /// Beam size of the search.
    pub beam: usize,
    /// One entry for each metric.
    pub metrics: Vec<Measurement>,
    /// One entry for each gate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// Some items with their outputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Answer>,
    /// Time of translating and scoring.
    pub seconds: f64,
}

/// A gate and whether it was met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateResult {
    /// What was measured.
    pub metric: Metric,
    /// The worst value that passes.
    pub bound: f64,
    /// The value, if there was anything to measure.
    pub value: Option<f64>,
    /// Whether it is not worse than the bound.
    pub met: bool,
}

impl GateResult {
    /// Compares a gate with what was measured; a metric that was not measured meets no gate.
    pub fn of(gate: &Gate, scores: &[Score]) -> Self {
        let score = scores.iter().find(|score| score.metric == gate.metric);
        Self {
            metric: gate.metric,
            bound: gate.bound,
            value: score.and_then(|score| score.value),
            met: score.is_some_and(|score| score.reaches(gate.bound)),
        }
    }
}

impl EvaluationReport {
    /// Whether every gate is met.
    pub fn passes(&self) -> bool {
        self.gates.iter().all(|gate| gate.met)
    }

    /// The report as text, without the line feed at its end.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for measurement in &self.metrics {
            let Score { metric, value, total } = &measurement.score;
            let value = match value {
                Some(value) if metric.is_in_points() => format!("{value:>7.2}  "),
                Some(value) if metric.is_percent() => format!("{value:>7.2} %"),
                Some(value) => format!("{value:>7.3}  "),
                None => "undefined".to_owned(),
            };
            let around = measurement.plus_minus();
            let _ = writeln!(text, "{metric:<9} {value}{around}  of {total} {}", unit(*metric));
            for more in [&measurement.details, &measurement.signature].into_iter().flatten() {
                let _ = writeln!(text, "          {more}");
            }
        }
        for gate in &self.gates {
            let bound = Gate { metric: gate.metric, bound: gate.bound };
            let word = if gate.met { "met" } else { "NOT MET" };
            let _ = writeln!(text, "gate {bound}: {word}");
        }
        if !self.examples.is_empty() {
            text.push('\n');
            let width =
                self.examples.iter().map(|e| e.source.chars().count()).max().unwrap_or(0).clamp(6, 32);
            for example in &self.examples {
                let mark = if example.right { ' ' } else { 'x' };
                let _ = writeln!(text, "{mark} {:width$}  {}", example.source, example.output);
                if !example.right {
                    let _ =
                        writeln!(text, "  {:width$}  {}  (reference)", "", example.references.join(" | "));
                }
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// What the total of a metric counts.
fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Wer | Metric::Acc | Metric::SeqAcc => "items",
        Metric::Cer => "characters",
        Metric::Chrf | Metric::ChrfPlusPlus | Metric::Rouge1 | Metric::Rouge2 | Metric::RougeL => "lines",
        Metric::F05 => "edits",
        _ => "tokens",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> EvaluationReport {
        let score = |metric, value, total| Score { metric, value: Some(value), total };
        let metrics = vec![
            score(Metric::Wer, 29.5, 512),
            score(Metric::Per, 11.204, 3204),
            score(Metric::Ppl, 1.2345, 3716),
        ];
        let gates =
            ["wer=30", "per=11", "acc=50"].map(|gate| GateResult::of(&gate.parse().unwrap(), &metrics));
        let example = |source: &str, output: &str, right| Answer {
            source: source.to_owned(),
            references: vec!["T UW1".to_owned(), "T UW0".to_owned()],
            output: output.to_owned(),
            right,
        };
        EvaluationReport {
            model: "runs/g2p".to_owned(),
            data: "test.tsv".to_owned(),
            items: 512,
            references: 540,
            beam: 5,
            metrics: metrics.into_iter().map(Measurement::plain).collect(),
            gates: gates.into(),
            examples: vec![example("two", "T UW1", true), example("tow", "T OW1", false)],
            seconds: 1.5,
        }
    }

    #[test]
    fn text_lists_values_gates_and_examples() {
        assert_eq!(
            report().text(),
            "\
wer         29.50 %  of 512 items
per         11.20 %  of 3204 tokens
ppl         1.234    of 3716 tokens
gate wer <= 30: met
gate per <= 11: NOT MET
gate acc >= 50: NOT MET

  two     T UW1
x tow     T OW1
          T UW1 | T UW0  (reference)"
        );
    }

    #[test]
    fn an_interval_stands_beside_its_value() {
        let mut report = report();
        report.metrics[0].interval =
            Some(seqweave_metrics::Interval { mean: 29.6, half: 3.68, low: 25.9, high: 33.2 });
        assert!(report.text().starts_with("wer         29.50 % ± 3.68  of 512 items\n"), "{}", report.text());
    }

    #[test]
    fn one_gate_that_is_not_met_fails_the_report() {
        let mut report = report();
        assert!(!report.passes());
        report.gates.truncate(1);
        assert!(report.passes());
        report.gates.clear();
        assert!(report.passes());
        assert_eq!(serde_json::to_value(&report).unwrap().get("gates"), None);
    }
}
