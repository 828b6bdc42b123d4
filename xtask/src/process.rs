//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Error, Result};

/// The cargo that runs us, or the one on the PATH.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::workspace::root());
    command
}

/// Runs a program with our terminal; its failure is ours, with its exit code.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|source| spawn_error(command, source))?;
    check(command, status)
}

/// Says what is run, then runs it.
pub fn run_loudly(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", show(command));
    run(command)
}

/// Runs a program for its standard output; standard error stays on our terminal.
pub fn output(command: &mut Command) -> Result<String> {
    command.stderr(Stdio::inherit());
    let output = command.output().map_err(|source| spawn_error(command, source))?;
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// [`output`] of a program that reads `input` from its standard input; for inputs of a few lines.
pub fn filter(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|source| spawn_error(command, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that fails before it reads closes the pipe; its exit code tells more than our write error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|source| spawn_error(command, source))?;
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, passes its standard output through line by line, and shows each line to `see`.
/// Returns whether it succeeded.
pub fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    eprintln!("$ {}", show(command));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|source| spawn_error(command, source))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, not text: a test may print anything.
        while reader.read_until(b'\n', &mut line).map_err(|source| spawn_error(command, source))? > 0 {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            see(text.trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(|source| spawn_error(command, source))?;
    Ok(status.success())
}

/// Becomes the program: signals, terminal and exit code are its own from here on. Returns only if that fails.
#[cfg(unix)]
pub fn replace(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let source = command.exec();
    Err(spawn_error(command, source))
}

/// Where a program cannot be replaced, it is waited for.
#[cfg(not(unix))]
pub fn replace(command: &mut Command) -> Result<()> {
    run(command)
}

/// The command as a user would type it, without the environment.
pub fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    // No code: a signal ended it.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Error::Exit { command: show(command), code })
}

fn spawn_error(command: &Command, source: std::io::Error) -> Error {
    Error::Spawn { program: command.get_program().to_string_lossy().into_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "-p", "x"]);
        assert_eq!(show(&command), "cargo test -p x");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err().to_string();
        assert!(error.starts_with("cannot start `no-such-program`"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn input_output_and_exit_codes_pass() {
        assert_eq!(filter(&mut Command::new("cat"), "a\nb\n").unwrap(), "a\nb\n");
        let mut lines = Vec::new();
        let mut sh = Command::new("sh");
        sh.args(["-c", "echo one; echo two; exit 3"]);
        assert!(!watch(&mut sh, |line| lines.push(line.to_string())).unwrap());
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(run(&mut sh).unwrap_err().exit_code(), 3);
    }
}
