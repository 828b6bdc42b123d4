//! Copies of tiles of the left-hand side, for kernels to read.

use super::blocks::TILES;
use super::kernel::{COPY_ROW, Isa};
use super::{Format, Operand, bf16, kernel};
use crate::Float;
use crate::math::simd;
use std::ops::Range;

/// Room for a copied tile. What is spare lets [`spread`] write a full stretch wherever a tile has one step more.
pub(super) const TILE_COPY: usize = kernel::MAX_MR * COPY_ROW;

/// Columns `ks` of a block of `a` to `copy` in `format`, the rows of each tile to a [`TILE_COPY`] of its own: in the layout
/// [`Layout::Rows`](kernel::Layout::Rows), or, of a transposed `a`, [`Layout::Steps`](kernel::Layout::Steps).
pub(super) fn copy_tiles(
    isa: Isa,
    format: Format,
    a: Operand<'_>,
    tiles: impl Iterator<Item = Range<usize>>,
    ks: Range<usize>,
    copy: &mut [Float],
) {
    if a.column != 1 {
        return copy_transposed(isa, format, a, tiles, ks, copy);
    }
    let steps = format.steps(ks.len());
    for (rows, copy) in tiles.zip(copy.chunks_exact_mut(TILE_COPY)) {
        for (i, to) in rows.zip(copy.chunks_exact_mut(COPY_ROW)) {
            let (from, to) = (&a.data[i * a.row..][ks.clone()], &mut to[..steps]);
            match format {
                Format::Pairs => bf16::pair_neighbours(from, to),
                _ => to.copy_from_slice(from),
            }
            if format == Format::Rounded {
                bf16::round(to);
            }
        }
    }
}

/// [`copy_tiles`] of a transposed `a`, whose columns are contiguous.
///
/// A stretch of one column of all tiles is read at a time: the columns of a wide matrix lie a power of two apart and share
/// cache sets, so a line that is needed again for the next tile would be gone by then.
fn copy_transposed(
    isa: Isa,
    format: Format,
    a: Operand<'_>,
    tiles: impl Iterator<Item = Range<usize>>,
    ks: Range<usize>,
    copy: &mut [Float],
) {
    // Where each tile begins in a stretch.
    let (mut starts, mut count, mut first, mut end) = ([0; TILES], 0, 0, 0);
    for rows in tiles {
        first = if count == 0 { rows.start } else { first };
        starts[count] = rows.start - first;
        (count, end) = (count + 1, rows.end);
    }
    let (starts, width, mr) = (&starts[..count], end - first, isa.mr());
    if format == Format::F32 {
        return spread_steps(a, first, ks, starts, mr, copy);
    }
    // Some steps first, then their spreading: what was just written cannot be read at another border at once.
    // There is room for what a move of fixed length reads beyond the last row.
    let mut stretches = [[0.0; TILES * kernel::MAX_MR + WIDE]; 16];
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
                Format::Pairs => bf16::pair_rows(&from[..width], &[0.0; TILES * kernel::MAX_MR][..width], to),
                _ => {
                    to.copy_from_slice(&from[..width]);
                    bf16::round(to);
                }
            }
        }
        for (step, from) in steps.zip(&stretches) {
            spread(from, starts, step * mr, copy);
        }
    }
}

/// Numbers that [`spread`] moves at once: a register of the widest set, which holds a column of the tallest tile.
const WIDE: usize = kernel::MAX_MR.next_multiple_of(16);

/// A stretch to position `at` of the tiles whose first rows are given; [`WIDE`] numbers must follow each first row.
#[inline(always)]
fn spread(from: &[Float], starts: &[usize], at: usize, copy: &mut [Float]) {
    for (t, &start) in starts.iter().enumerate() {
        // What is too much is overwritten by the next step.
        copy[t * TILE_COPY + at..][..WIDE].copy_from_slice(&from[start..][..WIDE]);
    }
}

simd! {
    /// [`spread`] of steps `ks` of a transposed `a`, from row `first` on.
    fn spread_steps(
        a: Operand<'_>, first: usize, ks: Range<usize>, starts: &[usize], mr: usize, copy: &mut [Float],
    ) {
        let last = starts.last().copied().unwrap_or(0);
        for (step, l) in ks.enumerate() {
            let from = &a.data[first + l * a.column..];
            if from.len() >= last + WIDE {
                spread(from, starts, step * mr, copy);
            } else {
                // The end of the matrix, and fewer numbers there than are moved at once.
                let mut end = [0.0; TILES * kernel::MAX_MR + WIDE];
                end[..from.len()].copy_from_slice(from);
                spread(&end, starts, step * mr, copy);
            }
        }
    }
}

/// The part of `a` that is copied next, to be brought close line by line while products are made.
pub(super) struct Coming {
    line: *const Float,
    /// Elements from one stretch to the next.
    pitch: usize,
    /// Lines of a stretch, and how many of this one have been asked for.
    lines: usize,
    asked: usize,
    /// Stretches that are left.
    stretches: usize,
}

impl Coming {
    /// Rows `rows` and columns `ks` of `a`.
    pub(super) fn new(a: Operand<'_>, rows: Range<usize>, ks: Range<usize>) -> Coming {
        let first = rows.start * a.row + ks.start * a.column;
        let (stretches, len, pitch) =
            if a.column == 1 { (rows.len(), ks.len(), a.row) } else { (ks.len(), rows.len(), a.column) };
        let lines = (len * size_of::<Float>()).div_ceil(64) + 1;
        Coming { line: a.data.as_ptr().wrapping_add(first), pitch, lines, asked: 0, stretches }
    }

    /// Nothing.
    pub(super) fn none() -> Coming {
        Coming { line: std::ptr::null(), pitch: 0, lines: 1, asked: 0, stretches: 0 }
    }

    /// Lines that are left.
    pub(super) fn left(&self) -> usize {
        (self.stretches * self.lines).saturating_sub(self.asked)
    }

    /// Asks for the next `n` lines.
    pub(super) fn ask(&mut self, n: usize) {
        for _ in 0..n.min(self.left()) {
            kernel::prefetch_far(self.line.wrapping_byte_add(64 * self.asked));
            self.asked += 1;
            if self.asked == self.lines {
                (self.asked, self.stretches) = (0, self.stretches - 1);
                self.line = self.line.wrapping_add(self.pitch);
            }
        }
    }
}
