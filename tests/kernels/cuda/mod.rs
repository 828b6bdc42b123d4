//! The same operations, models and searches on a CUDA device and on the CPU.
//!
//! The device is a real one, or the stand-in driver that `SEQWEAVE_CUDA_LIBRARY` names, which runs the kernels on the CPU.
//! With neither, each test says that it was skipped; with `SEQWEAVE_REQUIRE_CUDA=1` that is a failure.

mod models;
mod operations;

use seqweave_tensor::{Device, Float, Precision, open_cuda_library};
use std::sync::OnceLock;

/// A CUDA device, or `None` after having said that there is none.
fn device() -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        if let Some(path) = std::env::var_os("SEQWEAVE_CUDA_LIBRARY") {
            open_cuda_library(path.as_ref()).map_err(|error| error.to_string())?;
        }
        Device::cuda(0).map_err(|error| error.to_string())
    });
    match device {
        Ok(device) => Some(device.clone()),
        Err(reason) => {
            assert!(std::env::var_os("SEQWEAVE_REQUIRE_CUDA").is_none_or(|v| v != "1"), "{reason}");
            println!("skipped: no CUDA device ({reason})");
            None
        }
    }
}

/// The same device with products in bfloat16.
fn bf16(device: &Device) -> Device {
    device.clone().with_precision(Precision::Bf16)
}

/// The largest |got - want| / (1 + |want|); infinite where one is a NaN and the other is not.
fn worst(got: &[Float], want: &[Float]) -> f64 {
    assert_eq!(got.len(), want.len(), "as many elements");
    let error = |(&got, &want): (&Float, &Float)| {
        let (got, want) = (f64::from(got), f64::from(want));
        match (got.is_nan(), want.is_nan()) {
            (true, true) => 0.0,
            (false, false) if got == want => 0.0,
            (false, false) => (got - want).abs() / (1.0 + want.abs()),
            _ => f64::INFINITY,
        }
    };
    got.iter().zip(want).map(error).fold(0.0, f64::max)
}
