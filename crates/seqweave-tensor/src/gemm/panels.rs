//! The right-hand side of a product in panels.

use super::kernel::{self, Isa};
use super::{Format, Operand, SERIAL_BELOW, SERIAL_BELOW_TILED, Unit, amx, bf16};
use crate::pool::CpuBuffer;
use crate::{CpuDevice, Float};
use rayon::prelude::*;

/// A right-hand side `[k, n]` in panels of as many columns as a tile has; the last panel is filled up with zeros.
pub(crate) struct Packed {
    data: CpuBuffer,
    pub(super) isa: Isa,
    pub(super) format: Format,
    pub(super) k: usize,
    pub(super) n: usize,
}

impl Packed {
    pub(crate) fn new(cpu: &CpuDevice, b: Operand<'_>, k: usize, n: usize) -> Packed {
        let isa = Isa::best();
        Packed::of(isa, Format::of(cpu.precision(), isa), cpu, b, k, n)
    }

    pub(crate) fn of(
        isa: Isa,
        format: Format,
        cpu: &CpuDevice,
        b: Operand<'_>,
        k: usize,
        n: usize,
    ) -> Packed {
        // What the kernels rely on.
        assert!(Isa::available().contains(&isa), "{isa:?} is not on this processor");
        assert!(
            format != Format::Pairs || (isa == Isa::best() && Isa::has_pairs()),
            "no kernel takes pairs here"
        );
        assert!(format.unit() != Some(Unit::Amx) || amx::open().is_ok(), "no tile registers here");
        b.assert_holds(k, n);
        let (nr, steps) = (format.tile(isa).1, format.steps(k));
        let panel_len = nr * steps * format.parts();
        let mut data = cpu.alloc(n.div_ceil(nr) * panel_len);
        let pack = |(p, panel): (usize, &mut [Float])| match format {
            Format::F32 => pack_panel(b, k, n, p * nr, nr, panel),
            Format::Rounded => {
                pack_panel(b, k, n, p * nr, nr, panel);
                bf16::round(panel);
            }
            Format::Pairs | Format::Tiles(_) | Format::Split(..) => {
                for (part, panel) in panel.chunks_exact_mut(nr * steps).enumerate() {
                    pack_pairs(b, k, n, p * nr, nr, part, panel);
                }
            }
        };
        if k > 0 {
            let panels = data.as_mut_slice();
            if panels.len() < SERIAL_BELOW / 8 {
                panels.chunks_exact_mut(panel_len).enumerate().for_each(pack);
            } else {
                panels.par_chunks_exact_mut(panel_len).enumerate().for_each(pack);
            }
        }
        Packed { data, isa, format, k, n }
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Columns of a panel.
    pub(crate) fn panel_columns(&self) -> usize {
        self.format.tile(self.isa).1
    }

    /// Multiply-adds below which a product is not worth more than one thread.
    pub(crate) fn serial_below(&self) -> usize {
        if self.format.unit().is_some() { SERIAL_BELOW_TILED } else { SERIAL_BELOW }
    }

    pub(super) fn panel_count(&self) -> usize {
        self.n.div_ceil(self.panel_columns())
    }

    /// Panel `p` and all that follow. A panel is one row of its columns a step of k, part after part.
    pub(super) fn panels(&self, p: usize) -> &[Float] {
        let len = self.panel_columns() * self.format.steps(self.k) * self.format.parts();
        &self.data.as_slice()[p * len..]
    }
}

/// Columns `first..first+nr` of `b` into `panel`, k-major.
fn pack_panel(b: Operand<'_>, k: usize, n: usize, first: usize, nr: usize, panel: &mut [Float]) {
    let width = nr.min(n - first);
    if width < nr {
        panel.fill(0.0);
    }
    if b.column != 1 {
        return pack_transposed(b, k, first, width, nr, panel);
    }
    // Moves of a fixed length: a call for each row of a panel would take longer than the row.
    match width {
        8 if nr == 8 => pack_rows::<8>(b, first, panel),
        16 if nr == 16 => pack_rows::<16>(b, first, panel),
        32 if nr == 32 => pack_rows::<32>(b, first, panel),
        _ => {
            for (l, row) in panel.chunks_exact_mut(nr).enumerate() {
                row[..width].copy_from_slice(&b.data[l * b.row + first..][..width]);
            }
        }
    }
}

/// [`pack_panel`] of a whole panel of an operand whose rows are contiguous.
fn pack_rows<const NR: usize>(b: Operand<'_>, first: usize, panel: &mut [Float]) {
    for (l, row) in panel.as_chunks_mut::<NR>().0.iter_mut().enumerate() {
        let from = &b.data[l * b.row + first..][..NR];
        *row = *from.first_chunk().expect("the slice is as long");
    }
}

/// [`pack_panel`] as pairs of bfloat16 of neighbouring k, of part `part` of each number: a few rows as numbers first,
/// then two by two.
fn pack_pairs(b: Operand<'_>, k: usize, n: usize, first: usize, nr: usize, part: usize, panel: &mut [Float]) {
    const ROWS: usize = 16;
    panel.chunks_mut(ROWS / 2 * nr).skip(k.div_ceil(ROWS)).for_each(|beyond| beyond.fill(0.0));
    let mut numbers = [0.0; ROWS * kernel::MAX_NR];
    for (l0, pairs) in (0..k).step_by(ROWS).zip(panel.chunks_mut(ROWS / 2 * nr)) {
        let rows = ROWS.min(k - l0);
        let stretch = Operand { data: &b.data[l0 * b.row..], ..b };
        pack_panel(stretch, rows, n, first, nr, &mut numbers[..rows * nr]);
        (0..part).for_each(|_| bf16::rest(&mut numbers[..rows * nr]));
        numbers[rows * nr..].fill(0.0);
        for (two, pairs) in numbers.chunks_exact(2 * nr).zip(pairs.chunks_exact_mut(nr)) {
            bf16::pair_rows(&two[..nr], &two[nr..], pairs);
        }
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
