//! Measured values with what belongs to them, and the report of `compare`.

use std::fmt::Write as _;

use seqweave_metrics::{Interval, Measured, Paired, Result, Score};
use serde::Serialize;

/// One value with its signature, its interval, and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// The value.
    #[serde(flatten)]
    pub score: Score,
    /// Where 95 of 100 corpora like this one would lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The chance of a difference as large as that to the baseline, if both were equally good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// What the value depends on, for metrics that are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Precisions and lengths behind BLEU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl Measurement {
    /// What was measured, with an interval by so many samples from a seed.
    pub fn of(measured: &Measured, bootstrap: Option<(usize, u64)>) -> Self {
        let interval = bootstrap.and_then(|(samples, seed)| measured.interval(samples, seed));
        Self { interval, ..Self::signed(measured, bootstrap) }
    }

    /// The same beside a baseline: the corpora that the paired test draws are those of the interval, so that they are drawn
    /// once.
    ///
    /// # Errors
    /// When the two are not over the same sentences.
    pub fn against(base: &Measured, own: &Measured, bootstrap: Option<(usize, u64)>) -> Result<Self> {
        let paired = match bootstrap {
            Some((samples, seed)) => base.against(own, samples, seed)?,
            None => None,
        };
        Ok(match paired {
            Some(Paired { p_value, interval }) => {
                Self { interval: Some(interval), p_value: Some(p_value), ..Self::signed(own, bootstrap) }
            }
            None => Self::of(own, bootstrap),
        })
    }

    /// The value with all that needs no draws.
    fn signed(measured: &Measured, bootstrap: Option<(usize, u64)>) -> Self {
        let published = measured.metric().is_in_points();
        Self {
            signature: published.then(|| measured.signature(bootstrap)),
            details: measured.bleu().map(|bleu| bleu.to_string()),
            ..Self::plain(measured.score())
        }
    }

    /// A value without all that.
    pub fn plain(score: Score) -> Self {
        Self { score, interval: None, p_value: None, signature: None, details: None }
    }

    /// ` ± 0.42`, or nothing.
    pub fn plus_minus(&self) -> String {
        self.interval.map_or_else(String::new, |interval| format!(" ± {:.2}", interval.half))
    }
}

/// What `compare` measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonReport {
    /// Lines of each system.
    pub lines: usize,
    /// The systems, the baseline first.
    pub systems: Vec<SystemReport>,
}

/// What was measured of one system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemReport {
    /// File or model.
    pub system: String,
    /// One entry for each metric.
    pub metrics: Vec<Measurement>,
}

impl ComparisonReport {
    /// The report as text, without the line feed at its end: a block for each metric.
    pub fn text(&self) -> String {
        let mut text = format!("{} lines\n", self.lines);
        let width = self.systems.iter().map(|system| system.system.chars().count()).max().unwrap_or(0);
        let metrics = self.systems.first().map_or(&[][..], |baseline| &baseline.metrics);
        for (i, first) in metrics.iter().enumerate() {
            let _ = writeln!(text, "\n{}", first.score.metric);
            for (row, system) in self.systems.iter().enumerate() {
                let found = &system.metrics[i];
                let value = found.score.value.map_or("undefined".to_owned(), |value| format!("{value:.2}"));
                let note = match (row, found.p_value) {
                    (0, _) => "baseline".to_owned(),
                    // A p-value is never 0, so that of no difference would read like one of a sure difference.
                    _ if found.score.value == first.score.value => "same".to_owned(),
                    (_, Some(p)) => format!("p = {p:.4}{}", if p < 0.05 { " *" } else { "" }),
                    _ => String::new(),
                };
                let line = format!("  {:width$}  {value:>7}{:8}  {note}", system.system, found.plus_minus());
                let _ = writeln!(text, "{}", line.trim_end());
            }
            if let Some(signature) = &first.signature {
                let _ = writeln!(text, "  {signature}");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_metrics::{Metric, Sentence, TextOptions};

    #[test]
    fn the_interval_beside_a_baseline_is_that_of_the_system_alone() {
        let measured = |outputs: [&str; 3]| {
            let of = |output| Sentence { source: "", output, references: &["a b c d e"] };
            Measured::over(Metric::Bleu, TextOptions::default(), &outputs.map(of)).unwrap()
        };
        let (base, own) =
            (measured(["a b c d e", "a b", "x"]), measured(["a b c d e", "a b c d", "b c d e"]));
        let draws = Some((200, 7));
        let found = Measurement::against(&base, &own, draws).unwrap();
        let p_value = base.against(&own, 200, 7).unwrap().unwrap().p_value;
        assert_eq!(found, Measurement { p_value: Some(p_value), ..Measurement::of(&own, draws) });
        assert_eq!(Measurement::against(&base, &own, None).unwrap(), Measurement::of(&own, None));
    }

    #[test]
    fn text_has_a_block_for_each_metric() {
        let measurement = |value, p_value| Measurement {
            interval: Some(Interval { mean: value, half: 1.25, low: value - 1.0, high: value + 1.0 }),
            p_value,
            signature: Some("nrefs:1".to_owned()),
            ..Measurement::plain(Score { metric: Metric::Bleu, value: Some(value), total: 9 })
        };
        let system = |name: &str, value, p_value| SystemReport {
            system: name.to_owned(),
            metrics: vec![measurement(value, p_value)],
        };
        let systems = vec![
            system("a.txt", 30.0, None),
            system("second", 32.125, Some(0.01)),
            system("c", 30.5, Some(0.5)),
        ];
        assert_eq!(
            ComparisonReport { lines: 7, systems }.text(),
            "\
7 lines

bleu
  a.txt     30.00 ± 1.25   baseline
  second    32.12 ± 1.25   p = 0.0100 *
  c         30.50 ± 1.25   p = 0.5000
  nrefs:1"
        );
    }
}
