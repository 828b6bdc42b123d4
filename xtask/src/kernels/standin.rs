//! Builds the stand-in driver: a `libcuda` with every kernel compiled for the CPU. Test equipment; no user path loads it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::generate::{self, Family};
use super::sources::{self, Sources};
use super::{build, scan};
use crate::error::{Error, Result};
use crate::{process, workspace};

/// Every kernel of a file that the stand-in can run: Hopper's own instructions it cannot.
fn families(sources: &Sources) -> impl Iterator<Item = &Family> {
    sources.families.iter().filter(|family| !family.name.ends_with("_sm90a"))
}

/// What is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sanitizer {
    None,
    /// AddressSanitizer and the sanitizer of undefined behaviour.
    Address,
}

/// The C++ compiler, or why there is none.
pub fn compiler() -> std::result::Result<PathBuf, String> {
    let found = Command::new("g++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok("g++".into()),
        _ => Err("no g++, which compiles the kernels for the CPU".into()),
    }
}

/// The stand-in driver and, for the negative controls, a program with faults planted in.
pub struct StandIn {
    folder: PathBuf,
    sanitizer: Sanitizer,
}

impl StandIn {
    /// Compiles what is not up to date.
    pub fn build(sanitizer: Sanitizer) -> Result<Self> {
        let sources = Sources::read()?;
        let name = if sanitizer == Sanitizer::Address { "standin-asan" } else { "standin" };
        let standin = StandIn { folder: workspace::target_dir()?.join("kernels").join(name), sanitizer };
        let folder = &standin.folder;
        std::fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;

        let mut objects = vec![standin.object("driver", "#include \"driver.cpp\"\n")?];
        let manifest = build::read_manifest()?;
        for family in families(&sources) {
            objects.push(standin.object(&family.name, &wrapper(family, "../cu", &manifest))?);
        }
        standin.link(&objects, &["-shared", "-Wl,-soname,libcuda.so"], &folder.join("libcuda.so"))?;
        // In a folder of its own, since most tests are of our own kernels: they find the driver and no library.
        std::fs::create_dir_all(standin.cublaslt()).map_err(Error::io("creating", &standin.cublaslt()))?;
        let object = standin.object("cublaslt", "#include \"cublaslt.cpp\"\n")?;
        let library = standin.cublaslt().join("libcublasLt.so");
        standin.link(&[object], &["-shared", "-Wl,-soname,libcublasLt.so"], &library)?;
        Ok(standin)
    }

    /// The folder with the stand-in for cuBLASLt.
    fn cublaslt(&self) -> PathBuf {
        self.folder.join("cublaslt")
    }

    /// What a program needs in its environment to load the library.
    pub fn prepare(&self, command: &mut Command) -> Result<()> {
        if self.sanitizer == Sanitizer::Address {
            let text = process::output(Command::new("g++").arg("-print-file-name=libasan.so"))?;
            command.env("LD_PRELOAD", text.trim());
            // What a Rust program leaves for the operating system to free is no fault of a kernel.
            command.env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0:exitcode=97");
            command.env("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1");
        }
        // The loader looks here before anywhere else, so what asks for a driver gets this one.
        command.env("LD_LIBRARY_PATH", &self.folder).env("SEQWEAVE_STANDIN", "1");
        command.env("SEQWEAVE_STANDIN_CUBLASLT", self.cublaslt());
        Ok(())
    }

    /// A program of its own that launches the planted faults.
    pub fn faults(&self) -> Result<PathBuf> {
        let folder = sources::folder().join("cpu/faults");
        let mut objects = vec![
            self.object("driver", "#include \"driver.cpp\"\n")?,
            self.object("faults", "#include \"faults/main.cpp\"\n")?,
        ];
        for name in ["missing_barrier", "divergent_barrier", "out_of_bounds"] {
            let path = folder.join(format!("{name}.cu"));
            let text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
            let kernels = scan::kernels(&path.display().to_string(), &text)?;
            let family = Family { name: name.into(), kernels, targets: &[] };
            // One of them has shared memory of its own.
            let usage = json!({"missing_barrier": {"sm_80": {"shared": 1024}}});
            let manifest = json!({"families": {"missing_barrier": {"kernels": usage}}});
            objects.push(self.object(name, &wrapper(&family, "faults", &manifest))?);
        }
        let program = self.folder.join("faults");
        self.link(&objects, &[], &program)?;
        Ok(program)
    }

    /// The programs of `kernels/cpu/selftest`: the executor, and kernels against plain loops in f64, without any driver.
    pub fn self_tests(&self) -> Result<Vec<PathBuf>> {
        let folder = sources::folder().join("cpu/selftest");
        let mut names = Vec::new();
        for file in std::fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let name = file.map_err(Error::io("reading", &folder))?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".cpp")).map(str::to_string));
        }
        names.sort();
        let mut programs = Vec::new();
        for name in names {
            let object = format!("selftest_{name}");
            let object = self.object(&object, &format!("#include \"selftest/{name}.cpp\"\n"))?;
            let program = self.folder.join(format!("selftest_{name}"));
            self.link(&[object], &[], &program)?;
            programs.push(program);
        }
        Ok(programs)
    }

    /// Compiles a text whose includes are searched for in `kernels/cpu`, unless its object is younger than all of them.
    fn object(&self, name: &str, text: &str) -> Result<PathBuf> {
        let source = self.folder.join(format!("{name}.gen.cpp"));
        let object = self.folder.join(format!("{name}.o"));
        let written = std::fs::read_to_string(&source).is_ok_and(|found| found == text);
        if !written {
            std::fs::write(&source, text).map_err(Error::io("writing", &source))?;
        }
        if written && is_fresh(&object, &self.folder.join(format!("{name}.d"))) {
            return Ok(object);
        }
        let cpu = sources::folder().join("cpu");
        let mut compiler = Command::new("g++");
        // As with NVRTC, a product and a sum are two roundings.
        compiler.args([
            "-std=c++17",
            "-O2",
            "-g1",
            "-fPIC",
            "-ffp-contract=off",
            "-Wall",
            "-Wno-unknown-pragmas",
            "-Wno-unused-function",
            "-Wno-unused-variable",
        ]);
        compiler.args(self.flags()).arg("-I").arg(&cpu).arg("-I").arg(sources::folder().join("cu"));
        compiler.args(["-MMD", "-c"]).arg(&source).arg("-o").arg(&object);
        if let Err(error) = process::run(&mut compiler) {
            let _ = std::fs::remove_file(&object);
            return Err(error);
        }
        Ok(object)
    }

    fn link(&self, objects: &[PathBuf], flags: &[&str], output: &Path) -> Result<()> {
        let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        if time(output)
            .is_some_and(|made| objects.iter().all(|object| time(object).is_some_and(|t| t <= made)))
        {
            return Ok(());
        }
        let mut compiler = Command::new("g++");
        process::run(
            compiler.args(flags).args(self.flags()).args(objects).arg("-o").arg(output).arg("-lpthread"),
        )
    }

    fn flags(&self) -> &'static [&'static str] {
        match self.sanitizer {
            Sanitizer::None => &[],
            Sanitizer::Address => &["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
        }
    }
}

/// The file in a namespace of its own, as helpers of two files may have one name, and its kernels registered, with the
/// shared memory that their images declare.
fn wrapper(family: &Family, folder: &str, manifest: &Value) -> String {
    let name = &family.name;
    let mut text = format!(
        "#include \"prelude.cuh\"\n#include \"standin.h\"\nnamespace family_{name} {{\n#include \"{folder}/{name}.cu\"\n}}\n"
    );
    for kernel in &family.kernels {
        text += &format!(
            "STANDIN_KERNEL(family_{name}, {}, {}, {}, {}, {});\n",
            kernel.name,
            kernel.threads,
            kernel.min_blocks,
            kernel.cooperative,
            generate::static_shared(manifest, name, &kernel.name)
        );
    }
    text
}

/// Whether an object is younger than every file in its list of dependencies.
fn is_fresh(object: &Path, dependencies: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let (Some(made), Ok(text)) = (time(object), std::fs::read_to_string(dependencies)) else { return false };
    let Some((_, files)) = text.split_once(": ") else { return false };
    let mut files = files.split_whitespace().filter(|word| *word != "\\");
    files.all(|file| time(Path::new(file)).is_some_and(|t| t <= made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_registers_every_kernel() {
        let text = "KERNEL(a, 64, 2)(int n) {}\nKERNEL(b, 32, 1)(u32* c) { grid_barrier(c); }\n";
        let family =
            Family { name: "toy".into(), kernels: scan::kernels("toy.cu", text).unwrap(), targets: &[] };
        let manifest = json!({"families": {"toy": {"kernels": {"a": {"sm_80": {"shared": 96}}}}}});
        let text = wrapper(&family, "../cu", &manifest);
        assert!(text.contains("#include \"../cu/toy.cu\""), "{text}");
        assert!(text.contains("STANDIN_KERNEL(family_toy, a, 64, 2, false, 96);"), "{text}");
        assert!(text.contains("STANDIN_KERNEL(family_toy, b, 32, 1, true, 0);"), "{text}");
    }

    #[test]
    fn an_object_without_dependencies_is_stale() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(!is_fresh(&here, Path::new("no-such-file")));
        assert!(!is_fresh(Path::new("no-such-file"), &here));
    }
}
