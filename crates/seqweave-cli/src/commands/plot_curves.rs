//! `plot curves`: what one or more runs have measured so far.

use std::path::PathBuf;

use super::figure;
use crate::exit::{Exit, Outcome};
use crate::history::{History, curves};
use crate::resolve::Figure;
use crate::ui::Ui;

/// Reads the runs and draws them.
///
/// # Errors
/// When a folder is no run folder, or the figure cannot be written.
pub fn run(ui: &Ui, runs: &[PathBuf], place: &Figure) -> Outcome {
    let histories = runs.iter().map(|run| History::read(run)).collect::<Outcome<Vec<_>>>()?;
    figure::write(ui, place, &curves(&histories, place.title.as_deref()).to_svg()?)?;
    Ok(Exit::Good)
}
