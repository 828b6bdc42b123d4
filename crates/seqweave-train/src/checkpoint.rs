//! Checkpoints: the model folder's files and the private training state, sealed in one folder.
//!
//! ```text
//! RUN/checkpoints/step-00000500/    model files (given by the caller), state.bin, MANIFEST
//! RUN/checkpoints/best              the name of a checkpoint folder, one line
//! RUN/checkpoints/last              the same
//! ```
//! A checkpoint goes live in one rename and is never changed afterwards.
//! Loading verifies every byte; pruning keeps the newest two that verify and never deletes what it cannot read.

use std::path::{Path, PathBuf};

use seqweave::store::{self, SealedFolder, Storage};
use seqweave_nn::{OptimizerState, ScheduleState};
use seqweave_tensor::Float;
use serde::{Deserialize, Serialize};

use crate::state_file;
use crate::{Error, Result};

/// The file of the private state inside a checkpoint.
pub const STATE_NAME: &str = "state.bin";

/// Everything besides the weights that decides how training goes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainState {
    /// Optimizer steps taken.
    pub step: u64,
    /// The running epoch, from 0.
    pub epoch: u64,
    /// The block of that epoch from which the next batch comes, from 0.
    pub next_block: u64,
    /// The next batch of that block, from 0.
    pub next_batch: u64,
    /// The seed; with step, epoch and batch it determines every random stream.
    pub seed: u64,
    /// The optimizer's state.
    pub optimizer: OptimizerState,
    /// The schedule's state.
    pub schedule: ScheduleState,
    /// The weights that are trained, where those of the model are their moving average.
    pub trained: Option<Vec<Float>>,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since the best one, for early stopping.
    pub bad_validations: u64,
    /// Steps in a row that were skipped for a non-finite loss or gradient.
    pub bad_steps: u64,
    /// Running sums since the last row of metrics (loss, tokens, correct), so that the next row is exact.
    pub running: Vec<(String, f64)>,
    /// All rows of `metrics.tsv`.
    pub metrics: MetricTable,
    /// Hash of the settings that decide the result ([`crate::config::Config::hash`]), and of the model to start from.
    pub config_hash: String,
    /// Fingerprint of the training data.
    pub data_fingerprint: String,
    /// Version of the program that wrote the checkpoint.
    pub code_version: String,
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its optimizer step.
    pub step: u64,
    /// Its score in the metric of `valid.best_by`.
    pub score: f64,
}

/// The rows of `metrics.tsv`: figures that depend on data, settings and seed, and on no clock.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricTable {
    /// The columns after `step` and `epoch`.
    pub columns: Vec<String>,
    /// The rows in the order of their steps.
    pub rows: Vec<MetricRow>,
}

/// One row of [`MetricTable`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// Optimizer step.
    pub step: u64,
    /// The epoch of that step, from 1.
    pub epoch: u64,
    /// One value a column; none where the metric was not measured at this step.
    pub values: Vec<Option<f64>>,
}

/// A checkpoint whose every byte has been verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// The private state.
    pub state: TrainState,
    /// The other files: those of a model folder.
    pub files: SealedFolder,
}

/// What [`load_latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The newest checkpoint that verifies, if there is any.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that were refused, newest first. The caller must say so before it goes on.
    pub refused: Vec<Refused>,
}

/// A checkpoint that does not load.
#[derive(Debug)]
pub struct Refused {
    /// Its folder, which is left as it is.
    pub folder: PathBuf,
    /// Why.
    pub error: Error,
}

/// What [`prune`] did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Folders that were removed.
    pub removed: Vec<PathBuf>,
    /// Folders that do not load, which are kept for whoever wants to look into them.
    pub refused: Vec<Refused>,
}

/// The name of the checkpoint folder of a step.
pub fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The folder of a run that holds its checkpoints.
pub fn checkpoints_folder(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// Saves a checkpoint of `state.step` and returns its folder. `RUN/checkpoints` must exist.
///
/// A checkpoint of that step with the same bytes counts as saved. One with other bytes is replaced, without
/// a moment in which neither is there, and a damaged one is moved aside to `step-….damaged`.
///
/// # Errors
/// [`Error::StateEncode`], and [`Error::Store`] from writing; earlier checkpoints are untouched.
pub fn save(
    storage: &dyn Storage,
    run: &Path,
    state: &TrainState,
    model_files: &[(&str, &[u8])],
) -> Result<PathBuf> {
    let encoded = state_file::encode(state)?;
    let mut files = model_files.to_vec();
    files.push((STATE_NAME, &encoded));
    let folder = checkpoints_folder(run).join(folder_name(state.step));
    match store::read_folder(storage, &folder) {
        Err(seqweave::Error::NoFolder { .. }) => store::write_folder(storage, &folder, &files)?,
        Ok(present) if is_same(&present, &files) => {}
        Ok(_) => store::replace_folder(storage, &folder, &files)?,
        Err(seqweave::Error::Io { op, path, source }) => {
            return Err(seqweave::Error::Io { op, path, source }.into());
        }
        Err(_) => {
            move_aside(storage, &folder)?;
            store::write_folder(storage, &folder, &files)?;
        }
    }
    Ok(folder)
}

/// Loads the checkpoint in `folder`.
///
/// # Errors
/// [`Error::Store`] when the folder does not verify, [`Error::State`] or [`Error::StateVersion`] for its state.
pub fn load(storage: &dyn Storage, folder: &Path) -> Result<Checkpoint> {
    let mut files = store::read_folder(storage, folder)?;
    let bytes = files.take(STATE_NAME)?;
    let state = state_file::decode(&folder.join(STATE_NAME), &bytes)?;
    Ok(Checkpoint { folder: folder.into(), state, files })
}

/// Loads the newest checkpoint of a run that verifies, and lists the newer ones that do not.
///
/// # Errors
/// [`Error::Io`] when the checkpoints cannot be listed; a run without checkpoints is no error.
pub fn load_latest(storage: &dyn Storage, run: &Path) -> Result<Latest> {
    let mut refused = Vec::new();
    for name in list(storage, run)?.into_iter().rev() {
        let folder = checkpoints_folder(run).join(name);
        match load(storage, &folder) {
            Ok(checkpoint) => return Ok(Latest { checkpoint: Some(checkpoint), refused }),
            Err(error) => refused.push(Refused { folder, error }),
        }
    }
    Ok(Latest { checkpoint: None, refused })
}

/// Removes old checkpoints, except the newest `keep_last` that verify (at least two) and those named in `keep`.
///
/// # Errors
/// [`Error::Io`] when the checkpoints cannot be listed or one cannot be removed.
pub fn prune(storage: &dyn Storage, run: &Path, keep_last: usize, keep: &[String]) -> Result<Pruned> {
    let folders = checkpoints_folder(run);
    let mut pruned = Pruned::default();
    let mut verified = 0;
    for name in list(storage, run)?.into_iter().rev() {
        let folder = folders.join(&name);
        // What does not verify is neither counted nor removed, so this comes before any decision.
        if let Err(error) = store::verify_folder(storage, &folder) {
            pruned.refused.push(Refused { folder, error: error.into() });
            continue;
        }
        verified += 1;
        if verified <= keep_last.max(2) || keep.contains(&name) {
            continue;
        }
        remove_folder(storage, &folders, &name)?;
        pruned.removed.push(folder);
    }
    Ok(pruned)
}

/// Removes all checkpoints of a run, and its pointers: the run starts over.
///
/// # Errors
/// [`Error::Io`] when a folder or file is there and cannot be removed.
pub fn remove_all(storage: &dyn Storage, run: &Path) -> Result<()> {
    let folders = checkpoints_folder(run);
    for pointer in [Pointer::Best, Pointer::Last] {
        remove_file(storage, &folders.join(pointer.file_name()))?;
    }
    for name in list(storage, run)? {
        remove_folder(storage, &folders, &name)?;
    }
    Ok(())
}

fn remove_file(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.entry(path).map_err(io_error("look at", path))? {
        Some(_) => storage.remove_file(path).map_err(io_error("remove", path)),
        None => Ok(()),
    }
}

/// Removes a checkpoint folder, after it has lost its name for good: a crash must not leave half of it under that name.
fn remove_folder(storage: &dyn Storage, folders: &Path, name: &str) -> Result<()> {
    let (folder, doomed) = (folders.join(name), folders.join(format!(".tmp-pruned-{name}")));
    storage.rename(&folder, &doomed).map_err(io_error("remove", &folder))?;
    storage.sync_dir(folders).map_err(io_error("sync", folders))?;
    storage.remove_dir_all(&doomed).map_err(io_error("remove", &doomed))
}

/// The names of a run's checkpoint folders, oldest first. They are not verified.
///
/// A folder that was being replaced when the machine stopped gets its name back from [`store::clean_temporaries`],
/// which [`crate::run_folder::RunFolder::open`] calls.
///
/// # Errors
/// [`Error::Io`] when the folder is there and cannot be listed.
pub fn list(storage: &dyn Storage, run: &Path) -> Result<Vec<String>> {
    let folders = checkpoints_folder(run);
    if storage.entry(&folders).map_err(io_error("look at", &folders))?.is_none() {
        return Ok(Vec::new());
    }
    let mut steps: Vec<u64> = storage
        .list(&folders)
        .map_err(io_error("list", &folders))?
        .iter()
        .filter_map(|name| step_of(name))
        .collect();
    steps.sort_unstable();
    Ok(steps.into_iter().map(folder_name).collect())
}

/// A pointer to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// The best by `valid.best_by`.
    Best,
    /// The last saved.
    Last,
}

impl Pointer {
    fn file_name(self) -> &'static str {
        match self {
            Pointer::Best => "best",
            Pointer::Last => "last",
        }
    }
}

/// Makes `best` or `last` point to the checkpoint of a step, or to nothing, unless it does so already.
///
/// # Errors
/// [`Error::Store`] from writing, [`Error::Io`] when the pointer can neither be read nor removed.
pub fn point(storage: &dyn Storage, run: &Path, to: Pointer, step: Option<u64>) -> Result<()> {
    let path = checkpoints_folder(run).join(to.file_name());
    match step {
        Some(step) if pointer(storage, run, to)? == Some(folder_name(step)) => Ok(()),
        Some(step) => set_pointer(storage, run, to, step),
        None => remove_file(storage, &path),
    }
}

/// Points `best` or `last` to the checkpoint of a step.
///
/// # Errors
/// [`Error::Store`] from writing; the old pointer is then still in place.
pub fn set_pointer(storage: &dyn Storage, run: &Path, pointer: Pointer, step: u64) -> Result<()> {
    let path = checkpoints_folder(run).join(pointer.file_name());
    Ok(store::write_file_atomic(storage, &path, format!("{}\n", folder_name(step)).as_bytes())?)
}

/// The folder name that `best` or `last` holds; none when it was never set or holds no such name.
///
/// # Errors
/// [`Error::Io`] when the pointer is there and cannot be read.
pub fn pointer(storage: &dyn Storage, run: &Path, pointer: Pointer) -> Result<Option<String>> {
    let path = checkpoints_folder(run).join(pointer.file_name());
    if storage.entry(&path).map_err(io_error("look at", &path))?.is_none() {
        return Ok(None);
    }
    let bytes = storage.read(&path).map_err(io_error("read", &path))?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    Ok(name.filter(|name| step_of(name).is_some()).map(str::to_string))
}

fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

fn is_same(present: &SealedFolder, files: &[(&str, &[u8])]) -> bool {
    present.names().count() == files.len()
        && files.iter().all(|(name, bytes)| present.file(name).is_ok_and(|present| present == *bytes))
}

fn move_aside(storage: &dyn Storage, folder: &Path) -> Result<()> {
    for number in 0_u32.. {
        let mut name = folder.as_os_str().to_os_string();
        name.push(if number == 0 { ".damaged".into() } else { format!(".damaged-{number}") });
        let aside = PathBuf::from(name);
        if storage.entry(&aside).map_err(io_error("look at", &aside))?.is_none() {
            return storage.rename(folder, &aside).map_err(io_error("move aside", folder));
        }
    }
    Ok(())
}

fn io_error(op: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { op, path: path.clone(), source }
}

#[cfg(test)]
mod tests;
