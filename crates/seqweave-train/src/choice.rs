//! Which checkpoints of a run are meant: the newest, or the best by its validations.

use std::path::{Path, PathBuf};

use seqweave::store::{self, Disk};
use seqweave_metrics::Metric;

use crate::checkpoint::{self, MetricTable};
use crate::config::{Config, Sources};
use crate::{Error, Result};

/// Several checkpoints of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// So many of the newest.
    Last(usize),
    /// So many of those with the best validations by the run's `valid.best_by`.
    Best(usize),
}

/// The steps of a table that have a value of `metric`, best first; of equal values the earlier step comes first.
pub fn ranked(table: &MetricTable, metric: Metric) -> Vec<u64> {
    let Some(column) = table.columns.iter().position(|name| name == metric.name()) else { return Vec::new() };
    let value =
        |values: &[Option<f64>]| values.get(column).copied().flatten().filter(|value| !value.is_nan());
    let mut scored: Vec<(u64, f64)> =
        table.rows.iter().filter_map(|row| Some((row.step, value(&row.values)?))).collect();
    // Stable, so that equal scores stay in the order of their steps.
    scored.sort_by(|(_, a), (_, b)| if metric.higher_is_better() { b.total_cmp(a) } else { a.total_cmp(b) });
    scored.into_iter().map(|(step, _)| step).collect()
}

/// The folders of the chosen checkpoints of the run folder `run`; every one of them verifies.
///
/// # Errors
/// [`Error::TooFewCheckpoints`] when the run has not so many, [`Error::NoGoodCheckpoint`] when none of its checkpoints can
/// be read, [`Error::ConfigRead`] or [`Error::Config`] when its `config.toml`, which names the metric, cannot be used.
pub fn choose(run: &Path, choice: Choice) -> Result<Vec<PathBuf>> {
    let folders = checkpoint::checkpoints_folder(run);
    let names = checkpoint::list(&Disk, run)?;
    let (wanted, which, ranked) = match choice {
        Choice::Last(wanted) => (wanted, "that can be read", names.into_iter().rev().collect()),
        Choice::Best(wanted) => (wanted, "with a validation", best_first(run, &names)?),
    };
    let verifies = |folder: &PathBuf| store::verify_folder(&Disk, folder).is_ok();
    let good = ranked.into_iter().map(|name: String| folders.join(name)).filter(verifies);
    let chosen: Vec<PathBuf> = good.take(wanted).collect();
    if chosen.len() < wanted {
        return Err(Error::TooFewCheckpoints { run: run.into(), which, wanted, found: chosen.len() });
    }
    Ok(chosen)
}

/// The names that were validated, by the history in the newest checkpoint.
fn best_first(run: &Path, names: &[String]) -> Result<Vec<String>> {
    let latest = checkpoint::load_latest(&Disk, run)?;
    let Some(newest) = latest.checkpoint else {
        if latest.refused.is_empty() {
            return Ok(Vec::new());
        }
        let refused = latest.refused.iter();
        let refused =
            refused.map(|r| format!("{}: {}", r.folder.display(), r.error.without_help())).collect();
        return Err(Error::NoGoodCheckpoint { run: run.into(), refused });
    };
    let sources = Sources { files: vec![run.join("config.toml")], sets: Vec::new() };
    let metric = Config::load(&sources)?.value.valid.best_by;
    let ranked = ranked(&newest.state.metrics, metric).into_iter().map(checkpoint::folder_name);
    Ok(ranked.filter(|name| names.contains(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::MetricRow;

    #[test]
    fn steps_are_ranked_in_the_direction_of_the_metric_and_ties_by_time() {
        let values = [Some(3.0), Some(1.0), None, Some(f64::NAN), Some(1.0), Some(2.0)];
        let row = |(i, &value): (usize, &Option<f64>)| MetricRow {
            step: 10 * (i as u64 + 1),
            epoch: 1,
            values: vec![Some(0.5), value, value],
        };
        let table = MetricTable {
            columns: ["lr", "ppl", "bleu"].map(str::to_owned).to_vec(),
            rows: values.iter().enumerate().map(row).collect(),
        };
        assert_eq!(ranked(&table, Metric::Ppl), [20, 50, 60, 10]);
        assert_eq!(ranked(&table, Metric::Bleu), [10, 60, 20, 50]);
        assert_eq!(ranked(&table, Metric::Wer), [0; 0], "a metric that was not measured ranks nothing");
    }
}
