//! Where the workspace is and what cargo knows about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::process;

/// The root folder of the workspace.
pub fn root() -> PathBuf {
    // Set by `cargo run`, so a workspace that was moved after the build is still found.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = xtask.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    xtask.parent().map(Path::to_path_buf).unwrap_or(xtask)
}

/// `cargo metadata` of the workspace's own packages.
pub fn members() -> Result<Value> {
    metadata(&["--no-deps"])
}

/// `cargo metadata` with every dependency that this machine builds.
pub fn dependencies() -> Result<Value> {
    // Without the filter, cargo would fetch the packages of all other platforms too.
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or_else(|| Error::Output {
        program: "rustc -vV",
        expected: "a line `host: …`",
        found: version.clone(),
    })?;
    metadata(&["--filter-platform", host])
}

/// Cargo's target folder, which a user may have moved.
pub fn target_dir() -> Result<PathBuf> {
    let found = members()?["target_directory"].as_str().map(PathBuf::from);
    found.ok_or(Error::Output {
        program: "cargo metadata",
        expected: "a target_directory",
        found: "none".into(),
    })
}

fn metadata(args: &[&str]) -> Result<Value> {
    let text = process::output(process::cargo().args(["metadata", "--format-version", "1"]).args(args))?;
    serde_json::from_str(&text).map_err(|error| Error::Output {
        program: "cargo metadata",
        expected: "JSON",
        found: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_root_is_found() {
        assert!(super::root().join("xtask/src/workspace.rs").is_file());
    }
}
