//! A CUDA device: its stream, its memory pool, and what went wrong on it.

use super::buffer::{CudaBuffer, Pool};
use super::detect;
use super::jit;
use super::launch::{Ptr, PtrMut};
use super::queue::GraphReport;
use super::stream::Stream;
use crate::{Error, Precision, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A CUDA device. Cheap to clone; clones, and all that ask for the same number, share one stream and one memory pool.
#[derive(Clone)]
pub struct CudaDevice {
    inner: Arc<Inner>,
    precision: Precision,
    /// Whether products may be made by cuBLASLt, which gives a row other last bits in other company.
    training: bool,
}

/// What the clones share.
pub(super) struct Inner {
    ordinal: usize,
    pub(super) stream: Stream,
    pub(super) pool: Pool,
    /// Times that the host waited for values.
    reads: AtomicU64,
    /// What failed where no error could be returned.
    trouble: Mutex<Option<Error>>,
}

/// Compute capabilities of the GPUs on which `cargo xtask test kernels --device cuda` has passed.
const TESTED: &[(u32, u32)] = &[(9, 0)];

/// The devices that are in use, by number.
static OPEN: Mutex<Option<HashMap<usize, Weak<Inner>>>> = Mutex::new(None);

impl CudaDevice {
    /// Device number `ordinal`, products in f32.
    ///
    /// # Errors
    /// [`Error::NoCuda`] with the reason.
    pub(crate) fn open(ordinal: usize) -> Result<CudaDevice> {
        if cfg!(seqweave_f64) {
            let reason = "the f64 build, which exists for gradient checks, runs on the CPU".to_owned();
            return Err(Error::NoCuda { ordinal, reason });
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(inner) = open.get(&ordinal).and_then(Weak::upgrade) {
            return Ok(CudaDevice { inner, precision: Precision::F32, training: false });
        }
        let stream = Stream::new(detect::context(ordinal)?).map_err(|error| match error {
            Error::NoCuda { .. } => error,
            error => Error::NoCuda { ordinal, reason: error.to_string() },
        })?;
        // Kernels that are compiled here are for this very device; a wrong word in the switch shows at the first launch.
        if let Ok(false) = jit::wanted() {
            detect::images(stream.capability()).map_err(|reason| Error::NoCuda { ordinal, reason })?;
        }
        let inner = Arc::new(Inner {
            ordinal,
            stream,
            pool: Pool::default(),
            reads: AtomicU64::new(0),
            trouble: Mutex::new(None),
        });
        open.insert(ordinal, Arc::downgrade(&inner));
        Ok(CudaDevice { inner, precision: Precision::F32, training: false })
    }

    pub(crate) fn with_precision(self, precision: Precision) -> CudaDevice {
        CudaDevice { precision, ..self }
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The same device for the tensors of a training step.
    pub(crate) fn in_training(self) -> CudaDevice {
        CudaDevice { training: true, ..self }
    }

    /// Whether products of tensors with this value may be made by cuBLASLt.
    pub(super) fn is_training(&self) -> bool {
        self.training
    }

    /// Who makes the matrix products of training steps in f32 and bf16: cuBLASLt with its version, or our own kernels and
    /// why. All other products are always made by our own.
    ///
    /// # Errors
    /// [`Error::GemmSwitch`]; [`Error::NoCublasLt`] if it was asked for and cannot be used.
    pub fn training_products(&self) -> Result<String> {
        self.inner.stream.products()
    }

    /// Products that cuBLASLt made since the device was opened.
    pub fn products_by_library(&self) -> u64 {
        self.inner.stream.products_by_library()
    }

    /// Its number, from 0.
    pub fn ordinal(&self) -> usize {
        self.inner.ordinal
    }

    /// Its number and name in words: `cuda:0 (NVIDIA H100 80GB HBM3)`.
    pub(crate) fn describe(&self) -> String {
        format!("cuda:{} ({})", self.inner.ordinal, self.inner.stream.name())
    }

    /// Its kind in words, if the kernels have not been tested on one of its kind.
    pub(crate) fn untested(&self) -> Option<String> {
        let (major, minor) = self.inner.stream.capability();
        (!TESTED.contains(&(major, minor))).then(|| format!("a GPU of compute capability {major}.{minor}"))
    }

    /// Whether tensors of both may meet in one operation.
    pub(crate) fn is(&self, other: &CudaDevice) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Bytes that new tensors can take.
    pub(crate) fn available_memory(&self) -> u64 {
        let free = self.inner.stream.free_memory().unwrap_or_else(|error| {
            self.remember(error);
            0
        });
        (free + self.inner.pool.bytes()) as u64
    }

    /// Times that the host waited for values since the device was opened.
    pub(crate) fn host_reads(&self) -> u64 {
        self.inner.reads.load(Ordering::Relaxed)
    }

    /// Runs `work`, whose launches go to the device together where graphs are used.
    pub(crate) fn together<R>(&self, work: impl FnOnce() -> R) -> R {
        let ends = self.inner.stream.record();
        let result = work();
        if ends {
            self.attempt(Stream::end_recording);
        }
        result
    }

    /// How often CUDA graphs were used since the device was opened, and why they are not.
    pub fn graph_report(&self) -> GraphReport {
        self.inner.stream.graph_report()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The stream to launch on.
    ///
    /// # Errors
    /// What failed earlier where no error could be returned; once.
    pub(super) fn stream(&self) -> Result<&Stream> {
        match self.trouble() {
            None => Ok(&self.inner.stream),
            Some(error) => Err(error),
        }
    }

    /// Takes what [`CudaDevice::remember`] kept.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the first error of several for the next operation that can return it.
    pub(crate) fn remember(&self, error: Error) {
        let mut trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert(error);
    }

    /// Does what may fail inside a function that cannot return an error.
    pub(super) fn attempt(&self, work: impl FnOnce(&Stream) -> Result<()>) {
        if let Err(error) = work(&self.inner.stream) {
            self.remember(error);
        }
    }

    /// Memory for `elements` values of four bytes.
    pub(crate) fn alloc(&self, elements: usize) -> CudaBuffer {
        CudaBuffer::new(self, elements)
    }

    /// Memory for `n` values of type `T`, of four bytes or eight.
    pub(super) fn room<T>(&self, n: usize) -> CudaBuffer {
        self.alloc(n.saturating_mul(size_of::<T>() / 4))
    }

    /// Copies `values` to the device.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub(super) fn upload<T: Copy>(&self, values: &[T], to: PtrMut<T>) -> Result<()> {
        if values.is_empty() { Ok(()) } else { self.stream()?.upload(values, to) }
    }

    /// Waits for everything that was launched, and copies values to the host.
    ///
    /// # Errors
    /// [`Error::Cuda`]; also what any kernel before it did wrong.
    pub(super) fn download<T: Copy>(&self, from: Ptr<T>, values: &mut [T]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        self.stream()?.download(from, values)
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} free bytes in its pool", self.describe(), self.inner.pool.bytes())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = self.trim();
    }
}
