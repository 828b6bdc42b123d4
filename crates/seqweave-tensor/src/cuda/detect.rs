//! Is there a device, and if not, why not: answered in words, never by a panic.
//!
//! `cudarc` panics when the driver's library is missing, or lacks a symbol at the first call of it. So the library and
//! every symbol this crate comes to call are looked for first.

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, result, sys};
use std::sync::Arc;

use crate::{Error, Result};
use seqweave_kernels::FAMILIES;

/// Every entry of the driver that is called, here or inside `cudarc`; but for graphs, which are done without.
const SYMBOLS: [&str; 31] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuLaunchCooperativeKernel",
];

/// The oldest driver that runs the kernels' images, as CUDA counts: 1000·major + 10·minor.
const OLDEST_DRIVER: i32 = 12_000;

/// The oldest driver that translates the kernels' PTX, which is of this version.
const OLDEST_FOR_PTX: i32 = 12_080;

/// Whether there are images of all kernels for a device of this compute capability, or PTX that its driver translates; else
/// why not.
pub(super) fn images((major, minor): (u32, u32)) -> std::result::Result<(), String> {
    for family in FAMILIES {
        match family.fitting(major, minor) {
            None => return Err(format!("its compute capability is {major}.{minor}, 8.0 or later is needed")),
            Some(image) if !image.is_ptx() => {}
            Some(_) => match driver_version() {
                Ok(version) if version >= OLDEST_FOR_PTX => {}
                Ok(version) => {
                    let (found, wanted) = (in_words(version), in_words(OLDEST_FOR_PTX));
                    return Err(format!(
                        "for compute capability {major}.{minor} a driver for CUDA {wanted} or later is needed, this one is for {found}"
                    ));
                }
                Err(reason) => return Err(reason),
            },
        }
    }
    Ok(())
}

/// The CUDA version that the driver is for; its entry has been looked for.
fn driver_version() -> std::result::Result<i32, String> {
    let mut version = 0;
    // SAFETY: the symbol is there, and `version` lives through the call.
    let asked = unsafe { sys::cuDriverGetVersion(&mut version) }.result();
    asked.map_err(|e| format!("the driver does not tell its version: {}", describe(e)))?;
    Ok(version)
}

fn in_words(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// The context of device number `ordinal`.
///
/// # Errors
/// [`Error::NoCuda`] with the reason.
pub(super) fn context(ordinal: usize) -> Result<Arc<CudaContext>> {
    let none = |reason: String| Error::NoCuda { ordinal, reason };
    // SAFETY: opening the driver's library runs its initialisers, which every program that uses a GPU runs.
    if !unsafe { sys::is_culib_present() } {
        return Err(none("no NVIDIA driver was found".to_owned()));
    }
    for symbol in SYMBOLS {
        // SAFETY: the library is present, and the symbol is looked up, not called.
        if unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err() {
            return Err(none(format!("the driver library lacks {symbol}, so it is a stub or too old")));
        }
    }
    let version = driver_version().map_err(none)?;
    if version < OLDEST_DRIVER {
        let (found, wanted) = (in_words(version), in_words(OLDEST_DRIVER));
        return Err(none(format!("the driver is for CUDA {found}, {wanted} or later is needed")));
    }
    result::init().map_err(|e| none(format!("the driver does not start: {}", describe(e))))?;
    let count = CudaContext::device_count()
        .map_err(|e| none(format!("the driver does not list its devices: {}", describe(e))))?;
    match usize::try_from(count).unwrap_or(0) {
        0 => Err(none("the driver sees no device".to_owned())),
        n if ordinal >= n => Err(none(format!("the driver sees {n}, numbered from 0"))),
        _ => CudaContext::new(ordinal).map_err(|e| none(format!("it does not start: {}", describe(e)))),
    }
}

/// A driver's error in the driver's words.
pub(super) fn describe(error: DriverError) -> String {
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match text {
        Ok(text) => format!("{text} ({:?})", error.0),
        Err(_) => format!("{:?}", error.0),
    }
}

#[cfg(test)]
mod tests;
