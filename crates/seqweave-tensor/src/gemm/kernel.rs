//! The inner kernels: one tile of the result in registers, for each instruction set.
//!
//! All of them do the same arithmetic, one fused multiply-add chain an element, so they give the same bits.

use super::KC;
use crate::Float;
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
use crate::level::{Level, limit};
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
use std::arch::x86_64::*;

/// The most rows a tile of any instruction set has.
pub(crate) const MAX_MR: usize = 12;

/// The most columns a tile of any instruction set has.
pub(crate) const MAX_NR: usize = 32;

/// The instruction sets there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// 16 floats a register, 32 registers.
    #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
    Avx512,
    /// 8 floats a register, 16 registers, fused multiply-add.
    #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
    Avx2,
    /// Plain Rust; fused multiply-adds come from the target's baseline or from its mathematics library.
    Portable,
}

impl Isa {
    /// The widest set this processor has.
    pub(crate) fn best() -> Isa {
        *Isa::available().first().expect("the portable kernels are always there")
    }

    /// The sets this processor has and may use, widest first.
    pub(crate) fn available() -> &'static [Isa] {
        static AVAILABLE: std::sync::OnceLock<Vec<Isa>> = std::sync::OnceLock::new();
        AVAILABLE.get_or_init(|| {
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            let limit = limit() as u8;
            let kernels = [
                #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
                (Isa::Avx512, limit >= Level::Avx512 as u8 && is_x86_feature_detected!("avx512f")),
                #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
                (
                    Isa::Avx2,
                    limit >= Level::Avx2 as u8
                        && is_x86_feature_detected!("avx2")
                        && is_x86_feature_detected!("fma"),
                ),
                (Isa::Portable, true),
            ];
            kernels.into_iter().filter(|(_, runs)| *runs).map(|(isa, _)| isa).collect()
        })
    }

    /// Whether the best set multiplies pairs of bfloat16.
    pub(crate) fn has_pairs() -> bool {
        #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
        if Isa::best() == Isa::Avx512 {
            return is_x86_feature_detected!("avx512bf16");
        }
        false
    }

    /// Its name, as `info --system` prints it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 => "avx512",
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Runs `n` rounds of independent multiply-adds in registers and returns their FLOP; `None` for the portable kernels.
    #[cfg_attr(any(seqweave_f64, not(target_arch = "x86_64")), allow(unused_variables))]
    pub(crate) fn multiply_adds(self, element: Element, n: usize) -> Option<f64> {
        match self {
            // SAFETY: `available` and `has_pairs` found the instructions.
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 if element == Element::Pair => Some(unsafe { multiply_adds_avx512bf16(n) }),
            // SAFETY: `available` found the instructions.
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 => Some(unsafe { multiply_adds_avx512(n) }),
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx2 => Some(unsafe { multiply_adds_avx2(n) }),
            Isa::Portable => None,
        }
    }

    /// Columns of a tile.
    pub(crate) fn nr(self) -> usize {
        match self {
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 => 32,
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx2 => 16,
            Isa::Portable => 8,
        }
    }

    /// Panels that `rows` rows meet at once. A step of one row is two multiply-adds a panel, fewer than are in flight in a
    /// processor at a time; sums of other panels fill the gap, since an element remains one chain.
    pub(crate) fn panels_at_once(self, rows: usize) -> usize {
        match (self, rows) {
            (Isa::Portable, _) => 1,
            (_, 1) => 4,
            (_, 2) => 2,
            _ => 1,
        }
    }

    /// Most rows of a tile.
    pub(crate) const fn mr(self) -> usize {
        match self {
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 => 12,
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx2 => 6,
            Isa::Portable => 4,
        }
    }
}

/// What the next tiles will read, to be brought close while this one is made: a step of `k` asks for the cache line at
/// `from`, and goes on by `stride` bytes. No stride, no question.
#[derive(Clone, Copy)]
#[cfg_attr(any(seqweave_f64, not(target_arch = "x86_64")), allow(dead_code))]
pub(crate) struct Ahead {
    pub(crate) from: *const Float,
    pub(crate) stride: usize,
}

/// What an element of a panel and of a tile of `a` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// One number.
    Number,
    /// Two bfloat16 of neighbouring k, the first in the low half; for [`Isa::has_pairs`].
    Pair,
}

/// Elements from one row of a copied tile to the next. A number that the compiler knows, so that a kernel needs one pointer
/// for all rows; and no power of two, so that the rows do not share cache sets.
pub(crate) const COPY_ROW: usize = KC + 4;

/// How the elements of a tile of `a` lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A copy, row after row, [`COPY_ROW`] apart.
    Rows,
    /// A copy, step after step, [`Isa::mr`] apart.
    Steps,
    /// As the matrix: so far from one row to the next, so far from one step to the next.
    Matrix {
        /// Elements from row to row.
        row: usize,
        /// Elements from step to step.
        column: usize,
    },
}

impl Layout {
    /// Elements from one row to the next, and from one step to the next.
    fn strides(self, isa: Isa) -> (usize, usize) {
        match self {
            Layout::Rows => (COPY_ROW, 1),
            Layout::Steps => (1, isa.mr()),
            Layout::Matrix { row, column } => (row, column),
        }
    }
}

/// A tile of `mr` rows and `width ≤ nr` columns, or of all columns of `isa.panels_at_once(mr)` panels:
/// `c = start + a·panel`.
///
/// `panels` are k-major with `isa.nr()` columns and begin `panels.1` elements apart, `c` and `start` are
/// `(pointer, row stride)`; a null `start` stands for zeros, and `start` may be `c`.
///
/// # Safety
/// `isa` is available, and has pairs if `element` says so; `mr ≤ isa.mr()`; `a` holds `mr` by `k`; a panel holds `k·nr`; `c` may be written for `mr` rows of
/// `width` columns, and nobody else does; `start` is null or may be read there.
pub(crate) unsafe fn tile(
    isa: Isa,
    element: Element,
    mr: usize,
    a: (&[Float], Layout),
    panels: (&[Float], usize),
    k: usize,
    start: (*const Float, usize),
    c: (*mut Float, usize),
    width: usize,
    ahead: Ahead,
) {
    let nr = isa.nr();
    let last = width.div_ceil(nr) - 1;
    debug_assert!(last == 0 || width == nr * isa.panels_at_once(mr));
    let (row, column) = a.1.strides(isa);
    debug_assert!(
        panels.0.len() >= last * panels.1 + k * nr
            && mr <= isa.mr()
            && a.0.len() > (mr - 1) * row + (k - 1) * column
    );
    if width >= nr {
        // SAFETY: passed on from the caller.
        return unsafe { full_tile(isa, element, mr, a, panels, k, start, c, width, ahead) };
    }
    // The last panel: compute a full tile beside the result and copy the columns that exist.
    let mut edge = [0.0 as Float; MAX_MR * MAX_NR];
    if !start.0.is_null() {
        for i in 0..mr {
            for j in 0..width {
                // SAFETY: the caller may read `mr` rows of `width` columns.
                edge[i * nr + j] = unsafe { *start.0.add(i * start.1 + j) };
            }
        }
    }
    // SAFETY: `edge` holds `mr` rows of `nr` columns; the rest is passed on.
    unsafe {
        let edge = edge.as_mut_ptr();
        full_tile(isa, element, mr, a, panels, k, (edge, nr), (edge, nr), nr, ahead);
    }
    for i in 0..mr {
        for j in 0..width {
            // SAFETY: the caller may write them.
            unsafe { *c.0.add(i * c.1 + j) = edge[i * nr + j] };
        }
    }
}

/// Asks for `mr` rows of `width` columns at `c`, `ldc` apart, to be brought close: the next tile begins by reading them, and
/// its chains would wait. They need not exist.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(crate) fn prefetch(mr: usize, width: usize, c: *const Float, ldc: usize) {
    #[cfg(target_arch = "x86_64")]
    for i in 0..mr {
        for j in (0..width).step_by(64 / size_of::<Float>()) {
            // SAFETY: a hint, for any address.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(i * ldc + j).cast());
            }
        }
    }
}

/// Asks for the cache line at `at`, which need not exist, to be brought as close as the second-level cache.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(crate) fn prefetch_far(at: *const Float) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
}

/// Calls `$kernel::<rows, panels, row, column, ahead>`: with the number of rows and of panels at once as constants, with the
/// strides of a copied tile as constants and zeros for those of a matrix, and with whether it asks for what comes next,
/// which several panels at once and tiles that were not copied never do.
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
macro_rules! by_rows {
    ($isa:ident, $layout:expr, $rows:expr, $many:expr, $ahead:expr, $kernel:ident, $args:tt, $($n:literal)*) => {
        match ($rows, $many) {
            (1, true) => by_rows!(@call $kernel 1 4 0 0 false $args),
            (2, true) => by_rows!(@call $kernel 2 2 0 0 false $args),
            $(($n, _) => match ($layout, $ahead) {
                (Layout::Rows, false) => by_rows!(@call $kernel $n 1 COPY_ROW 1 false $args),
                (Layout::Rows, true) => by_rows!(@call $kernel $n 1 COPY_ROW 1 true $args),
                (Layout::Steps, false) => by_rows!(@call $kernel $n 1 1 { Isa::$isa.mr() } false $args),
                (Layout::Steps, true) => by_rows!(@call $kernel $n 1 1 { Isa::$isa.mr() } true $args),
                (Layout::Matrix { .. }, _) => by_rows!(@call $kernel $n 1 0 0 false $args),
            },)*
            _ => unreachable!("a tile has at most isa.mr() rows"),
        }
    };
    (@call $kernel:ident $n:literal $panels:literal $row:tt $column:tt $ahead:literal ($($arg:expr),*)) => {
        $kernel::<$n, $panels, $row, $column, $ahead>($($arg),*)
    };
}

/// A tile of whole panels.
///
/// # Safety
/// As [`tile`], with `width ≥ isa.nr()`.
#[cfg_attr(any(seqweave_f64, not(target_arch = "x86_64")), allow(unused_variables))]
unsafe fn full_tile(
    isa: Isa,
    element: Element,
    mr: usize,
    a: (&[Float], Layout),
    panels: (&[Float], usize),
    k: usize,
    start: (*const Float, usize),
    c: (*mut Float, usize),
    width: usize,
    ahead: Ahead,
) {
    let (a, layout) = a;
    let (row, column) = layout.strides(isa);
    let (a, b, next) = (a.as_ptr(), panels.0.as_ptr(), panels.1);
    let many = width > isa.nr();
    // SAFETY: passed on from the caller of `tile`.
    unsafe {
        #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
        if element == Element::Pair {
            return by_rows!(Avx512, layout, mr, many, ahead.stride > 0, avx512bf16, (a, row, column, b, next, k, start, c, ahead), 1 2 3 4 5 6 7 8 9 10 11 12);
        }
        debug_assert_eq!(element, Element::Number);
        match isa {
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx512 => {
                by_rows!(Avx512, layout, mr, many, ahead.stride > 0, avx512, (a, row, column, b, next, k, start, c, ahead), 1 2 3 4 5 6 7 8 9 10 11 12)
            }
            #[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
            Isa::Avx2 => {
                by_rows!(Avx2, layout, mr, many, ahead.stride > 0, avx2, (a, row, column, b, next, k, start, c, ahead), 1 2 3 4 5 6)
            }
            Isa::Portable => match mr {
                1 => portable::<1>(a, row, column, b, k, start, c),
                2 => portable::<2>(a, row, column, b, k, start, c),
                3 => portable::<3>(a, row, column, b, k, start, c),
                4 => portable::<4>(a, row, column, b, k, start, c),
                _ => unreachable!("a tile has at most isa.mr() rows"),
            },
        }
    }
}

/// The kernels of one set of vectors: a tile of two registers a row, and the loop of multiply-adds that is its ceiling.
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
macro_rules! vector_kernels {
    (
        $(#[$meta:meta])* $tile:ident, $ceiling:ident, features $features:literal, lanes $lanes:literal, rows $rows:literal,
        steps $steps:literal, products $products:literal, $zero:ident, $splat:ident, $load:ident, $store:ident,
        |$sum:ident, $x:ident, $y:ident| $multiply_add:expr
    ) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// As [`tile`], with the features present.
        #[target_feature(enable = $features)]
        unsafe fn $tile<
            const MR: usize,
            const PANELS: usize,
            const ROW: usize,
            const COLUMN: usize,
            const AHEAD: bool,
        >(
            a: *const f32,
            row: usize,
            column: usize,
            b: *const f32,
            next: usize,
            k: usize,
            (start, lds): (*const f32, usize),
            (c, ldc): (*mut f32, usize),
            ahead: Ahead,
        ) {
            // SAFETY: the caller vouches for the extents; loads and stores are unaligned.
            unsafe {
                let multiply_add = |$sum, $x, $y| $multiply_add;
                let mut sums = [[[$zero(); 2]; MR]; PANELS];
                if !start.is_null() {
                    for p in 0..PANELS {
                        for i in 0..MR {
                            let start = start.add(i * lds + p * 2 * $lanes);
                            sums[p][i] = [$load(start), $load(start.add($lanes))];
                        }
                    }
                }
                let row = if ROW > 0 { ROW } else { row };
                let column = if COLUMN > 0 { COLUMN } else { column };
                let (mut a, mut b, mut line) = (a, b, ahead.from);
                let mut step = |a: *const f32, b: *const f32| {
                    if AHEAD {
                        _mm_prefetch::<_MM_HINT_T1>(line.cast());
                        line = line.wrapping_byte_add(ahead.stride);
                    }
                    for p in 0..PANELS {
                        let (b0, b1) = ($load(b.add(p * next)), $load(b.add(p * next + $lanes)));
                        for i in 0..MR {
                            let (x, sum) = ($splat(*a.add(i * row)), sums[p][i]);
                            sums[p][i] = [multiply_add(sum[0], x, b0), multiply_add(sum[1], x, b1)];
                        }
                    }
                };
                // Some steps a round of the loop, so that counting and moving pointers is little beside them.
                let steps = if PANELS == 1 { $steps } else { 1 };
                for _ in 0..k / steps {
                    (0..steps).for_each(|l| step(a.add(l * column), b.add(l * 2 * $lanes)));
                    a = a.wrapping_add(steps * column);
                    b = b.add(steps * 2 * $lanes);
                }
                (0..k % steps).for_each(|l| step(a.add(l * column), b.add(l * 2 * $lanes)));
                for p in 0..PANELS {
                    for i in 0..MR {
                        let c = c.add(i * ldc + p * 2 * $lanes);
                        $store(c, sums[p][i][0]);
                        $store(c.add($lanes), sums[p][i][1]);
                    }
                }
            }
        }

        /// `n` rounds of as many chains of multiply-adds as a tile has, enough to hide their latency; returns their FLOP.
        ///
        /// # Safety
        /// With the features present.
        #[target_feature(enable = $features)]
        unsafe fn $ceiling(n: usize) -> f64 {
            const CHAINS: usize = 2 * $rows;
            let multiply_add = |$sum, $x, $y| $multiply_add;
            let x = $splat(std::hint::black_box(0.5));
            let mut sums = [$zero(); CHAINS];
            for _ in 0..n {
                sums.iter_mut().for_each(|sum| *sum = multiply_add(*sum, x, x));
            }
            std::hint::black_box(sums);
            (n * CHAINS * $lanes * $products * 2) as f64
        }
    };
}

#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
vector_kernels! {
    /// `MR` by 32 a panel on AVX-512.
    avx512, multiply_adds_avx512, features "avx512f", lanes 16, rows 12, steps 2, products 1,
    _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
    |sum, x, y| _mm512_fmadd_ps(x, y, sum)
}

#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
vector_kernels! {
    /// `MR` by 32 a panel on AVX-512 with pairs of bfloat16: a step of `k` is two products an element.
    avx512bf16, multiply_adds_avx512bf16, features "avx512f,avx512bf16", lanes 16, rows 12, steps 2, products 2,
    _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
    |sum, x, y| _mm512_dpbf16_ps(sum, pairs(x), pairs(y))
}

/// The bits of a vector as pairs of bfloat16.
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
#[target_feature(enable = "avx512f")]
#[inline]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both are 512 bits that may be anything.
    unsafe { std::mem::transmute::<__m512, __m512bh>(x) }
}

#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
vector_kernels! {
    /// `MR` by 16 a panel on AVX2.
    avx2, multiply_adds_avx2, features "avx2,fma", lanes 8, rows 6, steps 4, products 1,
    _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
    |sum, x, y| _mm256_fmadd_ps(x, y, sum)
}

/// `MR` by 8 in plain Rust, for every other processor and for the f64 build.
///
/// # Safety
/// As [`tile`].
unsafe fn portable<const MR: usize>(
    a: *const Float,
    row: usize,
    column: usize,
    b: *const Float,
    k: usize,
    start: (*const Float, usize),
    c: (*mut Float, usize),
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
        // SAFETY: just detected; the rest is passed on.
        return unsafe { portable_fma::<MR>(a, row, column, b, k, start, c) };
    }
    // SAFETY: passed on from the caller.
    unsafe { portable_body::<MR>(a, row, column, b, k, start, c) }
}

/// The portable kernel compiled so that `mul_add` is one instruction.
///
/// # Safety
/// As [`tile`], with AVX2 and FMA present.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn portable_fma<const MR: usize>(
    a: *const Float,
    row: usize,
    column: usize,
    b: *const Float,
    k: usize,
    start: (*const Float, usize),
    c: (*mut Float, usize),
) {
    // SAFETY: passed on from the caller.
    unsafe { portable_body::<MR>(a, row, column, b, k, start, c) }
}

/// The loop that both portable kernels are compiled from.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn portable_body<const MR: usize>(
    a: *const Float,
    row: usize,
    column: usize,
    b: *const Float,
    k: usize,
    start: (*const Float, usize),
    c: (*mut Float, usize),
) {
    // SAFETY: the caller vouches for the extents.
    unsafe {
        let mut sum = [[0.0 as Float; 8]; MR];
        if !start.0.is_null() {
            for i in 0..MR {
                for j in 0..8 {
                    sum[i][j] = *start.0.add(i * start.1 + j);
                }
            }
        }
        for l in 0..k {
            let b = &*b.add(l * 8).cast::<[Float; 8]>();
            for i in 0..MR {
                let x = *a.add(i * row + l * column);
                for j in 0..8 {
                    sum[i][j] = x.mul_add(b[j], sum[i][j]);
                }
            }
        }
        for i in 0..MR {
            for j in 0..8 {
                *c.0.add(i * c.1 + j) = sum[i][j];
            }
        }
    }
}
