//! Every operation as plain functions: `op(inputs…)` allocates its result, `op_into(…, out)` writes where it is told.
//!
//! A body has a fixed rhythm: destructure the shapes, check them, compute.

mod matmul;

pub use matmul::{PackedRhs, gemm, gemm_packed, matmul, matmul_packed};
