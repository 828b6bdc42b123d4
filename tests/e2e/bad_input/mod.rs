//! Bad inputs, row by row: the exit code, the message, no panic. `docs/guide/bad-input.md` is made of the same rows.

mod rows;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::dir::{Dir, Ran, skipped};
use crate::models::tiny;
use rows::{Row, sections};

pub use rows::gzip;

/// Longer messages are cut.
const SHOWN: usize = 260;

const HEAD: &str = "\
# Bad input

<!-- Made from the rows of tests/e2e/bad_input/rows/; `SEQWEAVE_UPDATE_DOCS=1 cargo xtask test e2e` rewrites it. -->

What seqweave says to input that it cannot use.
Each row was run: the tests make the input, run the command, and compare exit code and message with this page.
Nothing here is a panic, and nothing that was there before is lost.

A message says what is wrong, where, what was expected, and after `help:` what to do next; here it is put on one line, and cut with … where it is long.
The exit codes are 0 good, 1 failed while running, 2 usage, 3 configuration, 4 input data or file format, 5 diverged, 6 quality gate not met.
In the folder there are a configuration `config.toml` with `train.tsv` and `dev.tsv`, a trained `model` and its `run`, and `words.txt`.
";

/// A folder in which everything is good.
fn base() -> Dir {
    let dir = Dir::new();
    tiny(&dir);
    dir.create("words.txt", "a b c\nd e\n");
    dir.create("no-dev.toml", dir.text("config.toml").replace("dev = \"dev.tsv\"\n", ""));
    dir.seqweave("train -q -c config.toml --max-steps 20 --run run").run().good().silent();
    dir.copy(&dir.join("run/checkpoints/step-00000020"), "model");
    dir.seqweave("translate -m model -i words.txt").run().good();
    dir
}

/// Runs the command of a row; an error means that it cannot even be started as the user it wants.
fn run(dir: &Dir, row: &Row) -> std::io::Result<Ran> {
    let command = match row.command.split_once(" < ") {
        None => dir.seqweave(row.command),
        Some((command, file)) => dir.seqweave(command).stdin(dir.read(file)),
    };
    let command = if row.without_privileges { command.without_privileges(dir) } else { command };
    Ok(command.try_start()?.finish())
}

// The messages quote what Linux says, and some of the inputs are files that only Linux has.
#[cfg(target_os = "linux")]
#[test]
fn every_bad_input_is_refused_with_a_message() {
    let base = base();
    let (mut wrong, mut page) = (Vec::new(), HEAD.to_owned());
    for (heading, rows) in sections() {
        let head = "| input | command | exit code | message |\n|---|---|---|---|";
        page.push_str(&format!("\n## {heading}\n\n{head}\n"));
        for row in rows {
            page.push_str(&check(&base, &row, &mut wrong));
        }
    }
    assert!(wrong.is_empty(), "{} rows are not as they should be:\n{}", wrong.len(), wrong.join("\n"));
    compare(&page);
}

/// Runs a row, notes what is wrong, and returns the row's line of the page.
fn check(base: &Dir, row: &Row, wrong: &mut Vec<String>) -> String {
    let dir = Dir::new();
    dir.copy(base.path(), ".");
    (row.make)(&dir);
    // What a row hides from its user is hidden from a test without privileges as well.
    let before = if row.without_privileges { BTreeMap::new() } else { possessions(&dir) };
    let ran = run(&dir, row);
    for folder in ["model", "run", "theirs"].map(|name| dir.join(name)) {
        // So that it can be removed with all else.
        let _ = std::fs::set_permissions(folder, Permissions::from_mode(0o755));
    }

    let command = code(format!("seqweave {}", row.command).trim());
    let start = format!("| {} | {command} | {} | ", row.input, row.exit);
    let Ok(ran) = ran else {
        skipped(&format!("no user without privileges: {}", row.input));
        return line_on_disk(&start);
    };
    let said = flat(&said(&dir, &ran));
    let missing: Vec<_> = row.says.iter().filter(|part| !said.contains(*part)).collect();
    if ran.code != Some(row.exit) || !missing.is_empty() {
        let expected = format!("expected exit code {} and {missing:?}", row.exit);
        wrong.push(format!("{}: {expected}\n{}", row.input, ran.report()));
    }
    for (name, bytes) in before {
        if std::fs::read(dir.join(&name)).ok() != Some(bytes) {
            wrong.push(format!("{}: {name} was changed or removed\n{}", row.input, ran.report()));
        }
    }
    format!("{start}{} |\n", code(&message(&dir, &ran, row.says)))
}

/// The files that no command may touch: all but the logs of the run folder.
fn possessions(dir: &Dir) -> BTreeMap<String, Vec<u8>> {
    let mut files = dir.files(".");
    files.retain(|name, _| !name.starts_with("run/") || name.starts_with("run/checkpoints/"));
    files
}

/// The line of the page on disk that starts so, for a row that cannot be run here.
fn line_on_disk(start: &str) -> String {
    let page = std::fs::read_to_string(page()).unwrap_or_default();
    page.lines().find(|line| line.starts_with(start)).map(|line| format!("{line}\n")).unwrap_or_default()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/bad-input.md")
}

/// The page on disk is this page; with `SEQWEAVE_UPDATE_DOCS=1` it is made so.
fn compare(page: &str) {
    let path = self::page();
    if std::env::var_os("SEQWEAVE_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = on_disk.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(
        on_disk == page,
        "docs/guide/bad-input.md is not what the rows give; SEQWEAVE_UPDATE_DOCS=1 rewrites it. First difference: {differ:#?}"
    );
}

/// What is said, on one line, the same on every machine.
fn message(dir: &Dir, ran: &Ran, says: &[&str]) -> String {
    let is_shown = |line: &&str| {
        let line = line.trim();
        let is_excerpt = line.starts_with('|') || line.split(' ').nth(1) == Some("|");
        let is_usage = line.starts_with("Usage:") || line.starts_with("For more information");
        !line.is_empty() && !is_excerpt && !is_usage
    };
    let text = said(dir, ran);
    let lines: Vec<&str> = text.lines().filter(is_shown).map(str::trim).collect();
    let shown = match (ran.code, says.first()) {
        // Where nothing is wrong in the end, the line that says it is one among others.
        (Some(0), Some(part)) => {
            lines.into_iter().find(|line| line.contains(part)).unwrap_or_default().to_owned()
        }
        _ => lines.join(" "),
    };
    let words: Vec<String> = shown.split_whitespace().map(without_hash).collect();
    let shown = words.join(" ");
    match shown.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} …", shown[..at].trim_end()),
        None => shown,
    }
}

/// A word, or … in place of a hash, which depends on the last bits of trained weights.
fn without_hash(word: &str) -> String {
    let digits = word.trim_end_matches([',', ';', ')', '.']);
    let is_hash = digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { format!("…{}", &word[digits.len()..]) } else { word.to_owned() }
}

/// What a command says: its messages, or its results if it has none. Files have the names that they have in the folder.
fn said(dir: &Dir, ran: &Ran) -> String {
    let said = if ran.stderr.is_empty() { ran.text() } else { &ran.stderr };
    said.replace(&format!("{}/", dir.path().display()), "")
}

/// A message with its line breaks as blanks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    match (text.is_empty(), text.contains('`')) {
        (true, _) => String::new(),
        (_, false) => format!("`{text}`"),
        // A blank keeps the text's own marks away from the fence.
        (_, true) => format!("`` {text} ``"),
    }
}

#[test]
fn a_gpu_that_is_not_there_is_known_at_once() {
    let dir = Dir::new();
    tiny(&dir);
    let seconds = |_| {
        let ran =
            dir.seqweave("train -c config.toml --device cuda").run().exits(1).says("error: no CUDA device");
        ran.took.as_secs_f64()
    };
    // On a busy machine any process may have to wait, so the best of some counts.
    let best = (0..5).map(seconds).fold(f64::INFINITY, f64::min);
    assert!(best < 1.0, "{best} s");
}
