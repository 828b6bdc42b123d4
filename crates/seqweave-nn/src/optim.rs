//! Optimizers: one pass over the flat parameter and gradient buffers.

use crate::{Error, Params, Result, pattern_fits};
use schemars::JsonSchema;
use seqweave_tensor::ops::{self, AdamStep, GradScale, SgdStep};
use seqweave_tensor::{Float, Pending, Tensor};
use serde::{Deserialize, Serialize};

/// Which update rule an optimizer follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam; weight decay is added to the gradient. (Kingma and Ba 2015, "Adam", algorithm 1.)
    #[default]
    Adam,
    /// Adam with decoupled weight decay. (Loshchilov and Hutter 2019, "Decoupled weight decay regularization".)
    Adamw,
    /// Stochastic gradient descent, with momentum if asked for. (Sutskever et al. 2013 for Nesterov's variant.)
    Sgd,
}

/// The optimizer and its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// The update rule.
    pub kind: OptimizerKind,
    /// Learning rate before the schedule.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    pub lr: Float,
    /// Decay of the mean of gradients (`adam`, `adamw`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta1: Float,
    /// Decay of the mean of squared gradients (`adam`, `adamw`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta2: Float,
    /// Added to the root of the mean square, so that the division stays finite (`adam`, `adamw`).
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub eps: Float,
    /// Share of the previous step that is kept (`sgd`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: Float,
    /// Whether the gradient is taken ahead of the momentum (`sgd`).
    pub nesterov: bool,
    /// Pull towards zero of every parameter that `decay_exclude` does not name: on the parameter itself for `adamw`, through the gradient otherwise.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: Float,
    /// Patterns of the names of parameters without weight decay; `*` stands for any characters.
    pub decay_exclude: Vec<String>,
    /// Parameters with a learning rate of their own, by patterns of their names; the first group that fits counts.
    pub groups: Vec<GroupConfig>,
}

/// Parameters with a learning rate of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Pattern of their names; `*` stands for any characters.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Factor on the learning rate.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    pub lr_scale: Float,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::default(),
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            decay_exclude: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl OptimizerConfig {
    /// Checks every constant.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let zero_up = 0.0..Float::INFINITY;
        let share = 0.0..1.0;
        let checks = [
            ("lr", self.lr, &zero_up, "a finite number that is at least 0"),
            ("beta1", self.beta1, &share, "a number in [0, 1)"),
            ("beta2", self.beta2, &share, "a number in [0, 1)"),
            ("eps", self.eps, &zero_up, "a finite number that is at least 0"),
            ("momentum", self.momentum, &share, "a number in [0, 1)"),
            ("weight_decay", self.weight_decay, &zero_up, "a finite number that is at least 0"),
        ];
        for (field, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(Error::Config { field, expected, found: value.to_string() });
            }
        }
        for group in &self.groups {
            if !(group.lr_scale > 0.0 && group.lr_scale.is_finite()) {
                let found = group.lr_scale.to_string();
                return Err(Error::Config { field: "groups", expected: "an `lr_scale` above 0", found });
            }
        }
        if self.nesterov && self.momentum == 0.0 {
            let expected = "a `momentum` above 0, along which to look ahead";
            return Err(Error::Config {
                field: "nesterov",
                expected,
                found: "true with momentum 0".to_owned(),
            });
        }
        Ok(())
    }

    /// Names of the vectors, each as long as the parameters, that the optimizer keeps between steps.
    pub fn vectors(&self) -> &'static [&'static str] {
        match self.kind {
            OptimizerKind::Adam | OptimizerKind::Adamw => &["m", "v"],
            OptimizerKind::Sgd if self.momentum > 0.0 => &["momentum"],
            OptimizerKind::Sgd => &[],
        }
    }
}

/// Parameters that lie behind one another and are updated alike.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    start: usize,
    len: usize,
    lr_scale: Float,
    weight_decay: Float,
}

/// The parameters that learn, cut where the settings change: one segment where all are updated alike.
fn segments(config: &OptimizerConfig, params: &Params) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (name, start, len, frozen) in params.layout() {
        if frozen || len == 0 {
            continue;
        }
        let group = config.groups.iter().find(|group| pattern_fits(&group.pattern, name));
        let is_excluded = config.decay_exclude.iter().any(|pattern| pattern_fits(pattern, name));
        let lr_scale = group.map_or(1.0, |group| group.lr_scale);
        let weight_decay = if is_excluded { 0.0 } else { config.weight_decay };
        match segments.last_mut() {
            Some(last)
                if (last.lr_scale, last.weight_decay, last.start + last.len)
                    == (lr_scale, weight_decay, start) =>
            {
                last.len += len;
            }
            _ => segments.push(Segment { start, len, lr_scale, weight_decay }),
        }
    }
    segments
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Whether the gradient was scaled down to the clip norm.
    pub clipped: bool,
}

/// Everything an optimizer remembers between steps, for checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerState {
    /// Number of steps taken.
    pub step: u64,
    /// The vectors of [`OptimizerConfig::vectors`].
    pub vectors: Vec<(String, Vec<Float>)>,
}

/// Updates [`Params`] from their gradients.
///
/// ```
/// use seqweave_autograd::{Tape, mul, sum};
/// use seqweave_nn::{Ctx, Init, Optimizer, OptimizerConfig, OptimizerKind, ParamsBuilder};
/// use seqweave_tensor::Device;
///
/// let mut builder = ParamsBuilder::new();
/// let x = builder.root().param("x", [2], Init::Constant(3.0));
/// let mut params = builder.build(&Device::cpu(), 0)?;
/// let config = OptimizerConfig { kind: OptimizerKind::Sgd, lr: 0.25, ..Default::default() };
/// let mut optimizer = Optimizer::new(&config, &params)?;
/// for _ in 0..20 {
///     let tape = Tape::new();
///     let loss = {
///         let cx = Ctx::train(&params, tape.clone(), None);
///         let x = cx.param(x)?;
///         sum(&mul(&x, &x)?)?
///     };
///     params.zero_grad()?;
///     tape.backward(&loss, Some(params.grads_mut()))?;
///     optimizer.step(&mut params, config.lr, None)?;
/// }
/// assert!(params.get(x)?.to_vec().iter().all(|x| x.abs() < 1e-4));
/// # Ok::<(), seqweave_nn::Error>(())
/// ```
pub struct Optimizer {
    config: OptimizerConfig,
    step: u64,
    segments: Vec<Segment>,
    /// Buffers by the name under which a checkpoint keeps them.
    buffers: Vec<(&'static str, Tensor)>,
}

impl Optimizer {
    /// An optimizer for `params`, with all moments at zero. Parameters that are frozen now are never changed.
    ///
    /// # Errors
    /// [`Error::Config`]
    pub fn new(config: &OptimizerConfig, params: &Params) -> Result<Self> {
        config.validate()?;
        let zeros = |&name| (name, Tensor::zeros(params.device(), [params.numel()]));
        let buffers = config.vectors().iter().map(zeros).collect();
        Ok(Self { config: config.clone(), step: 0, segments: segments(config, params), buffers })
    }

    /// Number of steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// One update with learning rate `lr`; if the gradient's norm exceeds `clip` the gradient counts as scaled down to it.
    ///
    /// The factor is clip / (norm + 1e-6), as in PyTorch's `clip_grad_norm_` (Pascanu, Mikolov and Bengio 2013, "On the
    /// difficulty of training recurrent neural networks", section 3.2).
    ///
    /// # Errors
    /// As [`Optimizer::step_if_finite`].
    pub fn step(&mut self, params: &mut Params, lr: Float, clip: Option<Float>) -> Result<StepReport> {
        self.step_if_finite(params, lr, clip, &[])
    }

    /// [`Optimizer::step`], made only if the first number of each of `losses` is finite too.
    ///
    /// On a CUDA device norm, factor and update follow one another there; the host waits once, at the end, for what the
    /// report says and for all numbers of `losses`.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`], [`Error::NonFiniteGradient`], without a limit on the norm [`Error::GradientTooLarge`], and
    /// [`Error::ParamsInUse`]; in all cases nothing has changed.
    pub fn step_if_finite(
        &mut self,
        params: &mut Params,
        lr: Float,
        clip: Option<Float>,
        losses: &[&Pending],
    ) -> Result<StepReport> {
        let scale = ops::clip_factor(params.grads(), clip, losses)?;
        let step = self.step + 1;
        self.update(params, lr, step, &scale)?;
        let mut waited = losses.to_vec();
        waited.push(scale.pending());
        Pending::settle(&waited)?;
        let (grad_norm, factor) = (scale.squares()?.sqrt(), scale.factor()?);
        if factor.is_nan() {
            return Err(why_not(params, losses, grad_norm)?);
        }
        self.step = step;
        Ok(StepReport { grad_norm, clipped: factor < 1.0 })
    }

    fn update(&mut self, params: &mut Params, lr: Float, step: u64, scale: &GradScale) -> Result<()> {
        let OptimizerConfig { kind, beta1, beta2, eps, momentum, nesterov, .. } = self.config;
        let (mut values, grads) = params.split_mut()?;
        let mut buffers = self
            .buffers
            .iter_mut()
            .map(|(_, b)| b.view_mut())
            .collect::<seqweave_tensor::Result<Vec<_>>>()?;
        for &Segment { start, len, lr_scale, weight_decay } in &self.segments {
            let (values, grads) = (values.flat_mut(start, [len])?, grads.flat(start, [len])?);
            let lr = lr * lr_scale;
            match (kind, &mut buffers[..]) {
                (OptimizerKind::Adam | OptimizerKind::Adamw, [m, v]) => {
                    let decoupled = kind == OptimizerKind::Adamw;
                    let adam = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step };
                    let (m, v) = (m.flat_mut(start, [len])?, v.flat_mut(start, [len])?);
                    ops::adam(values, &grads, m, v, &adam, scale)?;
                }
                (_, rest) => {
                    let buffer = rest.first_mut().map(|b| b.flat_mut(start, [len])).transpose()?;
                    let sgd = SgdStep { lr, momentum, nesterov, weight_decay };
                    ops::sgd(values, &grads, buffer, &sgd, scale)?;
                }
            }
        }
        Ok(())
    }

    /// What a checkpoint needs to continue bit by bit.
    pub fn state(&self) -> OptimizerState {
        let vectors = self.buffers.iter().map(|(name, t)| ((*name).to_owned(), t.to_vec())).collect();
        OptimizerState { step: self.step, vectors }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`Error::SavedState`] if it was saved by another kind of optimizer or for another number of parameters; nothing
    /// has changed then.
    pub fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        let describe = |names: Vec<(&str, usize)>| {
            let parts: Vec<String> = names.iter().map(|(name, n)| format!("{name}[{n}]")).collect();
            if parts.is_empty() { "no vectors".to_owned() } else { parts.join(", ") }
        };
        let expected = describe(self.buffers.iter().map(|(name, t)| (*name, t.numel())).collect());
        let found = describe(state.vectors.iter().map(|(name, v)| (name.as_str(), v.len())).collect());
        if expected != found {
            return Err(Error::SavedState { what: "optimizer", expected, found });
        }
        for ((_, buffer), (_, saved)) in self.buffers.iter_mut().zip(&state.vectors) {
            *buffer = Tensor::from_slice(buffer.device(), saved, *buffer.shape())?;
        }
        self.step = state.step;
        Ok(())
    }
}

/// Why there was no update.
fn why_not(params: &Params, losses: &[&Pending], grad_norm: f64) -> Result<Error> {
    for loss in losses {
        if !(loss.values()?[0] as Float).is_finite() {
            return Ok(Error::NonFiniteLoss);
        }
    }
    let name = if grad_norm.is_finite() { None } else { params.non_finite_grad()? };
    Ok(match name {
        Some(name) => Error::NonFiniteGradient { name: name.to_owned() },
        None => Error::GradientTooLarge { norm: grad_norm },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder};
    use seqweave_tensor::Device;

    fn params(gradient: &[Float]) -> Params {
        let mut builder = ParamsBuilder::new();
        builder.root().param("a", [1], Init::Ones);
        builder.root().param("b", [gradient.len() - 1], Init::Ones);
        let mut params = builder.build(&Device::cpu(), 0).unwrap();
        params.grads_mut().view_mut().unwrap().copy_from_slice(gradient).unwrap();
        params
    }

    fn sgd() -> OptimizerConfig {
        OptimizerConfig { kind: OptimizerKind::Sgd, ..Default::default() }
    }

    #[test]
    fn a_gradient_above_the_clip_norm_is_scaled_down_to_it() {
        let mut params = params(&[3.0, 4.0]);
        let mut optimizer = Optimizer::new(&sgd(), &params).unwrap();
        let report = optimizer.step(&mut params, 1.0, Some(1.0)).unwrap();
        assert_eq!(report, StepReport { grad_norm: 5.0, clipped: true });
        let moved: Vec<f64> = params.values().to_vec().into_iter().map(|x| 1.0 - f64::from(x)).collect();
        assert!((moved[0] - 0.6).abs() < 1e-6 && (moved[1] - 0.8).abs() < 1e-6, "{moved:?}");
        let report = optimizer.step(&mut params, 1.0, Some(6.0)).unwrap();
        assert!(!report.clipped);
        assert_eq!(optimizer.steps(), 2);
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing_and_is_named() {
        for bad in [Float::NAN, Float::INFINITY] {
            for config in [OptimizerConfig::default(), sgd()] {
                let mut params = params(&[1.0, 2.0, bad]);
                let mut optimizer = Optimizer::new(&config, &params).unwrap();
                let before = optimizer.state();
                let message = optimizer.step(&mut params, 1.0, Some(1.0)).unwrap_err().to_string();
                assert!(message.starts_with("the gradient of `b` is not finite"), "{message}");
                assert_eq!(optimizer.state(), before);
                assert_eq!(params.values().to_vec(), [1.0; 3]);
            }
        }
    }

    /// Three parameters `a` `[1]`, `frozen.b` `[3]`, `c.bias` `[2]` of ones, with gradients of two.
    fn three(config: &OptimizerConfig, freeze: &[&str], steps: usize) -> Vec<Float> {
        let mut builder = ParamsBuilder::new();
        builder.root().param("a", [1], Init::Ones);
        builder.root().param("frozen.b", [3], Init::Ones);
        builder.root().param("c.bias", [2], Init::Ones);
        let mut params = builder.build(&Device::cpu(), 0).unwrap();
        params.freeze(&freeze.iter().map(|&p| p.to_owned()).collect::<Vec<_>>()).unwrap();
        let mut optimizer = Optimizer::new(config, &params).unwrap();
        for _ in 0..steps {
            params.grads_mut().view_mut().unwrap().fill(2.0);
            optimizer.step(&mut params, 0.25, None).unwrap();
        }
        params.values().to_vec()
    }

    #[test]
    fn groups_have_their_own_rate_and_decay_and_the_frozen_stay_to_the_bit() {
        let group = |pattern: &str, lr_scale| GroupConfig { pattern: pattern.to_owned(), lr_scale };
        let config = OptimizerConfig {
            weight_decay: 0.5,
            decay_exclude: vec!["*bias".to_owned()],
            groups: vec![group("a", 0.5), group("*", 2.0)],
            ..sgd()
        };
        // p - lr·scale·(g + decay·p), by hand.
        let (a, b, c) = (1.0 - 0.125 * 2.5, 1.0 - 0.5 * 2.5, 1.0 - 0.5 * 2.0);
        assert_eq!(three(&config, &[], 1), [a, b, b, b, c, c]);
        for kind in [OptimizerKind::Adam, OptimizerKind::Adamw, OptimizerKind::Sgd] {
            let momentum = if kind == OptimizerKind::Sgd { 0.9 } else { 0.0 };
            let config = OptimizerConfig { kind, momentum, ..config.clone() };
            let (free, held) = (three(&config, &[], 3), three(&config, &["frozen.*"], 3));
            assert_eq!(held[1..4], [1.0; 3], "{kind:?}");
            assert_eq!((held[0], &held[4..]), (free[0], &free[4..]), "{kind:?}: the others do not notice");
        }
    }

    #[test]
    fn where_all_are_alike_there_is_one_segment() {
        let params = params(&[1.0, 2.0, 3.0]);
        let config = OptimizerConfig { weight_decay: 0.1, ..sgd() };
        let whole = Segment { start: 0, len: 3, lr_scale: 1.0, weight_decay: 0.1 };
        assert_eq!(segments(&config, &params), [whole]);
    }

    #[test]
    fn a_loss_that_is_not_finite_or_a_square_that_overflows_changes_nothing() {
        let huge = Float::MAX.sqrt() * 4.0;
        // (gradient, limit, loss, the start of the error)
        let rows = [
            (1.0, Some(1.0), f64::NAN, "the loss is not finite"),
            (1.0, None, f64::INFINITY, "the loss is not finite"),
            (huge, None, 1.0, "the gradient is too large: its norm is"),
        ];
        for (gradient, clip, loss, expected) in rows {
            let mut params = params(&[1.0, gradient]);
            let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
            let before = optimizer.state();
            let losses = [Pending::known(vec![1.0]), Pending::known(vec![loss])];
            let losses: Vec<&Pending> = losses.iter().collect();
            let error = optimizer.step_if_finite(&mut params, 1.0, clip, &losses).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(optimizer.state(), before);
            assert_eq!(params.values().to_vec(), [1.0; 2]);
        }
    }

    #[test]
    fn parameters_in_use_are_an_error_and_nothing_changes() {
        let mut params = params(&[1.0, 2.0]);
        let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
        let (before, view) = (optimizer.state(), params.by_name("a").unwrap());
        assert!(matches!(optimizer.step(&mut params, 1.0, None), Err(Error::ParamsInUse { .. })));
        assert_eq!(optimizer.state(), before);
        drop(view);
        optimizer.step(&mut params, 1.0, None).unwrap();
    }

    #[test]
    fn state_of_another_optimizer_is_refused() {
        let params = params(&[1.0, 2.0]);
        let mut adam = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
        let plain = Optimizer::new(&sgd(), &params).unwrap();
        let before = adam.state();
        let message = adam.load_state(&plain.state()).unwrap_err().to_string();
        assert!(message.contains("expected m[2], v[2], found no vectors"), "{message}");
        let mut short = adam.state();
        short.vectors[1].1.pop();
        assert!(adam.load_state(&short).is_err());
        assert_eq!(adam.state(), before);
    }

    #[test]
    fn constants_out_of_range_are_errors_that_name_the_field() {
        let base = OptimizerConfig::default;
        for (field, config) in [
            ("lr", OptimizerConfig { lr: -1.0, ..base() }),
            ("lr", OptimizerConfig { lr: Float::INFINITY, ..base() }),
            ("beta1", OptimizerConfig { beta1: 1.0, ..base() }),
            ("beta2", OptimizerConfig { beta2: -0.1, ..base() }),
            ("eps", OptimizerConfig { eps: Float::NAN, ..base() }),
            ("momentum", OptimizerConfig { momentum: 1.5, ..base() }),
            ("nesterov", OptimizerConfig { nesterov: true, ..base() }),
            ("weight_decay", OptimizerConfig { weight_decay: -0.5, ..base() }),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
        base().validate().unwrap();
    }
}
