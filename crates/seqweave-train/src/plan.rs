//! What is planned before the first step: how many there will be, the learning rate of each, when something is due.

use crate::config::{Config, Problem, ProblemKind, Problems};
use crate::feed::FeedSource;
use crate::{Error, Result};
use seqweave_nn::{Schedule, ScheduleKind};

/// Steps the run will make, to a few steps for many epochs of many pairs.
pub(crate) fn planned_steps(config: &Config, source: &FeedSource) -> Result<u64> {
    let limits = [config.train.max_steps, source.steps_of(config.train.epochs)?];
    Ok(limits.into_iter().filter(|&limit| limit > 0).min().unwrap_or(u64::MAX))
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
