//! Shards of a whole configuration: with the tokens that its training would use.

use std::path::Path;

use seqweave_data::{ShardInfo, prepare_shards_from};

use crate::Result;
use crate::config::Config;
use crate::initial::Initial;

/// Turns the corpora of a configuration into the folder of shards `dir`, and calls `progress` with the number of pairs read
/// so far. Where `train.init_from` names a model, its tokens come first, and those that are new after them.
///
/// # Errors
/// As [`prepare_shards`](seqweave_data::prepare_shards); that the model cannot be read, or has another tokenizer than the
/// configuration asks for.
pub fn prepare(config: &Config, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<ShardInfo> {
    let initial = config.train.init_from.as_deref().map(Initial::open).transpose()?;
    let known = initial.as_ref().map(Initial::known);
    Ok(prepare_shards_from(&config.data, dir, known, progress)?)
}
