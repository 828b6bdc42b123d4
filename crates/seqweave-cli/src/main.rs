//! The `seqweave` binary: parse, resolve, call, print.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use seqweave_cli::args::Args;
use seqweave_cli::commands;
use seqweave_cli::exit::{Exit, Outcome};
use seqweave_cli::resolve::{Task, resolve};
use seqweave_cli::ui::{Ui, early_color, set_color};

fn main() -> ExitCode {
    if let Some(color) = early_color(std::env::args_os().skip(1)) {
        set_color(color);
    }
    let args = Args::parse();
    set_color(args.global.color);
    let ui = Ui::new(&args.global);
    let exit = match run(&ui, args) {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Good,
        Err(failure) => {
            ui.clear_bar();
            ui.fail(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn run(_ui: &Ui, args: Args) -> Outcome {
    match resolve(args)?.task {
        Task::Completions(shell) => commands::completions::run(shell),
        _ => unreachable!(),
    }
}
