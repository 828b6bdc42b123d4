//! `translate`: lines in, lines out, as many and in the same order; the same bytes in any company.

use std::io::{BufRead, BufReader, Write};

use seqweave_testkit::SplitMix64;
use serde_json::Value;

use crate::dir::Dir;
use crate::models::{tiny, trained};

#[test]
fn every_line_has_its_line() {
    let dir = trained().fresh();
    let input = "a b c\n\nd e f\r\n   \nunheard of\n\r\n\u{3000}\nl a";
    let ran = dir.seqweave("translate -m run").stdin(input).run().good().silent();
    let lines = ran.lines();
    assert_eq!(lines.len(), 8, "{}", ran.report());
    let alone = |line: &str| {
        let ran = dir.seqweave("translate -m run").stdin(format!("{line}\n")).run().good();
        ran.lines().concat()
    };
    for (i, line) in ["a b c", "", "d e f", "", "unheard of", "", "", "l a"].iter().enumerate() {
        assert_eq!(lines[i], if line.is_empty() { String::new() } else { alone(line) }, "line {i}");
    }
    for (empty, count) in [("", 0), ("\n", 1), ("\n\n\n", 3)] {
        let ran = dir.seqweave("translate -m run").stdin(empty).run().good();
        assert_eq!(ran.lines().len(), count, "{empty:?}");
    }
    // A byte order mark belongs to the file, not to its first word.
    let marked = dir.seqweave("translate -m run").stdin("\u{feff}a b c\n").run().good();
    assert_eq!(marked.lines(), [lines[0]]);
}

#[test]
fn files_and_streams_are_the_same() {
    let dir = trained().fresh();
    let input = trained().sources("test", 50).join("\n");
    dir.create("in.txt", &input);
    let piped = dir.seqweave("translate -m run").stdin(input).run().good();
    let named = dir.seqweave("translate -m run -i in.txt").run().good();
    assert_eq!(piped.text(), named.text());
    let written = dir.seqweave("translate -m run -i in.txt -o out.txt").run().good();
    assert_eq!((written.text(), dir.text("out.txt")), ("", named.text().to_owned()));
    let dashes = dir.seqweave("translate -m run -i - -o -").stdin(dir.read("in.txt")).run().good();
    assert_eq!(dashes.text(), named.text());
    // A checkpoint is a model folder, and so is its copy elsewhere.
    dir.copy(&trained().best(), "elsewhere");
    let moved = dir.seqweave("translate -m elsewhere -i in.txt").run().good();
    assert_eq!(moved.text(), named.text());
}

#[test]
fn records_have_the_fields_that_were_asked_for() {
    let dir = trained().fresh();
    let input = "d b a\n\nc\n";
    let translate =
        |options: &str| dir.seqweave(&format!("translate -m run {options}")).stdin(input).run().good();
    let text = translate("");
    let bare = translate("--format jsonl").jsonl();
    for (i, (record, line)) in bare.iter().zip(text.lines()).enumerate() {
        let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["id", "src", "tgt"], "{record}");
        assert_eq!((&record["id"], &record["tgt"]), (&Value::from(i), &Value::from(line)));
        assert_eq!(record["src"], ["d b a", "", "c"][i]);
    }
    let full = translate("--format jsonl --with score,align,tokens --beam 4").jsonl();
    let first = &full[0];
    let target = first["tgt_tokens"].as_array().expect("tokens").len();
    assert_eq!(first["src_tokens"].as_array().expect("tokens").len(), 3);
    assert_eq!(first["token_log_probs"].as_array().expect("numbers").len(), target + 1);
    let links: Vec<(usize, usize)> = first["align"]
        .as_str()
        .expect("a text")
        .split(' ')
        .map(|link| link.split_once('-').map(|(s, t)| (s.parse().unwrap(), t.parse().unwrap())).expect("s-t"))
        .collect();
    assert_eq!(links.iter().map(|link| link.1).collect::<Vec<_>>(), (0..target).collect::<Vec<_>>());
    assert!(links.iter().all(|link| link.0 < 3), "{links:?}");
    assert!(first["score"].as_f64().unwrap() < 0.0 && first["log_prob"].as_f64().unwrap() < 0.0);
}

#[test]
fn n_best_lists_are_sorted_and_without_repetition() {
    let dir = trained().fresh();
    let input = trained().sources("test", 30).join("\n");
    let translate = |options: &str| {
        let command =
            dir.seqweave(&format!("translate -m run --format jsonl --with score --beam 6 {options}"));
        command.stdin(input.clone()).run().good().jsonl()
    };
    let (one, five) = (translate(""), translate("--n-best 5"));
    for (one, five) in one.iter().zip(&five) {
        let list = five["n_best"].as_array().expect("a list");
        assert_eq!(list.len(), 5);
        assert_eq!(
            (&list[0]["tgt"], &list[0]["score"]),
            (&one["tgt"], &one["score"]),
            "the best one comes first"
        );
        assert_eq!((&five["tgt"], &five["score"]), (&one["tgt"], &one["score"]));
        let score = |candidate: &Value| candidate["score"].as_f64().unwrap();
        assert!(list.is_sorted_by(|a, b| score(a) >= score(b)), "{five}");
        for (i, candidate) in list.iter().enumerate() {
            assert!(list[..i].iter().all(|earlier| earlier["tgt"] != candidate["tgt"]), "twice: {five}");
        }
    }
}

#[test]
fn a_beam_of_one_is_greedy_search() {
    // A model whose own default is greedy search needs no flag, and gives what `--beam 1` gives.
    let dir = Dir::new();
    tiny(&dir);
    for (run, beam) in [("greedy", 1), ("wide", 4)] {
        let train = format!("train -c config.toml --max-steps 40 --run {run} --set decode.beam={beam}");
        dir.seqweave(&train).run().good();
    }
    let pairs = dir.text("dev.tsv");
    let input: String = pairs.lines().map(|l| l.split('\t').next().unwrap().to_owned() + "\n").collect();
    let translate = |options: &str| {
        let command = dir.seqweave(&format!("translate --format jsonl --with score,align,tokens {options}"));
        command.stdin(input.clone()).run().good()
    };
    let greedy = translate("-m greedy");
    assert_eq!(greedy.text(), translate("-m wide --beam 1").text());
    assert_ne!(
        greedy.text(),
        translate("-m wide").text(),
        "a wider beam finds nothing else: the test has no teeth"
    );
    // The most probable of 12 tokens has at least a twelfth of the probability.
    for record in greedy.jsonl() {
        let shares = record["token_log_probs"].as_array().expect("numbers");
        let worst = shares.iter().map(|share| share.as_f64().unwrap()).fold(0.0, f64::min);
        assert!(worst >= -(12.0_f64.ln()) - 1e-6, "a token was not the most probable one: {record}");
    }
}

#[test]
fn a_line_gives_the_same_bytes_in_any_company() {
    let demo = trained();
    let dir = demo.fresh();
    let mut lines = demo.sources("test", 100);
    lines.extend(
        ["", "a", "unknown words only", "a a a a a a a a a a a a a a a a a a a a a a a a a"]
            .map(String::from),
    );
    let mut order: Vec<usize> = (0..lines.len()).collect();
    SplitMix64::new(3).shuffle(&mut order);
    let input =
        |order: &mut dyn Iterator<Item = usize>| order.map(|i| lines[i].clone() + "\n").collect::<String>();
    let straight = input(&mut (0..lines.len()));
    let shuffled = input(&mut order.iter().copied());
    for beam in [1, 5] {
        let translate = |options: &str, input: &str| {
            let options =
                format!("translate -m run --format jsonl --with score,align,tokens --beam {beam} {options}");
            dir.seqweave(&options).stdin(input).run().good()
        };
        let want = translate("--batch 32", &straight);
        for options in
            ["--batch 1", "--batch 2", "--batch 7", "--batch 64", "--threads 1", "--threads 2 --batch 7"]
        {
            let got = translate(options, &straight);
            assert!(got.stdout == want.stdout, "beam {beam} {options}: other bytes");
        }
        // In another order the same lines have other numbers, and nothing else.
        let got = translate("--batch 7", &shuffled);
        let bare = |line: &str| line.split_once(',').expect("the number comes first").1.to_owned();
        let (want, got) = (want.lines(), got.lines());
        for (&from, got) in order.iter().zip(got) {
            assert_eq!(bare(got), bare(want[from]), "beam {beam}, line {from}");
        }
    }
}

#[test]
fn options_of_the_search_do_what_they_say() {
    let dir = trained().fresh();
    let translate = |options: &str| {
        let command = dir.seqweave(&format!("translate -m run {options}")).stdin("a b c d e f g h\na\n");
        command.run().good().lines().iter().map(|line| line.split_whitespace().count()).collect::<Vec<_>>()
    };
    assert!(translate("--max-len 3").iter().all(|&n| n <= 3));
    assert!(translate("--min-len 12 --max-len 40").iter().all(|&n| n >= 12));
    for penalty in ["none", "average", "gnmt=0.8"] {
        assert_eq!(translate(&format!("--length-penalty {penalty} --coverage-penalty 0.2")).len(), 2);
    }
    let env = dir.seqweave("translate --format jsonl --with score").env("SEQWEAVE_MODEL", "run");
    let env = env.env("SEQWEAVE_BEAM", "1").env("SEQWEAVE_BATCH", "1").stdin("a b\n").run().good();
    let flags =
        dir.seqweave("translate -m run --beam 1 --format jsonl --with score").stdin("a b\n").run().good();
    assert_eq!(env.text(), flags.text());
}

#[test]
fn an_answer_comes_before_the_next_question() {
    let dir = trained().fresh();
    // The pipe stays open: the program cannot know whether more lines come, and must answer all the same.
    let (mut running, mut keyboard) = dir.seqweave("translate -m run").start_interactive().unwrap();
    let mut screen = BufReader::new(running.take_stdout());
    for question in ["a b c\n", "\n", "d\n"] {
        keyboard.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        screen.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim().is_empty(), question.trim().is_empty(), "{question:?}: {answer:?}");
    }
    drop(keyboard);
    running.finish().good();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let demo = trained();
    let dir = demo.fresh();
    let lines = demo.sources("train", 5000).join("\n");
    dir.create("pairs.tsv", dir.text("test.tsv").repeat(10));
    for (command, input) in [
        ("translate -m run", lines.as_str()),
        ("translate -m run --format jsonl --with tokens", lines.as_str()),
        ("score -m run --tsv pairs.tsv --per-token", ""),
        ("config explain", ""),
        ("completions zsh", ""),
    ] {
        let mut running = dir.seqweave(command).stdin(input).start();
        let mut reader = BufReader::with_capacity(16, running.take_stdout());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        assert!(first.ends_with('\n'), "{command}: {first:?}");
        drop(reader);
        running.finish().good().silent();
    }
}

#[test]
fn stdout_has_results_and_stderr_everything_else() {
    let dir = trained().fresh();
    let translate =
        |options: &str| dir.seqweave(&format!("translate -m run {options}")).stdin("a b\nc d\n").run().good();
    let normal = translate("").silent();
    let quiet = translate("-q").silent();
    let verbose = translate("-v").says("device").says("translated 2 lines");
    assert_eq!((normal.text(), normal.text()), (quiet.text(), verbose.text()));
    let evaluate =
        |options: &str| dir.seqweave(&format!("evaluate -m run --tsv test.tsv {options}")).run().good();
    assert_eq!(evaluate("").says("evaluating").text(), evaluate("-q").silent().text());
    // Errors are said even when nothing else is.
    dir.seqweave("translate -q -m nowhere").run().exits(4).says("error: there is no folder nowhere");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let dir = Dir::new();
    let fails = |options: &str| dir.seqweave(&format!("info nowhere {options}"));
    let is_coloured = |command: crate::dir::TestCommand| command.run().exits(4).stderr.contains('\x1b');
    assert!(!is_coloured(fails("")), "a pipe gets no colours");
    assert!(is_coloured(fails("--color always")));
    assert!(is_coloured(fails("").env("CLICOLOR_FORCE", "1")));
    assert!(!is_coloured(fails("").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")), "NO_COLOR is respected");
    assert!(!is_coloured(fails("--color never").env("CLICOLOR_FORCE", "1")));
    let usage = dir.seqweave("translate --bogus --color always").run().exits(2);
    assert!(usage.stderr.contains('\x1b'), "{}", usage.report());
    let help = dir.seqweave("--help").env("NO_COLOR", "1").run().good().silent();
    assert!(help.text().contains("Exit codes") && !help.text().contains('\x1b'));
    let version = dir.seqweave("--version").run().good().silent();
    assert!(version.text().starts_with("seqweave "), "{}", version.report());
}

#[test]
fn an_output_that_was_there_is_replaced_whole_or_not_at_all() {
    let dir = trained().fresh();
    dir.create("out.txt", "precious\n");
    dir.create("bad.txt", b"a b\nc \xff\n");
    dir.create("good.txt", "a b\nc d\n");
    dir.seqweave("translate -m run -i bad.txt -o out.txt").run().exits(4).says("bad.txt:2");
    assert_eq!(dir.text("out.txt"), "precious\n");
    dir.seqweave("translate -m run -i good.txt -o out.txt").run().good();
    assert_eq!(dir.text("out.txt").lines().count(), 2);
    // What was translated before the bad line is kept where nothing was.
    dir.seqweave("translate -m run -i bad.txt -o new.txt").run().exits(4);
    assert_eq!(dir.text("new.txt").lines().count(), 1);
    let left = std::fs::read_dir(dir.join("."))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"));
    assert_eq!(left.count(), 0, "nothing is left beside");
}
