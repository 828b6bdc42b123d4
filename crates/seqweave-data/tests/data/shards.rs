//! Folders of shards: the same as text, damage told, nothing left of what failed.

use std::fs;
use std::path::Path;

use seqweave_data::{
    Amount, DataConfig, Error, Form, Level, Prepared, ShardFlaw, SourceSpec, SubwordConfig, SubwordKind,
    Subwords, TrainSpec, WeightedSource, load_corpora, prepare, prepare_shards, read_data,
};

/// A corpus with duplicates, copies, empty sides, and sources with several targets.
fn corpus(folder: &Path, name: &str, n: u32) -> SourceSpec {
    let line = |i: u32| match i % 50 {
        7 => format!("copy {i}\tcopy {i}\n"),
        8 => format!("\tno source {i}\n"),
        9 => "again and again\tnoch einmal\n".to_owned(),
        _ => format!("word{} a Ümlaut {}\twort{} ein {} .\n", i % 97, i / 3, i % 89, i % 1000),
    };
    let path = folder.join(name);
    fs::write(&path, (0..n).map(line).collect::<String>()).expect("a writable folder");
    SourceSpec::file(path)
}

/// More than a chunk of the stream has.
const PAIRS: u32 = 17_000;

fn config(folder: &Path) -> DataConfig {
    let mut config =
        DataConfig { train: Some(corpus(folder, "train.tsv", PAIRS).into()), ..DataConfig::default() };
    config.filter.dedup = true;
    config.filter.drop_copies = true;
    config.split.dev = Amount::Pairs(100);
    config.split.test = Amount::Share(0.01);
    config.src.max_vocab = 500;
    config
}

fn same(a: &Prepared, b: &Prepared, case: &str) {
    assert_eq!((&a.src, &a.tgt, &a.report), (&b.src, &b.tgt, &b.report), "{case}");
    assert_eq!((&a.dev, &a.test), (&b.dev, &b.test), "{case}");
    assert_eq!(a.examples.fingerprint(), b.examples.fingerprint(), "{case}");
    assert_eq!(a.examples.to_vec().unwrap(), b.examples.to_vec().unwrap(), "{case}");
    assert_eq!(a.examples.parts(), b.examples.parts(), "{case}");
}

#[test]
fn shards_hold_what_the_text_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = config(folder.path());
    let mut chars = words.clone();
    (chars.src.level, chars.tgt.level, chars.filter.max_src_len) = (Level::Char, Level::Char, 22);
    chars.src.lowercase = true;
    let mut shared = DataConfig { shared_vocab: true, ..words.clone() };
    shared.src.max_vocab = shared.tgt.max_vocab;
    let mut pieces = words.clone();
    pieces.train = Some(corpus(folder.path(), "few.tsv", 1500).into());
    (pieces.src.level, pieces.src.max_vocab) = (Level::Bpe, 300);
    (pieces.tgt.level, pieces.tgt.max_vocab) = (Level::Unigram, 300);
    for (case, config) in [("words", words), ("chars", chars), ("shared", shared), ("pieces", pieces)] {
        let dir = folder.path().join(case);
        let mut told = 0;
        let info = prepare_shards(&config, &dir, &mut |pairs| told = pairs).expect(case);
        assert!(told >= 1000, "{case}: {told}");
        let text = read_data(&config).expect(case);
        let sharded = DataConfig { train: Some(TrainSpec::Shards(dir)), ..config.clone() };
        same(&text, &read_data(&sharded).expect(case), case);
        assert_eq!(info.report, text.report);
        assert!(text.report.filter.duplicate > 0 && text.report.filter.copy > 0 && !text.test.is_empty());
        assert_eq!(text.dev.len(), 100);

        // Pairs in memory go the same way.
        let corpora = load_corpora(&config).expect(case);
        let held = prepare(&corpora.train, &config).expect(case);
        assert_eq!(held.examples.fingerprint(), text.examples.fingerprint(), "{case}");
        assert_eq!((corpora.dev, corpora.test), (text.dev, text.test));

        // One thread, or many, make the same files.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let again = alone.install(|| read_data(&config)).expect(case);
        assert_eq!(again.examples.fingerprint(), text.examples.fingerprint(), "{case}");
    }
}

#[test]
fn shards_are_moved_with_their_tokenizer_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = |name: &str| folder.path().join(name);
    fs::create_dir(here("here")).expect("a writable folder");
    let file = |name: &str, pieces| {
        let (kind, form) = (SubwordKind::Bpe, Form::None);
        let config = SubwordConfig { kind, pieces, byte_fallback: true, form, lowercase: false };
        let subwords = Subwords::train(["word and wort, again and again"], &config).expect("some text");
        fs::write(here(name), subwords.to_json()).expect("a writable folder");
    };
    file("here/joint.json", 290);
    let mut config =
        DataConfig { train: Some(corpus(&here("here"), "train.tsv", 300).into()), ..DataConfig::default() };
    config.src.tokenizer = Some(here("here/joint.json"));
    config.tgt.tokenizer = Some(here("here/joint.json"));
    // Beside a file this says nothing.
    config.tgt.level = Level::Char;
    let text = read_data(&config).expect("good text");
    let info = prepare_shards(&config, &here("here/shards"), &mut |_| ()).expect("good text");
    let written = serde_json::to_string(&info).expect("an info is JSON");
    assert!(!written.contains("joint.json") && !written.contains("here"), "{written}");
    fs::rename(here("here"), here("there")).expect("a writable folder");

    let sharded = |src: Option<&str>, level| {
        let mut moved = config.clone();
        moved.train = Some(TrainSpec::Shards(here("there/shards")));
        (moved.src.tokenizer, moved.src.level) = (src.map(here), level);
        moved.tgt.tokenizer = Some(here("there/joint.json"));
        moved.validate().expect("good settings");
        read_data(&moved)
    };
    same(&sharded(Some("there/joint.json"), Level::Word).expect("the same pieces"), &text, "moved");
    same(&sharded(None, Level::Pieces).expect("the folder's own pieces"), &text, "no file");
    file("there/other.json", 275);
    let message = |read: Result<Prepared, Error>| read.expect_err("other pieces").to_string();
    let other = message(sharded(Some("there/other.json"), Level::Word));
    assert!(
        other.contains("made with other pieces for data.src, the configuration says data.src.tokenizer = "),
        "{other}"
    );
    let missing = message(sharded(Some("here/joint.json"), Level::Word));
    assert!(missing.contains("joint.json: no such file"), "{missing}");
    let learnt = message(sharded(None, Level::Bpe));
    assert!(
        learnt.contains("data.src.level = \"pieces\", the configuration says data.src.level = \"bpe\""),
        "{learnt}"
    );
}

#[test]
fn several_corpora_keep_their_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    let part = |name, n, weight| WeightedSource { source: corpus(folder.path(), name, n), weight };
    config.train = Some(TrainSpec::Text(vec![part("a.tsv", 300, 2.0), part("b.tsv", 600, 0.25)]));
    config.split.dev = Amount::Pairs(10);
    let text = read_data(&config).expect("two corpora");
    let weights: Vec<f64> = text.examples.parts().iter().map(|part| part.weight).collect();
    assert_eq!(weights, [2.0, 0.25]);
    let dir = folder.path().join("shards");
    prepare_shards(&config, &dir, &mut |_| ()).expect("two corpora");
    config.train = Some(TrainSpec::Shards(dir));
    same(&text, &read_data(&config).expect("their shards"), "two corpora");
}

#[test]
fn compressed_and_json_corpora_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = [("Guten Tag", "good day"), ("say \"hi\"", "\\ and é"), ("x", "y")];
    let jsonl: String = lines
        .iter()
        .map(|(s, t)| format!("{}\n", serde_json::json!({ "de": s, "id": [1, {}], "en": t })))
        .collect();
    let tsv: String = lines.iter().map(|(s, t)| format!("{s}\t{t}\n")).collect();
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 3).expect("in memory");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a writable folder");
        path
    };
    let fields = |path| SourceSpec::Jsonl { path, src_field: "de".into(), tgt_field: "en".into() };
    let sources = [
        SourceSpec::file(write("a.tsv", tsv.as_bytes())),
        SourceSpec::file(write("a.tsv.zst", &zstd(&tsv))),
        SourceSpec::file(write("nameless", &zstd(&tsv))),
        fields(write("a.jsonl", jsonl.as_bytes())),
        fields(write("a.jsonl.zst", &[zstd(&jsonl[..20]), zstd(&jsonl[20..])].concat())),
        fields(write("a.jsonl.gz", &super::faults::gzip(jsonl.as_bytes()))),
    ];
    for source in sources {
        let found = seqweave_data::load(&source).unwrap_or_else(|error| panic!("{source:?}: {error}"));
        assert!(found.iter().map(|pair| (&*pair.src, &*pair.tgt)).eq(lines), "{source:?}: {found:?}");
    }
    let packed = zstd(&tsv.repeat(1000));
    let rows: [(&str, Vec<u8>, &str); 4] = [
        ("cut.tsv.zst", packed[..packed.len() / 2].to_vec(), "damaged zstd data after line"),
        (
            "plain.tsv.zst",
            tsv.clone().into_bytes(),
            "does not begin with the zstd magic 28 b5 2f fd (found 47 75",
        ),
        (
            "no.jsonl",
            b"{\"src\":\"a\",\"tgt\":\"b\"}\n{\"src\":\"a\"}\n".to_vec(),
            "no.jsonl:2: the field \"tgt\"",
        ),
        ("text.jsonl", b"a\tb\n".to_vec(), "text.jsonl:1: expected value"),
    ];
    for (name, bytes, expected) in rows {
        let error = seqweave_data::load(&SourceSpec::file(write(name, &bytes))).expect_err(name).to_string();
        assert!(error.contains(expected) && error.contains("\nhelp: "), "{name}: {error}");
    }
}

#[test]
fn damage_anywhere_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.train = Some(corpus(folder.path(), "small.tsv", 300).into());
    let dir = folder.path().join("shards");
    prepare_shards(&config, &dir, &mut |_| ()).expect("good");
    config.train = Some(TrainSpec::Shards(dir.clone()));
    let open = || read_data(&config);
    let good = open().expect("good").examples.fingerprint().to_owned();
    let mut names: Vec<String> = fs::read_dir(&dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = [
        "MANIFEST",
        "corpus.json",
        "dev.jsonl",
        "shard-00000.bin",
        "source.vocab.json",
        "target.vocab.json",
        "test.jsonl",
    ];
    assert_eq!(names, expected);
    for name in &names {
        let path = dir.join(name);
        let bytes = fs::read(&path).expect("readable");
        let mut flipped = bytes.clone();
        let middle = bytes.len() / 2;
        if let Some(byte) = flipped.get_mut(middle) {
            *byte ^= 4;
        }
        for (case, damaged) in [
            ("flipped", flipped),
            ("cut", bytes[..middle].to_vec()),
            ("longer", [&bytes[..], b"\n"].concat()),
        ] {
            if damaged == bytes {
                continue;
            }
            fs::write(&path, damaged).expect("writable");
            let error = open().expect_err(name);
            assert!(matches!(error, Error::Shards { .. }), "{name} {case}: {error}");
            let text = error.to_string();
            assert!(
                text.contains(name.as_str()) && text.contains("seqweave prepare"),
                "{name} {case}: {text}"
            );
        }
        fs::remove_file(&path).expect("removable");
        let flaw = open().expect_err(name);
        let is_told = matches!(&flaw, Error::Shards { flaw: ShardFlaw::Missing | ShardFlaw::NoManifest, .. });
        assert!(is_told, "{name}: {flaw}");
        fs::write(&path, bytes).expect("writable");
    }
    assert_eq!(open().expect("whole again").examples.fingerprint(), good);
}

#[test]
fn other_settings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut made = config(folder.path());
    made.train = Some(corpus(folder.path(), "small.tsv", 300).into());
    made.dev = Some(corpus(folder.path(), "dev.tsv", 12));
    let dir = folder.path().join("shards");
    prepare_shards(&made, &dir, &mut |_| ()).expect("good");
    let sharded = DataConfig { train: Some(TrainSpec::Shards(dir.clone())), ..made.clone() };
    read_data(&sharded).expect("the settings they were made with");
    let message = |change: fn(&mut DataConfig)| {
        let mut config = sharded.clone();
        change(&mut config);
        read_data(&config).expect_err("other settings").to_string()
    };
    let text = message(|config| (config.src.lowercase, config.filter.max_len_ratio) = (true, Some(2.0)));
    assert!(text.contains("made with data.src.lowercase = false, the configuration says"), "{text}");
    assert!(text.contains("data.filter.max_len_ratio = 2.0") && text.contains("lowercase = true"), "{text}");
    fs::write(folder.path().join("dev.tsv"), "something\telse\n").expect("writable");
    assert!(message(|_| ()).contains("made with other dev pairs"));
    let gone = DataConfig { train: Some(TrainSpec::Shards(folder.path().join("gone"))), ..made.clone() };
    assert!(matches!(read_data(&gone), Err(Error::NotFound { .. })));
}

#[test]
fn nothing_is_left_of_shards_that_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bad = config(folder.path());
    let path = folder.path().join("bad.tsv");
    fs::write(&path, format!("{}no tab\n", "a b\tc\n".repeat(20_000))).expect("writable");
    bad.train = Some(SourceSpec::file(path).into());
    bad.split.dev = Amount::Pairs(0);
    bad.split.test = Amount::Pairs(0);
    let dir = folder.path().join("out").join("shards");
    let missing = prepare_shards(&bad, &dir, &mut |_| ()).expect_err("no such folder");
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    fs::create_dir(folder.path().join("out")).expect("writable");
    let error = prepare_shards(&bad, &dir, &mut |_| ()).expect_err("a bad line");
    assert!(matches!(error, Error::Columns { line: 20_001, .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("out")).expect("a folder").count(), 0);
    fs::create_dir(&dir).expect("writable");
    let taken = prepare_shards(&config(folder.path()), &dir, &mut |_| ()).expect_err("taken");
    assert!(matches!(taken, Error::FolderExists { .. }), "{taken}");
}

#[cfg(unix)]
#[test]
fn a_pipe_serves_although_it_is_read_more_than_once() {
    use std::io::Write;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    let text = read_data(&config).expect("a file");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is in POSIX").success());
    let bytes = fs::read(folder.path().join("train.tsv")).expect("readable");
    config.train = Some(SourceSpec::Tsv { path: pipe.clone() }.into());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(pipe).expect("a reader");
            pipe.write_all(&bytes).expect("a reader");
        });
        same(&text, &read_data(&config).expect("a pipe"), "a pipe");
    });
}
