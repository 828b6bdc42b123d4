//! What `doctor` has found, as lines of at most 80 columns.

use seqweave_data::{Finding, Severity, SideFacts};
use seqweave_train::{Checkup, MemoryCheck};

use crate::progress::grouped;

/// The width of a terminal that shows everything.
const WIDTH: usize = 80;

/// The whole report.
pub fn checkup_lines(checkup: &Checkup) -> Vec<String> {
    let Checkup { data, parameters, memory } = checkup;
    let (filter, report) = (&data.report.filter, &data.report);
    let mut lines = vec![format!(
        "pairs    {} for training of {}, {} dev, {} test",
        grouped(filter.kept),
        grouped(filter.total()),
        grouped(data.dev),
        grouped(data.test)
    )];
    for (count, name) in filter.reasons().into_iter().filter(|(count, _)| *count > 0) {
        lines.push(format!("dropped  {}: {name}", grouped(count)));
    }
    if report.held_out > 0 {
        lines.push(format!("dropped  {}: source in dev or test", grouped(report.held_out)));
    }
    let vocabs = [("source", &report.src), ("target", &report.tgt)];
    for (i, (name, vocab)) in vocabs.into_iter().enumerate() {
        let share = 100.0 * vocab.unknown as f64 / vocab.tokens.max(1) as f64;
        lines.push(format!(
            "{name}   {} tokens, {} distinct, vocabulary of {}, {share:.2} % unknown",
            grouped(vocab.tokens as usize),
            grouped(vocab.distinct),
            grouped(vocab.size)
        ));
        if let Some(sides) = &data.sides {
            lines.push(side_line(&sides[i]));
        }
    }
    lines.push(format!(
        "model    {} parameters, {:.1} for each token of an epoch",
        grouped(*parameters),
        *parameters as f64 / data.tokens.max(1) as f64
    ));
    let memory = match memory {
        MemoryCheck::Checked(device) => format!("that of {device}"),
        MemoryCheck::Unchecked(why) => format!("not checked: {why}"),
    };
    lines.extend(wrapped("memory   ", &memory));
    for finding in &data.findings {
        lines.push(String::new());
        lines.extend(finding_lines(finding));
    }
    lines.push(String::new());
    let problems = data.findings.iter().filter(|finding| finding.severity == Severity::Problem).count();
    lines.push(match (problems, data.findings.len() - problems) {
        (0, 0) => "nothing found: the data look good".to_owned(),
        (problems, advice) => {
            let [problem, piece] = [(problems, "problem"), (advice, "piece")]
                .map(|(n, word)| format!("{n} {word}{}", if n == 1 { "" } else { "s" }));
            format!("{problem}, {piece} of advice")
        }
    });
    lines
}

fn side_line(side: &SideFacts) -> String {
    let scripts: Vec<String> = side
        .scripts
        .iter()
        .take(2)
        .map(|(script, share)| format!("{script} {:.0} %", 100.0 * share))
        .collect();
    let SideFacts { median, p99, longest, .. } = side;
    format!("         length {median} (median), {p99} (99 %), {longest} (most); {}", scripts.join(", "))
}

fn finding_lines(finding: &Finding) -> Vec<String> {
    let word = match finding.severity {
        Severity::Problem => "problem: ",
        Severity::Advice => "advice:  ",
    };
    let mut lines = wrapped(word, &finding.found);
    lines.extend(wrapped("  help:  ", &finding.help));
    lines
}

/// A text after a leading word, broken at blanks, each further line as far in as the first.
fn wrapped(lead: &str, text: &str) -> Vec<String> {
    let mut lines = vec![lead.to_owned()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let is_empty = lines[last].chars().count() == lead.chars().count();
        if !is_empty && lines[last].chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(lead.chars().count())));
        } else {
            if !is_empty {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_findings_are_broken_at_blanks() {
        let help =
            "set data.src.level = \"bpe\", or raise data.src.max_vocab, and look once more at what comes";
        let finding = Finding::new(Severity::Problem, "x", "1.5 % are unknown", help);
        let lines = finding_lines(&finding);
        assert_eq!(lines[0], "problem: 1.5 % are unknown");
        assert_eq!(
            lines[1],
            "  help:  set data.src.level = \"bpe\", or raise data.src.max_vocab, and look once"
        );
        assert_eq!(lines[2], "         more at what comes");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(wrapped("a: ", &"x".repeat(100)).len(), 1, "a word is never broken");
    }
}
