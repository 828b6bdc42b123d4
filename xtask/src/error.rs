//! Why a verb failed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Debug)]
pub enum Error {
    /// A word on the command line that is not known here.
    Unknown { what: &'static str, found: String, known: String },
    /// An option whose value is missing or wrong.
    Option { option: &'static str, expected: &'static str, found: Option<String> },
    /// A file or folder could not be read or written.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A program could not be started.
    Spawn { program: String, source: io::Error },
    /// A program that told its failure itself; its exit code is passed on.
    Exit { command: String, code: u8 },
    /// The output of a program is not what it should be.
    Output { program: &'static str, expected: &'static str, found: String },
    /// A file that must be there is missing.
    Missing { what: &'static str, path: PathBuf, next: &'static str },
    /// A recipe whose data set is not at hand.
    NoData { recipe: &'static str, path: PathBuf, origin: &'static str },
    /// A package that must be a dependency is none.
    NoPackage { name: &'static str, next: &'static str },
    /// A kernel source that breaks the rules of kernel text.
    Kernel { path: String, line: usize, expected: String, found: String },
    /// A kernel source that does not compile.
    Compile { source: String, target: &'static str, log: String },
    /// A file whose content is not what it should be.
    Content { path: PathBuf, expected: String },
    /// A tool that is needed and cannot be had.
    NoTool { what: &'static str, reason: String },
    /// Python without the modules that the golden values need.
    NoTorch { python: PathBuf },
    /// Findings of a check, already printed.
    Findings { check: &'static str, count: usize },
    /// Failed tests, already printed.
    TestsFailed,
}

impl Error {
    /// For `map_err`: a failed read or write.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { doing, path, source }
    }

    /// 2 for a wrong command line, the child's own code for a failed child, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Unknown { .. } | Error::Option { .. } => 2,
            Error::Exit { code, .. } => *code,
            _ => 1,
        }
    }

    /// Whether the reason is on the screen already.
    pub fn is_already_told(&self) -> bool {
        // 130 and 143: the user stopped it.
        matches!(self, Error::TestsFailed | Error::Exit { code: 130 | 143, .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown { what, found, known } => {
                write!(f, "unknown {what} `{found}`: expected one of {known}")
            }
            Error::Option { option, expected, found: Some(found) } => {
                write!(f, "{option}: expected {expected}, found `{found}`")
            }
            Error::Option { option, expected, found: None } => {
                write!(f, "{option}: expected {expected} after it, found nothing")
            }
            Error::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
            Error::Spawn { program, source } => {
                write!(f, "cannot start `{program}`: {source}\nhelp: install it, or put it on the PATH")
            }
            Error::Exit { command, code } => write!(f, "`{command}` failed with exit code {code}"),
            Error::Output { program, expected, found } => {
                write!(f, "output of `{program}`: expected {expected}, found {found}")
            }
            Error::Missing { what, path, next } => {
                write!(f, "{what} is missing: no file {}\nhelp: {next}", path.display())
            }
            Error::NoData { recipe, path, origin } => write!(
                f,
                "the data of recipe {recipe} is not at hand: no file {}\n\
                 help: give the folder of data sets with --data; this one is {origin}",
                path.display()
            ),
            Error::NoPackage { name, next } => {
                write!(f, "`cargo metadata` lists no package `{name}`\nhelp: {next}")
            }
            Error::Kernel { path, line, expected, found } => {
                write!(f, "{path}:{line}: expected {expected}, found `{found}`")
            }
            Error::Compile { source, target, log } => {
                write!(f, "{source} does not compile for {target}:\n{log}")
            }
            Error::Content { path, expected } => write!(f, "{}: expected {expected}", path.display()),
            Error::NoTool { what, reason } => write!(f, "no {what}: {reason}"),
            Error::NoTorch { python } => write!(
                f,
                "{} cannot import torch and numpy, which compute the golden values\nhelp: make a Python that can:\n  \
                 python3 -m venv target/venv\n  \
                 target/venv/bin/pip install torch numpy\n  \
                 cargo xtask golden --python target/venv/bin/python",
                python.display()
            ),
            Error::Findings { check, count } => write!(f, "{check}: {count} findings"),
            Error::TestsFailed => write!(f, "tests failed"),
        }
    }
}
