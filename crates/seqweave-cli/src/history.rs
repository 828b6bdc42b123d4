//! What a run folder says about the course of a training, as curves.

use std::fs;
use std::path::Path;

use seqweave_metrics::Metric;
use seqweave_train::StepReport;
use seqweave_train::run_log::RunLog;

use crate::exit::{Exit, Failure, Outcome};
use crate::plot::{Best, Curves, Panel, Scale, Series};

/// A curve: (step, value).
type Points = Vec<(f64, f64)>;

/// The course of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Name of the run folder.
    pub name: String,
    /// Perplexity on the training data, from the log lines.
    pub train_ppl: Points,
    /// Learning rate, from the log lines.
    pub lr: Points,
    /// Target tokens a second, from the log lines.
    pub speed: Points,
    /// Norm of the gradient before clipping, from the log lines.
    pub grad_norm: Points,
    /// What validations measured, by the name of its column.
    pub valid: Vec<(String, Points)>,
}

impl History {
    /// Reads `metrics.tsv` and, if it is there, `log.jsonl`.
    ///
    /// # Errors
    /// When there is no `metrics.tsv`, or it is not a table of numbers.
    pub fn read(run: &Path) -> Outcome<History> {
        let path = run.join("metrics.tsv");
        let table = fs::read_to_string(&path).map_err(|e| {
            Failure::new(Exit::Data, format!("cannot read the metrics of a run: {e}"))
                .at(path.display())
                .help("name a run folder, as `seqweave train` writes it")
        })?;
        let name = run.canonicalize().unwrap_or_else(|_| run.into());
        let mut history = History {
            name: name.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            ..History::default()
        };
        history.add_table(&table).map_err(|(line, what)| {
            Failure::new(Exit::Data, what).at(format!("{}:{line}", path.display()))
        })?;
        // The log is finer than the table, but a figure can do without it.
        if let Ok(log) = RunLog::read(&run.join("log.jsonl")) {
            history.add_log(&log);
        }
        Ok(history)
    }

    /// Takes the rows of `metrics.tsv`; an error is a line number and what is wrong there.
    fn add_table(&mut self, table: &str) -> Result<(), (usize, String)> {
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        if header.first() != Some(&"step") {
            return Err((1, "expected a header that begins with `step`".to_owned()));
        }
        let mut columns: Vec<Points> = vec![Vec::new(); header.len()];
        for (i, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split('\t').collect();
            if cells.len() != header.len() {
                // A crash may cut the last row; it is written again on resume.
                if i + 2 == table.lines().count() {
                    break;
                }
                return Err((i + 2, format!("expected {} columns, found {}", header.len(), cells.len())));
            }
            let number = |cell: &str| {
                cell.parse::<f64>().map_err(|_| (i + 2, format!("expected a number, found `{cell}`")))
            };
            let step = number(cells[0])?;
            for (column, cell) in columns.iter_mut().zip(&cells).skip(1) {
                if !cell.is_empty() {
                    column.push((step, number(cell)?));
                }
            }
        }
        for (name, points) in header.into_iter().zip(columns) {
            match name {
                "lr" => self.lr = points,
                "train_xent" => self.train_ppl = points.into_iter().map(|(x, y)| (x, y.exp())).collect(),
                _ if name.parse::<Metric>().is_ok() => self.valid.push((name.to_owned(), points)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the step events of `log.jsonl`, in place of the coarser columns of the table.
    fn add_log(&mut self, log: &RunLog) {
        let points = |value: fn(&StepReport) -> f64| -> Points {
            log.steps.iter().map(|report| (report.step as f64, value(report))).collect()
        };
        if log.steps.len() > self.train_ppl.len() {
            self.train_ppl = points(|report| report.ppl);
        }
        if log.steps.len() > self.lr.len() {
            self.lr = points(|report| report.lr);
        }
        self.speed = points(|report| report.tgt_tok_s);
        self.grad_norm = points(|report| report.grad_norm);
    }

    fn valid(&self, metric: Metric) -> Option<&Points> {
        self.valid.iter().find(|(name, _)| name.parse() == Ok(metric)).map(|(_, points)| points)
    }
}

/// The metrics of one run that share a panel, since they are alike in scale and in which end is the better one. Perplexity
/// has a panel with that of training.
const GROUPS: [&[Metric]; 6] = [
    &[Metric::Wer, Metric::Per, Metric::Cer],
    &[Metric::Acc, Metric::TokenAcc, Metric::SeqAcc],
    &[Metric::Bleu, Metric::Chrf, Metric::ChrfPlusPlus],
    &[Metric::Ter],
    &[Metric::Rouge1, Metric::Rouge2, Metric::RougeL],
    &[Metric::F05],
];

/// A metric in the words of a heading.
pub(crate) fn in_words(metric: Metric) -> &'static str {
    match metric {
        Metric::Wer => "word error rate",
        Metric::Per => "token error rate",
        Metric::Cer => "character error rate",
        Metric::Acc => "accuracy",
        Metric::Ppl => "perplexity",
        Metric::TokenAcc => "token accuracy",
        Metric::SeqAcc => "sequence accuracy",
        Metric::Bleu => "BLEU",
        Metric::Chrf => "chrF",
        Metric::ChrfPlusPlus => "chrF++",
        Metric::Ter => "TER",
        Metric::Rouge1 => "ROUGE-1",
        Metric::Rouge2 => "ROUGE-2",
        Metric::RougeL => "ROUGE-L",
        Metric::F05 => "F0.5",
        _ => metric.name(),
    }
}

/// What a panel of these metrics shows.
fn label(metrics: &[Metric]) -> String {
    match metrics {
        [metric] if metric.is_percent() && !metric.is_in_points() => format!("{} (%)", in_words(*metric)),
        [metric] => in_words(*metric).to_owned(),
        [Metric::Wer | Metric::Per | Metric::Cer, ..] => "error rate (%)".to_owned(),
        [Metric::Acc | Metric::TokenAcc | Metric::SeqAcc, ..] => "accuracy (%)".to_owned(),
        [Metric::Rouge1 | Metric::Rouge2 | Metric::RougeL, ..] => "ROUGE".to_owned(),
        _ => metrics.iter().map(|metric| in_words(*metric)).collect::<Vec<_>>().join(", "),
    }
}

/// The figure of one or more runs.
///
/// Metrics of one run that share a scale share a panel; several runs get a panel for each metric, and a colour each.
pub fn curves(runs: &[History], title: Option<&str>) -> Curves {
    let one = runs.len() == 1;
    let name = |run: &History, what: &str| {
        if one {
            what.to_owned()
        } else if what.is_empty() {
            run.name.clone()
        } else {
            format!("{} {what}", run.name)
        }
    };
    let mut panels = vec![Panel {
        label: "perplexity".to_owned(),
        scale: Scale::Auto,
        best: Some(Best::Lowest),
        series: Vec::new(),
    }];
    for (i, run) in runs.iter().enumerate() {
        let train =
            Series { name: name(run, "train"), colour: i, faint: true, points: run.train_ppl.clone() };
        panels[0].series.push(train);
        if let Some(points) = run.valid(Metric::Ppl) {
            let valid = Series { name: name(run, "valid"), colour: i, faint: false, points: points.clone() };
            panels[0].series.push(valid);
        }
    }
    let alone = || Metric::ALL.iter().filter(|metric| **metric != Metric::Ppl).map(std::slice::from_ref);
    let groups: Vec<&[Metric]> = if one { GROUPS.to_vec() } else { alone().collect() };
    for metrics in groups {
        let measured = |metric: &Metric| runs.iter().any(|run| run.valid(*metric).is_some());
        let metrics: Vec<Metric> = metrics.iter().copied().filter(measured).collect();
        let mut series = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            for metric in &metrics {
                let Some(points) = run.valid(*metric) else { continue };
                // The colour of a lone run tells its metrics apart, that of several runs the runs. One metric alone is
                // named by the panel.
                let (what, colour) = match (one, metrics.len()) {
                    (true, 1) => ("", 0),
                    (true, _) => (in_words(*metric), series.len()),
                    (false, _) => ("", i),
                };
                series.push(Series { name: name(run, what), colour, faint: false, points: points.clone() });
            }
        }
        if !series.is_empty() {
            let best = if metrics[0].higher_is_better() { Best::Highest } else { Best::Lowest };
            panels.push(Panel { label: label(&metrics), scale: Scale::Linear, best: Some(best), series });
        }
    }
    let series = runs.iter().enumerate().map(|(i, run)| Series {
        name: name(run, ""),
        colour: i,
        faint: false,
        points: run.lr.clone(),
    });
    let series = series.collect();
    panels.push(Panel { label: "learning rate".to_owned(), scale: Scale::Linear, best: None, series });
    let title = title.map_or_else(
        || runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", "),
        str::to_owned,
    );
    Curves { title, x_label: "step".to_owned(), width: Curves::PAGE, panels }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
step\tepoch\tlr\ttrain_xent\ttrain_acc\tppl\twer\tbest
10\t0\t0.001\t1.0\t50\t3.5\t90\t1
20\t0\t0.002\t0\t60\t2.5\t\t0
";

    fn history() -> History {
        let mut history = History { name: "r".to_owned(), ..History::default() };
        history.add_table(TABLE).unwrap();
        history
    }

    #[test]
    fn tables_become_curves() {
        let history = history();
        assert_eq!(history.lr, [(10.0, 0.001), (20.0, 0.002)]);
        assert_eq!(history.train_ppl, [(10.0, 1f64.exp()), (20.0, 1.0)]);
        assert_eq!(history.valid[0], ("ppl".to_owned(), vec![(10.0, 3.5), (20.0, 2.5)]));
        assert_eq!(history.valid[1], ("wer".to_owned(), vec![(10.0, 90.0)]));
        assert_eq!(history.valid.len(), 2);
    }

    #[test]
    fn a_cut_last_row_is_left_out_and_others_are_refused() {
        let mut history = History::default();
        history.add_table(&format!("{TABLE}30\t1\t0.0")).unwrap();
        assert_eq!(history.lr.len(), 2);
        let refused = |table: &str| History::default().add_table(table).unwrap_err();
        assert_eq!(refused(""), (1, "expected a header that begins with `step`".to_owned()));
        assert_eq!(refused("step\tlr\n1\n2\t3\n"), (2, "expected 2 columns, found 1".to_owned()));
        assert_eq!(refused("step\tlr\n1\tx\n"), (2, "expected a number, found `x`".to_owned()));
    }

    #[test]
    fn the_log_is_finer_than_the_table() {
        let mut history = history();
        let step = |step: u64, ppl: f64| StepReport { step, ppl, tgt_tok_s: 9.0, ..StepReport::default() };
        let mut log = RunLog { steps: vec![step(5, 9.0)], ..RunLog::default() };
        history.add_log(&log);
        assert_eq!(history.train_ppl[0], (10.0, 1f64.exp()), "one log line says less than two rows");
        log.steps = vec![step(5, 9.0), step(10, 7.0), step(15, 6.0)];
        history.add_log(&log);
        assert_eq!(history.train_ppl, [(5.0, 9.0), (10.0, 7.0), (15.0, 6.0)]);
        assert_eq!((history.lr.len(), history.speed[2]), (3, (15.0, 9.0)));
    }

    #[test]
    fn one_run_groups_metrics_and_several_runs_separate_them() {
        let labels =
            |runs: &[History]| curves(runs, None).panels.iter().map(|p| p.label.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&[history()]), ["perplexity", "word error rate (%)", "learning rate"]);
        let two = [history(), History { name: "s".to_owned(), ..history() }];
        assert_eq!(labels(&two), ["perplexity", "word error rate (%)", "learning rate"]);
        let figure = curves(&two, None);
        assert_eq!(figure.title, "r, s");
        let names: Vec<_> = figure.panels[0].series.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["r train", "r valid", "s train", "s valid"]);
        assert!(figure.to_svg().is_ok());
    }

    #[test]
    fn each_metric_is_drawn_once_beside_its_like() {
        for metric in Metric::ALL {
            let groups = GROUPS.iter().filter(|group| group.contains(&metric)).count();
            assert_eq!(groups, usize::from(metric != Metric::Ppl), "{metric}");
        }
        for group in GROUPS {
            let first = group[0].higher_is_better();
            assert!(group.iter().all(|metric| metric.higher_is_better() == first), "{group:?}");
        }
        let header: String = Metric::ALL.iter().map(|metric| format!("\t{metric}")).collect();
        let row =
            |step: u32, value: f64| format!("{step}{}\n", format!("\t{value}").repeat(Metric::ALL.len()));
        let table = format!("step{header}\n{}{}", row(1, 40.0), row(2, 60.0));
        let mut history = History { name: "r".to_owned(), ..History::default() };
        history.add_table(&table).unwrap();
        let mut labels = std::collections::HashSet::new();
        for (runs, panels) in
            [(vec![history.clone()], 2 + GROUPS.len()), (vec![history.clone(), history], 16)]
        {
            let figure = curves(&runs, None);
            assert_eq!(figure.panels.len(), panels);
            let drawn: usize = figure.panels.iter().map(|panel| panel.series.len()).sum();
            // Perplexity stands beside that of training, and the learning rate is no metric.
            assert_eq!(drawn, runs.len() * (Metric::ALL.len() + 2), "{panels} panels");
            assert!(
                figure.panels.iter().all(|panel| panel.label != "TER" || panel.best == Some(Best::Lowest))
            );
            for panel in figure.panels {
                assert!(labels.insert((runs.len(), panel.label.clone())), "{} twice", panel.label);
            }
        }
    }

    #[test]
    fn a_folder_without_metrics_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let failure = History::read(dir.path()).unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.render(str::to_owned).contains("metrics.tsv"));
    }
}
