//! The configuration as TOML: what is accepted, what is refused, what the schema says.

use seqweave_data::{Amount, BatchConfig, DataConfig, Form, Level, Pair, SideConfig, SourceSpec, prepare};

#[test]
fn a_whole_configuration_is_read_and_written_back() {
    let text = r#"
        train = "train.tsv"
        dev = { src = "dev.de", tgt = "dev.en" }
        shared_vocab = true
        [src]
        level = "char"
        lowercase = true
        [tgt]
        min_freq = 2
        [filter]
        max_src_len = 60
        max_len_ratio = 3
        dedup = true
        [split]
        test = 500
        seed = 18446744073709551615
        dev = 0.1
    "#;
    let config: DataConfig = toml::from_str(text).expect("a good configuration");
    assert_eq!(config.train, Some(SourceSpec::Tsv { path: "train.tsv".into() }.into()));
    assert_eq!(config.dev, Some(SourceSpec::Parallel { src: "dev.de".into(), tgt: "dev.en".into() }));
    assert_eq!((config.src.level, config.src.lowercase, config.tgt.level), (Level::Char, true, Level::Word));
    assert_eq!((config.split.test, config.split.dev), (Amount::Pairs(500), Amount::Share(0.1)));
    assert_eq!(config.filter.max_len_ratio, Some(3.0));
    let written = toml::to_string(&config).expect("plain values");
    assert_eq!(toml::from_str::<DataConfig>(&written).expect("its own form"), config);
}

#[test]
fn an_empty_configuration_is_the_default_and_the_default_is_valid() {
    assert_eq!(toml::from_str::<DataConfig>("").expect("all keys have defaults"), DataConfig::default());
    assert_eq!(toml::from_str::<BatchConfig>("").expect("all keys have defaults"), BatchConfig::default());
    assert!(DataConfig::default().validate().is_ok() && BatchConfig::default().validate().is_ok());
}

#[test]
fn meaningless_values_are_refused_by_the_reader_or_by_validation() {
    let cases = [
        ("unknown key", "trian = 1", "unknown field `trian`"),
        ("unknown key in a table", "[filter]\nmax_len = 1", "unknown field `max_len`"),
        ("unknown level", "[src]\nlevel = \"syllable\"", "unknown variant `syllable`"),
        ("wrong type", "[src]\nlowercase = 1", "invalid type"),
        ("negative", "[filter]\nmax_src_len = -1", "invalid value"),
        ("beyond 64 bits", "[split]\nseed = 18446744073709551616", "line 2"),
        ("duplicate key", "shared_vocab = true\nshared_vocab = true", "duplicate key"),
        ("no length", "[filter]\nmax_tgt_len = 0", "filter.max_tgt_len: expected at least 1 token, found 0"),
        ("infinite ratio", "[filter]\nmax_len_ratio = inf", "filter.max_len_ratio: expected a finite number"),
        ("overflow", "[filter]\nmax_len_ratio = 1e999", "floating-point number overflowed"),
        ("no number", "[filter]\nmax_len_ratio = nan", "filter.max_len_ratio: expected a finite number"),
        ("share of 1", "[split]\ndev = 1.0", "a share such as 0.05"),
        ("no number of pairs", "[split]\ndev = nan", "a share such as 0.05"),
        ("negative pairs", "[split]\ntest = -5", "a share such as 0.05"),
        (
            "nothing to train on",
            "[split]\ndev = 0.6\ntest = 0.4",
            "split.dev: expected dev and test together below 1",
        ),
        (
            "vocabulary of specials",
            "[tgt]\nmax_vocab = 4",
            "tgt.max_vocab: expected 0 (no limit) or at least 5",
        ),
        ("never seen", "[src]\nmin_freq = 0", "src.min_freq: expected at least 1 occurrence, found 0"),
        (
            "no weight",
            "train = [{ path = \"a\", weight = 0.0 }]",
            "train: expected a weight from 0.001 to 1000",
        ),
        (
            "no such script",
            "[filter]\nsrc_scripts = [\"Elvish\"]",
            "filter.src_scripts: expected names of Unicode",
        ),
        ("no bytes", "max_line_bytes = 0", "max_line_bytes: expected at least 1 byte"),
        (
            "half a corpus",
            "train = { src = \"a\" }",
            "expected the path of a TSV or JSON Lines file, { src =",
        ),
        (
            "a corpus too many",
            "train = { src = \"a\", tgt = \"b\", x = \"c\" }",
            "expected the path of a TSV or JSON Lines file",
        ),
    ];
    for (case, text, expected) in cases {
        let message = match toml::from_str::<DataConfig>(text) {
            Err(error) => error.to_string(),
            Ok(config) => config.validate().expect_err(case).to_string(),
        };
        assert!(message.contains(expected), "{case}: expected {expected:?} in: {message}");
    }
}

#[test]
fn the_schema_has_a_sentence_and_a_default_for_every_key() {
    let schemas =
        [schemars::schema_for!(DataConfig).to_value(), schemars::schema_for!(BatchConfig).to_value()];
    let mut keys = 0;
    for schema in &schemas {
        let tables = schema["$defs"].as_object().into_iter().flat_map(|defs| defs.iter());
        let tables: Vec<_> =
            tables.map(|(name, table)| (name.as_str(), table)).chain([("", schema)]).collect();
        for (table, value) in tables {
            let Some(properties) = value["properties"].as_object() else { continue };
            assert_eq!(value["additionalProperties"], false, "{table}: unknown keys must be refused");
            for (key, property) in properties {
                keys += 1;
                let text = property["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "{table}.{key} needs a sentence, found {text:?}");
                let is_optional = matches!(
                    key.as_str(),
                    "train" | "dev" | "test" | "features" | "tokenizer" | "max_len_ratio"
                );
                let has_default = property.get("default").is_some();
                assert!(
                    has_default || (is_optional && table != "SplitConfig"),
                    "{table}.{key} has no default"
                );
            }
        }
    }
    assert!(keys >= 25, "only {keys} keys were seen");
}

#[test]
fn a_tokenizer_file_takes_the_place_of_the_level() {
    let side =
        SideConfig { tokenizer: Some("joint.json".into()), byte_fallback: true, ..SideConfig::default() };
    assert_eq!((side.subwords(), side.tokenizer().level), (None, Level::Pieces));
    let one = DataConfig { shared_vocab: true, src: side.clone(), ..DataConfig::default() };
    let message = one.validate().expect_err("a file on one side").to_string();
    assert!(
        message.contains("tgt.tokenizer: expected the file of src, as shared_vocab is true, found no file beside \"joint.json\""),
        "{message}"
    );
    assert!(DataConfig { tgt: side, ..one }.validate().is_ok());
    let nameless = SideConfig { level: Level::Pieces, ..SideConfig::default() };
    let message =
        DataConfig { tgt: nameless, ..DataConfig::default() }.validate().expect_err("no file").to_string();
    assert!(message.contains("tgt.level: expected a level that can be made"), "{message}");
}

#[test]
fn pieces_of_both_sides_name_the_key_that_differs() {
    let side = SideConfig { level: Level::Bpe, max_vocab: 500, ..SideConfig::default() };
    let shared =
        |tgt: SideConfig| DataConfig { shared_vocab: true, src: side.clone(), tgt, ..DataConfig::default() };
    assert!(shared(side.clone()).validate().is_ok());
    let rows = [
        (SideConfig { level: Level::Unigram, ..side.clone() }, "tgt.level", "unigram beside bpe"),
        (SideConfig { level: Level::Word, form: Form::Nfc, ..side.clone() }, "tgt.level", "word beside bpe"),
        (SideConfig { byte_fallback: true, ..side.clone() }, "tgt.byte_fallback", "true beside false"),
        (SideConfig { form: Form::Nfkc, ..side.clone() }, "tgt.form", "nfkc beside none"),
        (SideConfig { lowercase: true, ..side.clone() }, "tgt.lowercase", "true beside false"),
        (SideConfig { max_vocab: 400, ..side.clone() }, "tgt.max_vocab", "400 beside 500"),
    ];
    for (tgt, key, found) in rows {
        let message = shared(tgt).validate().expect_err(key).to_string();
        let expected = "expected the value of src, as shared_vocab is true";
        assert_eq!(message, format!("{key}: {expected}, found {found} in src"));
    }
}

#[test]
fn bytes_are_for_pieces() {
    for level in [Level::Word, Level::Char, Level::Bpe, Level::Unigram] {
        let src = SideConfig { level, byte_fallback: true, ..SideConfig::default() };
        let found = DataConfig { src, ..DataConfig::default() }.validate().map_err(|error| error.to_string());
        let message = "src.byte_fallback: expected false, unless level is \"bpe\" or \"unigram\", found true";
        assert_eq!(found, if level.is_subword() { Ok(()) } else { Err(message.to_owned()) });
    }
}

#[test]
fn a_limit_of_0_is_none_but_for_pieces() {
    let of = |level| SideConfig { level, max_vocab: 0, ..SideConfig::default() };
    assert_eq!(of(Level::Bpe).subwords().map(|pieces| pieces.pieces + 3), Some(32_000));
    let words = DataConfig { src: of(Level::Word), ..DataConfig::default() };
    let line = |i: u64| (0..20).map(|j| format!("w{} ", 20 * i + j)).collect::<String>();
    let pair = |i| Pair { src: line(i), tgt: "a".to_owned(), line: i + 1 };
    let pairs: Vec<Pair> = (0..2000).map(pair).collect();
    assert_eq!(prepare(&pairs, &words).expect("good pairs").src.vocab.len(), 40_004);
}
