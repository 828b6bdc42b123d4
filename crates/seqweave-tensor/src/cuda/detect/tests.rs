//! Detection against stub libraries, each in a process of its own: a driver's library is opened once a process.

use super::*;
use crate::cuda::stubs::{self, ask, compile};
use std::path::Path;
use std::time::Duration;

/// Set in the process that looks for a device.
const CHILD: &str = "SEQWEAVE_TEST_DETECTION";

/// Not a test of its own: what the processes that the other tests start run.
#[test]
fn child() {
    let Ok(ordinal) = std::env::var(CHILD) else { return };
    let began = std::time::Instant::now();
    let answer = match context(ordinal.parse().unwrap()) {
        Ok(context) => format!("a context of device {}", context.ordinal()),
        Err(error) => error.to_string(),
    };
    stubs::answer(&format!("{answer} in {} ms", began.elapsed().as_millis()));
}

/// The answer of a process that finds `library` as its driver, or none.
fn detect(library: Option<&Path>, ordinal: usize) -> String {
    let nowhere = Path::new("/nonexistent");
    let folder = library.and_then(Path::parent).unwrap_or(nowhere);
    let answer = ask("cuda::detect::tests::child", folder, (CHILD, &ordinal.to_string()));
    let (answer, time) = answer.rsplit_once(" in ").unwrap();
    let time: u64 = time.strip_suffix(" ms").unwrap().parse().unwrap();
    assert!(Duration::from_millis(time) < Duration::from_millis(100), "{answer} took {time} ms");
    answer.to_owned()
}

/// A library with the entries of [`SYMBOLS`] but for `without`: the driver is for CUDA `version` and sees `devices`, `cuInit`
/// returns `init`; everything else does nothing and succeeds. `None` where there is no C compiler.
fn stub(folder: &Path, version: i32, init: i32, devices: i32, without: &str) -> Option<std::path::PathBuf> {
    let mut text = String::from("int never;\n");
    for symbol in SYMBOLS.iter().filter(|&&symbol| symbol != without) {
        text += &match *symbol {
            "cuDriverGetVersion" => format!("int {symbol}(int *v) {{ *v = {version}; return 0; }}\n"),
            "cuInit" => format!("int {symbol}(unsigned f) {{ return {init}; }}\n"),
            "cuDeviceGetCount" => format!("int {symbol}(int *n) {{ *n = {devices}; return 0; }}\n"),
            "cuDevicePrimaryCtxRetain" => {
                format!("int {symbol}(void **c, int d) {{ *c = &never; return 0; }}\n")
            }
            "cuCtxGetCurrent" => format!("int {symbol}(void **c) {{ *c = 0; return 0; }}\n"),
            "cuGetErrorString" | "cuGetErrorName" => {
                format!("int {symbol}(int e, const char **s) {{ *s = \"words of the stub\"; return 0; }}\n")
            }
            _ => format!("int {symbol}() {{ return 0; }}\n"),
        };
    }
    compile(folder, "libcuda.so", &text)
}

fn has_driver() -> bool {
    // SAFETY: as in `context`.
    let found = unsafe { sys::is_culib_present() };
    if found {
        println!("skipped: this machine has a driver, which the loader finds wherever it is told to look");
    }
    found
}

#[test]
fn no_library_is_an_answer() {
    if !has_driver() {
        assert_eq!(detect(None, 0), "no CUDA device 0: no NVIDIA driver was found");
    }
}

#[test]
fn an_empty_library_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(library) = compile(folder.path(), "libcuda.so", "int nothing;\n") {
        let want = "no CUDA device 0: the driver library lacks cuInit, so it is a stub or too old";
        assert_eq!(detect(Some(&library), 0), want);
    }
}

/// (version, what `cuInit` returns, devices, entry that is missing, device asked for, answer).
type Case = (i32, i32, i32, &'static str, usize, &'static str);

#[test]
fn every_other_obstacle_is_an_answer() {
    const LATEST: i32 = 12_080;
    let cases: [Case; 10] = [
        (LATEST, 0, 1, "", 0, "a context of device 0"),
        (13_000, 0, 3, "", 2, "a context of device 2"),
        (
            LATEST,
            0,
            1,
            "cuLaunchKernel",
            0,
            "the driver library lacks cuLaunchKernel, so it is a stub or too old",
        ),
        (
            LATEST,
            0,
            1,
            "cuMemcpyDtoDAsync_v2",
            0,
            "the driver library lacks cuMemcpyDtoDAsync_v2, so it is a stub or too old",
        ),
        (11_040, 0, 1, "", 0, "the driver is for CUDA 11.4, 12.0 or later is needed"),
        (LATEST, 34, 1, "", 0, "the driver does not start: words of the stub (CUDA_ERROR_STUB_LIBRARY)"),
        (LATEST, 100, 1, "", 0, "the driver does not start: words of the stub (CUDA_ERROR_NO_DEVICE)"),
        (
            LATEST,
            803,
            1,
            "",
            0,
            "the driver does not start: words of the stub (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)",
        ),
        (LATEST, 0, 0, "", 0, "the driver sees no device"),
        (LATEST, 0, 2, "", 2, "the driver sees 2, numbered from 0"),
    ];
    for (version, init, devices, without, ordinal, want) in cases {
        let folder = tempfile::tempdir().unwrap();
        let Some(library) = stub(folder.path(), version, init, devices, without) else { return };
        let answer = detect(Some(&library), ordinal);
        let answer = answer.strip_prefix(&format!("no CUDA device {ordinal}: ")).unwrap_or(&answer);
        assert_eq!(answer, want, "version {version}, cuInit {init}, {devices} devices, without {without:?}");
    }
}
