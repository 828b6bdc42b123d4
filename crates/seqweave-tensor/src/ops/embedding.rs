//! Rows of a table by id, and the gradient scattered back.

use super::{check, shape};
use crate::cuda;
use crate::parallel::SERIAL_BELOW;
use crate::{Acc, Device, Float, Ids, Result, Tensor, TensorMut};
use rayon::prelude::*;

/// `y[..,e] = w[ids[..],e]`, `w: [V,E]`, `ids: [..] -> [..,E]`.
///
/// # Errors
/// [`Error::Index`](crate::Error::Index) with its position if an id is `V` or more, [`Error::Rank`](crate::Error::Rank) if
/// `w` has not two axes, [`Error::Shape`](crate::Error::Shape) if `ids` has four.
pub fn embedding(w: &Tensor, ids: &Ids) -> Result<Tensor> {
    let [_, e] = w.dims("embedding w [V,E]")?;
    let shape = check::with_axis("embedding", ids.shape(), e, false)?;
    Tensor::try_build(w.device(), shape, |out| embedding_into(w, ids, out))
}

/// [`embedding`] into `out`.
///
/// # Errors
/// As [`embedding`]; [`Error::Shape`](crate::Error::Shape) if `out` does not fit.
pub fn embedding_into(w: &Tensor, ids: &Ids, mut out: TensorMut<'_>) -> Result<()> {
    let op = "embedding";
    let [v, e] = w.dims("embedding w [V,E]")?;
    check::shape(op, "output", check::with_axis(op, ids.shape(), e, false)?, out.shape())?;
    check::ids_below(op, ids, v)?;
    if let Device::Cuda(cuda) = check::device(op, w, &[&out])? {
        return cuda::embedding::gather(cuda, w, ids, out);
    }
    shape::gather(w.cpu(), ids.as_slice(), out.cpu_mut());
    Ok(())
}

/// `dw[v,e] (+)= Σ dy[n,e] over the n with ids[n] = v`, `dy: [..,E]`, `ids: [..]`, `dw: [V,E]`.
///
/// A row of `dw` takes its summands in order of position. `skip`, the padding id, gets no gradient.
///
/// # Errors
/// [`Error::Index`](crate::Error::Index) with its position if an id is `V` or more, [`Error::Rank`](crate::Error::Rank) or
/// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit.
pub fn embedding_backward(
    dy: &Tensor,
    ids: &Ids,
    skip: Option<u32>,
    acc: Acc,
    mut dw: TensorMut<'_>,
) -> Result<()> {
    let op = "embedding_backward";
    let [v, e] = dw.dims("embedding_backward dw [V,E]")?;
    check::shape(op, "dy", check::with_axis(op, ids.shape(), e, false)?, dy.shape())?;
    check::ids_below(op, ids, v)?;
    if let Device::Cuda(cuda) = check::device(op, dy, &[&dw])? {
        return cuda::embedding::backward(cuda, dy, ids, skip, acc, dw);
    }
    let (dy, ids) = (dy.cpu(), ids.as_slice());
    let dw = dw.cpu_mut();
    if acc == Acc::Set {
        dw.fill(0.0);
    }
    if e == 0 {
        return Ok(());
    }
    let add_row = |n: usize, dw: &mut [Float]| {
        dw.iter_mut().zip(&dy[n * e..(n + 1) * e]).for_each(|(dw, dy)| *dw += dy);
    };
    let counted = (0..ids.len()).filter(|&n| Some(ids[n]) != skip);
    if dy.len() < SERIAL_BELOW {
        counted.for_each(|n| add_row(n, &mut dw[ids[n] as usize * e..][..e]));
        return Ok(());
    }
    // Positions are grouped by id, in order within a group; each group then owns its row of dw.
    let mut order: Vec<usize> = counted.collect();
    order.sort_by_key(|&n| ids[n]);
    let (mut rest, mut first_row) = (dw, 0);
    let mut groups = Vec::new();
    for group in order.chunk_by(|&m, &n| ids[m] == ids[n]) {
        let row = ids[group[0]] as usize;
        let (own, tail) = rest[(row - first_row) * e..].split_at_mut(e);
        groups.push((own, group));
        (rest, first_row) = (tail, row + 1);
    }
    groups.into_par_iter().with_min_len(4).for_each(|(own, group)| {
        group.iter().for_each(|&n| add_row(n, own));
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{same_bits_for_any_threads, wave};
    use super::*;
    use crate::Error;

    /// Whole numbers: their sums are exact in every order.
    fn whole(x: Tensor) -> Tensor {
        let data = x.to_vec().iter().map(|x| (4.0 * x).round()).collect();
        Tensor::from_vec(x.device(), data, x.shape()).unwrap()
    }

    #[test]
    fn rows_are_looked_up_and_gradients_scattered() {
        // The last case is large enough to be grouped and shared among threads.
        for (v, e, n) in [(1, 1, 3), (5, 31, 7), (3, 33, 40), (7, 1025, 9), (50, 33, 2000)] {
            let (w, dy) = (whole(wave([v, e], 0.1)), whole(wave([n, e], 0.9)));
            let list: Vec<u32> = (0..n).map(|i| ((i * i + i / 3) % v) as u32).collect();
            let ids = Ids::list(list.clone());
            let want: Vec<Float> =
                list.iter().flat_map(|&id| w.cpu()[id as usize * e..][..e].to_vec()).collect();
            assert_eq!(embedding(&w, &ids).unwrap().to_vec(), want);
            for (skip, acc) in [(None, Acc::Set), (Some(0), Acc::Add)] {
                let mut dw = w.deep_clone();
                embedding_backward(&dy, &ids, skip, acc, dw.view_mut().unwrap()).unwrap();
                let mut want = if acc == Acc::Add { w.to_f64() } else { vec![0.0; v * e] };
                for (i, dy) in dy.to_f64().iter().enumerate() {
                    if Some(list[i / e]) != skip {
                        want[list[i / e] as usize * e + i % e] += dy;
                    }
                }
                assert_eq!(dw.to_f64(), want);
            }
        }
    }

    #[test]
    fn leading_axes_are_kept() {
        let ids = Ids::new(vec![0, 1, 1, 0, 2, 2], [2, 3]).unwrap();
        assert_eq!(embedding(&wave([3, 4], 0.0), &ids).unwrap().shape()[..], [2, 3, 4]);
    }

    #[test]
    fn threads_and_the_serial_path_agree_to_the_bit() {
        let (v, e, n) = (40, 40, 3000);
        let (w, dy) = (wave([v, e], 0.1), wave([n, e], 0.9));
        let list: Vec<u32> = (0..n).map(|i| ((i * i) % v) as u32).collect();
        let ids = Ids::list(list.clone());
        let scatter = || {
            let mut dw = w.deep_clone();
            embedding_backward(&dy, &ids, Some(1), Acc::Add, dw.fresh_mut()).unwrap();
            dw
        };
        same_bits_for_any_threads(|| vec![scatter(), embedding(&w, &ids).unwrap()]);
        let mut by_parts = w.deep_clone();
        for start in (0..n).step_by(500) {
            let ids = Ids::list(list[start..start + 500].to_vec());
            let dy = dy.rows(start, start + 500).unwrap();
            assert!(dy.numel() < SERIAL_BELOW);
            embedding_backward(&dy, &ids, Some(1), Acc::Add, by_parts.fresh_mut()).unwrap();
        }
        assert_eq!(by_parts.to_vec(), scatter().to_vec());
    }

    #[test]
    fn bad_ids_and_shapes_are_errors() {
        let (w, mut dw) = (wave([3, 2], 0.0), wave([3, 2], 0.0));
        let message = embedding(&w, &Ids::list(vec![0, 3])).unwrap_err().to_string();
        assert_eq!(message, "embedding: index 3 at position 1 is out of range, the axis has 3 entries");
        let mut dw = dw.view_mut().unwrap();
        let ids = Ids::list(vec![0, 7]);
        assert!(matches!(
            embedding_backward(&wave([2, 2], 0.0), &ids, None, Acc::Set, dw.reborrow()),
            Err(Error::Index { index: 7, position: 1, .. })
        ));
        for result in [
            embedding_backward(&wave([3, 2], 0.0), &ids, None, Acc::Set, dw.reborrow()),
            embedding(&w, &Ids::new(vec![0], [1, 1, 1, 1]).unwrap()).map(drop),
            embedding_into(&w, &ids, dw.reborrow()),
        ] {
            assert!(matches!(result, Err(Error::Shape { .. })));
        }
        assert!(matches!(embedding(&wave([3], 0.0), &ids), Err(Error::Rank { .. })));
    }
}
