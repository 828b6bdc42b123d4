//! What the op tests share: inputs by formula, comparison with f64, central differences, thread counts.

use crate::{Acc, Device, Float, Shape, Tensor};

/// Sizes about the edges of vectors and blocks.
pub(crate) const ODD: [usize; 4] = [1, 31, 33, 1025];

/// Relative tolerance for a result of a few operations, and for a gradient by central differences.
const RTOL: f64 = if size_of::<Float>() == 4 { 3e-6 } else { 1e-8 };

/// Smooth values in [-2, 2] that do not repeat.
pub(crate) fn wave(shape: impl Into<Shape>, phase: f64) -> Tensor {
    let shape = shape.into();
    let data = (0..shape.numel()).map(|i| (2.0 * (i as f64 * 0.731 + phase).sin()) as Float).collect();
    Tensor::from_vec(&Device::cpu(), data, shape).unwrap()
}

impl Tensor {
    pub(crate) fn to_f64(&self) -> Vec<f64> {
        self.cpu().iter().map(|&x| x as f64).collect()
    }
}

/// Asserts |got - want| ≤ tolerance·(1 + |want|) for every element.
#[track_caller]
pub(crate) fn check_close(what: &str, got: &Tensor, want: &[f64]) {
    seqweave_testkit::assert_close(got.cpu(), want, RTOL, RTOL, what);
}

/// (start +) d/dx Σ dy·f(x), by central differences of the naive `f` in f64.
pub(crate) fn gradient(
    f: impl Fn(&[f64]) -> Vec<f64>,
    x: &Tensor,
    dy: &Tensor,
    acc: Acc,
    start: &[f64],
) -> Vec<f64> {
    let (mut x, dy) = (x.to_f64(), dy.to_f64());
    let loss = |x: &[f64]| f(x).iter().zip(&dy).map(|(y, dy)| y * dy).collect::<Vec<_>>();
    (0..x.len())
        .map(|i| {
            let (at, h) = (x[i], 1e-5);
            x[i] = at + h;
            let above = loss(&x);
            x[i] = at - h;
            let below = loss(&x);
            x[i] = at;
            // Differences are taken before they are summed: terms that do not depend on x[i] cancel exactly.
            let slope = above.iter().zip(&below).map(|(a, b)| a - b).sum::<f64>() / (2.0 * h);
            slope + if acc == Acc::Add { start[i] } else { 0.0 }
        })
        .collect()
}

/// Asserts that `f` gives the same bits on 1, 2 and 4 threads.
pub(crate) fn same_bits_for_any_threads(f: impl Fn() -> Vec<Tensor> + Sync) {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let tensors = pool.install(&f);
        tensors.iter().map(|x| x.cpu().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let want = bits(1);
    assert!(!want.is_empty());
    for threads in [2, 4] {
        for (i, (got, want)) in bits(threads).iter().zip(&want).enumerate() {
            assert!(got == want, "result {i} differs on {threads} threads");
        }
    }
}
