//! The matrix product behind [`crate::ops::gemm`]: pack the right-hand side, walk tiles, run a kernel on each.
//!
//! `b` is cut into panels of `nr` columns, each laid out k-major, so that a kernel reads it front to back. `a` is taken in
//! blocks of [`TILES`](blocks::TILES) tiles and [`KC`] columns, copied to where rows do not share cache sets, and multiplied
//! by one panel slice after the other: a slice stays close while all tiles of the block pass, the block in the second-level
//! cache. (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4.)

pub(crate) mod amx;
mod bf16;
mod blocks;
mod kernel;
mod panels;
mod registers;
mod tiled;
mod tiles;

use crate::{Acc, Float, Precision, Trans};
use kernel::Element;
pub(crate) use kernel::Isa;
pub(crate) use panels::Packed;
use rayon::prelude::*;
use std::ops::Range;

/// Steps of a panel slice at most. Every slice but the first reads and writes the result once more, which costs more than
/// a slice that does not fit the first-level cache.
const KC: usize = 384;

/// Multiply-adds below which a product stays on the calling thread.
const SERIAL_BELOW: usize = 1 << 18;

/// Multiply-adds below which a product on tile registers stays on the calling thread: as long as that takes.
const SERIAL_BELOW_TILED: usize = SERIAL_BELOW * 8;

/// Parts of a number in [`Precision::F32Fast`]: two keep 17 bits of it at three products, three would keep all 24 at six.
const PARTS: usize = 2;

/// How both operands are stored for the kernels. A *step* of k is one element of a panel column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Numbers as they are.
    F32,
    /// Numbers rounded to bfloat16, for kernels of f32.
    Rounded,
    /// Pairs of bfloat16: a step is two of k.
    Pairs,
    /// [`Format::Pairs`] for tile registers, k filled up to whole registers.
    Tiles(Unit),
    /// [`Format::Tiles`] as often as there are parts: each number rounded, what rounding left of it rounded, and so on.
    Split(Unit, usize),
}

/// What multiplies tile registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// AMX; for where [`amx::works`].
    Amx,
    /// Its twin in plain Rust.
    Twin,
}

impl Format {
    pub(crate) fn of(precision: Precision, isa: Isa) -> Format {
        match precision {
            _ if cfg!(seqweave_f64) => Format::F32,
            Precision::F32 => Format::F32,
            Precision::F32Fast if amx::usable().is_ok() => Format::Split(Unit::Amx, PARTS),
            // Three products of pairs, which an AVX-512 unit makes two at a time, would take longer than one of numbers.
            Precision::F32Fast => Format::F32,
            Precision::Bf16 if amx::usable().is_ok() => Format::Tiles(Unit::Amx),
            Precision::Bf16 if isa == Isa::best() && Isa::has_pairs() => Format::Pairs,
            Precision::Bf16 => Format::Rounded,
        }
    }

    /// Elements of a panel column, of one part.
    fn steps(self, k: usize) -> usize {
        match self {
            Format::F32 | Format::Rounded => k,
            Format::Pairs => k.div_ceil(2),
            Format::Tiles(_) | Format::Split(..) => k.div_ceil(2).next_multiple_of(registers::COLUMNS),
        }
    }

    /// How far a step goes along k.
    fn stride(self) -> usize {
        if matches!(self, Format::F32 | Format::Rounded) { 1 } else { 2 }
    }

    /// How many numbers of fewer bits stand for one.
    fn parts(self) -> usize {
        if let Format::Split(_, parts) = self { parts } else { 1 }
    }

    /// How many products of parts make one product.
    fn products(self) -> f64 {
        tiled::products(self.parts()).len() as f64
    }

    fn element(self) -> Element {
        if self == Format::Pairs { Element::Pair } else { Element::Number }
    }

    /// What multiplies, if it is no vector kernel.
    fn unit(self) -> Option<Unit> {
        match self {
            Format::Tiles(unit) | Format::Split(unit, _) => Some(unit),
            Format::F32 | Format::Rounded | Format::Pairs => None,
        }
    }

    /// Most rows of a tile, and columns of a panel.
    fn tile(self, isa: Isa) -> (usize, usize) {
        self.unit().map_or((isa.mr(), isa.nr()), |_| (tiled::MR, tiled::NR))
    }
}

/// Runs `n` rounds of the multiply-adds that products of this precision are made of, and returns the FLOP of the products
/// that as many can make.
pub(crate) fn multiply_adds(precision: Precision, n: usize) -> Option<f64> {
    let isa = Isa::best();
    let format = Format::of(precision, isa);
    match format.unit() {
        None => isa.multiply_adds(format.element(), n),
        // SAFETY: `Format::of` names a unit only where it works.
        Some(Unit::Amx) => Some(unsafe { tiled::multiply_adds::<registers::Amx>(n) } / format.products()),
        // SAFETY: the twin is always there.
        Some(Unit::Twin) => Some(unsafe { tiled::multiply_adds::<registers::Twin>(n) } / format.products()),
    }
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

/// What the sums of a result begin with.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// What the result holds.
    Result,
    /// The same row of numbers in each row: a bias, for which there is no pass over the result then.
    Row(&'a [Float]),
}

impl From<Acc> for Start<'_> {
    fn from(acc: Acc) -> Self {
        if acc == Acc::Add { Start::Result } else { Start::Zero }
    }
}

/// `c = start + a·b`: `m` rows of `a` and of `c`, whose rows are `ldc` elements apart.
pub(crate) fn run(m: usize, a: Operand<'_>, b: &Packed, start: Start<'_>, c: &mut [Float], ldc: usize) {
    let (k, n) = (b.k, b.n);
    if m == 0 || n == 0 {
        return;
    }
    a.assert_holds(m, k);
    assert!(ldc >= n && c.len() >= (m - 1) * ldc + n, "the result passes the end of its slice");
    if let Start::Row(row) = start {
        assert!(row.len() >= n, "the row that the result starts with ends early");
    }
    // Tile registers take their sums from the result or none.
    let start = match start {
        Start::Row(row) if k == 0 || b.format.unit().is_some() => {
            (0..m).for_each(|i| c[i * ldc..i * ldc + n].copy_from_slice(&row[..n]));
            Start::Result
        }
        Start::Zero if k == 0 => return (0..m).for_each(|i| c[i * ldc..i * ldc + n].fill(0.0)),
        start => start,
    };
    if k == 0 {
        return;
    }
    let c = Tiles { data: c.as_mut_ptr(), ldc };
    let (mr, panels) = (b.format.tile(b.isa).0, b.panel_count());
    let tasks = if m * n * k < b.serial_below() { 1 } else { rayon::current_num_threads() * 3 };
    if tasks == 1 || rayon::current_num_threads() == 1 {
        return task(a, b, start, c, 0..m, std::array::from_ref(&(0..panels)));
    }
    // Cut the longer side first: every task copies its rows of `a` and streams its panels of `b`, and a cut through one
    // side makes the tasks share the other.
    let tiles = m.div_ceil(mr);
    let (by_rows, by_columns) = if m > n {
        let by_rows = tiles.min(tasks);
        (by_rows, (tasks / by_rows).clamp(1, panels))
    } else {
        let by_columns = panels.min(tasks);
        ((tasks / by_columns).clamp(1, tiles), by_columns)
    };
    // Vector kernels take any number of rows, tile registers pay for those that are missing.
    let row = |i: usize| {
        if b.format.unit().is_some() { (i * tiles / by_rows * mr).min(m) } else { i * m / by_rows }
    };
    (0..by_columns * by_rows).into_par_iter().for_each(|part| {
        let (i, j) = (part / by_columns, part % by_columns);
        let panels = j * panels / by_columns..(j + 1) * panels / by_columns;
        task(a, b, start, c, row(i)..row(i + 1), &[panels]);
    });
}

/// The columns of some panels of the result of [`run`], on this thread alone.
///
/// # Safety
/// `c` is where row 0 and column 0 of the whole result lie. It may be written for `m` rows, `ldc` elements apart, of the
/// columns of these panels, and read if sums are added to it; nobody else uses them meanwhile.
pub(crate) unsafe fn run_panels(
    m: usize,
    a: Operand<'_>,
    b: &Packed,
    acc: Acc,
    c: *mut Float,
    ldc: usize,
    panels: &[Range<usize>],
) {
    assert!(b.k > 0, "a product of no steps");
    assert!(panels.iter().all(|panels| panels.end <= b.panel_count()), "{panels:?} of {}", b.panel_count());
    a.assert_holds(m, b.k);
    if m > 0 {
        task(a, b, acc.into(), Tiles { data: c, ldc }, 0..m, panels);
    }
}

/// One task: rows `rows` of the result, some panels.
fn task(a: Operand<'_>, b: &Packed, start: Start<'_>, c: Tiles, rows: Range<usize>, panels: &[Range<usize>]) {
    let acc = if matches!(start, Start::Zero) { Acc::Set } else { Acc::Add };
    match b.format.unit() {
        None => blocks::multiply(a, b, start, c, rows, panels),
        // SAFETY: `Packed::of` made sure of the registers; `run` and the caller of `run_panels` say that the rows and panels
        // are the result's, and this task's alone.
        Some(Unit::Amx) => unsafe { tiled::block::<registers::Amx>(a, b, acc, c, rows, panels) },
        // SAFETY: as above, and the twin is always there.
        Some(Unit::Twin) => unsafe { tiled::block::<registers::Twin>(a, b, acc, c, rows, panels) },
    }
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
