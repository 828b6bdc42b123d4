//! The options of `report` and `watch`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use seqweave_metrics::Metric;

/// `report`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
One HTML file that needs nothing beside it: curves, scores with intervals,
scores by length, outputs over time, attention maps, worst errors, symbol
confusions, configuration, data and machine. The best checkpoint of each run
translates its development pairs, or those of --test. Several runs are compared
with the first one, with p-values where they are measured on the same pairs.

Examples:
  seqweave report runs/g2p
  seqweave report runs/small runs/large --test test.tsv -o compared.html
  seqweave report runs/g2p --no-evaluate       # what the run folder holds")]
pub struct Report {
    /// Run folders; the first is the one that others are compared with
    #[arg(required = true, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Headline; default: the names of the runs
    #[arg(long)]
    pub title: Option<String>,
    /// Pairs to measure on, as `source<TAB>target` lines; default: the development pairs
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub test: Option<PathBuf>,
    /// The most pairs to measure on, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub limit: usize,
    /// Measures; default: those of the run's validations, and acc, per and chrf
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub metrics: Vec<Metric>,
    /// Translate nothing: show what the run folders hold
    #[arg(long, conflicts_with_all = ["test", "metrics"])]
    pub no_evaluate: bool,
    /// Scores.
    #[command(flatten)]
    pub scoring: super::Scoring,
    /// The search.
    #[command(flatten)]
    pub search: super::Search,
}

/// `watch`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Reads the files of the run folder and nothing else, so the run may be one of
another process, of a mounted folder, or a copy that is brought up to date.
Keys: q or Esc ends, r reads the log anew.

Examples:
  seqweave watch runs/g2p
  seqweave watch runs/g2p --once               # one picture, as text")]
pub struct Watch {
    /// The run folder
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub run: PathBuf,
    /// Print one picture as plain text and end; so it is also where stdout is no terminal
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks at the log
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub interval: f64,
}

/// Seconds that a person can wait.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if (0.05..=3600.0).contains(&x) => Ok(x),
        _ => Err("expected a number from 0.05 to 3600".to_owned()),
    }
}
