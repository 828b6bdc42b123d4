//! Learning-rate schedules.

use crate::{Error, Result};
use schemars::JsonSchema;
use seqweave_tensor::Float;
use serde::{Deserialize, Serialize};

/// The shape of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// lr after the warm-up.
    #[default]
    Constant,
    /// lr·√(warmup / step) after the warm-up. (Vaswani et al. 2017, section 5.3, with lr as the peak.)
    InverseSqrt,
    /// lr·factor each time the validation metric has not improved for `patience` validations. (Bahar et al. 2017,
    /// "Empirical investigation of optimization algorithms in neural machine translation", section 5, "annealing".)
    Plateau,
    /// Half a cosine from lr down to `min_lr` at step `total`. (Loshchilov and Hutter 2017, "SGDR", equation 5.)
    Cosine,
}

/// A schedule and its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The rule after the warm-up.
    pub kind: ScheduleKind,
    /// Warm-up: steps over which lr rises in a line from 0; `inverse-sqrt` needs at least 1.
    #[schemars(range(max = 1_000_000_000_000u64))]
    pub warmup: u64,
    /// What lr is multiplied by on a plateau (`plateau`).
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub factor: Float,
    /// Validations without improvement before a plateau is called (`plateau`).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub patience: u32,
    /// Where lr stops falling (`plateau`, `cosine`).
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub min_lr: Float,
    /// The step, above `warmup`, at which lr reaches `min_lr` (`cosine`); a training run takes 0 for all its steps.
    #[schemars(range(max = 1_000_000_000_000u64))]
    pub total: u64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::default(), warmup: 0, factor: 0.5, patience: 2, min_lr: 0.0, total: 0 }
    }
}

impl ScheduleConfig {
    /// Checks every constant.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |field, expected, found: String| Err(Error::Config { field, expected, found });
        if self.kind == ScheduleKind::InverseSqrt && self.warmup == 0 {
            return wrong("warmup", "at least 1 for \"inverse-sqrt\"", self.warmup.to_string());
        }
        if self.kind == ScheduleKind::Cosine && self.total <= self.warmup {
            return wrong("total", "more than `warmup` for \"cosine\"", self.total.to_string());
        }
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return wrong("factor", "a number in (0, 1)", self.factor.to_string());
        }
        if self.kind == ScheduleKind::Plateau && self.patience == 0 {
            return wrong("patience", "at least 1 for \"plateau\"", self.patience.to_string());
        }
        if !(self.min_lr >= 0.0 && self.min_lr.is_finite()) {
            return wrong("min_lr", "a finite number that is at least 0", self.min_lr.to_string());
        }
        Ok(())
    }
}

/// What a schedule remembers between steps, for checkpoints. Only a plateau has anything to remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleState {
    /// The lowest metric so far.
    pub best: Option<f64>,
    /// Validations since then.
    pub bad: u32,
    /// How often lr has been reduced.
    pub reductions: u32,
}

/// Learning rates by step.
///
/// ```
/// use seqweave_nn::{Schedule, ScheduleConfig, ScheduleKind};
///
/// let config = ScheduleConfig { kind: ScheduleKind::InverseSqrt, warmup: 100, ..Default::default() };
/// let schedule = Schedule::new(&config, 0.01)?;
/// assert_eq!(schedule.lr(50), 0.005); // half way up
/// assert_eq!(schedule.lr(100), 0.01); // the peak
/// assert_eq!(schedule.lr(400), 0.005); // √(100 / 400) of it
/// # Ok::<(), seqweave_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    config: ScheduleConfig,
    lr: Float,
    state: ScheduleState,
}

impl Schedule {
    /// A schedule whose peak is `lr`.
    ///
    /// # Errors
    /// [`Error::Config`]
    pub fn new(config: &ScheduleConfig, lr: Float) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), lr, state: ScheduleState::default() })
    }

    /// The learning rate of step `step`, counted from 1.
    ///
    /// Computed in f64 from `step` alone (and the count of reductions), so a resumed run gets the same bits.
    pub fn lr(&self, step: u64) -> Float {
        let ScheduleConfig { kind, warmup, factor, min_lr, total, .. } = self.config;
        let peak = f64::from(self.lr);
        if step < warmup {
            return (peak * step as f64 / warmup as f64) as Float;
        }
        let floor = f64::from(min_lr).min(peak);
        let lr = match kind {
            ScheduleKind::Constant => peak,
            ScheduleKind::InverseSqrt => peak * (warmup as f64 / step as f64).sqrt(),
            ScheduleKind::Plateau => peak * f64::from(factor).powi(self.state.reductions as i32),
            ScheduleKind::Cosine => {
                let done = ((step - warmup) as f64 / (total - warmup) as f64).min(1.0);
                floor + (peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        };
        lr.max(floor) as Float
    }

    /// Hears a validation metric, lower is better; returns whether the learning rate was reduced.
    ///
    /// A metric that is not a number counts as no improvement.
    pub fn on_validation(&mut self, metric: f64) -> bool {
        let state = &mut self.state;
        if !metric.is_nan() && state.best.is_none_or(|best| metric < best) {
            state.best = Some(metric);
            state.bad = 0;
            return false;
        }
        state.bad += 1;
        let reduce = self.config.kind == ScheduleKind::Plateau && state.bad >= self.config.patience;
        if reduce {
            state.bad = 0;
            state.reductions += 1;
        }
        reduce
    }

    /// What a checkpoint needs to continue.
    pub fn state(&self) -> &ScheduleState {
        &self.state
    }

    /// Continues from a saved state.
    pub fn load_state(&mut self, state: &ScheduleState) {
        self.state = state.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind, warmup: u64, total: u64) -> Schedule {
        let config = ScheduleConfig { kind, warmup, total, min_lr: 0.001, patience: 2, ..Default::default() };
        Schedule::new(&config, 0.1).unwrap()
    }

    fn close(got: Float, want: f64) {
        assert!((f64::from(got) - want).abs() < 1e-7, "{got} is not {want}");
    }

    #[test]
    fn warmup_is_linear_for_every_kind() {
        for kind in
            [ScheduleKind::Constant, ScheduleKind::InverseSqrt, ScheduleKind::Plateau, ScheduleKind::Cosine]
        {
            let s = schedule(kind, 10, 100);
            close(s.lr(1), 0.01);
            close(s.lr(5), 0.05);
            close(s.lr(10), 0.1);
        }
        close(schedule(ScheduleKind::Constant, 0, 0).lr(1), 0.1);
    }

    #[test]
    fn shapes_after_the_warmup() {
        close(schedule(ScheduleKind::Constant, 10, 0).lr(1_000_000), 0.1);
        let s = schedule(ScheduleKind::InverseSqrt, 10, 0);
        close(s.lr(40), 0.05);
        close(s.lr(1_000_000_000), 0.001);
        let s = schedule(ScheduleKind::Cosine, 10, 110);
        close(s.lr(60), (0.1 + 0.001) / 2.0);
        close(s.lr(110), 0.001);
        close(s.lr(1000), 0.001);
    }

    #[test]
    fn a_plateau_reduces_after_so_many_bad_validations_and_survives_a_checkpoint() {
        let mut s = schedule(ScheduleKind::Plateau, 0, 0);
        let mut restored = schedule(ScheduleKind::Plateau, 0, 0);
        let metrics = [5.0, 4.0, 4.0, f64::NAN, 4.5, 3.0, 3.5, 3.5, 9.0, 9.0];
        let reduced: Vec<bool> = metrics
            .iter()
            .map(|&m| {
                // A second schedule goes through its saved state before every validation.
                let text = format!("{:?}", s.state());
                let mut next = schedule(ScheduleKind::Plateau, 0, 0);
                next.load_state(restored.state());
                restored = next;
                assert_eq!(format!("{:?}", restored.state()), text);
                assert_eq!(s.on_validation(m), restored.on_validation(m));
                restored.state().bad == 0 && restored.state().best.is_some_and(|best| m != best)
            })
            .collect();
        assert_eq!(reduced, [false, false, false, true, false, false, false, true, false, true]);
        assert_eq!(s.state().reductions, 3);
        close(s.lr(1), 0.1 / 8.0);
        for _ in 0..100 {
            s.on_validation(9.0);
        }
        close(s.lr(1), 0.001);
    }

    #[test]
    fn other_kinds_never_reduce() {
        let mut s = schedule(ScheduleKind::Constant, 0, 0);
        assert!((0..20).all(|_| !s.on_validation(1.0)));
        close(s.lr(1), 0.1);
    }

    #[test]
    fn constants_out_of_range_are_errors_that_name_the_field() {
        let base = ScheduleConfig::default;
        for (field, config) in [
            ("warmup", ScheduleConfig { kind: ScheduleKind::InverseSqrt, ..base() }),
            ("total", ScheduleConfig { kind: ScheduleKind::Cosine, warmup: 5, total: 5, ..base() }),
            ("factor", ScheduleConfig { factor: 1.0, ..base() }),
            ("factor", ScheduleConfig { factor: Float::NAN, ..base() }),
            ("patience", ScheduleConfig { kind: ScheduleKind::Plateau, patience: 0, ..base() }),
            ("min_lr", ScheduleConfig { min_lr: -1.0, ..base() }),
        ] {
            let message = Schedule::new(&config, 0.1).unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }
}
