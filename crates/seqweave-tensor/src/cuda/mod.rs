//! The CUDA side: detection, memory, and one launch or a few for every operation.
//!
//! This is the only place that names `cudarc`, which opens the driver's library when a device is first asked for.
//! Nothing here computes on the host: an operation in [`ops`](crate::ops) checks its operands once and hands them to the
//! function of the same family and name here, which launches the kernel of the same name in `kernels/cu`.
//!
//! Everything runs on one stream in the order in which it was asked for. So memory that is dropped can be handed out again
//! at once, though a kernel that reads it may still be waiting: whatever writes it next waits behind that kernel.
//!
//! An allocation or copy that fails inside a function that cannot return an error is remembered, and the next operation
//! on the device returns it.

pub(crate) mod attention;
mod buffer;
pub(crate) mod copy;
pub(crate) mod cross_entropy;
mod detect;
mod device;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod embedding;
mod graph;
mod jit;
mod launch;
pub(crate) mod launchers;
mod library;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod optim;
mod persistent;
mod probe;
mod queue;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod shape;
pub(crate) mod softmax;
mod staging;
mod stream;
#[cfg(test)]
mod stubs;

pub(crate) use buffer::CudaBuffer;
pub use device::CudaDevice;
pub(crate) use launch::{Ptr, PtrMut};
pub(crate) use library::asked as gemm_switch;
pub use queue::GraphReport;
