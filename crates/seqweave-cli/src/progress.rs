//! The words of the training log, as OpenNMT-py users know them.

use std::path::Path;

use seqweave_train::{Outcome, Sample, Started, StepReport, Validation};

/// `Step 500/10000; acc: 45.12; ppl: 23.41; xent: 3.15; lr: 0.00100; 12031/11872 tok/s; 63 sec`
pub fn step_line(report: &StepReport) -> String {
    let StepReport { step, total, acc, ppl, xent, lr, src_tok_s, tgt_tok_s, seconds, .. } = report;
    let of = match *total {
        // Not known: the run is limited by neither epochs nor steps.
        u64::MAX => step.to_string(),
        // Numbers stand under each other down the log.
        total => format!("{step:>width$}/{total}", width = total.to_string().len()),
    };
    format!(
        "Step {of}; acc: {acc:>6.2}; ppl: {}; xent: {}; lr: {lr:.5}; \
         {src_tok_s:.0}/{tgt_tok_s:.0} tok/s; {seconds:>6.0} sec",
        perplexity(*ppl),
        decimals(*xent)
    )
}

/// Perplexities begin in the thousands, where decimals say nothing; those of a run that diverges never end.
fn perplexity(ppl: f64) -> String {
    match ppl {
        ppl if ppl < 1e3 => format!("{ppl:>6.2}"),
        ppl if ppl < 1e6 => format!("{ppl:>6.0}"),
        _ => format!("{ppl:>6.0e}"),
    }
}

/// Two decimals, unless the number would fill the line.
fn decimals(x: f64) -> String {
    if x.abs() < 1e6 { format!("{x:.2}") } else { format!("{x:.1e}") }
}

/// The lines of a validation: `Valid 500: wer 29.50  * best`, then a few outputs.
pub fn validation_lines(validation: &Validation) -> Vec<String> {
    let Validation { step, scores, best_by, best, since_best, samples, .. } = validation;
    let mut line = format!("Valid {step}:");
    for (name, value) in scores {
        line.push_str(&format!("  {name} {}", decimals(*value)));
    }
    line.push_str(&match (best, since_best) {
        (true, _) => format!("  * best {best_by}"),
        (false, n) => format!("  (no better {best_by} for {n} validation{})", if *n == 1 { "" } else { "s" }),
    });
    let mut lines = vec![line];
    for sample in samples {
        let Sample { source, reference, hypothesis } = sample;
        lines.push(match hypothesis == reference {
            true => format!("  = {source}  →  {hypothesis}"),
            false => format!("  x {source}  →  {hypothesis}   (reference {reference})"),
        });
    }
    lines
}

/// What a run works with, one line a fact.
pub fn started_lines(started: &Started) -> Vec<String> {
    let Started { run, device, threads, seed, model, parameters, data, .. } = started;
    let word = if *threads == 1 { "thread" } else { "threads" };
    let mut lines = vec![
        format!("run    {}", short(run)),
        format!("device {device}, {threads} {word}, seed {seed}"),
        format!("model  {model}; {} parameters", grouped(*parameters)),
    ];
    lines.extend(data.iter().flat_map(|fact| fact.lines()).map(|fact| format!("data   {fact}")));
    lines
}

/// How a run ended, in words.
pub fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "done",
        Outcome::StoppedEarly => "stopped early: validation no longer improves",
        Outcome::Interrupted => "interrupted, state saved",
        Outcome::Diverged => "diverged",
        _ => "ended",
    }
}

/// A path as one would type it here.
pub fn short(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    match inside {
        Some(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Some(inside) => inside.display().to_string(),
        None => path.display().to_string(),
    }
}

/// `3725` seconds → `1 h 2 min`
pub fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s @ 3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        s => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// `1234567` → `1,234,567`
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: StepReport = StepReport {
        step: 500,
        total: 10_000,
        epoch: 1,
        acc: 45.123,
        ppl: 23.41,
        xent: 3.153,
        lr: 0.001,
        grad_norm: 1.0,
        src_tok_s: 12_031.4,
        tgt_tok_s: 11_871.9,
        seconds: 63.2,
    };

    #[test]
    fn step_lines_have_the_customary_words() {
        assert_eq!(
            step_line(&REPORT),
            "Step   500/10000; acc:  45.12; ppl:  23.41; xent: 3.15; lr: 0.00100; 12031/11872 tok/s;     63 sec"
        );
        let early = StepReport { step: 1, total: u64::MAX, ppl: 12_345.6, ..REPORT };
        assert!(step_line(&early).starts_with("Step 1; acc:  45.12; ppl:  12346; "));
        let late = StepReport { ppl: 1e300, xent: 2.54e38, ..REPORT };
        assert!(step_line(&late).contains("ppl:  1e300; xent: 2.5e38; lr"), "{}", step_line(&late));
        let lost = StepReport { ppl: f64::INFINITY, xent: f64::NAN, ..REPORT };
        assert!(step_line(&lost).contains("ppl:    inf; xent: NaN; lr"), "{}", step_line(&lost));
    }

    #[test]
    fn validations_name_their_scores() {
        let sample = |hypothesis: &str| Sample {
            source: "two".to_owned(),
            reference: "T UW1".to_owned(),
            hypothesis: hypothesis.to_owned(),
        };
        let mut validation = Validation {
            step: 500,
            epoch: 2,
            scores: vec![("ppl".to_owned(), 1.234), ("wer".to_owned(), 29.5)],
            best_by: "wer".to_owned(),
            best: true,
            since_best: 0,
            samples: vec![sample("T UW1"), sample("T OW1")],
        };
        assert_eq!(
            validation_lines(&validation),
            [
                "Valid 500:  ppl 1.23  wer 29.50  * best wer",
                "  = two  →  T UW1",
                "  x two  →  T OW1   (reference T UW1)"
            ]
        );
        (validation.best, validation.since_best, validation.samples) = (false, 3, Vec::new());
        assert_eq!(
            validation_lines(&validation),
            ["Valid 500:  ppl 1.23  wer 29.50  (no better wer for 3 validations)"]
        );
    }

    #[test]
    fn numbers_and_paths_are_short() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(n), text);
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(short(&here.join("runs").join("x")), Path::new("runs").join("x").display().to_string());
        assert_eq!(short(&here), ".");
        assert_eq!(short(Path::new("/nowhere/x")), "/nowhere/x");
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in
            [(4.4, "4 s"), (61.0, "1 min 1 s"), (3725.0, "1 h 2 min"), (90_061.0, "1 d 1 h")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
