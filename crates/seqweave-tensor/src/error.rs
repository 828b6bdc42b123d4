//! What can go wrong in a tensor operation, said in full.

use crate::Shape;

/// Result of a tensor operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A tensor operation that could not be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another number of axes than the operation takes.
    #[error("{what}: expected {expected} axes, found shape {found}")]
    Rank {
        /// The operand, as the operation names it.
        what: &'static str,
        /// Number of axes wanted.
        expected: usize,
        /// Shape that came.
        found: Shape,
    },
    /// The shapes of two operands do not fit.
    #[error("{op}: expected {expected}, found {found}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What would fit, in words or numbers.
        expected: String,
        /// What came.
        found: String,
    },
    /// An index lies outside its axis.
    #[error("{op}: index {index} at position {position} is out of range, the axis has {bound} entries")]
    Index {
        /// The operation.
        op: &'static str,
        /// The index that came.
        index: usize,
        /// Number of entries it must stay below.
        bound: usize,
        /// Where in the list of indices it stood.
        position: usize,
    },
    /// A range of an axis is empty the wrong way round or passes the end.
    #[error("{op}: range {start}..{end} does not lie within 0..{bound}")]
    Range {
        /// The operation.
        op: &'static str,
        /// First entry.
        start: usize,
        /// One past the last entry.
        end: usize,
        /// Number of entries of the axis.
        bound: usize,
    },
    /// The environment asks for vectors that this processor does not have, or that nobody knows.
    #[error(
        "SEQWEAVE_CPU: expected one of {available} on this processor, found `{found}`\nhelp: unset it to use the widest"
    )]
    CpuOverride {
        /// What it says.
        found: String,
        /// What it may say here.
        available: String,
    },
    /// A number given to the operation makes no sense for it.
    #[error("{op}: {name} must be {expected}, found {found}")]
    Value {
        /// The operation.
        op: &'static str,
        /// The argument.
        name: &'static str,
        /// The allowed range, in words.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Write access was asked for while other tensors share the memory.
    #[error("{what} is shared with {others} other tensor(s) and cannot be written\nhelp: drop those first")]
    Shared {
        /// What was to be written.
        what: &'static str,
        /// How many other owners there are.
        others: usize,
    },
    /// The operands of one operation lie on several devices.
    #[error(
        "{op}: expected all operands on {expected}, found one on {found}\nhelp: Tensor::to copies to another device"
    )]
    Device {
        /// The operation.
        op: &'static str,
        /// Where the first operand lies.
        expected: String,
        /// Where another lies.
        found: String,
    },
    /// The driver reports an error, perhaps of an earlier launch.
    #[error("CUDA: {what}: {reason}")]
    Cuda {
        /// What was being done; the kernel's name if one was launched.
        what: &'static str,
        /// The driver's words.
        reason: String,
    },
    /// A CUDA device has not enough memory left.
    #[error("CUDA: {bytes} bytes were asked for, {free} are free\nhelp: a smaller batch or model needs less")]
    CudaMemory {
        /// What was asked for.
        bytes: usize,
        /// What the driver has.
        free: usize,
    },
    /// Kernels were to be compiled at run time, and could not be.
    #[error(
        "SEQWEAVE_KERNELS=jit: {reason}\nhelp: unset SEQWEAVE_KERNELS to use the kernels that are built in"
    )]
    Jit {
        /// Why not.
        reason: String,
    },
    /// The environment names nobody who makes matrix products.
    #[error(
        "SEQWEAVE_GEMM: expected own or cublaslt, found `{found}`\nhelp: unset it to use cuBLASLt in training where it is found"
    )]
    GemmSwitch {
        /// What it says.
        found: String,
    },
    /// cuBLASLt was asked for by the environment, and cannot be used.
    #[error(
        "SEQWEAVE_GEMM=cublaslt: {reason}\nhelp: unset SEQWEAVE_GEMM to use the kernels that are built in"
    )]
    NoCublasLt {
        /// Why not.
        reason: String,
    },
    /// No CUDA device can be used, and why.
    #[error("no CUDA device {ordinal}: {reason}")]
    NoCuda {
        /// The device that was asked for, from 0.
        ordinal: usize,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// A shape mismatch of operation `op`.
    pub fn shape(op: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Error::Shape { op, expected: expected.into(), found: found.into() }
    }
}
