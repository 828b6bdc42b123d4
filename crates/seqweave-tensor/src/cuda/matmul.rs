//! Matrix products: `kernels/cu/gemm.cu` in f32, `kernels/cu/gemm_tensor.cu` on tensor cores.
//!
//! In f32 an element is the same chain of fused multiply-adds as on the CPU, with the same bits. `f32-fast` splits operands
//! in two TF32 parts: an error like that of f32, and other last bits. A weight in bfloat16 is made once and kept.
//!
//! A product of a training step is made by cuBLASLt where it is found: see [`library`](super::library).

use super::elementwise::grid;
use super::launch::{Ptr, PtrMut, int};
use super::library::{Product, alignment};
use super::stream::Stream;
use super::{CudaBuffer, CudaDevice, launchers};
use crate::{Acc, Device, Precision, Result, Tensor, TensorMut, Trans};
use std::sync::{Arc, OnceLock};

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

/// Where the sums of a product start.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// At zero.
    Zero,
    /// At the bias of their column.
    Bias(&'a Tensor),
    /// At what the destination holds.
    There,
}

impl From<Acc> for Start<'_> {
    fn from(acc: Acc) -> Self {
        match acc {
            Acc::Set => Start::Zero,
            Acc::Add => Start::There,
        }
    }
}

/// The left-hand side of a product, as stored.
pub(crate) struct Left<T> {
    at: Ptr<T>,
    /// Elements from one row to the next.
    ld: usize,
    trans: Trans,
    /// Whether cuBLASLt may make the product.
    training: bool,
    /// Its copy in bfloat16.
    rounded: Rounded,
}

impl Left<f32> {
    /// `op(a)`.
    pub(crate) fn of(a: &Tensor, trans: Trans) -> Result<Left<f32>> {
        let training = matches!(a.device(), Device::Cuda(cuda) if cuda.is_training());
        let ld = a.shape().rows_and_columns().1;
        Ok(Left { at: a.ptr()?, ld, trans, training, rounded: Rounded::of_operand(a) })
    }

    /// `op(a)` of a matrix of a training step with `columns`, which is there in bfloat16 alone.
    pub(super) fn of_rounded(rounded: Rounded, columns: usize, trans: Trans) -> Left<f32> {
        Left { at: Ptr::null(), ld: columns, trans, training: true, rounded }
    }

    /// Rows of a walk in time, `ld` elements apart. Precisions that have walks in one launch keep to our kernels, so that a
    /// walk step by step is the same.
    pub(super) fn rows(cuda: &CudaDevice, at: Ptr<f32>, ld: usize) -> Left<f32> {
        let training = cuda.is_training() && cuda.precision() == Precision::F32;
        Left { at, ld, trans: Trans::N, training, rounded: Rounded::default() }
    }
}

/// `c (+)= op(a)·op(b)`.
pub(crate) fn gemm(
    cuda: &CudaDevice,
    a: &Tensor,
    ta: Trans,
    b: &Tensor,
    tb: Trans,
    start: Start<'_>,
    mut c: TensorMut<'_>,
) -> Result<()> {
    let right = Right::new(b, tb, Rounded::of_operand(b));
    let (rows, columns) = a.shape().rows_and_columns();
    let m = if ta == Trans::N { rows } else { columns };
    right.multiply(cuda, m, Left::of(a, ta)?, start, c.ptr_mut()?)
}

/// A matrix in bfloat16, and elements from one row to the next: made when a product first wants it. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Rounded(Arc<OnceLock<(CudaBuffer, usize)>>);

impl Rounded {
    /// A matrix that was made in bfloat16, with rows `ld` elements apart.
    pub(super) fn made(matrix: CudaBuffer, ld: usize) -> Rounded {
        Rounded(Arc::new(OnceLock::from((matrix, ld))))
    }

    /// That of `x` for the products of a step: forward and backward take it, and so it is made once.
    pub(super) fn of_operand(x: &Tensor) -> Rounded {
        match x.device() {
            Device::Cuda(cuda) if cuda.is_training() && cuda.precision() == Precision::Bf16 => {
                let ((rows, columns), (buffer, offset)) = (x.shape().rows_and_columns(), x.cuda_buffer());
                buffer.rounded([offset, rows, columns])
            }
            _ => Rounded::default(),
        }
    }

    /// Where it lies and its row length, of the matrix at `x` in f32 with these rows and columns.
    fn of(&self, cuda: &CudaDevice, x: Ptr<f32>, extents: (usize, usize)) -> Result<(Ptr<u16>, usize)> {
        let (made, ld) = match self.0.get() {
            Some(made) => made,
            None => {
                let made = round(cuda, x, extents)?;
                self.0.get_or_init(|| made)
            }
        };
        Ok((made.ptr(0)?, *ld))
    }
}

/// The right-hand side of products.
pub(crate) struct Right {
    b: Tensor,
    tb: Trans,
    rounded: Rounded,
}

impl Right {
    /// `op(b)`, with the place of its copy in bfloat16.
    pub(crate) fn new(b: &Tensor, tb: Trans, rounded: Rounded) -> Right {
        Right { b: b.clone(), tb, rounded }
    }

    /// The matrix as it lies.
    pub(crate) fn matrix(&self) -> &Tensor {
        &self.b
    }

    /// Rows and columns of `op(b)`: K and N.
    pub(crate) fn extents(&self) -> (usize, usize) {
        let (rows, columns) = self.b.shape().rows_and_columns();
        match self.tb {
            Trans::N => (rows, columns),
            Trans::T => (columns, rows),
        }
    }

    /// `c (+)= op(a)·op(b)`, `op(a)`: `[m,K]`, `c`: `[m,N]`; in the precision of `cuda`.
    pub(crate) fn multiply(
        &self,
        cuda: &CudaDevice,
        m: usize,
        a: Left<f32>,
        start: Start<'_>,
        c: PtrMut<f32>,
    ) -> Result<()> {
        let (k, n) = self.extents();
        let (extents, columns) = ([m, n, k], self.b.shape().rows_and_columns().1);
        match cuda.precision() {
            Precision::F32 => {
                let b = (self.b.ptr()?, columns);
                self.make(cuda, tile_f32(cuda, m, n), extents, a, b, start, c)
            }
            Precision::F32Fast => {
                let kernels = [
                    launchers::gemm_split_128x128 as Kernel<f32>,
                    launchers::gemm_split_64x64,
                    launchers::gemm_split_32x32,
                ];
                let b = (self.b.ptr()?, columns);
                // The library has nothing that keeps as many bits.
                let a = Left { training: false, ..a };
                self.make(cuda, tile_tensor(cuda, kernels, m, n), extents, a, b, start, c)
            }
            Precision::Bf16 => {
                let stored = if a.trans == Trans::N { (m, k) } else { (k, m) };
                debug_assert_eq!(a.ld, stored.1, "an operand's rows lie one behind the other");
                let (at, ld) = a.rounded.of(cuda, a.at, stored)?;
                let kernels = [
                    launchers::gemm_bf16_128x128 as Kernel<u16>,
                    launchers::gemm_bf16_64x64,
                    launchers::gemm_bf16_32x32,
                ];
                let a = Left { at, ld, trans: a.trans, training: a.training, rounded: a.rounded };
                let b = self.rounded.of(cuda, self.b.ptr()?, self.b.shape().rows_and_columns())?;
                self.make(cuda, tile_tensor(cuda, kernels, m, n), extents, a, b, start, c)
            }
        }
    }

    /// The product by cuBLASLt, where it may and can, else by the kernel of `tile`.
    fn make<T>(
        &self,
        cuda: &CudaDevice,
        tile: Tile<T>,
        [m, n, k]: [usize; 3],
        a: Left<T>,
        (b, ldb): (Ptr<T>, usize),
        start: Start<'_>,
        c: PtrMut<f32>,
    ) -> Result<()> {
        if a.training && m > 0 && n > 0 && k > 0 {
            let (ta, tb, bf16) = (a.trans, self.tb, size_of::<T>() == 2);
            let bias = if let Start::Bias(bias) = start { bias.ptr()?.address() } else { 0 };
            // No bias is aligned to everything, as the address 0 is.
            let of_c = alignment(c.address() | bias);
            let aligned = [alignment(a.at.address()), alignment(b.address()), of_c];
            let product = Product { m, n, k, lda: a.ld, ldb, ta, tb, bf16, bias: bias != 0, aligned };
            let places = [a.at.address(), b.address(), bias, c.address()];
            // SAFETY: the operands have the extents given, with rows that many elements apart; a bias has N elements.
            if unsafe { cuda.stream()?.product(product, places, matches!(start, Start::There))? } {
                return Ok(());
            }
        }
        let grid = [n.div_ceil(tile.n) as u32, m.div_ceil(tile.m) as u32, 1];
        let transposed = |t| i32::from(t == Trans::T);
        let (bias, add) = match start {
            Start::Zero => (Ptr::null(), 0),
            Start::Bias(bias) => (bias.ptr()?, 0),
            Start::There => (Ptr::null(), 1),
        };
        // SAFETY: the operands have the extents given, with rows that many elements apart; a bias has N elements.
        unsafe {
            (tile.kernel)(
                cuda.stream()?,
                grid,
                tile.shared,
                a.at,
                b,
                bias,
                c,
                int(m)?,
                int(n)?,
                int(k)?,
                int(a.ld)?,
                int(ldb)?,
                int(n)?,
                transposed(a.trans),
                transposed(self.tb),
                add,
            )
        }
    }
}

/// The first of the tiles, the largest first, that `m` rows fill and that are enough to keep the device busy; else the last.
///
/// Large tiles reuse more of what they read; with all of them, an element is the same sum.
fn choose<T, const N: usize>(
    cuda: &CudaDevice,
    mut tile: Tile<T>,
    smaller: [Tile<T>; N],
    m: usize,
    n: usize,
) -> Tile<T> {
    for next in smaller {
        if 2 * m > tile.m && fills(cuda, m.div_ceil(tile.m) * n.div_ceil(tile.n)) {
            break;
        }
        tile = next;
    }
    tile
}

fn tile_f32(cuda: &CudaDevice, m: usize, n: usize) -> Tile<f32> {
    let tile = |kernel, m, n| Tile { kernel, m, n, shared: 0 };
    let smaller = [
        tile(launchers::gemm_f32_64x64 as Kernel<f32>, 64, 64),
        tile(launchers::gemm_f32_16x64, 16, 64),
        tile(launchers::gemm_f32_16x32, 16, 32),
    ];
    choose(cuda, tile(launchers::gemm_f32_128x128, 128, 128), smaller, m, n)
}

/// For tensor cores, from kernels with tiles of 128×128, 64×64 and 32×32.
fn tile_tensor<T>(cuda: &CudaDevice, [large, middle, small]: [Kernel<T>; 3], m: usize, n: usize) -> Tile<T> {
    let tile = |kernel, size, shared| Tile { kernel, m: size, n: size, shared };
    let smaller = [tile(middle, 64, 40_960), tile(small, 32, 20_480)];
    choose(cuda, tile(large, 128, 81_920), smaller, m, n)
}

/// Whether so many blocks leave few multiprocessors without work.
fn fills(cuda: &CudaDevice, blocks: usize) -> bool {
    4 * blocks >= 3 * cuda.inner().stream.multiprocessors() as usize
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
