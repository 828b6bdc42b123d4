//! Copies of tiles of the left-hand side, for kernels to read.

use super::{Format, KC, Operand, TILES, bf16, kernel};
use crate::Float;
use std::ops::Range;

/// Room for a copied tile. The spare row lets [`spread`] write a full stretch wherever a tile has one step more.
pub(super) const TILE_COPY: usize = kernel::MAX_MR * (KC + 1);

/// Columns `ks` of a block of `a` to `copy` in `format`, the rows of each tile to a [`TILE_COPY`] of its own: row after row,
/// or, of a transposed `a`, step after step.
pub(super) fn copy_tiles(
    format: Format,
    a: Operand<'_>,
    tiles: impl Iterator<Item = Range<usize>>,
    ks: Range<usize>,
    copy: &mut [Float],
) {
    if a.column != 1 {
        return copy_transposed(format, a, tiles, ks, copy);
    }
    let (kc, steps) = (ks.len(), format.steps(ks.len()));
    for (rows, copy) in tiles.zip(copy.chunks_exact_mut(TILE_COPY)) {
        for (i, to) in rows.clone().zip(copy.chunks_exact_mut(steps)) {
            let from = &a.data[i * a.row + ks.start..][..kc];
            match format {
                Format::Pairs => bf16::pair_neighbours(from, to),
                _ => to.copy_from_slice(from),
            }
        }
        if format == Format::Rounded {
            bf16::round(&mut copy[..rows.len() * kc]);
        }
    }
}

/// [`copy_tiles`] of a transposed `a`, whose columns are contiguous.
///
/// A stretch of one column of all tiles is read at a time: the columns of a wide matrix lie a power of two apart and share
/// cache sets, so a line that is needed again for the next tile would be gone by then.
fn copy_transposed(
    format: Format,
    a: Operand<'_>,
    tiles: impl Iterator<Item = Range<usize>>,
    ks: Range<usize>,
    copy: &mut [Float],
) {
    const WIDE: usize = kernel::MAX_MR;
    // Where each tile begins in a stretch, and how many rows it has.
    let (mut bounds, mut count, mut first, mut end) = ([(0, 0); TILES], 0, 0, 0);
    for rows in tiles {
        first = if count == 0 { rows.start } else { first };
        bounds[count] = (rows.start - first, rows.len());
        (count, end) = (count + 1, rows.end);
    }
    let (bounds, width) = (&bounds[..count], end - first);
    if format == Format::F32 {
        for (step, l) in ks.enumerate() {
            spread(&a.data[first + l * a.column..], bounds, step, copy);
        }
        return;
    }
    // Some steps first, then their spreading: what was just written cannot be read at another border at once.
    // There is room for what a copy of fixed length reads beyond the last row.
    let mut stretches = [[0.0; (TILES + 1) * WIDE]; 16];
    let all = format.steps(ks.len());
    for step in (0..all).step_by(stretches.len()) {
        let steps = step..(step + stretches.len()).min(all);
        for (step, to) in steps.clone().zip(&mut stretches) {
            let (l, to) = (ks.start + step * format.stride(), &mut to[..width]);
            let from = &a.data[first + l * a.column..];
            match format {
                Format::Pairs if l + 1 < ks.end => {
                    bf16::pair_rows(&from[..width], &from[a.column..][..width], to)
                }
                Format::Pairs => bf16::pair_rows(&from[..width], &[0.0; TILES * WIDE][..width], to),
                _ => {
                    to.copy_from_slice(&from[..width]);
                    bf16::round(to);
                }
            }
        }
        for (step, from) in steps.zip(&stretches) {
            spread(from, bounds, step, copy);
        }
    }
}

/// A stretch of step `step` to the tiles whose `(first row, rows)` are given.
fn spread(from: &[Float], tiles: &[(usize, usize)], step: usize, copy: &mut [Float]) {
    for (t, &(start, rows)) in tiles.iter().enumerate() {
        let (from, to) = (&from[start..], &mut copy[t * TILE_COPY + step * rows..]);
        // A fixed length makes a few vector moves of it; what is too much is overwritten by the next step.
        match (from.first_chunk::<{ kernel::MAX_MR }>(), to.first_chunk_mut()) {
            (Some(from), Some(to)) => *to = *from,
            _ => to[..rows].copy_from_slice(&from[..rows]),
        }
    }
}
