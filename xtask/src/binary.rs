//! The release binary `seqweave`: built when needed, then run as if it had been called itself.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::Result;
use crate::{process, workspace};

/// The verbs of the binary, for `tidy`, which checks what the documentation names.
pub const VERBS: [&str; 17] = [
    "init",
    "doctor",
    "prepare",
    "train",
    "average",
    "translate",
    "evaluate",
    "compare",
    "tokenizer",
    "score",
    "watch",
    "report",
    "info",
    "plot",
    "config",
    "bench",
    "completions",
];

/// Builds the release binary and becomes `seqweave VERB ARGS`, in the folder where the user is.
pub fn replace(verb: &str, args: &[OsString]) -> Result<()> {
    process::replace(Command::new(build()?).arg(verb).args(args))
}

/// Builds the release binary if it is not up to date; quiet unless it fails or is built for the first time.
pub fn build() -> Result<PathBuf> {
    let name = format!("seqweave{}", std::env::consts::EXE_SUFFIX);
    let path = workspace::target_dir()?.join("release").join(name);
    let mut cargo = process::cargo();
    // Standard input belongs to the binary; cargo writes to standard error only.
    cargo.args(["build", "--release", "--package", "seqweave-cli"]).stdin(Stdio::null());
    if path.is_file() {
        process::run(cargo.arg("--quiet"))?;
    } else {
        eprintln!("Building the release binary; the first time takes a few minutes.");
        process::run(&mut cargo)?;
    }
    Ok(path)
}
