//! The one stream of a device: launches, copies, and the kernels' images, each loaded when first needed.

use super::graph::Graphs;
use super::jit;
use super::launch::{Ptr, PtrMut};
use super::library::{self, Asked, Call, Library, Product};
use super::queue::{Command, Fault, GraphReport, Launch, Queue};
use super::staging;
use crate::{Error, Result};
use cudarc::driver::result;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, sys};
use cudarc::nvrtc::Ptx;
use seqweave_kernels::{ENTRIES, Element, Entry, FAMILIES, Family, Kind};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Bytes of shared memory, the kernel's own included, that a block may have without asking the driver first.
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
    queue: Mutex<Queue>,
    /// Who is to make the products of training, and the library, or why it is not used.
    asked: Result<Asked>,
    library: OnceLock<std::result::Result<Library, String>>,
}

/// The variable that turns CUDA graphs on.
const GRAPHS: &str = "SEQWEAVE_CUDA_GRAPHS";

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
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        Ok(Stream {
            queue: Mutex::new(Queue::new(stream.cu_stream(), graphs_asked_for())),
            stream,
            name: context.name().map_err(failed("asking for the device's name"))?,
            capability,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_limit: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            modules: FAMILIES.iter().map(|_| OnceLock::new()).collect(),
            functions: ENTRIES.iter().map(|_| OnceLock::new()).collect(),
            asked: library::asked(),
            library: OnceLock::new(),
            context,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Compute capability: major and minor version.
    pub(super) fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Blocks that run at the same moment are a small multiple of this.
    pub(super) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Bytes of shared memory that a block may have at most.
    pub(super) fn shared_limit(&self) -> u32 {
        self.shared_limit
    }

    /// The library that makes the products of training; `None` if our kernels do.
    ///
    /// # Errors
    /// [`Error::GemmSwitch`]; [`Error::NoCublasLt`] if it was asked for and cannot be used.
    pub(super) fn library(&self) -> Result<Option<&Library>> {
        let asked = self.asked.clone()?;
        if asked == Asked::Own {
            return Ok(None);
        }
        match self.opened() {
            Ok(library) => Ok(Some(library)),
            Err(reason) if asked == Asked::CublasLt => Err(Error::NoCublasLt { reason: reason.clone() }),
            Err(_) => Ok(None),
        }
    }

    fn opened(&self) -> &std::result::Result<Library, String> {
        self.library.get_or_init(|| {
            self.bind().map_err(|error| error.to_string())?;
            Library::open(self)
        })
    }

    /// Who makes the products of training, and why.
    ///
    /// # Errors
    /// As [`Stream::library`].
    pub(super) fn products(&self) -> Result<String> {
        match (self.library()?, self.asked.clone()?) {
            (Some(library), _) => Ok(library.describe()),
            (None, Asked::Own) => Ok("own kernels, as asked for".to_owned()),
            (None, _) => {
                let reason = self.opened().as_ref().err().map_or("", String::as_str);
                Ok(format!("own kernels ({reason})"))
            }
        }
    }

    /// Products that the library made, or is going to.
    pub(super) fn products_by_library(&self) -> u64 {
        let library = self.library.get().and_then(|library| library.as_ref().ok());
        library.map_or(0, Library::made)
    }

    /// Has the library make a product of matrices at these addresses, with a bias or without (0); `false` if that cannot
    /// be, and nothing is done.
    ///
    /// # Safety
    /// The matrices lie there, as large as `product` says.
    ///
    /// # Errors
    /// As [`Stream::library`]; the library's.
    pub(super) unsafe fn product(
        &self,
        product: Product,
        [a, b, bias, c]: [u64; 4],
        add: bool,
    ) -> Result<bool> {
        let Some(library) = self.library()? else { return Ok(false) };
        self.bind()?;
        let Some(plan) = library.plan(product)? else { return Ok(false) };
        self.push(Command::Product(Call { plan, a, b, bias, c, add }))?;
        Ok(true)
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
        if shared + entry.static_shared > SHARED_BY_DEFAULT {
            use sys::CUfunction_attribute as Attribute;
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(which, shared as i32).map_err(failed(entry.name))?;
        }
        debug_assert_eq!(args.len(), entry.params.len(), "a generated launcher has an argument a parameter");
        // SAFETY: an argument is as large as its parameter: the caller's promise.
        let args = args.iter().zip(entry.params).map(|(&arg, param)| unsafe { word(arg, param.kind) });
        let launch = Launch {
            name: entry.name,
            function: function.cu_function(),
            grid,
            threads: entry.threads,
            shared,
            cooperative: entry.cooperative,
            args: args.collect(),
        };
        self.push(Command::Launch(launch))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves at worst commands that are not handed over, which is found out when they are read.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, command: Command) -> Result<()> {
        self.queue().push(command).map_err(|(what, error)| failed(what)(error))
    }

    /// Notes commands down from now on; `false` if they are being noted down already, or graphs are not used.
    pub(super) fn record(&self) -> bool {
        self.queue().record()
    }

    /// Hands over what was noted down, and issues commands at once from now on.
    pub(super) fn end_recording(&self) -> Result<()> {
        self.bind()?;
        self.queue().end_recording().map_err(|(what, error)| failed(what)(error))
    }

    /// How often graphs were used, and why not.
    pub(super) fn graph_report(&self) -> GraphReport {
        self.queue().report().clone()
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
        let Family { name, .. } = FAMILIES[family];
        let image = match jit::image(name, self.capability)? {
            Some(image) => image,
            None => {
                let (major, minor) = self.capability;
                let image = FAMILIES[family].image(major, minor);
                image.map_err(|e| Error::Cuda { what: name, reason: e.to_string() })?.bytes
            }
        };
        let module = self.context.load_module(Ptx::from_binary(image));
        let module = module.map_err(failed(name))?;
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
        self.bind()?;
        let mut queue = self.queue();
        queue.flush().map_err(|(what, error)| failed(what)(error))?;
        self.wait(&mut queue)
    }

    /// Waits for what was handed over; then staged values are not needed any more.
    fn wait(&self, queue: &mut Queue) -> Result<()> {
        self.stream.synchronize().map_err(failed("waiting for the device"))?;
        queue.staging.reset();
        Ok(())
    }

    /// Sets `bytes` bytes from `address` on.
    pub(super) fn set_bytes(&self, address: u64, value: u8, bytes: usize) -> Result<()> {
        self.bind()?;
        self.push(Command::Set { to: address, value, bytes })
    }

    /// Copies from the host; `values` may change as soon as this returns.
    pub(super) fn upload<T: Copy>(&self, values: &[T], to: PtrMut<T>) -> Result<()> {
        let what = "a copy to the device";
        self.bind()?;
        let (to, bytes, mut queue) = (to.address(), size_of_val(values), self.queue());
        if bytes > staging::PIECE {
            queue.flush().map_err(|(what, error)| failed(what)(error))?;
            // SAFETY: the caller owns as many elements there. The driver has read pageable memory when the call returns.
            return unsafe { result::memcpy_htod_async(to, values, self.stream.cu_stream()) }
                .map_err(failed(what));
        }
        let mut from = queue.staging.put(values).map_err(failed(what))?;
        if from.is_none() {
            queue.flush().map_err(|(what, error)| failed(what)(error))?;
            self.wait(&mut queue)?;
            from = queue.staging.put(values).map_err(failed(what))?;
        }
        let from = from.expect("there is room where nothing is staged");
        queue.push(Command::Upload { from, to, bytes }).map_err(|(what, error)| failed(what)(error))
    }

    /// Copies to the host, and waits for it.
    pub(super) fn download<T: Copy>(&self, from: Ptr<T>, values: &mut [T]) -> Result<()> {
        self.bind()?;
        let mut queue = self.queue();
        queue.flush().map_err(|(what, error)| failed(what)(error))?;
        // SAFETY: as many elements lie there, and `values` lives until the copy has been waited for.
        unsafe { result::memcpy_dtoh_async(values, from.address(), self.stream.cu_stream()) }
            .map_err(failed("a copy to the host"))?;
        self.wait(&mut queue)
    }

    /// Copies `elements` from one place of the device to another.
    pub(super) fn copy<T>(&self, from: Ptr<T>, to: PtrMut<T>, elements: usize) -> Result<()> {
        if elements == 0 {
            return Ok(());
        }
        self.bind()?;
        let bytes = elements * size_of::<T>();
        self.push(Command::Copy { from: from.address(), to: to.address(), bytes })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nobody is left who could be told. What is under way may still read staged values.
        if self.synchronize().is_ok() {
            self.queue().close();
            if let Some(Ok(library)) = self.library.get() {
                self.release(library.workspace());
            }
        }
    }
}

/// The argument of a launch as a word.
///
/// # Safety
/// `arg` points to a value of this kind.
unsafe fn word(arg: *mut c_void, kind: Kind) -> u64 {
    let four = matches!(kind, Kind::Value(Element::F32 | Element::I32 | Element::U32));
    // SAFETY: the caller's promise: a number of four bytes, or an address or number of eight.
    unsafe { if four { u64::from(arg.cast::<u32>().read()) } else { arg.cast::<u64>().read() } }
}

/// Whether training steps are recorded, by the environment.
fn graphs_asked_for() -> std::result::Result<Option<Graphs>, String> {
    match std::env::var(GRAPHS).as_deref() {
        Err(_) | Ok("" | "0" | "off") => Ok(None),
        Ok("1" | "on") => Graphs::new().map(Some),
        Ok(found) => Err(format!("{GRAPHS}: expected on or off, found `{found}`")),
    }
}

/// Says what was being done when the driver reported an error.
fn failed<E: Into<Fault>>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Cuda { what, reason: error.into().to_string() }
}
