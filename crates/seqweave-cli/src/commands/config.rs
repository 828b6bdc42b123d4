//! `config`: what a configuration is, and what is wrong with one.

use std::io::{self, Write};

use seqweave_train::config::{Config, Key, Loaded, Sources, json_schema, keys, suggested_keys};

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

/// `config explain`: one key, one table, or all.
///
/// # Errors
/// A usage failure when there is no such key.
pub fn explain(key: Option<&str>) -> Outcome {
    let keys = keys();
    let is_meant = |known: &&Key| match key {
        None => true,
        Some(key) => {
            known.key == key || known.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        }
    };
    let meant: Vec<&Key> = keys.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let key = key.unwrap_or_default();
        let near = suggested_keys(key);
        let failure = Failure::usage(format!("there is no key `{key}`"));
        return Err(match near.is_empty() {
            true => failure.help("`seqweave config explain` lists every key"),
            false => failure.help(format!("did you mean {}?", near.join(", "))),
        });
    }
    let mut output = io::stdout().lock();
    for Key { key, meaning, values, default, words } in meant {
        writeln!(output, "{key}\n    {meaning}\n    values: {values}; default: {default}")?;
        for (word, meaning) in words {
            writeln!(output, "    - {word}: {meaning}")?;
        }
    }
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_there_is_answered_with_one_that_is() {
        let failure = explain(Some("train.hidden")).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.render(str::to_owned).contains("did you mean model.hidden?"));
        for (given, meant) in [
            ("train.optimiser.lr", "train.optimizer.lr"),
            ("model.hiden", "model.hidden"),
            ("hiden", "model.hidden"),
            ("train.optimiser", "train.optimizer"),
        ] {
            let text = explain(Some(given)).unwrap_err().render(str::to_owned);
            assert!(text.contains(&format!("did you mean {meant}")), "{given}: {text}");
        }
        let failure = explain(Some("colour")).unwrap_err();
        assert!(failure.render(str::to_owned).contains("lists every key"));
    }
}
