//! Values of `report` and `watch`.

use std::path::PathBuf;
use std::time::Duration;

use seqweave_data::SourceSpec;
use seqweave_metrics::Metric;

use super::Search;
use crate::args::{self, Scoring};
use crate::exit::{Failure, Outcome};

/// Values of `report`.
#[derive(Debug)]
pub struct Report {
    /// Run folders, at least one.
    pub runs: Vec<PathBuf>,
    /// The file.
    pub output: PathBuf,
    /// Headline, if not the one that is made up.
    pub title: Option<String>,
    /// What is measured, or `None` to translate nothing.
    pub measure: Option<Measure>,
}

/// What a report measures.
#[derive(Debug)]
pub struct Measure {
    /// Pairs, if not the development pairs of each run.
    pub test: Option<SourceSpec>,
    /// The most pairs.
    pub limit: usize,
    /// Metrics; none for those of the run.
    pub metrics: Vec<Metric>,
    /// What scores of texts depend on.
    pub scoring: Scoring,
    /// The search.
    pub search: Search,
}

/// Values of `watch`.
#[derive(Debug)]
pub struct Watch {
    /// The run folder.
    pub run: PathBuf,
    /// One picture.
    pub once: bool,
    /// Time between two looks at the log.
    pub interval: Duration,
}

pub(super) fn report(raw: args::Report) -> Outcome<Report> {
    let args::Report { runs, output, title, test, limit, metrics, no_evaluate, scoring, search } = raw;
    if let Some(run) = runs.iter().enumerate().find(|(i, run)| runs[..*i].contains(run)).map(|(_, run)| run) {
        return Err(Failure::usage(format!("{} is named twice", run.display())));
    }
    let measure = Measure {
        test: test.map(SourceSpec::file),
        limit: if limit == 0 { usize::MAX } else { limit },
        metrics,
        scoring,
        search: super::search(search)?,
    };
    Ok(Report { runs, output, title, measure: (!no_evaluate).then_some(measure) })
}

pub(super) fn watch(raw: args::Watch) -> Watch {
    let args::Watch { run, once, interval } = raw;
    Watch { run, once, interval: Duration::from_secs_f64(interval) }
}
