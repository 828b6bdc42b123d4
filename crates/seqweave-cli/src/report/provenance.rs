//! Where the numbers come from: data, machine, configuration.

use std::time::SystemTime;

use seqweave_train::timestamp;

use super::{Html, Run, Section};

/// The data with counts and hashes.
pub(super) fn data(run: &Run) -> Section {
    let mut lines = Vec::new();
    if let Some(started) = &run.log.started {
        for (i, fact) in started.data.iter().flat_map(|fact| fact.lines()).enumerate() {
            lines.push((if i == 0 { "training".to_owned() } else { String::new() }, Html::text(fact)));
        }
        if !started.data_fingerprint.is_empty() {
            lines.push(("fingerprint".to_owned(), code(&started.data_fingerprint)));
        }
    }
    if let Some(examined) = &run.examined {
        lines.push(("measured on".to_owned(), Html::text(&examined.data)));
        let (pairs, items) = (examined.found.evaluation.lines, examined.found.evaluation.items);
        lines.push((String::new(), Html::text(&format!("{pairs} pairs, {items} different sources"))));
        lines.push(("their BLAKE3".to_owned(), code(&examined.data_hash)));
    }
    Section::new("data", "Data", [Html::pairs("", lines)])
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
    let when = |time: SystemTime| Html::text(&timestamp(time));
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
