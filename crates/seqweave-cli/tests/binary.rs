//! The binary as its users meet it: exit codes, streams, and a small model from `init` to `plot`.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// A folder with the toy and a run of a few steps, made once for all tests.
static TOY: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("binary");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the build folder can be written");
    let made = seqweave(&dir, &["init", "toy"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let trained = train(&dir, "first", &[]);
    assert_eq!(code(&trained), 0, "{}", stderr(&trained));
    dir
});

const SMALL: [&str; 8] = [
    "--set",
    "model.hidden=16",
    "--set",
    "model.emb=8",
    "--set",
    "train.schedule.kind=constant",
    "--set",
    "valid.every=20",
];

fn train(dir: &Path, name: &str, more: &[&str]) -> Output {
    let run = format!("toy/runs/{name}");
    let start = ["train", "-c", "toy/config.toml", "--run", &run, "--max-steps", "20", "--threads", "1"];
    seqweave(dir, &[&start, &SMALL[..], more].concat())
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seqweave"));
    command.current_dir(dir).args(args).env_clear();
    command
}

fn seqweave(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).stdin(Stdio::null()).output().expect("the binary starts")
}

/// Runs with a text on stdin.
fn feed(args: &[&str], input: &[u8]) -> Output {
    let mut command = command(&TOY, args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A refusal may close stdin before everything is written, which is no failure of the test.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("the binary ends")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed by a signal")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MODEL: &str = "toy/runs/first";

#[test]
fn translations_keep_the_lines_of_their_input() {
    let input: String =
        (0..100).map(|i| if i % 7 == 0 { "\n".to_owned() } else { "a b c\n".to_owned() }).collect();
    let output = feed(&["translate", "-m", MODEL, "--batch", "3"], input.as_bytes());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 100);
    assert!((0..100).all(|i| i % 7 != 0 || lines[i].is_empty()));
    assert!(lines.iter().filter(|line| !line.is_empty()).all(|line| *line == lines[1]));
}

#[test]
fn json_lines_hold_what_was_asked_for() {
    let args =
        ["translate", "-m", MODEL, "--format", "jsonl", "--with", "score,align,tokens", "--n-best", "2"];
    let output = feed(&[&args[..], &["--beam", "3"]].concat(), b"a b\n\nc\n");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let records: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(records.iter().map(|r| r["id"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(records[0]["n_best"].as_array().unwrap().len(), 2);
    assert!(records[0]["score"].as_f64().unwrap() < 0.0);
    assert_eq!(records[1]["tgt"], "");
    assert!(records[2]["tgt_tokens"].is_array() && records[2]["align"].is_string());
}

#[test]
fn a_line_is_answered_while_stdin_stays_open() {
    let mut command = command(&TOY, &["translate", "-m", MODEL]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        input.write_all(b"a b c\n").unwrap();
        assert!(answers.next().is_some_and(|line| line.is_ok()));
    }
    drop(input);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = command(&TOY, &["translate", "-m", MODEL]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let _ = child.stdin.take().expect("piped").write_all(&b"a b c\n".repeat(1000));
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn lines_before_a_bad_one_are_translated() {
    let output = feed(&["translate", "-m", MODEL], b"a b\nc\nd \xff\ne\n");
    assert_eq!(code(&output), 4);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stderr(&output).starts_with("error: stdin:3: invalid UTF-8"), "{}", stderr(&output));
    assert!(stderr(&output).contains("\nhelp: "));
}

#[test]
fn evaluate_reports_and_holds_against_gates() {
    let args = ["evaluate", "-m", MODEL, "--tsv", "toy/data/test.tsv", "--metrics", "wer,ppl", "--json"];
    let output = seqweave(&TOY, &args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["metrics"][0]["metric"], "wer");
    assert!(report["metrics"][1]["value"].as_f64().unwrap() > 1.0);
    let gated = seqweave(&TOY, &[&args[..], &["--fail-under", "acc=100.5"]].concat());
    assert_eq!(code(&gated), 6);
    let gated = seqweave(&TOY, &[&args[..], &["--fail-under", "wer=100"]].concat());
    assert_eq!(code(&gated), 0);
}

#[test]
fn scores_are_negative_and_sum_up() {
    std::fs::write(TOY.join("two.tsv"), "a b\tb a\nc\tc\n").unwrap();
    let output = seqweave(&TOY, &["score", "-m", MODEL, "--tsv", "two.tsv", "--json", "--per-token"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 3);
    let log_prob = |i: usize| lines[i]["log_prob"].as_f64().unwrap();
    assert!(log_prob(0) < 0.0 && (log_prob(0) + log_prob(1) - log_prob(2)).abs() < 1e-9);
    assert_eq!(lines[0]["per_token"].as_array().unwrap().len(), 3);
    assert_eq!(lines[2]["tokens"], 5);
}

#[test]
fn figures_are_written() {
    let path = TOY.join("attention.png");
    let args = ["plot", "attention", "-m", MODEL, "--text", "a b c", "-o", "attention.png"];
    let output = seqweave(&TOY, &args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(std::fs::read(path).unwrap().starts_with(b"\x89PNG"));
    let output = seqweave(&TOY, &["plot", "curves", MODEL, "-o", "curves.svg"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let svg = std::fs::read_to_string(TOY.join("curves.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("learning rate"));
}

#[test]
fn info_knows_models_runs_and_machines() {
    let output = seqweave(&TOY, &["info", MODEL, "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let info: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(info["training"]["step"], 20);
    assert_eq!(info["model"]["config"]["hidden"], 16);
    assert_eq!(code(&seqweave(&TOY, &["info", "--system"])), 0);
}

#[test]
fn mistakes_have_their_exit_codes() {
    for (args, exit, message) in [
        (&["translate"][..], 2, "--model <DIR>"),
        (&["translate", "-m", "nowhere"], 4, "nowhere"),
        (&["translate", "-m", MODEL, "-i", "nowhere.txt"], 4, "nowhere.txt"),
        (&["translate", "-m", MODEL, "--n-best", "9", "--format", "jsonl"], 2, "add --beam 9"),
        (&["train", "-c", "nowhere.toml"], 3, "nowhere.toml"),
        (&["train", "-c", "toy/config.toml", "--set", "model.hiden=3"], 3, "did you mean `hidden`?"),
        (
            &["train", "-c", "toy/config.toml", "--set", "data.train=nowhere.tsv", "--dry-run"],
            4,
            "nowhere.tsv",
        ),
        (
            &[
                "train",
                "-c",
                "toy/config.toml",
                "--set",
                "model.hidden=65536",
                "--set",
                "model.encoder.layers=64",
                "--set",
                "model.decoder.layers=64",
            ],
            3,
            "GB are available",
        ),
        (&["train", "-c", "toy/config.toml", "--device", "cuda:7", "--dry-run"], 1, "no CUDA device"),
        (&["config", "check", "-c", "toy/config.toml"], 0, "good"),
        (&["plot", "curves", "toy"], 4, "metrics.tsv"),
        (&["init", "toy"], 2, "not empty"),
        (&["--version"], 0, ""),
    ] {
        let output = seqweave(&TOY, args);
        assert_eq!(code(&output), exit, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let output = train(&TOY, "dry", &["--dry-run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("parameters") && stdout(&output).is_empty());
    assert!(!TOY.join("toy/runs/dry").exists());
}

#[test]
fn color_is_only_where_it_is_wanted() {
    let escape = |args: &[&str]| stderr(&seqweave(&TOY, args)).contains('\u{1b}');
    assert!(!escape(&["info", "nowhere"]));
    assert!(escape(&["info", "nowhere", "--color", "always"]));
    assert!(!escape(&["--color", "never", "train"]));
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_the_same_command_goes_on() {
    for (signal, exit) in [("INT", 130), ("TERM", 143)] {
        let run = format!("toy/runs/{signal}");
        let start = ["train", "-c", "toy/config.toml", "--run", &run, "--set", "train.log_every=1"];
        let args = |steps: &'static str| [&start[..], &SMALL[..], &["--max-steps", steps]].concat();
        let mut child = command(&TOY, &args("1000000")).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("Step")), "training did not start");
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(exit), "{rest:?}");
        assert!(rest.iter().any(|line| line.starts_with("interrupted, state saved after")), "{rest:?}");
        let again = seqweave(&TOY, &args("1"));
        assert_eq!(code(&again), 0, "{}", stderr(&again));
        assert!(stderr(&again).contains("going on from step"), "{}", stderr(&again));
    }
}
