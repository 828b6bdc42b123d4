//! Training that is interrupted, disturbed, damaged or hopeless. `tests/resume/` kills it at random moments.

use std::collections::BTreeMap;

use crate::dir::{Dir, Running};
use crate::models::tiny;

/// A run of about a second, long enough to be met on its way.
const LONG: &str = "train -c config.toml --max-steps 2000 --set train.log_every=1 --set valid.every=700 --set checkpoint.every=600";

/// The files that must not depend on what happened on the way: the last checkpoint, and the table of metrics.
fn outcome(dir: &Dir, run: &str) -> BTreeMap<String, Vec<u8>> {
    let last = dir.text(format!("{run}/checkpoints/last"));
    let mut files = dir.files(&format!("{run}/checkpoints/{}", last.trim()));
    files.insert("metrics.tsv".into(), dir.read(format!("{run}/metrics.tsv")));
    files
}

#[track_caller]
fn assert_same(dir: &Dir, run: &str, want: &BTreeMap<String, Vec<u8>>) {
    let got = outcome(dir, run);
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (name, bytes) in want {
        assert!(got[name] == *bytes, "{name} of {run} has other bytes than that of the undisturbed run");
    }
}

/// Waits until a trainer has made so many steps since the start of the run.
#[track_caller]
fn wait_for_step(trainer: &mut Running, dir: &Dir, run: &str, step: usize) {
    let log = dir.join(format!("{run}/log.jsonl"));
    trainer.wait_until(&format!("step {step}"), || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.matches(r#""event":"step""#).count() >= step
    });
}

#[test]
fn an_interrupted_run_saves_and_goes_on_to_the_same_bits() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave(&format!("{LONG} --run whole")).run().good();
    let want = outcome(&dir, "whole");

    let command = format!("{LONG} --run parts");
    let mut last_step = 0;
    for (signal, code, steps) in [("INT", 130, 3), ("TERM", 143, 150), ("INT", 130, 900)] {
        let mut trainer = dir.seqweave(&command).start();
        wait_for_step(&mut trainer, &dir, "parts", steps);
        trainer.signal(signal);
        let ran =
            trainer.finish().exits(code).says("interrupted, state saved").says("run the same command again");
        if last_step > 0 {
            assert!(ran.stderr.contains(&format!("going on from step {last_step}\n")), "{}", ran.report());
        }
        let info = dir.seqweave("info parts --json").run().good().json();
        let step = info["training"]["step"].as_u64().expect("a step");
        let checkpoint = dir.text("parts/checkpoints/last");
        last_step = checkpoint.trim().trim_start_matches("step-").parse().expect("a step");
        assert!(last_step >= steps && step <= last_step as u64, "{info}");
        assert_ne!(last_step, 2000, "the run was over before the signal came: it must be longer");
    }
    dir.seqweave(&command).run().good().says("done after 2000 steps");
    assert_same(&dir, "parts", &want);
}

#[test]
fn a_second_trainer_is_refused() {
    let dir = Dir::new();
    tiny(&dir);
    let command = format!("{LONG} --run shared --max-steps 100000");
    let mut first = dir.seqweave(&command.replacen(" --max-steps 2000", "", 1)).start();
    wait_for_step(&mut first, &dir, "shared", 1);
    for again in ["", "--overwrite"] {
        let second = dir.seqweave(&format!("train -c config.toml --run shared {again}")).run().exits(1);
        second.says(&format!("is in use by the training process {}", first.pid()));
    }
    first.signal("TERM");
    first.finish().exits(143);
}

#[test]
fn divergence_ends_with_a_checkpoint_that_can_be_used() {
    let dir = Dir::new();
    tiny(&dir);
    // Each step multiplies the weights by -999, so they leave the range of f32 after a dozen steps.
    let hopeless = "train -c config.toml --run hopeless --set train.optimizer.kind=sgd --set train.optimizer.lr=1000 \
                    --set train.optimizer.weight_decay=1 --set train.optimizer.decay_exclude=[] --set train.clip=0 --set checkpoint.every=5";
    let ran = dir
        .seqweave(hopeless)
        .run()
        .exits(5)
        .says("is not finite (1 in a row)")
        .says("is not finite (10 in a row)");
    let checkpoint = dir.text("hopeless/checkpoints/last").trim().to_owned();
    let ran = ran.says("error: training diverged").says(&format!("hopeless/checkpoints/{checkpoint}"));
    assert!(!ran.stderr.contains("(11 in a row)"), "{}", ran.report());
    let named = format!("hopeless/checkpoints/{checkpoint}");
    dir.seqweave(&format!("info {named}")).run().good();
    let translated = dir.seqweave(&format!("translate -m {named}")).stdin("a b\n").run().good();
    assert_eq!(translated.lines().len(), 1);
    // The same command comes to the same end, and does not lose the checkpoint.
    dir.seqweave(hopeless).run().exits(5);
    dir.seqweave(&format!("info {named}")).run().good();
}

#[test]
fn steps_that_are_not_finite_are_left_out_until_there_are_too_many() {
    let dir = Dir::new();
    tiny(&dir);
    let hopeless = "train -c config.toml --run hopeless --set train.optimizer.kind=sgd --set train.optimizer.lr=1000 \
                    --set train.optimizer.weight_decay=1 --set train.optimizer.decay_exclude=[] --set train.clip=0 --set train.max_bad_steps=3";
    let ran = dir.seqweave(hopeless).run().exits(5).says("(3 in a row)");
    assert!(!ran.stderr.contains("(4 in a row)"), "{}", ran.report());
    let log = dir.text("hopeless/log.jsonl");
    assert_eq!(log.matches(r#""event":"skipped""#).count(), 3, "{log}");
}

/// A way to damage a file.
type Damage = fn(&mut Vec<u8>);

const FLIP: Damage = |bytes| {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
};

const CUT: Damage = |bytes| bytes.truncate(bytes.len() - bytes.len() / 3);

#[test]
fn a_damaged_checkpoint_is_passed_over_loudly() {
    let dir = Dir::new();
    tiny(&dir);
    let train = |run: &str| dir.seqweave(&format!("train -q -c config.toml --run {run}")).run();
    train("whole").good();
    let want = outcome(&dir, "whole");
    let cases: [(&str, Damage, &str); 5] = [
        ("model.safetensors", FLIP, "is damaged: BLAKE3"),
        ("model.safetensors", CUT, "bytes, its manifest says"),
        ("state.bin", FLIP, "is damaged: BLAKE3"),
        ("MANIFEST", FLIP, "is damaged at line"),
        ("MANIFEST", CUT, "is damaged at line"),
    ];
    for (number, (file, damage, said)) in cases.into_iter().enumerate() {
        let run = format!("damaged-{number}");
        dir.copy(&dir.join("whole"), &run);
        let path = format!("{run}/checkpoints/step-00000060/{file}");
        dir.edit(&path, damage);
        let ran = train(&run).good().says("warning: checkpoint refused: ").says(&path).says(said);
        assert_eq!(ran.stderr.matches("warning").count(), 1, "{}", ran.report());
        assert_same(&dir, &run, &want);
        // What was refused is kept for whoever wants to look into it.
        let damaged = dir.read(format!("{run}/checkpoints/step-00000060.damaged/{file}"));
        assert_ne!(damaged, dir.read(format!("whole/checkpoints/step-00000060/{file}")));
        dir.seqweave(&format!("info {run}")).run().good().silent();
    }
}

#[test]
fn a_run_that_is_refused_leaves_no_folder() {
    let dir = Dir::new();
    tiny(&dir);
    for refused in ["--set data.train=missing.tsv", "--init-from nowhere", "--set data.dev=train.tsv"] {
        dir.seqweave(&format!("train -c config.toml --run new/deep/r {refused}")).run().exits(4);
        assert!(!dir.join("new").exists(), "{refused} left a folder");
    }
    let same = dir.seqweave("train -c config.toml --run r --set data.dev=train.tsv").run().exits(4);
    same.says("the same file is named for it as for train");
}

#[test]
fn without_any_good_checkpoint_nothing_is_done() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --run r").run().good();
    let names = dir.files("r/checkpoints").into_keys();
    let weights: Vec<String> = names.filter(|name| name.ends_with("model.safetensors")).collect();
    assert!(weights.len() >= 3, "{weights:?}");
    for (i, name) in weights.iter().enumerate() {
        dir.edit(&format!("r/checkpoints/{name}"), [FLIP, CUT][i % 2]);
    }
    let before = dir.files("r/checkpoints");
    let ran = dir
        .seqweave("train -c config.toml --run r")
        .run()
        .exits(4)
        .says("no checkpoint of")
        .says("--overwrite");
    for name in &weights {
        assert!(ran.stderr.contains(name.as_str()), "{name} is not named\n{}", ran.report());
    }
    assert!(dir.files("r/checkpoints") == before, "a file was changed or removed");
    dir.seqweave("train -q -c config.toml --run r --overwrite").run().good();
    dir.seqweave("info r").run().good();
}

#[test]
fn other_settings_or_other_data_are_another_run() {
    let dir = Dir::new();
    tiny(&dir);
    let train = |options: &str| dir.seqweave(&format!("train -c config.toml --run r {options}")).run();
    train("").good();
    let before = dir.files("r/checkpoints");
    train("--set model.hidden=16").exits(3).says("settings").says("--overwrite").says("another run folder");
    train("--seed 8").exits(3).says("settings");
    train("--set train.optimizer.lr=0.02").exits(3).says("settings");
    dir.edit("train.tsv", |bytes| bytes.extend(b"a b\tb a\n"));
    train("").exits(3).says("training data");
    assert!(dir.files("r/checkpoints") == before, "a file was changed or removed");
    // A mistake in the data must not cost the old checkpoints either.
    dir.edit("train.tsv", |bytes| bytes.extend(b"no tab\n"));
    train("--overwrite").exits(4).says("train.tsv:242");
    assert!(
        dir.files("r/checkpoints") == before,
        "--overwrite removed checkpoints before it knew that it can train"
    );
}

#[test]
fn limits_and_intervals_may_change_between_two_starts() {
    let dir = Dir::new();
    tiny(&dir);
    let train = |options: &str| dir.seqweave(&format!("train -c config.toml {options}")).run().good();
    train("--run whole");
    train("--run parts --max-steps 25").says("done after 25 steps");
    train("--run parts --set train.log_every=1 --set checkpoint.every=7").says("going on from step 25");
    let weights = |run: &str| dir.read(format!("{run}/checkpoints/step-00000060/model.safetensors"));
    assert!(weights("whole") == weights("parts"), "other weights");
}

#[test]
fn f32_fast_is_a_setting_of_the_run_and_the_machine_says_what_it_does() {
    let dir = Dir::new();
    tiny(&dir);
    for (run, options) in [
        ("exact", ""),
        ("fast", "--precision f32-fast"),
        ("alone", "--precision f32-fast --threads 1"),
        ("set", "--set train.precision=f32-fast"),
    ] {
        dir.seqweave(&format!("train -q -c config.toml --run {run} {options}")).run().good();
    }
    assert_same(&dir, "alone", &outcome(&dir, "fast"));
    assert_same(&dir, "set", &outcome(&dir, "fast"));
    // Where the machine has no tiles for it, the mode is f32.
    let system = dir.seqweave("info --system --json").run().good().json();
    let weights = |run: &str| outcome(&dir, run).remove("model.safetensors").expect("a model has weights");
    assert_eq!(weights("exact") == weights("fast"), system["f32_fast"] == "f32", "{system}");
    assert_eq!(system["tiles_unused"].is_null(), system["f32_fast"] == "amx", "{system}");
    let other = dir.seqweave("train -q -c config.toml --run fast").run().exits(3);
    other.says("was made with other settings").says("train.precision");
}

#[test]
fn bf16_is_a_setting_of_the_run() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --run exact").run().good();
    dir.seqweave("train -q -c config.toml --run rounded --precision bf16").run().good();
    let weights = |run: &str| outcome(&dir, run).remove("model.safetensors").expect("a model has weights");
    assert!(weights("exact") != weights("rounded"), "rounding the operands shows in the weights");
    // The threads never matter, and going on with other operands is refused.
    dir.seqweave("train -q -c config.toml --run alone --precision bf16 --threads 1").run().good();
    assert_same(&dir, "alone", &outcome(&dir, "rounded"));
    let other = dir.seqweave("train -q -c config.toml --run rounded").run().exits(3);
    other.says("was made with other settings").says("train.precision");
    // A model may be used in any precision, whatever it was trained in.
    for precision in ["f32", "f32-fast", "bf16"] {
        let line = dir
            .seqweave(&format!("translate -m rounded --precision {precision}"))
            .stdin("a b c\n")
            .run()
            .good();
        assert_eq!(line.lines().len(), 1);
    }
    dir.seqweave("translate -m rounded --precision half")
        .run()
        .exits(2)
        .says("expected f32, f32-fast or bf16");
}

#[test]
fn a_damaged_best_checkpoint_is_refused_and_a_whole_one_is_named() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --run r").run().good();
    let best = dir.text("r/checkpoints/best").trim().to_owned();
    dir.edit(&format!("r/checkpoints/{best}/model.safetensors"), FLIP);
    let others = std::fs::read_dir(dir.join("r/checkpoints"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir() && entry.file_name().to_string_lossy() != *best);
    let newest =
        others.map(|entry| entry.file_name().to_string_lossy().into_owned()).max().expect("another one");
    for verb in ["translate -m r", "info r"] {
        let refused = dir.seqweave(verb).stdin("a b\n").run().exits(4);
        refused
            .says(&format!("{best}/model.safetensors is damaged"))
            .says(&format!("r/checkpoints/{newest}"));
    }
    dir.seqweave(&format!("translate -m r/checkpoints/{newest}")).stdin("a b\n").run().good();
}

#[test]
fn pairs_set_apart_for_a_test_can_be_evaluated() {
    let dir = Dir::new();
    tiny(&dir);
    let config = dir.text("config.toml").replace("dev = \"dev.tsv\"\n", "");
    dir.create("config.toml", config);
    let ran =
        dir.seqweave("train -c config.toml --run r --set data.split.dev=20 --set data.split.test=30").run();
    assert!(
        ran.stderr.contains("test: 30 pairs, set apart in test.tsv of the run folder"),
        "{}",
        ran.report()
    );
    ran.good();
    let (test, train) = (dir.text("r/test.tsv"), dir.text("train.tsv"));
    assert_eq!(test.lines().count(), 30);
    assert!(
        test.lines().all(|line| train.lines().any(|other| other == line)),
        "they are pairs of the corpus"
    );
    dir.seqweave("evaluate -m r --tsv r/test.tsv").run().good();
}
