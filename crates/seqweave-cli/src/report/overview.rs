//! Summary, comparison, scores, and scores by length.

use seqweave_metrics::Metric;
use seqweave_train::Outcome;

use super::{Column, Examined, Html, Run, Section, note};
use crate::history::in_words;
use crate::output::Measurement;
use crate::progress::{duration, grouped, outcome_words};

/// The score that matters most, large, and in a sentence what it was measured on.
///
/// Of several runs it is that of the best one, where all were measured by it on the same pairs, and else none.
pub(super) fn headline(runs: &[Run]) -> Html {
    let Some(metric) = runs.first().and_then(deciding) else { return Html::default() };
    let of = |run: &Run| leading(run, metric);
    let better = |a: &(usize, f64), b: &(usize, f64)| metric.is_better(b.1, a.1);
    let data = |run: &Run| run.examined.as_ref().map(|examined| examined.data_hash.clone());
    if runs.iter().any(|run| data(run) != data(&runs[0])) {
        return Html::default();
    }
    let values: Option<Vec<f64>> = runs.iter().map(|run| Some(of(run)?.0)).collect();
    let values = values.unwrap_or_default().into_iter().enumerate();
    let Some((place, value)) = values.reduce(|a, b| if better(&a, &b) { b } else { a }) else {
        return Html::default();
    };
    let run = &runs[place];
    let around = of(run).map(|(_, around)| around).unwrap_or_default();
    let part = |class, text: &str| Html::element("span", class, Html::text(text));
    let figure = [
        Html::element("b", "", Html::text(&with_unit(metric, value))),
        part("around", around.trim()),
        part("what", in_words(metric)),
    ];
    let better = if metric.higher_is_better() { "higher is better" } else { "lower is better" };
    let mut about = match &run.examined {
        Some(Examined { data, beam, found, .. }) => {
            let pairs = count(found.evaluation.lines, "pair");
            format!("on {pairs} of {data}, beam {beam}; {better}.")
        }
        None => format!("at the best validation; {better}."),
    };
    if runs.len() > 1 {
        about = format!("the best of {} runs is {}: {about}", runs.len(), run.name);
    }
    [
        Html::element("p", "headline", figure.into_iter().collect()),
        Html::element("p", "lead", Html::text(&capitalised(&about))),
    ]
    .into_iter()
    .collect()
}

/// The metric that decides which checkpoint of a run is the best; where others were measured, the first of them.
fn deciding(run: &Run) -> Option<Metric> {
    let decides = run.log.best().and_then(|best| best.best_by.parse().ok());
    let Some(examined) = &run.examined else { return decides };
    let mut measured = examined.scores.iter().map(|score| score.score.metric);
    let first = measured.clone().next();
    decides.filter(|decides| measured.any(|metric| metric == *decides)).or(first)
}

/// What a run reached by a metric, and how sure that is: of its best model looked at closely, else of its best validation.
fn leading(run: &Run, metric: Metric) -> Option<(f64, String)> {
    let Some(examined) = &run.examined else {
        let best = run.log.best()?;
        let of = |(name, value): &(String, f64)| (name.parse() == Ok(metric)).then_some(*value);
        return best.scores.iter().find_map(of).map(|value| (value, String::new()));
    };
    let score = examined.scores.iter().find(|score| score.score.metric == metric)?;
    Some((score.score.value?, score.plus_minus()))
}

/// What each run is and how it went, at a glance.
pub(super) fn summary(runs: &[Run]) -> Section {
    let several = runs.len() > 1;
    let mut body = Html::default();
    for run in runs {
        if several {
            body.push(Html::element("h3", "", Html::text(&run.name)));
        }
        let fact = |(name, value): (String, Html)| {
            let parts = [Html::element("dt", "", Html::text(&name)), Html::element("dd", "", value)];
            Html::element("div", "", parts.into_iter().collect())
        };
        body.push(Html::element("dl", "facts", facts(run, !several).into_iter().map(fact).collect()));
        if let Some(started) = &run.log.started {
            body.push(note(&started.model));
        }
        for warning in warnings(run) {
            let parts = [Html::element("b", "", Html::text("Note: ")), Html::text(&warning)];
            body.push(Html::element("p", "warning", parts.into_iter().collect()));
        }
    }
    Section::new("summary", "Summary", [body])
}

/// Names and values, the scores first; that of a run that is alone stands above.
fn facts(run: &Run, is_alone: bool) -> Vec<(String, Html)> {
    let log = &run.log;
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: &str| facts.push((name.to_owned(), Html::text(value)));
    let scores = run.examined.iter().flat_map(|examined| &examined.scores);
    let said = deciding(run).filter(|_| is_alone);
    for score in
        scores.filter(|score| score.score.metric.is_of_text() && Some(score.score.metric) != said).take(3)
    {
        fact(in_words(score.score.metric), &shown(score));
    }
    if let Some(best) = log.best() {
        fact("best at step", &grouped(best.step as usize));
    }
    if let Some(report) = log.steps.last() {
        let of = match report.total {
            u64::MAX => String::new(),
            total if total == log.step() => String::new(),
            total => format!(" of {}", grouped(total as usize)),
        };
        fact("steps", &format!("{}{of}", grouped(log.step() as usize)));
        fact("epoch", &grouped(report.epoch as usize));
    }
    if let Some(started) = &log.started {
        fact("parameters", &grouped(started.parameters));
    }
    if log.seconds > 0.0 {
        fact("time of training", &duration(log.seconds));
    }
    let mut speeds: Vec<f64> = log.steps.iter().map(|report| report.tgt_tok_s).collect();
    speeds.sort_by(f64::total_cmp);
    if let Some(median) = speeds.get(speeds.len() / 2) {
        fact("target tokens a second", &grouped(median.round() as usize));
    }
    let (state, class) = match log.outcome {
        None => ("not finished", "nothing"),
        Some(outcome @ Outcome::Diverged) => (outcome_words(outcome), "bad"),
        // The reason has a sentence of its own in the log.
        Some(Outcome::StoppedEarly) => ("stopped early", "good"),
        Some(outcome @ Outcome::Completed) => (outcome_words(outcome), "good"),
        Some(outcome) => (outcome_words(outcome), ""),
    };
    let resumes = match log.resumes {
        0 => "state".to_owned(),
        1 => "state; went on once".to_owned(),
        n => format!("state; went on {n} times"),
    };
    facts.push((resumes, Html::element("span", class, Html::text(state))));
    facts
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
        let scored = metrics.iter().map(|metric| Column::number(in_words(*metric)));
        let head: Vec<Column<'_>> = [Column::text("run")].into_iter().chain(scored).collect();
        let rows = runs.iter().map(|run| {
            let found = scores(run);
            let cell = |metric: &Metric| {
                let of = |scores: &[Measurement]| {
                    scores.iter().find(|score| score.score.metric == *metric).cloned()
                };
                of(&found)
                    .map_or_else(Html::default, |score| compared(&score, of(&scores(&runs[0])).as_ref()))
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
        let word = |name: &String| name.parse().map_or(name.clone(), |metric| in_words(metric).to_owned());
        let scores = best.scores.iter().map(|(name, value)| format!("{} {value:.2}", word(name)));
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
        let head = [Column::text("run"), Column::number("step"), Column::text("scores")];
        Section::new("comparison", "Comparison", [Html::table(&head, rows), about])
    })
}

/// A score beside that of the first run.
fn compared(score: &Measurement, first: Option<&Measurement>) -> Html {
    let mut html = Html::text(&format!("{}{}", shown(score), score.plus_minus()));
    // Where nothing differs, the test as it is published finds no difference larger, and its p is the least that there is.
    let is_equal = first.is_some_and(|first| first.score.value == score.score.value);
    if score.p_value.is_some() && is_equal {
        html.push(Html::element("span", "under", Html::text("same")));
    } else if let Some(p) = score.p_value {
        let p_value = Html::text(&format!("p = {p:.4}"));
        let sure = if p < 0.05 { Html::element("b", "", p_value) } else { p_value };
        html.push(Html::element("span", "under", sure));
    }
    html
}

/// All scores of a model with what belongs to them.
pub(super) fn scores(examined: &Examined) -> Section {
    let row = |score: &Measurement| {
        let metric = score.score.metric;
        let better = if metric.higher_is_better() { "higher" } else { "lower" };
        vec![
            Html::text(in_words(metric)),
            Html::element("b", "", Html::text(&shown(score))),
            Html::text(score.plus_minus().trim()),
            Html::element("span", "note", Html::text(better)),
        ]
    };
    let Examined { model, data, left_out, beam, found, .. } = examined;
    let mut about = format!("{model} on {} of {data}, beam {beam}.", count(found.evaluation.lines, "pair"));
    if *left_out > 0 {
        about.push_str(&format!(" {} more pairs were left out.", grouped(*left_out)));
    }
    let head =
        [Column::text("metric"), Column::number("value"), Column::number("95 %"), Column::text("better")];
    let table = Html::table(&head, examined.scores.iter().map(row).collect());
    let signature = |score: &Measurement| {
        let signature = Html::element("code", "", Html::text(score.signature.as_deref()?));
        Some((in_words(score.score.metric).to_owned(), signature))
    };
    let signatures: Vec<_> = examined.scores.iter().filter_map(signature).collect();
    let mut body = vec![note(&about), table];
    if !signatures.is_empty() {
        body.push(note("Signatures, which say what a value depends on:"));
        body.push(Html::pairs("signatures", signatures));
    }
    Section::new("scores", "Scores", body)
}

/// The scores by the length of the source.
pub(super) fn lengths(examined: &Examined) -> Option<Section> {
    let buckets = &examined.found.buckets;
    let first = buckets.first()?;
    let metrics: Vec<Metric> = first.values.iter().map(|(metric, _)| *metric).collect();
    // Accuracy is the share of outputs that are right.
    let says_right = !metrics.contains(&Metric::Acc);
    let mut head = vec![Column::number("source tokens"), Column::number("items")];
    head.extend(says_right.then(|| Column::number("right")));
    for (i, metric) in metrics.iter().enumerate() {
        head.push(Column::number(in_words(*metric)));
        head.extend((i == 0).then(|| Column::text("")));
    }
    let leading = buckets.iter().filter_map(|bucket| bucket.values.first()?.1);
    let most = leading.fold(f64::MIN_POSITIVE, f64::max);
    let rows = buckets.iter().map(|bucket| {
        let (low, high) = (bucket.lengths.start(), bucket.lengths.end());
        let length = if low == high { low.to_string() } else { format!("{low} – {high}") };
        let mut row = vec![Html::text(&length), Html::text(&grouped(bucket.items))];
        let right = || bucket.right.map_or_else(String::new, |right| format!("{right:.1} %"));
        row.extend(says_right.then(|| Html::text(&right())));
        for (i, (metric, value)) in bucket.values.iter().enumerate() {
            row.push(Html::text(&value.map_or_else(String::new, |value| with_unit(*metric, value))));
            row.extend((i == 0).then(|| Html::bar(value.unwrap_or(0.0) / most)));
        }
        row
    });
    Some(Section::new("lengths", "By length", [Html::table(&head, rows.collect())]))
}

/// `1 pair`, `2,000 pairs`
fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// A sentence begins with a capital.
fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn shown(score: &Measurement) -> String {
    score.score.value.map_or_else(|| "undefined".to_owned(), |value| with_unit(score.score.metric, value))
}

fn with_unit(metric: Metric, value: f64) -> String {
    let unit = if metric.is_percent() && !metric.is_in_points() { " %" } else { "" };
    format!("{value:.2}{unit}")
}
