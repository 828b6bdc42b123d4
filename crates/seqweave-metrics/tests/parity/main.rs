//! Our scores against those of sacreBLEU and rouge-score, on texts made to be hard.
//!
//! `expected.json` was written by `generate.py` beside it. `SEQWEAVE_PARITY_FILE` names another file of the same form:
//! `cargo xtask parity` makes one of random text.

use seqweave_metrics::{Measured, Metric, SEED, Sentence, Smooth, TextOptions};
use serde::Deserialize;

/// How far a value may be from the published one, before rounding.
const CLOSE: f64 = 1e-9;

/// sacreBLEU resamples in single precision.
const CLOSE_RESAMPLED: f64 = 1e-3;

const SAMPLES: usize = 200;

#[derive(Deserialize)]
struct Document {
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Corpus {
    kinds: Vec<String>,
    outputs: Vec<String>,
    others: Vec<String>,
    references: Vec<Vec<String>>,
    scores: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    metric: String,
    tok: String,
    smooth: String,
    lowercase: bool,
    value: f64,
    each: Vec<f64>,
    mean: Option<f64>,
    half: Option<f64>,
    signature: Option<String>,
    p_value: Option<f64>,
}

impl Expected {
    fn options(&self) -> TextOptions {
        let smooth = match self.smooth.as_str() {
            "floor" => Smooth::Floor(0.1),
            "add-k" => Smooth::AddK(1.0),
            "none" => Smooth::None,
            _ => Smooth::Exp,
        };
        TextOptions { tok: self.tok.parse().expect("a tokenizer"), lowercase: self.lowercase, smooth }
    }
}

fn document() -> Document {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/expected.json");
    let path = std::env::var("SEQWEAVE_PARITY_FILE").unwrap_or_else(|_| kept.to_owned());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn measure(corpus: &Corpus, outputs: &[String], expected: &Expected) -> Measured {
    let references: Vec<Vec<&str>> =
        corpus.references.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let sentences: Vec<Sentence<'_>> = outputs
        .iter()
        .zip(&references)
        .map(|(output, references)| Sentence { source: "", output, references })
        .collect();
    let metric: Metric = expected.metric.parse().expect("a metric");
    Measured::over(metric, expected.options(), &sentences).expect("every sentence has a reference")
}

#[test]
fn scores_are_those_of_the_python_packages() {
    let (mut compared, mut wrong, mut farthest) = (0, Vec::new(), 0.0_f64);
    for corpus in document().corpora {
        for expected in &corpus.scores {
            let measured = measure(&corpus, &corpus.outputs, expected);
            let name = format!("{} tok {} {}", expected.metric, expected.tok, expected.smooth);
            let mut check = |what: String, found: Option<f64>, want: f64, close: f64| {
                compared += 1;
                let found = found.unwrap_or(f64::NAN);
                if close == CLOSE {
                    farthest = farthest.max((found - want).abs());
                }
                // A NaN is not close to anything.
                let is_close = (found - want).abs() <= close;
                if !is_close {
                    wrong.push(format!("{name} of {:?}, {what}: {found}, expected {want}", corpus.kinds));
                }
            };
            check("corpus".into(), measured.value(), expected.value, CLOSE);
            assert_eq!(measured.sentences(), expected.each.len());
            for (i, (found, &want)) in measured.of_each().zip(&expected.each).enumerate() {
                let (output, references) = (&corpus.outputs[i], &corpus.references[i]);
                check(format!("{output:?} {references:?}"), found, want, CLOSE);
            }
            if let (Some(mean), Some(half)) = (expected.mean, expected.half) {
                let interval = measured.interval(SAMPLES, SEED);
                check("mean".into(), interval.map(|i| i.mean), mean, CLOSE_RESAMPLED);
                check("interval".into(), interval.map(|i| i.half), half, CLOSE_RESAMPLED);
            }
            if let Some(p_value) = expected.p_value {
                let other = measure(&corpus, &corpus.others, expected);
                let paired = measured.against(&other, SAMPLES, SEED).expect("a pair");
                // A resampled difference that equals the bound may fall on either side in single precision.
                let step = 1.0 / (SAMPLES + 1) as f64;
                check("p-value".into(), paired.map(|p| p.p_value), p_value, 1.1 * step);
            }
        }
    }
    println!("{compared} values compared, the farthest unresampled one is off by {farthest:.1e}");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

#[test]
fn signatures_are_theirs_but_for_the_version() {
    for corpus in document().corpora {
        for expected in &corpus.scores {
            let Some(signature) = &expected.signature else { continue };
            let found = measure(&corpus, &corpus.outputs, expected).signature(Some((SAMPLES, SEED)));
            let cut = |text: &str| text.rsplit_once("|version:").map(|(head, _)| head.to_owned());
            assert_eq!(cut(&found), cut(signature));
            assert!(found.ends_with(concat!("|version:seqweave-", env!("CARGO_PKG_VERSION"))), "{found}");
        }
    }
}
