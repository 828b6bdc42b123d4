//! The picture of a run: what it shows, and that nothing in a log disturbs the terminal.

use std::time::Duration;

use super::*;
use seqweave_train::{Outcome, Started};

/// A run of 60 reports, six validations, and samples.
fn log() -> RunLog {
    let mut log = RunLog {
        started: Some(Started { total_steps: 5000, ..Started::default() }),
        last: Some(now()),
        seconds: 123.0,
        ..RunLog::default()
    };
    for i in 1..=60u64 {
        let xent = 4.0 / (i as f64).sqrt();
        log.steps.push(StepReport {
            step: 20 * i,
            total: 5000,
            epoch: 1 + i / 20,
            acc: i as f64,
            ppl: xent.exp(),
            xent,
            lr: 0.001,
            grad_norm: 1.5,
            src_tok_s: 12_031.4,
            tgt_tok_s: 11_871.6,
            seconds: 2.0 * i as f64,
        });
    }
    for i in 1..=6u64 {
        log.validations.push(Validation {
            step: 200 * i,
            scores: vec![("ppl".into(), 10.0 / i as f64), ("wer".into(), 90.0 - i as f64)],
            best_by: "wer".into(),
            best: i == 5,
            samples: vec![
                Sample { source: "d b a".into(), reference: "a b d".into(), hypothesis: "a b d".into() },
                Sample {
                    source: "注意 力".into(), reference: "力 意注".into(), hypothesis: "力".into()
                },
            ],
            ..Validation::default()
        });
    }
    log
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn picture(log: &RunLog, width: u16) -> String {
    View { name: "runs/toy", log, now: now(), colour: false, footer: "" }.text(width)
}

#[test]
fn the_picture_of_a_run() {
    insta::assert_snapshot!(picture(&log(), 80));
}

#[test]
fn of_many_measures_the_one_that_decides_is_first_and_the_best_is_marked() {
    let mut log = log();
    for validation in &mut log.validations {
        let more = ["per", "bleu", "chrf", "ter", "rouge1", "rouge2"].map(|name| (name.to_owned(), 1.0));
        validation.scores.extend(more);
    }
    let picture = picture(&log, 80);
    let head = "validation         wer        ppl        per       bleu       chrf        ter\n";
    assert!(picture.contains(head), "{picture}");
    assert!(
        picture.contains("\n*    1,000      85.000 ") && picture.contains("\nno room for rouge1, rouge2\n")
    );
    assert!(super::tests::picture(&log, 120).contains("rouge2\n"), "{picture}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut log = log();
    log.warnings.push("w".repeat(300));
    log.validations[5].samples[0].source = "注意".repeat(100);
    for width in [1, 20, 40, 80, 120] {
        let picture = picture(&log, width);
        let wide = picture.lines().find(|line| Span::raw(*line).width() > usize::from(width));
        assert_eq!(wide, None);
    }
}

#[test]
fn what_a_text_contains_does_not_reach_the_terminal() {
    let mut log = log();
    log.validations[5].samples[0].source = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}abc".into();
    log.warnings.push("\u{1b}c".into());
    let picture = picture(&log, 80);
    let bad = picture.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(bad, None, "{picture}");
    assert!(picture.contains("␛[2J"), "{picture}");
}

#[test]
fn states_are_said_in_words() {
    let mut log = log();
    assert!(picture(&log, 80).starts_with("runs/toy  running\n"));
    assert!(picture(&log, 80).contains("left"));
    log.outcome = Some(Outcome::Completed);
    assert!(picture(&log, 80).starts_with("runs/toy  done\n"));
    assert!(!picture(&log, 80).contains(" left"), "what is done has no time left");
    assert_eq!(picture(&RunLog::default(), 80), "runs/toy  no events yet\n");
    let diverged = RunLog { outcome: Some(Outcome::Diverged), skipped: vec![3; 10], ..log };
    let picture = picture(&diverged, 80);
    assert!(picture.contains("diverged") && picture.contains("10 steps left out"), "{picture}");
}

#[test]
fn a_run_whose_numbers_are_no_numbers_is_drawn() {
    let mut log = log();
    for report in &mut log.steps {
        (report.xent, report.ppl, report.acc) = (f64::NAN, f64::INFINITY, f64::NAN);
        (report.total, report.tgt_tok_s) = (u64::MAX, 0.0);
    }
    log.validations[0].scores.clear();
    log.validations[5].scores[0].1 = f64::NAN;
    assert!(picture(&log, 80).contains("NaN"));
}

#[test]
fn the_share_that_is_done_is_not_lost_to_rounding() {
    let mut log = log();
    log.steps.truncate(1);
    log.validations.clear();
    (log.steps[0].step, log.steps[0].total) = (29, 100);
    // As floats, 100 · (29 / 100) is a little below 29.
    assert!(picture(&log, 80).contains("┄  29 %\n"), "{}", picture(&log, 80));
}

#[test]
fn a_low_terminal_shows_what_matters_most() {
    let log = log();
    for rows in 1..40 {
        let area = Rect::new(0, 0, 80, rows);
        let mut buffer = Buffer::empty(area);
        let view = View { name: "runs/toy", log: &log, now: now(), colour: true, footer: "q quits" };
        view.render(area, &mut buffer);
        assert!(row(&buffer, 0).starts_with("runs/toy"), "{rows} rows");
        if rows >= 24 {
            let text: Vec<String> = (0..rows).map(|y| row(&buffer, y)).collect();
            assert_eq!(text[usize::from(rows) - 1].trim_end(), "q quits", "{text:#?}");
        }
    }
}

#[test]
fn a_curve_of_any_length_fills_its_columns() {
    let curve = picture(&log(), 80);
    let title = curve.lines().position(|line| line.starts_with("loss ")).expect("a title");
    let lowest = curve.lines().nth(title + usize::from(CURVE)).expect("a curve");
    assert!(lowest.chars().count() == 80 && !lowest.contains(' '), "{curve}");
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let columns = resampled(&values, 80);
    assert_eq!(columns.len(), 80);
    assert!(columns.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(resampled(&values[..3], 6), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    assert!(resampled(&[], 80).is_empty() && resampled(&values, 0).is_empty());
}
