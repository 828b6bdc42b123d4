//! `test`: the levels of docs/guide/testing.md, with a closing table and count.

use std::borrow::Cow;
use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::kernels::verify;
use crate::{binary, process, workspace};

/// The levels, in the order in which `all` runs them.
pub const LEVELS: [&str; 7] = ["unit", "paths", "kernels", "grad", "golden", "e2e", "resume"];

/// The crates that compute with the vectors of the processor, and those that are built on them.
const LOWER: [&str; 4] = ["seqweave-tensor", "seqweave-autograd", "seqweave-nn", "seqweave-seq2seq"];

/// How often the resume test kills the trainer unless `--trials` says otherwise.
const RESUME_TRIALS: u32 = 20;

/// `test [LEVEL…] [--trials N] [--device standin|cuda] [--seeds N] [--asan]`
pub fn run(args: &[OsString]) -> Result<()> {
    let options = Options::parse(args)?;
    let mut rows = Vec::new();
    for &level in &options.levels {
        let start = Instant::now();
        let mut count = Count::default();
        run_level(level, &options, &mut count)?;
        rows.push((level, count, start.elapsed().as_secs_f64()));
    }

    let mut total = Count::default();
    println!("\nlevel       passed   failed  skipped   seconds");
    for (level, count, seconds) in rows {
        let Count { passed, failed, skipped } = count;
        println!("{level:<10} {passed:>7} {failed:>8} {skipped:>8} {seconds:>9.1}");
        total.add(count);
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed > 0 { Err(Error::TestsFailed) } else { Ok(()) }
}

#[derive(Debug, PartialEq)]
struct Options {
    levels: Vec<&'static str>,
    trials: u32,
    kernels: verify::Options,
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Self> {
        let mut options =
            Options { levels: Vec::new(), trials: RESUME_TRIALS, kernels: verify::Options::default() };
        let mut args = args.iter().map(|arg| arg.to_string_lossy());
        while let Some(arg) = args.next() {
            if arg == "--trials" {
                options.trials = whole_number("--trials", args.next())?;
            } else if arg == "--seeds" {
                options.kernels.seeds = whole_number("--seeds", args.next())?;
            } else if arg == "--asan" {
                options.kernels.asan = true;
            } else if arg == "--device" {
                options.kernels.device = verify::Device::parse(args.next().as_deref())?;
            } else if let Some(level) = LEVELS.into_iter().find(|&level| level == arg) {
                options.levels.push(level);
            } else if arg == "all" {
                options.levels.extend(LEVELS);
            } else {
                let known = format!(
                    "{}, all, --trials N, --device standin|cuda, --seeds N, --asan",
                    LEVELS.join(", ")
                );
                return Err(Error::Unknown { what: "test level", found: arg.into_owned(), known });
            }
        }
        if options.levels.is_empty() {
            options.levels.extend(LEVELS);
        }
        Ok(options)
    }
}

/// The value of an option that counts something.
fn whole_number(option: &'static str, found: Option<Cow<'_, str>>) -> Result<u32> {
    let number = found.as_ref().and_then(|value| value.parse().ok()).filter(|&n| n > 0);
    let found = found.map(Cow::into_owned);
    number.ok_or(Error::Option { option, expected: "a whole number from 1", found })
}

fn run_level(level: &str, options: &Options, count: &mut Count) -> Result<()> {
    match level {
        "kernels" => verify::run(&options.kernels, count),
        "unit" => {
            // Doc tests included. The cross-crate executables are the other levels; their library is not.
            count.cargo_test(process::cargo().args([
                "test",
                "--no-fail-fast",
                "--workspace",
                "--exclude",
                "seqweave-tests",
            ]))?;
            count.cargo_test(cross_crate(&["--lib"]))?;
            run_examples(count)
        }
        "paths" => {
            let paths = narrower_paths();
            if paths.is_empty() {
                println!("skipped: this processor has one path, which `unit` has tested");
                count.skipped += 1;
            }
            for path in paths {
                let mut cargo = process::cargo();
                cargo.args(["test", "--no-fail-fast", "--lib", "--tests"]);
                cargo.args(LOWER.into_iter().flat_map(|name| ["--package", name]));
                println!("SEQWEAVE_CPU={path}");
                count.cargo_test(cargo.env("SEQWEAVE_CPU", path))?;
            }
            Ok(())
        }
        "grad" => {
            // The whole stack in f64: finite differences in f32 could not tell an error from rounding.
            let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
            flags += " --cfg seqweave_f64";
            let target = workspace::target_dir()?.join("f64");
            let mut cargo = cross_crate(&["--test", "grad"]);
            count.cargo_test(cargo.env("RUSTFLAGS", flags.trim()).env("CARGO_TARGET_DIR", target))
        }
        "e2e" | "resume" => {
            let Ok(binary) = binary::build() else {
                count.failed += 1; // cargo has said why
                return Ok(());
            };
            let mut cargo = cross_crate(&["--test", level]);
            cargo.env("SEQWEAVE_BIN", binary).env("SEQWEAVE_RESUME_TRIALS", options.trials.to_string());
            count.cargo_test(cargo)
        }
        _ => count.cargo_test(cross_crate(&["--test", level])),
    }
}

/// The names that `SEQWEAVE_CPU` has for what this processor can do besides its widest path, which `unit` has tested.
///
/// The same features as the tensor crate asks for; the standard library cannot tell of tiles yet, the kernel can.
fn narrower_paths() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        let cpuinfo = || std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let amx = avx512 && cpuinfo().contains("amx_bf16");
        &["portable", "avx2", "avx512"][..[avx2, avx512, amx].into_iter().map(usize::from).sum()]
    }
    #[cfg(not(target_arch = "x86_64"))]
    &[]
}

/// `cargo test` of the crate of cross-crate tests.
pub fn cross_crate(args: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.args(["test", "--no-fail-fast", "--package", "seqweave-tests"]).args(args);
    cargo
}

/// Each example counts as a test. `cargo test` has built them; what they write goes into a folder below target.
fn run_examples(count: &mut Count) -> Result<()> {
    let manifest = workspace::root().join("Cargo.toml");
    let folder = workspace::target_dir()?.join("examples-run");
    std::fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
    for (package, example) in examples()? {
        let mut cargo = process::cargo();
        cargo.args(["run", "--quiet", "--package", &package, "--example", &example]);
        cargo.arg("--manifest-path").arg(&manifest).current_dir(&folder);
        count.program(&mut cargo)?;
    }
    Ok(())
}

/// Every example of the workspace as (package, example). `cargo test` builds them but does not run them.
fn examples() -> Result<Vec<(String, String)>> {
    let metadata = workspace::members()?;
    let mut examples = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let is_example = target["kind"].as_array().into_iter().flatten().any(|kind| kind == "example");
            if let (true, Some(package), Some(example)) =
                (is_example, package["name"].as_str(), target["name"].as_str())
            {
                examples.push((package.into(), example.into()));
            }
        }
    }
    examples.sort();
    Ok(examples)
}

/// Tests passed and failed, and questions that a missing tool or data set kept from being asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Runs a `cargo test` and adds up what its executables report.
    pub fn cargo_test(&mut self, mut command: impl std::borrow::BorrowMut<Command>) -> Result<()> {
        self.cargo_test_watched(command.borrow_mut(), |_| {})
    }

    /// [`Count::cargo_test`] that shows each line to `see`.
    pub fn cargo_test_watched(&mut self, command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
        let mut count = Count::default();
        let success = process::watch(command, |line| {
            see(line);
            if let Some(result) = parse_result(line) {
                count.add(result);
            }
            count.skipped += u64::from(says_skipped(line));
        })?;
        // It did not compile, or an executable died before it could report.
        if !success && count.failed == 0 {
            count.failed = 1;
        }
        self.add(count);
        Ok(())
    }

    /// Runs a program that counts as one test.
    pub fn program(&mut self, command: &mut Command) -> Result<()> {
        let success = process::watch(command, |_| {})?;
        self.add(Count { passed: u64::from(success), failed: u64::from(!success), skipped: 0 });
        Ok(())
    }
}

/// `test result: ok. 13 passed; 0 failed; 0 ignored; …` → (13, 0)
fn parse_result(line: &str) -> Option<Count> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |label| {
        counts.split("; ").find_map(|part| part.strip_suffix(label)).and_then(|number| number.parse().ok())
    };
    Some(Count { passed: number(" passed")?, failed: number(" failed")?, skipped: 0 })
}

/// Whether a test says that it could not ask its question: `skipped: …`, behind its name where tests run one by one.
fn says_skipped(line: &str) -> bool {
    line.starts_with("skipped: ") || line.starts_with("test ") && line.contains(" ... skipped: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_could_not_ask_is_counted() {
        let mut count = Count::default();
        let said = "running 3 tests\ntest a::skipped ... ok\nskipped: no SCAN data (beside the workspace)\n\
                    test b ... skipped: no browser\nok\ntest c ... ok\nnothing was skipped: here\n\
                    test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n";
        count.cargo_test(Command::new("printf").arg(said)).unwrap();
        assert_eq!(count, Count { passed: 3, failed: 0, skipped: 2 });
    }

    #[test]
    fn result_lines_are_read() {
        let ok =
            "test result: ok. 13 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s";
        let failed = "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(parse_result(ok), Some(Count { passed: 13, failed: 0, skipped: 0 }));
        assert_eq!(parse_result(failed), Some(Count { passed: 12, failed: 1, skipped: 0 }));
        for other in ["", "test close::tests::x ... ok", "running 13 tests", "test result: ok. soon"] {
            assert_eq!(parse_result(other), None, "{other}");
        }
    }

    #[test]
    fn the_command_line_is_checked() {
        let parse = |args: &[&str]| {
            Options::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            parse(&[]),
            Ok(Options { levels: LEVELS.to_vec(), trials: 20, kernels: verify::Options::default() })
        );
        assert_eq!(parse(&["all"]), parse(&[]));
        assert_eq!(parse(&["unit", "grad"]).unwrap().levels, ["unit", "grad"]);
        assert_eq!(
            parse(&["resume", "--trials", "200"]),
            Ok(Options { levels: vec!["resume"], trials: 200, kernels: verify::Options::default() })
        );
        let kernels = verify::Options { device: verify::Device::Cuda, seeds: 5, asan: true };
        assert_eq!(
            parse(&["kernels", "--device", "cuda", "--seeds", "5", "--asan"]),
            Ok(Options { levels: vec!["kernels"], trials: 20, kernels })
        );
        let rows: [(&[&str], &str); 6] = [
            (&["--device", "gpu"], "--device: expected standin or cuda, found `gpu`"),
            (&["--seeds"], "--seeds: expected a whole number from 1 after it, found nothing"),
            (
                &["units"],
                "unknown test level `units`: expected one of unit, paths, kernels, grad, golden, e2e, resume",
            ),
            (&["--trials"], "--trials: expected a whole number from 1 after it, found nothing"),
            (&["--trials", "0"], "--trials: expected a whole number from 1, found `0`"),
            (&["--trials", "x"], "found `x`"),
        ];
        for (args, want) in rows {
            let error = parse(args).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_crash_without_a_result_line_is_a_failure() {
        let sh = |script: &str| {
            let mut count = Count::default();
            count.cargo_test(Command::new("sh").args(["-c", script])).unwrap();
            count
        };
        assert_eq!(sh("exit 101"), Count { passed: 0, failed: 1, skipped: 0 });
        assert_eq!(
            sh("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 1"),
            Count { passed: 2, failed: 1, skipped: 0 }
        );
        assert_eq!(
            sh("echo 'test result: FAILED. 2 passed; 3 failed; 0 ignored'; exit 1"),
            Count { passed: 2, failed: 3, skipped: 0 }
        );
    }
}
