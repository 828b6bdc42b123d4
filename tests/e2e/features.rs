//! A column of tags between source and target: what a word is to become.

use crate::dir::Dir;

/// What becomes of a word under each tag.
fn form(word: &str, tag: &str) -> String {
    match tag {
        "REV" => word.chars().rev().collect(),
        "END" => format!("{word}x"),
        _ => word.to_owned(),
    }
}

fn lines(words: impl Iterator<Item = u32>) -> String {
    let word = |n: u32| (0..3).map(|i| char::from(b'a' + (n / 4u32.pow(i) % 4) as u8)).collect::<String>();
    let tags = ["REV", "END", "AS;IS"];
    let line = |(word, tag): (String, &str)| format!("{word}\t{tag}\t{}\n", form(&word, tag));
    words.flat_map(|n| tags.map(|tag| (word(n), tag))).map(line).collect()
}

const CONFIG: &str = r#"name = "run"
seed = 3

[data]
train = "train.tsv"
dev = "dev.tsv"
features = ";"
src.level = "char"
tgt.level = "char"

[model]
emb = 24
hidden = 32
dropout = 0.0
features.emb = 8

[train]
epochs = 0
max_steps = 400
log_every = 100
batch.tokens = 400
optimizer.lr = 0.01
label_smoothing = 0.0

[valid]
every = 200
metrics = ["acc", "ppl"]
best_by = "acc"
"#;

#[test]
fn a_tag_decides_what_becomes_of_a_word() {
    for merge in ["tokens", "sum", "concat"] {
        let dir = Dir::new();
        dir.create("train.tsv", lines((0..64).filter(|n| n % 8 != 5)));
        dir.create("dev.tsv", lines((0..64).filter(|n| n % 8 == 5)));
        dir.create("config.toml", CONFIG);
        dir.seqweave(&format!("train -c config.toml --run run --set model.features.merge={merge}"))
            .run()
            .good();
        let words = "abc\tREV\nabc\tEND\nabc\tAS;IS\nabc\tIS;AS;NEW\n\n";
        let out = dir.seqweave("translate -m run").stdin(words).run().good();
        let expected = if merge == "tokens" { out.lines()[3] } else { "abc" };
        assert_eq!(out.lines(), ["cba", "abcx", "abc", expected, ""], "{merge}");
        // Alone, a word gets the same.
        let alone = dir.seqweave("translate -m run").stdin("abc\tEND\n").run().good();
        assert_eq!(alone.text(), "abcx\n", "{merge}");
        let evaluated = dir.seqweave("evaluate -m run --tsv dev.tsv --json").run().good();
        assert!(evaluated.json()["metrics"].is_array(), "{}", evaluated.report());
        dir.seqweave("score -m run --tsv dev.tsv").run().good();
        let traced = dir
            .seqweave("translate -m run --format jsonl --with tokens,align")
            .stdin("abc\tREV\n")
            .run()
            .good();
        let json = traced.json();
        let tokens = json["src_tokens"].as_array().expect("tokens").len();
        assert_eq!(tokens, if merge == "tokens" { 4 } else { 3 }, "{json}");
        dir.create("two.tsv", "abc\tcba\n");
        dir.seqweave("evaluate -m run --tsv two.tsv").run().exits(4).says("expected 3 columns");
    }
}

#[test]
fn doctor_and_filters_tell_text_from_tags() {
    let dir = Dir::new();
    let words =
        |n: usize| -> String { (0..3).map(|i| ['а', 'б', 'в', 'г'][n / 4usize.pow(i) % 4]).collect() };
    // A word stays as it is under one tag, gets longer under another, and the first comes twice.
    let pair = |n| format!("{0}\tN;SG\t{0}\n{0}\tN;PL\t{0}и\n", words(n));
    let text: String = (0..64).map(pair).collect();
    dir.create("train.tsv", format!("{text}{}\tN;SG\t{0}\n", words(0)));
    dir.create("dev.tsv", "ддд\tN;SG\tддд\n");
    dir.create("config.toml", CONFIG);
    let report = dir.seqweave("doctor -q -c config.toml --json").run().good().json();
    let whats: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|found| found["what"].as_str().unwrap()).collect();
    assert!(whats.contains(&"duplicates"), "{report}");
    for what in ["copies", "scripts", "ratio", "one-token"] {
        assert!(!whats.contains(&what), "{what}: {report}");
    }
    assert_eq!(report["sides"][0]["scripts"], serde_json::json!([["Cyrillic", 1.0]]), "{report}");
    assert_eq!((&report["sides"][0]["longest"], &report["sides"][1]["longest"]), (&5.into(), &4.into()));
    let train = "train -c config.toml --run run --set train.max_steps=1 --set data.filter.dedup=true \
                 --set data.filter.drop_copies=true --set data.filter.src_scripts=['Cyrillic']";
    let kept =
        |max: u32| dir.seqweave(&format!("{train} --set data.filter.max_src_len={max} --overwrite")).run();
    let sum = "--set model.features.merge=sum";
    let looked = dir.seqweave(&format!("doctor -q -c config.toml --json {sum}")).run().good().json();
    dir.seqweave(&format!("{train} {sum}")).run().good();
    let model = dir.seqweave("info run --json").run().good().json();
    assert!(
        looked["parameters"].is_u64() && looked["parameters"] == model["model"]["parameters"],
        "{looked} {model}"
    );
    kept(5).good().says("kept 128 of 129 pairs; dropped 1: 1 duplicate");
    kept(4).exits(4).says("129 source too long");
}

#[test]
fn init_finds_the_column_of_tags_and_what_it_writes_trains() {
    let second = lines(0..64);
    let swapped = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        format!("{}\t{}\t{}\n", cells[0], cells[2], cells[1])
    };
    // Source, target, tags: the order of SIGMORPHON since 2017.
    let third: String = second.lines().map(swapped).collect();
    for (text, is_last) in [(&second, false), (&third, true)] {
        let dir = Dir::new();
        dir.create("pairs.tsv", text);
        let made = dir.seqweave("init mine --data pairs.tsv").run().good();
        assert_eq!(made.stderr.contains("with the tags as the second column"), is_last, "{}", made.report());
        assert_eq!(dir.join("mine/pairs.tsv").exists(), is_last);
        if is_last {
            assert_eq!(dir.text("mine/pairs.tsv"), second);
        }
        let config = dir.text("mine/config.toml");
        assert!(
            config.contains("features = \";\"") && config.contains("4 of them, each seen 64 times"),
            "{config}"
        );
        let settings = "--run run --max-steps 600 --set valid.every=200 --set train.schedule.warmup=20 \
                        --set model.hidden=48 --set train.optimizer.lr=0.01 --set model.dropout=0";
        dir.seqweave(&format!("train -q -c mine/config.toml {settings}")).run().good();
        let out = dir.seqweave("translate -m run").stdin("abc\tREV\nabc\tEND\n").run().good();
        assert_eq!(out.text(), "cba\nabcx\n", "{is_last}");
        dir.seqweave("evaluate -m run --tsv run/test.tsv").run().good();
    }
}
