//! Cross entropy of logits against target ids: softmax, logarithm, label smoothing and padding in one pass.
//!
//! Equal to PyTorch's `CrossEntropyLoss(label_smoothing=ε, ignore_index=…, reduction="sum")`. A row's largest logit is
//! subtracted first. A target whose logit is -∞ costs ∞; a counted row with a NaN, a +∞ or nothing but -∞ costs NaN.

mod linear;

pub use linear::{LinearCrossEntropy, LinearCrossEntropyGrads, linear_cross_entropy};

use super::{check, reduce};
use crate::cuda;
use crate::lanes::{self, Lanes};
use crate::math::{self, simd};
use crate::parallel::{self, for_rows};
use crate::{Acc, Device, Error, Float, Ids, Pending, Result, Tensor, TensorMut};

/// The loss of a batch, and what its backward needs.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// Sum of the smoothed loss over the counted rows, shape `[1]`; 0 if every row is ignored.
    pub loss: Tensor,
    /// Number of counted rows: those whose target is not `ignore`.
    pub count: usize,
    /// What else was summed over the counted rows.
    pub totals: LossTotals,
    /// `[N,2]`: the largest logit `m` of a row, and `ln Σ e^(x-m)`. Together they are ln Z; apart they keep its digits.
    pub(crate) stats: Tensor,
}

/// Sums over the counted rows of a loss, which a CUDA device may still be computing.
#[derive(Clone, Debug)]
pub struct LossTotals(Pending);

impl LossTotals {
    /// (smoothed loss, `nll`, number of hits).
    pub(crate) fn new(numbers: Pending) -> LossTotals {
        LossTotals(numbers)
    }

    /// The numbers to settle together with others; the first is the sum of the smoothed loss.
    pub fn pending(&self) -> &Pending {
        &self.0
    }

    /// Sum of `-ln p[target]`, without smoothing. It waits as [`Pending::values`] does.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn nll(&self) -> Result<f64> {
        Ok(self.0.values()?[1])
    }

    /// Number of counted rows whose target is the first largest logit. It waits as [`Pending::values`] does.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn correct(&self) -> Result<usize> {
        Ok(self.0.values()?[2] as usize)
    }
}

/// One row's share.
#[derive(Clone, Copy, Default)]
struct Row {
    max: Float,
    log_sum: Float,
    loss: f64,
    nll: f64,
    counted: bool,
    correct: bool,
}

/// `loss = Σ_n (1-ε)·(-ln p[n,target_n]) + ε·mean_v(-ln p[n,v])`, `p = softmax(logits: [N,V])`, `targets: [N]`.
///
/// `ε = smoothing`. Rows whose target is `ignore` count nowhere. Rows are summed in order, in f64.
///
/// # Errors
/// [`Error::Index`] if a target other than `ignore` is `V` or more, [`Error::Value`] unless 0 ≤ ε ≤ 1, [`Error::Rank`] or
/// [`Error::Shape`] if the shapes do not fit.
pub fn cross_entropy(logits: &Tensor, targets: &Ids, ignore: u32, smoothing: Float) -> Result<CrossEntropy> {
    let [n, v] = check_inputs("cross_entropy", logits, targets, ignore, smoothing)?;
    if let Device::Cuda(cuda) = logits.device() {
        return cuda::cross_entropy::cross_entropy(cuda, logits, targets, ignore, smoothing);
    }
    let (x, targets) = (logits.cpu(), targets.as_slice());
    let rows = parallel::map(n, 4 * v, |row| match targets[row] {
        target if target == ignore => Row::default(),
        target => forward_row(&x[row * v..(row + 1) * v], target as usize, smoothing),
    });
    let mut totals = Totals::default();
    totals.add(&rows);
    let stats = Tensor::build(logits.device(), [n, 2], |stats| {
        for (stats, row) in stats.chunks_exact_mut(2).zip(&rows) {
            stats.copy_from_slice(&[row.max, row.log_sum]);
        }
    });
    let loss = Tensor::scalar(logits.device(), totals.loss as Float);
    Ok(CrossEntropy { loss, count: totals.count, totals: totals.known(), stats })
}

/// Sums over the counted rows, in order, in f64.
#[derive(Default)]
struct Totals {
    loss: f64,
    nll: f64,
    count: usize,
    correct: usize,
}

impl Totals {
    fn known(&self) -> LossTotals {
        LossTotals(Pending::known(vec![self.loss, self.nll, self.correct as f64]))
    }

    fn add(&mut self, rows: &[Row]) {
        for row in rows.iter().filter(|row| row.counted) {
            self.loss += row.loss;
            self.nll += row.nll;
            self.count += 1;
            self.correct += row.correct as usize;
        }
    }
}

fn forward_row(x: &[Float], target: usize, smoothing: Float) -> Row {
    let (max, sum_exp, sum) = row_sums(x);
    let log_sum = math::ln(sum_exp);
    // Differences from the maximum: exact where it matters, and free of the size of ln Z.
    let nll = log_sum as f64 - (x[target] - max) as f64;
    let loss = if smoothing == 0.0 {
        nll
    } else {
        let (e, mean) = (smoothing as f64, sum as f64 / x.len() as f64);
        (1.0 - e) * nll + e * (log_sum as f64 - mean)
    };
    let correct = x[target] == max && !nll.is_nan() && reduce::argmax(x) == target;
    Row { max, log_sum, loss, nll, counted: true, correct }
}

simd! {
    /// (m, Σ e^(x-m), Σ (x-m)) with the largest element m.
    fn row_sums(x: &[Float]) -> (Float, Float, Float) {
        let max = lanes::max(x);
        let (mut exps, mut sums) = (Lanes::new(0.0), Lanes::new(0.0));
        let mut buffer = [0.0; 256];
        for x in x.chunks(256) {
            let buffer = &mut buffer[..x.len()];
            buffer.iter_mut().zip(x).for_each(|(b, &x)| *b = math::exp(x - max));
            exps.push(buffer, x, |sum, e, _| sum + e);
            sums.push(x, x, |sum, x, _| sum + (x - max));
        }
        (max, exps.total(|a, b| a + b), sums.total(|a, b| a + b))
    }

    /// dx (+)= (e^((x-m) - log_sum) - uniform)·scale.
    fn backward_row(x: &[Float], max: Float, log_sum: Float, uniform: Float, scale: Float, acc: Acc, dx: &mut [Float]) {
        let dx = dx.iter_mut().zip(x);
        match acc {
            Acc::Set => dx.for_each(|(dx, &x)| *dx = (math::exp((x - max) - log_sum) - uniform) * scale),
            Acc::Add => dx.for_each(|(dx, &x)| *dx += (math::exp((x - max) - log_sum) - uniform) * scale),
        }
    }

    /// [`backward_row`] over the logits themselves.
    fn backward_in_place(max: Float, log_sum: Float, uniform: Float, scale: Float, x: &mut [Float]) {
        x.iter_mut().for_each(|x| *x = (math::exp((*x - max) - log_sum) - uniform) * scale);
    }
}

/// `dlogits[n,v] (+)= scale·(p[n,v] - q[n,v])`, `q = (1-ε)·[v = target_n] + ε/V`, all `[N,V]`; 0 for ignored rows.
///
/// `saved` is what [`cross_entropy`] returned for the same logits; p is recomputed, nothing of size `[N,V]` was kept.
///
/// # Errors
/// As [`cross_entropy`]; [`Error::Shape`] if `dlogits` or `saved` does not fit.
pub fn cross_entropy_backward(
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    saved: &CrossEntropy,
    scale: Float,
    acc: Acc,
    mut dlogits: TensorMut<'_>,
) -> Result<()> {
    let op = "cross_entropy_backward";
    let [n, v] = check_inputs(op, logits, targets, ignore, smoothing)?;
    check::shape(op, "saved", [n, 2], saved.stats.shape())?;
    check::shape(op, "dlogits", [n, v], dlogits.shape())?;
    if let Device::Cuda(cuda) = check::device(op, logits, &[&saved.stats, &dlogits])? {
        let stats = &saved.stats;
        return cuda::cross_entropy::backward(
            cuda, logits, targets, ignore, smoothing, stats, scale, acc, dlogits,
        );
    }
    let (x, targets, stats) = (logits.cpu(), targets.as_slice(), saved.stats.cpu());
    let (uniform, peak) = (smoothing / v as Float, (1.0 - smoothing) * scale);
    for_rows(dlogits.cpu_mut(), v, 4 * v, |row, dx| {
        let target = targets[row];
        if target == ignore {
            if acc == Acc::Set {
                dx.fill(0.0);
            }
            return;
        }
        let (max, log_sum) = (stats[2 * row], stats[2 * row + 1]);
        backward_row(&x[row * v..(row + 1) * v], max, log_sum, uniform, scale, acc, dx);
        dx[target as usize] -= peak;
    });
    Ok(())
}

fn check_inputs(
    op: &'static str,
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
) -> Result<[usize; 2]> {
    let [n, v] = logits.dims("cross entropy logits [N,V]")?;
    check_smoothing(op, smoothing)?;
    check_targets(op, targets, ignore, n, v)?;
    Ok([n, v])
}

fn check_smoothing(op: &'static str, smoothing: Float) -> Result<()> {
    let allowed = (0.0..=1.0).contains(&smoothing);
    check::value(op, "smoothing", "in [0, 1]", allowed, smoothing)
}

/// One target a row, each `ignore` or below `v`.
fn check_targets(op: &'static str, targets: &Ids, ignore: u32, n: usize, v: usize) -> Result<()> {
    check::shape(op, "targets", [n], targets.shape())?;
    let bad = |&target: &u32| target != ignore && target as usize >= v;
    match targets.as_slice().iter().position(bad) {
        Some(position) => {
            let index = targets.as_slice()[position] as usize;
            Err(Error::Index { op, index, bound: v, position })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_softmax;
    use super::super::testing::{ODD, check_close, gradient, same_bits_for_any_threads, wave};
    use super::*;
    use crate::Device;

    const PAD: u32 = 0;

    /// Targets that include the padding id and the last id.
    fn targets(n: usize, v: usize) -> Ids {
        Ids::list((0..n).map(|i| if i % 3 == 1 { PAD } else { ((i * 5 + v - 1) % v) as u32 }).collect())
    }

    /// The loss of every row, by the definition of KL with a smoothed distribution.
    fn naive(x: &[f64], targets: &Ids, v: usize, e: f64) -> Vec<f64> {
        let rows = x.chunks(v).zip(targets.as_slice());
        rows.map(|(row, &target)| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            let q = |k: usize| e / v as f64 + if k == target as usize { 1.0 - e } else { 0.0 };
            let loss: f64 = (0..v).map(|k| q(k) * -(row[k].exp() / sum).ln()).sum();
            if target == PAD { 0.0 } else { loss }
        })
        .collect()
    }

    #[test]
    fn loss_and_gradient_equal_the_definition() {
        for v in ODD {
            let (n, scale) = (if v > 100 { 1 } else { 5 }, 0.25);
            let (x, targets) = (wave([n, v], 0.1), targets(n, v));
            for smoothing in [0.0, 0.1, 1.0] {
                let saved = cross_entropy(&x, &targets, PAD, smoothing).unwrap();
                let e = smoothing as f64;
                check_close("loss", &saved.loss, &[naive(&x.to_f64(), &targets, v, e).iter().sum()]);
                let nll: f64 = naive(&x.to_f64(), &targets, v, 0.0).iter().sum();
                assert!(
                    (saved.totals.nll().unwrap() - nll).abs() < 1e-5 * (1.0 + nll),
                    "{} {nll}",
                    saved.totals.nll().unwrap()
                );
                let counted: Vec<usize> = (0..n).filter(|&i| targets.as_slice()[i] != PAD).collect();
                let argmax = reduce::argmax_last(&x).unwrap();
                let hit = |&&i: &&usize| argmax.as_slice()[i] == targets.as_slice()[i];
                assert_eq!(saved.count, counted.len());
                assert_eq!(saved.totals.correct().unwrap(), counted.iter().filter(hit).count());

                let scales = Tensor::full(x.device(), [n], scale);
                for acc in [Acc::Set, Acc::Add] {
                    let mut dx = wave([n, v], 3.0);
                    let loss = |x: &[f64]| naive(x, &targets, v, e);
                    let want = gradient(loss, &x, &scales, acc, &dx.to_f64());
                    let out = dx.view_mut().unwrap();
                    cross_entropy_backward(&x, &targets, PAD, smoothing, &saved, scale, acc, out).unwrap();
                    check_close("dlogits", &dx, &want);
                }
            }
        }
    }

    /// ```text
    /// x = torch.tensor([[1., 2., 3.], [0., 0., 0.], [3., 1., -1.]], dtype=torch.float64)
    /// t = torch.tensor([2, 0, 1])
    /// torch.nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=0, reduction="sum")(x, t)
    /// ```
    /// by hand: rows 0 and 2 count; ln Z - x[t] is 0.40760596 and 2.14293163, ln Z - mean x is 1.40760596 and 2.14293163.
    #[test]
    fn a_worked_example() {
        let x = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 3.0, 1.0, -1.0];
        let x = Tensor::from_slice(&Device::cpu(), &x, [3, 3]).unwrap();
        let saved = cross_entropy(&x, &Ids::list(vec![2, 0, 1]), 0, 0.1).unwrap();
        check_close("loss", &saved.loss, &[0.9 * 0.407_605_964 + 0.1 * 1.407_605_964 + 2.142_931_628]);
        assert_eq!((saved.count, saved.totals.correct().unwrap()), (2, 1));
    }

    #[test]
    fn the_loss_of_a_row_is_its_log_softmax() {
        let x = wave([1, 1025], 0.4);
        let saved = cross_entropy(&x, &Ids::list(vec![700]), PAD, 0.0).unwrap();
        check_close("loss", &saved.loss, &[-log_softmax(&x).unwrap().to_f64()[700]]);
    }

    #[test]
    fn ignored_rows_are_nowhere() {
        let x = Tensor::full(&Device::cpu(), [3, 4], Float::NAN);
        let ids = Ids::list(vec![9; 3]);
        let saved = cross_entropy(&x, &ids, 9, 0.1).unwrap();
        assert_eq!(
            (
                saved.loss.item().unwrap(),
                saved.totals.nll().unwrap(),
                saved.count,
                saved.totals.correct().unwrap()
            ),
            (0.0, 0.0, 0, 0)
        );
        assert!(
            saved.totals.nll().unwrap().is_sign_positive() && saved.loss.item().unwrap().is_sign_positive()
        );
        let mut dx = wave([3, 4], 1.0);
        let before = dx.to_vec();
        cross_entropy_backward(&x, &ids, 9, 0.1, &saved, 1.0, Acc::Add, dx.view_mut().unwrap()).unwrap();
        assert_eq!(dx.to_vec(), before);
        cross_entropy_backward(&x, &ids, 9, 0.1, &saved, 1.0, Acc::Set, dx.view_mut().unwrap()).unwrap();
        assert_eq!(dx.to_vec(), [0.0; 12]);
    }

    #[test]
    fn extreme_logits_do_what_is_documented() {
        const INF: Float = Float::INFINITY;
        let loss = |x: [Float; 3], target, smoothing| {
            let x = Tensor::from_slice(&Device::cpu(), &x, [1, 3]).unwrap();
            cross_entropy(&x, &Ids::list(vec![target]), 9, smoothing).unwrap()
        };
        assert_eq!(loss([1e30, -1e30, 0.0], 0, 0.0).totals.nll().unwrap(), 0.0);
        assert!((loss([1e4, 1e4, 1e4], 1, 0.5).totals.nll().unwrap() - 3f64.ln()).abs() < 1e-6);
        assert_eq!(loss([0.0, -INF, 0.0], 1, 0.0).totals.nll().unwrap(), f64::INFINITY);
        assert!((loss([0.0, -INF, 0.0], 0, 0.0).totals.nll().unwrap() - 2f64.ln()).abs() < 1e-6);
        assert_eq!(loss([0.0, -INF, 0.0], 0, 0.1).loss.item().unwrap(), INF, "smoothing wants every id");
        for x in [[0.0, Float::NAN, 0.0], [0.0, INF, 0.0], [-INF; 3]] {
            let saved = loss(x, 0, 0.0);
            assert!(saved.totals.nll().unwrap().is_nan() && saved.totals.correct().unwrap() == 0, "{x:?}");
        }
    }

    #[test]
    fn threads_and_company_change_nothing() {
        let (x, targets) = (wave([97, 333], 0.1), targets(97, 333));
        let run = |x: &Tensor, targets: &Ids| {
            let saved = cross_entropy(x, targets, PAD, 0.1).unwrap();
            let mut dx = Tensor::zeros(x.device(), x.shape());
            cross_entropy_backward(x, targets, PAD, 0.1, &saved, 0.3, Acc::Set, dx.fresh_mut()).unwrap();
            vec![saved.loss, saved.stats, dx]
        };
        same_bits_for_any_threads(|| run(&x, &targets));
        let all = run(&x, &targets);
        let alone = run(&x.rows(56, 57).unwrap(), &Ids::list(vec![targets.as_slice()[56]]));
        for i in [1, 2] {
            assert_eq!(alone[i].to_vec(), all[i].rows(56, 57).unwrap().to_vec());
        }
        crate::level::for_each_level(|level| {
            for (got, want) in run(&x, &targets).iter().zip(&all) {
                assert_eq!(got.to_vec(), want.to_vec(), "{level:?}");
            }
        });
    }

    #[test]
    fn bad_inputs_are_errors() {
        let x = wave([2, 3], 0.0);
        let two = Ids::list(vec![1, 2]);
        let bad = Ids::list(vec![1, 3]);
        assert_eq!(
            cross_entropy(&x, &bad, PAD, 0.0).unwrap_err(),
            Error::Index { op: "cross_entropy", index: 3, bound: 3, position: 1 }
        );
        assert!(cross_entropy(&x, &bad, 3, 0.0).is_ok(), "an ignored id may lie outside");
        for smoothing in [-0.1, 1.1, Float::NAN] {
            assert!(matches!(cross_entropy(&x, &two, PAD, smoothing), Err(Error::Value { .. })));
        }
        assert!(matches!(cross_entropy(&x, &Ids::list(vec![1]), PAD, 0.0), Err(Error::Shape { .. })));
        assert!(matches!(cross_entropy(&wave([6], 0.0), &two, PAD, 0.0), Err(Error::Rank { .. })));
        let saved = cross_entropy(&x, &two, PAD, 0.0).unwrap();
        let (mut small, mut fits) = (wave([2, 2], 0.0), wave([2, 3], 0.0));
        let backward = |saved, dx| cross_entropy_backward(&x, &two, PAD, 0.0, saved, 1.0, Acc::Set, dx);
        assert!(matches!(backward(&saved, small.view_mut().unwrap()), Err(Error::Shape { .. })));
        let other = cross_entropy(&x.rows(0, 1).unwrap(), &Ids::list(vec![1]), PAD, 0.0).unwrap();
        assert!(matches!(backward(&other, fits.view_mut().unwrap()), Err(Error::Shape { .. })));
    }
}
