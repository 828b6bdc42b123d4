//! `prepare` and `doctor`: shards are the text they were made of, and what is odd is said with what to do.

use std::time::Duration;

use seqweave_testkit::Toy;

use crate::dir::Dir;
use crate::models::tiny;

/// `tiny` with its shards in `shards`.
fn sharded() -> Dir {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("prepare -c config.toml -o shards").run().good().says("kept ").says("240 pairs read");
    dir
}

const FROM_SHARDS: &str = "train -q -c config.toml --set data.train={shards='shards'}";

#[test]
fn training_from_shards_is_training_from_text() {
    let dir = sharded();
    dir.seqweave("train -q -c config.toml --run text").run().good();
    // So that nothing can come from the text.
    std::fs::remove_file(dir.join("train.tsv")).unwrap();
    dir.seqweave(&format!("{FROM_SHARDS} --run sharded")).run().good();
    assert!(dir.files("text/checkpoints") == dir.files("sharded/checkpoints"), "other checkpoints");
    assert_eq!(dir.text("text/metrics.tsv"), dir.text("sharded/metrics.tsv"));
}

#[test]
fn a_run_from_shards_that_is_killed_goes_on_exactly() {
    let dir = sharded();
    dir.seqweave(&format!("{FROM_SHARDS} --run whole")).run().good();
    let mut running = dir.seqweave(&format!("{FROM_SHARDS} --run killed")).start();
    let first = dir.join("killed/checkpoints/last");
    running.wait_until("a checkpoint", || first.exists());
    std::thread::sleep(Duration::from_millis(30));
    running.signal("KILL");
    running.finish();
    dir.seqweave(&format!("{FROM_SHARDS} --run killed")).run().good();
    assert!(dir.files("whole/checkpoints") == dir.files("killed/checkpoints"), "other checkpoints");
    assert_eq!(dir.text("whole/metrics.tsv"), dir.text("killed/metrics.tsv"));
}

#[test]
fn prepare_reports_and_any_number_of_jobs_makes_the_same() {
    let dir = sharded();
    let report = dir.seqweave("prepare -q -c config.toml -o again -j 3 --json").run().good().json();
    assert_eq!((&report["pairs"], &report["examples"]), (&240.into(), &report["report"]["filter"]["kept"]));
    assert!(report["examples"].as_u64().unwrap() > 200, "{report}");
    assert!(report["pairs_per_second"].as_f64().unwrap() > 0.0);
    assert!(dir.files("shards") == dir.files("again"), "the number of jobs matters");
    dir.seqweave("prepare -c config.toml -o shards")
        .run()
        .exits(1)
        .says("shards: is there already")
        .says("help:");
}

#[test]
fn doctor_says_what_is_odd_and_what_to_do() {
    let dir = Dir::new();
    tiny(&dir);
    let toy = Toy { spaced: true, ..Toy::reverse() };
    let good = toy.tsv(240, 1);
    let odd = "cafÃ© x\ty\n\t\nsame same\tsame same\nа б в г\td\n".repeat(5);
    dir.create("train.tsv", format!("{good}{good}{odd}"));
    let ran = dir.seqweave("doctor -c config.toml").run().good();
    for said in [
        "came before",
        "data.filter.dedup = true",
        "look like UTF-8 that was read as Latin-1",
        "have the same text on both sides",
        "the source is Latin, with Cyrillic",
        "have an empty side",
        "there are only 20 validation pairs",
        "parameters",
    ] {
        let flat: String = ran.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said), "{said}\n{}", ran.report());
    }
    let wide = ran.lines().into_iter().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);

    let report = dir.seqweave("doctor -q -c config.toml --json").run().good().json();
    let findings = report["findings"].as_array().unwrap();
    let has =
        |what: &str| findings.iter().any(|finding| finding["what"] == what && finding["help"].is_string());
    assert!(
        ["duplicates", "twice-encoded", "copies", "scripts", "empty"].iter().all(|what| has(what)),
        "{report}"
    );
    assert!(report["parameters"].as_u64().unwrap() > 0 && report["sides"][0]["median"].is_u64(), "{report}");

    dir.create("train.tsv", b"a\tb\n\xff\tc\n");
    dir.seqweave("doctor -c config.toml").run().exits(4).says("train.tsv:2: invalid UTF-8");
    dir.seqweave("doctor -c config.toml --set data.src.level=sylable").run().exits(3);
}

#[test]
fn doctor_looks_at_shards_too() {
    let dir = sharded();
    dir.seqweave("doctor -c config.toml --set data.train={shards='shards'}").run().good();
    dir.edit("shards/shard-00000.bin", |bytes| bytes[100] ^= 1);
    let command = "doctor -c config.toml --set data.train={shards='shards'}";
    dir.seqweave(command).run().exits(4).says("shard-00000.bin: damaged shards: expected the BLAKE3 hash");
}

#[test]
fn texts_with_tabs_and_line_breaks_stay_whole() {
    let dir = Dir::new();
    tiny(&dir);
    let line = |n: u32| format!("{{\"src\": \"a{n}\\tb\\nc\", \"tgt\": \"c\\nb\\ta{n}\"}}\n");
    dir.create("train.jsonl", (0..200).map(line).collect::<String>());
    let text = dir.text("config.toml").replace("dev = \"dev.tsv\"\n", "split.test = 20\n");
    let chars = "src.level = \"char\"\ntgt.level = \"char\"\n";
    let text = text.replace("train = \"train.tsv\"\n", &format!("train = \"train.jsonl\"\n{chars}"));
    dir.create("config.toml", text);
    dir.seqweave("train -c config.toml --run run")
        .run()
        .good()
        .says("test: 20 pairs, set apart in test.jsonl of the run folder");
    assert!(!dir.join("run/test.tsv").exists());
    let test = dir.text("run/test.jsonl");
    let all = dir.text("train.jsonl").replace("\": \"", "\":\"").replace("\", \"", "\",\"");
    assert!(
        test.lines().count() == 20 && test.lines().all(|line| all.lines().any(|other| other == line)),
        "{test}"
    );

    dir.seqweave("prepare -q -c config.toml -o shards").run().good();
    dir.seqweave("train -c config.toml --run sharded --set data.train={shards='shards'}").run().good();
    assert_eq!(dir.text("sharded/test.jsonl"), test);

    let report = dir.seqweave("evaluate -m run --tsv run/test.jsonl --json").run().good().json();
    assert_eq!((&report["items"], &report["references"]), (&20.into(), &20.into()), "{report}");
    // A model that writes line breaks still gives a line for a line; JSON has what it wrote.
    let steps =
        "train -q -c config.toml --run learnt --max-steps 400 --set model.hidden=32 --set model.dropout=0";
    dir.seqweave(steps).run().good();
    let sources = "a1\na22\na33\n";
    let lines = dir.seqweave("translate -m learnt").stdin(sources).run().good();
    let written = dir.seqweave("translate -m learnt --format jsonl").stdin(sources).run().good().jsonl();
    assert_eq!((lines.lines().len(), written.len()), (3, 3), "{}", lines.report());
    assert!(written.iter().any(|line| line["tgt"].as_str().unwrap().contains('\n')), "{written:?}");
    dir.seqweave("score -m learnt --tsv run/test.jsonl --per-token").run().good();
}

#[test]
fn doctor_and_train_need_the_same_memory() {
    let dir = Dir::new();
    tiny(&dir);
    for settings in ["", " --set train.ema=0.999", " --set train.optimizer.kind=sgd --set train.ema=0.9"] {
        let large = format!("-c config.toml --set model.hidden=65536 --set run.device=cpu{settings}");
        let report = dir.seqweave(&format!("doctor -q {large} --json")).run().good().json();
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["what"] == "memory").expect("it is too large");
        // What is available may change in between.
        let (needed, _) = found["found"].as_str().unwrap().split_once(", ").expect("needed, available");
        assert!(needed.contains(" GB of memory") && found["severity"] == "problem", "{found}");
        dir.seqweave(&format!("train {large}")).run().exits(3).says(needed);
    }
}

#[test]
fn doctor_does_not_take_the_memory_of_the_cpu_for_that_of_a_gpu_that_is_not_there() {
    let dir = Dir::new();
    tiny(&dir);
    let large = "doctor -c config.toml --set model.hidden=65536";
    for gpu in ["--device cuda:99", "--set run.device=cuda:99"] {
        let ran = dir.seqweave(&format!("{large} {gpu}")).run().good();
        let line = ran.lines().into_iter().find(|line| line.starts_with("memory")).expect("a line about it");
        assert!(line.starts_with("memory   not checked: no CUDA device 99: "), "{}", ran.report());
        assert!(!ran.report().contains(" GB of memory"), "{}", ran.report());
        let report = dir.seqweave(&format!("{large} {gpu} -q --json")).run().good().json();
        let why = report["memory"]["unchecked"].as_str().expect("the reason");
        assert!(why.starts_with("no CUDA device 99: "), "{why}");
    }
    let report = dir.seqweave(&format!("{large} --device cpu -q --json")).run().good().json();
    assert_eq!(report["memory"]["checked"], "cpu");
    assert_eq!(report["findings"][0]["what"], "memory");
}
