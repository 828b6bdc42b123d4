//! `doctor`: look over the data of a configuration.

use std::io::Write;

use seqweave_tensor::Device;

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
    let device = match choice.open() {
        Ok((device, _)) => device,
        // A configuration may be looked over on another machine than the one that is to train it.
        Err(error) => {
            let error = error.to_string();
            ui.note(format!("the memory is that of the CPU: {}", error.lines().next().unwrap_or_default()));
            Device::cpu()
        }
    };
    let checkup = seqweave_train::doctor(&config, &device)?;
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
