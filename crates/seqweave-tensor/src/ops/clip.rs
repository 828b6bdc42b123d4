//! What a gradient is multiplied with before an update: the factor that clips its norm, or none of the update at all.

use super::reduce;
use crate::cuda::{self, CudaBuffer};
use crate::{Device, Float, Pending, Result, Tensor};
use std::fmt;

/// A factor on a gradient, which stays on the device where it was computed, so that an update can follow without the host.
///
/// A factor that is NaN stands for no update: [`adam`](super::adam) and [`sgd`](super::sgd) write nothing then.
pub struct GradScale {
    /// Σ g² and the factor.
    numbers: Pending,
    /// The factor for the kernels of a CUDA device.
    on_device: Option<CudaBuffer>,
}

impl GradScale {
    /// A factor that the host has chosen.
    pub fn new(factor: Float) -> GradScale {
        GradScale { numbers: Pending::known(vec![0.0, f64::from(factor)]), on_device: None }
    }

    pub(crate) fn on_device(numbers: Pending, factor: CudaBuffer) -> GradScale {
        GradScale { numbers, on_device: Some(factor) }
    }

    /// The numbers to settle together with others.
    pub fn pending(&self) -> &Pending {
        &self.numbers
    }

    /// Sum of the squares of the gradient. It waits as [`Pending::values`] does.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn squares(&self) -> Result<f64> {
        Ok(self.numbers.values()?[0])
    }

    /// The factor. It waits as [`Pending::values`] does.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn factor(&self) -> Result<Float> {
        Ok(self.numbers.values()?[1] as Float)
    }

    /// The factor for a loop on the host; `None` if there is to be no update.
    pub(super) fn for_update(&self) -> Result<Option<Float>> {
        Ok(Some(self.factor()?).filter(|factor| !factor.is_nan()))
    }

    /// Where the kernels find the factor, if a device computed it.
    pub(crate) fn buffer(&self) -> Option<&CudaBuffer> {
        self.on_device.as_ref()
    }
}

impl fmt::Debug for GradScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GradScale({:?})", self.numbers)
    }
}

/// `min(1, clip / (‖g‖ + 1e-6))`, or 1 without a limit (Pascanu, Mikolov and Bengio 2013, section 3.2; the constant is that
/// of PyTorch's `clip_grad_norm_`).
///
/// The factor is NaN, for no update, if ‖g‖ or the first number of one of `losses` is not finite. Without a limit it also
/// is if ‖g‖² is too large for a [`Float`], for the moments of Adam would keep the infinity for ever.
///
/// # Errors
/// Errors of the device.
pub fn clip_factor(g: &Tensor, clip: Option<Float>, losses: &[&Pending]) -> Result<GradScale> {
    if let Device::Cuda(cuda) = g.device() {
        return cuda::optim::clip_factor(cuda, g, clip, losses);
    }
    let squares = reduce::sum_squares(g)?;
    let fits = |x: f64| (x as Float).is_finite();
    let mut usable = squares.is_finite() && (clip.is_some() || fits(squares));
    for loss in losses {
        usable &= fits(loss.values()?[0]);
    }
    let factor = match clip {
        _ if !usable => Float::NAN,
        Some(clip) => (f64::from(clip) / (squares.sqrt() + 1e-6)).min(1.0) as Float,
        None => 1.0,
    };
    Ok(GradScale { numbers: Pending::known(vec![squares, f64::from(factor)]), on_device: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_clips_or_forbids() {
        let of = |g: &[Float], clip, losses: &[f64]| {
            let g = Tensor::from_slice(&Device::cpu(), g, [g.len()]).unwrap();
            let losses: Vec<Pending> = losses.iter().map(|&loss| Pending::known(vec![loss, 7.0])).collect();
            let scale = clip_factor(&g, clip, &losses.iter().collect::<Vec<_>>()).unwrap();
            (scale.squares().unwrap(), scale.factor().unwrap())
        };
        assert_eq!(of(&[3.0, 4.0], None, &[1.0]), (25.0, 1.0));
        assert_eq!(of(&[3.0, 4.0], Some(6.0), &[]), (25.0, 1.0));
        let (_, half) = of(&[3.0, 4.0], Some(2.5), &[1.0, 2.0]);
        assert!((half - 0.5).abs() < 1e-6, "{half}");
        let huge = Float::MAX.sqrt() * 2.0;
        // (gradient, limit, losses)
        let forbidden: [(&[Float], _, &[f64]); 5] = [
            (&[1.0, Float::NAN], Some(1.0), &[]),
            (&[Float::INFINITY, 1.0], None, &[1.0]),
            (&[1.0], Some(1.0), &[1.0, f64::NAN]),
            (&[1.0], None, &[f64::INFINITY, 1.0]),
            (&[huge], None, &[1.0]),
        ];
        for (g, clip, losses) in forbidden {
            assert!(of(g, clip, losses).1.is_nan(), "{g:?} {clip:?} {losses:?}");
        }
        assert!(!of(&[huge], Some(1.0), &[1.0]).1.is_nan() || cfg!(seqweave_f64), "clipped, it is usable");
    }
}
