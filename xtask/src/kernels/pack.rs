//! `kernels pack`, and the test executable that it and `test kernels` run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::{process, workspace};

/// Builds the executable of `tests/kernels` and gives its path; `None` if it does not compile, which cargo has told.
pub fn test_program(release: bool) -> Result<Option<PathBuf>> {
    let mut cargo: Command = process::cargo();
    cargo.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
        "--package",
        "seqweave-tests",
    ]);
    cargo.args(["--test", "kernels"]).args(release.then_some("--release")).stderr(Stdio::inherit());
    let output = cargo.output().map_err(|source| Error::Spawn { program: "cargo".into(), source })?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.find_map(|message| {
        let is_it = message["target"]["name"] == "kernels" && message["profile"]["test"] == true;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    let expected = "the path of the test executable `kernels`";
    program.map(Some).ok_or(Error::Output { program: "cargo", expected, found: "none".into() })
}

/// Copies the release build of the kernel tests to `target/kernels/pack/`: one file that a machine with a GPU and no Rust
/// can run.
pub fn pack() -> Result<()> {
    let Some(program) = test_program(true)? else {
        return Err(Error::Exit { command: "cargo test --no-run".into(), code: 1 });
    };
    let folder = workspace::target_dir()?.join("kernels/pack");
    std::fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
    let packed = folder.join("seqweave-kernel-tests");
    std::fs::copy(&program, &packed).map_err(Error::io("writing", &packed))?;
    println!("{}", packed.display());
    println!("on a machine with an NVIDIA driver: SEQWEAVE_REQUIRE_CUDA=1 ./seqweave-kernel-tests cuda");
    Ok(())
}
