//! `kernels`: compiles the CUDA sources into the committed images, checks them, lists them, and packs their tests; the
//! stand-in driver that runs them on the CPU is built here too.

mod build;
mod generate;
mod limits;
mod nvrtc;
pub mod pack;
mod scan;
mod sources;
pub mod standin;
mod table;
mod usage;
pub mod verify;

use std::ffi::OsString;

use crate::error::Result;
use crate::tools;

/// How a check ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// A tool is missing; it has been said which.
    Skipped,
}

/// `kernels build|check|list|pack`
pub fn run(args: &[OsString]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return Err(tools::unknown(&OsString::new(), "build, check, list, pack"));
    };
    match &*name.to_string_lossy() {
        "build" => tools::no_arguments(rest).and_then(|()| build::build()),
        "check" => tools::no_arguments(rest).and_then(|()| check().map(|_| ())),
        "list" => tools::no_arguments(rest).and_then(|()| list()),
        "pack" => pack::pack(rest),
        _ => Err(tools::unknown(name, "build, check, list, pack")),
    }
}

/// Whether the committed images, lists and tables are those of the sources.
pub fn check() -> Result<Outcome> {
    build::check()
}

/// One line a kernel: where it is, what it takes, what it needs on an H100.
fn list() -> Result<()> {
    let sources = sources::Sources::read()?;
    let manifest = build::read_manifest()?;
    for family in &sources.families {
        for kernel in &family.kernels {
            let needs = &manifest["families"][&family.name]["kernels"][&kernel.name];
            let usage =
                needs.get("sm_90").or(needs.get("sm_90a")).map(usage::Usage::from_json).unwrap_or_default();
            let params: Vec<String> =
                kernel.params.iter().map(|param| format!("{} {}", param.ctype, param.name)).collect();
            println!(
                "{}.cu:{}: {}({}), {} threads, {} registers, {} B shared{}",
                family.name,
                kernel.line,
                kernel.name,
                params.join(", "),
                kernel.threads,
                usage.registers,
                usage.shared,
                if kernel.cooperative { ", cooperative" } else { "" }
            );
        }
    }
    Ok(())
}
