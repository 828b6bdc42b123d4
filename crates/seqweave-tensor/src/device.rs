//! Where tensors live, and the pool their memory returns to.

use crate::cuda::CudaDevice;
use crate::{Error, Float, Result};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The place where tensors live and operations run. Cheap to clone; clones share one memory pool.
#[derive(Clone, Debug)]
pub enum Device {
    /// The host processor, with all threads of the current rayon pool.
    Cpu(CpuDevice),
    /// An NVIDIA GPU.
    Cuda(CudaDevice),
}

impl Device {
    /// The CPU, with a memory pool of its own, in [`Precision::F32`].
    pub fn cpu() -> Device {
        Device::Cpu(CpuDevice { pool: Arc::new(Pool::default()), precision: Precision::F32 })
    }

    /// The same device with matrix products of another precision.
    pub fn with_precision(self, precision: Precision) -> Device {
        match self {
            Device::Cpu(cpu) => Device::Cpu(CpuDevice { precision, ..cpu }),
            Device::Cuda(cuda) => Device::Cuda(cuda.with_precision(precision)),
        }
    }

    /// The precision of its matrix products.
    pub fn precision(&self) -> Precision {
        match self {
            Device::Cpu(cpu) => cpu.precision,
            Device::Cuda(cuda) => cuda.precision(),
        }
    }

    /// CUDA device number `ordinal`. All who ask for the same number share its stream and memory pool.
    ///
    /// # Errors
    /// [`Error::NoCuda`] with the reason; it never panics.
    pub fn cuda(ordinal: usize) -> Result<Device> {
        CudaDevice::open(ordinal).map(Device::Cuda)
    }

    /// The best device there is, and in a few words which and why.
    pub fn auto() -> (Device, String) {
        match Device::cuda(0) {
            Ok(device) => {
                let which = device.describe();
                (device, which)
            }
            Err(Error::NoCuda { reason, .. }) => (Device::cpu(), format!("cpu ({reason})")),
            Err(error) => (Device::cpu(), format!("cpu ({error})")),
        }
    }

    /// Which device it is: `cpu`, or number and name of a GPU.
    pub fn describe(&self) -> String {
        match self {
            Device::Cpu(_) => "cpu".to_owned(),
            Device::Cuda(cuda) => cuda.describe(),
        }
    }

    /// Whether tensors of both may meet in one operation.
    pub fn is(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Cpu(_), Device::Cpu(_)) => true,
            (Device::Cuda(a), Device::Cuda(b)) => a.is(b),
            _ => false,
        }
    }

    /// Times that the host waited for values of this device since it was opened; always 0 on the CPU.
    pub fn host_reads(&self) -> u64 {
        match self {
            Device::Cpu(_) => 0,
            Device::Cuda(cuda) => cuda.host_reads(),
        }
    }

    /// Memory that new tensors can take, in bytes.
    ///
    /// For the CPU on Linux it is what the kernel reports as `MemAvailable`; where that cannot be read it is taken to be
    /// [`Device::ASSUMED_MEMORY`].
    pub fn available_memory(&self) -> u64 {
        match self {
            Device::Cpu(_) => {
                let report = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
                mem_available(&report).unwrap_or(Device::ASSUMED_MEMORY)
            }
            Device::Cuda(cuda) => cuda.available_memory(),
        }
    }

    /// The memory of a machine that does not say how much it has: 64 GiB, in bytes.
    pub const ASSUMED_MEMORY: u64 = 64 << 30;
}

/// The line `MemAvailable: … kB` of Linux's `/proc/meminfo`, in bytes.
fn mem_available(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// What the operands of a matrix product are rounded to. Sums, and everything that is no matrix product, are f32.
///
/// In every precision a result depends on the operands alone, never on the number of threads or on other rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// Numbers split in two of bfloat16 each, where the processor has matrix registers for those (AMX): products of first
    /// parts and of a first with a second one, so that an operand has a relative error of 2⁻¹⁷.
    ///
    /// Where it has none, the kernels of [`Precision::F32`] are faster, and are used.
    F32Fast,
    /// To bfloat16, the upper half of an f32: relative error 2⁻⁸ an operand at most, to nearest, ties to even.
    ///
    /// Where the processor has no instruction for it, operands are rounded and multiplied as f32: the same error, no
    /// gain in speed, and other last bits. Ignored in the f64 build.
    Bf16,
}

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::F32Fast, Precision::Bf16];

    /// Its name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F32Fast => "f32-fast",
            Precision::Bf16 => "bf16",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "f32" => Ok(Precision::F32),
            "f32-fast" => Ok(Precision::F32Fast),
            "bf16" => Ok(Precision::Bf16),
            _ => Err("expected f32, f32-fast or bf16".to_owned()),
        }
    }
}

/// The CPU and its memory pool.
#[derive(Clone, Debug)]
pub struct CpuDevice {
    pool: Arc<Pool>,
    precision: Precision,
}

impl CpuDevice {
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// A buffer of at least `len` elements. Recycled memory holds what its last owner left in it; in debug builds it
    /// is filled with NaN, so that reading before writing shows.
    pub(crate) fn alloc(&self, len: usize) -> CpuBuffer {
        let blocks = size_class(len.div_ceil(Block::LEN));
        let recycled = self.pool.free().get_mut(&blocks).and_then(Vec::pop);
        let mut data = recycled.unwrap_or_else(|| vec![Block([0.0; Block::LEN]); blocks]);
        if cfg!(debug_assertions) {
            data.fill(Block([Float::NAN; Block::LEN]));
        }
        CpuBuffer { data, len, pool: self.pool.clone() }
    }
}

/// Free buffers by length in blocks.
#[derive(Default)]
struct Pool {
    free: Mutex<HashMap<usize, Vec<Vec<Block>>>>,
}

impl Pool {
    fn free(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Vec<Vec<Block>>>> {
        // A panic elsewhere cannot leave a list of free buffers in a bad state.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.free();
        let blocks: usize = free.iter().map(|(len, list)| len * list.len()).sum();
        write!(f, "Pool({} free bytes)", blocks * size_of::<Block>())
    }
}

/// Lengths are rounded up to four classes an octave, so that batches of similar shape share buffers.
pub(crate) fn size_class(blocks: usize) -> usize {
    let blocks = blocks.max(1);
    let step = (blocks.checked_next_power_of_two().unwrap_or(1 << 62) / 8).max(1);
    blocks.div_ceil(step).saturating_mul(step)
}

/// One cache line: buffers are made of these so that vectors never straddle two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([Float; Block::LEN]);

impl Block {
    const LEN: usize = 64 / size_of::<Float>();
}

/// Host memory that returns to its pool when dropped.
pub(crate) struct CpuBuffer {
    data: Vec<Block>,
    len: usize,
    pool: Arc<Pool>,
}

impl CpuBuffer {
    pub(crate) fn as_slice(&self) -> &[Float] {
        // SAFETY: a Block is exactly Block::LEN floats without padding, and `len` was allocated in `alloc`.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Float] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.pool.free().entry(data.len()).or_default().push(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_recycled_and_aligned() {
        let Device::Cpu(cpu) = Device::cpu() else { panic!("it is the CPU") };
        let first = cpu.alloc(1000);
        let address = first.as_slice().as_ptr() as usize;
        assert_eq!(address % 64, 0);
        drop(first);
        assert_eq!(
            cpu.alloc(1001).as_slice().as_ptr() as usize,
            address,
            "a similar length reuses the buffer"
        );
    }

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for blocks in 1..5000 {
            let class = size_class(blocks);
            assert!(class >= blocks && class * 4 <= blocks * 5 + 4, "{blocks} -> {class}");
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }

    #[test]
    fn available_memory_is_read_where_it_is_written() {
        let report = "MemTotal:        7915588 kB\nMemAvailable:    6029772 kB\nBuffers: 1 kB\n";
        assert_eq!(mem_available(report), Some(6_029_772 << 10));
        for report in ["", "MemTotal: 7915588 kB\n", "MemAvailable: many kB\n", "MemAvailable: 5\n"] {
            assert_eq!(mem_available(report), None, "{report:?}");
        }
        assert!(Device::cpu().available_memory() > 0);
    }

    #[test]
    fn a_device_or_the_reason_why_there_is_none() {
        let (device, why) = Device::auto();
        match Device::cuda(0) {
            Ok(cuda) => assert!(cuda.is(&device) && why.starts_with("cuda:0 ("), "{why}"),
            Err(error) => {
                let reason = error.to_string().replace("no CUDA device 0: ", "");
                assert_eq!(why, format!("cpu ({reason})"));
                assert!(device.is(&Device::cpu()));
            }
        }
        let error = Device::cuda(4096).unwrap_err().to_string();
        assert!(error.starts_with("no CUDA device 4096: "), "{error}");
    }
}
