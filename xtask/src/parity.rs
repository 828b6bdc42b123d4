//! `parity`: our scores of texts against those of sacreBLEU and rouge-score, on random text.
//!
//! `crates/seqweave-metrics/tests/parity/generate.py FILE SEED PAIRS` makes the texts and has the Python packages score
//! them; the test beside it compares. With `--keep` the file that the test reads without Python is written anew.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::{process, tools, workspace};

const FOLDER: &str = "crates/seqweave-metrics/tests/parity";

/// Pairs of text unless `--pairs` says otherwise: what is kept has as many.
const PAIRS: u64 = 300;

struct Options {
    python: Option<PathBuf>,
    seed: Option<u64>,
    pairs: u64,
    keep: bool,
}

/// `parity [--python PATH] [--seed N] [--pairs N] [--keep]`
pub fn run(args: &[OsString]) -> Result<()> {
    let root = workspace::root();
    let Options { python, seed, pairs, keep } = parse(args)?;
    let python = python.unwrap_or_else(|| tools::python(&root));
    if !has_packages(&python) {
        println!(
            "SKIPPED: {} cannot import sacrebleu and rouge_score, so nothing was compared beyond the kept file\n\
             help: python3 -m venv target/venv && target/venv/bin/pip install sacrebleu==2.6.0 rouge-score==0.1.2",
            python.display()
        );
        return Ok(());
    }
    let file = if keep {
        root.join(FOLDER).join("expected.json")
    } else {
        workspace::target_dir()?.join("parity.json")
    };
    // What is kept must be the same on every machine; what is tried should be new each time.
    let seed = seed.unwrap_or_else(|| if keep { 1 } else { of_the_clock() });
    let mut generate = Command::new(&python);
    generate.arg(root.join(FOLDER).join("generate.py")).arg(&file);
    process::run_loudly(generate.args([seed.to_string(), pairs.to_string()]).current_dir(&root))?;
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "seqweave-metrics", "--test", "parity", "--", "--nocapture"]);
    process::run_loudly(cargo.env("SEQWEAVE_PARITY_FILE", &file))
}

fn parse(args: &[OsString]) -> Result<Options> {
    let mut options = Options { python: None, seed: None, pairs: PAIRS, keep: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = |option, expected| args.next().ok_or(Error::Option { option, expected, found: None });
        match arg.to_str() {
            Some("--keep") => options.keep = true,
            Some("--python") => options.python = Some(value("--python", "a path")?.into()),
            Some("--seed") => options.seed = Some(number("--seed", value("--seed", "a number")?)?),
            Some("--pairs") => options.pairs = number("--pairs", value("--pairs", "a number")?)?,
            _ => return Err(tools::unknown(arg, "--python PATH, --seed N, --pairs N, --keep")),
        }
    }
    Ok(options)
}

fn number(option: &'static str, value: &OsString) -> Result<u64> {
    let text = value.to_string_lossy();
    text.parse().map_err(|_| Error::Option { option, expected: "a number", found: Some(text.into_owned()) })
}

fn has_packages(python: &PathBuf) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import sacrebleu, rouge_score"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn of_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_refused() {
        let read = |line: &str| parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        let options = read("--seed 7 --pairs 24 --keep").unwrap();
        assert_eq!((options.seed, options.pairs, options.keep), (Some(7), 24, true));
        assert_eq!(read("").unwrap().pairs, PAIRS);
        for line in ["--seed", "--seed x", "--loud"] {
            assert_eq!(read(line).err().map(|e| e.exit_code()), Some(2), "{line}");
        }
    }
}
