//! Matrix products: one function, any transposition, set or added.
//!
//! In f32 every output element is one chain of fused multiply-adds over `k = 0, 1, …, K-1`; with operands in bfloat16 the
//! order is another one, and as fixed. Neither blocking, packing, the number of rows nor the number of threads changes it,
//! so a row of the result never depends on the other rows.

use super::check;
use crate::cuda;
use crate::cuda::matmul::{Left, Right, Rounded, Start as CudaStart};
use crate::gemm::{self, Operand, Start};
use std::sync::{Arc, OnceLock};

use crate::{Acc, Device, Error, Result, Tensor, TensorMut, Trans};

/// `c (+)= op(a)·op(b)`, with `op(a): [M,K]`, `op(b): [K,N]`, `c: [M,N]`.
///
/// Leading axes of `a` and `c` are folded: with `Trans::N`, `a: [T,B,K]` counts as `[T·B,K]`; with `Trans::T` as the
/// transpose of that.
///
/// # Errors
/// [`Error::Shape`] if the extents do not fit.
pub fn gemm(a: &Tensor, ta: Trans, b: &Tensor, tb: Trans, acc: Acc, mut c: TensorMut<'_>) -> Result<()> {
    let (m, k) = extents(a, ta);
    let (kb, n) = extents(b, tb);
    if k != kb {
        return Err(mismatch(a, ta, b, tb));
    }
    check_result(&c, m, n)?;
    let (lda, ldb) = (a.shape().rows_and_columns().1, b.shape().rows_and_columns().1);
    match check::device("matrix product", b, &[a, &c])? {
        Device::Cpu(cpu) => {
            let a = Operand::new(a.cpu(), lda, ta);
            let packed = gemm::Packed::new(cpu, Operand::new(b.cpu(), ldb, tb), k, n);
            gemm::run(m, a, &packed, acc.into(), c.cpu_mut(), n);
            Ok(())
        }
        Device::Cuda(cuda) => cuda::matmul::gemm(cuda, a, ta, b, tb, acc.into(), c),
    }
}

/// `op(a)·op(b)`: `[M,K]·[K,N] → [M,N]`; leading axes of an untransposed `a` are kept.
///
/// # Errors
/// [`Error::Shape`] if the inner extents differ.
pub fn matmul(a: &Tensor, ta: Trans, b: &Tensor, tb: Trans) -> Result<Tensor> {
    let (m, n) = (extents(a, ta).0, extents(b, tb).1);
    let out = Tensor::try_build(a.device(), [m, n], |c| gemm(a, ta, b, tb, Acc::Set, c))?;
    keep_leading_axes(a, ta, out, n)
}

/// `y = x·wᵀ + b`, with `x: [..,K]`, `w: [M,K]`, `b: [M]`, `y: [..,M]`.
///
/// The chain of each element starts at its bias, so the bias costs no pass over `y`.
///
/// # Errors
/// [`Error::Shape`] if the extents do not fit.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    linear_packed(x, &PackedRhs::of_matrix(w, Trans::T, Rounded::default()), b)
}

/// The right-hand side of a product, laid out once for the matrix kernels and used many times.
///
/// A recurrent layer multiplies by the same weights at every time step, a decoder at every token: laying them out
/// each time would cost more than the product of a few rows. On a CUDA device the matrix stays as it lies; in bfloat16 a
/// copy is made when it is first wanted.
pub struct PackedRhs {
    layout: Layout,
    device: Device,
}

enum Layout {
    Cpu(gemm::Packed),
    Cuda(Right),
}

impl PackedRhs {
    /// Lays out `op(b): [K,N]`.
    ///
    /// # Errors
    /// [`Error::Rank`] unless `b` has two axes.
    pub fn new(b: &Tensor, tb: Trans) -> Result<PackedRhs> {
        let [_, _] = b.dims("packed right-hand side [K,N]")?;
        Ok(PackedRhs::of_matrix(b, tb, Rounded::default()))
    }

    /// [`PackedRhs::new`] of what is known to have two axes; on a CUDA device, with the place of its copy in bfloat16.
    fn of_matrix(b: &Tensor, tb: Trans, rounded: Rounded) -> PackedRhs {
        let (k, n) = extents(b, tb);
        let columns = b.shape().rows_and_columns().1;
        let layout = match b.device() {
            Device::Cpu(cpu) => Layout::Cpu(gemm::Packed::new(cpu, Operand::new(b.cpu(), columns, tb), k, n)),
            Device::Cuda(_) => Layout::Cuda(Right::new(b, tb, rounded)),
        };
        PackedRhs { layout, device: b.device().clone() }
    }

    /// The right-hand side on a CUDA device, where this is known to lie.
    pub(crate) fn right(&self) -> &Right {
        let Layout::Cuda(right) = &self.layout else { panic!("an operation looks at its devices first") };
        right
    }

    /// Rows of `op(b)`: the length of the sums.
    pub fn k(&self) -> usize {
        match &self.layout {
            Layout::Cpu(packed) => packed.k(),
            Layout::Cuda(right) => right.extents().0,
        }
    }

    /// Columns of `op(b)`: the width of the result.
    pub fn n(&self) -> usize {
        match &self.layout {
            Layout::Cpu(packed) => packed.n(),
            Layout::Cuda(right) => right.extents().1,
        }
    }

    /// `c = start + a·op(b)` on host slices: `m` rows of `a`, `lda` elements apart, to rows of `c`, `ldc` apart.
    pub(crate) fn multiply(
        &self,
        m: usize,
        a: &[crate::Float],
        lda: usize,
        start: Start<'_>,
        c: &mut [crate::Float],
        ldc: usize,
    ) {
        gemm::run(m, Operand::new(a, lda, Trans::N), self.panels(), start, c, ldc);
    }

    /// The panels on the CPU.
    pub(crate) fn panels(&self) -> &gemm::Packed {
        let Layout::Cpu(packed) = &self.layout else { panic!("an operation looks at its devices first") };
        packed
    }
}

impl check::Placed for PackedRhs {
    fn place(&self) -> &Device {
        &self.device
    }
}

/// A weight `w: [M,K]` with the layouts that products with it want, each made when it is first asked for.
///
/// A training step multiplies by a weight at every time step, forward as `x·wᵀ` and backward as `dy·w`; between two
/// updates nothing changes it. Clones share the layouts.
#[derive(Clone)]
pub struct Weight {
    shared: Arc<Shared>,
    /// `wᵀ`; without it, `shared` has one.
    transposed: Option<Arc<OnceLock<PackedRhs>>>,
}

struct Shared {
    value: Tensor,
    plain: OnceLock<PackedRhs>,
    transposed: OnceLock<PackedRhs>,
    /// The copy in bfloat16 that all share on a CUDA device.
    rounded: Rounded,
}

impl Weight {
    /// Takes a view of `w`; nothing is laid out yet.
    ///
    /// # Errors
    /// [`Error::Rank`] unless `w` has two axes.
    pub fn new(w: &Tensor) -> Result<Weight> {
        let [_, _] = w.dims("weight [M,K]")?;
        let (plain, transposed) = (OnceLock::new(), OnceLock::new());
        let shared = Shared { value: w.clone(), plain, transposed, rounded: Rounded::default() };
        Ok(Weight { shared: Arc::new(shared), transposed: Some(Arc::default()) })
    }

    /// The same for a backward pass: it shares `w` and does not keep `wᵀ`, which goes with the last weight that holds it.
    pub fn for_backward(&self) -> Weight {
        Weight { shared: self.shared.clone(), transposed: None }
    }

    /// Lets go of `wᵀ`, which is made anew when it is next asked for.
    pub fn drop_transposed(&mut self) {
        self.transposed = Some(Arc::default());
    }

    /// The matrix itself.
    pub fn value(&self) -> &Tensor {
        &self.shared.value
    }

    /// `wᵀ: [K,M]`, for `x·wᵀ`.
    pub fn transposed(&self) -> &PackedRhs {
        let Shared { value, transposed, rounded, .. } = &*self.shared;
        made_once(self.transposed.as_deref().unwrap_or(transposed), || {
            PackedRhs::of_matrix(value, Trans::T, rounded.clone())
        })
    }

    /// `w: [M,K]`, for `dy·w`.
    pub fn plain(&self) -> &PackedRhs {
        let Shared { value, plain, rounded, .. } = &*self.shared;
        made_once(plain, || PackedRhs::of_matrix(value, Trans::N, rounded.clone()))
    }
}

/// What `cell` holds, made first if need be.
///
/// It is made before the cell is locked: making it is a parallel loop, and a thread that waits for one may run another
/// search or step meanwhile, which asks this very cell. Two threads may make it at once; one copy is kept.
fn made_once(cell: &OnceLock<PackedRhs>, make: impl FnOnce() -> PackedRhs) -> &PackedRhs {
    if let Some(made) = cell.get() {
        return made;
    }
    let made = make();
    cell.get_or_init(|| made)
}

/// `c (+)= a·b` with `b: [K,N]` packed; `a: [..,K]`, `c: [..,N]`.
///
/// # Errors
/// [`Error::Shape`] if the extents do not fit.
pub fn gemm_packed(a: &Tensor, b: &PackedRhs, acc: Acc, mut c: TensorMut<'_>) -> Result<()> {
    let (m, k) = extents(a, Trans::N);
    if k != b.k() {
        let found = format!("a {} (K = {k})", a.shape());
        return Err(Error::shape("packed matrix product", format!("K = {}", b.k()), found));
    }
    check_result(&c, m, b.n())?;
    check::device("packed matrix product", a, &[b, &c])?;
    match &b.device {
        Device::Cpu(_) => b.multiply(m, a.cpu(), k, acc.into(), c.cpu_mut(), b.n()),
        Device::Cuda(cuda) => {
            b.right().multiply(cuda, m, Left::of(a, Trans::N)?, acc.into(), c.ptr_mut()?)?
        }
    }
    Ok(())
}

/// `a·b` with `b: [K,N]` packed: `[..,K] → [..,N]`.
///
/// # Errors
/// [`Error::Shape`] if the inner extents differ.
pub fn matmul_packed(a: &Tensor, b: &PackedRhs) -> Result<Tensor> {
    let m = extents(a, Trans::N).0;
    let out = Tensor::try_build(a.device(), [m, b.n()], |c| gemm_packed(a, b, Acc::Set, c))?;
    keep_leading_axes(a, Trans::N, out, b.n())
}

/// [`linear`] with `w` packed: `PackedRhs::new(w, Trans::T)`, laid out once for many calls. The same bits.
///
/// # Errors
/// As [`linear`].
pub fn linear_packed(x: &Tensor, w: &PackedRhs, b: Option<&Tensor>) -> Result<Tensor> {
    let n = extents(x, Trans::N).0;
    let out = Tensor::try_build(x.device(), [n, w.n()], |y| linear_packed_into(x, w, b, y))?;
    keep_leading_axes(x, Trans::N, out, w.n())
}

/// [`linear_packed`] into `y: [..,M]`.
///
/// # Errors
/// As [`linear`].
pub(crate) fn linear_packed_into(
    x: &Tensor,
    w: &PackedRhs,
    b: Option<&Tensor>,
    mut y: TensorMut<'_>,
) -> Result<()> {
    let (n, k) = extents(x, Trans::N);
    if k != w.k() {
        let expected = format!("x of {} columns for a weight [{}, {}]", w.k(), w.n(), w.k());
        return Err(Error::shape("linear", expected, x.shape().to_string()));
    }
    let Some(b) = b else { return gemm_packed(x, w, Acc::Set, y) };
    check::shape("linear", "a bias", [w.n()], b.shape())?;
    check_result(&y, n, w.n())?;
    match check::device("linear", x, &[w, b, &y])? {
        Device::Cpu(_) => w.multiply(n, x.cpu(), k, Start::Row(b.cpu()), y.cpu_mut(), w.n()),
        Device::Cuda(cuda) => {
            w.right().multiply(cuda, n, Left::of(x, Trans::N)?, CudaStart::Bias(b), y.ptr_mut()?)?;
        }
    }
    Ok(())
}

/// Rows and columns of `op(x)`, leading axes folded.
fn extents(x: &Tensor, trans: Trans) -> (usize, usize) {
    let (rows, columns) = x.shape().rows_and_columns();
    match trans {
        Trans::N => (rows, columns),
        Trans::T => (columns, rows),
    }
}

fn keep_leading_axes(a: &Tensor, ta: Trans, out: Tensor, n: usize) -> Result<Tensor> {
    match ta {
        Trans::N if !a.shape().is_empty() => out.reshape(check::with_last(a.shape(), n)),
        _ => Ok(out),
    }
}

fn check_result(c: &TensorMut<'_>, m: usize, n: usize) -> Result<()> {
    if c.shape().rows_and_columns() == (m, n) || (c.numel() == 0 && m * n == 0) {
        return Ok(());
    }
    Err(Error::shape("matrix product", format!("a result of shape [{m}, {n}]"), c.shape().to_string()))
}

fn mismatch(a: &Tensor, ta: Trans, b: &Tensor, tb: Trans) -> Error {
    let mark = |t| if t == Trans::T { "ᵀ" } else { "" };
    let found = format!("a{} {} times b{} {}", mark(ta), a.shape(), mark(tb), b.shape());
    Error::shape("matrix product", "equal inner extents", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;

    fn wave(shape: [usize; 2], phase: Float) -> Tensor {
        let data = (0..shape[0] * shape[1]).map(|i| (i as Float * 0.37 + phase).sin()).collect();
        Tensor::from_vec(&Device::cpu(), data, shape).unwrap()
    }

    /// The promise in code: one chain of fused multiply-adds an element, in order.
    fn naive(a: &Tensor, ta: Trans, b: &Tensor, tb: Trans, start: Option<&Tensor>) -> Vec<Float> {
        let (m, k) = extents(a, ta);
        let n = extents(b, tb).1;
        let at = |x: &Tensor, trans, i, j| match trans {
            Trans::N => x.cpu()[i * x.shape()[1] + j],
            Trans::T => x.cpu()[j * x.shape()[1] + i],
        };
        let mut c = start.map_or(vec![0.0; m * n], Tensor::to_vec);
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    c[i * n + j] = at(a, ta, i, l).mul_add(at(b, tb, l, j), c[i * n + j]);
                }
            }
        }
        c
    }

    #[test]
    fn every_transposition_and_odd_size_equals_the_naive_chain_bit_for_bit() {
        for (m, n, k) in [
            (1, 1, 1),
            (1, 33, 7),
            (13, 31, 300),
            (7, 65, 1),
            (64, 96, 64),
            (25, 100, 257),
            (3, 1, 513),
            (200, 40, 800),
            (97, 65, 769),
        ] {
            for (ta, tb) in
                [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)]
            {
                let a = wave(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1);
                let b = wave(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7);
                let got = matmul(&a, ta, &b, tb).unwrap();
                assert_eq!(got.to_vec(), naive(&a, ta, &b, tb, None), "{m}x{n}x{k} {ta:?}{tb:?}");
                let mut c = wave([m, n], 2.0);
                let want = naive(&a, ta, &b, tb, Some(&c));
                gemm(&a, ta, &b, tb, Acc::Add, c.view_mut().unwrap()).unwrap();
                assert_eq!(c.to_vec(), want, "added {m}x{n}x{k} {ta:?}{tb:?}");
            }
        }
    }

    #[test]
    fn a_linear_layer_starts_its_chains_at_the_bias() {
        let (x, w, b) = (wave([6, 30], 0.1), wave([7, 30], 0.7), wave([1, 7], 0.3).reshape([7]).unwrap());
        let rows: Vec<Float> = (0..6).flat_map(|_| b.to_vec()).collect();
        let start = Tensor::from_vec(&Device::cpu(), rows, [6, 7]).unwrap();
        let (packed, folded) = (PackedRhs::new(&w, Trans::T).unwrap(), x.reshape([2, 3, 30]).unwrap());
        for got in [linear(&folded, &w, Some(&b)), linear_packed(&folded, &packed, Some(&b))] {
            let got = got.unwrap();
            assert_eq!(got.shape()[..], [2, 3, 7]);
            assert_eq!(got.to_vec(), naive(&x, Trans::N, &w, Trans::T, Some(&start)));
        }
        for without in [linear(&x, &w, None), linear_packed(&x, &packed, None)] {
            assert_eq!(without.unwrap().to_vec(), naive(&x, Trans::N, &w, Trans::T, None));
        }
        let message = linear(&x, &w, Some(&x)).unwrap_err().to_string();
        assert_eq!(message, "linear: expected a bias of shape [7], found [6, 30]");
        assert!(linear(&w, &wave([7, 29], 0.0), Some(&b)).is_err());
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (a, b) = (wave([29, 130], 0.3), wave([130, 71], 0.9));
        let want = naive(&a, Trans::N, &b, Trans::N, None);
        for &isa in gemm::Isa::available() {
            let mut c = vec![Float::NAN; 29 * 71];
            let Device::Cpu(cpu) = a.device() else { panic!("it is the CPU") };
            let packed =
                gemm::Packed::of(isa, gemm::Format::F32, cpu, Operand::new(b.cpu(), 71, Trans::N), 130, 71);
            gemm::run(29, Operand::new(a.cpu(), 130, Trans::N), &packed, Start::Zero, &mut c, 71);
            assert_eq!(c, want, "{isa:?}");
        }
    }

    /// Sums in f64 over operands rounded to eight significant bits.
    #[cfg(not(seqweave_f64))]
    #[test]
    fn bf16_products_are_those_of_rounded_operands() {
        let eight = |x: Float| {
            let bits = x.to_bits();
            f64::from(f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000))
        };
        let bf16 = Device::cpu().with_precision(crate::Precision::Bf16);
        let on = |x: Tensor| Tensor::from_vec(&bf16, x.to_vec(), x.shape()).unwrap();
        for (m, n, k) in
            [(1, 1, 1), (1, 33, 7), (13, 31, 300), (7, 65, 1), (64, 96, 64), (25, 100, 1601), (200, 40, 800)]
        {
            for (ta, tb) in
                [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)]
            {
                let a = on(wave(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1));
                let b = on(wave(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7));
                let at = |x: &Tensor, trans, i: usize, j: usize| match trans {
                    Trans::N => eight(x.cpu()[i * x.shape()[1] + j]),
                    Trans::T => eight(x.cpu()[j * x.shape()[1] + i]),
                };
                let Device::Cpu(cpu) = &bf16 else { panic!("it is the CPU") };
                let ldb = b.shape()[1];
                // What this processor does, and what one without an instruction for it does.
                for format in
                    [gemm::Format::of(crate::Precision::Bf16, gemm::Isa::best()), gemm::Format::Rounded]
                {
                    let operand = Operand::new(b.cpu(), ldb, tb);
                    let packed = gemm::Packed::of(gemm::Isa::best(), format, cpu, operand, k, n);
                    let mut c = vec![0.5; m * n];
                    gemm::run(m, Operand::new(a.cpu(), a.shape()[1], ta), &packed, Start::Result, &mut c, n);
                    for (i, &got) in c.iter().enumerate() {
                        let products = (0..k).map(|l| at(&a, ta, i / n, l) * at(&b, tb, l, i % n));
                        let (want, size) = products.fold((0.5, 0.5), |(s, z), p| (s + p, z + p.abs()));
                        let error = (f64::from(got) - want).abs();
                        assert!(error < 2e-6 * size, "{format:?} {m}x{n}x{k} {ta:?}{tb:?}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn threads_and_company_change_nothing() {
        for precision in crate::Precision::ALL {
            let device = Device::cpu().with_precision(precision);
            let on = |x: Tensor| Tensor::from_vec(&device, x.to_vec(), x.shape()).unwrap();
            threads_and_company(on(wave([150, 201], 0.3)), on(wave([330, 201], 0.9)));
            threads_and_company(on(wave([700, 77], 0.3)), on(wave([90, 77], 0.9)));
        }
    }

    fn threads_and_company(a: Tensor, b: Tensor) {
        let want = matmul(&a, Trans::N, &b, Trans::T).unwrap().to_vec();
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| matmul(&a, Trans::N, &b, Trans::T).unwrap().to_vec());
            assert_eq!(got, want, "{threads} threads");
        }
        let packed = PackedRhs::new(&b, Trans::T).unwrap();
        let n = b.shape()[0];
        for row in [0, 77, a.shape()[0] - 1] {
            let alone = matmul_packed(&a.rows(row, row + 1).unwrap(), &packed).unwrap();
            assert_eq!(alone.to_vec(), want[row * n..(row + 1) * n], "row {row} alone");
        }
    }

    #[test]
    fn leading_axes_are_kept_and_empty_extents_allowed() {
        let a = wave([6, 4], 0.0).reshape([2, 3, 4]).unwrap();
        let b = wave([5, 4], 0.0);
        assert_eq!(matmul(&a, Trans::N, &b, Trans::T).unwrap().shape()[..], [2, 3, 5]);
        let empty = Tensor::zeros(&Device::cpu(), [0, 4]);
        assert_eq!(matmul(&empty, Trans::N, &b, Trans::T).unwrap().numel(), 0);
        let zero_k = matmul(
            &Tensor::zeros(&Device::cpu(), [2, 0]),
            Trans::N,
            &Tensor::zeros(&Device::cpu(), [0, 3]),
            Trans::N,
        );
        assert_eq!(zero_k.unwrap().to_vec(), [0.0; 6], "an empty sum is zero");
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let (a, b) = (wave([2, 3], 0.0), wave([4, 5], 0.0));
        let message = matmul(&a, Trans::N, &b, Trans::T).unwrap_err().to_string();
        assert_eq!(message, "matrix product: expected equal inner extents, found a [2, 3] times bᵀ [4, 5]");
        let mut c = wave([2, 2], 0.0);
        assert!(gemm(&a, Trans::N, &wave([3, 5], 0.0), Trans::N, Acc::Set, c.view_mut().unwrap()).is_err());
        assert!(matmul_packed(&a, &PackedRhs::new(&b, Trans::N).unwrap()).is_err());
    }
}
