//! Looking at runs: comparisons, the dashboard as text, event files read by TensorBoard.

use std::process::Command;

use crate::dir::{Dir, skipped};
use crate::models::{tiny, trained};

#[test]
fn runs_are_compared_where_they_were_measured_on_the_same_pairs() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --run a").run().good();
    dir.seqweave("train -q -c config.toml --run b --set model.hidden=12").run().good();
    dir.create("hostile.tsv", "a <b>\t<img src=x onerror=alert(1)>\n\"&'\t</script>\n");
    dir.seqweave("report a b -o same.html --bootstrap 100").run().good();
    let page = dir.text("same.html");
    assert!(page.contains("id=\"comparison\"") && page.contains("p = "), "{page}");
    assert!(page.contains("id=\"errors-1\"") && page.contains("id=\"errors-2\""));
    dir.seqweave("report a -o hostile.html --test hostile.tsv --title <b>").run().good();
    let page = dir.text("hostile.html");
    assert!(page.contains("onerror=alert(1)&gt;") && page.contains("&lt;img") && !page.contains("<img"));
    assert!(page.contains("<title>&lt;b&gt;</title>"));
    dir.seqweave("report a b -o bare.html --no-evaluate").run().good();
    let page = dir.text("bare.html");
    assert!(
        page.contains("id=\"comparison\"")
            && page.contains("id=\"config-2\"")
            && !page.contains("id=\"errors")
    );
    // The same run gives the same page.
    let first = dir.read("bare.html");
    dir.seqweave("report a b -o bare.html --no-evaluate").run().good();
    assert!(dir.read("bare.html") == first);
}

#[test]
fn watching_prints_a_picture_where_there_is_no_terminal() {
    let dir = trained().fresh();
    let once = dir.seqweave("watch run --once").run().good();
    let text = once.text();
    for part in
        ["run  done", "step 250 of 250", "100 %", "loss ", "validation", "  best wer", "outputs at step 250"]
    {
        assert!(text.contains(part), "{part}\n{}", once.report());
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let piped = dir.seqweave("watch run").run().good().says("no terminal");
    assert_eq!(piped.text(), text);
}

#[test]
fn a_log_that_is_cut_or_damaged_is_watched_all_the_same() {
    let dir = trained().fresh();
    let log = dir.text("run/log.jsonl");
    let half: String = log.chars().take(log.chars().count() / 2).collect();
    dir.create("cut/log.jsonl", &half);
    let text = dir.seqweave("watch cut --once").run().good();
    assert!(text.text().contains("step 1"), "{}", text.report());
    dir.create("damaged/log.jsonl", [b"\xff\xfe\n{}\n[1]\n", half.as_bytes()].concat());
    let damaged = dir.seqweave("watch damaged --once").run().good();
    assert_eq!(
        damaged.text().lines().skip(1).collect::<Vec<_>>(),
        text.text().lines().skip(1).collect::<Vec<_>>()
    );
    dir.create("empty/log.jsonl", "");
    assert!(dir.seqweave("watch empty --once").run().good().text().contains("no events yet"));
}

/// Reads the event files of a folder with TensorBoard and prints `tag step value` lines.
const READ_EVENTS: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'tensors': 0})
events.Reload()
for tag in events.Tags()['scalars']:
    for event in events.Scalars(tag):
        print(tag, event.step, repr(event.value))
for tag in events.Tags()['tensors']:
    for event in events.Tensors(tag):
        print(tag, event.step, event.tensor_proto.string_val[0].decode().count('|'))
";

#[test]
fn tensorboard_reads_each_step_of_a_resumed_run_once() {
    let dir = Dir::new();
    tiny(&dir);
    let train =
        |options: &str| dir.seqweave(&format!("train -q -c config.toml --run r {options}")).run().good();
    train("--max-steps 33");
    let files = |run: &str| {
        let names = dir.files(&format!("{run}/tb")).into_keys();
        names.filter(|name| name.starts_with("events.out.tfevents.")).count()
    };
    assert_eq!(files("r"), 1);
    // As if it had been killed after step 33: the checkpoint before it is of step 30.
    let last = dir.text("r/checkpoints/last");
    std::fs::remove_dir_all(dir.join(format!("r/checkpoints/{}", last.trim()))).unwrap();
    train("");
    assert_eq!(files("r"), 2);
    dir.seqweave("train -q -c config.toml --run off --set run.tensorboard=false").run().good();
    assert!(!dir.join("off/tb").exists());
    let python = std::env::var("SEQWEAVE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_tensorboard = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_tensorboard.is_ok_and(|output| output.status.success()) {
        return skipped("no Python with tensorboard to read event files with (SEQWEAVE_PYTHON names one)");
    }
    let output = Command::new(&python).args(["-c", READ_EVENTS]).arg(dir.join("r/tb")).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let steps = |tag: &str| -> Vec<u64> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{tag} ")));
        lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(steps("train/xent"), (1..=12).map(|i| 5 * i).collect::<Vec<_>>(), "{text}{errors}");
    assert_eq!(steps("valid/ppl"), [20, 40, 60], "{text}");
    assert_eq!(steps("samples"), [20, 40, 60], "{text}");
    for tag in ["train/ppl", "train/acc", "train/lr", "train/grad_norm", "speed/tgt_tok_s", "valid/token_acc"]
    {
        assert!(!steps(tag).is_empty(), "no {tag}\n{text}");
    }
}
