//! `config`: what a configuration is, and what is wrong with one.

use std::io::{self, Write};

use seqweave_train::config::{Config, Loaded, Sources, json_schema, render_guide};

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve::ConfigSources;
use crate::ui::Ui;

/// Reads and checks a configuration; keys without effect are warned of.
///
/// # Errors
/// [`Exit::Config`] with every mistake.
pub fn load(ui: &Ui, sources: &ConfigSources) -> Outcome<Config> {
    let sources = Sources { files: sources.files.clone(), sets: sources.sets.clone() };
    let Loaded { value, unused } = Config::load(&sources)?;
    for problem in unused {
        ui.warn(problem.to_string());
    }
    Ok(value)
}

/// `config show`: the whole configuration, which loads again to the same.
///
/// # Errors
/// As [`load`].
pub fn show(ui: &Ui, sources: &ConfigSources) -> Outcome {
    let text = load(ui, sources)?.resolved()?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Good)
}

/// `config check`
///
/// # Errors
/// As [`load`].
pub fn check(ui: &Ui, sources: &ConfigSources) -> Outcome {
    load(ui, sources)?;
    ui.note("the configuration is good");
    Ok(Exit::Good)
}

/// `config schema`
///
/// # Errors
/// When stdout cannot be written.
pub fn schema() -> Outcome {
    writeln!(io::stdout(), "{}", json_schema())?;
    Ok(Exit::Good)
}

/// `config explain`: the rows of the guide for one key, one table, or all.
///
/// # Errors
/// A usage failure when there is no such key.
pub fn explain(key: Option<&str>) -> Outcome {
    let guide = render_guide();
    let rows: Vec<Row> = guide.lines().filter_map(Row::read).collect();
    let is_meant = |row: &&Row| match key {
        None => true,
        Some(key) => row.key == key || row.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')),
    };
    let meant: Vec<&Row> = rows.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let key = key.unwrap_or_default();
        let last = key.rsplit('.').next().unwrap_or_default();
        let near: Vec<&str> = rows.iter().map(|row| row.key.as_str()).filter(|k| k.ends_with(last)).collect();
        let failure = Failure::usage(format!("there is no key `{key}`"));
        return Err(match near.is_empty() || last.is_empty() {
            true => failure.help("`seqweave config explain` lists every key"),
            false => failure.help(format!("did you mean {}?", near.join(", "))),
        });
    }
    let mut output = io::stdout().lock();
    for Row { key, values, default, meaning } in meant {
        writeln!(output, "{key}\n    {meaning}\n    values: {values}; default: {default}")?;
        for line in words(&guide, key) {
            writeln!(output, "    {line}")?;
        }
    }
    Ok(Exit::Good)
}

/// A row of the guide's tables.
struct Row {
    key: String,
    values: String,
    default: String,
    meaning: String,
}

impl Row {
    /// Reads ``| `key` | values | default | meaning |``.
    fn read(line: &str) -> Option<Row> {
        let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
        let [key, values, default, meaning] = cells.try_into().ok()?;
        let plain = |cell: &str| cell.replace("\\|", "|").replace('`', "");
        Some(Row {
            key: key.trim_end_matches('`').to_owned(),
            values: plain(values),
            default: plain(default),
            meaning: plain(meaning),
        })
    }
}

/// The words that a key accepts, with their meanings: the list under the guide's line `` `key`, `other`: ``.
fn words<'a>(guide: &'a str, key: &str) -> impl Iterator<Item = String> + 'a {
    let name = format!("`{key}`");
    let is_heading =
        move |line: &str| line.strip_suffix(':').is_some_and(|keys| keys.split(", ").any(|k| k == name));
    let below =
        guide.lines().skip_while(move |line| !is_heading(line)).skip(1).skip_while(|line| line.is_empty());
    below.take_while(|line| line.starts_with("- ")).map(|line| line.replace('`', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_guide_is_read() {
        let guide = render_guide();
        let rows: Vec<Row> = guide.lines().filter_map(Row::read).collect();
        assert_eq!(rows.len(), guide.lines().filter(|line| line.starts_with("| `")).count());
        let cell = rows.iter().find(|row| row.key == "model.cell").expect("model.cell");
        assert!(cell.values.contains("lstm") && cell.default.contains("lstm"), "{}", cell.values);
        assert!(words(&guide, "model.cell").any(|line| line.starts_with("- gru")));
        assert!(words(&guide, "data.tgt.level").any(|line| line.starts_with("- char")));
        assert_eq!(words(&guide, "seed").count(), 0);
    }

    #[test]
    fn a_key_that_is_not_there_is_answered_with_one_that_is() {
        let failure = explain(Some("train.hidden")).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.render(str::to_owned).contains("did you mean model.hidden?"));
        let failure = explain(Some("colour")).unwrap_err();
        assert!(failure.render(str::to_owned).contains("lists every key"));
    }
}
