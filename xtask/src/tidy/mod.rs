//! `tidy`: conventions worth having are checks. One small function each, with a planted violation in its test.

mod edges;
mod markdown;
mod sources;

use std::ffi::OsString;
use std::fmt;
use std::process::Command;

use crate::error::{Error, Result};
use crate::{process, tools, workspace};

/// A file of the repository: its path from the root, with `/`, and its text.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Something that breaks a convention.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub path: String,
    /// From 1; 0 stands for the whole file.
    pub line: usize,
    pub message: String,
}

/// A check of one file.
type Check = fn(&File) -> Vec<Finding>;

const FILE_CHECKS: [Check; 8] = [
    sources::header,
    sources::size,
    sources::no_unsafe,
    sources::one_map,
    sources::unfinished,
    sources::machine_paths,
    markdown::sentences,
    markdown::commands,
];

/// `tidy`
pub fn run(args: &[OsString]) -> Result<()> {
    tools::no_arguments(args)?;
    let files = tracked_files()?;
    let mut findings: Vec<Finding> = Vec::new();
    for file in &files {
        findings.extend(FILE_CHECKS.iter().flat_map(|check| check(file)));
    }
    let root = workspace::root();
    findings.extend(markdown::links(&files, |path| root.join(path).exists()));
    findings.extend(edges::edges(&workspace::members()?));
    findings.extend(files.iter().flat_map(edges::manifest));

    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        return Err(Error::Findings { check: "tidy", count: findings.len() });
    }
    println!("tidy: {} files, nothing found", files.len());
    Ok(())
}

/// The text files that git tracks or would add.
fn tracked_files() -> Result<Vec<File>> {
    let root = workspace::root();
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&root);
    let mut files = Vec::new();
    for path in process::output(&mut git)?.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but not yet committed, or not text: nothing to check.
        if let Some(text) =
            std::fs::read(root.join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
        {
            files.push(File { path: path.into(), text });
        }
    }
    Ok(files)
}

impl File {
    fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, message } = self;
        match line {
            0 => write!(f, "{path}: {message}"),
            _ => write!(f, "{path}:{line}: {message}"),
        }
    }
}

/// For the tests: the lines of a text in which a check finds something.
#[cfg(test)]
fn found(check: Check, path: &str, text: &str) -> Vec<usize> {
    check(&File { path: path.into(), text: text.into() }).iter().map(|finding| finding.line).collect()
}

/// For the tests: no lines.
#[cfg(test)]
const CLEAN: [usize; 0] = [];
