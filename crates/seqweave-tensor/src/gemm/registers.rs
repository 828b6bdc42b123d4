//! Tile registers: eight small matrices that one instruction multiplies, as AMX has them, and a twin in plain Rust.
//!
//! The product in [`super::tiled`] is written once over [`Registers`]. The twin does what the manual says the instructions
//! do, bit for bit, so that everything but the five instructions themselves is tested on any machine.
//! (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS.)

use crate::Float;

/// Rows of a register.
pub(super) const ROWS: usize = 16;

/// Elements of 32 bits in a row of a register: f32 of a sum, pairs of bfloat16 of an operand.
pub(super) const COLUMNS: usize = 16;

/// Eight registers of [`ROWS`] by [`COLUMNS`], numbered by the constants of the methods. Strides are in elements.
pub(super) trait Registers {
    /// The registers of the calling thread, from now until they are dropped.
    ///
    /// # Safety
    /// The processor has them, the system lets this process use them, and no other `Self` lives on this thread.
    unsafe fn open() -> Self;

    /// Register `T` = 0.
    fn zero<const T: usize>(&mut self);

    /// Register `T` = rows at `from`, `stride` apart.
    ///
    /// # Safety
    /// [`ROWS`] rows of [`COLUMNS`] elements may be read there.
    unsafe fn load<const T: usize>(&mut self, from: *const Float, stride: usize);

    /// Rows at `to`, `stride` apart, = register `T`.
    ///
    /// # Safety
    /// [`ROWS`] rows of [`COLUMNS`] elements may be written there.
    unsafe fn store<const T: usize>(&mut self, to: *mut Float, stride: usize);

    /// `C += A·B` of pairs of bfloat16: row `i` of `A` holds 32 of k, row `s` of `B` the k of `2s` and `2s + 1`.
    fn multiply_add<const C: usize, const A: usize, const B: usize>(&mut self);
}

/// The registers of the processor.
#[cfg(target_arch = "x86_64")]
pub(super) struct Amx(());

/// No other processor has them, and [`super::amx::open`] says so before anybody asks for these.
#[cfg(not(target_arch = "x86_64"))]
pub(super) type Amx = Twin;

#[cfg(target_arch = "x86_64")]
mod amx {
    use super::{Amx, COLUMNS, Float, ROWS, Registers};
    use std::arch::asm;

    /// What `ldtilecfg` reads: palette 1, then bytes a row and rows of each register.
    #[repr(C, align(64))]
    struct Shapes([u8; 64]);

    const SHAPES: Shapes = {
        let mut shapes = [0; 64];
        shapes[0] = 1;
        let mut t = 0;
        while t < 8 {
            shapes[16 + 2 * t] = 4 * COLUMNS as u8;
            shapes[48 + t] = ROWS as u8;
            t += 1;
        }
        Shapes(shapes)
    };

    // The compiler neither uses nor keeps tile registers, so what one instruction leaves in them the next one finds; each
    // `asm!` is volatile, which keeps their order.
    impl Registers for Amx {
        #[inline(always)]
        unsafe fn open() -> Self {
            // SAFETY: the caller vouches for the instruction; the operand is 64 bytes of a valid configuration.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, readonly, preserves_flags)) };
            Amx(())
        }

        #[inline(always)]
        fn zero<const T: usize>(&mut self) {
            // SAFETY: there is an `Amx`, so the registers are configured; it is a register of ours.
            unsafe { asm!("tilezero tmm{t}", t = const T, options(nostack, nomem, preserves_flags)) };
        }

        #[inline(always)]
        unsafe fn load<const T: usize>(&mut self, from: *const Float, stride: usize) {
            // SAFETY: as in `zero`; the caller vouches for the rows.
            unsafe {
                asm!("tileloadd tmm{t}, [{from} + {stride}*1]", t = const T, from = in(reg) from,
                    stride = in(reg) 4 * stride, options(nostack, readonly, preserves_flags));
            }
        }

        #[inline(always)]
        unsafe fn store<const T: usize>(&mut self, to: *mut Float, stride: usize) {
            // SAFETY: as in `zero`; the caller vouches for the rows.
            unsafe {
                asm!("tilestored [{to} + {stride}*1], tmm{t}", t = const T, to = in(reg) to,
                    stride = in(reg) 4 * stride, options(nostack, preserves_flags));
            }
        }

        #[inline(always)]
        fn multiply_add<const C: usize, const A: usize, const B: usize>(&mut self) {
            // SAFETY: as in `zero`.
            unsafe {
                asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                    options(nostack, nomem, preserves_flags));
            }
        }
    }

    impl Drop for Amx {
        #[inline(always)]
        fn drop(&mut self) {
            // SAFETY: the registers were configured. Released ones cost nothing when the system switches threads.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }
}

/// The same registers in memory.
pub(super) struct Twin {
    registers: [[[u32; COLUMNS]; ROWS]; 8],
}

impl Registers for Twin {
    unsafe fn open() -> Self {
        Twin { registers: [[[0; COLUMNS]; ROWS]; 8] }
    }

    fn zero<const T: usize>(&mut self) {
        self.registers[T] = [[0; COLUMNS]; ROWS];
    }

    unsafe fn load<const T: usize>(&mut self, from: *const Float, stride: usize) {
        for (i, row) in self.registers[T].iter_mut().enumerate() {
            // SAFETY: the caller vouches for the rows.
            *row = unsafe { from.add(i * stride).cast::<[u32; COLUMNS]>().read_unaligned() };
        }
    }

    unsafe fn store<const T: usize>(&mut self, to: *mut Float, stride: usize) {
        for (i, row) in self.registers[T].iter().enumerate() {
            // SAFETY: the caller vouches for the rows.
            unsafe { to.add(i * stride).cast::<[u32; COLUMNS]>().write_unaligned(*row) };
        }
    }

    /// Two chains of fused multiply-adds an element, one over even k and one over odd k, both from zero; their sum is
    /// added to `C`. Each result is rounded to nearest, ties to even, and subnormal numbers are zeros going in and out.
    fn multiply_add<const C: usize, const A: usize, const B: usize>(&mut self) {
        let halves = |pair: u32| [pair << 16, pair & 0xffff_0000].map(|bits| normal(f32::from_bits(bits)));
        let (a, b) = (self.registers[A], self.registers[B].map(|row| row.map(halves)));
        for (sums, a) in self.registers[C].iter_mut().zip(a) {
            let mut chains = [[0.0f32; 2]; COLUMNS];
            for (x, b) in a.into_iter().map(halves).zip(&b) {
                for (chain, y) in chains.iter_mut().zip(b) {
                    *chain = [0, 1].map(|half| normal(x[half].mul_add(y[half], chain[half])));
                }
            }
            for (sum, [even, odd]) in sums.iter_mut().zip(chains) {
                *sum = normal(normal(f32::from_bits(*sum)) + normal(even + odd)).to_bits();
            }
        }
    }
}

/// `x`, or a zero of its sign if it is subnormal.
fn normal(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[cfg(all(test, not(seqweave_f64)))]
mod tests {
    use super::*;

    /// A pair as an element: `low` in the low half.
    fn pair(low: f32, high: f32) -> f32 {
        f32::from_bits(low.to_bits() >> 16 | high.to_bits() & 0xffff_0000)
    }

    /// One element of `c + a·b` where only the first `pairs.len()` of k are not zero.
    fn element(c: f32, pairs: &[[f32; 4]]) -> f32 {
        let (mut a, mut b, mut sums) = ([0.0; 256], [0.0; 256], [0.0; 256]);
        for (s, &[a0, a1, b0, b1]) in pairs.iter().enumerate() {
            (a[3 * COLUMNS + s], b[s * COLUMNS + 5]) = (pair(a0, a1), pair(b0, b1));
        }
        sums[3 * COLUMNS + 5] = c;
        // SAFETY: each is a register's worth.
        unsafe {
            let mut twin = Twin::open();
            twin.load::<0>(sums.as_ptr(), COLUMNS);
            twin.load::<1>(a.as_ptr(), COLUMNS);
            twin.load::<2>(b.as_ptr(), COLUMNS);
            twin.multiply_add::<0, 1, 2>();
            twin.store::<0>(sums.as_mut_ptr(), COLUMNS);
        }
        sums[3 * COLUMNS + 5]
    }

    #[test]
    fn even_and_odd_k_are_chains_of_their_own() {
        let tiny = 2f32.powi(-24); // half of the last place at 1
        assert_eq!(
            element(1.0, &[[2.0, 3.0, 5.0, 7.0], [1.0, 1.0, 4.0, 0.5]]),
            1.0 + 10.0 + 21.0 + 4.0 + 0.5
        );
        // In one chain from the even product, both halves of a last place would be rounded away one by one; as chains of
        // their own, the two odd ones come together first.
        assert_eq!(element(0.0, &[[1.0, tiny, 1.0, 1.0], [0.0, tiny, 0.0, 1.0]]), 1.0 + 2.0 * tiny);
        assert_eq!(element(0.0, &[[1.0, 0.0, 1.0, 0.0], [tiny, 0.0, 1.0, 0.0], [tiny, 0.0, 1.0, 0.0]]), 1.0);
        // Products come together before they meet the sum.
        assert_eq!(element(1.0, &[[tiny, tiny, 1.0, 1.0]]), 1.0 + 2.0 * tiny);
    }

    #[test]
    fn subnormal_numbers_are_zeros_going_in_and_out() {
        let (least, under) = (f32::MIN_POSITIVE, f32::MIN_POSITIVE / 2.0);
        assert_eq!(element(0.0, &[[under, 0.0, 1.0, 0.0]]), 0.0, "an operand");
        assert_eq!(element(0.0, &[[least, 0.0, 0.5, 0.0]]), 0.0, "a product");
        assert_eq!(element(under, &[[least, 0.0, 1.0, 0.0]]), least, "a sum going in");
        assert_eq!(element(-1.5 * least, &[[least, 0.0, 1.0, 0.0]]), 0.0, "a sum going out");
        assert!(element(0.0, &[[f32::INFINITY, 0.0, 0.0, 0.0]]).is_nan());
    }
}
