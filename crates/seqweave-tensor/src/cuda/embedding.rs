//! Rows by id, and the gradient scattered back: `kernels/cu/embedding.cu`.

use super::launch::int;
use super::{CudaDevice, copy, launchers};
use crate::{Acc, Ids, Result, Tensor, TensorMut};

/// Row `ids[n]` of `w` into row `n` of `y`; the ids are in range.
pub(crate) fn gather(cuda: &CudaDevice, w: &Tensor, ids: &Ids, mut y: TensorMut<'_>) -> Result<()> {
    let (n, stream) = (ids.numel(), cuda.stream()?);
    let row = y.numel() / n.max(1);
    let (w, y, grid) = (w.ptr()?, y.ptr_mut()?, [n.min(65_535) as u32, 1, 1]);
    // SAFETY: `y` has `n` rows of `row` elements, and every id names one of `w`.
    ids.on(cuda, |ids| unsafe { launchers::gather_rows(stream, grid, 0, w, ids, y, int(n)?, int(row)?) })
}

/// `dw[v] (+)= Σ dy[n]` over the n with `ids[n] = v`, in order of position, but for `skip`.
pub(crate) fn backward(
    cuda: &CudaDevice,
    dy: &Tensor,
    ids: &Ids,
    skip: Option<u32>,
    acc: Acc,
    mut dw: TensorMut<'_>,
) -> Result<()> {
    if acc == Acc::Set {
        super::elementwise::fill(cuda, 0.0, dw.reborrow())?;
    }
    let (_, e) = dw.shape().rows_and_columns();
    let list = grouped(ids.as_slice(), skip);
    if list.rows.is_empty() || e == 0 {
        return Ok(());
    }
    let (positions, groups) = (list.order.len(), list.rows.len());
    // One copy brings all three lists.
    let lists = copy::ids(cuda, &[list.order, list.starts, list.rows].concat())?;
    let (order, starts, rows) = (lists.ptr(0)?, lists.ptr(positions)?, lists.ptr(positions + groups + 1)?);
    let grid = [int(groups)? as u32, e.div_ceil(128) as u32, 1];
    // SAFETY: positions are rows of `dy`, rows are rows of `dw`, both of `e` elements, each in one group only.
    unsafe {
        let (stream, dy, dw) = (cuda.stream()?, dy.ptr()?, dw.ptr_mut()?);
        launchers::embedding_backward(stream, grid, 0, dy, order, starts, rows, dw, int(e)?)
    }
}

/// Positions by id, ascending within an id: group `i` is `order[starts[i]..starts[i + 1]]` and has id `rows[i]`.
struct Groups {
    order: Vec<u32>,
    starts: Vec<u32>,
    rows: Vec<u32>,
}

fn grouped(ids: &[u32], skip: Option<u32>) -> Groups {
    let mut order: Vec<u32> = (0..ids.len() as u32).filter(|&n| Some(ids[n as usize]) != skip).collect();
    order.sort_by_key(|&n| ids[n as usize]);
    let (mut starts, mut rows) = (vec![0], Vec::new());
    for group in order.chunk_by(|&m, &n| ids[m as usize] == ids[n as usize]) {
        starts.push(starts[starts.len() - 1] + group.len() as u32);
        rows.push(ids[group[0] as usize]);
    }
    Groups { order, starts, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_grouped_in_order() {
        let Groups { order, starts, rows } = grouped(&[5, 2, 0, 5, 2, 5], Some(0));
        assert_eq!((order, starts, rows), (vec![1, 4, 0, 3, 5], vec![0, 2, 5], vec![2, 5]));
        let nothing = grouped(&[0, 0], Some(0));
        assert_eq!((nothing.order.len(), nothing.starts, nothing.rows.len()), (0, vec![0], 0));
    }
}
