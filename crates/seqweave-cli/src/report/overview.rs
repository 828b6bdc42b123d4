//! Summary, comparison, scores, and scores by length.

use seqweave_metrics::Metric;
use seqweave_train::Outcome;

use super::{Examined, Html, Run, Section, note};
use crate::output::Measurement;
use crate::progress::{duration, grouped, outcome_words};

/// What each run is and how it went, at a glance.
pub(super) fn summary(runs: &[Run]) -> Section {
    let several = runs.len() > 1;
    let mut body = Html::default();
    for run in runs {
        if several {
            body.push(Html::element("h3", "", Html::text(&run.name)));
        }
        let card = |(value, name): (String, String)| {
            let value = Html::element("b", "", Html::text(&value));
            Html::element(
                "div",
                "",
                [value, Html::element("span", "", Html::text(&name))].into_iter().collect(),
            )
        };
        body.push(Html::element("div", "cards", cards(run).into_iter().map(card).collect()));
        if let Some(started) = &run.log.started {
            body.push(Html::element("p", "", Html::text(&started.model)));
        }
        for warning in warnings(run) {
            body.push(Html::element(
                "p",
                "",
                [Html::element("b", "bad", Html::text("Note: ")), Html::text(&warning)].into_iter().collect(),
            ));
        }
    }
    Section::new("summary", "Summary", [body])
}

fn cards(run: &Run) -> Vec<(String, String)> {
    let log = &run.log;
    let mut cards = Vec::new();
    if let Some(best) = log.best()
        && let Some((name, value)) = best.scores.iter().find(|(name, _)| *name == best.best_by)
    {
        let value = name.parse().map_or_else(|_| format!("{value:.2}"), |metric| with_unit(metric, *value));
        cards.push((value, format!("best {name}, at step {}", grouped(best.step as usize))));
    }
    let scores = run.examined.iter().flat_map(|examined| &examined.scores);
    for score in scores.filter(|score| score.score.metric.is_of_text()).take(3) {
        cards.push((shown(score), format!("{} of the best model", score.score.metric)));
    }
    if let Some(report) = log.steps.last() {
        let of = match report.total {
            u64::MAX => String::new(),
            total => format!(" of {}", grouped(total as usize)),
        };
        cards.push((grouped(report.step as usize), format!("steps{of}, epoch {}", report.epoch)));
    }
    if let Some(started) = &log.started {
        cards.push((grouped(started.parameters), "parameters".to_owned()));
    }
    if log.seconds > 0.0 {
        cards.push((duration(log.seconds), "of training".to_owned()));
    }
    let mut speeds: Vec<f64> = log.steps.iter().map(|report| report.tgt_tok_s).collect();
    speeds.sort_by(f64::total_cmp);
    if let Some(median) = speeds.get(speeds.len() / 2) {
        cards.push((grouped(median.round() as usize), "target tokens a second".to_owned()));
    }
    let state = log.outcome.map_or("not finished", outcome_words);
    let resumes = match log.resumes {
        0 => "state".to_owned(),
        1 => "state; went on once".to_owned(),
        n => format!("state; went on {n} times"),
    };
    cards.push((state.to_owned(), resumes));
    cards
}

/// What a reader should know before believing the numbers.
fn warnings(run: &Run) -> Vec<String> {
    let mut warnings = Vec::new();
    if run.log.outcome == Some(Outcome::Diverged) {
        warnings.push("the training diverged; what is shown comes from its last good state.".to_owned());
    }
    if !run.log.skipped.is_empty() {
        let count = run.log.skipped.len();
        warnings.push(format!("{count} steps were left out because a number was not finite."));
    }
    // The last training perplexity is that of a window of a few steps, so only a wide gap says something.
    let valid = run.log.validations.last().and_then(|validation| {
        validation.scores.iter().find(|(name, _)| name == Metric::Ppl.name()).map(|(_, value)| *value)
    });
    if let (Some(train), Some(valid)) = (run.log.steps.last().map(|report| report.ppl), valid)
        && valid > 2.0 * train
    {
        warnings.push(format!(
            "perplexity is {valid:.2} on the development data and {train:.2} on the training data: the model has \
             learnt more by heart than it can use."
        ));
    }
    warnings
}

/// The runs beside each other; nothing if there is nothing to compare.
pub(super) fn comparison(runs: &[Run]) -> Option<Section> {
    let base = runs[0].examined.as_ref();
    let same_data = |run: &Run| {
        let hash = |examined: &Examined| (examined.data_hash.clone(), examined.left_out);
        run.examined.as_ref().map(hash) == base.map(hash)
    };
    if runs.iter().all(|run| run.examined.is_some()) {
        let scores =
            |run: &Run| run.examined.iter().flat_map(|examined| examined.scores.clone()).collect::<Vec<_>>();
        // Runs may have been validated by different metrics: whatever any of them was measured by has a column.
        let mut metrics: Vec<Metric> = Vec::new();
        for score in runs.iter().flat_map(scores) {
            if !metrics.contains(&score.score.metric) {
                metrics.push(score.score.metric);
            }
        }
        let head: Vec<&str> = ["run"].into_iter().chain(metrics.iter().map(|metric| metric.name())).collect();
        let rows = runs.iter().map(|run| {
            let found = scores(run);
            let cell = |metric: &Metric| {
                let same = found.iter().find(|score| score.score.metric == *metric);
                same.map_or_else(Html::default, compared)
            };
            [Html::text(&run.name)].into_iter().chain(metrics.iter().map(cell)).collect()
        });
        let mut body = vec![Html::table(&head, rows.collect())];
        body.push(match runs.iter().all(same_data) {
            true => note(
                "± is half of the 95 % interval over corpora like this one. p is the chance of a difference as large \
                 as that to the first run if both were equally good (paired bootstrap); below 0.05 it is bold.",
            ),
            false => note("The runs were measured on different pairs, so there are no p-values."),
        });
        return Some(Section::new("comparison", "Comparison", body));
    }
    let best = |run: &Run| {
        let best = run.log.best()?;
        let scores = best.scores.iter().map(|(name, value)| format!("{name} {value:.2}"));
        Some(vec![
            Html::text(&run.name),
            Html::text(&grouped(best.step as usize)),
            Html::text(&scores.collect::<Vec<_>>().join(", ")),
        ])
    };
    let rows: Vec<Vec<Html>> = runs.iter().filter_map(best).collect();
    (!rows.is_empty()).then(|| {
        let about =
            note("The best validation of each run; without outputs of the models there are no p-values.");
        Section::new("comparison", "Comparison", [Html::table(&["run", "step", "scores"], rows), about])
    })
}

fn compared(score: &Measurement) -> Html {
    let mut html = Html::text(&format!("{}{}", shown(score), score.plus_minus()));
    if let Some(p) = score.p_value {
        let p_value = Html::text(&format!("p = {p:.4}"));
        let sure = if p < 0.05 { Html::element("b", "", p_value) } else { p_value };
        html.push(Html::element("span", "under", sure));
    }
    html
}

/// All scores of a model with what belongs to them.
pub(super) fn scores(examined: &Examined) -> Section {
    let row = |score: &Measurement| {
        let better =
            if score.score.metric.higher_is_better() { "higher is better" } else { "lower is better" };
        vec![
            Html::text(score.score.metric.name()),
            Html::element("b", "", Html::text(&shown(score))),
            Html::text(score.plus_minus().trim()),
            Html::element("span", "note", Html::text(better)),
            Html::element("code", "", Html::text(score.signature.as_deref().unwrap_or_default())),
        ]
    };
    let Examined { model, data, left_out, beam, found, .. } = examined;
    let mut about = format!("{model} on {} pairs of {data}, beam {beam}.", grouped(found.evaluation.lines));
    if *left_out > 0 {
        about.push_str(&format!(" {} more pairs were left out.", grouped(*left_out)));
    }
    let table =
        Html::table(&["metric", "value", "95 %", "", "signature"], examined.scores.iter().map(row).collect());
    Section::new("scores", "Scores", [note(&about), table])
}

/// The scores by the length of the source.
pub(super) fn lengths(examined: &Examined) -> Option<Section> {
    let buckets = &examined.found.buckets;
    let first = buckets.first()?;
    let mut head = vec!["source tokens", "items", "right", ""];
    head.extend(first.values.iter().map(|(metric, _)| metric.name()));
    let rows = buckets.iter().map(|bucket| {
        let (low, high) = (bucket.lengths.start(), bucket.lengths.end());
        let length = if low == high { low.to_string() } else { format!("{low} – {high}") };
        let right = bucket.right.map_or_else(String::new, |right| format!("{right:.1} %"));
        let mut row = vec![
            Html::text(&length),
            Html::text(&grouped(bucket.items)),
            Html::text(&right),
            Html::bar(bucket.right.unwrap_or(0.0) / 100.0),
        ];
        let value = |(_, value): &(Metric, Option<f64>)| {
            Html::text(&value.map_or_else(String::new, |value| format!("{value:.2}")))
        };
        row.extend(bucket.values.iter().map(value));
        row
    });
    Some(Section::new("lengths", "By length", [Html::table(&head, rows.collect())]))
}

fn shown(score: &Measurement) -> String {
    score.score.value.map_or_else(|| "undefined".to_owned(), |value| with_unit(score.score.metric, value))
}

fn with_unit(metric: Metric, value: f64) -> String {
    let unit = if metric.is_percent() && !metric.is_in_points() { " %" } else { "" };
    format!("{value:.2}{unit}")
}
