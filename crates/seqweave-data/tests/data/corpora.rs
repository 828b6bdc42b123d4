//! From a configuration to corpora: files, splits, held-out sources.

use std::fs;
use std::path::Path;

use seqweave_data::{
    Amount, DataConfig, Error, Level, SourceSpec, TrainSpec, encode_pairs, load_corpora, prepare,
};

fn write(folder: &Path, name: &str, range: std::ops::Range<u32>) -> Option<SourceSpec> {
    let path = folder.join(name);
    let text: String = range.map(|i| format!("w{} .\tt{i}\n", i / 2)).collect();
    fs::write(&path, text).expect("a writable folder");
    Some(SourceSpec::Tsv { path })
}

fn train(folder: &Path, range: std::ops::Range<u32>) -> Option<TrainSpec> {
    write(folder, "t.tsv", range).map(TrainSpec::from)
}

#[test]
fn sets_without_files_are_split_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = DataConfig { train: train(folder.path(), 0..400), ..DataConfig::default() };
    config.split.dev = Amount::Pairs(30);
    config.split.test = Amount::Pairs(50);
    let corpora = load_corpora(&config).expect("good corpora");
    assert_eq!((corpora.train.len(), corpora.dev.len(), corpora.test.len()), (320, 30, 50));
    assert_eq!(corpora.held_out, 0, "a split never divides a source");

    let data = prepare(&corpora.train, &config).expect("good pairs");
    let dev = encode_pairs(&corpora.dev, &data.src, &data.tgt);
    assert_eq!(dev.len(), 30);
}

#[test]
fn given_files_are_used_whole_and_their_sources_leave_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = DataConfig {
        train: train(folder.path(), 0..100),
        dev: write(folder.path(), "d.tsv", 96..110),
        ..DataConfig::default()
    };
    let corpora = load_corpora(&config).expect("good corpora");
    assert_eq!((corpora.train.len(), corpora.dev.len(), corpora.test.len()), (96, 14, 0));
    assert_eq!(corpora.held_out, 4);

    config.exclude_held_out = false;
    let corpora = load_corpora(&config).expect("good corpora");
    assert_eq!((corpora.train.len(), corpora.held_out), (100, 0));

    config.exclude_held_out = true;
    config.dev = write(folder.path(), "t.tsv", 0..100);
    let error = load_corpora(&config).expect_err("nothing to train on");
    assert!(matches!(&error, Error::NoExamples { why } if why.contains("all 100")), "{error}");
}

#[test]
fn a_configuration_without_training_data_says_so() {
    let error =
        load_corpora(&DataConfig { max_line_bytes: 0, ..DataConfig::default() }).expect_err("no data");
    let message = error.to_string();
    assert!(message.contains("train: expected the path of a TSV or JSON Lines file, {"), "{message}");
    assert!(message.contains("max_line_bytes: expected at least 1 byte, found 0"), "{message}");
}

#[test]
fn the_line_cap_of_the_configuration_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        DataConfig { train: train(folder.path(), 0..10), max_line_bytes: 3, ..DataConfig::default() };
    assert!(matches!(load_corpora(&config), Err(Error::LineTooLong { line: 1, cap: 3, .. })));
}

#[test]
fn a_column_of_tags_stays_with_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    };
    let train = file("t.tsv", "ab\tV;PST\tabte\nab\tV;PRS\tabt\n\tV\tx\nba\t\tba\n");
    let dev =
        SourceSpec::Parallel { src: file("d.src", "ab\tV;PL\nb\t\n"), tgt: file("d.tgt", "abten\nb\n") };
    let mut config = DataConfig {
        train: Some(SourceSpec::Tsv { path: train.clone() }.into()),
        dev: Some(dev),
        features: Some(";".into()),
        ..DataConfig::default()
    };
    (config.src.level, config.tgt.level) = (Level::Char, Level::Char);
    let corpora = load_corpora(&config).expect("good corpora");
    assert_eq!(
        (corpora.train.len(), corpora.held_out),
        (4, 0),
        "one word under other tags is another source"
    );
    let data = prepare(&corpora.train, &config).expect("good pairs");
    let dropped = "kept 3 of 4 pairs; dropped 1: 1 empty source";
    assert_eq!(data.report.filter.to_string(), dropped, "tags without a word are no source");
    let tokens: Vec<&str> = data.src.vocab.iter().skip(4).map(|(token, _)| token).collect();
    assert_eq!((tokens, data.src.tags()), (vec!["a", "b", "\tPRS", "\tPST", "\tV"], 3));
    let first = data.examples.get(0).expect("it was kept").src;
    assert_eq!(first, [4, 5, 8, 7]);
    assert_eq!(data.src.decode(&first).expect("known ids"), "ab\tV;PST");
    // A tag that training has not seen says nothing.
    assert_eq!(encode_pairs(&corpora.dev, &data.src, &data.tgt)[0].src, [4, 5, 8]);
    assert_eq!(data.tgt.tags(), 0);

    config.features = None;
    let error = load_corpora(&config).expect_err("three columns").to_string();
    assert!(error.contains("expected 2 columns (source<TAB>target), found 3"), "{error}");
    assert!(error.contains("set `data.features`"), "{error}");
}
