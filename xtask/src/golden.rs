//! `golden`: the values of the golden tests, computed by PyTorch.
//!
//! `tests/golden/generate.py FOLDER` writes JSON files into a folder. This verb has them written where the tests read
//! them, or, with `--check`, beside, and compares: whoever has another PyTorch learns whether the values still hold.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::{process, tools, workspace};

const SCRIPT: &str = "tests/golden/generate.py";
const FIXTURES: &str = "tests/golden/fixtures";

/// How far two PyTorch versions may differ, relative to the value or, for small values, absolute.
const TOLERANCE: f64 = 1e-5;

/// `golden [--check] [--python PATH]`
pub fn run(args: &[OsString]) -> Result<()> {
    let root = workspace::root();
    let (mut check, mut python) = (false, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--check" {
            check = true;
        } else if arg == "--python" {
            let missing = Error::Option { option: "--python", expected: "a path", found: None };
            python = Some(PathBuf::from(args.next().ok_or(missing)?));
        } else {
            return Err(tools::unknown(arg, "--check, --python PATH"));
        }
    }
    let python = python.unwrap_or_else(|| tools::python(&root));
    require_torch(&python)?;

    let fixtures = root.join(FIXTURES);
    let folder = if check { workspace::target_dir()?.join("golden") } else { fixtures.clone() };
    fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
    process::run_loudly(Command::new(&python).arg(root.join(SCRIPT)).arg(&folder).current_dir(&root))?;
    if check { compare_folders(&fixtures, &folder) } else { Ok(()) }
}

fn require_torch(python: &Path) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-c", "import torch, numpy"]).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Error::NoTorch { python: python.into() }),
        Err(source) => Err(Error::Spawn { program: python.display().to_string(), source }),
    }
}

fn compare_folders(kept: &Path, fresh: &Path) -> Result<()> {
    let (names, fresh_names) = (json_files(kept)?, json_files(fresh)?);
    let mut findings = Vec::new();
    for name in fresh_names.iter().filter(|name| !names.contains(name)) {
        findings.push(format!("{name}: not among the kept files"));
    }
    for name in &names {
        if fresh_names.contains(name) {
            compare(&read(&kept.join(name))?, &read(&fresh.join(name))?, name, &mut findings);
        } else {
            findings.push(format!("{name}: no longer written by {SCRIPT}"));
        }
    }
    findings.iter().for_each(|finding| println!("{finding}"));
    println!("{} golden files compared", names.len());
    if findings.is_empty() {
        return Ok(());
    }
    Err(Error::Findings { check: "golden --check", count: findings.len() })
}

/// Compares two JSON values: numbers with a tolerance, all else exactly. One finding a place, at most.
fn compare(kept: &Value, fresh: &Value, place: &str, findings: &mut Vec<String>) {
    match (kept, fresh) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                compare(value, &b[key], &format!("{place}: {key}"), findings);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            // Of a thousand values that moved, the first says enough.
            let before = findings.len();
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                compare(x, y, &format!("{place}[{i}]"), findings);
                findings.truncate(before + 1);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            let close = (a - b).abs() <= TOLERANCE * a.abs().max(1.0);
            if !close {
                findings.push(format!("{place}: kept {a}, computed {b}"));
            }
        }
        _ if kept == fresh => {}
        _ => findings.push(format!("{place}: other keys, length or kind than kept")),
    }
}

fn json_files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let name = entry.map_err(Error::io("reading", folder))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Io {
        doing: "reading",
        path: path.into(),
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_with_a_tolerance() {
        let rows = [
            (r#"{"a": [1, 2.0]}"#, r#"{"a": [1.000001, 2]}"#, None),
            (r#"{"a": [1, 2]}"#, r#"{"a": [1.1, 2.1]}"#, Some("f: a[0]: kept 1, computed 1.1")),
            (r#"{"a": [1]}"#, r#"{"a": [1, 2]}"#, Some("f: a: other keys, length or kind than kept")),
            (r#"{"a": 1}"#, r#"{"b": 1}"#, Some("f: other keys, length or kind than kept")),
            (r#"{"a": "x"}"#, r#"{"a": "x"}"#, None),
            ("1e-9", "-1e-9", None),
            ("1e9", "1.001e9", Some("f: kept 1000000000, computed 1001000000")),
        ];
        for (kept, fresh, want) in rows {
            let mut findings = Vec::new();
            let parse = |text| serde_json::from_str(text).unwrap();
            compare(&parse(kept), &parse(fresh), "f", &mut findings);
            assert_eq!(findings, want.into_iter().collect::<Vec<_>>(), "{kept} {fresh}");
        }
    }

    #[test]
    fn a_python_without_torch_is_told_how_to_get_it() {
        // `false` fails like a Python that cannot import.
        let error = require_torch(Path::new("false")).unwrap_err().to_string();
        assert!(error.contains("pip install torch numpy"), "{error}");
    }
}
