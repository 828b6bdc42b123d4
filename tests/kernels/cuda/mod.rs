//! The same operations, models and searches on a CUDA device and on the CPU.
//!
//! The device is a real one, or the stand-in driver of `cargo xtask test kernels`, which runs the kernels on the CPU.
//! With neither, each test says that it was skipped; with `SEQWEAVE_REQUIRE_CUDA=1` that is a failure.

mod detection;
mod floors;
mod graphs;
mod jit;
mod library;
mod models;
mod operations;
mod recurrent;

use seqweave_tensor::{Device, Float, Precision};
use std::sync::OnceLock;

/// A CUDA device, or `None` after having said that there is none.
fn device() -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Device::cuda(0).map_err(|error| error.to_string()));
    match device {
        Ok(device) => Some(device.clone()),
        Err(reason) => {
            assert!(std::env::var_os("SEQWEAVE_REQUIRE_CUDA").is_none_or(|v| v != "1"), "{reason}");
            println!("skipped: no CUDA device ({reason})");
            None
        }
    }
}

/// Whether the driver is the stand-in, which can be told to be another device; says that a test is skipped if not.
fn on_stand_in() -> bool {
    let is = std::env::var_os("SEQWEAVE_STANDIN").is_some();
    if !is {
        println!("skipped: a real device is what it is, and no device is none");
    }
    is
}

/// Runs the test `name` in a process of its own, with more in its environment; `true` if this is that process.
///
/// Tests beside it share a device, so what counts launches or changes the device is alone.
fn alone(name: &str, environment: &[(&str, &str)]) -> bool {
    const ALONE: &str = "SEQWEAVE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env(ALONE, "1").envs(environment.iter().copied());
    let output = child.output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// Whether this process makes all products by our kernels, as a comparison to the last bits with the CPU wants; where
/// cuBLASLt makes those of training, the test `name` runs in a process that goes without it.
fn with_own_products(name: &str, device: &Device) -> bool {
    let Device::Cuda(cuda) = device else { panic!("a device of CUDA") };
    cuda.training_products().unwrap().starts_with("own ") || alone(name, &[("SEQWEAVE_GEMM", "own")])
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
