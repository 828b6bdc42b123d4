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
