//! Where the numbers come from: data, machine, configuration.

use std::time::SystemTime;

use seqweave_train::timestamp;

use super::{Html, Run, Section};
use crate::progress::grouped;

/// The data with counts and hashes.
pub(super) fn data(run: &Run) -> Section {
    let mut lines = Vec::new();
    if let Some(started) = &run.log.started {
        for (i, fact) in started.data.iter().flat_map(|fact| fact.lines()).enumerate() {
            lines.push((
                if i == 0 { "training".to_owned() } else { String::new() },
                Html::text(&with_groups(fact)),
            ));
        }
        if !started.data_fingerprint.is_empty() {
            lines.push(("fingerprint".to_owned(), code(&started.data_fingerprint)));
        }
    }
    if let Some(examined) = &run.examined {
        lines.push(("measured on".to_owned(), Html::text(&examined.data)));
        let (pairs, items) = (examined.found.evaluation.lines, examined.found.evaluation.items);
        let counts = format!("{} pairs, {} different sources", grouped(pairs), grouped(items));
        lines.push((String::new(), Html::text(&counts)));
        lines.push(("their BLAKE3".to_owned(), code(&examined.data_hash)));
    }
    Section::new("data", "Data", [Html::pairs("", lines)])
}

/// A fact whose long numbers are grouped: `kept 18545 of 18545 pairs` → `kept 18,545 of 18,545 pairs`.
///
/// Digits beside a letter, a dot or a sign of a path belong to a name or a fraction and stay as they are.
fn with_groups(fact: &str) -> String {
    let group = |word: &str| match word.trim_end_matches([',', ':', ';', ')']) {
        digits if digits.len() > 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let grouped = digits.parse().map_or_else(|_| digits.to_owned(), grouped);
            format!("{grouped}{}", &word[digits.len()..])
        }
        _ => word.to_owned(),
    };
    fact.split(' ').map(group).collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> Html {
    Html::element("code", "", Html::text(text))
}

/// What the run was made on and with.
pub(super) fn machine(run: &Run) -> Section {
    let mut lines = Vec::new();
    if let Some(started) = &run.log.started {
        let threads = if started.threads == 1 { "thread" } else { "threads" };
        for (name, value) in [
            ("seqweave", &started.version),
            ("machine", &started.machine),
            ("device", &format!("{}, {} {threads}", started.device, started.threads)),
            ("seed", &started.seed.to_string()),
        ] {
            // An older log says less.
            if !value.is_empty() {
                lines.push((name.to_owned(), Html::text(value)));
            }
        }
        if !started.config_hash.is_empty() {
            lines.push(("settings".to_owned(), code(&started.config_hash)));
        }
    }
    // `2026-01-02T03:04:05.678Z` is how the log writes it.
    let when = |time: SystemTime| {
        let time = timestamp(time).replacen('T', " ", 1);
        let seconds = time.split_once('.').map_or(time.as_str(), |(seconds, _)| seconds);
        Html::text(&format!("{} UTC", seconds.trim_end_matches('Z')))
    };
    if let Some((first, last)) = run.log.starts {
        lines.push(("started".to_owned(), when(first)));
        if last != first {
            lines.push(("started last".to_owned(), when(last)));
        }
    }
    lines.extend(run.log.last.map(|time| ("last event".to_owned(), when(time))));
    Section::new("machine", "Machine", [Html::pairs("", lines)])
}

/// The whole configuration.
pub(super) fn config(run: &Run) -> Option<Section> {
    let config = run.config.as_ref()?;
    Some(Section::new("config", "Configuration", [Html::element("pre", "", Html::text(config))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped_and_names_stay() {
        for (fact, shown) in [
            ("kept 18545 of 18545 pairs", "kept 18,545 of 18,545 pairs"),
            (
                "source: 154103 tokens, vocabulary of 4000, 0 unknown (0.00 %)",
                "source: 154,103 tokens, vocabulary of 4,000, 0 unknown (0.00 %)",
            ),
            ("data/20170929.tsv has 999 pairs (of 1000)", "data/20170929.tsv has 999 pairs (of 1,000)"),
        ] {
            assert_eq!(with_groups(fact), shown);
        }
    }
}
