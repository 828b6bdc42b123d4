//! More than the best output: samples, phrases, repetitions, unknown words, alignments, ensembles.

use crate::dir::Dir;
use crate::models::{tiny, trained};

/// The outputs, a line for each of a fixed input, which has a line without tokens.
fn outputs(dir: &Dir, options: &str) -> Vec<String> {
    let ran = dir.seqweave(&format!("translate -m run {options}")).stdin(INPUT).run().good();
    ran.lines().into_iter().map(str::to_owned).collect()
}

const INPUT: &str = "a b c d\n\nd d c\nb a l k e f g\n";

fn tokens(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn samples_come_from_the_seed_and_the_sentence_alone() {
    let dir = trained().fresh();
    let sample = |options: &str| outputs(&dir, &format!("--sample --temperature 2 {options}"));
    let want = sample("--seed 1");
    assert_eq!(sample("--seed 1 --batch 1"), want);
    assert_eq!(sample("--seed 1 --threads 1 --batch 3"), want);
    assert_ne!(sample("--seed 2"), want);
    assert_eq!(outputs(&dir, "--sample --top-k 1"), outputs(&dir, "--beam 1"), "one token to draw from");
    // The one sample is the first of five, and their order is that of the draws.
    let command = "translate -m run --format jsonl --sample --temperature 2 --seed 1 --n-best 5 --with score";
    let records = dir.seqweave(command).stdin(INPUT).run().good().jsonl();
    for (record, one) in records.iter().zip(&want).filter(|(_, one)| !one.is_empty()) {
        assert_eq!(record["tgt"], one.as_str());
        let all = record["n_best"].as_array().expect("a list");
        assert!(all.len() == 5 && all.iter().any(|sample| sample["tgt"] != all[0]["tgt"]), "{record}");
    }
}

#[test]
fn outputs_hold_what_they_must() {
    let dir = trained().fresh();
    dir.create("begin.txt", "c c\n\n\nk\n");
    for (output, prefix) in outputs(&dir, "--prefix-file begin.txt").iter().zip(["c c", "", "", "k"]) {
        assert!(tokens(output).starts_with(&tokens(prefix)), "{output:?} begins with {prefix:?}");
    }
    dir.create("terms.txt", "e f g\tb\n\n\na a\n");
    let required: [&[&str]; 4] = [&["e f g", "b"], &[], &[], &["a a"]];
    for options in ["", "--beam 1", "--beam 8 --no-repeat-ngram 2"] {
        let found = outputs(&dir, &format!("--require-file terms.txt {options}"));
        for (output, phrases) in found.iter().zip(required) {
            let says =
                |phrase: &&str| tokens(output).windows(tokens(phrase).len()).any(|w| w == tokens(phrase));
            assert!(phrases.iter().all(says), "{phrases:?} in {output:?}, {options}");
        }
    }
    let plain = outputs(&dir, "");
    let first = tokens(&plain[0])[..2].join(" ");
    dir.create("never.txt", format!("{first}\nl\n"));
    for output in outputs(&dir, "--forbid never.txt") {
        assert!(!output.contains(&first) && !output.contains('l'), "{output:?}");
    }
    for output in outputs(&dir, "--no-repeat-ngram 1 --min-len 6") {
        let mut once = tokens(&output);
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), tokens(&output).len(), "{output:?}");
    }
}

#[test]
fn a_phrase_beyond_the_first_chunk_is_found_by_its_line() {
    let dir = trained().fresh();
    // A chunk is eight batches, here eight lines.
    dir.create("terms.txt", format!("{}zz\n", "\n".repeat(20)));
    let command = "translate -m run --batch 1 --require-file terms.txt";
    let ran = dir.seqweave(command).stdin("a b\n".repeat(21)).run().exits(4);
    ran.says("required phrase 1 of sentence 21 is \"zz\"").says("terms.txt:21");
}

#[test]
fn several_models_are_averaged() {
    let dir = Dir::new();
    tiny(&dir);
    for (run, seed) in [("one", 1), ("two", 2)] {
        dir.seqweave(&format!("train -q -c config.toml --run {run} --seed {seed}")).run().good();
    }
    let translate = |models: &str, options: &str| {
        let command = format!("translate {models} --format jsonl --with score,align,tokens {options}");
        dir.seqweave(&command).stdin(INPUT).run().good().stdout
    };
    let (one, both) = (translate("-m one", ""), translate("-m one -m two", ""));
    assert!(translate("-m one -m one", "") == one, "a model with itself is the model");
    assert!(both != one);
    assert!(translate("-m one -m two", "--batch 1 --threads 1") == both, "company changes an ensemble");
    translate("-m one -m two", "--sample --top-p 0.9");
    let evaluate = |models: &str| {
        let command = format!("evaluate {models} --tsv dev.tsv --metrics wer,ppl,token_acc --json");
        dir.seqweave(&command).run().good().json()["metrics"].clone()
    };
    assert_eq!(evaluate("-m one -m one"), evaluate("-m one"));
    assert_ne!(evaluate("-m one -m two"), evaluate("-m one"));
    dir.seqweave("score -m one -m two --tsv dev.tsv --per-token").run().good();
}

#[test]
fn unknown_words_come_from_the_source_or_the_dictionary() {
    let dir = Dir::new();
    tiny(&dir);
    // The target side knows four letters, so the model learns to say the unknown.
    dir.seqweave("train -q -c config.toml --run run --set data.tgt.max_vocab=8").run().good();
    let plain = outputs(&dir, "");
    assert!(plain.iter().any(|line| line.contains("<unk>")), "nothing to replace: {plain:?}");
    let copied = outputs(&dir, "--replace-unk");
    let letters: String = ('a'..='l').map(|c| format!("{c}\t{}\n", c.to_uppercase())).collect();
    dir.create("upper.tsv", letters);
    let looked_up = outputs(&dir, "--replace-unk --dictionary upper.tsv");
    for (((plain, copied), looked_up), source) in plain.iter().zip(&copied).zip(&looked_up).zip(INPUT.lines())
    {
        assert!(!copied.contains("<unk>") && !looked_up.contains("<unk>"), "{copied:?} {looked_up:?}");
        for ((plain, copied), looked_up) in
            tokens(plain).into_iter().zip(tokens(copied)).zip(tokens(looked_up))
        {
            match plain {
                "<unk>" => assert!(source.contains(copied) && looked_up == copied.to_uppercase()),
                known => assert_eq!((copied, looked_up), (known, known)),
            }
        }
    }
    assert!(outputs(&dir, "--no-unk").iter().all(|line| !line.contains("<unk>")));
}

#[test]
fn alignments_go_to_a_file_of_their_own() {
    let dir = trained().fresh();
    let plain = outputs(&dir, "");
    assert_eq!(outputs(&dir, "--alignments links.txt"), plain);
    let records =
        dir.seqweave("translate -m run --format jsonl --with align").stdin(INPUT).run().good().jsonl();
    let links = dir.text("links.txt");
    assert_eq!(links.lines().count(), plain.len());
    for (line, record) in links.lines().zip(&records) {
        assert_eq!(line, record["align"].as_str().unwrap_or_default());
    }
    // Tokens are words here, so words are aligned as tokens are.
    outputs(&dir, "--alignments words.txt --align-words");
    assert_eq!(dir.text("words.txt"), links);
}

#[test]
fn a_model_brings_its_own_rules() {
    let dir = Dir::new();
    tiny(&dir);
    let train = "train -q -c config.toml --run run --set decode.no_repeat_ngram=1 --set decode.sampling.on=true \
                 --set decode.sampling.temperature=3 --set decode.sampling.seed=5";
    dir.seqweave(train).run().good();
    let drawn = outputs(&dir, "");
    assert_eq!(drawn, outputs(&dir, "--sample --temperature 3 --seed 5 --no-repeat-ngram 1"));
    assert_ne!(drawn, outputs(&dir, "--seed 6"));
    let found = outputs(&dir, "--beam 2");
    assert_eq!(found, outputs(&dir, "--beam 2 --seed 6"), "a beam is a search");
    for output in drawn.iter().chain(&found) {
        let mut once = tokens(output);
        once.sort_unstable();
        assert!(once.windows(2).all(|pair| pair[0] != pair[1]), "{output:?}");
    }
}
