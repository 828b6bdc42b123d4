//! Is there a device, and if not, why not: answered in words, never by a panic.
//!
//! `cudarc` panics when the driver's library is missing, or lacks a symbol at the first call of it. So the library and
//! every symbol this crate comes to call are looked for first.

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, result, sys};
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// Every entry of the driver that is called, here or inside `cudarc`.
const SYMBOLS: [&str; 29] = [
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
    let mut version = 0;
    // SAFETY: the symbol is there, and `version` lives through the call.
    let asked = unsafe { sys::cuDriverGetVersion(&mut version) }.result();
    asked.map_err(|e| none(format!("the driver does not tell its version: {}", describe(e))))?;
    if version < OLDEST_DRIVER {
        let words = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        let (found, wanted) = (words(version), words(OLDEST_DRIVER));
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

/// Opens a driver library by its path, before anything looks for a device: for a driver that lies where the loader does not
/// look, and for tests.
///
/// # Errors
/// [`Error::NoCuda`] with the loader's reason.
pub fn open_library(path: &Path) -> Result<()> {
    // SAFETY: its initialisers run; the caller names a driver.
    match unsafe { libloading::Library::new(path) } {
        Ok(library) => {
            // It stays open, so that a search by its name finds it.
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(Error::NoCuda { ordinal: 0, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests;
