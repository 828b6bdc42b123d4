//! The main job, `cargo xtask train` with no arguments: a model of English pronunciation from CMUdict.
//!
//! `train` prepares data and config in `runs/cmudict/` and trains; `report` then scores the model on held-out words,
//! shows examples, draws attention, and prints what to do next.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cmudict::{self, Line};
use crate::error::{Error, Result};
use crate::{binary, process, tools, workspace};

/// Everything the job writes; relative to the workspace root, where its commands run.
const FOLDER: &str = "runs/cmudict";
/// The run folder, which is the model folder too.
const RUN: &str = "runs/cmudict/run";
/// The config in use, a copy of [`TEMPLATE`]; its paths are relative to its own folder.
const CONFIG: &str = "runs/cmudict/config.toml";
const TEMPLATE: &str = "docs/configs/cmudict.toml";
const TEST: &str = "runs/cmudict/data/test.tsv";
/// A test set of the literature; where it is at hand, its words are left out of training.
const PUBLISHED_TEST: &str = "../shared/data/g2p-cmudict/test.tsv";

/// `train [ARGS]`
pub fn train(args: &[OsString]) -> Result<()> {
    if !args.is_empty() {
        return binary::replace("train", args);
    }
    let binary = binary::build()?;
    let root = workspace::root();
    prepare(&root)?;

    // A shell stands between because it outlives Ctrl-C: it waits until the trainer has saved its state and exits with
    // the trainer's code, where a plain parent would die first and leave the trainer behind.
    let xtask = std::env::current_exe().map_err(|source| Error::Spawn { program: "xtask".into(), source })?;
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"(cd "$1" && exec "$0" train -c "$2" --run "$3") || exit; exec "$4" report"#]);
    shell.arg(binary).arg(root).arg(CONFIG).arg(RUN).arg(xtask);
    process::replace(&mut shell)
}

/// `report`
pub fn report(args: &[OsString]) -> Result<()> {
    tools::no_arguments(args)?;
    let root = workspace::root();
    if !root.join(RUN).is_dir() || !root.join(TEST).is_file() {
        let next = "train the model with `cargo xtask train` first";
        return Err(Error::Missing { what: "the main job's model", path: root.join(RUN), next });
    }
    let binary = binary::build()?;
    let seqweave = |args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args).current_dir(&root);
        command
    };
    let test = read_lines(&root.join(TEST))?;
    let words: HashSet<&str> = test.iter().map(|(word, _)| word.as_str()).collect();

    println!("\nScores over {} held-out words ({} pronunciations):", words.len(), test.len());
    process::run(&mut seqweave(&["evaluate", "-m", RUN, "--tsv", TEST, "--metrics", "wer,per"]))?;

    let examples = cmudict::sample(&test, 10, |_| true);
    let input: String = examples.iter().map(|(word, _)| format!("{word}\n")).collect();
    let outputs = process::filter(&mut seqweave(&["translate", "-m", RUN]), &input)?;
    println!("\nTen of them, picked by hash:");
    print!("{}", example_table(&examples, &outputs)?);

    // Long words make the better pictures; an apostrophe does not belong in a file name.
    let drawn = cmudict::sample(&test, 3, |word| word.len() >= 8 && !word.contains('\''));
    println!("\nAttention:");
    for (word, _) in drawn {
        for kind in ["svg", "png"] {
            let file = format!("{FOLDER}/attention-{word}.{kind}");
            let plot = ["plot", "attention", "-q", "-m", RUN, "--text", &word, "-o", &file];
            process::run(&mut seqweave(&plot))?;
            println!("  {file}");
        }
    }

    println!("\nNext:\n  {}echo \"transformer\" | cargo xtask translate -m {RUN}", go_to(&root));
    Ok(())
}

/// Writes the data and the config, unless a run has begun with others: a run keeps what it began with.
fn prepare(root: &Path) -> Result<()> {
    let published = root.join(PUBLISHED_TEST);
    let published = match fs::read_to_string(&published) {
        Ok(text) => cmudict::words_of_tsv(&text),
        Err(_) => HashSet::new(), // Not at hand, as on most machines.
    };
    let dictionary = cmudict::locate()?;
    let text = fs::read_to_string(&dictionary).map_err(Error::io("reading", &dictionary))?;
    let split = cmudict::split(cmudict::parse(&text), &published);

    let template = root.join(TEMPLATE);
    if !template.is_file() {
        let next = "restore it from the repository: `git checkout -- docs/configs`";
        return Err(Error::Missing { what: "the config of the main job", path: template, next });
    }
    let config = fs::read_to_string(&template).map_err(Error::io("reading", &template))?;

    let begun = root.join(RUN).is_dir();
    let data = root.join(FOLDER).join("data");
    fs::create_dir_all(&data).map_err(Error::io("creating", &data))?;
    let files = [
        (data.join("train.tsv"), cmudict::to_tsv(&split.train)),
        (data.join("dev.tsv"), cmudict::to_tsv(&split.dev)),
        (data.join("test.tsv"), cmudict::to_tsv(&split.test)),
        (root.join(CONFIG), config),
    ];
    let mut kept = Vec::new();
    for (path, contents) in &files {
        if !write_unless(begun, path, contents)? {
            kept.push(path.file_name().unwrap_or_default().to_string_lossy());
        }
    }

    eprintln!(
        "CMUdict: {} lines to train on, {} dev, {} test, in {FOLDER}/data",
        split.train.len(),
        split.dev.len(),
        split.test.len()
    );
    if split.left_out > 0 {
        eprintln!("{} words of {PUBLISHED_TEST} are left out of training.", split.left_out);
    }
    if !kept.is_empty() {
        eprintln!(
            "{RUN} began with another {}, which stays in use; remove the folder {FOLDER} to begin anew.",
            kept.join(", ")
        );
    }
    Ok(())
}

/// Writes a file, unless it is there with these contents, or with others and must keep them; false for the latter.
fn write_unless(keep: bool, path: &Path, contents: &str) -> Result<bool> {
    match fs::read(path) {
        Ok(found) if found == contents.as_bytes() => return Ok(true),
        Ok(_) if keep => return Ok(false),
        _ => {}
    }
    // Beside, then renamed: an interrupted write leaves no half file for the next run to read.
    let partial: PathBuf = path.with_extension("partial");
    fs::write(&partial, contents).map_err(Error::io("writing", &partial))?;
    fs::rename(&partial, path).map_err(Error::io("writing", path))?;
    Ok(true)
}

fn read_lines(path: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let line = |line: &str| line.split_once('\t').map(|(word, phonemes)| (word.into(), phonemes.into()));
    Ok(text.lines().filter_map(line).collect())
}

/// Word, output, and the references where the output is none of them.
fn example_table(examples: &[(String, Vec<String>)], outputs: &str) -> Result<String> {
    let outputs: Vec<&str> = outputs.lines().collect();
    if outputs.len() != examples.len() {
        return Err(Error::Output {
            program: "seqweave translate",
            expected: "a line for each word",
            found: format!("{} lines for {} words", outputs.len(), examples.len()),
        });
    }
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let words = width(&mut examples.iter().map(|(word, _)| word.len()).chain([4]));
    let longest = width(&mut outputs.iter().map(|output| output.len()).chain([6]));
    let mut table = format!("  {:<words$}    {:<longest$}  reference\n", "word", "output");
    for ((word, references), output) in examples.iter().zip(outputs) {
        let right = references.iter().any(|reference| reference == output);
        let mark = if right { " " } else { "✗" };
        table += &format!("  {word:<words$}  {mark} {output:<longest$}  {}\n", references.join(" | "));
    }
    Ok(table)
}

/// The command printed last names a path below the root: `cd` first where the user is elsewhere.
fn go_to(root: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) if here == root => String::new(),
        _ => format!("cd {} && ", root.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_what_it_began_with() {
        let folder = workspace::target_dir().unwrap().join("xtask-test-main-job");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config.toml");
        let _ = fs::remove_file(&path);
        let read = || fs::read_to_string(&path).unwrap();
        assert!(write_unless(true, &path, "a").unwrap(), "a missing file is written in any case");
        assert!(!write_unless(true, &path, "b").unwrap());
        assert_eq!(read(), "a");
        assert!(write_unless(true, &path, "a").unwrap());
        assert!(write_unless(false, &path, "b").unwrap());
        assert_eq!(read(), "b");
        assert!(!path.with_extension("partial").exists());
    }

    #[test]
    fn examples_are_lined_up() {
        let examples = [
            ("ab".to_string(), vec!["A B".to_string(), "A P".to_string()]),
            ("abcde".to_string(), vec!["A".to_string()]),
        ];
        let want = "  word     output  reference\n  \
                    ab       A P     A B | A P\n  \
                    abcde  ✗ B       A\n";
        assert_eq!(example_table(&examples, "A P\nB\n").unwrap(), want);
        let error = example_table(&examples, "A P\n").unwrap_err().to_string();
        assert!(error.contains("found 1 lines for 2 words"), "{error}");
    }
}
