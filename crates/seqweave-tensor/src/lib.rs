//! Tensors, random streams, and every operation as plain forward and backward functions.
//!
//! A [`Tensor`] is a contiguous, row-major block of [`Float`]s with a shape; cloning it shares the memory.
//! Operations live in [`ops`] as free functions, named alike in the forward and the backward direction, and know
//! nothing of gradient graphs: `seqweave-autograd` records them on a tape.
//!
//! ```
//! use seqweave_tensor::{Device, Tensor, Trans, ops};
//!
//! # fn main() -> seqweave_tensor::Result<()> {
//! let cpu = Device::cpu();
//! let x = Tensor::from_slice(&cpu, &[1.0, 2.0, 3.0, 4.0], [2, 2])?;
//! let w = Tensor::from_slice(&cpu, &[1.0, 0.0, 0.0, 1.0], [2, 2])?;
//! let y = ops::matmul(&x, Trans::N, &w, Trans::T)?; // y = x·wᵀ
//! assert_eq!(y.to_vec(), x.to_vec());
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//!
//! * **Same bits.** No result depends on the number of threads: work is cut where no sum is cut, or into chunks of a
//!   fixed size whose sums are added in order.
//! * **No company effects.** A row of a matrix product, a softmax row or a sentence in a recurrent layer gets the same
//!   bits whatever else is in the batch; on a GPU with [`Tensor::in_training`], products are free of that.
//! * **Errors, not panics.** A wrong shape or index is an [`Error`] that names the operation, what it expected and
//!   what it found.
//!
//! # Element type
//!
//! [`Float`] is `f32`. Compiled with `--cfg seqweave_f64` it is `f64`: that build exists for gradient checks alone, so
//! that the very code that trains is compared with central differences to ten digits.
#![warn(missing_docs)]
#![allow(clippy::unnecessary_cast)] // `as Float` and `as f64` are casts in one of the two builds only

mod cuda;
mod device;
mod error;
mod gemm;
mod ids;
mod lanes;
mod level;
pub mod machine;
mod math;
pub mod ops;
mod parallel;
mod pending;
mod pool;
mod rng;
mod shape;
mod tensor;

pub use cuda::{CudaDevice, GraphReport};
pub use device::{CpuDevice, Device, Precision};
pub use error::{Error, Result};
pub use ids::Ids;
pub use parallel::on_pool;
pub use pending::Pending;
pub use rng::Philox;
pub use shape::Shape;
pub use tensor::{Tensor, TensorMut};

/// The element type of every tensor: `f32`, or `f64` in the gradient-check build.
#[cfg(not(seqweave_f64))]
pub type Float = f32;
/// The element type of every tensor: `f32`, or `f64` in the gradient-check build.
#[cfg(seqweave_f64)]
pub type Float = f64;

/// Whether an operand of a matrix product is taken as it lies, or transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trans {
    /// As it lies in memory.
    N,
    /// Transposed.
    T,
}

/// What an operation does to its destination.
///
/// Activations are set; gradients of parameters are added, because a parameter may be used more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acc {
    /// Overwrite the destination.
    Set,
    /// Add to the destination.
    Add,
}
