//! `completions`: the script for a shell, on stdout.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::args::Args;
use crate::exit::{Exit, Outcome};

/// Writes the completion script.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(shell: clap_complete::Shell) -> Outcome {
    // The generator panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "seqweave", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Exit::Good)
}
