//! The verbs that only call a tool: `fmt` and `docs`; and `clippy`, which `ci` calls.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process;

/// `fmt [--check]`
pub fn fmt(args: &[OsString]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        [other, ..] => return Err(unknown(other, "--check")),
    };
    let mut cargo = process::cargo();
    cargo.args(["fmt", "--all"]);
    if check {
        cargo.args(["--", "--check"]);
    }
    process::run_loudly(&mut cargo)
}

/// `docs`: the API documentation of the workspace, no warnings.
pub fn docs(args: &[OsString]) -> Result<()> {
    no_arguments(args)?;
    let mut cargo = process::cargo();
    cargo.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings");
    process::run_loudly(&mut cargo)
}

/// Clippy over everything, no warnings.
pub fn clippy() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]);
    process::run_loudly(&mut cargo)
}

/// For verbs without arguments.
pub fn no_arguments(args: &[OsString]) -> Result<()> {
    args.first().map_or(Ok(()), |arg| Err(unknown(arg, "(none)")))
}

/// An argument that the verb does not have.
pub fn unknown(arg: &OsString, known: &str) -> Error {
    Error::Unknown { what: "argument", found: arg.to_string_lossy().into_owned(), known: known.into() }
}
/// The Python of the environment that messages propose, once it is there, else whatever `python3` is.
pub fn python(root: &Path) -> PathBuf {
    let venv = root.join("target/venv/bin/python");
    if venv.is_file() { venv } else { "python3".into() }
}
