//! Operations that only move elements: concatenation, slices, stacking, swapping axes, picking rows.

use super::check;
use crate::cuda;
use crate::parallel::for_rows;
use crate::{Acc, Device, Error, Float, Ids, Result, Shape, Tensor, TensorMut};

/// `out (+)= x` for a row.
fn put(acc: Acc, x: &[Float], out: &mut [Float]) {
    match acc {
        Acc::Set => out.copy_from_slice(x),
        Acc::Add => out.iter_mut().zip(x).for_each(|(out, &x)| *out += x),
    }
}

/// Columns side by side: `[..,C₁], [..,C₂], … -> [..,C₁+C₂+…]`, equal leading axes. Backward: [`slice_last_into`].
///
/// # Errors
/// [`Error::Value`] without tensors, [`Error::Shape`] if leading axes differ.
pub fn concat_last(xs: &[&Tensor]) -> Result<Tensor> {
    let first = first_of("concat_last", xs)?;
    let columns = xs.iter().map(|x| x.shape().rows_and_columns().1).sum();
    let shape = check::with_last(first.shape(), columns);
    Tensor::try_build(first.device(), shape, |out| concat_last_into(xs, out))
}

/// [`concat_last`] into `out`.
///
/// # Errors
/// As [`concat_last`]; [`Error::Shape`] if `out` does not fit.
pub fn concat_last_into(xs: &[&Tensor], mut out: TensorMut<'_>) -> Result<()> {
    let op = "concat_last";
    let first = first_of(op, xs)?;
    let mut columns = 0;
    for x in xs {
        let c = x.shape().rows_and_columns().1;
        check::shape(op, "operand", check::with_last(first.shape(), c), x.shape())?;
        columns += c;
    }
    check::shape(op, "output", check::with_last(first.shape(), columns), out.shape())?;
    for x in xs {
        check::device(op, first, &[*x, &out])?;
    }
    if let Device::Cuda(cuda) = first.device() {
        return cuda::shape::concat_last(cuda, xs, out);
    }
    let parts: Vec<_> = xs.iter().map(|x| (x.cpu(), x.shape().rows_and_columns().1)).collect();
    for_rows(out.cpu_mut(), columns, columns, |row, mut out| {
        for &(x, c) in &parts {
            let (head, tail) = out.split_at_mut(c);
            head.copy_from_slice(&x[row * c..(row + 1) * c]);
            out = tail;
        }
    });
    Ok(())
}

/// Columns `start..end`: `[..,C] -> [..,end-start]`. Backward: [`pad_slice_into`].
///
/// # Errors
/// [`Error::Range`] if the range passes the end.
pub fn slice_last(x: &Tensor, start: usize, end: usize) -> Result<Tensor> {
    check_columns("slice_last", start, end, x.shape())?;
    let shape = check::with_last(x.shape(), end - start);
    Tensor::try_build(x.device(), shape, |out| slice_last_into(x, start, end, Acc::Set, out))
}

/// [`slice_last`] into `out`, set or added: also the backward of [`concat_last`] for the part that lies there.
///
/// # Errors
/// [`Error::Range`] if the range passes the end, [`Error::Shape`] if `out` does not fit.
pub fn slice_last_into(x: &Tensor, start: usize, end: usize, acc: Acc, mut out: TensorMut<'_>) -> Result<()> {
    let op = "slice_last";
    check_columns(op, start, end, x.shape())?;
    check::shape(op, "output", check::with_last(x.shape(), end - start), out.shape())?;
    let (c, width) = (x.shape().rows_and_columns().1, end - start);
    if let Device::Cuda(cuda) = check::device(op, x, &[&out])? {
        return cuda::shape::slice_last(cuda, x, start, acc, out);
    }
    let x = x.cpu();
    for_rows(out.cpu_mut(), width, width, |row, out| put(acc, &x[row * c + start..row * c + end], out));
    Ok(())
}

/// `dx[.., start..start+C'] (+)= dy`, `dy: [..,C']`, `dx: [..,C]`: the backward of [`slice_last`]. Set zeroes the rest.
///
/// # Errors
/// [`Error::Range`] if the columns pass the end, [`Error::Shape`] if leading axes differ.
pub fn pad_slice_into(dy: &Tensor, start: usize, acc: Acc, mut dx: TensorMut<'_>) -> Result<()> {
    let op = "pad_slice";
    let (c, width) = (dx.shape().rows_and_columns().1, dy.shape().rows_and_columns().1);
    let end = start.saturating_add(width);
    check_columns(op, start, end, dx.shape())?;
    check::shape(op, "dy", check::with_last(dx.shape(), width), dy.shape())?;
    if let Device::Cuda(cuda) = check::device(op, dy, &[&dx])? {
        return cuda::shape::pad_slice(cuda, dy, start, acc, dx);
    }
    let dy = dy.cpu();
    for_rows(dx.cpu_mut(), c, c, |row, dx| {
        if acc == Acc::Set {
            dx[..start].fill(0.0);
            dx[end..].fill(0.0);
        }
        put(acc, &dy[row * width..(row + 1) * width], &mut dx[start..end]);
    });
    Ok(())
}

/// Rows one after another: `[N₁,..], [N₂,..], … -> [N₁+N₂+…,..]`, equal trailing axes. Backward: views of `dy.rows`.
///
/// # Errors
/// [`Error::Value`] without tensors, [`Error::Rank`] without axes, [`Error::Shape`] if trailing axes differ.
pub fn concat_first(xs: &[&Tensor]) -> Result<Tensor> {
    let op = "concat_first";
    let first = first_of(op, xs)?;
    let mut rows = 0;
    for x in xs {
        let n = leading("concat_first operand [N,..]", x.shape())?;
        check::shape(op, "operand", first.shape().with_first(n), x.shape())?;
        rows += n;
    }
    one_after_another(op, first.shape().with_first(rows), xs)
}

/// A new leading axis: `N` tensors `[..] -> [N,..]`. Backward: views `dy.step(n)`.
///
/// # Errors
/// [`Error::Value`] without tensors, [`Error::Shape`] if the shapes differ or have four axes already.
pub fn stack(xs: &[&Tensor]) -> Result<Tensor> {
    let op = "stack";
    let first = first_of(op, xs)?;
    for x in xs {
        check::shape(op, "operand", first.shape(), x.shape())?;
    }
    one_after_another(op, check::with_axis(op, first.shape(), xs.len(), true)?, xs)
}

fn one_after_another(op: &'static str, shape: Shape, xs: &[&Tensor]) -> Result<Tensor> {
    for x in xs {
        check::device(op, xs[0], &[*x])?;
    }
    let device = xs[0].device();
    Tensor::try_build(device, shape, |mut out| {
        let mut start = 0;
        for x in xs {
            out.flat_mut(start, x.shape())?.copy_from(x)?;
            start += x.numel();
        }
        Ok(())
    })
}

/// `y[b,a,..] = x[a,b,..]`, `[A,B,..] -> [B,A,..]`: time-major to batch-major and back. Its own backward.
///
/// # Errors
/// [`Error::Rank`] with fewer than two axes.
pub fn swap01(x: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), swapped(x.shape())?, |out| swap01_into(x, Acc::Set, out))
}

/// [`swap01`] into `out`, set or added.
///
/// # Errors
/// [`Error::Rank`] with fewer than two axes, [`Error::Shape`] if `out` does not fit.
pub fn swap01_into(x: &Tensor, acc: Acc, mut out: TensorMut<'_>) -> Result<()> {
    check::shape("swap01", "output", swapped(x.shape())?, out.shape())?;
    let (a, b) = (x.shape()[0], x.shape()[1]);
    let inner: usize = x.shape()[2..].iter().product();
    if let Device::Cuda(cuda) = check::device("swap01", x, &[&out])? {
        return cuda::shape::swap01(cuda, x, acc, out);
    }
    let x = x.cpu();
    for_rows(out.cpu_mut(), a * inner, a * inner, |b_row, out| {
        if inner == 1 {
            // Without inner axes there are no rows to copy; a chunk per element would be slow.
            let column = x[b_row..].iter().step_by(b);
            out.iter_mut().zip(column).for_each(|(out, x)| put(acc, &[*x], std::slice::from_mut(out)));
            return;
        }
        for (a_row, out) in out.chunks_exact_mut(inner).enumerate() {
            let at = (a_row * b + b_row) * inner;
            put(acc, &x[at..at + inner], out);
        }
    });
    Ok(())
}

/// `y[m,..] = x[ids[m],..]`, `x: [N,..]`, `ids: [M] -> [M,..]`: rows picked in any order, as when beams are reordered.
///
/// # Errors
/// [`Error::Rank`] if `x` has no axes or `ids` not one, [`Error::Index`] if an id is `N` or more.
pub fn select_rows(x: &Tensor, ids: &Ids) -> Result<Tensor> {
    let n = leading("select_rows x [N,..]", x.shape())?;
    let [m] = ids.dims("select_rows ids [M]")?;
    let shape = x.shape().with_first(m);
    check::ids_below("select_rows", ids, n)?;
    match x.device() {
        Device::Cpu(_) => Ok(Tensor::build(x.device(), shape, |out| gather(x.cpu(), ids.as_slice(), out))),
        Device::Cuda(cuda) => {
            Tensor::try_build(x.device(), shape, |out| cuda::embedding::gather(cuda, x, ids, out))
        }
    }
}

/// Row `ids[m]` of `x` into row `m` of `out`; the ids are in range.
pub(super) fn gather(x: &[Float], ids: &[u32], out: &mut [Float]) {
    let row = out.len() / ids.len().max(1);
    for_rows(out, row, row, |m, out| {
        let at = ids[m] as usize * row;
        out.copy_from_slice(&x[at..at + row]);
    });
}

fn first_of<'a>(op: &'static str, xs: &[&'a Tensor]) -> Result<&'a Tensor> {
    check::value(op, "number of tensors", "at least 1", !xs.is_empty(), xs.len())?;
    Ok(xs[0])
}

fn leading(what: &'static str, shape: &Shape) -> Result<usize> {
    shape.first().copied().ok_or(Error::Rank { what, expected: 1, found: *shape })
}

fn swapped(shape: &Shape) -> Result<Shape> {
    let mut dims = shape.to_vec();
    match dims.get_mut(..2) {
        Some(two) => two.swap(0, 1),
        None => return Err(Error::Rank { what: "swap01 x [A,B,..]", expected: 2, found: *shape }),
    }
    Ok(Shape::from(&dims[..]))
}

fn check_columns(op: &'static str, start: usize, end: usize, shape: &Shape) -> Result<()> {
    let (_, bound) = shape.rows_and_columns();
    if start <= end && end <= bound { Ok(()) } else { Err(Error::Range { op, start, end, bound }) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{same_bits_for_any_threads, wave};
    use super::*;

    #[test]
    fn concatenation_and_slices_invert_each_other() {
        for (c1, c2) in [(1, 31), (33, 1), (1025, 33), (0, 5)] {
            let (a, b) = (wave([2, 3, c1], 0.1), wave([2, 3, c2], 0.9));
            let both = concat_last(&[&a, &b]).unwrap();
            assert_eq!(both.shape()[..], [2, 3, c1 + c2]);
            for (i, &x) in both.to_vec().iter().enumerate() {
                let (row, column) = (i / (c1 + c2), i % (c1 + c2));
                let want =
                    if column < c1 { a.cpu()[row * c1 + column] } else { b.cpu()[row * c2 + column - c1] };
                assert_eq!(x, want);
            }
            assert_eq!(slice_last(&both, 0, c1).unwrap().to_vec(), a.to_vec());
            assert_eq!(slice_last(&both, c1, c1 + c2).unwrap().to_vec(), b.to_vec());

            let mut padded = both.deep_clone();
            pad_slice_into(&b, c1, Acc::Set, padded.view_mut().unwrap()).unwrap();
            let zeros = Tensor::zeros(a.device(), [2, 3, c1]);
            assert_eq!(padded.to_vec(), concat_last(&[&zeros, &b]).unwrap().to_vec());
            let mut sum = both.deep_clone();
            pad_slice_into(&b, c1, Acc::Add, sum.view_mut().unwrap()).unwrap();
            let want: Vec<Float> = both.to_vec().iter().zip(padded.to_vec()).map(|(x, y)| x + y).collect();
            assert_eq!(sum.to_vec(), want);

            let mut sum = a.deep_clone();
            slice_last_into(&both, 0, c1, Acc::Add, sum.view_mut().unwrap()).unwrap();
            assert_eq!(sum.to_vec(), a.to_vec().iter().map(|x| x + x).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_are_joined_stacked_and_picked() {
        let (a, b) = (wave([2, 3], 0.1), wave([1, 3], 0.9));
        let joined = concat_first(&[&a, &b, &a]).unwrap();
        assert_eq!(joined.shape()[..], [5, 3]);
        assert_eq!(joined.to_vec(), [a.to_vec(), b.to_vec(), a.to_vec()].concat());
        let stacked = stack(&[&a, &a, &a]).unwrap();
        assert_eq!(stacked.shape()[..], [3, 2, 3]);
        assert_eq!(stacked.step(2).unwrap().to_vec(), a.to_vec());
        let picked = select_rows(&joined, &Ids::list(vec![4, 2, 2])).unwrap();
        assert_eq!(picked.shape()[..], [3, 3]);
        let rows: Vec<_> = [4, 2, 2].map(|row| joined.rows(row, row + 1).unwrap().to_vec()).concat();
        assert_eq!(picked.to_vec(), rows);
        assert_eq!(select_rows(&joined, &Ids::list(vec![])).unwrap().shape()[..], [0, 3]);
    }

    #[test]
    fn swapping_moves_every_element_and_is_its_own_inverse() {
        for (a, b, inner) in [(1, 33, 1), (31, 5, 1), (4, 7, 33), (3, 1, 1025)] {
            let x = wave([a, b, inner], 0.1);
            let y = swap01(&x).unwrap();
            assert_eq!(y.shape()[..], [b, a, inner]);
            for i in 0..a * b * inner {
                let (row, j) = (i / inner, i % inner);
                assert_eq!(y.cpu()[((row % b) * a + row / b) * inner + j], x.cpu()[i]);
            }
            assert_eq!(swap01(&y).unwrap().to_vec(), x.to_vec());
            let mut sum = x.deep_clone();
            swap01_into(&y, Acc::Add, sum.view_mut().unwrap()).unwrap();
            assert_eq!(sum.to_vec(), x.to_vec().iter().map(|x| x + x).collect::<Vec<_>>());
        }
        assert_eq!(swap01(&wave([2, 3], 0.0)).unwrap().shape()[..], [3, 2]);
    }

    #[test]
    fn threads_change_nothing() {
        let (x, y) = (wave([130, 70, 10], 0.1), wave([130, 70, 7], 0.9));
        let ids = Ids::list((0..500).map(|i| i * 7 % 130).collect());
        same_bits_for_any_threads(|| {
            let mut padded = Tensor::zeros(x.device(), [130, 70, 10]);
            pad_slice_into(&y, 2, Acc::Add, padded.fresh_mut()).unwrap();
            let each = [concat_last(&[&x, &y]), slice_last(&x, 1, 9), swap01(&x), select_rows(&x, &ids)];
            each.map(Result::unwrap).into_iter().chain([padded]).collect()
        });
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (a, b, mut out) = (wave([2, 3], 0.0), wave([3, 3], 0.0), wave([2, 2], 0.0));
        let message = concat_last(&[&a, &b]).unwrap_err().to_string();
        assert_eq!(message, "concat_last: expected operand of shape [2, 3], found [3, 3]");
        for empty in [concat_last(&[]), concat_first(&[]), stack(&[])] {
            assert!(matches!(empty, Err(Error::Value { .. })));
        }
        let mut out = out.view_mut().unwrap();
        for result in [
            concat_first(&[&a, &out_shape(&[2, 4])]).map(drop),
            stack(&[&a, &b]).map(drop),
            stack(&[&out_shape(&[1, 1, 1, 1])]).map(drop),
            concat_last_into(&[&a, &a], out.reborrow()),
            slice_last_into(&a, 0, 3, Acc::Set, out.reborrow()),
            pad_slice_into(&b.rows(0, 1).unwrap().reshape([3, 1]).unwrap(), 0, Acc::Set, out.reborrow()),
            swap01_into(&a, Acc::Set, out.reborrow()),
        ] {
            assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
        }
        for result in [
            slice_last(&a, 2, 4).map(drop),
            slice_last(&a, 2, 1).map(drop),
            pad_slice_into(&a, usize::MAX, Acc::Set, out.reborrow()),
        ] {
            assert!(matches!(result, Err(Error::Range { .. })));
        }
        let index = Error::Index { op: "select_rows", index: 2, bound: 2, position: 1 };
        assert_eq!(select_rows(&a, &Ids::list(vec![0, 2])).unwrap_err(), index);
        assert!(matches!(swap01(&wave([3], 0.0)), Err(Error::Rank { .. })));
        let scalar = wave([1], 0.0).reshape(&[][..]).unwrap();
        for result in [concat_first(&[&scalar]), select_rows(&scalar, &Ids::list(vec![0]))] {
            assert!(matches!(result, Err(Error::Rank { .. })));
        }
        let grid = Ids::new(vec![0; 4], [2, 2]).unwrap();
        assert!(matches!(select_rows(&a, &grid), Err(Error::Rank { .. })));
    }

    fn out_shape(shape: &[usize]) -> Tensor {
        wave(shape, 0.0)
    }
}
