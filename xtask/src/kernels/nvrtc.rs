//! The pinned NVRTC: found or installed below `target/`, and called through `nvrtc.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::{process, workspace};

/// The version whose images are committed.
pub const VERSION: &str = "12.8.93";

/// The wheel and its hash. Other platforms have wheels too, whose images are not known to be the same bytes.
const REQUIREMENT: &str = "nvidia-cuda-nvrtc-cu12==12.8.93 \
     --hash=sha256:a7756528852ef889772a84c6cd89d41dfa74667e24cca16bb31f8f061e3e9994";

const HELPER: &str = include_str!("nvrtc.py");

/// A source to compile for one target.
pub struct Job {
    /// Name of the source in messages.
    pub name: String,
    pub text: String,
    /// `sm_80`, or `compute_80` for PTX.
    pub target: &'static str,
    /// Where the image goes.
    pub output: PathBuf,
}

/// Options of every compilation besides the target. A product and a sum are two roundings, as on the CPU.
pub const OPTIONS: [&str; 3] = ["--std=c++17", "--fmad=false", "--ptxas-options=-v"];

/// The library, installed first if it is not there; a reason in words if it cannot be had.
pub fn find() -> Result<std::result::Result<PathBuf, String>> {
    let folder = workspace::target_dir()?.join("nvrtc").join(VERSION);
    let library = folder.join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    if library.is_file() {
        return Ok(Ok(library));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Err("the pinned NVRTC wheel is for Linux on x86-64".into()));
    }
    // Installed beside and renamed, so that an interrupted download leaves no half folder.
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    std::fs::create_dir_all(&part).map_err(Error::io("creating", &part))?;
    let result = install(&part);
    if result.is_ok() {
        // Another process may have been faster; its folder is as good.
        let _ = std::fs::rename(&part, &folder);
    }
    let _ = std::fs::remove_dir_all(&part);
    Ok(match result {
        Ok(()) if library.is_file() => Ok(library),
        Ok(()) => Err("the NVRTC wheel holds no libnvrtc.so.12".into()),
        Err(reason) => Err(reason),
    })
}

/// Installs the wheel into a folder of its own with `pip`.
fn install(folder: &Path) -> std::result::Result<(), String> {
    let requirement = folder.join("requirement.txt");
    std::fs::write(&requirement, REQUIREMENT).map_err(|error| error.to_string())?;
    eprintln!("Fetching the NVRTC {VERSION} wheel (88 MB) into target/nvrtc, once.");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    pip.args(["--require-hashes", "--retries=1", "--timeout=20", "--root-user-action=ignore"]);
    pip.arg("--target").arg(folder).arg("-r").arg(&requirement).stdin(Stdio::null());
    let output = pip.output().map_err(|error| format!("cannot start `python3`: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("pip failed without a word");
        return Err(format!("pip could not install the NVRTC {VERSION} wheel: {last}"));
    }
    // Slower twins of the libraries, never loaded: 100 MB.
    for name in ["libnvrtc.alt.so.12", "libnvrtc-builtins.alt.so.12.8"] {
        let _ = std::fs::remove_file(folder.join("nvidia/cuda_nvrtc/lib").join(name));
    }
    Ok(())
}

/// Compiles every job; the logs in order. A source that does not compile is an error with the compiler's words.
pub fn compile(library: &Path, headers: &[(&str, String)], jobs: &[Job]) -> Result<Vec<String>> {
    let headers: Value = headers
        .iter()
        .map(|(name, text)| ((*name).to_string(), json!(text)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let list: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let target = format!("--gpu-architecture={}", job.target);
            let options: Vec<&str> = OPTIONS.into_iter().chain([&*target]).collect();
            let ptx = job.target.starts_with("compute_");
            json!({"name": job.name, "text": job.text, "options": options, "ptx": ptx, "output": job.output})
        })
        .collect();
    let request = json!({"library": library, "headers": headers, "jobs": list});
    let text = process::filter(Command::new("python3").args(["-c", HELPER]), &request.to_string())?;
    let mut logs = Vec::new();
    for (job, line) in jobs.iter().zip(text.lines()) {
        let result: Value = serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
        let log = result["log"].as_str().unwrap_or_default().to_string();
        if result["ok"] != true {
            return Err(Error::Compile { source: job.name.clone(), target: job.target, log });
        }
        logs.push(log);
    }
    if logs.len() != jobs.len() {
        return Err(unreadable(format!("{} results for {} jobs", logs.len(), jobs.len())));
    }
    Ok(logs)
}

fn unreadable(found: String) -> Error {
    Error::Output { program: "nvrtc.py", expected: "one JSON object a job", found }
}
