//! `average`: one model of several checkpoints.

use std::path::PathBuf;

use seqweave::store::Disk;
use seqweave::{ModelFolder, average};
use seqweave_tensor::Device;
use seqweave_train::choice::choose;

use super::start_pool;
use crate::exit::{Exit, Outcome};
use crate::progress::short;
use crate::resolve::{Average, Context};
use crate::ui::Ui;

/// Writes the mean of the models that are named, or of the chosen checkpoints of runs.
///
/// # Errors
/// When a folder cannot be read or is of another make, there are too few, or the output is there already.
pub fn run(ui: &Ui, context: &Context, job: &Average) -> Outcome {
    if job.output.exists() {
        return Err(seqweave::Error::Exists { path: job.output.clone() }.into());
    }
    start_pool(context.threads.unwrap_or(0))?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in &job.paths {
        match job.choice {
            Some(choice) => folders.extend(choose(path, choice)?),
            None => folders.push(ModelFolder::resolve(path)?),
        }
    }
    average(&folders, &Device::cpu())?.save(&Disk, &job.output)?;
    for folder in &folders {
        ui.detail(format!("of {}", short(folder)));
    }
    let output = short(&job.output);
    ui.note(format!("{output} is the mean of {} models", folders.len()));
    ui.note(format!("next: seqweave translate -m {output}"));
    Ok(Exit::Good)
}
