//! The page: its sections, its comparisons, and that no text in it is markup.

use super::*;
use seqweave::{Output, Translation};
use seqweave_data::Level;
use seqweave_metrics::{Confusions, Interval, Metric, Score};
use seqweave_train::{Answer, Bucket, Evaluation, Outcome, Sample, Started, StepReport, Validation, Wrong};

const HOSTILE: &str = "</script></style><img src=x onerror=alert(1)>\"'&\u{202e}\u{0}";

fn examined(text: &str) -> Examined {
    let answer = Answer {
        source: text.to_owned(),
        references: vec![format!("a {text}")],
        output: format!("b {text}"),
        right: false,
    };
    let mut confusions = Confusions::default();
    for (output, reference) in [("b", "a"), ("c", "b"), (text, "c"), ("a", "c")] {
        confusions.add(&[output], &[&[reference]]);
    }
    let output = Output {
        text: text.to_owned(),
        tokens: vec![text.to_owned()],
        log_prob: 0.0,
        score: 0.0,
        token_log_probs: vec![0.0, 0.0],
        attention: vec![vec![0.9, 0.1], vec![0.2, 0.8]],
    };
    let translation =
        Translation { source_tokens: vec![text.to_owned()], source_tags: 0, outputs: vec![output] };
    let score = Score { metric: Metric::Bleu, value: Some(31.25), total: 7 };
    let interval = Interval { mean: 31.0, half: 1.5, low: 29.0, high: 33.0 };
    Examined {
        model: format!("step-1 of {text}"),
        data: text.to_owned(),
        data_hash: "0123".to_owned(),
        left_out: 3,
        beam: 5,
        scores: vec![Measurement { interval: Some(interval), ..Measurement::plain(score) }],
        found: Examination {
            evaluation: Evaluation { lines: 1, items: 1, answers: vec![answer], ..Evaluation::default() },
            buckets: vec![Bucket {
                lengths: 1..=4,
                items: 1,
                right: Some(12.5),
                values: vec![(Metric::Bleu, Some(31.25))],
            }],
            worst: vec![Wrong { answer: 0, reference: format!("a {text}"), rate: 50.0 }],
            confusions,
            symbols: Level::Word,
            attended: vec![(text.to_owned(), translation)],
        },
    }
}

fn run(name: &str, text: &str) -> Run {
    let sample = Sample { source: text.into(), reference: text.into(), hypothesis: text.into() };
    let log = RunLog {
        started: Some(Started {
            model: text.into(),
            data: vec![text.into()],
            device: text.into(),
            machine: text.into(),
            parameters: 1234,
            ..Started::default()
        }),
        steps: vec![StepReport { step: 5, total: 10, ppl: 1.5, ..StepReport::default() }],
        validations: vec![Validation {
            step: 5,
            scores: vec![(text.into(), 1.0), ("ppl".into(), 9.5)],
            best_by: text.into(),
            best: true,
            samples: vec![sample],
            ..Validation::default()
        }],
        outcome: Some(Outcome::Completed),
        ..RunLog::default()
    };
    Run {
        name: name.to_owned(),
        history: History { name: name.to_owned(), train_ppl: vec![(5.0, 1.5)], ..History::default() },
        log,
        config: Some(format!("name = \"{text}\"")),
        examined: Some(examined(text)),
    }
}

fn page(runs: Vec<Run>) -> String {
    Report { title: "t".to_owned(), runs, version: "0".to_owned() }.html().unwrap()
}

#[test]
fn every_section_is_there_and_linked() {
    let page = page(vec![run("one", "x y")]);
    for id in [
        "summary",
        "curves",
        "scores",
        "lengths",
        "samples",
        "attention",
        "errors",
        "confusions",
        "data",
        "machine",
        "config",
    ] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\">")).count(), 1, "{id}");
        assert_eq!(page.matches(&format!("href=\"#{id}\"")).count(), 1, "{id}");
    }
    assert!(!page.contains("id=\"comparison\""), "one run is compared with nothing");
    assert!(page.contains("31.25") && page.contains("± 1.50") && page.contains("12.5 %"));
    assert!(
        page.contains("<b>31.25</b><span class=\"around\">± 1.50</span><span class=\"what\">BLEU</span>"),
        "{page}"
    );
    assert!(page.contains("On 1 pair of x y, beam 5; higher is better"), "{page}");
    assert!(page.contains("learnt more by heart"), "the gap between 1.5 and 9.5 is worth a note");
}

#[test]
fn several_runs_are_compared_and_have_sections_of_their_own() {
    let mut second = run("two", "x");
    second.examined.as_mut().unwrap().scores[0].p_value = Some(0.0123);
    let equal = page(vec![run("one", "x"), second.clone()]);
    assert!(equal.contains("<span class=\"under\">same</span>") && !equal.contains("p = 0.0123"), "{equal}");
    second.examined.as_mut().unwrap().scores[0].score.value = Some(32.5);
    let runs = vec![run("one", "x"), second];
    let whole = page(runs.clone());
    assert!(whole.contains("The best of 2 runs is two: on 1 pair of x"), "{whole}");
    assert!(whole.contains("id=\"comparison\"") && whole.contains("<b>p = 0.0123</b>"));
    let mut elsewhere = runs.clone();
    elsewhere[1].examined.as_mut().unwrap().data_hash = "other pairs".to_owned();
    assert!(!page(elsewhere).contains("The best of"), "scores of other pairs are not compared");
    let mut unmeasured = runs.clone();
    unmeasured[1].examined.as_mut().unwrap().scores[0].score.metric = Metric::Ter;
    assert!(!page(unmeasured).contains("The best of"), "a metric of one run is not compared");
    // A metric of one run alone has a column too, and a link says only once whose it is.
    let mut third = run("three", "x");
    let ter = Score { metric: Metric::Ter, value: Some(41.5), total: 7 };
    third.examined.as_mut().unwrap().scores.push(Measurement::plain(ter));
    let wider = page(vec![run("one", "x"), third]);
    assert!(wider.contains("<th class=\"number\">BLEU</th><th class=\"number\">TER</th>"), "{wider}");
    assert!(wider.contains("<div><b>three</b><a href=\"#scores-2\">Scores</a>"));
    for id in ["scores-1", "scores-2", "config-1", "config-2"] {
        assert!(whole.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    let ids: Vec<&str> =
        whole.split("<section id=\"").skip(1).filter_map(|part| part.split('"').next()).collect();
    assert!(ids.iter().enumerate().all(|(i, id)| !ids[..i].contains(id)), "{ids:?}");
    let mut other_data = runs.clone();
    other_data[1].examined.as_mut().unwrap().data_hash = "4567".to_owned();
    assert!(page(other_data).contains("measured on different pairs"));
    let unmeasured = runs.into_iter().map(|run| Run { examined: None, ..run }).collect();
    let unmeasured = page(unmeasured);
    assert!(unmeasured.contains("id=\"comparison\"") && !unmeasured.contains("id=\"scores"));
}

#[test]
fn no_text_is_markup_wherever_it_stands() {
    let hostile = |name: &str| Run { name: HOSTILE.to_owned(), ..run(name, HOSTILE) };
    let report =
        Report { title: HOSTILE.to_owned(), runs: vec![hostile("a"), hostile("b")], version: "0".to_owned() };
    let page = report.html().unwrap();
    assert!(!page.contains("<img") && !page.contains("</script") && !page.contains('\u{0}'));
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;").count() > 20);
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = page(vec![run("one", "x"), run("two", "y")]);
    for word in ["src=", "url(", "@import", "<script", "<link", "<iframe", "<object"] {
        assert!(!page.contains(word), "{word}");
    }
    // Names of namespaces are no requests.
    let addresses = page.matches("://").count();
    assert_eq!(addresses, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_run_that_left_nothing_is_a_page_all_the_same() {
    let page = page(vec![Run { name: "empty".to_owned(), ..Run::default() }]);
    assert!(
        page.contains("id=\"summary\"") && page.contains("id=\"curves\"") && !page.contains("id=\"samples\"")
    );
}
