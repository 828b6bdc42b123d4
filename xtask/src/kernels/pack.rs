//! `kernels pack` and `bench gpu`: what a GPU machine without Rust needs, in one folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::verify;
use crate::error::{Error, Result};
use crate::{binary, process, tools, workspace};

/// What stands beside the programs: (file name, text).
const TEXTS: [(&str, &str); 3] = [
    (
        "README.txt",
        "The tests of seqweave's kernels, for a machine with an NVIDIA driver and nothing else:\n\n    \
         SEQWEAVE_REQUIRE_CUDA=1 ./seqweave-kernel-tests cuda::\n\n\
         Tests, sanitizers, and speed beside PyTorch, in under ten minutes:\n\n    python3 gpu.py\n",
    ),
    ("gpu.py", include_str!("gpu/gpu.py")),
    ("torch_step.py", include_str!("gpu/torch_step.py")),
];

/// `kernels pack [FOLDER]`
pub fn pack(args: &[OsString]) -> Result<()> {
    let folder = match args {
        [] => default_folder()?,
        [folder] => PathBuf::from(folder),
        [_, other, ..] => return Err(tools::unknown(other, "one folder")),
    };
    fill(&folder)?;
    println!("packed into {}", folder.display());
    println!(
        "copy it to the GPU machine; there, SEQWEAVE_REQUIRE_CUDA=1 ./seqweave-kernel-tests cuda:: runs the tests"
    );
    Ok(())
}

/// `bench gpu`: the script of the packed folder, here if there is a GPU.
pub fn bench(args: &[OsString]) -> Result<()> {
    tools::no_arguments(args)?;
    let folder = default_folder()?;
    fill(&folder)?;
    // The kernel module makes this file; a library without it drives nothing.
    if !Path::new("/dev/nvidiactl").exists() {
        return Err(Error::NoTool {
            what: "GPU here",
            reason: format!(
                "the machine has no NVIDIA driver, so nothing was measured\nhelp: {} is ready: copy it to a GPU machine and run `python3 gpu.py` there",
                folder.display()
            ),
        });
    }
    process::run_loudly(Command::new("python3").arg(folder.join("gpu.py")))
}

fn default_folder() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("kernels/pack"))
}

/// The test executable and the binary, both release builds, and the scripts.
fn fill(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
    let Some(tests) = verify::executable(&["--release"])? else {
        return Err(Error::TestsFailed); // cargo has said why
    };
    for (from, name) in [(tests, "seqweave-kernel-tests"), (binary::build()?, "seqweave")] {
        let to = folder.join(name);
        fs::copy(&from, &to).map_err(Error::io("writing", &to))?;
    }
    for (name, text) in TEXTS {
        let to = folder.join(name);
        fs::write(&to, text).map_err(Error::io("writing", &to))?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// The output and exit code of the script beside these programs, with so many seconds to begin something in; `None`
    /// where there is no Python.
    fn measure(name: &str, tests: &str, binary: &str, seconds: &str) -> Option<(String, Option<i32>)> {
        let folder = std::env::temp_dir().join(format!("seqweave-gpu-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, script) in [("seqweave-kernel-tests", tests), ("seqweave", binary)] {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in TEXTS {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut python = Command::new("python3");
        python.arg(folder.join("gpu.py")).env("SEQWEAVE_BENCH_SECONDS", seconds);
        // No PyTorch, if there is one, finds a GPU.
        python.env("CUDA_VISIBLE_DEVICES", "");
        let output = python.output();
        let _ = fs::remove_dir_all(&folder);
        let Ok(output) = output else {
            println!("skipped: no python3");
            return None;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some((text + &String::from_utf8_lossy(&output.stderr), output.status.code()))
    }

    const LINE: &str = r#"echo '{"kernel": "copy", "precision": "f32", "us": 1.5, "bytes": 8, "flop": 0}'"#;
    const RATE: &str = r#"echo '{"tokens_per_s": 1000.0}'"#;

    #[test]
    fn the_script_prints_its_tables() {
        let Some((text, code)) = measure("good", LINE, RATE, "500") else { return };
        assert!(
            text.contains("copy") && text.contains("seqweave graphs") && text.contains("seqweave own"),
            "{text}"
        );
        assert!(
            text.contains("parity passed") && text.contains("0 measurements failed, 0 left out"),
            "{text}"
        );
        assert_eq!(code, Some(0), "{text}");
    }

    #[test]
    fn the_script_prints_what_it_has_when_parts_fail() {
        // A line that was cut off, then the end of the process; measurements that are no numbers.
        let cut = format!("{LINE}; echo '{{\"kernel\": \"so'; exit 3");
        let Some((text, code)) = measure("cut", &cut, "echo '{\"tokens_per_s\": null}'", "500") else {
            return;
        };
        assert!(
            text.contains("kernel  ") && text.contains("copy") && text.contains("parity FAILED"),
            "{text}"
        );
        assert!(text.contains("cut short: kernels beside their floors, report"), "{text}");
        assert_eq!(code, Some(1), "{text}");
        let (text, code) = measure("none", "exit 1", "exit 1", "500").unwrap();
        assert!(text.contains("48 measurements failed") && text.contains("parity FAILED"), "{text}");
        assert_eq!(code, Some(1), "{text}");
    }

    #[test]
    fn nothing_is_begun_when_the_time_is_over() {
        let Some((text, _)) = measure("late", LINE, RATE, "0") else { return };
        assert!(text.contains("0 measurements failed, 48 left out for time"), "{text}");
        assert!(!text.contains("== ours"), "{text}");
    }
}
