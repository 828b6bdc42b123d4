//! The matrix product behind [`crate::ops::gemm`]: pack the right-hand side, walk tiles, run a kernel on each.
//!
//! `b` is cut into panels of `nr` columns, each laid out k-major, so that a kernel reads it front to back. `a` is taken in
//! blocks of [`TILES`] tiles and [`KC`] columns, copied to where no two rows share a cache set, and multiplied by one panel
//! slice after the other: a slice stays in the first-level cache while all tiles of the block pass, the block in the
//! second. (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4.)

mod kernel;

use crate::device::CpuBuffer;
use crate::{Acc, CpuDevice, Float, Trans};
pub(crate) use kernel::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// Rows of a panel slice at most. Every slice but the first reads and writes the result once more, which costs more than
/// a slice that does not fit the first-level cache.
const KC: usize = 384;

/// Tiles of a block of `a`.
const TILES: usize = 8;

/// Multiply-adds below which a product stays on the calling thread.
const SERIAL_BELOW: usize = 1 << 18;

/// A matrix where it lies: element `(i, j)` is `data[i·row + j·column]`.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    data: &'a [Float],
    row: usize,
    column: usize,
}

impl<'a> Operand<'a> {
    /// `op(x)` of a row-major `x` whose rows are `ld` elements apart.
    pub(crate) fn new(data: &'a [Float], ld: usize, trans: Trans) -> Self {
        match trans {
            Trans::N => Operand { data, row: ld, column: 1 },
            Trans::T => Operand { data, row: 1, column: ld },
        }
    }

    /// Asserts that an `m` by `n` matrix of these strides lies within the slice: what the kernels rely on.
    fn assert_holds(&self, m: usize, n: usize) {
        if m > 0 && n > 0 {
            let last = (m - 1) * self.row + (n - 1) * self.column;
            assert!(last < self.data.len(), "a {m} by {n} operand passes the end of its slice");
        }
    }
}

/// A right-hand side `[k, n]` in panels of `isa.nr()` columns; the last panel is filled up with zeros.
pub(crate) struct Packed {
    data: CpuBuffer,
    isa: Isa,
    k: usize,
    n: usize,
}

impl Packed {
    pub(crate) fn new(cpu: &CpuDevice, b: Operand<'_>, k: usize, n: usize) -> Packed {
        Packed::for_isa(Isa::best(), cpu, b, k, n)
    }

    pub(crate) fn for_isa(isa: Isa, cpu: &CpuDevice, b: Operand<'_>, k: usize, n: usize) -> Packed {
        b.assert_holds(k, n);
        let nr = isa.nr();
        let mut data = cpu.alloc(n.div_ceil(nr) * nr * k);
        let pack = |(p, panel): (usize, &mut [Float])| pack_panel(b, k, n, p * nr, nr, panel);
        if k > 0 {
            let panels = data.as_mut_slice();
            if panels.len() < SERIAL_BELOW / 8 {
                panels.chunks_exact_mut(nr * k).enumerate().for_each(pack);
            } else {
                panels.par_chunks_exact_mut(nr * k).enumerate().for_each(pack);
            }
        }
        Packed { data, isa, k, n }
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn n(&self) -> usize {
        self.n
    }

    fn panel(&self, p: usize) -> &[Float] {
        let len = self.isa.nr() * self.k;
        &self.data.as_slice()[p * len..(p + 1) * len]
    }
}

/// Columns `first..first+nr` of `b` into `panel`, k-major.
fn pack_panel(b: Operand<'_>, k: usize, n: usize, first: usize, nr: usize, panel: &mut [Float]) {
    let width = nr.min(n - first);
    if width < nr {
        panel.fill(0.0);
    }
    if b.column == 1 {
        for (l, row) in panel.chunks_exact_mut(nr).enumerate() {
            let start = l * b.row + first;
            row[..width].copy_from_slice(&b.data[start..start + width]);
        }
    } else {
        pack_transposed(b, k, first, width, nr, panel);
    }
}

/// [`pack_panel`] of a transposed operand, whose columns are contiguous: squares of one cache line a side are turned, so
/// that reads and writes are both stretches.
fn pack_transposed(b: Operand<'_>, k: usize, first: usize, width: usize, nr: usize, panel: &mut [Float]) {
    const SIDE: usize = 16;
    debug_assert_eq!(b.row, 1);
    for j0 in (0..width).step_by(SIDE) {
        for l0 in (0..k).step_by(SIDE) {
            let (across, down) = (SIDE.min(width - j0), SIDE.min(k - l0));
            let mut square = [[0.0; SIDE]; SIDE];
            for (j, row) in square.iter_mut().enumerate().take(across) {
                let start = (first + j0 + j) * b.column + l0;
                match b.data[start..].first_chunk::<SIDE>() {
                    Some(all) if down == SIDE => *row = *all,
                    _ => row[..down].copy_from_slice(&b.data[start..start + down]),
                }
            }
            for l in 0..down {
                let to = &mut panel[(l0 + l) * nr + j0..][..across];
                match to.first_chunk_mut::<SIDE>() {
                    Some(to) => (0..SIDE).for_each(|j| to[j] = square[j][l]),
                    None => (0..across).for_each(|j| to[j] = square[j][l]),
                }
            }
        }
    }
}

/// `c (+)= a·b`: `m` rows of `a` and of `c`, whose rows are `ldc` elements apart.
pub(crate) fn run(m: usize, a: Operand<'_>, b: &Packed, acc: Acc, c: &mut [Float], ldc: usize) {
    let (k, n) = (b.k, b.n);
    if m == 0 || n == 0 {
        return;
    }
    a.assert_holds(m, k);
    assert!(ldc >= n && c.len() >= (m - 1) * ldc + n, "the result passes the end of its slice");
    if k == 0 {
        if acc == Acc::Set {
            (0..m).for_each(|i| c[i * ldc..i * ldc + n].fill(0.0));
        }
        return;
    }
    let c = Tiles { data: c.as_mut_ptr(), ldc };
    let panels = n.div_ceil(b.isa.nr());
    let tasks = if m * n * k < SERIAL_BELOW { 1 } else { rayon::current_num_threads() * 3 };
    if tasks == 1 || rayon::current_num_threads() == 1 {
        return block(a, b, acc, c, 0..m, 0..panels);
    }
    // Cut the longer side first: every task copies its rows of `a` and streams its panels of `b`, and a cut through one
    // side makes the tasks share the other.
    let tiles = m.div_ceil(b.isa.mr());
    let (by_rows, by_columns) = if m > n {
        let by_rows = tiles.min(tasks);
        (by_rows, (tasks / by_rows).clamp(1, panels))
    } else {
        let by_columns = panels.min(tasks);
        ((tasks / by_columns).clamp(1, tiles), by_columns)
    };
    (0..by_columns * by_rows).into_par_iter().for_each(|task| {
        let (i, j) = (task / by_columns, task % by_columns);
        let rows = i * m / by_rows..(i + 1) * m / by_rows;
        block(a, b, acc, c, rows, j * panels / by_columns..(j + 1) * panels / by_columns);
    });
}

/// Where the result lies; copied into every task, each of which writes tiles of its own.
#[derive(Clone, Copy)]
struct Tiles {
    data: *mut Float,
    ldc: usize,
}
// SAFETY: `run` hands disjoint row and panel ranges to its tasks, so no two threads touch one element, and it holds
// the exclusive borrow of the slice until all of them are done.
unsafe impl Send for Tiles {}
// SAFETY: as above.
unsafe impl Sync for Tiles {}

/// One task: rows `rows` of the result, panels `panels`.
fn block(a: Operand<'_>, b: &Packed, acc: Acc, c: Tiles, rows: Range<usize>, panels: Range<usize>) {
    let (nr, mr, k) = (b.isa.nr(), b.isa.mr(), b.k);
    let tile_count = rows.len().div_ceil(mr);
    let tile_row = |t: usize| rows.start + t * rows.len() / tile_count.max(1);
    // An untransposed tile that meets few panels is read where it lies.
    let copies = a.column != 1 || panels.len() > 2;
    COPY.with_borrow_mut(|copy| {
        copy.resize(TILES * TILE_COPY, 0.0);
        let slices = k.div_ceil(KC);
        for slice in 0..slices {
            let k0 = slice * k / slices;
            let kc = (slice + 1) * k / slices - k0;
            let add = acc == Acc::Add || k0 > 0;
            for t0 in (0..tile_count).step_by(TILES) {
                let tiles = t0..(t0 + TILES).min(tile_count);
                if copies {
                    for t in tiles.clone() {
                        let to = &mut copy[(t - t0) * TILE_COPY..][..TILE_COPY];
                        copy_tile(a, tile_row(t)..tile_row(t + 1), k0..k0 + kc, to);
                    }
                }
                for p in panels.clone() {
                    let panel = &b.panel(p)[k0 * nr..(k0 + kc) * nr];
                    let width = nr.min(b.n - p * nr);
                    for t in tiles.clone() {
                        let (i0, i1) = (tile_row(t), tile_row(t + 1));
                        let tile = match (copies, a.column) {
                            (false, _) => (&a.data[i0 * a.row + k0 * a.column..], a.row, a.column),
                            (true, 1) => (&copy[(t - t0) * TILE_COPY..], kc, 1),
                            (true, _) => (&copy[(t - t0) * TILE_COPY..], 1, i1 - i0),
                        };
                        // SAFETY: `run` asserted that rows below `m` and columns below `n` lie within the slice, and this
                        // task alone writes this tile.
                        unsafe {
                            let target = c.data.add(i0 * c.ldc + p * nr);
                            kernel::tile(b.isa, i1 - i0, tile, panel, kc, (target, c.ldc), width, add);
                        }
                    }
                }
            }
        }
    })
}

thread_local! {
    /// Where a thread copies blocks of `a`.
    static COPY: std::cell::RefCell<Vec<Float>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Room for a copied tile, and for what [`copy_columns`] writes beyond its end.
const TILE_COPY: usize = kernel::MAX_MR * (KC + 1);

/// Rows `rows` and columns `ks` of `a` to the front of `copy`: row after row, or, of a transposed `a`, column after column.
fn copy_tile(a: Operand<'_>, rows: Range<usize>, ks: Range<usize>, copy: &mut [Float]) {
    let source = &a.data[rows.start * a.row + ks.start * a.column..];
    let kc = ks.len();
    if a.column == 1 {
        for (i, to) in copy.chunks_exact_mut(kc).take(rows.len()).enumerate() {
            to.copy_from_slice(&source[i * a.row..][..kc]);
        }
    } else if source.len() >= (kc - 1) * a.column + kernel::MAX_MR {
        copy_columns(source, a.column, rows.len(), kc, copy);
    } else {
        for l in 0..kc {
            copy[l * rows.len()..][..rows.len()].copy_from_slice(&source[l * a.column..][..rows.len()]);
        }
    }
}

/// The first `rows` elements of each of `k` stretches of `source`, `stride` elements apart, one after the other.
///
/// Stretches are copied with a fixed length, which is a few vector moves instead of a call; what is too much is
/// overwritten by the next stretch.
fn copy_columns(source: &[Float], stride: usize, rows: usize, k: usize, copy: &mut [Float]) {
    const WIDE: usize = kernel::MAX_MR;
    for l in 0..k {
        let from: &[Float; WIDE] = source[l * stride..].first_chunk().expect("the caller looked");
        let to: &mut [Float; WIDE] = copy[l * rows..].first_chunk_mut().expect("a tile has a spare row");
        *to = *from;
    }
}
