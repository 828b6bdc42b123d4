//! Devices and drivers that the kernels do not run on, which the stand-in can pretend to be.

use super::{alone, on_stand_in};
use seqweave_tensor::{Device, Error};

const CAPABILITY: &str = "SEQWEAVE_STANDIN_CAPABILITY";
const VERSION: &str = "SEQWEAVE_STANDIN_VERSION";
const EXPECTED: &str = "SEQWEAVE_TEST_EXPECTED";

/// (compute capability times ten, CUDA version of the driver, why the device is not taken; nothing where it is).
const ROWS: [(&str, &str, &str); 8] = [
    ("75", "13000", "its compute capability is 7.5, 8.0 or later is needed"),
    ("53", "12020", "its compute capability is 5.3, 8.0 or later is needed"),
    ("80", "12000", ""),
    ("89", "12020", ""),
    ("90", "12020", ""),
    ("121", "12080", ""),
    // No cubin is for it, so its driver must translate the PTX.
    ("110", "12080", ""),
    (
        "110",
        "12040",
        "for compute capability 11.0 a driver for CUDA 12.8 or later is needed, this one is for 12.4",
    ),
];

#[test]
fn a_device_that_no_image_fits_is_not_taken() {
    let name = "cuda::detection::a_device_that_no_image_fits_is_not_taken";
    if !on_stand_in() {
        return;
    }
    for (capability, version, expected) in ROWS {
        if !alone(name, &[(CAPABILITY, capability), (VERSION, version), (EXPECTED, expected)]) {
            continue;
        }
        let expected = std::env::var(EXPECTED).unwrap();
        let (device, why) = Device::auto();
        match Device::cuda(0) {
            Ok(cuda) => {
                assert!(expected.is_empty() && device.is(&cuda), "{why}");
                let of_ten = std::env::var(CAPABILITY).unwrap();
                let (major, minor) = of_ten.split_at(of_ten.len() - 1);
                // The kernels have been tested on a GPU of one kind.
                let untested = match of_ten.as_str() {
                    "90" => String::new(),
                    _ => format!(", not yet tested on a GPU of compute capability {major}.{minor}"),
                };
                assert_eq!(why, format!("{}{untested}", cuda.describe()));
            }
            Err(error) => {
                assert_eq!(error, Error::NoCuda { ordinal: 0, reason: expected.clone() });
                assert!(device.is(&Device::cpu()));
                assert_eq!(why, format!("cpu ({expected})"));
            }
        }
        return;
    }
}
