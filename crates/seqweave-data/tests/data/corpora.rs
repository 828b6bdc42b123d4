//! From a configuration to corpora: files, splits, held-out sources.

use std::fs;
use std::path::Path;

use seqweave_data::{Amount, DataConfig, Error, SourceSpec, encode_pairs, load_corpora, prepare};

fn write(folder: &Path, name: &str, range: std::ops::Range<u32>) -> Option<SourceSpec> {
    let path = folder.join(name);
    let text: String = range.map(|i| format!("w{} .\tt{i}\n", i / 2)).collect();
    fs::write(&path, text).expect("a writable folder");
    Some(SourceSpec::Tsv { path })
}

#[test]
fn sets_without_files_are_split_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = DataConfig { train: write(folder.path(), "t.tsv", 0..400), ..DataConfig::default() };
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
        train: write(folder.path(), "t.tsv", 0..100),
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
    config.dev = config.train.clone();
    let error = load_corpora(&config).expect_err("nothing to train on");
    assert!(matches!(&error, Error::NoExamples { why } if why.contains("all 100")), "{error}");
}

#[test]
fn a_configuration_without_training_data_says_so() {
    let error =
        load_corpora(&DataConfig { max_line_bytes: 0, ..DataConfig::default() }).expect_err("no data");
    let message = error.to_string();
    assert!(message.contains("train: expected the path of a TSV file, or {"), "{message}");
    assert!(message.contains("max_line_bytes: expected at least 1 byte, found 0"), "{message}");
}

#[test]
fn the_line_cap_of_the_configuration_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = DataConfig {
        train: write(folder.path(), "t.tsv", 0..10),
        max_line_bytes: 3,
        ..DataConfig::default()
    };
    assert!(matches!(load_corpora(&config), Err(Error::LineTooLong { line: 1, cap: 3, .. })));
}
