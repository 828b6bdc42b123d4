//! cuBLASLt for the products of training, where its library is found: `SEQWEAVE_GEMM=own|cublaslt`.
//!
//! The library sums in an order of its own that depends on all extents of a product, so a row's last bits depend on its
//! company. A training step may do with that and answers may not: what comes here has operands that were marked by
//! [`Tensor::in_training`](crate::Tensor::in_training). For each product, the first algorithm that the library proposes is
//! kept; workspace and kinds of reduction are fixed. So a training gives the same bits again, with the same library on the
//! same kind of card.
//!
//! The library thinks in columns: our row-major `c = op(a)·op(b)` is its `cᵀ = op(b)ᵀ·op(a)ᵀ`. So b goes first, each matrix
//! keeps its flag of transposition, and a bias a column of c is its bias a row of cᵀ.

use super::stream::Stream;
use crate::{Error, Result, Trans};
use cudarc::cublaslt::result::{self as lt, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The variable that chooses who makes the products of training.
const SWITCH: &str = "SEQWEAVE_GEMM";

/// Every entry of the library that is called.
const SYMBOLS: [&str; 13] = [
    "cublasLtGetVersion",
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmul",
];

/// The oldest library that is used, as it counts: 10,000·major + 100·minor + patch.
const OLDEST: usize = 120_000;

/// Bytes of memory on the device for algorithms that want some: what NVIDIA recommends for its newest cards.
const WORKSPACE: usize = 32 << 20;

/// What the environment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The library where it is found, our kernels otherwise.
    Nothing,
    Own,
    CublasLt,
}

/// What [`SWITCH`] says; empty counts as unset.
///
/// # Errors
/// [`Error::GemmSwitch`] for other words than it knows.
pub(crate) fn asked() -> Result<Asked> {
    match std::env::var_os(SWITCH).unwrap_or_default().to_str() {
        Some("") => Ok(Asked::Nothing),
        Some("own") => Ok(Asked::Own),
        Some("cublaslt") => Ok(Asked::CublasLt),
        _ => {
            let found = std::env::var_os(SWITCH).unwrap_or_default().to_string_lossy().into_owned();
            Err(Error::GemmSwitch { found })
        }
    }
}

/// The version of the library, after looking whether it is there, has what is called, and is young enough: `cudarc` would
/// panic at the first call.
pub(super) fn find() -> std::result::Result<usize, String> {
    // SAFETY: opening the library runs its initialisers, as in every program that uses it.
    if !unsafe { sys::is_culib_present() } {
        return Err("no cuBLASLt library was found".to_owned());
    }
    for symbol in SYMBOLS {
        // SAFETY: the library is present, and the symbol is looked up, not called.
        if unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err() {
            return Err(format!("the cuBLASLt library lacks {symbol}, so it is a stub or too old"));
        }
    }
    // SAFETY: the symbol is there, and takes nothing.
    let version = unsafe { sys::cublasLtGetVersion() };
    if version < OLDEST {
        let (found, wanted) = (in_words(version), OLDEST / 10_000);
        return Err(format!("the cuBLASLt library is of version {found}, {wanted} or later is needed"));
    }
    Ok(version)
}

fn in_words(version: usize) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

/// The library at work on one stream.
pub(super) struct Library {
    handle: Arc<Handle>,
    version: usize,
    workspace: u64,
    /// One a product; `None` if the library has no algorithm for it.
    plans: Mutex<HashMap<Product, Option<Arc<Plan>>>>,
    /// Products that it made, or is going to.
    made: AtomicU64,
}

struct Handle(sys::cublasLtHandle_t);

// SAFETY: the library allows calls with one handle from several threads.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was created here and is destroyed once.
        let _ = unsafe { lt::destroy_handle(self.0) };
    }
}

/// All that an algorithm is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Product {
    /// `op(a): [m,k]`, `op(b): [k,n]`, `c: [m,n]` in f32.
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Elements from one row to the next, as stored.
    pub(super) lda: usize,
    pub(super) ldb: usize,
    pub(super) ta: Trans,
    pub(super) tb: Trans,
    /// Whether operands are in bfloat16; else in f32.
    pub(super) bf16: bool,
    /// Whether a bias is added to every row.
    pub(super) bias: bool,
    /// Bytes that the addresses of a, b and c are multiples of, at most 16; a bias counts with c.
    pub(super) aligned: [u8; 3],
}

/// What the addresses are multiples of, as an algorithm cares.
pub(super) fn alignment(address: u64) -> u8 {
    1 << address.trailing_zeros().min(4)
}

impl Library {
    /// The library on the device of `stream`; the context is current.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn open(stream: &Stream) -> std::result::Result<Library, String> {
        let version = find()?;
        let handle = lt::create_handle().map_err(|error| format!("cuBLASLt does not start: {error}"))?;
        let handle = Arc::new(Handle(handle));
        let workspace = stream.allocate(WORKSPACE).map_err(|error| format!("its workspace: {error}"))?;
        Ok(Library { handle, version, workspace, plans: Mutex::default(), made: AtomicU64::new(0) })
    }

    /// Its name and version.
    pub(super) fn describe(&self) -> String {
        format!("cuBLASLt {}", in_words(self.version))
    }

    /// Products that it made, or is going to.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Where its workspace lies, to be given back by who allocated it.
    pub(super) fn workspace(&self) -> u64 {
        self.workspace
    }

    /// How `product` is made; `None` if the library cannot. No extent is zero.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn plan(&self, product: Product) -> Result<Option<Arc<Plan>>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&product) {
            self.made.fetch_add(u64::from(plan.is_some()), Ordering::Relaxed);
            return Ok(plan.clone());
        }
        let plan = Plan::new(self.handle.clone(), self.workspace, &product)
            .map_err(|error| Error::Cuda { what: "cuBLASLt", reason: format!("{error} for {product:?}") })?
            .map(Arc::new);
        self.made.fetch_add(u64::from(plan.is_some()), Ordering::Relaxed);
        plans.insert(product, plan.clone());
        Ok(plan)
    }
}

/// A product as the library wants it described, and its algorithm.
pub(super) struct Plan {
    handle: Arc<Handle>,
    description: Description,
    /// Of bᵀ, aᵀ and cᵀ.
    layouts: [Layout; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: u64,
    bias: bool,
}

// SAFETY: descriptions and layouts belong to the plan and are used by one thread at a time, under the lock around the queue.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

struct Description(sys::cublasLtMatmulDesc_t);

impl Description {
    fn set<T>(
        &self,
        which: sys::cublasLtMatmulDescAttributes_t,
        value: &T,
    ) -> std::result::Result<(), CublasError> {
        // SAFETY: the description lives, and the value is copied before the call returns.
        unsafe {
            lt::set_matmul_desc_attribute(self.0, which, std::ptr::from_ref(value).cast(), size_of::<T>())
        }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: it was created here and is destroyed once.
        let _ = unsafe { lt::destroy_matmul_desc(self.0) };
    }
}

struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    /// Of what lies row-major with so many rows and columns, rows `ld` elements apart: in columns, its transpose.
    fn of(
        kind: sys::cudaDataType,
        rows: usize,
        columns: usize,
        ld: usize,
    ) -> std::result::Result<Layout, CublasError> {
        lt::create_matrix_layout(kind, columns as u64, rows as u64, ld as i64).map(Layout)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it was created here and is destroyed once.
        let _ = unsafe { lt::destroy_matrix_layout(self.0) };
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn set<T>(
        &self,
        which: sys::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> std::result::Result<(), CublasError> {
        // SAFETY: the preference lives, and the value is copied before the call returns.
        unsafe {
            lt::set_matmul_pref_attribute(self.0, which, std::ptr::from_ref(value).cast(), size_of::<T>())
        }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it was created here and is destroyed once.
        let _ = unsafe { lt::destroy_matmul_pref(self.0) };
    }
}

impl Plan {
    /// Describes `product` and asks for its algorithm; `None` if there is none.
    fn new(
        handle: Arc<Handle>,
        workspace: u64,
        product: &Product,
    ) -> std::result::Result<Option<Plan>, CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preferred;
        let &Product { m, n, k, lda, ldb, ta, tb, bf16, bias, aligned } = product;
        let operand = if bf16 { sys::cudaDataType::CUDA_R_16BF } else { sys::cudaDataType::CUDA_R_32F };
        let f32 = sys::cudaDataType::CUDA_R_32F;

        let description =
            Description(lt::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, f32)?);
        // CUBLAS_OP_N is 0 and CUBLAS_OP_T is 1.
        let flag = |trans| i32::from(trans == Trans::T);
        description.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &flag(tb))?;
        description.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, &flag(ta))?;
        if bias {
            let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            description.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
            description.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &f32)?;
            // Every call says where its bias lies; whoever proposes an algorithm may want to see that there is one.
            description.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &workspace)?;
        }
        let stored = |trans, rows, columns| if trans == Trans::N { (rows, columns) } else { (columns, rows) };
        let (b, a) = (stored(tb, k, n), stored(ta, m, k));
        let layouts = [
            Layout::of(operand, b.0, b.1, ldb)?,
            Layout::of(operand, a.0, a.1, lda)?,
            Layout::of(f32, m, n, n)?,
        ];

        let preference = Preference(lt::create_matmul_pref()?);
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
        // Parts of a sum are kept in f32 and added in order.
        let reductions = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions)?;
        let [of_a, of_b, of_c] = aligned.map(u32::from);
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &of_b)?;
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &of_a)?;
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &of_c)?;
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &of_c)?;
        // SAFETY: all of them live.
        let found = unsafe {
            let [first, second, result] = layouts.each_ref().map(|layout| layout.0);
            lt::get_matmul_algo_heuristic(
                handle.0,
                description.0,
                first,
                second,
                result,
                result,
                preference.0,
            )
        };
        let algorithm = match found {
            Ok(found) => found.algo,
            Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Plan { handle, description, layouts, algorithm, workspace, bias }))
    }
}

/// A product that is going to be made: where its operands lie.
pub(super) struct Call {
    pub(super) plan: Arc<Plan>,
    pub(super) a: u64,
    pub(super) b: u64,
    /// 0 without one.
    pub(super) bias: u64,
    pub(super) c: u64,
    /// Whether c is added to, rather than overwritten.
    pub(super) add: bool,
}

impl Call {
    /// A number for what cannot change when a graph is brought up to date.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.plan) as usize
    }

    /// Hands it to the library.
    ///
    /// # Safety
    /// The context is current, the stream is of this context, nobody else issues a call of this plan meanwhile, and the
    /// matrices lie where the call says, as large as the plan says and as aligned.
    pub(super) unsafe fn issue(&self, stream: driver::sys::CUstream) -> std::result::Result<(), CublasError> {
        let Plan { handle, description, layouts, algorithm, workspace, bias } = &*self.plan;
        if *bias {
            let which = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
            description.set(which, &self.bias)?;
        }
        let (alpha, beta) = (1.0f32, if self.add { 1.0f32 } else { 0.0 });
        let [first, second, result] = layouts.each_ref().map(|layout| layout.0);
        let (c, number) = (self.c as *mut c_void, |x: &f32| std::ptr::from_ref(x).cast::<c_void>());
        // SAFETY: the caller's promise; the two factors are read before the call returns.
        unsafe {
            lt::matmul(
                handle.0,
                description.0,
                number(&alpha),
                number(&beta),
                self.b as *const c_void,
                first,
                self.a as *const c_void,
                second,
                c,
                result,
                c,
                result,
                algorithm,
                *workspace as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        }
    }
}

#[cfg(test)]
mod tests;
