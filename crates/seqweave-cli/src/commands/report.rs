//! `report`: read the runs, look closely at their models, write one page.

use std::fs;
use std::path::{Path, PathBuf};

use seqweave_data::{Level, Pair, SourceSpec, is_mostly_unspaced};
use seqweave_metrics::{Measured, Metric};
use seqweave_train::config::{Config, Sources};
use seqweave_train::run_log::RunLog;
use seqweave_train::{EvaluateOptions, ExamineOptions, development_pairs, examine, other_pairs};

use super::{open_translator, start_pool, translate_options};
use crate::exit::{Exit, Failure, Outcome};
use crate::history::History;
use crate::output::Measurement;
use crate::report::{Examined, Report, Run};
use crate::resolve::{self, Context, Measure};
use crate::ui::Ui;

/// Stretches of lengths, worst outputs and attention maps of a report.
const BUCKETS: usize = 8;
const WORST: usize = 20;
const MAPS: usize = 4;

/// Reads, measures and writes.
///
/// # Errors
/// When a folder is no run folder, its model or data are refused, or the page cannot be written.
pub fn run(ui: &Ui, context: &Context, job: resolve::Report) -> Outcome {
    start_pool(context.threads.unwrap_or(0))?;
    let mut runs: Vec<Run> = Vec::new();
    let mut baseline: Option<(String, Vec<Measured>)> = None;
    for folder in &job.runs {
        let mut run = read(folder)?;
        if let Some(measure) = &job.measure {
            let examined = look(ui, context, folder, measure, baseline.as_ref())?;
            if baseline.is_none() {
                let measured = examined.found.evaluation.measured.clone();
                baseline = Some((examined.data_hash.clone(), measured));
            }
            run.examined = Some(examined);
        }
        runs.push(run);
    }
    let names = names(&job.runs);
    let title = job.title.clone().unwrap_or_else(|| title(&names, &job.runs));
    for (run, name) in runs.iter_mut().zip(names) {
        (run.history.name, run.name) = (name.clone(), name);
    }
    let page = Report { title, runs, version: env!("CARGO_PKG_VERSION").to_owned() }.html()?;
    fs::write(&job.output, page)
        .map_err(|e| Failure::refused(Exit::Failed, "write the report", &job.output, &e))?;
    ui.note(format!("wrote {}", job.output.display()));
    Ok(Exit::Good)
}

/// What runs are called beside each other: the ends of their paths, as long as it takes to tell them apart.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let whole: Vec<PathBuf> =
        folders.iter().map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.clone())).collect();
    let longest = whole.iter().map(|path| path.components().count()).max().unwrap_or(1);
    let ends = |parts| whole.iter().map(|path| end(path, parts)).collect::<Vec<_>>();
    let differ = |names: &Vec<String>| (1..names.len()).all(|i| !names[..i].contains(&names[i]));
    (1..=longest).map(ends).find(differ).unwrap_or_else(|| ends(longest))
}

/// The last parts of a path.
fn end(path: &Path, parts: usize) -> String {
    let all: Vec<_> = path.components().collect();
    all[all.len().saturating_sub(parts)..].iter().collect::<PathBuf>().display().to_string()
}

/// The headline: the names; a lone run in a folder that is only called `run` has the name of the folder around it.
fn title(names: &[String], folders: &[PathBuf]) -> String {
    let around = |folder: &PathBuf| {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        Some(whole.parent()?.file_name()?.to_string_lossy().into_owned())
    };
    match (names, folders) {
        ([name], [folder]) if name == "run" => around(folder).unwrap_or_else(|| name.clone()),
        _ => names.join(", "),
    }
}

/// What the run folder holds; only the table of metrics must be there.
fn read(folder: &Path) -> Outcome<Run> {
    let history = History::read(folder)?;
    Ok(Run {
        name: history.name.clone(),
        log: RunLog::read(&folder.join("log.jsonl")).unwrap_or_default(),
        config: fs::read_to_string(folder.join("config.toml")).ok(),
        history,
        examined: None,
    })
}

/// Measures the model of a run, and tests it against the first one if that was measured on the same pairs.
fn look(
    ui: &Ui,
    context: &Context,
    folder: &Path,
    measure: &Measure,
    baseline: Option<&(String, Vec<Measured>)>,
) -> Outcome<Examined> {
    let path = folder.join("config.toml");
    let config = Config::load(&Sources { files: vec![path], sets: Vec::new() })?.value;
    let (mut pairs, data) = pairs(&config, measure).map_err(|failure| {
        // A file that was named has an error of its own to mend.
        match &measure.test {
            Some(_) => failure,
            None => failure
                .help("name pairs that are here with --test FILE, or leave measuring out with --no-evaluate"),
        }
    })?;
    let left_out = pairs.len().saturating_sub(measure.limit);
    pairs.truncate(measure.limit);
    let translator = open_translator(ui, context, folder)?;
    let translate = translate_options(&translator, &measure.search);
    let beam = translate.search.beam;
    ui.note(format!("measuring {} on {} pairs, beam {beam}", folder.display(), pairs.len()));
    let metrics = metrics(&config, measure, &pairs);
    let references = pairs.iter().map(|pair| pair.tgt.as_str());
    measure.scoring.doubt(&metrics, references).iter().for_each(|doubt| ui.warn(doubt));
    let evaluate = EvaluateOptions { translate, metrics, text: measure.scoring.options() };
    let options = ExamineOptions { evaluate, buckets: BUCKETS, worst: WORST, attention: MAPS };
    let found = examine(&translator, &pairs, &options)?;
    let (model, data_hash) = (model_name(folder), hash(&pairs));
    let (own, bootstrap) = (&found.evaluation.measured, measure.scoring.bootstrap());
    let base = baseline.filter(|(hash, _)| *hash == data_hash).map_or(&[][..], |(_, measured)| measured);
    let scores = found.evaluation.scores.iter().map(|&score| {
        let of = |measured: &&Measured| measured.metric() == score.metric;
        match (base.iter().find(of), own.iter().find(of)) {
            (_, None) => Ok(Measurement::plain(score)),
            (None, Some(own)) => Ok(Measurement::of(own, bootstrap)),
            (Some(base), Some(own)) => Measurement::against(base, own, bootstrap),
        }
    });
    let scores = scores.collect::<Result<Vec<Measurement>, _>>()?;
    Ok(Examined { model, data, data_hash, left_out, beam, scores, found })
}

/// The pairs to measure on, and where they come from.
fn pairs(config: &Config, measure: &Measure) -> Outcome<(Vec<Pair>, String)> {
    let (pairs, data) = match (&measure.test, &config.data.dev) {
        (Some(test), _) => (other_pairs(config, test)?, name(test)),
        (None, Some(dev)) => (development_pairs(config)?, name(dev)),
        (None, None) => {
            (development_pairs(config)?, "the development pairs split off the training pairs".to_owned())
        }
    };
    if pairs.is_empty() {
        return Err(Failure::new(Exit::Data, "there are no pairs to measure on").at(data));
    }
    Ok((pairs, data))
}

/// Files by their names and folders: where those lie on this machine means nothing to whoever reads the page.
fn name(pairs: &SourceSpec) -> String {
    pairs.paths().iter().map(|path| end(path, 2)).collect::<Vec<_>>().join(" ")
}

/// What was asked for, or what the run measures itself and a few more, each once.
fn metrics(config: &Config, measure: &Measure, pairs: &[Pair]) -> Vec<Metric> {
    let rate = rate(config.data.tgt.level, pairs);
    let own = config.valid.metrics.iter().copied().chain([Metric::Acc, rate, Metric::Chrf]);
    let wanted: Vec<Metric> =
        if measure.metrics.is_empty() { own.collect() } else { measure.metrics.clone() };
    let mut metrics: Vec<Metric> = Vec::new();
    for metric in wanted {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    metrics
}

/// The share of symbols that are wrong: of characters, where the targets have no words to count errors in.
fn rate(level: Level, pairs: &[Pair]) -> Metric {
    let targets = pairs.iter().map(|pair| pair.tgt.as_str());
    let no_words = level == Level::Char || is_mostly_unspaced(targets);
    if no_words { Metric::Cer } else { Metric::Per }
}

/// `step-00000250, the best checkpoint of runs/g2p`
fn model_name(folder: &Path) -> String {
    use seqweave::store::Disk;
    use seqweave_train::checkpoint::{Pointer, pointer};
    match pointer(&Disk, folder, Pointer::Best).ok().flatten() {
        Some(name) => format!("{name}, the best checkpoint of {},", folder.display()),
        None => folder.display().to_string(),
    }
}

/// BLAKE3 of the pairs as lines, which is that of a plain TSV file of them.
fn hash(pairs: &[Pair]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Pair { src, tgt, .. } in pairs {
        for part in [src.as_str(), "\t", tgt, "\n"] {
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_in_characters_where_there_are_no_words() {
        let rate_of = |level, tgt: &str| rate(level, &[Pair { src: "x".into(), tgt: tgt.into(), line: 1 }]);
        assert_eq!(rate_of(Level::Bpe, "我愛你。"), Metric::Cer);
        assert_eq!(rate_of(Level::Bpe, "I love you."), Metric::Per);
        assert_eq!(rate_of(Level::Char, "I love you."), Metric::Cer);
    }

    #[test]
    fn runs_are_told_apart_by_the_ends_of_their_paths() {
        let called = |folders: &[&str]| names(&folders.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(called(&["/none/runs/small", "/none/runs/large"]), ["small", "large"]);
        assert_eq!(called(&["/none/a/run", "/none/b/run"]), ["a/run", "b/run"]);
        assert_eq!(called(&["/none/run"]), ["run"]);
    }

    #[test]
    fn a_folder_called_run_says_less_than_the_one_around_it() {
        let titled = |folders: &[&str]| {
            let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
            title(&names(&folders), &folders)
        };
        assert_eq!(titled(&["/none/cmudict/run"]), "cmudict");
        assert_eq!(titled(&["/none/runs/g2p"]), "g2p");
        assert_eq!(titled(&["/none/a/run", "/none/b/run"]), "a/run, b/run");
    }
}
