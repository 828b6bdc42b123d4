//! Values by formula, so that a golden test needs no file of weights.

/// `n` values `0.5·cos(a·i + b)`, `i = 0..n`: bounded, of both signs, and different for each `(a, b)`.
///
/// The same in numpy, in float64 (the last bit may differ, as `cos` is the platform's):
///
/// ```python
/// wave = lambda n, a, b: 0.5 * np.cos(a * np.arange(n) + b)
/// ```
///
/// and in PyTorch: `0.5 * torch.cos(a * torch.arange(n, dtype=torch.float64) + b)`.
///
/// ```
/// let w = seqweave_testkit::wave(3, 1.0, 0.0);
/// assert_eq!(w[0], 0.5);
/// assert!((w[1] - 0.2701511529340699).abs() < 1e-15);
/// ```
pub fn wave(n: usize, a: f64, b: f64) -> Vec<f64> {
    (0..n).map(|i| 0.5 * (a * i as f64 + b).cos()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numpys() {
        // 0.5 * np.cos(0.7 * np.arange(5) - 0.3)
        let want = [
            0.477668244562803,
            0.46053049700144255,
            0.22679806071278874,
            -0.11360104734654333,
            -0.40057180777346685,
        ];
        crate::assert_close(&wave(5, 0.7, -0.3), &want, 1e-14, 0.0, "wave");
        assert!(wave(0, 1.0, 1.0).is_empty());
    }
}
