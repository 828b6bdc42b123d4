//! The stand-in driver of `kernels/cpu/`, and the self-tests of the executor it runs on: built with g++, for tests alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::sources::{self, Sources};
use crate::error::{Error, Result};
use crate::{process, workspace};

/// Products and sums stay apart, as the kernels are compiled for a GPU and as the CPU computes.
const FLAGS: [&str; 5] = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-pthread"];
const SANITIZE: [&str; 2] = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"];
/// The self-test that checks the executor itself: schedules, barriers, and the faults it must catch.
const EXECUTOR: &str = "executor";
/// The planted fault that only the sanitizer can see.
const PLANTED: &str = "out_of_bounds";

/// Why there is no stand-in on this machine; `None` if there can be one.
pub fn missing() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("the stand-in driver runs on Linux alone");
    }
    let found = Command::new("g++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) { None } else { Some("no g++ found") }
}

/// A built stand-in.
pub struct StandIn {
    /// `libcuda.so`, for `SEQWEAVE_CUDA_LIBRARY`.
    pub library: PathBuf,
    /// The runtime of the sanitizer, to be loaded before all else.
    pub preload: Option<PathBuf>,
    folder: PathBuf,
    sanitized: bool,
}

impl StandIn {
    /// Compiles what has changed since the last time and links it.
    pub fn build(sanitized: bool) -> Result<StandIn> {
        let name = if sanitized { "standin-asan" } else { "standin" };
        let folder = workspace::target_dir()?.join("kernels").join(name);
        std::fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
        let library = folder.join("libcuda.so");
        let preload = if sanitized { Some(runtime("libasan.so")?) } else { None };
        let standin = StandIn { library, preload, folder, sanitized };

        let sources = Sources::read()?;
        let cpu = sources::folder().join("cpu");
        let mut headers = vec![sources::folder().join("cu/prelude.cuh")];
        headers.extend(["exec.h", "standin.h"].map(|name| cpu.join(name)));
        let mut objects = vec![standin.object("driver", &cpu.join("driver.cpp"), &headers)?];
        for family in &sources.families {
            let cu = sources::folder().join("cu").join(format!("{}.cu", family.name));
            let mut text = String::new();
            let namespace = format!("family_{}", family.name);
            let _ = writeln!(text, "#include \"{}\"", cpu.join("standin.h").display());
            let _ = writeln!(text, "#include \"{}\"", headers[0].display());
            let _ = writeln!(text, "namespace {namespace} {{\n#include \"{}\"\n}}", cu.display());
            for kernel in &family.kernels {
                let (name, threads, blocks) = (&kernel.name, kernel.threads, kernel.min_blocks);
                let cooperative = kernel.cooperative;
                let _ = writeln!(
                    text,
                    "STANDIN_KERNEL({namespace}, {name}, {threads}, {blocks}, {cooperative});"
                );
            }
            let wrapper = standin.folder.join(format!("{}.cpp", family.name));
            if std::fs::read_to_string(&wrapper).ok().as_ref() != Some(&text) {
                std::fs::write(&wrapper, &text).map_err(Error::io("writing", &wrapper))?;
            }
            let mut inputs = headers.clone();
            inputs.push(cu);
            objects.push(standin.object(&family.name, &wrapper, &inputs)?);
        }
        let mut link = standin.compiler();
        link.args(["-shared", "-Wl,-soname,libcuda.so", "-o"]).arg(&standin.library).args(&objects);
        process::run(&mut link)?;
        Ok(standin)
    }

    /// The environment of a program that is to find the stand-in, on schedule `seed`.
    pub fn lend(&self, program: &mut Command, seed: u32) {
        program.env("SEQWEAVE_CUDA_LIBRARY", &self.library);
        program.env("SEQWEAVE_REQUIRE_CUDA", "1").env("SEQWEAVE_STANDIN_SEED", seed.to_string());
        if let Some(preload) = &self.preload {
            // The test program itself is not sanitized, so what it leaves to the end of the process is no finding.
            program.env("LD_PRELOAD", preload).env("ASAN_OPTIONS", "detect_leaks=0");
        }
    }

    /// Whether the executor keeps its own promises and catches the planted faults: a missing barrier, a divergent one, and
    /// under the sanitizer a write out of bounds. Says which did not.
    pub fn self_test(&self) -> Result<Vec<(&'static str, bool)>> {
        let mut results = Vec::new();
        let executor = self.program(EXECUTOR)?;
        let passed = process::watch(&mut Command::new(executor), |_| {})?;
        results.push(("executor, a missing and a divergent barrier", passed));
        if self.sanitized {
            let planted = self.program(PLANTED)?;
            let output = Command::new(&planted)
                .output()
                .map_err(|source| Error::Spawn { program: planted.display().to_string(), source })?;
            let report = String::from_utf8_lossy(&output.stderr);
            let caught = !output.status.success() && report.contains("one_too_far");
            results.push(("a write out of bounds", caught));
        }
        Ok(results)
    }

    fn compiler(&self) -> Command {
        let mut compiler = Command::new("g++");
        compiler.args(FLAGS);
        if self.sanitized {
            compiler.args(SANITIZE);
        }
        compiler
    }

    /// Compiles `source`, unless what there is is newer than it and all of `inputs`.
    fn object(&self, name: &str, source: &Path, inputs: &[PathBuf]) -> Result<PathBuf> {
        let object = self.folder.join(format!("{name}.o"));
        if !is_newer(&object, inputs.iter().map(PathBuf::as_path).chain([source])) {
            process::run(self.compiler().arg("-c").arg(source).arg("-o").arg(&object))?;
        }
        Ok(object)
    }

    /// Builds a self-test.
    fn program(&self, name: &str) -> Result<PathBuf> {
        let folder = sources::folder();
        let source = folder.join("cpu/selftest").join(format!("{name}.cpp"));
        let program = self.folder.join(name);
        let inputs = ["cpu/selftest/check.h", "cpu/exec.h", "cu/prelude.cuh"].map(|path| folder.join(path));
        if !is_newer(&program, inputs.iter().map(PathBuf::as_path).chain([&*source])) {
            process::run(self.compiler().arg("-g").arg(&source).arg("-o").arg(&program))?;
        }
        Ok(program)
    }
}

/// Where g++ keeps a library of its own.
fn runtime(name: &'static str) -> Result<PathBuf> {
    let output = Command::new("g++")
        .arg(format!("-print-file-name={name}"))
        .output()
        .map_err(|source| Error::Spawn { program: "g++".into(), source })?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Error::NoTool { what: "the AddressSanitizer", reason: format!("g++ has no {name}") })
}

/// Whether `made` is there and younger than all of `inputs`.
fn is_newer<'a>(made: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> bool {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let Some(made) = time(made) else { return false };
    inputs.into_iter().all(|input| time(input).is_some_and(|input| input < made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_its_inputs_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let [input, made] = ["input", "made"].map(|name| folder.path().join(name));
        std::fs::write(&input, "").unwrap();
        assert!(!is_newer(&made, [&*input]), "nothing has been made");
        std::fs::write(&made, "").unwrap();
        let now = std::time::SystemTime::now();
        let set = |path: &Path, age| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(now - std::time::Duration::from_secs(age)).unwrap();
        };
        set(&input, 20);
        set(&made, 10);
        assert!(is_newer(&made, [&*input]));
        set(&input, 5);
        assert!(!is_newer(&made, [&*input]));
        assert!(!is_newer(&made, [&*folder.path().join("gone")]));
    }
}
