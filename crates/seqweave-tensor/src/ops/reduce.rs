//! Sums, means and maxima, each in one fixed order.
//!
//! A whole tensor is cut into chunks of 16,384 elements; a chunk is summed in 32 lanes, the chunks are added in order,
//! all in f64. Columns are summed in blocks of 64 rows. The last axis is reduced in 32 lanes.

use super::check;
use crate::cuda::{self, CudaDevice};
use crate::lanes;
use crate::math::simd;
use crate::parallel::{self, SERIAL_BELOW, for_rows};
use crate::{Acc, Device, Error, Float, Ids, Result, Shape, Tensor, TensorMut};
use rayon::prelude::*;
use std::ops::Range;

const CHUNK: usize = 1 << 14;

simd! {
    fn chunk_sum(x: &[Float]) -> f64 { lanes::sum_f64(x) }
    fn chunk_sum_squares(x: &[Float]) -> f64 { lanes::sum_squares_f64(x) }
    fn row_sum(x: &[Float]) -> Float { lanes::sum(x) }
    fn row_max(x: &[Float]) -> Float { lanes::max_or_nan(x) }
    fn any_equal(x: &[Float], wanted: Float) -> bool {
        x.iter().fold(false, |any, &x| any | (x == wanted))
    }
    fn any_non_finite(x: &[Float]) -> bool {
        x.iter().fold(false, |any, &x| any | !x.is_finite())
    }
    fn add_rows(x: &[Float], row_length: usize, columns: Range<usize>, partial: &mut [Float]) {
        for row in x.chunks_exact(row_length) {
            for (sum, &x) in partial.iter_mut().zip(&row[columns.start..columns.end]) {
                *sum += x;
            }
        }
    }
}

/// `f(chunk)` for all chunks of `x`, in order.
fn map_chunks<R: Send>(x: &[Float], f: impl Fn(&[Float]) -> R + Sync) -> Vec<R> {
    let chunk = |i: usize| &x[i * CHUNK..x.len().min((i + 1) * CHUNK)];
    parallel::map(x.len().div_ceil(CHUNK), CHUNK, |i| f(chunk(i)))
}

fn sum_to_f64(x: &Tensor) -> f64 {
    map_chunks(x.cpu(), chunk_sum).iter().sum()
}

/// `Σ x`, any shape `-> [1]`; summed in f64.
///
/// # Errors
/// None today.
pub fn sum(x: &Tensor) -> Result<Tensor> {
    match x.device() {
        Device::Cpu(_) => Ok(Tensor::scalar(x.device(), sum_to_f64(x) as Float)),
        Device::Cuda(cuda) => cuda::reduce::sum(cuda, x, 1),
    }
}

/// `Σ x / numel`, any shape `-> [1]`; summed in f64. NaN without elements.
///
/// # Errors
/// None today.
pub fn mean(x: &Tensor) -> Result<Tensor> {
    match x.device() {
        Device::Cpu(_) => Ok(Tensor::scalar(x.device(), (sum_to_f64(x) / x.numel() as f64) as Float)),
        Device::Cuda(cuda) => cuda::reduce::sum(cuda, x, x.numel() as u64),
    }
}

/// `Σ x²`, any shape, in f64: what the norm of a gradient is made of.
///
/// # Errors
/// None today.
pub fn sum_squares(x: &Tensor) -> Result<f64> {
    match x.device() {
        Device::Cpu(_) => Ok(map_chunks(x.cpu(), chunk_sum_squares).iter().sum()),
        Device::Cuda(cuda) => cuda::reduce::sum_squares(cuda, x),
    }
}

/// The flat index of the first NaN or infinity, if there is one.
///
/// # Errors
/// None today.
pub fn first_non_finite(x: &Tensor) -> Result<Option<usize>> {
    if let Device::Cuda(cuda) = x.device() {
        return cuda::reduce::first_non_finite(cuda, x);
    }
    let x = x.cpu();
    let chunk = map_chunks(x, any_non_finite).iter().position(|&any| any);
    Ok(chunk.and_then(|i| (i * CHUNK..x.len()).find(|&i| !x[i].is_finite())))
}

/// `y[c] = Σ_n x[n,c]`, `[..,C] -> [C]`, leading axes folded into `n`.
///
/// # Errors
/// None today.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let (_, c) = x.shape().rows_and_columns();
    Tensor::try_build(x.device(), [c], |out| sum_rows_into(x, Acc::Set, out))
}

/// [`sum_rows`] into `out: [C]`, set or added.
///
/// # Errors
/// [`Error::Shape`] if `out` is not as long as the last axis.
pub fn sum_rows_into(x: &Tensor, acc: Acc, mut out: TensorMut<'_>) -> Result<()> {
    let (n, c) = x.shape().rows_and_columns();
    check::shape("sum_rows", "output", [c], out.shape())?;
    match check::device("sum_rows", x, &[&out])? {
        Device::Cpu(_) => {
            let x = x.cpu();
            column_sums(n, c, acc, out.cpu_mut(), |rows, columns, partial| {
                add_rows(&x[rows.start * c..rows.end * c], c, columns, partial);
            });
            Ok(())
        }
        Device::Cuda(cuda) => cuda::reduce::sum_rows(cuda, x, acc, out),
    }
}

/// Sums over `n` rows of `c` columns that `add(rows, columns, partial)` adds up for a block of rows and a strip of columns.
///
/// A block has 64 rows and starts from zero; blocks are added in order, and their total is set or added to `out`.
/// Threads share the columns, so nothing depends on their number.
pub(super) fn column_sums(
    n: usize,
    c: usize,
    acc: Acc,
    out: &mut [Float],
    add: impl Fn(Range<usize>, Range<usize>, &mut [Float]) + Sync,
) {
    const ROWS: usize = 64;
    const COLUMNS: usize = 256;
    let strip = |i: usize, out: &mut [Float]| {
        let columns = i * COLUMNS..i * COLUMNS + out.len();
        let (mut total, mut partial) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        let (total, partial) = (&mut total[..out.len()], &mut partial[..out.len()]);
        for start in (0..n).step_by(ROWS) {
            partial.fill(0.0);
            add(start..n.min(start + ROWS), columns.clone(), partial);
            total.iter_mut().zip(&*partial).for_each(|(t, &p)| *t += p);
        }
        match acc {
            Acc::Set => out.copy_from_slice(total),
            Acc::Add => out.iter_mut().zip(&*total).for_each(|(o, &t)| *o += t),
        }
    };
    if n * c < SERIAL_BELOW {
        out.chunks_mut(COLUMNS).enumerate().for_each(|(i, out)| strip(i, out));
    } else {
        out.par_chunks_mut(COLUMNS).enumerate().for_each(|(i, out)| strip(i, out));
    }
}

/// `y[..] = Σ_c x[..,c]`, `[..,C] -> [..]` (`[C] -> [1]`).
///
/// # Errors
/// None today.
pub fn sum_last(x: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), without_last(x.shape()), |out| sum_last_into(x, out))
}

/// [`sum_last`] into `out`.
///
/// # Errors
/// [`Error::Shape`] if `out` is not shaped like `x` without its last axis.
pub fn sum_last_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    last("sum_last", x, out, row_sum, cuda::reduce::sum_last)
}

/// `y[..] = max_c x[..,c]`, `[..,C] -> [..]` (`[C] -> [1]`). NaN if the row has one.
///
/// # Errors
/// [`Error::Shape`] if the last axis is empty.
pub fn max_last(x: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), without_last(x.shape()), |out| max_last_into(x, out))
}

/// [`max_last`] into `out`.
///
/// # Errors
/// [`Error::Shape`] if the last axis is empty or `out` not shaped like `x` without it.
pub fn max_last_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    not_empty("max_last", x.shape())?;
    last("max_last", x, out, row_max, cuda::reduce::max_last)
}

/// `y[..] = the first c with x[..,c] = max`, `[..,C] -> [..]` (`[C] -> [1]`). The first NaN counts as the maximum.
///
/// # Errors
/// [`Error::Shape`] if the last axis is empty.
pub fn argmax_last(x: &Tensor) -> Result<Ids> {
    not_empty("argmax_last", x.shape())?;
    let (n, c) = x.shape().rows_and_columns();
    let ids = match x.device() {
        Device::Cpu(_) => {
            let x_rows = x.cpu();
            parallel::map(n, c, |row| argmax(&x_rows[row * c..(row + 1) * c]) as u32)
        }
        Device::Cuda(cuda) => cuda::reduce::argmax_last(cuda, x)?,
    };
    Ids::new(ids, without_last(x.shape()))
}

/// The first position of the maximum, or of NaN; 0 if there are no elements.
pub(super) fn argmax(x: &[Float]) -> usize {
    let max = row_max(x);
    if max.is_nan() {
        return x.iter().position(|x| x.is_nan()).unwrap_or(0);
    }
    // Whole blocks are compared at vector speed, and only the right one element by element.
    let block = x.chunks(256).position(|block| any_equal(block, max)).unwrap_or(0) * 256;
    block + x[block..].iter().position(|&x| x == max).unwrap_or(0)
}

fn last(
    op: &'static str,
    x: &Tensor,
    mut out: TensorMut<'_>,
    f: fn(&[Float]) -> Float,
    launch: fn(&CudaDevice, &Tensor, TensorMut<'_>) -> Result<()>,
) -> Result<()> {
    let (_, c) = x.shape().rows_and_columns();
    check::shape(op, "output", without_last(x.shape()), out.shape())?;
    match check::device(op, x, &[&out])? {
        Device::Cpu(_) => {
            let x = x.cpu();
            for_rows(out.cpu_mut(), 1, c, |row, out| out[0] = f(&x[row * c..(row + 1) * c]));
            Ok(())
        }
        Device::Cuda(cuda) => launch(cuda, x, out),
    }
}

fn without_last(shape: &Shape) -> Shape {
    match shape.len() {
        0 | 1 => Shape::from([1]),
        rank => Shape::from(&shape[..rank - 1]),
    }
}

fn not_empty(op: &'static str, shape: &Shape) -> Result<()> {
    match shape.rows_and_columns() {
        (_, 0) => Err(Error::shape(op, "a last axis with entries", shape.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_close, same_bits_for_any_threads, wave};
    use super::*;
    use crate::Device;

    #[test]
    fn whole_tensor_sums_equal_the_naive_loop() {
        for n in [1, 31, 33, 1025, 3 * CHUNK + 7] {
            let x = wave([n], 0.1);
            let total: f64 = x.to_f64().iter().sum();
            check_close("sum", &sum(&x).unwrap(), &[total]);
            check_close("mean", &mean(&x).unwrap(), &[total / n as f64]);
            let squares: f64 = x.to_f64().iter().map(|x| x * x).sum();
            assert!((sum_squares(&x).unwrap() / squares - 1.0).abs() < 1e-13);
        }
        let empty = Tensor::zeros(&Device::cpu(), [0, 3]);
        assert_eq!(sum(&empty).unwrap().item().unwrap(), 0.0);
        assert!(mean(&empty).unwrap().item().unwrap().is_nan());
    }

    #[test]
    fn sums_along_an_axis_equal_the_naive_loop() {
        for (n, c) in [(1, 1), (31, 33), (129, 257), (5, 1025), (1025, 5)] {
            let x = wave([n, c], 0.1);
            let (mut columns, mut rows) = (vec![0.0; c], vec![0.0; n]);
            for (i, x) in x.to_f64().iter().enumerate() {
                columns[i % c] += x;
                rows[i / c] += x;
            }
            check_close("sum_rows", &sum_rows(&x).unwrap(), &columns);
            check_close("sum_last", &sum_last(&x).unwrap(), &rows);
        }
        assert_eq!(sum_last(&wave([2, 3, 4], 0.0)).unwrap().shape()[..], [2, 3]);
        assert_eq!(sum_last(&wave([4], 0.0)).unwrap().shape()[..], [1]);
    }

    #[test]
    fn maxima_are_the_first_of_equals() {
        for c in [1, 31, 33, 1025] {
            let x = wave([7, c], 0.1);
            let (max, at) = (max_last(&x).unwrap().to_vec(), argmax_last(&x).unwrap());
            for (row, x) in x.to_vec().chunks(c).enumerate() {
                let want = (0..c).rev().max_by(|&i, &j| x[i].total_cmp(&x[j])).unwrap();
                assert_eq!((max[row], at.as_slice()[row] as usize), (x[want], want));
            }
        }
        let mut tie = vec![0.0; 1025];
        (tie[300], tie[700]) = (5.0, 5.0);
        let tie = Tensor::from_vec(&Device::cpu(), tie, [1025]).unwrap();
        assert_eq!(argmax_last(&tie).unwrap().as_slice(), [300]);
        let lowest = Tensor::full(&Device::cpu(), [40], Float::NEG_INFINITY);
        assert_eq!(argmax_last(&lowest).unwrap().as_slice(), [0]);
    }

    #[test]
    fn nan_and_infinity_are_found() {
        for at in [0, 33, CHUNK, 3 * CHUNK] {
            let mut x = wave([3 * CHUNK + 7], 0.1).to_vec();
            assert_eq!(
                first_non_finite(&Tensor::from_slice(&Device::cpu(), &x, [x.len()]).unwrap()),
                Ok(None)
            );
            (x[at], x[3 * CHUNK + 1]) = (Float::NAN, Float::INFINITY);
            let x = Tensor::from_vec(&Device::cpu(), x, [3 * CHUNK + 7]).unwrap();
            assert_eq!(first_non_finite(&x), Ok(Some(at)));
            assert_eq!(argmax_last(&x).unwrap().as_slice(), [at as u32]);
            assert!(max_last(&x).unwrap().item().unwrap().is_nan());
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = wave([401, 333], 0.1);
        same_bits_for_any_threads(|| {
            let squares = Tensor::scalar(x.device(), sum_squares(&x).unwrap() as Float);
            let ids = argmax_last(&x).unwrap().as_slice().iter().map(|&id| id as Float).collect();
            let ids = Tensor::from_vec(x.device(), ids, [401]).unwrap();
            let each = [sum(&x), sum_rows(&x), sum_last(&x), max_last(&x), Ok(squares), Ok(ids)];
            each.map(Result::unwrap).to_vec()
        });
    }

    #[test]
    fn a_row_does_not_depend_on_its_company() {
        let x = wave([401, 333], 0.1);
        let (sums, maxima) = (sum_last(&x).unwrap().to_vec(), max_last(&x).unwrap().to_vec());
        for row in [0, 200, 400] {
            let alone = x.rows(row, row + 1).unwrap();
            assert_eq!(sum_last(&alone).unwrap().to_vec(), [sums[row]]);
            assert_eq!(max_last(&alone).unwrap().to_vec(), [maxima[row]]);
        }
    }

    #[test]
    fn bad_shapes_are_errors() {
        let (empty, x, mut out) = (wave([3, 0], 0.0), wave([3, 2], 0.0), wave([4], 0.0));
        let message = argmax_last(&empty).unwrap_err().to_string();
        assert_eq!(message, "argmax_last: expected a last axis with entries, found [3, 0]");
        assert!(max_last(&empty).is_err());
        assert_eq!(sum_last(&empty).unwrap().to_vec(), [0.0; 3], "an empty sum is zero");
        let mut out = out.view_mut().unwrap();
        assert!(sum_last_into(&x, out.reborrow()).is_err());
        assert!(max_last_into(&x, out.reborrow()).is_err());
        assert!(sum_rows_into(&x, Acc::Set, out.reborrow()).is_err());
    }
}
