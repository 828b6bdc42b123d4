//! `test kernels`: the cross-crate tests on a device, a real one or the stand-in, over several schedules; and the planted
//! faults, which must be caught.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::nvrtc;
use super::standin::{self, Sanitizer, StandIn};
use crate::error::{Error, Result};
use crate::test::{self, Count};
use crate::{process, workspace};

/// What the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU, behind the stand-in driver.
    StandIn,
    /// The machine's own driver; without one the tests fail.
    Cuda,
}

impl Device {
    /// The value of `--device`.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        match text {
            Some("standin") => Ok(Device::StandIn),
            Some("cuda") => Ok(Device::Cuda),
            found => Err(Error::Option {
                option: "--device",
                expected: "standin or cuda",
                found: found.map(str::to_string),
            }),
        }
    }
}

/// How the kernels are tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub device: Device,
    /// Schedules of the stand-in. A real device chooses its own.
    pub seeds: u32,
    /// Once more with AddressSanitizer and the sanitizer of undefined behaviour in the kernels.
    pub asan: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { device: Device::StandIn, seeds: 3, asan: false }
    }
}

/// The tests that run on a device.
const ON_DEVICE: &str = "cuda::";

/// Exit code of a program that AddressSanitizer ends, as `StandIn::prepare` asks for.
const ASAN_EXIT: i32 = 97;

/// `test kernels`
pub fn run(options: &Options, count: &mut Count) -> Result<()> {
    let start = Instant::now();
    if options.device == Device::Cuda {
        let Some(executable) = executable(&[])? else { return failed(count) };
        count.cargo_test(in_tests(&executable, &[]).env("SEQWEAVE_REQUIRE_CUDA", "1"))?;
        return Ok(());
    }
    if let Err(reason) = standin::compiler() {
        println!("skipped: {reason}: the tests on a device, and the planted faults");
        count.skipped += 1;
        return count.cargo_test(test::cross_crate(&["--test", "kernels"]));
    }
    let standin = StandIn::build(Sanitizer::None)?;
    let Some(executable) = executable(&[])? else { return failed(count) };
    let (mut on_device, mut rows) = (0, 0);
    for seed in 0..options.seeds {
        // What needs no device is the same with any schedule.
        let mut command = in_tests(&executable, if seed == 0 { &[] } else { &[ON_DEVICE] });
        standin.prepare(&mut command)?;
        command.env("SEQWEAVE_REQUIRE_CUDA", "1").env("SEQWEAVE_STANDIN_SEED", seed.to_string());
        match nvrtc::find()? {
            Ok(library) => drop(command.env("SEQWEAVE_NVRTC_LIBRARY", library)),
            Err(reason) if seed == 0 => {
                println!("no NVRTC ({reason}): kernels are not compiled at run time here")
            }
            Err(_) => {}
        }
        on_device = 0;
        count.cargo_test_watched(&mut command, |line| {
            rows = rows_of(line).unwrap_or(rows);
            on_device += u32::from(line.starts_with("test cuda::"));
        })?;
    }
    for program in standin.self_tests()? {
        count.program(&mut Command::new(program))?;
    }
    count.program(&mut Command::new(standin.faults()?))?;
    println!(
        "kernels: {rows} rows of the op table and {on_device} tests in all on the stand-in × {} schedules, {:.0} s",
        options.seeds,
        start.elapsed().as_secs_f64()
    );
    if options.asan { with_sanitizers(&executable, count) } else { Ok(()) }
}

/// `op table: 45 rows …` → 45, as the test of the table says.
fn rows_of(line: &str) -> Option<u32> {
    line.split_once("op table: ")?.1.split(' ').next()?.parse().ok()
}

/// The tests on the device once more, every access of a kernel being checked.
fn with_sanitizers(executable: &Path, count: &mut Count) -> Result<()> {
    let start = Instant::now();
    let standin = StandIn::build(Sanitizer::Address)?;
    let mut command = in_tests(executable, &[ON_DEVICE]);
    standin.prepare(&mut command)?;
    count.cargo_test(command.env("SEQWEAVE_REQUIRE_CUDA", "1"))?;

    for program in standin.self_tests()? {
        count.program(Command::new(program).env("ASAN_OPTIONS", "detect_leaks=0"))?;
    }
    let program = standin.faults()?;
    for fault in ["missing_barrier", "divergent_barrier", "refusals", "graph"] {
        count.program(Command::new(&program).arg(fault).env("ASAN_OPTIONS", "detect_leaks=0"))?;
    }
    let mut command = Command::new(&program);
    command.arg("out_of_bounds");
    standin.prepare(&mut command)?;
    // The program has the sanitizer linked in.
    let output = command
        .env_remove("LD_PRELOAD")
        .output()
        .map_err(|source| Error::Spawn { program: program.display().to_string(), source })?;
    let words = String::from_utf8_lossy(&output.stderr);
    let caught = output.status.code() == Some(ASAN_EXIT)
        && words.contains("heap-buffer-overflow")
        && words.contains("out_of_bounds.cu:");
    let place = words.lines().find(|line| line.contains("out_of_bounds.cu:")).unwrap_or_default().trim();
    println!("out_of_bounds: {} {place}", if caught { "caught by AddressSanitizer" } else { "NOT CAUGHT" });
    count.passed += u64::from(caught);
    count.failed += u64::from(!caught);
    println!("kernels: the same with AddressSanitizer, {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A run of the test executable as cargo would run it: in the folder of its package.
fn in_tests(executable: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(executable);
    command.args(args).current_dir(workspace::root().join("tests"));
    command
}

/// cargo has said what does not compile.
fn failed(count: &mut Count) -> Result<()> {
    count.failed += 1;
    Ok(())
}

/// Builds the test executable `kernels`; `None` if it does not compile.
pub fn executable(args: &[&str]) -> Result<Option<PathBuf>> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--no-run", "--package", "seqweave-tests", "--test", "kernels"]);
    cargo.args(["--message-format", "json-render-diagnostics"]).args(args);
    let text = match process::output(&mut cargo) {
        Ok(text) => text,
        Err(Error::Exit { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = messages.filter_map(|message| {
        let path = message["executable"].as_str()?;
        (message["target"]["name"] == "kernels" && message["profile"]["test"] == true)
            .then(|| PathBuf::from(path))
    });
    found.next().map(Some).ok_or(Error::Output {
        program: "cargo test --no-run",
        expected: "the test executable `kernels`",
        found: "none".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_counted() {
        assert_eq!(rows_of("op table: 45 rows, 120 results"), Some(45));
        // With one test thread the line begins with the test's name.
        assert_eq!(rows_of("test cuda::x ... op table: 45 rows, 120 results"), Some(45));
        assert_eq!(rows_of("test cuda::x ... ok"), None);
    }
}
