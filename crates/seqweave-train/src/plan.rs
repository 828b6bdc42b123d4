//! What is planned before the first step: how many there will be, the learning rate of each, when something is due.

use crate::config::{Config, Problem, ProblemKind, Problems};
use crate::feed::FeedSource;
use crate::{Error, Result};
use seqweave_nn::{ParamsBuilder, Schedule, ScheduleKind};
use seqweave_seq2seq::Seq2Seq;
use seqweave_tensor::Device;

/// Steps the run will make, to a few steps for many epochs of many pairs.
pub(crate) fn planned_steps(config: &Config, source: &FeedSource) -> Result<u64> {
    let limits = [config.train.max_steps, source.steps_of(config.train.epochs)?];
    Ok(limits.into_iter().filter(|&limit| limit > 0).min().unwrap_or(u64::MAX))
}

/// Tokens of the source, of which the last so many are tags, and tokens of the target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) src: usize,
    pub(crate) tags: usize,
    pub(crate) tgt: usize,
}

/// The model of a configuration with its parameters declared, and nothing allocated.
pub(crate) fn planned_model(config: &Config, sizes: Sizes) -> Result<(Seq2Seq, ParamsBuilder)> {
    let Sizes { src, tags, tgt } = sizes;
    let mut builder = ParamsBuilder::new();
    let model = Seq2Seq::with_tags(&config.model, src, tags, tgt, &mut builder.root())?;
    Ok((model, builder))
}

/// Refuses a model that `device` has not the memory to train.
///
/// Value, two layouts of it, gradient, their mean and the optimizer's vectors; while a checkpoint is written, value, mean and
/// vectors once more.
pub(crate) fn check_memory(config: &Config, builder: &ParamsBuilder, device: &Device) -> Result<()> {
    let average = if config.train.ema > 0.0 { 2 } else { 0 };
    Ok(builder.check_memory(device, 5 + average + 2 * config.train.optimizer.vectors().len())?)
}

/// The schedule of a run of `total_steps` steps, which is the length of a cosine unless it has its own.
pub(crate) fn planned_schedule(config: &Config, total_steps: u64) -> Result<Schedule> {
    let mut planned = config.train.schedule.clone();
    if planned.total == 0 {
        planned.total = total_steps;
    }
    if planned.kind == ScheduleKind::Cosine && planned.warmup >= planned.total {
        let rule =
            format!("all the run has {total_steps} steps, at the last of which the cosine ends: take fewer");
        let kind = ProblemKind::Conflict { found: planned.warmup.to_string(), rule };
        let problem = Problem { key: "train.schedule.warmup".into(), kind, place: None };
        return Err(Error::Config(Problems(vec![problem])));
    }
    Ok(Schedule::new(&planned, config.train.optimizer.lr)?)
}

/// Every `every` steps, or at the end of each epoch if that is zero.
pub(crate) fn is_due(every: u64, step: u64, ends_epoch: bool) -> bool {
    if every == 0 { ends_epoch } else { step.is_multiple_of(every) }
}
