//! Tests of the configuration: a table of every key with every kind of bad value, messages, merging, round trips.

use seqweave_data::{Amount, BatchConfig, DataConfig, SourceSpec, TrainSpec, WeightedSource};
use seqweave_metrics::Metric;
use seqweave_nn::CellKind;
use seqweave_seq2seq::search::LengthPenalty;

use super::*;

mod hash;

const TRAIN: &str = "data.train = \"train.tsv\"\n";

fn load(text: &str) -> Result<Loaded> {
    Config::from_toml("c.toml", text, Path::new("/base"))
}

fn problems(text: &str) -> Vec<Problem> {
    match load(text) {
        Err(Error::Config(Problems(problems))) => problems,
        other => panic!("expected mistakes in {text:?}, got {other:?}"),
    }
}

/// The message of the single mistake in a text that has what is required otherwise.
fn message(text: &str) -> String {
    let problems = problems(&format!("{TRAIN}{text}"));
    assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
    problems[0].to_string()
}

fn tsv(path: impl Into<PathBuf>) -> Option<TrainSpec> {
    Some(SourceSpec::Tsv { path: path.into() }.into())
}

fn overrides(sets: &[&str]) -> Result<Loaded> {
    let sets = sets.iter().map(|set| set.to_string()).collect();
    Config::load(&Sources { files: vec![], sets })
}

/// Every key that is not a table, with its shape.
fn leaves() -> Vec<(String, Shape)> {
    fn walk(keys: &mut Vec<(String, Shape)>, shape: &Shape, key: &str) {
        match shape {
            Shape::Table(fields) => {
                fields.iter().for_each(|field| walk(keys, &field.shape, &shape::join(key, &field.name)));
            }
            shape => keys.push((key.into(), shape.clone())),
        }
    }
    let mut keys = Vec::new();
    walk(&mut keys, Shape::of_config(), "");
    keys
}

/// Whether a shape takes numbers, of one or of several kinds.
fn is_number(shape: &Shape) -> bool {
    match shape {
        Shape::Either(alternatives) => alternatives.iter().all(is_number),
        shape => matches!(shape, Shape::Int { .. } | Shape::Float(_)),
    }
}

/// Whether a shape takes a path, or a table with two.
fn is_corpus(shape: &Shape) -> bool {
    matches!(shape, Shape::Either(alternatives) if matches!(alternatives[0], Shape::Text { is_path: true }))
}

/// Where 0 means something; everywhere else it must be refused.
const ZERO_IS_FINE: &[&str] = &[
    "data.src.dropout",
    "data.src.sampling.alpha",
    "data.src.sampling.n_best",
    "data.tgt.dropout",
    "data.tgt.sampling.alpha",
    "data.tgt.sampling.n_best",
    "seed",
    "data.split.seed",
    "data.split.test",
    "data.src.max_vocab",
    "data.tgt.max_vocab",
    "model.dropout",
    "model.encoder.dropout",
    "model.decoder.dropout",
    "train.max_steps",
    "train.batch.max_sentences",
    "train.batch.window",
    "train.label_smoothing",
    "train.clip",
    "train.word_dropout",
    "train.ema",
    "train.optimizer.beta1",
    "train.optimizer.beta2",
    "train.optimizer.momentum",
    "train.optimizer.weight_decay",
    "train.schedule.warmup",
    "train.schedule.min_lr",
    "train.schedule.total",
    "valid.every",
    "valid.patience",
    "valid.samples",
    "valid.max_sentences",
    "checkpoint.every",
    "data.filter.min_script_share",
    "decode.coverage_penalty",
    "decode.max_len.ratio",
    "decode.max_len.add",
    "decode.min_len",
    "decode.no_repeat_ngram",
    "decode.sampling.top_k",
    "decode.sampling.seed",
    "run.threads",
];

/// Keys that a whole configuration may lack.
const OPTIONAL: [&str; 7] = [
    "train.init_from",
    "data.dev",
    "data.test",
    "data.features",
    "data.src.tokenizer",
    "data.tgt.tokenizer",
    "data.filter.max_len_ratio",
];

#[test]
fn every_key_with_every_bad_value() {
    let never = [
        "-1",
        "-0.5",
        "nan",
        "-nan",
        "inf",
        "-inf",
        "1e39",
        "9223372036854775808",
        "1e400",
        "99999999999999999999999999999999999999999",
        "1979-05-27",
        "07:32:00",
        "[[1]]",
        "{ x = 1 }",
        "[nan]",
    ];
    type Fits = fn(&Shape) -> bool;
    let by_type: &[(&str, Fits)] = &[
        ("0", is_number),
        ("1.5", |shape| matches!(shape, Shape::Float(_))),
        ("\"zebra\"", |shape| matches!(shape, Shape::Text { .. }) || is_corpus(shape)),
        ("\"\"", |shape| matches!(shape, Shape::Text { .. })),
        ("true", |shape| matches!(shape, Shape::Bool)),
        ("[]", |shape| matches!(shape, Shape::List(_))),
        ("[\"ppl\"]", |shape| match shape {
            // Training takes several corpora.
            Shape::Either(all) => all.iter().any(|shape| matches!(shape, Shape::List(_))),
            shape => matches!(shape, Shape::List(_)),
        }),
        ("[1, 2]", |_| false),
    ];
    let (mut tried, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut try_value = |key: &str, value: &str, may_pass: bool, must_pass: bool| {
        let train = if key.starts_with("data.train") { "" } else { TRAIN };
        let text = format!("{train}{key} = {value}\n");
        tried += 1;
        match load(&text) {
            Ok(_) if !may_pass => wrong.push(format!("accepted: {key} = {value}")),
            Ok(loaded) => {
                let resolved = loaded.value.resolved().unwrap();
                let again = Config::from_toml("r.toml", &resolved, Path::new("/else")).unwrap().value;
                assert_eq!(again, loaded.value, "{text}\n{resolved}");
            }
            Err(Error::Config(Problems(found))) => {
                refused += 1;
                if must_pass {
                    wrong.push(format!("refused: {key} = {value}: {found:?}"));
                }
                for problem in &found {
                    let is_about = problem.key == key
                        || problem.key.starts_with(&format!("{key}."))
                        || matches!(problem.kind, ProblemKind::Conflict { .. });
                    let line = problem.place.as_ref().is_some_and(|place| place.text.starts_with(key));
                    if !is_about || !line {
                        wrong.push(format!("{key} = {value} gives: {problem}"));
                    }
                }
            }
            Err(other) => wrong.push(format!("{key} = {value} gives {other}")),
        }
    };
    for (key, shape) in leaves() {
        for value in never {
            try_value(&key, value, false, false);
        }
        for (value, fits) in by_type {
            let is_zero_for_number = *value == "0" && fits(&shape);
            let zero_is_fine = ZERO_IS_FINE.contains(&key.as_str());
            let may_pass = if is_zero_for_number { zero_is_fine } else { fits(&shape) };
            try_value(&key, value, may_pass, is_zero_for_number && zero_is_fine);
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 1000 && refused > tried / 2, "{refused} of {tried} refused");
    println!("configuration: {tried} values tried, {refused} refused, 0 wrongly");
}

#[test]
fn every_key_misspelt_is_suggested_and_every_key_twice_is_refused() {
    let mut suggested = 0;
    for (key, _) in leaves() {
        let misspelt = format!("{}x{}", &key[..key.len() - 1], &key[key.len() - 1..]);
        let found = problems(&format!("{TRAIN}{misspelt} = 1\n"));
        assert_eq!(found.len(), 1, "{misspelt}: {found:?}");
        let ProblemKind::UnknownKey { suggestion, valid, .. } = &found[0].kind else {
            panic!("{misspelt}: {found:?}")
        };
        let last = key.rsplit('.').next().unwrap();
        assert!(valid.iter().any(|name| name == last), "{misspelt}: {valid:?}");
        suggested += usize::from(suggestion.as_deref() == Some(last));
        assert_eq!(found[0].place.as_ref().unwrap().position.unwrap().0, 2, "{misspelt}");

        let twice = problems(&format!("{key} = 1\n{key} = 1\n"));
        assert!(twice.iter().any(|p| p.to_string().contains("duplicate key")), "{key}: {twice:?}");
        assert_eq!(twice[0].place.as_ref().unwrap().position.unwrap().0, 2, "{key}");
    }
    // `decode.beam` and the like are long enough; keys of two or three letters may be too short for a guess.
    assert!(suggested >= leaves().len() - 4, "{suggested} of {} keys are suggested", leaves().len());
}

#[test]
fn messages_name_place_value_and_remedy() {
    assert_eq!(
        message("\n[model]\nhiden = 512  # units\n"),
        "c.toml:4:1: unknown key `model.hiden`; did you mean `hidden`? Keys in [model]: cell, emb, hidden, encoder, \
         decoder, attention, bridge, tie, dropout, dropout_kind, features\n   |\n 4 | hiden = 512  # units\n   | ^^^^^"
    );
    assert_eq!(
        message("model.cell = \"lstn\""),
        "c.toml:2:14: `model.cell` is \"lstn\", expected one of \"rnn\", \"lstm\", \"gru\"; did you mean \"lstm\"?\n   \
         |\n 2 | model.cell = \"lstn\"\n   |              ^^^^^^"
    );
    assert_eq!(
        message("train = { optimizer = { lr = -1e-3 } }"),
        "c.toml:2:30: `train.optimizer.lr` is -0.001, expected a number above 0 to 1000\n   \
         |\n 2 | train = { optimizer = { lr = -1e-3 } }\n   |                              ^^^^^"
    );
    for (text, fragments) in [
        (
            "model.hidden = \"big\"",
            &["`model.hidden` has the wrong type", "an integer from 1 to 65536", "the string \"big\""][..],
        ),
        ("model.hidden = 256.0", &["expected an integer from 1 to 65536, found the number 256.0"]),
        ("model.dropout = nan", &["`model.dropout` is NaN, expected a number from 0 to below 1"]),
        ("model.dropout = 1", &["`model.dropout` is 1, expected a number from 0 to below 1"]),
        ("train.clip = 1e39", &["`train.clip` is 1e39, expected a number from 0 to 1000000"]),
        (
            "seed = 9223372036854775808",
            &["`seed` is 9223372036854775808, expected an integer from 0 to 2^63-1"],
        ),
        ("version = 2", &["`version` is 2, expected the integer 1"]),
        ("model = 3", &["`model` has the wrong type: expected a table with the keys cell, emb"]),
        (
            "data.dev = 3",
            &[
                "expected a path, or a table with the keys path, src_field, tgt_field, or a table with the keys src, tgt, found the integer 3",
            ],
        ),
        ("data.dev = { src = \"a\" }", &["`data.dev.tgt` is missing: set it to a path"]),
        (
            "data.dev = { src = \"a\", tgt = \"b\", tg = \"c\" }",
            &["unknown key `data.dev.tg`; did you mean `tgt`?"],
        ),
        ("data.dev = \"\"", &["`data.dev` is missing: set it to the path of a TSV or JSON Lines file"]),
        (
            "valid.metrics = [\"ppl\", \"blue\"]",
            &["c.toml:2:25", "`valid.metrics` is \"blue\", expected one of \"wer\""],
        ),
        ("valid.metrics = [\"ppl\", \"ppl\"]", &["naming \"ppl\" twice, but a metric is measured once"]),
        (
            "valid.metrics = [\"wer\"]",
            &["c.toml:2:17: `valid.best_by` is \"ppl\", but `valid.metrics` does not measure it"],
        ),
        ("valid.best_by = \"wer\"", &["`valid.best_by` is \"wer\", but `valid.metrics` does not measure it"]),
        (
            "model.hidden = 255",
            &["`hidden` is 255, expected an even number because the encoder is bidirectional"],
        ),
        // What counts is what a number becomes as an `f32`.
        (
            "model.dropout = 0.99999999999",
            &["`model.dropout` is 0.99999999999, expected a number from 0 to below 1"],
        ),
        ("train.optimizer.lr = 1e-60", &["`train.optimizer.lr` is 1e-60, expected a number above 0"]),
        ("train.clip = 1e-60", &["`train.clip` is 1e-60, expected"]),
        ("model.tie = \"all\"", &["`model.tie` is \"all\", but `data.shared_vocab` is false"]),
        ("train.epochs = 0", &["`train.epochs` is 0, but `train.max_steps` is 0 as well"]),
        ("train.schedule = { kind = \"cosine\", total = 10, warmup = 10 }", &["the cosine ends at step 10"]),
        (
            "train = { max_steps = 10, schedule = { kind = \"cosine\", warmup = 12 } }",
            &["c.toml:2:66: `train.schedule.warmup` is 12, but the cosine ends at step 10"],
        ),
        (
            "train.schedule.kind = \"inverse-sqrt\"",
            &["`train.schedule.warmup` is 0, expected at least 1 for \"inverse-sqrt\""],
        ),
        (
            "train.schedule.min_lr = 0.1",
            &["`train.schedule.min_lr` is 0.1, but it is above `train.optimizer.lr`"],
        ),
        (
            "train.optimizer = { kind = \"sgd\", nesterov = true }",
            &["`train.optimizer.nesterov` is true with momentum 0, expected a `momentum` above 0"],
        ),
        (
            "data.split = { dev = 0.6, test = 0.4 }",
            &["`data.split.dev` is 1, expected dev and test together below 1"],
        ),
        ("data.split.dev = 0", &["`data.split.dev` is 0, but there is no `data.dev`"]),
        (
            "data.filter.min_len = 300",
            &["`data.filter.min_len` is 300, expected at least 1 token and at most max_src_len"],
        ),
        (
            "data.filter.max_len_ratio = 0.5",
            &["`data.filter.max_len_ratio` is 0.5, expected a number from 1 to"],
        ),
        (
            "model.attention = \"none\"\ndecode.coverage_penalty = 0.2",
            &["`decode.coverage_penalty` is 0.2, but `model.attention`"],
        ),
        (
            "train.freeze = [\"encoder.*\", \"encodr.*\"]",
            &[
                "`train.freeze` is \"encodr.*\", but no parameter has such a name; their names are decoder.embedding",
            ],
        ),
        ("train.freeze = [\"*coder.*\", \"*put*\", \"bridge*\"]", &["that is every parameter"]),
        (
            "train.optimizer.decay_exclude = [\"norm\"]",
            &["`train.optimizer.decay_exclude` is \"norm\", but no"],
        ),
        (
            "train.optimizer.groups = [{ match = \"enc*\", lr_scale = 0 }]",
            &["`train.optimizer.groups.lr_scale` is 0, expected a number above 0 to 1000"],
        ),
        ("train.optimizer.groups = [{ lr_scale = 1 }]", &["`train.optimizer.groups.match` is missing"]),
        (
            "train.optimizer.groups = [{ match = \"x*\", lr_scale = 1 }]",
            &["`train.optimizer.groups` is \"x*\", but"],
        ),
        ("decode.n_best = 6", &["`decode.n_best` is 6 with beam 5, expected 1 to `beam`"]),
        (
            "decode.max_len = { ratio = 0, add = 0 }",
            &[
                "`decode.max_len.add` is 0, but `decode.max_len.ratio` is 0 as well, so every output would be empty",
            ],
        ),
        ("data.split.dev = 1.5", &["`data.split.dev` is 1.5, expected a number from 0 to below 1"]),
        (
            "data.tgt.max_vocab = 4",
            &["`data.tgt.max_vocab` is 4, expected 0 (no limit) or at least 5 tokens"],
        ),
        ("decode.length_penalty = \"gnm\"", &["expected one of \"none\", \"average\""]),
        (
            "decode.length_penalty = { gnmt = { alpha = -1 } }",
            &["`decode.length_penalty.gnmt.alpha` is -1, expected a number from 0 to 10"],
        ),
        (
            "run.device = \"gpu\"",
            &["`run.device` is \"gpu\", expected one of \"auto\", \"cpu\", \"cuda\", \"cuda:0\""],
        ),
        ("run.device = \"cuda:9999\"", &["`run.device` is \"cuda:9999\""]),
        ("run.dir = \"\"", &["`run.dir` is missing"]),
        ("name = \"a/b\"", &["`name` is \"a/b\", expected 1 to 100 ASCII letters"]),
        ("name = 5", &["`name` has the wrong type: expected a string, found the integer 5"]),
        (
            "trian = 1",
            &["unknown key `trian`; did you mean `train`? Keys at the top: version, name, seed, data"],
        ),
        ("model.cell = ", &["not valid TOML"]),
        ("[model", &["not valid TOML"]),
        ("x = \"\u{0}\"", &["not valid TOML"]),
    ] {
        let message = message(text);
        for fragment in fragments {
            assert!(message.contains(fragment), "{text:?} gives: {message}\nwithout: {fragment}");
        }
    }
    let shared = problems("[data]\ntrain = \"t\"\nshared_vocab = true\nsrc.min_freq = 2\n");
    let message = shared[0].to_string();
    assert!(
        message.contains("`data.tgt.min_freq` is 1 beside 2 in src, expected the value of src"),
        "{message}"
    );
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = "name = \"a b\"\n[model]\nhidden = 7\ncel = \"gru\"\n[train]\nepochs = 0\nclip = -1\noptimizer.lr = inf\n";
    let found = problems(text);
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "data.train",
        "name",
        "model.hidden",
        "model.cel",
        "train.epochs",
        "train.clip",
        "train.optimizer.lr",
    ];
    assert_eq!(keys, expected, "{found:?}");
    let text = Error::Config(Problems(found)).to_string();
    assert!(text.starts_with("the configuration has 7 mistakes\n\n`data.train` is missing"), "{text}");
}

#[test]
fn a_mistake_is_not_followed_by_its_consequences() {
    // `best_by` would conflict with the default metrics, which stand in for the broken ones.
    let found = problems(&format!("{TRAIN}valid.metrics = [\"wr\"]\nvalid.best_by = \"wer\"\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    let found = problems("data.train = 1\n");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn defaults_are_fine_and_round_trip() {
    let loaded = load(TRAIN).unwrap();
    assert_eq!(loaded.value.data.train, tsv("/base/train.tsv"));
    let defaults = DataConfig { train: loaded.value.data.train.clone(), ..DataConfig::default() };
    let run = RunConfig { dir: "/base/runs".into(), ..RunConfig::default() };
    assert_eq!(loaded.value, Config { data: defaults, run, ..Config::default() });
    assert_eq!(loaded.value.run_folder(), Path::new("/base/runs/run"));
    assert_eq!(loaded.unused, []);
    let resolved = loaded.value.resolved().unwrap();
    let again = Config::from_toml("config.toml", &resolved, Path::new("/other/folder")).unwrap();
    assert_eq!(again, loaded);
    assert_eq!(again.value.resolved().unwrap(), resolved);
    for (key, _) in leaves() {
        let last = key.rsplit('.').next().unwrap();
        let is_optional = OPTIONAL.contains(&key.as_str());
        assert!(is_optional || resolved.contains(&format!("{last} = ")), "{key} is not in\n{resolved}");
    }
}

#[test]
fn unusual_configurations_round_trip() {
    let text = r#"
        name = "all"
        seed = 9223372036854775807
        data = { train = { src = "../a b.de", tgt = "/x/é.en" }, dev = "d.tsv.gz", test = { src = "t", tgt = "u" }, split = { test = 500 } }
        valid = { metrics = ["acc", "wer"], best_by = "wer" }
        decode.length_penalty = { gnmt = { alpha = 0.6 } }
        train = { max_steps = 10, optimizer = { lr = 3e-4, eps = 1e-9, groups = [{ match = "encoder.*", lr_scale = 0.1 }, { match = "*", lr_scale = 2 }] }, init_from = "../base", freeze = ["bridge.*"], schedule = { kind = "cosine", min_lr = 0 } }
        run.device = "cuda:1"
    "#;
    let loaded = load(text).unwrap().value;
    let parallel = SourceSpec::Parallel { src: "/base/../a b.de".into(), tgt: "/x/é.en".into() };
    assert_eq!(loaded.data.train, Some(parallel.into()));
    assert_eq!(loaded.data.split.test, Amount::Pairs(500));
    assert_eq!(loaded.decode.length_penalty, LengthPenalty::Gnmt { alpha: 0.6 });
    let resolved = loaded.resolved().unwrap();
    assert_eq!(load(&resolved).unwrap().value, loaded, "{resolved}");
}

#[test]
fn files_are_merged_key_by_key_and_overrides_win() {
    let parent = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = parent.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let base = write("a/base.toml", "data.train = \"t.tsv\"\n[model]\nhidden = 128\nemb = 64\n");
    let over = write("b/over.toml", "data.dev = \"d.tsv\"\n[model]\nhidden = 512\n");
    let sources = Sources {
        files: vec![base.clone(), over],
        sets: [
            "model.emb=32",
            "model.cell=gru",
            "name=2024",
            "model.encoder.layers = 2",
            "valid.metrics=['wer']",
            "valid.best_by=wer",
        ]
        .map(String::from)
        .into(),
    };
    let config = Config::load(&sources).unwrap().value;
    assert_eq!((config.model.hidden, config.model.emb, config.model.cell), (512, 32, CellKind::Gru));
    assert_eq!((config.name.as_str(), config.model.encoder.layers), ("2024", 2));
    assert_eq!(config.valid.metrics, [Metric::Wer]);
    assert_eq!(config.data.train, tsv(parent.path().join("a/t.tsv")));
    assert_eq!(config.data.dev, Some(SourceSpec::file(parent.path().join("b/d.tsv"))));
    assert_eq!(config.run.dir, parent.path().join("a/runs"));

    let wrong = write("c/wrong.toml", "model.hidden = 0\n");
    let error = Config::load(&Sources { files: vec![base, wrong.clone()], sets: vec![] }).unwrap_err();
    assert!(error.to_string().contains(&format!("{}:1:16: `model.hidden` is 0", wrong.display())), "{error}");
    let error =
        Config::load(&Sources { files: vec![parent.path().join("none.toml")], sets: vec![] }).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the configuration"), "{error}");
}

#[test]
fn overrides_take_toml_words_and_paths() {
    let config =
        overrides(&["data.train=my data/x=1.tsv", "train.optimizer.lr=1e-4", "run.dir='out'"]).unwrap().value;
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.data.train, tsv(here.join("my data/x=1.tsv")));
    assert_eq!(config.run.dir, here.join("out"));
    assert_eq!(config.train.optimizer.lr, 1e-4);
    let config =
        overrides(&["data.train={ src = 'a', tgt = 'b' }", "train.batch={tokens=10}"]).unwrap().value;
    let (src, tgt) = (here.join("a"), here.join("b"));
    assert_eq!(config.data.train, Some(SourceSpec::Parallel { src, tgt }.into()));
    let list = "data.train=[{ path = 'a.jsonl', weight = 2 }, 'b.tsv']";
    let Some(TrainSpec::Text(parts)) = overrides(&[list]).unwrap().value.data.train else { panic!() };
    let weighted = |name: &str, weight| WeightedSource { source: SourceSpec::file(here.join(name)), weight };
    assert_eq!(parts, [weighted("a.jsonl", 2.0), weighted("b.tsv", 1.0)]);
    let shards = overrides(&["data.train={ shards = 's' }"]).unwrap().value.data.train;
    assert_eq!(shards, Some(TrainSpec::Shards(here.join("s"))));
    let error = overrides(&["data.train={ shard = 's' }"]).unwrap_err().to_string();
    assert!(error.contains("unknown key `data.train.shard`"), "{error}");
    assert_eq!(config.train.batch, BatchConfig { tokens: 10, ..BatchConfig::default() });

    for (set, expected) in [
        ("model.hidden", "--set: the override `model.hidden` is not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("a..b=3", "not of the form key=value"),
        ("", "not of the form key=value"),
        (
            "model.hidden=",
            "`model.hidden` has the wrong type: expected an integer from 1 to 65536, found the string \"\"",
        ),
        ("model.hidden=big", "--set: `model.hidden` has the wrong type"),
        ("model.hiden=3", "--set: unknown key `model.hiden`; did you mean `hidden`?"),
        ("valid.metrics=[1]", "--set: `valid.metrics` has the wrong type"),
    ] {
        let error = overrides(&["data.train=t.tsv", set]).unwrap_err().to_string();
        assert!(error.contains(expected), "{set:?} gives {error}");
    }
    let error = overrides(&["data.train=t.tsv", "model.cell=gruu"]).unwrap_err().to_string();
    assert!(error.ends_with("  |\n  | model.cell=gruu\n  |            ^^^^"), "{error}");
}

#[test]
fn hostile_documents_are_refused_without_a_panic() {
    let deep = |open: &str, close: &str| format!("x = {}{}", open.repeat(100_000), close.repeat(100_000));
    for text in [
        deep("[", "]"),
        deep("{a=", "}"),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("name = \"{}\"", "x".repeat(1 << 20)),
        format!("{} = 1", "k".repeat(1 << 20)),
        "\u{feff}model.hiden = 1".into(),
        "model.hiden = 1\r\nx\r\n".into(),
        "\r".into(),
        "é = 1".into(),
        "\"\" = 1".into(),
        "\"a.b\" = 1".into(),
        "[[model]]\nhidden = 1".into(),
    ] {
        let found = problems(&text);
        let shown = Error::Config(Problems(found)).to_string();
        assert!(shown.len() < 20_000 + text.len().min(2 << 20), "{} bytes of message", shown.len());
    }
    let not_utf8 = b"name = \"a\"\n# \xff\n".to_vec();
    let mut loader = Loader::new();
    loader.add_file("c.toml", not_utf8, PathBuf::new());
    let error = loader.finish().unwrap_err().to_string();
    assert!(error.contains("c.toml:2:3: not valid TOML: the byte 0xff at offset 13 is not UTF-8"), "{error}");
}

#[test]
fn every_cut_of_a_document_is_handled() {
    let whole = load(TRAIN).unwrap().value.resolved().unwrap();
    for end in (0..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        // Most cuts are whole documents with fewer keys; what counts is that each is answered.
        if let Err(error) = load(&whole[..end]) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_configuration_built_in_a_program_is_checked_too() {
    let mut config = load(TRAIN).unwrap().value;
    assert_eq!(config.check(), []);
    config.model.dropout = seqweave_tensor::Float::NAN;
    config.model.hidden = 3;
    config.seed = u64::MAX;
    let found = config.check();
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["model.dropout", "seed", "model.hidden"], "{found:?}");
    assert!(matches!(config.resolved(), Err(Error::Config(_))));
    assert_eq!(found[0].to_string(), "`model.dropout` is NaN, expected a number from 0 to below 1");
}

#[test]
fn a_section_of_another_crate_has_the_defaults_of_a_run() {
    let text = "decode.n_best = 3\ntrain.schedule.warmup = 10\n";
    let config = load(&format!("{TRAIN}{text}")).unwrap().value;
    let default = Config::default();
    assert_eq!((config.decode.beam, config.decode.n_best), (default.decode.beam, 3));
    assert!(config.decode.beam > 1, "greedy search is the default of the library, not of a run");
    assert_eq!(config.train.schedule, seqweave_nn::ScheduleConfig { warmup: 10, ..default.train.schedule });
}

#[test]
fn a_cosine_may_take_its_length_from_the_epochs() {
    let text = "train = { epochs = 3, schedule = { kind = \"cosine\", warmup = 100 } }\n";
    assert_eq!(load(&format!("{TRAIN}{text}")).unwrap().unused, []);
}

#[test]
fn the_configurations_of_the_documentation_load() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configs");
    let mut loaded = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let sources = Sources { files: vec![path.clone()], sets: vec![] };
            let config = Config::load(&sources).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(config.unused, [], "{}", path.display());
            loaded += 1;
        }
    }
    assert!(loaded >= 3, "only {loaded} configurations in {folder}");
}

#[test]
fn keys_without_effect_are_pointed_out() {
    let loaded =
        load(&format!("{TRAIN}train.optimizer = {{ kind = \"sgd\", beta1 = 0.8, eps = 1e-8 }}\n")).unwrap();
    assert_eq!(loaded.unused.len(), 1, "{:?}", loaded.unused);
    let text = loaded.unused[0].to_string();
    assert!(text.contains("`train.optimizer.beta1` is 0.8, but `train.optimizer.kind` is \"sgd\""), "{text}");
    let loaded = load(&format!("{TRAIN}train.schedule = {{ kind = \"constant\", patience = 9 }}\n")).unwrap();
    assert!(
        loaded.unused[0].to_string().contains("`train.schedule.kind` is \"constant\""),
        "{:?}",
        loaded.unused
    );
}

#[test]
fn keys_beside_a_tokenizer_file_are_pointed_out() {
    let text = "data.src = { tokenizer = \"t.json\", level = \"char\", min_freq = 1, lowercase = true }\n";
    let loaded = load(&format!("{TRAIN}{text}")).unwrap();
    let found: Vec<&str> = loaded.unused.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(found, ["data.src.level", "data.src.lowercase"]);
    let again =
        load(&loaded.value.resolved().unwrap().replace("level = \"char\"", "level = \"pieces\"")).unwrap();
    assert_eq!(again.unused.len(), 1, "{:?}", again.unused);
}

#[test]
fn a_rule_of_a_sections_own_reader_is_placed_at_its_key() {
    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        port: u8,
    }
    #[derive(Debug, serde::Deserialize)]
    #[serde(default)]
    struct Outer {
        #[allow(dead_code)]
        inner: Inner,
    }
    impl Default for Outer {
        fn default() -> Self {
            Outer { inner: Inner { port: 1 } }
        }
    }
    let node = Node::from_json(&serde_json::json!({ "inner": { "port": 300 } }));
    let (key, detail) = read::<Outer>(&node).unwrap_err();
    assert_eq!(key, "inner");
    assert!(detail.contains("300"), "{detail}");
    assert!(refused(&key, detail).to_string().starts_with("`inner` is refused: "));
}
