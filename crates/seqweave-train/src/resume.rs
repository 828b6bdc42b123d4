//! What an interrupted run goes on from: its newest good checkpoint, if that was made with the same settings.

use crate::checkpoint::{self, Checkpoint};
use crate::config::{Config, Sources};
use crate::run_folder::RunFolder;
use crate::{Error, Result};
use seqweave::store::Disk;
use seqweave_nn::Params;
use seqweave_tensor::{Float, Precision, machine};
use std::path::Path;

/// The newest checkpoint that verifies, and newer ones with the reasons why they do not.
pub(crate) fn newest(run: &RunFolder) -> Result<(Option<Checkpoint>, Vec<String>)> {
    let latest = checkpoint::load_latest(&Disk, run.root())?;
    let refused: Vec<String> = latest
        .refused
        .iter()
        .map(|r| format!("{}: {}", r.folder.display(), r.error.without_help()))
        .collect();
    if latest.checkpoint.is_none() && !refused.is_empty() {
        return Err(Error::NoGoodCheckpoint { run: run.root().into(), refused });
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

/// Refuses a checkpoint that was made with other settings, and names them if the run folder still has them.
pub(crate) fn check_settings(run: &RunFolder, found: &Checkpoint, config: &Config) -> Result<()> {
    let (hash, expected) = (&found.state.config_hash, settings_hash(config));
    let sources = Sources { files: vec![run.config_path()], sets: Vec::new() };
    match Config::load(&sources) {
        Ok(then) if *hash != expected && settings_hash(&then.value) == *hash => {
            let (then, now) = then.value.differences(config);
            check_same(&found.folder, "settings", &then.join(", "), &now.join(", "))
        }
        _ => check_same(&found.folder, "settings", hash, &expected),
    }
}

/// [`Config::hash`], and in bf16 and f32-fast how this machine makes its products: another way gives other last bits, so a
/// run that went on with it would not end as if it had not been interrupted.
pub(crate) fn settings_hash(config: &Config) -> String {
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
