//! What an interrupted run goes on from: its newest good checkpoint, if that was made with the same settings.

use crate::checkpoint::{self, Checkpoint};
use crate::config::{Config, Sources};
use crate::initial::Initial;
use crate::run_folder::RunFolder;
use crate::{Error, Result};
use seqweave::store::Disk;
use seqweave_nn::Params;
use seqweave_tensor::{Float, Precision, machine};
use std::path::Path;

/// The newest checkpoint that verifies, and newer ones with the reasons why they do not.
pub(crate) fn newest(run: &Path) -> Result<(Option<Checkpoint>, Vec<String>)> {
    let latest = checkpoint::load_latest(&Disk, run)?;
    let refused: Vec<String> = latest
        .refused
        .iter()
        .map(|r| format!("{}: {}", r.folder.display(), r.error.without_help()))
        .collect();
    if latest.checkpoint.is_none() && !refused.is_empty() {
        return Err(Error::NoGoodCheckpoint { run: run.into(), refused });
    }
    Ok((latest.checkpoint, refused))
}

/// Replaces all weights by those of a checkpoint.
pub(crate) fn restore_weights(params: &mut Params, trained: &[Float]) -> Result<()> {
    if trained.len() != params.numel() {
        let (what, expected) = ("weights beside their moving average", params.numel().to_string());
        let found = trained.len().to_string();
        return Err(seqweave_nn::Error::SavedState { what, expected, found }.into());
    }
    Ok(params.values_mut()?.copy_from_slice(trained)?)
}

/// Refuses a checkpoint that was made with other settings or from another model, and names the settings if the run folder
/// still has them.
pub(crate) fn check_settings(run: &Path, found: &Checkpoint, config: &Config) -> Result<()> {
    let (hash, model) = settings_and_model(&found.state.config_hash);
    let expected = settings_hash(config);
    let sources = Sources { files: vec![RunFolder::config_in(run)], sets: Vec::new() };
    let then = Config::load(&sources).ok().map(|then| then.value).filter(|then| settings_hash(then) == hash);
    match &then {
        Some(then) if hash != expected => {
            let (then, now) = then.differences(config);
            check_same(&found.folder, "settings", &then.join(", "), &now.join(", "))?;
        }
        _ => check_same(&found.folder, "settings", hash, &expected)?,
    }
    let path = config.train.init_from.as_deref();
    // What is in the place of then may have been trained further since.
    if then.is_some_and(|then| then.train.init_from.as_deref() == path) {
        return Ok(());
    }
    check_model(&found.folder, model, path)
}

/// Refuses a checkpoint of a run that started from another model than the one in `path`. A place where nothing is holds no
/// other model: all that the run took is in its checkpoint.
fn check_model(folder: &Path, started_from: Option<&str>, path: Option<&Path>) -> Result<()> {
    let same = |found: &str, expected: &str| check_same(folder, "train.init_from", found, expected);
    match (started_from, path) {
        (None, None) => Ok(()),
        (Some(hash), None) => same(&format!("the model {hash}"), "none"),
        (None, Some(path)) => same("none", &path.display().to_string()),
        (Some(_), Some(path)) if !path.exists() => Ok(()),
        (Some(hash), Some(path)) => {
            let model = Initial::open(path)?;
            same(&format!("the model {hash}"), &format!("the model {}", model.hash()?))
        }
    }
}

/// What stands between the settings of a run and the model that it started from.
const FROM: &str = ", from the model ";

/// What tells a run from others: its settings, and the model it starts from.
pub(crate) fn run_hash(config: &Config, initial: Option<&Initial>) -> Result<String> {
    let settings = settings_hash(config);
    Ok(match initial {
        None => settings,
        Some(model) => format!("{settings}{FROM}{}", model.hash()?),
    })
}

/// The two parts of a [`run_hash`].
fn settings_and_model(hash: &str) -> (&str, Option<&str>) {
    hash.split_once(FROM).map_or((hash, None), |(settings, model)| (settings, Some(model)))
}

/// [`Config::hash`], and in bf16 and f32-fast how this machine makes its products: another way gives other last bits, so a
/// run that went on with it would not end as if it had not been interrupted.
fn settings_hash(config: &Config) -> String {
    match Precision::from(config.train.precision) {
        Precision::F32 => config.hash(),
        Precision::F32Fast => {
            format!("{}, f32-fast products {}", config.hash(), machine::f32_fast_kernels())
        }
        Precision::Bf16 => format!("{}, bf16 products {}", config.hash(), machine::bf16_kernels()),
    }
}

pub(crate) fn check_same(folder: &Path, what: &'static str, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::OtherRun { folder: folder.into(), what, found: found.into(), expected: expected.into() })
}
