//! The task runner: `cargo xtask VERB`. Builds, tests and runs seqweave; never links the workspace.
//!
//! One module per verb; this file is the table of them.
#![forbid(unsafe_code)]

mod bench;
mod binary;
mod ci;
mod cmudict;
mod error;
mod gen_pairs;
mod golden;
mod kernels;
mod main_job;
mod parity;
mod process;
mod recipe;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use error::{Error, Result};

/// One verb of the command line.
struct Verb {
    name: &'static str,
    /// What may follow the name, for the help.
    args: &'static str,
    /// One line.
    about: &'static str,
    /// Who answers `--help`.
    help: Help,
    run: fn(&[OsString]) -> Result<()>,
}

/// Who answers a `--help` behind a verb.
#[derive(PartialEq)]
enum Help {
    /// This file, with what the table says.
    Table,
    /// The verb without arguments, which lists what there is.
    List,
    /// The verb of this name of the binary.
    Binary,
}

#[rustfmt::skip]
const VERBS: &[Verb] = &[
    Verb { name: "doctor", args: "ARGS", about: "`seqweave doctor ARGS`", help: Help::Binary, run: |args| binary::replace("doctor", args) },
    Verb { name: "prepare", args: "ARGS", about: "`seqweave prepare ARGS`", help: Help::Binary, run: |args| binary::replace("prepare", args) },
    Verb { name: "gen-pairs", args: "N FILE [--seed SEED]", about: "N pairs of a made-up language and its translation, for trials with large corpora", help: Help::Table, run: gen_pairs::run },
    Verb { name: "train", args: "[ARGS]", about: "with no arguments: the main job, a model of English pronunciation; else `seqweave train ARGS`", help: Help::Binary, run: main_job::train },
    Verb { name: "report", args: "", about: "the second half of the main job: scores, examples and attention pictures of its model", help: Help::Table, run: main_job::report },
    Verb { name: "recipe", args: "[NAME [--data FOLDER] [--seeds N] [ARGS]]", about: "trains and scores a model of a data set of the literature, beside the published number; alone, lists them", help: Help::List, run: recipe::run },
    Verb { name: "translate", args: "ARGS", about: "`seqweave translate ARGS` with the release binary", help: Help::Binary, run: |args| binary::replace("translate", args) },
    Verb { name: "average", args: "ARGS", about: "`seqweave average ARGS`", help: Help::Binary, run: |args| binary::replace("average", args) },
    Verb { name: "evaluate", args: "ARGS", about: "`seqweave evaluate ARGS`", help: Help::Binary, run: |args| binary::replace("evaluate", args) },
    Verb { name: "compare", args: "ARGS", about: "`seqweave compare ARGS`", help: Help::Binary, run: |args| binary::replace("compare", args) },
    Verb { name: "tokenizer", args: "ARGS", about: "`seqweave tokenizer ARGS`", help: Help::Binary, run: |args| binary::replace("tokenizer", args) },
    Verb { name: "score", args: "ARGS", about: "`seqweave score ARGS`", help: Help::Binary, run: |args| binary::replace("score", args) },
    Verb { name: "info", args: "ARGS", about: "`seqweave info ARGS`", help: Help::Binary, run: |args| binary::replace("info", args) },
    Verb { name: "plot", args: "ARGS", about: "`seqweave plot ARGS`", help: Help::Binary, run: |args| binary::replace("plot", args) },
    Verb { name: "init", args: "ARGS", about: "`seqweave init ARGS`", help: Help::Binary, run: |args| binary::replace("init", args) },
    Verb { name: "bench", args: "[ops|gpu|ARGS]", about: "speed of ours and of every peer at hand, in turn, as ratios; of single operations; or all about a GPU", help: Help::Table, run: bench::run },
    Verb { name: "completions", args: "ARGS", about: "`seqweave completions ARGS`", help: Help::Binary, run: |args| binary::replace("completions", args) },
    Verb { name: "test", args: "[LEVEL...] [OPTIONS]", about: "the tests of some levels, or of all: unit, paths, kernels, grad, golden, e2e, resume; options: --trials N, and for kernels --device standin|cuda, --seeds N, --asan", help: Help::Table, run: test::run },
    Verb { name: "ci", args: "", about: "what must pass before a merge: fmt, tidy, kernels check, clippy, docs, test; cheapest first", help: Help::Table, run: ci::run },
    Verb { name: "kernels", args: "build|check|list|pack", about: "compiles the CUDA kernels into the committed images; compares them; lists them; packs their tests for a GPU machine", help: Help::Table, run: kernels::run },
    Verb { name: "fmt", args: "[--check]", about: "formats every crate, or says what is not formatted", help: Help::Table, run: tools::fmt },
    Verb { name: "docs", args: "", about: "builds the API documentation; a warning is an error", help: Help::Table, run: tools::docs },
    Verb { name: "tidy", args: "", about: "the conventions of the repository: crate edges, file headers, file size, links, …", help: Help::Table, run: tidy::run },
    Verb { name: "golden", args: "[--check] [--python PATH]", about: "computes the golden values with PyTorch anew, or compares with them", help: Help::Table, run: golden::run },
    Verb { name: "parity", args: "[--python PATH] [--seed N] [--pairs N] [--keep]", about: "scores of texts against sacreBLEU and rouge-score, on random text", help: Help::Table, run: parity::run },
    Verb { name: "help", args: "", about: "this list", help: Help::List, run: help },
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().unwrap_or_else(|| "help".into());
    let rest: Vec<OsString> = args.collect();
    match dispatch(&name, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failed child has said why itself.
            if !error.is_already_told() {
                eprintln!("xtask: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(name: &OsString, args: &[OsString]) -> Result<()> {
    let text = name.to_string_lossy();
    let name = if is_help(name) { "help" } else { &*text };
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) if verb.help != Help::Binary && args.iter().any(is_help) => match verb.help {
            Help::List => (verb.run)(&[]),
            _ => {
                println!("cargo xtask {} {}\n  {}", verb.name, verb.args, verb.about);
                Ok(())
            }
        },
        Some(verb) => (verb.run)(args),
        None => Err(Error::Unknown { what: "verb", found: name.into(), known: verb_names().join(", ") }),
    }
}

fn is_help(arg: &OsString) -> bool {
    arg == "-h" || arg == "--help"
}

fn help(_: &[OsString]) -> Result<()> {
    println!("cargo xtask VERB\n");
    for Verb { name, args, about, .. } in VERBS {
        println!("  {:<34} {about}", format!("{name} {args}"));
    }
    Ok(())
}

/// Every verb, for `tidy`, which checks what the documentation names.
fn verb_names() -> Vec<&'static str> {
    VERBS.iter().map(|verb| verb.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_verb_lists_the_known_ones() {
        let error = dispatch(&"tset".into(), &[]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("test, ci"), "{error}");
    }

    #[test]
    fn every_verb_answers_help_without_doing_anything() {
        for verb in VERBS.iter().filter(|verb| verb.help != Help::Binary) {
            for arg in ["-h", "--help"] {
                for args in [vec![arg.into()], vec!["no such thing".into(), arg.into()]] {
                    dispatch(&verb.name.into(), &args).unwrap_or_else(|e| panic!("{}: {e}", verb.name));
                }
            }
        }
        for verb in VERBS.iter().filter(|verb| verb.help == Help::Binary) {
            assert!(verb.about.contains("`seqweave "), "{} is not of the binary", verb.name);
        }
    }

    #[test]
    fn verbs_are_distinct() {
        let mut names = verb_names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VERBS.len());
    }
}
