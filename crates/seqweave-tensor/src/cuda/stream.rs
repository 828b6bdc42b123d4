//! The one stream of a device: launches, copies, and the kernels' images, each loaded when first needed.

use super::detect::describe;
use super::launch::{Ptr, PtrMut};
use crate::{Error, Result};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, sys};
use cudarc::nvrtc::Ptx;
use seqweave_kernels::{ENTRIES, Entry, FAMILIES};
use std::ffi::c_void;
use std::sync::{Arc, OnceLock};

/// Bytes of dynamic shared memory that a launch may ask for without asking the driver first.
const SHARED_BY_DEFAULT: u32 = 48 << 10;

/// A stream, and the kernels that run on it.
pub(crate) struct Stream {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    name: String,
    /// Compute capability.
    capability: (u32, u32),
    multiprocessors: u32,
    /// Bytes of shared memory that a block may have at most.
    shared_limit: u32,
    modules: Vec<OnceLock<Arc<CudaModule>>>,
    functions: Vec<OnceLock<CudaFunction>>,
}

impl Stream {
    /// A new stream of `context`.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub(super) fn new(context: Arc<CudaContext>) -> Result<Stream> {
        use sys::CUdevice_attribute as Attribute;
        // SAFETY: all work goes to the one stream below, in order, so no event has to keep two streams apart.
        unsafe { context.disable_event_tracking() };
        let attribute = |which| {
            let value = context.attribute(which).map_err(failed("asking for an attribute"))?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        Ok(Stream {
            name: context.name().map_err(failed("asking for the device's name"))?,
            capability,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_limit: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            stream: context.new_stream().map_err(failed("making a stream"))?,
            modules: FAMILIES.iter().map(|_| OnceLock::new()).collect(),
            functions: ENTRIES.iter().map(|_| OnceLock::new()).collect(),
            context,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Blocks that run at the same moment are a small multiple of this.
    pub(super) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Bytes of shared memory that a block may have at most.
    pub(super) fn shared_limit(&self) -> u32 {
        self.shared_limit
    }

    /// Launches a kernel; the generated launchers call this.
    ///
    /// # Safety
    /// `args` are the kernel's parameters in order and of their types, and the kernel stays inside the memory they point to.
    ///
    /// # Errors
    /// [`Error::Cuda`] with the kernel's name.
    pub(super) unsafe fn launch(
        &self,
        entry: &'static Entry,
        grid: [u32; 3],
        shared: u32,
        args: &[*mut c_void],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(()); // An extent is zero: there is nothing to do, and the driver would call it an error.
        }
        self.bind()?;
        let function = self.function(entry)?;
        if shared > SHARED_BY_DEFAULT {
            use sys::CUfunction_attribute as Attribute;
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(which, shared as i32).map_err(failed(entry.name))?;
        }
        let (grid, block) = ((grid[0], grid[1], grid[2]), (entry.threads, 1, 1));
        let (function, stream) = (function.cu_function(), self.stream.cu_stream());
        let mut args = args.to_vec();
        // SAFETY: function and stream are of this context, which is current; the arguments are the caller's promise.
        let launched = unsafe {
            if entry.cooperative {
                result::launch_cooperative_kernel(function, grid, block, shared, stream, &mut args)
            } else {
                result::launch_kernel(function, grid, block, shared, stream, &mut args)
            }
        };
        launched.map_err(failed(entry.name))
    }

    fn function(&self, entry: &'static Entry) -> Result<&CudaFunction> {
        let cell = &self.functions[entry.index];
        if let Some(function) = cell.get() {
            return Ok(function);
        }
        let function = self.module(entry.family)?.load_function(entry.name).map_err(failed(entry.name))?;
        Ok(cell.get_or_init(|| function))
    }

    fn module(&self, family: usize) -> Result<&Arc<CudaModule>> {
        let cell = &self.modules[family];
        if let Some(module) = cell.get() {
            return Ok(module);
        }
        let (major, minor) = self.capability;
        let image = FAMILIES[family].image(major, minor);
        let image = image.map_err(|e| Error::Cuda { what: FAMILIES[family].name, reason: e.to_string() })?;
        let module = self.context.load_module(Ptx::from_binary(image.bytes));
        let module = module.map_err(failed(FAMILIES[family].name))?;
        Ok(cell.get_or_init(|| module))
    }

    /// Makes the context current on this thread.
    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(failed("the device"))
    }

    /// New memory.
    pub(super) fn allocate(&self, bytes: usize) -> Result<u64> {
        self.bind()?;
        // SAFETY: the context is current. The memory is written before it is read, as everywhere in this crate.
        unsafe { result::malloc_sync(bytes) }.map_err(failed("an allocation"))
    }

    /// Gives memory back that no launch still uses.
    pub(super) fn release(&self, address: u64) {
        // An error here is one of an earlier launch, which the next operation reports.
        // SAFETY: the address came from `allocate`, and the pool forgot it.
        let _ = self.bind().map(|()| unsafe { result::free_sync(address) });
    }

    /// Bytes that the driver has free.
    pub(super) fn free_memory(&self) -> Result<usize> {
        self.bind()?;
        Ok(result::mem_get_info().map_err(failed("asking for free memory"))?.0)
    }

    /// Waits for everything that was launched.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("waiting for the device"))
    }

    /// Sets `bytes` bytes from `address` on.
    pub(super) fn set_bytes(&self, address: u64, value: u8, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller owns that many bytes there.
        unsafe { result::memset_d8_async(address, value, bytes, self.stream.cu_stream()) }
            .map_err(failed("setting memory"))
    }

    /// Copies from the host; `values` may change as soon as this returns.
    pub(super) fn upload<T: Copy>(&self, values: &[T], to: PtrMut<T>) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller owns as many elements there. The driver has read pageable memory when the call returns.
        unsafe { result::memcpy_htod_async(to.address(), values, self.stream.cu_stream()) }
            .map_err(failed("a copy to the device"))
    }

    /// Copies to the host, and waits for it.
    pub(super) fn download<T: Copy>(&self, from: Ptr<T>, values: &mut [T]) -> Result<()> {
        self.bind()?;
        // SAFETY: as many elements lie there, and `values` lives until the copy has been waited for.
        unsafe { result::memcpy_dtoh_async(values, from.address(), self.stream.cu_stream()) }
            .map_err(failed("a copy to the host"))?;
        self.synchronize()
    }

    /// Copies `elements` from one place of the device to another.
    pub(super) fn copy<T>(&self, from: Ptr<T>, to: PtrMut<T>, elements: usize) -> Result<()> {
        if elements == 0 {
            return Ok(());
        }
        self.bind()?;
        let bytes = elements * size_of::<T>();
        // SAFETY: as many elements lie at both places.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), bytes, self.stream.cu_stream()) }
            .map_err(failed("a copy on the device"))
    }
}

/// Says what was being done when the driver reported an error.
fn failed(what: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Cuda { what, reason: describe(error) }
}
