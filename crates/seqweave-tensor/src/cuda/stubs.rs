//! Stub libraries for tests of what is found: compiled from C text, and looked for in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a child prints before its answer.
const ANSWER: &str = "the answer is: ";

/// Prints the answer of a child.
pub(super) fn answer(text: &str) {
    println!("{ANSWER}{text}");
}

/// The answer of the test `name`, run in a process whose loader looks into `folder` first, with `mark` in its environment.
pub(super) fn ask(name: &str, folder: &Path, (mark, value): (&str, &str)) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let output = child.env(mark, value).env("LD_LIBRARY_PATH", folder).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child died: {}\n{text}\n{errors}", output.status);
    text.lines().find_map(|line| Some(line.split_once(ANSWER)?.1)).expect("an answer").to_owned()
}

/// A shared library from C text; `None` where there is no C compiler.
pub(super) fn compile(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let (source, library) = (folder.join("stub.c"), folder.join(name));
    std::fs::write(&source, text).unwrap();
    for compiler in ["cc", "gcc", "g++", "clang"] {
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-w", "-x", "c", "-o"]).arg(&library).arg(&source);
        if command.status().is_ok_and(|status| status.success()) {
            return Some(library);
        }
    }
    println!("skipped: no C compiler");
    None
}
