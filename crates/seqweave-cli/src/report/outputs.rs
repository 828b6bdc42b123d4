//! Texts that a model wrote: over time, at their worst, and symbol by symbol.

use seqweave_data::Level;
use seqweave_metrics::{Confusion, Confusions, EditOp, align};
use seqweave_train::run_log::RunLog;
use seqweave_train::{Answer, Sample, Validation, Wrong, split_symbols};

use super::{Column, Examined, Html, Section, note};
use crate::progress::grouped;

/// Sources whose outputs over time are shown, and validations at which.
const SOURCES: usize = 4;
const TIMES: usize = 6;
/// Confusions that are listed, and symbols of the table beside the list.
const LISTED: usize = 20;
const SYMBOLS: usize = 12;
/// With more symbols than this they are words, and a table of them says nothing.
const MOST_SYMBOLS: usize = 300;

/// What became of the same sources over time.
pub(super) fn samples(log: &RunLog) -> Option<Section> {
    let with_samples: Vec<&Validation> =
        log.validations.iter().filter(|validation| !validation.samples.is_empty()).collect();
    let times = spread(with_samples.len(), TIMES);
    let last = with_samples.last()?;
    let outputs = last.samples.iter().take(SOURCES).map(|sample| {
        let mut lines = vec![
            ("source".to_owned(), Html::quoted(&sample.source)),
            ("reference".to_owned(), Html::quoted(&sample.reference)),
        ];
        for &time in &times {
            let Validation { step, samples, .. } = with_samples[time];
            let then = samples.iter().find(|then| then.source == sample.source);
            if let Some(Sample { hypothesis, .. }) = then {
                let mut output = Html::quoted(hypothesis);
                if *hypothesis == sample.reference {
                    output.push(Html::element("b", "good", Html::text(" ✓")));
                }
                lines.push((format!("step {}", grouped(*step as usize)), output));
            }
        }
        Html::pairs("outputs", lines)
    });
    Some(Section::new("samples", "Outputs over time", [columns(outputs)]))
}

/// Cards beside each other where there is room.
fn columns(cards: impl Iterator<Item = Html>) -> Html {
    Html::element("div", "columns", cards.collect())
}

/// At most so many of the numbers below `count`, the first and the last among them, at equal distances.
fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|i| i * (count - 1) / (most - 1)).collect()
}

/// The worst outputs with what is wrong in them.
pub(super) fn worst(examined: &Examined) -> Option<Section> {
    let found = &examined.found;
    if found.evaluation.answers.is_empty() {
        return None;
    }
    if found.worst.is_empty() {
        return Some(Section::new("errors", "Worst errors", [note("There are none.")]));
    }
    let wrong = found.evaluation.answers.iter().filter(|answer| !answer.right).count();
    let total = found.evaluation.answers.len();
    let are = if wrong == 1 { "is" } else { "are" };
    let about = format!(
        "{} of {} outputs {are} no reference; below are the worst, by the share of symbols that are wrong.",
        grouped(wrong),
        grouped(total)
    );
    let lists = found.worst.iter().map(|Wrong { answer, reference, rate }| {
        let Answer { source, output, .. } = &found.evaluation.answers[*answer];
        let (output, reference) = marked(found.symbols, output, reference);
        Html::pairs(
            "outputs",
            [
                ("source".to_owned(), Html::quoted(source)),
                ("reference".to_owned(), reference),
                ("output".to_owned(), output),
                ("wrong".to_owned(), Html::text(&format!("{rate:.0} %"))),
            ],
        )
    });
    Some(Section::new("errors", "Worst errors", [note(&about), columns(lists)]))
}

/// An output and its reference, each with marks on the symbols that the other has not.
fn marked(symbols: Level, output: &str, reference: &str) -> (Html, Html) {
    let (output, reference) = (split_symbols(symbols, output), split_symbols(symbols, reference));
    let (mut found, mut expected) = (output.iter(), reference.iter());
    let (mut of_output, mut of_reference) = (Vec::new(), Vec::new());
    for op in align(&output, &reference) {
        if op != EditOp::Delete {
            of_output.extend(found.next().map(|symbol| (*symbol, op != EditOp::Match)));
        }
        if op != EditOp::Insert {
            of_reference.extend(expected.next().map(|symbol| (*symbol, op != EditOp::Match)));
        }
    }
    let text = |parts: Vec<(&str, bool)>, class: &str| {
        if parts.is_empty() {
            return Html::quoted("");
        }
        // Neighbours that are alike in this share one mark.
        let stretches = parts.chunk_by(|a, b| a.1 == b.1).map(|stretch| {
            let words: Vec<&str> = stretch.iter().map(|(symbol, _)| *symbol).collect();
            let text = Html::text(&words.join(symbols.separator()));
            if stretch[0].1 { Html::element("mark", class, text) } else { text }
        });
        let mut html = Html::default();
        for (i, stretch) in stretches.enumerate() {
            if i > 0 {
                html.push(Html::text(symbols.separator()));
            }
            html.push(stretch);
        }
        Html::element("bdi", "", html)
    };
    (text(of_output, "bad"), text(of_reference, "good"))
}

/// Which symbols are taken for which.
pub(super) fn confusions(examined: &Examined) -> Option<Section> {
    let confusions = &examined.found.confusions;
    let wrong = confusions.wrong();
    if wrong.is_empty() || confusions.symbols() > MOST_SYMBOLS {
        return None;
    }
    let most = wrong[0].count as f64;
    let symbol = |symbol: &Option<String>| match symbol {
        Some(symbol) => Html::quoted(symbol.as_str()),
        None => Html::quoted(""),
    };
    let row = |Confusion { reference, output, count, of }: &Confusion| {
        let share =
            if *of > 0 { format!("{:.1} %", 100.0 * *count as f64 / *of as f64) } else { String::new() };
        vec![
            symbol(reference),
            symbol(output),
            Html::text(&grouped(*count as usize)),
            Html::bar(*count as f64 / most),
            Html::text(&share),
        ]
    };
    let list = wrong.iter().take(LISTED).map(row).collect();
    let head = [
        Column::text("reference"),
        Column::text("output"),
        Column::number("times"),
        Column::text(""),
        Column::number("of this symbol"),
    ];
    let mut body = vec![
        Html::table(&head, list),
        note("Outputs are aligned with their nearest reference by the fewest edits."),
    ];
    body.extend(grid(confusions, &wrong));
    Some(Section::new("confusions", "Symbol confusions", body))
}

/// The symbols that are most often confused with each other, as a table of references against outputs.
fn grid(confusions: &Confusions, wrong: &[Confusion]) -> Option<Html> {
    let mut symbols: Vec<&str> = Vec::new();
    for confusion in wrong {
        if let (Some(reference), Some(output)) = (&confusion.reference, &confusion.output) {
            for symbol in [reference, output] {
                if symbols.len() < SYMBOLS && !symbols.contains(&symbol.as_str()) {
                    symbols.push(symbol);
                }
            }
        }
    }
    if symbols.len() < 3 {
        return None;
    }
    symbols.sort_unstable();
    let row = |reference: &&str| {
        let cell = |output: &&str| {
            let count = confusions.count(reference, output);
            let share = count as f64 / confusions.seen(reference).max(1) as f64;
            match count {
                0 => Html::tinted("·", 0.0),
                // What is right would drown what is wrong.
                _ if reference == output => Html::tinted("✓", 0.0),
                _ => Html::tinted(&count.to_string(), (4.0 * share).min(1.0)),
            }
        };
        [Html::element("b", "", Html::quoted(reference))]
            .into_iter()
            .chain(symbols.iter().map(cell))
            .collect()
    };
    let head: Vec<Column<'_>> = [""].iter().chain(&symbols).map(|symbol| Column::text(symbol)).collect();
    let table = Html::table(&head, symbols.iter().map(row).collect());
    let title = Html::element("h3", "", Html::text("Reference (rows) taken for output (columns)"));
    Some([title, Html::element("div", "grid", table)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread(3, 6), [0, 1, 2]);
        assert_eq!(spread(11, 6), [0, 2, 4, 6, 8, 10]);
        assert_eq!(spread(0, 6), [0usize; 0]);
    }

    #[test]
    fn marks_stand_where_texts_differ() {
        let (output, reference) = marked(Level::Word, "a <x> c d", "a b c");
        assert_eq!(
            output.as_str(),
            "<bdi>a <mark class=\"bad\">&lt;x&gt;</mark> c <mark class=\"bad\">d</mark></bdi>"
        );
        assert_eq!(reference.as_str(), "<bdi>a <mark class=\"good\">b</mark> c</bdi>");
        let (output, reference) = marked(Level::Char, "", "注意");
        assert!(output.as_str().contains("nothing"), "{output:?}");
        assert_eq!(reference.as_str(), "<bdi><mark class=\"good\">注意</mark></bdi>");
    }
}
