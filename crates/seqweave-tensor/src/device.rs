//! Where tensors live.

use crate::cuda::CudaDevice;
use crate::pool::{CpuBuffer, Pool};
use crate::{Error, Result};
use std::sync::Arc;

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

    /// The same device for the tensors of a training step.
    ///
    /// On a GPU, products of them and of what is computed from them may be made by cuBLASLt, so that a row's last bits depend
    /// on the other rows. On the CPU there is no difference.
    pub fn in_training(self) -> Device {
        match self {
            Device::Cpu(cpu) => Device::Cpu(cpu),
            Device::Cuda(cuda) => Device::Cuda(cuda.in_training()),
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

    /// The best device there is, and in a few words which and why; of a GPU also whether the kernels were ever tested on
    /// one of its kind.
    pub fn auto() -> (Device, String) {
        match CudaDevice::open(0) {
            Ok(cuda) => {
                let mut which = cuda.describe();
                if let Some(kind) = cuda.untested() {
                    which += &format!(", not yet tested on {kind}");
                }
                (Device::Cuda(cuda), which)
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

    /// Runs `work`, such as a training step, whose launches go to a GPU as one CUDA graph where those are used:
    /// `SEQWEAVE_CUDA_GRAPHS=on`. Results are the same bits. What `work` reads on the way is there as ever.
    pub fn together<R>(&self, work: impl FnOnce() -> R) -> R {
        match self {
            Device::Cpu(_) => work(),
            Device::Cuda(cuda) => cuda.together(work),
        }
    }

    /// Buffers that tensors have taken from the system so far, on the CPU; always 0 on a GPU.
    ///
    /// A buffer that is dropped is handed out again, so a repeated computation takes none after its first run.
    pub fn buffers_made(&self) -> u64 {
        match self {
            Device::Cpu(cpu) => cpu.pool.made(),
            Device::Cuda(_) => 0,
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
    /// Numbers split in two parts that matrix units take: products of first parts and of a first with a second one.
    ///
    /// A processor with matrix registers (AMX) takes parts in bfloat16, so that an operand has a relative error of 2⁻¹⁷. Where
    /// it has none, the kernels of [`Precision::F32`] are faster, and are used. A GPU takes parts in TF32, which hold 22 of the
    /// 24 significant bits: the error is that of f32 but for its last bits.
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

    /// A buffer of `len` elements; see [`Pool::alloc`].
    pub(crate) fn alloc(&self, len: usize) -> CpuBuffer {
        Pool::alloc(&self.pool, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
