//! A running mean of the weights.

use seqweave_tensor::{Float, Tensor, ops};

use crate::{Error, Params, Result};

/// The exponential moving average of all parameters: `ē ← ē + (1 - dₜ)·(w - ē)` after step t.
///
/// `dₜ = min(decay, (1 + t)/(10 + t))`, so that the first steps, from which the weights are still moving away, are soon
/// forgotten. (Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the warm-up is that of
/// TensorFlow's `ExponentialMovingAverage`.) Frozen parameters stay as they are, to the bit.
pub struct MovingAverage {
    decay: f64,
    mean: Tensor,
}

impl MovingAverage {
    /// The mean before the first step: the parameters themselves.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ `decay` < 1.
    pub fn new(decay: Float, params: &Params) -> Result<Self> {
        if !(0.0..1.0).contains(&decay) {
            let expected = "a number in [0, 1)";
            return Err(Error::Config { field: "ema", expected, found: decay.to_string() });
        }
        // The decimal digits are what was meant: 1 - 0.999 is 0.001, and not what is left of the nearest `f32`.
        let decay = decay.to_string().parse().unwrap_or(f64::from(decay));
        Ok(Self { decay, mean: params.values().deep_clone() })
    }

    /// Takes in the parameters after step `step`, counted from 1.
    ///
    /// # Errors
    /// A tensor error from the device, or if these are not the parameters it was made for.
    pub fn update(&mut self, params: &Params, step: u64) -> Result<()> {
        let t = step as f64;
        let share = (1.0 - self.decay.min((1.0 + t) / (10.0 + t))) as Float;
        for (start, len) in params.learning() {
            let way = ops::sub(&params.values().flat(start, [len])?, &self.mean.flat(start, [len])?)?;
            ops::axpy(share, &way, self.mean.view_mut()?.flat_mut(start, [len])?)?;
        }
        Ok(())
    }

    /// Exchanges the mean and the parameters, and with a second call back.
    ///
    /// # Errors
    /// As [`Params::swap_values`].
    pub fn swap(&mut self, params: &mut Params) -> Result<()> {
        params.swap_values(&mut self.mean)
    }

    /// The mean of all parameters, one behind another.
    pub fn values(&self) -> &Tensor {
        &self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder};
    use seqweave_tensor::Device;

    fn params() -> Params {
        let mut builder = ParamsBuilder::new();
        builder.root().param("a", [3], Init::Zeros);
        builder.root().param("held", [1], Init::Constant(-0.0));
        builder.root().param("b", [2], Init::Zeros);
        builder.build(&Device::cpu(), 0).unwrap()
    }

    #[test]
    fn the_mean_follows_its_formula_and_leaves_the_frozen_alone() {
        let mut params = params();
        params.freeze(&["held".to_owned()]).unwrap();
        let mut mean = MovingAverage::new(0.75, &params).unwrap();
        let mut want = 0.0_f64;
        for step in 1..=40_u64 {
            for name in ["a", "b"] {
                let n = params.by_name(name).unwrap().numel();
                params.set_by_name(name, &vec![(step as Float).sin(); n]).unwrap();
            }
            mean.update(&params, step).unwrap();
            let t = step as f64;
            want += (1.0 - f64::min(0.75, (1.0 + t) / (10.0 + t))) * (t.sin() - want);
            let got = mean.values().to_vec();
            assert!((f64::from(got[0]) - want).abs() < 1e-6, "step {step}: {} for {want}", got[0]);
            assert_eq!(got[3].to_bits(), Float::to_bits(-0.0));
            assert!([0, 1, 2, 4, 5].iter().all(|&i| got[i] == got[0]), "{got:?}");
        }
    }

    #[test]
    fn a_swap_and_a_second_one_change_nothing() {
        let mut params = params();
        let mut mean = MovingAverage::new(0.5, &params).unwrap();
        params.set_by_name("a", &[1.0, 2.0, 3.0]).unwrap();
        mean.swap(&mut params).unwrap();
        assert_eq!(params.by_name("a").unwrap().to_vec(), [0.0; 3]);
        mean.swap(&mut params).unwrap();
        assert_eq!(params.by_name("a").unwrap().to_vec(), [1.0, 2.0, 3.0]);
        let view = params.by_name("a").unwrap();
        assert!(matches!(mean.swap(&mut params), Err(Error::ParamsInUse { .. })));
        drop(view);
        let other = Tensor::zeros(&Device::cpu(), [5]);
        assert!(params.swap_values(&mut other.clone()).is_err());
    }

    #[test]
    fn a_decay_of_one_would_never_move() {
        for decay in [1.0, -0.1, Float::NAN] {
            assert!(matches!(MovingAverage::new(decay, &params()), Err(Error::Config { field: "ema", .. })));
        }
    }
}
