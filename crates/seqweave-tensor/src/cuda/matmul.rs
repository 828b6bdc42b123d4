//! Matrix products: `kernels/cu/gemm.cu` in f32, `kernels/cu/gemm_tensor.cu` with operands in bfloat16.
//!
//! In f32 an element is the same chain of fused multiply-adds as on the CPU, with the same bits.

use super::elementwise::grid;
use super::launch::{Ptr, PtrMut, flag, int};
use super::stream::Stream;
use super::{CudaBuffer, CudaDevice, launchers};
use crate::{Acc, Precision, Result, Tensor, TensorMut, Trans};

/// The launcher of a product kernel, for elements of type `T`.
type Kernel<T> = unsafe fn(
    &Stream,
    [u32; 3],
    u32,
    Ptr<T>,
    Ptr<T>,
    Ptr<f32>,
    PtrMut<f32>,
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
) -> Result<()>;

/// A kernel with the extents of its tiles, and the dynamic shared memory it wants.
struct Tile<T> {
    kernel: Kernel<T>,
    m: usize,
    n: usize,
    shared: u32,
}

/// `c (+)= op(a)·op(b)`; `[m, n, k]` are the extents of the product.
pub(crate) fn gemm(
    cuda: &CudaDevice,
    [m, n, k]: [usize; 3],
    a: &Tensor,
    ta: Trans,
    b: &Tensor,
    tb: Trans,
    acc: Acc,
    mut c: TensorMut<'_>,
) -> Result<()> {
    let right = Right::new(cuda, b, tb)?;
    let (stored, lda) = a.shape().rows_and_columns();
    debug_assert!(right.extents() == (k, n) && stored * lda == m * k);
    right.multiply(m, a.ptr()?, lda, ta, acc, c.ptr_mut()?)
}

/// The right-hand side of products, as the kernels of the device's precision take it.
pub(crate) struct Right<'a> {
    cuda: &'a CudaDevice,
    address: Ptr<f32>,
    /// Rows and columns as stored.
    stored: (usize, usize),
    tb: Trans,
    /// The operand in bfloat16, and elements from one row to the next.
    rounded: Option<(CudaBuffer, usize)>,
}

impl<'a> Right<'a> {
    pub(crate) fn new(cuda: &'a CudaDevice, b: &Tensor, tb: Trans) -> Result<Right<'a>> {
        let (address, stored) = (b.ptr()?, b.shape().rows_and_columns());
        let rounded = match cuda.precision() {
            // Parts in bfloat16 are a way of the CPU's; here f32 is f32.
            Precision::F32 | Precision::F32Fast => None,
            Precision::Bf16 => Some(round(cuda, address, stored)?),
        };
        Ok(Right { cuda, address, stored, tb, rounded })
    }

    /// Rows and columns of `op(b)`: K and N.
    fn extents(&self) -> (usize, usize) {
        match self.tb {
            Trans::N => self.stored,
            Trans::T => (self.stored.1, self.stored.0),
        }
    }

    /// `c (+)= op(a)·op(b)`, `op(a)`: `[m,K]` with rows `lda` elements apart as stored, `c`: `[m,N]`.
    pub(crate) fn multiply(
        &self,
        m: usize,
        a: Ptr<f32>,
        lda: usize,
        ta: Trans,
        acc: Acc,
        c: PtrMut<f32>,
    ) -> Result<()> {
        let (k, n) = self.extents();
        let extents = [m, n, k];
        let Some((b, ldb)) = &self.rounded else {
            let tile = self.tile_f32(m, n);
            return self.launch(tile, extents, (a, lda, ta), (self.address, self.stored.1), acc, c);
        };
        let stored = if ta == Trans::N { (m, k) } else { (k, m) };
        debug_assert_eq!(lda, stored.1, "an operand's rows lie one behind the other");
        let (a, lda) = round(self.cuda, a, stored)?;
        self.launch(self.tile_bf16(m, n), extents, (a.ptr(0)?, lda, ta), (b.ptr(0)?, *ldb), acc, c)
    }

    fn launch<T>(
        &self,
        tile: Tile<T>,
        [m, n, k]: [usize; 3],
        (a, lda, ta): (Ptr<T>, usize, Trans),
        (b, ldb): (Ptr<T>, usize),
        acc: Acc,
        c: PtrMut<f32>,
    ) -> Result<()> {
        let grid = [n.div_ceil(tile.n) as u32, m.div_ceil(tile.m) as u32, 1];
        let transposed = |t| i32::from(t == Trans::T);
        // SAFETY: the operands have the extents given, with rows that many elements apart; there is no bias.
        unsafe {
            (tile.kernel)(
                self.cuda.stream()?,
                grid,
                tile.shared,
                a,
                b,
                Ptr::null(),
                c,
                int(m)?,
                int(n)?,
                int(k)?,
                int(lda)?,
                int(ldb)?,
                int(n)?,
                transposed(ta),
                transposed(self.tb),
                flag(acc),
            )
        }
    }

    /// Large tiles reuse more of what they read, if there are enough of them to keep the device busy.
    fn tile_f32(&self, m: usize, n: usize) -> Tile<f32> {
        if m <= 32 {
            return Tile { kernel: launchers::gemm_f32_16x64, m: 16, n: 64, shared: 0 };
        }
        match self.fills(m.div_ceil(128) * n.div_ceil(128)) {
            true => Tile { kernel: launchers::gemm_f32_128x128, m: 128, n: 128, shared: 0 },
            false => Tile { kernel: launchers::gemm_f32_64x64, m: 64, n: 64, shared: 0 },
        }
    }

    fn tile_bf16(&self, m: usize, n: usize) -> Tile<u16> {
        match self.fills(m.div_ceil(128) * n.div_ceil(128)) {
            true => Tile { kernel: launchers::gemm_bf16_128x128, m: 128, n: 128, shared: 81_920 },
            false => Tile { kernel: launchers::gemm_bf16_64x64, m: 64, n: 64, shared: 40_960 },
        }
    }

    /// Whether so many blocks leave no multiprocessor without work.
    fn fills(&self, blocks: usize) -> bool {
        blocks >= self.cuda.inner().stream.multiprocessors() as usize
    }
}

/// `x: [rows, columns]` in bfloat16, with rows a multiple of eight elements apart.
fn round(cuda: &CudaDevice, x: Ptr<f32>, (rows, columns): (usize, usize)) -> Result<(CudaBuffer, usize)> {
    let ld = columns.next_multiple_of(8);
    let n = rows * ld;
    let mut rounded = cuda.alloc(n.div_ceil(2));
    let (stream, to) = (cuda.stream()?, rounded.ptr_mut(0)?);
    if n > 0 {
        // SAFETY: `x` has that many rows and columns, `rounded` room for `n` elements of two bytes.
        unsafe { launchers::round_to_bf16(stream, grid(n), 0, x, to, int(columns)?, int(ld)?, int(n)?)? };
    }
    Ok((rounded, ld))
}
