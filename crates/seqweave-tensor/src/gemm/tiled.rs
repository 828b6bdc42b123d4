//! The product on tile registers: four of them hold 32 by 32 sums, four the operands.
//!
//! A *chunk* is 32 of k: the 16 pairs of a register's row. Both operands are filled up with zeros to whole chunks, and
//! chunks come in order of k, so an element depends on its row, its column and K, and on nothing else.

use super::blocks::TILES;
use super::registers::{COLUMNS, ROWS, Registers};
use super::{Operand, Packed, Tiles, bf16};
use crate::{Acc, Float};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a block of the result.
pub(super) const MR: usize = 2 * ROWS;

/// Columns of a block of the result, and of a panel.
pub(super) const NR: usize = 2 * COLUMNS;

/// Numbers of k in a chunk.
const K: usize = 2 * COLUMNS;

/// Chunks of a slice at most: 768 of k.
const CHUNKS: usize = super::KC / COLUMNS;

/// Elements of a chunk of a panel.
const PANEL_CHUNK: usize = COLUMNS * NR;

/// Which parts of `a` and `b` are multiplied, by how many parts each is in: the smallest products first, and none that
/// are as small as what the parts leave of a number.
pub(super) fn products(parts: usize) -> &'static [(usize, usize)] {
    match parts {
        1 => &[(0, 0)],
        2 => &[(1, 0), (0, 1), (0, 0)],
        _ => &[(2, 0), (0, 2), (1, 1), (1, 0), (0, 1), (0, 0)],
    }
}

/// One task: rows `rows` of the result, some panels.
///
/// # Safety
/// As [`Registers::open`]; the result may be written there, and nobody else does.
pub(super) unsafe fn block<R: Registers>(
    a: Operand<'_>,
    b: &Packed,
    acc: Acc,
    c: Tiles,
    rows: Range<usize>,
    panels: &[Range<usize>],
) {
    let (parts, all) = (b.format.parts(), b.k.div_ceil(K));
    let (slices, tile_room) = (all.div_ceil(CHUNKS), parts * CHUNKS * MR * COLUMNS);
    // SAFETY: passed on from the caller; the registers do not leave this function.
    let mut registers = unsafe { R::open() };
    COPY.with_borrow_mut(|copy| {
        if copy.len() < TILES * tile_room {
            copy.resize(TILES * tile_room, 0.0);
        }
        for slice in 0..slices {
            let (from, to) = (slice * all / slices, (slice + 1) * all / slices);
            let (chunks, add) = (to - from, acc == Acc::Add || from > 0);
            for first in rows.clone().step_by(TILES * MR) {
                let tiles = (first..rows.end).step_by(MR).take(TILES).map(|i| i..(i + MR).min(rows.end));
                for (rows, copy) in tiles.clone().zip(copy.chunks_exact_mut(tile_room)) {
                    copy_rows(a, rows, from * K..(to * K).min(b.k), parts, copy);
                }
                for p in panels.iter().cloned().flatten() {
                    let panel = &b.panels(p)[from * PANEL_CHUNK..];
                    let width = NR.min(b.n - p * NR);
                    for (rows, copy) in tiles.clone().zip(copy.chunks_exact(tile_room)) {
                        let (height, tall) = (rows.len(), rows.len() > ROWS);
                        let row_part = chunks * padded(height) * COLUMNS;
                        let operands = products(parts).iter().map(|&(x, y)| {
                            (
                                &copy[x * row_part..][..row_part],
                                &panel[y * all * PANEL_CHUNK..][..chunks * PANEL_CHUNK],
                            )
                        });
                        // SAFETY: the caller vouches for rows and panels, so for `height` rows of `width` columns here.
                        unsafe {
                            let c = (c.data.add(rows.start * c.ldc + p * NR), c.ldc);
                            if (height, width) == (padded(height), NR) {
                                sums(&mut registers, tall, operands, c, add);
                            } else {
                                edge(&mut registers, (height, width), operands, c, add);
                            }
                        }
                    }
                }
            }
        }
    })
}

/// Rows that a tile of `height` takes up: those of one register or of two.
fn padded(height: usize) -> usize {
    if height > ROWS { MR } else { ROWS }
}

/// Rows `rows` and columns `ks` of `a` to `copy`: one part after the other, in each chunk after chunk, in each row after
/// row, [`COLUMNS`] pairs each, with zeros for what is missing.
fn copy_rows(a: Operand<'_>, rows: Range<usize>, ks: Range<usize>, parts: usize, copy: &mut [Float]) {
    let (height, step) = (padded(rows.len()), padded(rows.len()) * COLUMNS);
    let part = ks.len().div_ceil(K) * step;
    let mut numbers = [0.0; MR * K];
    let numbers = &mut numbers[..height * K];
    for (chunk, k0) in ks.clone().step_by(K).enumerate() {
        let here = K.min(ks.end - k0);
        let source = &a.data[rows.start * a.row + k0 * a.column..];
        if here < K {
            numbers.fill(0.0);
        }
        if a.column == 1 {
            for (i, to) in numbers.chunks_exact_mut(K).take(rows.len()).enumerate() {
                to[..here].copy_from_slice(&source[i * a.row..][..here]);
            }
        } else {
            for l in 0..here {
                let from = &source[l * a.column..][..rows.len()];
                from.iter().enumerate().for_each(|(i, &x)| numbers[i * K + l] = x);
            }
        }
        for (x, to) in copy.chunks_exact_mut(part).take(parts).enumerate() {
            if x > 0 {
                bf16::rest(numbers);
            }
            bf16::pair_neighbours(numbers, &mut to[chunk * step..][..step]);
        }
    }
}

/// 32 columns of as many rows as the registers hold: `c = (add ? c : 0) + Σ a·b` over `operands`, each a copy of rows and
/// a panel of as many chunks.
///
/// # Safety
/// `c` may be read and written for 16 rows, or 32 if `tall`, of 32 columns.
#[inline(always)]
unsafe fn sums<'a, R: Registers>(
    registers: &mut R,
    tall: bool,
    operands: impl Iterator<Item = (&'a [Float], &'a [Float])>,
    (c, ldc): (*mut Float, usize),
    add: bool,
) {
    // SAFETY: the caller vouches for `c`; slices of exact chunks hold what is loaded from them.
    unsafe {
        let lower = c.wrapping_add(ROWS * ldc);
        if add {
            registers.load::<0>(c, ldc);
            registers.load::<1>(c.add(COLUMNS), ldc);
            if tall {
                registers.load::<2>(lower, ldc);
                registers.load::<3>(lower.add(COLUMNS), ldc);
            }
        } else {
            registers.zero::<0>();
            registers.zero::<1>();
            registers.zero::<2>();
            registers.zero::<3>();
        }
        for (a, b) in operands {
            let step = if tall { MR } else { ROWS } * COLUMNS;
            for (a, b) in a.chunks_exact(step).zip(b.chunks_exact(PANEL_CHUNK)) {
                let (a, b) = (a.as_ptr(), b.as_ptr());
                registers.load::<6>(b, NR);
                registers.load::<4>(a, COLUMNS);
                registers.load::<7>(b.add(COLUMNS), NR);
                registers.multiply_add::<0, 4, 6>();
                registers.multiply_add::<1, 4, 7>();
                if tall {
                    registers.load::<5>(a.add(ROWS * COLUMNS), COLUMNS);
                    registers.multiply_add::<2, 5, 6>();
                    registers.multiply_add::<3, 5, 7>();
                }
            }
        }
        registers.store::<0>(c, ldc);
        registers.store::<1>(c.add(COLUMNS), ldc);
        if tall {
            registers.store::<2>(lower, ldc);
            registers.store::<3>(lower.add(COLUMNS), ldc);
        }
    }
}

/// [`sums`] where the result has only `height` rows and `width` columns: beside it first, then what there is of it.
///
/// # Safety
/// `c` may be read and written for `height` rows of `width` columns.
unsafe fn edge<'a, R: Registers>(
    registers: &mut R,
    (height, width): (usize, usize),
    operands: impl Iterator<Item = (&'a [Float], &'a [Float])>,
    (c, ldc): (*mut Float, usize),
    add: bool,
) {
    let mut beside = [0.0; MR * NR];
    // SAFETY: the caller vouches for the rows, and `beside` holds all that registers do.
    unsafe {
        let row = |i: usize| std::slice::from_raw_parts_mut(c.add(i * ldc), width);
        if add {
            (0..height).for_each(|i| beside[i * NR..][..width].copy_from_slice(row(i)));
        }
        sums(registers, height > ROWS, operands, (beside.as_mut_ptr(), NR), add);
        (0..height).for_each(|i| row(i).copy_from_slice(&beside[i * NR..][..width]));
    }
}

/// `n` rounds of the products that a chunk of 32 by 32 sums takes; returns their FLOP.
///
/// # Safety
/// As [`Registers::open`].
pub(super) unsafe fn multiply_adds<R: Registers>(n: usize) -> f64 {
    // SAFETY: passed on from the caller.
    let mut registers = unsafe { R::open() };
    registers.zero::<0>();
    registers.zero::<1>();
    registers.zero::<2>();
    registers.zero::<3>();
    registers.zero::<4>();
    registers.zero::<5>();
    registers.zero::<6>();
    registers.zero::<7>();
    for _ in 0..n {
        registers.multiply_add::<0, 4, 6>();
        registers.multiply_add::<1, 4, 7>();
        registers.multiply_add::<2, 5, 6>();
        registers.multiply_add::<3, 5, 7>();
    }
    (n * MR * NR * K * 2) as f64
}

thread_local! {
    /// Where a thread copies blocks of `a`.
    static COPY: RefCell<Vec<Float>> = const { RefCell::new(Vec::new()) };
}

#[cfg(all(test, not(seqweave_f64)))]
mod tests {
    use super::super::{Format, Isa, Start, Unit, run, run_panels};
    use super::*;
    use crate::{CpuDevice, Device, Trans};

    const FORMATS: [Format; 3] =
        [Format::Tiles(Unit::Twin), Format::Split(Unit::Twin, 2), Format::Split(Unit::Twin, 3)];
    const TRANSPOSITIONS: [(Trans, Trans); 4] =
        [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)];

    /// Pseudo-random numbers of either sign whose magnitudes spread over three octaves.
    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = seqweave_testkit::SplitMix64::new(seed);
        (0..n).map(|_| (rng.uniform() * 2.0 - 1.0) as f32 * 2f32.powf(rng.uniform() as f32 * 3.0)).collect()
    }

    /// `x: [rows, columns]` as `op(x)` of that shape is stored.
    fn stored(x: &[f32], rows: usize, columns: usize, trans: Trans) -> Vec<f32> {
        match trans {
            Trans::N => x.to_vec(),
            Trans::T => (0..x.len()).map(|i| x[i % rows * columns + i / rows]).collect(),
        }
    }

    fn product(format: Format, m: usize, a: Operand<'_>, b: Operand<'_>, k: usize, c: &mut [f32]) {
        let Device::Cpu(cpu) = Device::cpu() else { unreachable!("`Device::cpu` is the CPU") };
        multiply(&cpu, format, m, a, b, k, c);
    }

    fn multiply(
        cpu: &CpuDevice,
        format: Format,
        m: usize,
        a: Operand<'_>,
        b: Operand<'_>,
        k: usize,
        c: &mut [f32],
    ) {
        let n = c.len() / m;
        run(m, a, &Packed::of(Isa::best(), format, cpu, b, k, n), Start::Result, c, n);
    }

    /// The parts of a number, from the definition.
    fn parts(x: f32) -> [f32; 3] {
        let mut left = x;
        [(); 3].map(|()| {
            let mut part = [left];
            bf16::round(&mut part);
            left -= part[0];
            part[0]
        })
    }

    /// One element as the manual has it: in each chunk of 32 two chains, over even and odd k, whose sum is added.
    fn element(format: Format, start: f32, a: &[f32], b: &[f32]) -> f32 {
        let chunks = a.len().div_ceil(32);
        let slices = chunks.div_ceil(24);
        let mut sum = start;
        for slice in 0..slices {
            let (from, to) =
                (32 * (slice * chunks / slices), (32 * ((slice + 1) * chunks / slices)).min(a.len()));
            for &(x, y) in products(format.parts()) {
                for (a, b) in a[from..to].chunks(32).zip(b[from..to].chunks(32)) {
                    let mut chains = [0.0f32; 2];
                    for (l, (&a, &b)) in a.iter().zip(b).enumerate() {
                        chains[l % 2] = parts(a)[x].mul_add(parts(b)[y], chains[l % 2]);
                    }
                    sum += chains[0] + chains[1];
                }
            }
        }
        sum
    }

    #[test]
    fn every_transposition_and_odd_size_is_as_the_manual_has_it_bit_for_bit() {
        for (m, n, k) in [
            (1, 1, 1),
            (1, 33, 7),
            (16, 32, 32),
            (13, 31, 300),
            (17, 65, 33),
            (32, 64, 64),
            (300, 70, 95),
            (3, 5, 1601),
        ] {
            let (a, b, start) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
            for format in FORMATS {
                let want: Vec<f32> = (0..m * n)
                    .map(|at| {
                        let (i, j) = (at / n, at % n);
                        let column: Vec<f32> = (0..k).map(|l| b[l * n + j]).collect();
                        element(format, start[at], &a[i * k..][..k], &column)
                    })
                    .collect();
                for (ta, tb) in TRANSPOSITIONS {
                    let (a, b) = (stored(&a, m, k, ta), stored(&b, k, n, tb));
                    let mut c = start.clone();
                    let a = Operand::new(&a, if ta == Trans::N { k } else { m }, ta);
                    let b = Operand::new(&b, if tb == Trans::N { n } else { k }, tb);
                    product(format, m, a, b, k, &mut c);
                    assert_eq!(c, want, "{format:?} {m}x{n}x{k} {ta:?}{tb:?}");
                }
            }
        }
    }

    #[test]
    fn what_lies_beside_the_result_stays_and_setting_forgets_what_was_there() {
        let (m, n, k, ldc) = (19, 37, 40, 50);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let Device::Cpu(cpu) = Device::cpu() else { unreachable!("`Device::cpu` is the CPU") };
        for format in FORMATS {
            let (mut c, mut narrow) = (vec![f32::NAN; m * ldc], vec![0.0; m * n]);
            let packed = Packed::of(Isa::best(), format, &cpu, Operand::new(&b, n, Trans::N), k, n);
            run(m, Operand::new(&a, k, Trans::N), &packed, Start::Zero, &mut c, ldc);
            run(m, Operand::new(&a, k, Trans::N), &packed, Start::Result, &mut narrow, n);
            for (row, want) in c.chunks_exact(ldc).zip(narrow.chunks_exact(n)) {
                assert_eq!(&row[..n], want);
                assert!(row[n..].iter().all(|x| x.is_nan()), "something was written beside the result");
            }
        }
    }

    #[test]
    fn threads_and_company_change_nothing() {
        // Cut by rows, and cut by columns.
        for (m, n, k) in [(290, 100, 100), (40, 700, 100)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (whole_a, whole_b) = (Operand::new(&a, k, Trans::N), Operand::new(&b, n, Trans::N));
            for format in FORMATS {
                assert!(m * n * k > super::super::SERIAL_BELOW_TILED, "too small to be cut");
                let mut want = vec![0.0; m * n];
                product(format, m, whole_a, whole_b, k, &mut want);
                for threads in [1, 2, 4] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut got = vec![0.0; m * n];
                    pool.install(|| product(format, m, whole_a, whole_b, k, &mut got));
                    assert_eq!(got, want, "{format:?} on {threads} threads");
                }
                for row in [0, 17, m - 1] {
                    let mut alone = vec![0.0; n];
                    product(format, 1, Operand::new(&a[row * k..], k, Trans::N), whole_b, k, &mut alone);
                    assert_eq!(alone, want[row * n..][..n], "{format:?}, row {row} alone");
                }
            }
        }
    }

    #[test]
    fn panels_apart_are_those_of_the_whole() {
        let (m, n, k) = (40, 200, 70);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let (whole_a, whole_b) = (Operand::new(&a, k, Trans::N), Operand::new(&b, n, Trans::N));
        let Device::Cpu(cpu) = Device::cpu() else { unreachable!("`Device::cpu` is the CPU") };
        for format in FORMATS {
            let mut want = vec![0.0; m * n];
            product(format, m, whole_a, whole_b, k, &mut want);
            let packed = Packed::of(Isa::best(), format, &cpu, whole_b, k, n);
            let mut got = vec![0.5; m * n];
            // SAFETY: the result has all rows and columns, and nobody else has it.
            unsafe { run_panels(m, whole_a, &packed, Acc::Set, got.as_mut_ptr(), n, &[0..1, 3..5, 6..7]) };
            for (at, (&got, &want)) in got.iter().zip(&want).enumerate() {
                let is_made = matches!(at % n / NR, 0 | 3 | 4 | 6);
                assert_eq!(got, if is_made { want } else { 0.5 }, "{format:?}, column {}", at % n);
            }
        }
    }

    /// Root mean square and largest error of a product against f64, over the root of the sum of its squared terms.
    fn errors(format: Format, m: usize, n: usize, k: usize) -> [f64; 2] {
        let (a, b, mut c) = (numbers(m * k, 5), numbers(k * n, 6), vec![0.0; m * n]);
        product(format, m, Operand::new(&a, k, Trans::N), Operand::new(&b, n, Trans::N), k, &mut c);
        let errors = c.iter().enumerate().map(|(at, &got)| {
            let terms = (0..k).map(|l| f64::from(a[at / n * k + l]) * f64::from(b[l * n + at % n]));
            let (sum, squares) = terms.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
            (f64::from(got) - sum) / f64::sqrt(squares)
        });
        let errors: Vec<f64> = errors.collect();
        let squares: f64 = errors.iter().map(|e| e * e).sum();
        [(squares / errors.len() as f64).sqrt(), errors.iter().fold(0.0, |max, e| max.max(e.abs()))]
    }

    /// The figures of `docs/guide/cpu-kernels.md`: run with `--nocapture` to see them.
    #[test]
    fn the_more_parts_the_less_error() {
        for k in [64, 256, 1024, 4096] {
            let [exact, one, two, three] = [Format::F32, FORMATS[0], FORMATS[1], FORMATS[2]].map(|format| {
                let [mean, largest] = errors(format, 32, 64, k);
                println!("k {k}: {mean:.1e}, largest {largest:.1e} with {format:?}");
                assert!(largest < 10.0 * mean);
                mean
            });
            assert!(one > 100.0 * two && two < 6e-6, "{one} {two}");
            assert!(three < 1.5 * exact, "{three} {exact}");
        }
    }
}
