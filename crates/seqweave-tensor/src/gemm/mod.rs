//! The matrix product behind [`crate::ops::gemm`]: pack the right-hand side, walk tiles, run a kernel on each.
//!
//! `b` is cut into panels of `nr` columns, each laid out k-major, so that a kernel reads it front to back. `a` is taken in
//! blocks of [`TILES`] tiles and [`KC`] columns, copied to where rows do not share cache sets, and multiplied by one panel
//! slice after the other: a slice stays close while all tiles of the block pass, the block in the second-level cache. (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4.)

mod bf16;
mod kernel;
mod panels;
mod tiles;

use crate::{Acc, Float, Precision, Trans};
use kernel::Element;
pub(crate) use kernel::Isa;
pub(crate) use panels::Packed;
use rayon::prelude::*;
use std::ops::Range;
use tiles::{TILE_COPY, copy_tile};

/// Steps of a panel slice at most. Every slice but the first reads and writes the result once more, which costs more than
/// a slice that does not fit the first-level cache.
const KC: usize = 384;

/// Tiles of a block of `a`.
const TILES: usize = 8;

/// Multiply-adds below which a product stays on the calling thread.
const SERIAL_BELOW: usize = 1 << 18;

/// How both operands are stored for the kernels. A *step* of k is one element of a panel column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Numbers as they are.
    F32,
    /// Numbers rounded to bfloat16, for kernels of f32.
    Rounded,
    /// Pairs of bfloat16: a step is two of k.
    Pairs,
}

impl Format {
    pub(crate) fn of(precision: Precision, isa: Isa) -> Format {
        match precision {
            Precision::F32 => Format::F32,
            Precision::Bf16 if cfg!(seqweave_f64) => Format::F32,
            Precision::Bf16 if isa == Isa::best() && Isa::has_pairs() => Format::Pairs,
            Precision::Bf16 => Format::Rounded,
        }
    }

    /// Elements of a panel column.
    fn steps(self, k: usize) -> usize {
        k.div_ceil(self.stride())
    }

    /// How far a step goes along k.
    fn stride(self) -> usize {
        if self == Format::Pairs { 2 } else { 1 }
    }

    fn element(self) -> Element {
        if self == Format::Pairs { Element::Pair } else { Element::Number }
    }
}

/// Runs `n` rounds of the multiply-adds that products of this precision are made of, and returns their FLOP.
pub(crate) fn multiply_adds(precision: Precision, n: usize) -> Option<f64> {
    let isa = Isa::best();
    isa.multiply_adds(Format::of(precision, isa).element(), n)
}

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
    let copies = a.column != 1 || panels.len() > 2 || b.format != Format::F32;
    let (all, stride) = (b.format.steps(k), b.format.stride());
    COPY.with_borrow_mut(|copy| {
        copy.resize(TILES * TILE_COPY, 0.0);
        let slices = all.div_ceil(KC);
        for slice in 0..slices {
            let (s0, s1) = (slice * all / slices, (slice + 1) * all / slices);
            let add = acc == Acc::Add || s0 > 0;
            for t0 in (0..tile_count).step_by(TILES) {
                let tiles = t0..(t0 + TILES).min(tile_count);
                if copies {
                    for t in tiles.clone() {
                        let to = &mut copy[(t - t0) * TILE_COPY..][..TILE_COPY];
                        copy_tile(
                            b.format,
                            a,
                            tile_row(t)..tile_row(t + 1),
                            s0 * stride..(s1 * stride).min(k),
                            to,
                        );
                    }
                }
                for p in panels.clone() {
                    let panel = &b.panel(p)[s0 * nr..s1 * nr];
                    let width = nr.min(b.n - p * nr);
                    for t in tiles.clone() {
                        let (i0, i1) = (tile_row(t), tile_row(t + 1));
                        let tile = match (copies, a.column) {
                            (false, _) => (&a.data[i0 * a.row + s0 * a.column..], a.row, a.column),
                            (true, 1) => (&copy[(t - t0) * TILE_COPY..], s1 - s0, 1),
                            (true, _) => (&copy[(t - t0) * TILE_COPY..], 1, i1 - i0),
                        };
                        // SAFETY: `run` asserted that rows below `m` and columns below `n` lie within the slice, and this
                        // task alone writes this tile. `Packed::of` made sure of the kernel; `tile_row` keeps a tile within
                        // `mr` rows; tile and panel hold as many steps as are asked for.
                        unsafe {
                            let target = c.data.add(i0 * c.ldc + p * nr);
                            let c = (target, c.ldc);
                            kernel::tile(
                                b.isa,
                                b.format.element(),
                                i1 - i0,
                                tile,
                                panel,
                                s1 - s0,
                                c,
                                width,
                                add,
                            );
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
