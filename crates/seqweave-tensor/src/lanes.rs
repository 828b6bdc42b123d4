//! Reductions along a row in one fixed order that vectorises.
//!
//! Element `i` goes to lane `i mod 32`, each lane takes its elements in order, and the lanes are joined by halves: lane
//! `l` with lane `l+16`, then `l+8`, `l+4`, `l+2`, `l+1`. The order depends on the length of the row alone, so a row's
//! result never depends on its company, the instruction set or the number of threads.

use crate::Float;

/// Number of running results: two AVX-512 vectors, enough to hide the latency of an addition.
pub(crate) const LANES: usize = 32;

/// A reduction under way.
pub(crate) struct Lanes<T>([T; LANES]);

impl<T: Copy> Lanes<T> {
    #[inline(always)]
    pub(crate) fn new(start: T) -> Self {
        Lanes([start; LANES])
    }

    /// Takes in pairs of elements of `a` and `b`; all calls but the last bring a multiple of 32.
    #[inline(always)]
    pub(crate) fn push(&mut self, a: &[Float], b: &[Float], step: impl Fn(T, Float, Float) -> T) {
        let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let mut lanes = self.0;
        for (a, b) in (&mut a).zip(&mut b) {
            for l in 0..LANES {
                lanes[l] = step(lanes[l], a[l], b[l]);
            }
        }
        // The compiler must see the loop above end in whole lanes; otherwise it plans ahead for `total` and splits them
        // into vectors of odd widths, four times slower.
        let mut lanes = std::hint::black_box(lanes);
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.remainder().iter().zip(b.remainder())) {
            *lane = step(*lane, a, b);
        }
        self.0 = lanes;
    }

    #[inline(always)]
    pub(crate) fn total(mut self, join: impl Fn(T, T) -> T) -> T {
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                self.0[l] = join(self.0[l], self.0[l + width]);
            }
            width /= 2;
        }
        self.0[0]
    }
}

/// Σ x.
#[inline(always)]
pub(crate) fn sum(x: &[Float]) -> Float {
    let mut lanes = Lanes::new(0.0);
    lanes.push(x, x, |sum, x, _| sum + x);
    lanes.total(|a, b| a + b)
}

/// Σ a·b.
#[inline(always)]
pub(crate) fn dot(a: &[Float], b: &[Float]) -> Float {
    let mut lanes = Lanes::new(0.0);
    lanes.push(a, b, |sum, a, b| sum + a * b);
    lanes.total(|a, b| a + b)
}

/// The largest element, -∞ if there is none; NaN is passed over.
#[inline(always)]
pub(crate) fn max(x: &[Float]) -> Float {
    let larger = |m: Float, x: Float| if x > m { x } else { m };
    let mut lanes = Lanes::new(Float::NEG_INFINITY);
    lanes.push(x, x, |m, x, _| larger(m, x));
    lanes.total(larger)
}

/// The largest element, -∞ if there is none; NaN if there is one.
#[inline(always)]
pub(crate) fn max_or_nan(x: &[Float]) -> Float {
    // Once NaN, `x > m` is false for good, so NaN stays.
    let larger = |m: Float, x: Float| if x > m || x.is_nan() { x } else { m };
    let mut lanes = Lanes::new(Float::NEG_INFINITY);
    lanes.push(x, x, |m, x, _| larger(m, x));
    lanes.total(larger)
}

/// Σ x in f64.
#[inline(always)]
pub(crate) fn sum_f64(x: &[Float]) -> f64 {
    let mut lanes = Lanes::new(0.0);
    lanes.push(x, x, |sum, x, _| sum + x as f64);
    lanes.total(|a, b| a + b)
}

/// Σ x² in f64.
#[inline(always)]
pub(crate) fn sum_squares_f64(x: &[Float]) -> f64 {
    let mut lanes = Lanes::new(0.0);
    lanes.push(x, x, |sum, x, _| sum + x as f64 * x as f64);
    lanes.total(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_equals_the_plain_loop() {
        for n in [0, 1, 31, 32, 33, 64, 1025] {
            // Small whole numbers: every order gives the same sum exactly.
            let a: Vec<Float> = (0..n).map(|i| (i * 7 % 13) as Float - 6.0).collect();
            let b: Vec<Float> = (0..n).map(|i| (i * 5 % 11) as Float).collect();
            assert_eq!(sum(&a), a.iter().sum::<Float>());
            assert_eq!(sum_f64(&a), a.iter().map(|&x| x as f64).sum::<f64>());
            assert_eq!(sum_squares_f64(&a), a.iter().map(|&x| (x * x) as f64).sum::<f64>());
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<Float>());
            assert_eq!(max(&a), a.iter().copied().fold(Float::NEG_INFINITY, Float::max));
            assert_eq!(max_or_nan(&a), max(&a));
        }
    }

    #[test]
    fn pushing_in_blocks_is_pushing_at_once() {
        let x: Vec<Float> = (0..1025).map(|i| (i as Float * 0.7).sin()).collect();
        let mut lanes = Lanes::new(0.0);
        x.chunks(256).for_each(|block| lanes.push(block, block, |sum, x, _| sum + x));
        assert_eq!(lanes.total(|a, b| a + b), sum(&x));
    }

    #[test]
    fn nan_is_kept_or_passed_over() {
        for at in [0, 5, 40, 64] {
            let mut x = vec![1.0; 65];
            x[at] = Float::NAN;
            assert!(max_or_nan(&x).is_nan());
            assert_eq!(max(&x), 1.0);
        }
    }
}
