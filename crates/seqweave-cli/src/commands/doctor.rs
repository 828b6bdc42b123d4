//! `doctor`: look over the data of a configuration.

use std::io::Write;

use super::{config, device_choice, start_pool};
use crate::exit::{Exit, Outcome};
use crate::output::checkup_lines;
use crate::resolve::{ConfigSources, Context};
use crate::ui::Ui;

/// Prints what was found, and what to do.
///
/// # Errors
/// When the configuration is refused, or data cannot be read.
pub fn run(ui: &Ui, context: &Context, sources: &ConfigSources, json: bool) -> Outcome {
    let config = config::load(ui, sources)?;
    start_pool(context.threads.unwrap_or(config.run.threads as usize))?;
    let choice = context.device.map_or_else(|| device_choice(&config), Ok)?;
    let first_line = |error: String| error.lines().next().unwrap_or_default().to_owned();
    let device = choice.open().map_err(|error| first_line(error.to_string()));
    let checkup = seqweave_train::doctor(&config, device)?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&checkup)?)?;
    } else {
        for line in checkup_lines(&checkup) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Good)
}
