//! Dropout whose mask is a function of the position, and so is never stored.

use super::check;
use crate::cuda;
use crate::math::simd;
use crate::parallel::for_chunks;
use crate::{Device, Float, Philox, Result, Tensor, TensorMut};

/// Elements a task handles at once; a multiple of what one group of blocks covers.
const CHUNK: usize = 4096;
/// Philox blocks computed side by side, four elements each.
const BLOCKS: usize = 16;

simd! {
    /// `first` is the position of `x[0]`, a multiple of 4; words below `threshold` (of 2^24) drop their element.
    fn dropout_chunk(
        x: &[Float], key: Philox, op: u32, first: u64, threshold: u32, scale: Float, y: &mut [Float],
    ) {
        let groups = x.chunks(4 * BLOCKS).zip(y.chunks_mut(4 * BLOCKS));
        for (group, (x, y)) in groups.enumerate() {
            let block = first / 4 + (group * BLOCKS) as u64;
            let mut words = [[0; 4]; BLOCKS];
            for (l, words) in words.iter_mut().enumerate() {
                *words = key.block(op, block + l as u64);
            }
            for ((y, &x), &word) in y.iter_mut().zip(x).zip(words.as_flattened()) {
                *y = if word >> 8 >= threshold { x * scale } else { 0.0 };
            }
        }
    }
}

/// `y[i] = x[i]/(1-p) where u(i) ≥ p, else 0`, any shape, `u(i) = key.uniform(op, i)` with `i` the flat index.
///
/// The same function applied to `dy` is the backward. Key and `op` decide the mask: give every use in a step an `op` of its
/// own. A dropped NaN or infinity becomes 0.
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) unless 0 ≤ p < 1.
pub fn dropout(x: &Tensor, p: Float, key: Philox, op: u32) -> Result<Tensor> {
    Tensor::try_build(x.device(), x.shape(), |out| dropout_into(x, p, key, op, out))
}

/// [`dropout`] into `out`.
///
/// # Errors
/// As [`dropout`]; [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn dropout_into(x: &Tensor, p: Float, key: Philox, op: u32, mut out: TensorMut<'_>) -> Result<()> {
    check::value("dropout", "p", "in [0, 1)", (0.0..1.0).contains(&p), p)?;
    check::shape("dropout", "output", x.shape(), out.shape())?;
    // u is a whole number of 2^-24: u ≥ p exactly if that number reaches this one.
    let threshold = (p as f64 * f64::from(1u32 << 24)).ceil() as u32;
    let scale = 1.0 / (1.0 - p);
    if let Device::Cuda(cuda) = check::device("dropout", x, &[&out])? {
        return cuda::dropout::dropout(cuda, x, key, op, threshold, scale, out);
    }
    let x = x.cpu();
    for_chunks(out.cpu_mut(), CHUNK, |start, out| {
        let x = &x[start..start + out.len()];
        if p == 0.0 {
            out.copy_from_slice(x);
        } else {
            dropout_chunk(x, key, op, start as u64, threshold, scale, out);
        }
    });
    Ok(())
}

/// [`dropout`] of every step of x: `[T,..]` with one mask for all of them: `y[t,i] = x[t,i]/(1-p) where u(i) ≥ p, else 0`.
///
/// `i` is the flat index within a step, so a sequence may be handed over whole or step by step. (Gal and Ghahramani 2016,
/// "A theoretically grounded application of dropout in recurrent neural networks", section 4.) The same function applied to
/// `dy` is the backward.
///
/// # Errors
/// As [`dropout`]; [`Error::Rank`](crate::Error::Rank) for a tensor without axes.
pub fn dropout_steps(x: &Tensor, p: Float, key: Philox, op: u32) -> Result<Tensor> {
    let Some(&t) = x.shape().first() else {
        return Err(crate::Error::Rank { what: "dropout_steps x [T,..]", expected: 1, found: *x.shape() });
    };
    Tensor::try_build(x.device(), x.shape(), |mut out| {
        for step in 0..t {
            dropout_into(&x.rows(step, step + 1)?, p, key, op, out.rows_mut(step, step + 1)?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{same_bits_for_any_threads, wave};
    use super::*;
    use crate::Error;
    use crate::level::for_each_level;

    const KEY: Philox = Philox { seed: 42, step: 7 };

    #[test]
    fn every_element_follows_the_uniform_number_of_its_position() {
        for n in [1, 31, 33, 1025, CHUNK + 1, 10 * CHUNK + 3] {
            let x = wave([n], 0.1);
            for p in [0.0, 0.1, 0.5, 0.999] {
                let keep = 1.0 / (1.0 - p);
                let element = |(i, &x): (usize, &Float)| match KEY.uniform(3, i as u64) as Float >= p {
                    true => x * keep,
                    false => 0.0,
                };
                let want: Vec<Float> = x.to_vec().iter().enumerate().map(element).collect();
                assert_eq!(dropout(&x, p, KEY, 3).unwrap().to_vec(), want, "{n} elements, p = {p}");
            }
        }
    }

    #[test]
    fn all_steps_share_the_mask_of_one() {
        let (t, n) = (5, 1033);
        let x = wave([t, n], 0.1);
        let whole = dropout_steps(&x, 0.4, KEY, 3).unwrap().to_vec();
        for step in 0..t {
            let want = dropout(&x.step(step).unwrap(), 0.4, KEY, 3).unwrap().to_vec();
            assert_eq!(whole[step * n..(step + 1) * n], want, "step {step}");
        }
        assert_eq!(dropout_steps(&wave([0, 3], 0.0), 0.4, KEY, 3).unwrap().numel(), 0);
        assert!(dropout_steps(&x, 1.0, KEY, 3).is_err());
    }

    #[test]
    fn a_share_p_is_dropped_and_the_mean_kept() {
        let ones = Tensor::full(&crate::Device::cpu(), [100_000], 1.0);
        let y = dropout(&ones, 0.3, KEY, 0).unwrap().to_f64();
        let dropped = y.iter().filter(|&&y| y == 0.0).count();
        assert!((dropped as f64 / 1e5 - 0.3).abs() < 0.006, "{dropped}");
        assert!((y.iter().sum::<f64>() / 1e5 - 1.0).abs() < 0.01);
    }

    #[test]
    fn key_and_op_choose_the_mask() {
        let x = Tensor::full(&crate::Device::cpu(), [1000], 1.0);
        let mask = |seed, step, op| dropout(&x, 0.5, Philox { seed, step }, op).unwrap().to_vec();
        assert_eq!(mask(1, 1, 1), mask(1, 1, 1));
        for other in [mask(2, 1, 1), mask(1, 2, 1), mask(1, 1, 2)] {
            assert_ne!(mask(1, 1, 1), other);
        }
    }

    #[test]
    fn threads_and_instruction_sets_change_nothing() {
        let x = wave([20 * CHUNK + 5], 0.1);
        same_bits_for_any_threads(|| vec![dropout(&x, 0.2, KEY, 1).unwrap()]);
        let want = dropout(&x, 0.2, KEY, 1).unwrap().to_vec();
        for_each_level(|level| assert_eq!(dropout(&x, 0.2, KEY, 1).unwrap().to_vec(), want, "{level:?}"));
    }

    #[test]
    fn what_is_dropped_is_zero_whatever_it_was() {
        let x = Tensor::full(&crate::Device::cpu(), [1000], Float::NAN);
        let y = dropout(&x, 0.5, KEY, 1).unwrap().to_vec();
        assert!(y.contains(&0.0) && y.iter().any(|y| y.is_nan()));
    }

    #[test]
    fn bad_inputs_are_errors() {
        let x = wave([4], 0.0);
        for p in [-0.1, 1.0, Float::NAN] {
            assert!(matches!(dropout(&x, p, KEY, 0), Err(Error::Value { name: "p", .. })));
        }
        let mut out = wave([2, 2], 0.0);
        let out = out.view_mut().unwrap();
        assert!(matches!(dropout_into(&x, 0.1, KEY, 0, out), Err(Error::Shape { .. })));
    }
}
