//! From nothing to a model that is trained, measured, looked into and drawn.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bad_input::gzip;
use crate::dir::Dir;
use crate::models::{tiny, trained};

#[test]
fn init_and_train_do_what_they_say() {
    let demo = trained();
    assert_eq!((demo.init.text(), demo.train.text()), ("", ""), "stdout is for results");
    for said in ["config.toml", "next: seqweave train -c"] {
        assert!(demo.init.stderr.contains(said), "{said}\n{}", demo.init.report());
    }
    let train = &demo.train.stderr;
    for said in [
        "Step 100/250; acc:",
        "; ppl:",
        "; lr:",
        " tok/s; ",
        "Valid 250:",
        "* best wer",
        "done after 250 steps",
    ] {
        assert!(train.contains(said), "{said}\n{}", demo.train.report());
    }
    assert!(train.contains("next: seqweave translate -m"), "{}", demo.train.report());

    let run = demo.run();
    let text = |name: &str| std::fs::read_to_string(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let metrics = text("metrics.tsv");
    let rows: Vec<Vec<&str>> = metrics.lines().map(|line| line.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{metrics}");
    assert_eq!(rows[0][..2], ["step", "epoch"]);
    assert_eq!(rows[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), ["125", "250"]);
    for line in text("log.jsonl").lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["time"].is_string() && event["event"].is_string(), "{line}");
    }
    assert!(text("train.log").contains("Step 100/250"));
    assert!(text("samples/step-00000250.txt").contains("hypothesis"));
    assert_eq!(text("checkpoints/last"), "step-00000250\n");
    // The configuration in the run folder is the whole of it, and nothing is wrong with it.
    demo.dir.seqweave("config check -c demo/runs/toy-reverse/config.toml").run().good().says("is good");
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = Dir::new();
    tiny(&dir);
    let before = dir.files(".");
    dir.seqweave("train -c config.toml --dry-run").run().good().says("nothing was written").says("steps  60");
    assert_eq!(dir.files(".").into_keys().collect::<Vec<_>>(), before.into_keys().collect::<Vec<_>>());
}

#[test]
fn a_finished_run_stays_as_it_is_and_overwrite_starts_over() {
    let dir = Dir::new();
    tiny(&dir);
    let train = |options: &str| dir.seqweave(&format!("train -c config.toml {options}")).run().good();
    train("");
    let (checkpoints, metrics) = (dir.files("runs/tiny/checkpoints"), dir.text("runs/tiny/metrics.tsv"));
    let again = train("").says("going on from step 60");
    assert!(!again.stderr.contains("Step 5/60"), "{}", again.report());
    assert!(dir.files("runs/tiny/checkpoints") == checkpoints, "a finished run was changed");
    train("--dry-run").says("would go on from step 60").says("nothing was written");
    let other = "train -c config.toml --dry-run --set model.hidden=22";
    dir.seqweave(other).run().exits(3).says("made with other settings").says("model.hidden = 22");
    dir.seqweave(&format!("{other} --overwrite")).run().good();
    assert!(dir.files("runs/tiny/checkpoints") == checkpoints, "a dry run changed the run");
    let anew = train("--overwrite").says("Step  5/60");
    assert!(!anew.stderr.contains("going on"), "{}", anew.report());
    assert!(dir.files("runs/tiny/checkpoints") == checkpoints, "the same seed, but other bytes");
    assert_eq!(dir.text("runs/tiny/metrics.tsv"), metrics);
}

#[test]
fn names_with_blanks_and_letters_of_the_world_are_names() {
    let dir = Dir::new();
    let inner = Dir::at(dir.join("Übung macht 大师"));
    std::fs::create_dir(inner.path()).unwrap();
    tiny(&inner);
    let config = inner.join("config.toml");
    dir.seqweave("train --max-steps 20 -c").arg(&config).run().good();
    let run = inner.join("runs/tiny");
    let out = inner.join("Aus gabe.txt");
    dir.seqweave("translate -m").arg(&run).arg("-o").arg(&out).stdin("a b\n").run().good();
    assert_eq!(inner.text("Aus gabe.txt").lines().count(), 1);
}

#[test]
fn evaluate_measures_and_holds_against_gates() {
    let dir = trained().fresh();
    let text = dir.seqweave("evaluate -m run --tsv test.tsv --examples 3").run().good();
    assert!(text.lines()[0].starts_with("wer ") && text.lines()[1].starts_with("per "), "{}", text.report());
    assert!(text.lines().len() >= 6, "three examples\n{}", text.report());

    let all = "evaluate -m run --tsv test.tsv --json --metrics wer,per,cer,acc,ppl,token_acc,seq_acc";
    let report = dir.seqweave(all).run().good().json();
    let value = |name: &str| {
        let metrics = report["metrics"].as_array().expect("a list");
        let metric =
            metrics.iter().find(|m| m["metric"] == name).unwrap_or_else(|| panic!("no {name}: {report}"));
        metric["value"].as_f64().unwrap_or_else(|| panic!("{name} is no number: {report}"))
    };
    assert_eq!(report["references"], 500);
    assert!((value("wer") + value("acc") - 100.0).abs() < 1e-9, "{report}");
    assert!(value("wer") < 80.0 && value("token_acc") > 80.0, "the model has learnt too little: {report}");
    assert!(value("per") <= value("wer") && value("ppl") > 1.0, "{report}");

    let gate = |gate: &str| dir.seqweave("evaluate -m run --tsv test.tsv --fail-under").arg(gate).run();
    assert!(gate("wer=99.9,acc=0.1").good().text().contains("gate wer <= 99.9: met"));
    let missed = gate("wer=99.9,acc=100").exits(6);
    assert!(missed.text().contains("gate acc >= 100: NOT MET"), "{}", missed.report());
    let json = dir.seqweave("evaluate -m run --tsv test.tsv --json --fail-under per=0").run().exits(6).json();
    assert_eq!(json["gates"][0]["met"], false);
}

#[test]
fn a_corpus_is_the_same_corpus_in_every_form() {
    let dir = trained().fresh();
    let pairs = dir.text("test.tsv");
    let side =
        |column: usize| pairs.lines().map(move |l| l.split('\t').nth(column).unwrap().to_owned() + "\n");
    dir.create("test.src", side(0).collect::<String>());
    dir.create("test.tgt", side(1).collect::<String>());
    dir.create("crlf.tsv", pairs.replace('\n', "\r\n"));
    dir.create("test.tsv.gz", gzip(pairs.as_bytes()));
    let measure = |what: &str| {
        let mut report =
            dir.seqweave(&format!("evaluate -m run --json --metrics per,ppl {what}")).run().good().json();
        let report = report.as_object_mut().unwrap();
        assert!(report.remove("seconds").is_some() && report.remove("data").is_some());
        report.clone()
    };
    let tsv = measure("--tsv test.tsv");
    for other in ["test.src test.tgt", "--tsv crlf.tsv", "--tsv test.tsv.gz"] {
        assert_eq!(measure(other), tsv, "{other}");
    }
}

#[test]
fn a_translation_has_the_score_that_score_gives_it() {
    let demo = trained();
    let dir = demo.fresh();
    let input = demo.sources("test", 60).join("\n");
    for beam in ["1", "5"] {
        let found = dir.seqweave("translate -m run --format jsonl --with score,tokens --beam").arg(beam);
        let found = found.stdin(input.clone()).run().good().jsonl();
        let text = |record: &Value, key: &str| record[key].as_str().expect("a text").to_owned();
        let pairs: String =
            found.iter().map(|r| format!("{}\t{}\n", text(r, "src"), text(r, "tgt"))).collect();
        dir.create("pairs.tsv", pairs);
        let mut scored = dir.seqweave("score -m run --tsv pairs.tsv --json --per-token").run().good().jsonl();
        let summary = scored.pop().expect("a summary");
        assert_eq!((scored.len(), &summary["pairs"]), (60, &Value::from(60)));
        let number = |value: &Value| value.as_f64().expect("a number");
        for (found, scored) in found.iter().zip(&scored) {
            let (a, b) = (number(&found["log_prob"]), number(&scored["log_prob"]));
            assert!((a - b).abs() <= 1e-5, "{a} by translate, {b} by score: {found}\n{scored}");
            let shares = scored["per_token"].as_array().expect("a list");
            let sum: f64 = shares.iter().map(|share| number(&share["log_prob"])).sum();
            assert!((sum - b).abs() <= 1e-4, "the tokens have {sum} together, the line {b}");
        }
        let total: f64 = scored.iter().map(|record| number(&record["log_prob"])).sum();
        assert!((total - number(&summary["log_prob"])).abs() < 1e-9 * total.abs());
        let lines = dir.seqweave("score -m run --tsv pairs.tsv").run().good().says("perplexity");
        let first: f64 = lines.lines()[0].parse().expect("a number");
        assert!((first - number(&scored[0]["log_prob"])).abs() < 1e-4);
    }
}

#[test]
fn info_knows_models_runs_and_the_machine() {
    let demo = trained();
    let dir = demo.fresh();
    let run = dir.seqweave("info run").run().good();
    for part in ["parameters", "encoder", "decoder", "16 tokens"] {
        assert!(run.text().contains(part), "{part}\n{}", run.report());
    }
    let json = dir.seqweave("info run --json").run().good().json();
    assert_eq!(json["run"]["last"], "step-00000250");
    assert_eq!(json["training"]["seed"], 42);
    let by_modules = json["model"]["modules"].as_array().expect("a list").iter();
    let sum: u64 = by_modules.map(|module| module["parameters"].as_u64().expect("a count")).sum();
    assert_eq!(json["model"]["parameters"], sum);
    let checkpoint = dir.seqweave("info --json").arg(demo.best()).run().good().json();
    assert_eq!(checkpoint["model"], json["model"]);
    assert!(checkpoint.get("run").is_none(), "{checkpoint}");
    let system = dir.seqweave("info --system --json").run().good().json();
    assert!(system.as_object().is_some_and(|parts| parts.len() > 2), "{system}");
    let text = dir.seqweave("info --system").run().good();
    assert!(text.text().contains(env!("CARGO_PKG_VERSION")), "{}", text.report());
}

#[test]
fn figures_are_what_their_names_say() {
    let dir = trained().fresh();
    let png = |name: &str| {
        let bytes = dir.read(name);
        assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n", "{name}");
        assert_eq!(bytes[12..16], *b"IHDR", "{name}");
        assert_eq!(bytes[bytes.len() - 8..bytes.len() - 4], *b"IEND", "{name}");
        let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert!(size(16) > 100 && size(20) > 100, "{name} is {}×{}", size(16), size(20));
    };
    let svg = |name: &str, parts: &[&str]| {
        let text = dir.text(name);
        assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>"), "{name}: {text}");
        for part in parts {
            assert!(text.contains(part), "{name} has no {part}");
        }
    };
    let plot = |line: &str| {
        let ran = dir.seqweave(&format!("plot {line}")).run().good();
        assert_eq!(ran.text(), "", "stdout is for results");
    };
    let attention = |line: &str| dir.seqweave(&format!("plot attention -m run {line}"));
    attention("-o one.svg --text").arg("a b c").run().good().says("wrote one.svg");
    svg("one.svg", &["&lt;/s&gt;"]);
    attention("-o one.png --text").arg("a b c").run().good();
    png("one.png");
    attention("-o map.png -t").arg("a b c").arg("-t").arg("d e 注意").run().good();
    png("map-1.png");
    png("map-2.png");
    plot("curves run -o curves.svg");
    svg("curves.svg", &["perplexity"]);
    plot("curves run run -o curves.png");
    png("curves.png");
}

#[test]
fn completions_are_scripts_that_know_the_verbs() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = dir.seqweave(&format!("completions {shell}")).run().good().silent();
        for word in ["translate", "evaluate", "completions"] {
            assert!(script.text().contains(word), "no {word} for {shell}");
        }
    }
    let script = dir.seqweave("completions bash").run().stdout;
    dir.create("seqweave.bash", script);
    let check = Command::new("bash").arg("-n").arg(dir.join("seqweave.bash")).stderr(Stdio::piped()).output();
    // Not every machine has bash; where it is, it must be able to read the script.
    if let Ok(output) = check {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_configuration_that_is_shown_loads_to_the_same() {
    let dir = Dir::new();
    tiny(&dir);
    let first = dir.seqweave("config show -c config.toml --set model.cell=gru").run().good().silent();
    assert!(first.text().contains("cell = \"gru\""), "{}", first.report());
    dir.create("shown.toml", &first.stdout);
    let second = dir.seqweave("config show -c shown.toml").run().good().silent();
    assert_eq!(first.text(), second.text());
    dir.seqweave("config check -c config.toml").run().good().says("the configuration is good");
    let schema = dir.seqweave("config schema").run().good().json();
    assert!(schema["properties"]["model"].is_object(), "{schema}");
    let key = dir.seqweave("config explain model.hidden").run().good();
    assert!(key.text().starts_with("model.hidden\n"), "{}", key.report());
}

#[test]
fn weights_are_safetensors_with_the_names_of_pytorch() {
    let path = trained().best().join("model.safetensors");
    let bytes = std::fs::read(path).unwrap();
    // The format: the header's length as u64, a JSON header, then the numbers.
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(length);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).expect("a JSON header");
    let mut end_of_last = 0;
    let mut tensors: Vec<_> = header.iter().filter(|(name, _)| *name != "__metadata__").collect();
    tensors.sort_by_key(|(_, tensor)| tensor["data_offsets"][0].as_u64());
    for (name, tensor) in &tensors {
        assert_eq!(tensor["dtype"], "F32", "{name}");
        let shape = tensor["shape"].as_array().expect("a list").iter().map(|n| n.as_u64().unwrap());
        let [begin, end] = [0, 1].map(|i| tensor["data_offsets"][i].as_u64().unwrap());
        assert_eq!((begin, end - begin), (end_of_last, 4 * shape.product::<u64>()), "{name}");
        end_of_last = end;
    }
    assert_eq!(end_of_last as usize, data.len());
    // A GRU of 64 units, 32 in each direction: three gates by PyTorch's layout [3H, inputs].
    let shape =
        |name: &str| header.get(name).map(|t| t["shape"].clone()).unwrap_or_else(|| panic!("no {name}"));
    let rows = |name: &str| shape(name)[0].as_u64().unwrap();
    let of_encoder = |end: &str| {
        let is_meant = |name: &&String| name.starts_with("encoder.") && name.ends_with(end);
        header.keys().filter(is_meant).cloned().collect::<Vec<_>>()
    };
    for end in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
        let names = of_encoder(end);
        assert_eq!(names.len(), 2, "one for each direction: {names:?} of {:?}", header.keys());
        assert!(names.iter().all(|name| rows(name) == 3 * 32), "{names:?}");
    }
}

#[test]
fn every_instruction_set_translates_to_the_same_bytes() {
    let (dir, input) = (trained().fresh(), trained().sources("test", 20).join("\n"));
    let translate = |set: &str| {
        let command =
            dir.seqweave("translate -m run --format jsonl --with score,align").env("SEQWEAVE_CPU", set);
        command.stdin(input.clone()).run()
    };
    let widest = translate("").good();
    assert_eq!(widest.lines().len(), 20);
    for set in ["portable", "avx2", "avx512", "amx"] {
        let ran = translate(set);
        if ran.stderr.contains("SEQWEAVE_CPU: expected one of") {
            println!("SKIPPED {set}: this processor does not have it");
            continue;
        }
        assert_eq!(ran.good().stdout, widest.stdout, "{set}");
    }
    translate("avx1024").exits(2).says("SEQWEAVE_CPU: expected one of").says("portable");
}

#[test]
fn bench_prints_one_json_line() {
    let dir = Dir::new();
    let measured = dir.seqweave("bench --batch 2 --seconds 0 --json --threads 1").run().good().json();
    assert_eq!((&measured["peer"], &measured["config"]), (&"seqweave".into(), &"small".into()));
    assert!(measured["tokens_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{measured}");
    let text = dir.seqweave("bench --batch 2 --seconds 0 --mode greedy").run().good();
    assert!(text.lines()[0].starts_with("tokens/s "), "{}", text.report());
    dir.seqweave("bench --config tiny").run().exits(2).says("small, medium, large");
    dir.seqweave("bench --config large --batch 65536").run().exits(1).says("a smaller --batch");
}
