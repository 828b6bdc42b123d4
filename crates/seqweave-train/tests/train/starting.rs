//! Runs that start from a model: what is taken, what grows, what is frozen, and that they resume like any other.

use std::path::Path;

use seqweave::ModelFolder;
use seqweave_data::{Form, SubwordConfig, SubwordKind, Subwords};
use seqweave_tensor::Device;
use seqweave_train::{Error, Event, Started};

use crate::task::{Task, assert_same_state, newest, refusal};

/// All parameters but one are held, so that one step leaves the others as they came.
const HELD: &str =
    "train.max_steps = 1\ntrain.freeze = ['encoder.*', 'bridge.*', 'decoder.*', 'output.weight']";

fn model(folder: &Path) -> ModelFolder {
    ModelFolder::open(folder, &Device::cpu()).unwrap()
}

/// Name, shape and bits of every parameter.
fn parameters(folder: &Path) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let model = model(folder);
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    model
        .params
        .iter()
        .map(|(name, shape, value)| (name.into(), shape.to_vec(), bits(value.to_vec())))
        .collect()
}

fn started(events: &[Event]) -> &Started {
    let Some(Event::Started(started)) = events.first() else { panic!("{events:?}") };
    started
}

/// The setting of a path of the task.
fn path_of(task: &Task, key: &str, name: &str) -> String {
    format!("{key} = '{}'\n", task.path(name).display())
}

/// The setting that starts from `base`.
fn from_base(task: &Task) -> String {
    path_of(task, "train.init_from", "base")
}

/// A task with a trained model in `base`.
fn with_base(settings: &str) -> Task {
    let task = Task::small();
    task.train(&format!("train.max_steps = 6\n{settings}"), "base");
    task
}

#[test]
fn a_run_on_the_same_data_takes_every_parameter() {
    let task = with_base("");
    let (_, events) = task.train(&(from_base(&task) + HELD), "run");
    let (base, run) = (parameters(&task.path("base")), parameters(&newest(&task.path("run")).folder));
    for (was, is) in base.iter().zip(&run) {
        assert_eq!(was == is, was.0 != "output.bias", "{}", was.0);
    }
    let facts = &started(&events).data;
    assert!(facts[0].starts_with("starts from ") && facts[0].ends_with(": 22 parameters taken"), "{facts:?}");
    assert_eq!(base.len(), 22);
}

#[test]
fn new_tokens_are_appended_and_known_ones_keep_their_rows() {
    let task = with_base("");
    // One pair with three letters that the model has never seen, two of them on the target side.
    std::fs::write(task.path("new.tsv"), "abXY\tbaZ\nab\tba\nba\tab\n").unwrap();
    let settings = from_base(&task) + &path_of(&task, "data.train", "new.tsv") + HELD;
    let (_, events) = task.train(&settings, "run");
    let (base, run) = (model(&task.path("base")), model(&task.path("run")));
    let tokens =
        |vocab: &seqweave_data::Vocab| vocab.iter().map(|(token, _)| token.to_owned()).collect::<Vec<_>>();
    for (was, is, new) in [(&base.source, &run.source, &["X", "Y"][..]), (&base.target, &run.target, &["Z"])]
    {
        let mut want = tokens(&was.vocab);
        want.extend(new.iter().map(|&token| token.to_owned()));
        assert_eq!(tokens(&is.vocab), want);
    }
    for ((name, shape, was), (_, grown, is)) in
        parameters(&task.path("base")).into_iter().zip(parameters(&task.path("run")))
    {
        if name != "output.bias" {
            assert_eq!(is[..was.len()], was, "{name}: a row of a known token has changed");
        }
        let more = match name.as_str() {
            "encoder.embedding.weight" => 2,
            "decoder.embedding.weight" | "output.weight" | "output.bias" => 1,
            _ => 0,
        };
        assert_eq!(grown[0], shape[0] + more, "{name}");
        assert!(
            name == "output.bias" || is[was.len()..].iter().all(|&bits| bits << 1 != 0),
            "{name}: a new row is zero"
        );
    }
    let facts = &started(&events).data;
    assert!(
        facts[1].starts_with("rows of 2 new source and 1 new target tokens: decoder.embedding"),
        "{facts:?}"
    );
}

#[test]
fn pieces_are_those_of_the_model() {
    let pieces =
        "data.src.level = bpe\ndata.src.max_vocab = 60\ndata.tgt.level = bpe\ndata.tgt.max_vocab = 60";
    let task = with_base(pieces);
    std::fs::write(task.path("new.tsv"), "zzzz zz\tqq qqqq\nab\tba\n").unwrap();
    let paths = from_base(&task) + &path_of(&task, "data.train", "new.tsv");
    task.train(&format!("{paths}{pieces}\ntrain.max_steps = 1"), "run");
    let (base, run) = (model(&task.path("base")), model(&task.path("run")));
    assert!(base.source.tokenizer == run.source.tokenizer && base.target.tokenizer == run.target.tokenizer);
    assert_eq!(
        (base.source.vocab.len(), base.target.vocab.len()),
        (run.source.vocab.len(), run.target.vocab.len())
    );
}

/// Writes a tokenizer file with pieces that are learnt from the training text.
fn tokenizer_file(task: &Task, name: &str, pieces: usize, byte_fallback: bool) {
    let (kind, form, lowercase) = (SubwordKind::Bpe, Form::None, false);
    let config = SubwordConfig { kind, pieces, byte_fallback, form, lowercase };
    let text = std::fs::read_to_string(task.path("train.tsv")).unwrap().replace('\t', " ");
    std::fs::write(task.path(name), Subwords::train(text.lines(), &config).unwrap().to_json()).unwrap();
}

/// The settings by which both sides have the tokenizer file `name`.
fn pieces_of(task: &Task, name: &str) -> String {
    ["data.src.tokenizer", "data.tgt.tokenizer"].map(|key| path_of(task, key, name)).concat()
}

#[test]
fn pieces_of_a_file_are_those_of_the_model_whatever_names_them() {
    let task = Task::small();
    tokenizer_file(&task, "joint.json", 60, false);
    tokenizer_file(&task, "other.json", 40, false);
    tokenizer_file(&task, "copy.json", 60, false);
    task.train(&format!("{}train.max_steps = 6", pieces_of(&task, "joint.json")), "base");
    let levels = |level: &str| {
        format!("data.src.level = '{level}'\ndata.tgt.level = '{level}'\ntrain.max_steps = 3\n")
    };
    let named = pieces_of(&task, "copy.json") + &levels("pieces");
    for (run, settings) in [("bpe", levels("bpe")), ("pieces", levels("pieces")), ("named", named)] {
        task.train(&(from_base(&task) + &settings), run);
        let (base, is) = (model(&task.path("base")), model(&task.path(run)));
        assert_eq!(is.source.encode("abc cab"), base.source.encode("abc cab"), "{run}");
        assert_eq!(is.target.tokenizer.subwords, base.target.tokenizer.subwords, "{run}");
        assert!(is.source.vocab == base.source.vocab, "{run}");
        let weights = newest(&task.path(run)).files.file("model.safetensors").unwrap().to_vec();
        let first = newest(&task.path("bpe")).files.file("model.safetensors").unwrap().to_vec();
        assert!(weights == first, "{run}: other batches");
    }
    for (settings, part) in [
        (pieces_of(&task, "other.json"), "the pieces of "),
        (levels("unigram"), "asks for level = \"unigram\""),
        (levels("bpe") + "data.src.lowercase = true", "lowercase = true"),
        (levels("bpe") + "data.tgt.byte_fallback = true", "byte_fallback = true"),
    ] {
        let error = refusal(task.open(&(from_base(&task) + &settings), "refused"));
        let message = error.to_string();
        assert!(matches!(error, Error::Data(seqweave_data::Error::OtherTokenizer { .. })), "{message}");
        assert!(message.contains(part) && message.contains("has pieces by BPE: level = "), "{message}");
    }
    // Without a model, pieces need a file.
    let sources = task.path("config.toml");
    task.config(&(from_base(&task) + &levels("pieces")));
    let sets = levels("pieces").lines().map(str::to_owned).collect();
    let alone = seqweave_train::config::Sources { files: vec![sources], sets };
    let message = seqweave_train::config::Config::load(&alone).unwrap_err().to_string();
    assert!(message.contains("data.src.level"), "{message}");
}

#[test]
fn shards_have_the_tokens_that_training_would_use() {
    let task = Task::small();
    tokenizer_file(&task, "joint.json", 60, false);
    std::fs::write(
        task.path("new.tsv"),
        std::fs::read_to_string(task.path("train.tsv")).unwrap() + "aX\tXa\nYb\tbY\n",
    )
    .unwrap();
    let data = path_of(&task, "data.train", "new.tsv");
    let bpe =
        "data.src.level = 'bpe'\ndata.tgt.level = 'bpe'\ndata.src.max_vocab = 60\ndata.tgt.max_vocab = 60\n";
    for (name, base, more) in [
        ("learnt", bpe.to_owned(), bpe.to_owned()),
        ("of a file", pieces_of(&task, "joint.json"), bpe.to_owned()),
        ("letters", String::new(), String::new()),
    ] {
        let at = |what: &str| format!("{name}/{what}");
        task.train(&format!("train.max_steps = 6\n{base}"), &at("base"));
        let steps = "train.max_steps = 8\ncheckpoint.every = 4\n";
        let from = path_of(&task, "train.init_from", &at("base"));
        let text = format!("{from}{data}{more}{steps}");
        task.train(&text, &at("text"));
        let shards =
            |name: &str| format!("data.train = {{ shards = '{}' }}\n", task.path(&at(name)).display());
        seqweave_train::prepare(&task.config(&text), &task.path(&at("shards")), &mut |_| ()).unwrap();
        let sharded = format!("{from}{}{more}{steps}", shards("shards"));
        task.train(&sharded, &at("sharded"));
        assert_same_state(&task.path(&at("sharded")), &task.path(&at("text")), name);
        // A run that goes on has its tokens from its checkpoint, wherever its batches come from.
        task.train_until(&text, &at("both"), 5);
        task.train(&sharded, &at("both"));
        assert_same_state(&task.path(&at("both")), &task.path(&at("text")), name);

        let alone = refusal(task.open(&format!("{}{more}", shards("shards")), "refused"));
        assert!(alone.to_string().contains("the tokens of a model (train.init_from)"), "{name}: {alone}");
        seqweave_train::prepare(
            &task.config(&format!("{data}{more}")),
            &task.path(&at("plain")),
            &mut |_| (),
        )
        .unwrap();
        let plain = refusal(task.open(&format!("{from}{}{more}", shards("plain")), "refused"));
        assert!(matches!(plain, Error::Data(seqweave_data::Error::ShardTokens { .. })), "{name}: {plain}");
    }
}

#[test]
fn new_tags_are_appended_to_pieces_in_training_from_text_and_from_shards() {
    let pieces = "data.features = ';'\ndata.src.level = 'bpe'\ndata.src.max_vocab = 60\n";
    for merge in ["tokens", "sum", "concat"] {
        let task = Task::small();
        for (name, tags) in [("train.tsv", ["A;B", "B"]), ("dev.tsv", ["A", "B"]), ("new.tsv", ["B;C", "A"])]
        {
            let from = if name == "new.tsv" { "train.tsv" } else { name };
            let text = std::fs::read_to_string(task.path(from)).unwrap();
            let tagged = text.lines().enumerate().map(|(i, line)| {
                let parts: Vec<&str> = line.split('\t').collect();
                format!("{}\t{}\t{}\n", parts[0], tags[i % 2], parts[parts.len() - 1])
            });
            std::fs::write(task.path(name), tagged.collect::<String>()).unwrap();
        }
        let settings = format!("{pieces}model.features.merge = '{merge}'\ntrain.max_steps = 6\n");
        task.train(&settings, "base");
        let more = from_base(&task) + &settings + "checkpoint.every = 2\n";
        let text = more.clone() + &path_of(&task, "data.train", "new.tsv");
        let (_, events) = task.train(&(text.clone() + HELD), "held");
        let (base, held) = (model(&task.path("base")), model(&task.path("held")));
        let tokens = |model: &ModelFolder| -> Vec<String> {
            model.source.vocab.iter().map(|(token, _)| token.to_owned()).collect()
        };
        let mut want = tokens(&base);
        want.push("\tC".to_owned());
        assert_eq!((tokens(&held), held.source.tags()), (want, 3), "{merge}");
        // The row of the new tag is drawn, those of pieces and known tags are taken.
        let grown = if merge == "tokens" { "encoder.embedding.weight" } else { "encoder.tags.weight" };
        for (was, is) in parameters(&task.path("base")).iter().zip(&parameters(&task.path("held"))) {
            let more = usize::from(was.0 == grown);
            assert_eq!(is.1[0], was.1[0] + more, "{merge}: {}", was.0);
            if was.0 != "output.bias" {
                assert_eq!(is.2[..was.2.len()], was.2, "{merge}: {}", was.0);
            }
            assert!(more == 0 || is.2[was.2.len()..].iter().all(|&bits| bits << 1 != 0), "{merge}: {grown}");
        }
        let fact = format!("rows of 1 new source and 0 new target tokens: {grown}");
        assert!(started(&events).data.contains(&fact), "{:?}", started(&events).data);
        // The same from shards, also for a run that goes on.
        task.train(&text, "text");
        seqweave_train::prepare(&task.config(&text), &task.path("shards"), &mut |_| ()).unwrap();
        let shards = format!("{more}data.train = {{ shards = '{}' }}\n", task.path("shards").display());
        task.train_until(&shards, "sharded", 3);
        task.train(&shards, "sharded");
        assert_same_state(&task.path("sharded"), &task.path("text"), merge);
    }
}

#[test]
fn parts_of_another_shape_stay_as_they_are_drawn_and_are_named() {
    let task = with_base("");
    let settings = format!("model.attention = additive\nmodel.hidden = 16\n{HELD}");
    let (_, events) = task.train(&(from_base(&task) + &settings), "run");
    let facts = started(&events).data.join("\n");
    assert!(facts.contains(": 3 parameters taken"), "{facts}");
    assert!(facts.contains("output.weight ([12, 16] here, [12, 12] there)"), "{facts}");
    assert!(facts.contains("decoder.attention.query.weight (not in that model)"), "{facts}");
    // What is drawn is drawn as for any new model of this seed.
    task.train(&settings, "fresh");
    let (run, fresh) = (parameters(&task.path("run")), parameters(&task.path("fresh")));
    let same = |name: &str| run.iter().zip(&fresh).find(|(parameter, _)| parameter.0 == name).unwrap();
    let (is, drawn) = same("encoder.l0.fwd.weight_ih");
    assert_eq!(is, drawn);
    let (is, drawn) = same("encoder.embedding.weight");
    assert_ne!(is, drawn);
}

#[test]
fn frozen_parts_stay_to_the_bit_while_the_others_learn() {
    let settings = "
        train.max_steps = 8
        train.freeze = ['encoder.*', '*.attention.*']
        train.optimizer.kind = adamw
        train.optimizer.weight_decay = 0.1
        train.optimizer.decay_exclude = []
        model.dropout = 0.2
    ";
    let task = Task::small();
    task.train(&settings.replace("max_steps = 8", "max_steps = 1"), "one");
    let (_, events) = task.train(settings, "eight");
    let (one, eight) = (parameters(&task.path("one")), parameters(&task.path("eight")));
    for (early, late) in one.iter().zip(&eight) {
        let is_frozen = early.0.starts_with("encoder.") || early.0.contains(".attention.");
        assert_eq!(early == late, is_frozen, "{}", early.0);
    }
    let facts = &started(&events).data;
    let (mut frozen, mut all) = (0, 0);
    for (early, late) in one.iter().zip(&eight) {
        all += late.2.len();
        frozen += if early == late { late.2.len() } else { 0 };
    }
    let fact = facts.iter().find(|fact| fact.starts_with("frozen: ")).expect("a line about frozen parts");
    assert!(
        fact.contains(&format!("{frozen} of {all} ")) && fact.ends_with("encoder.*, *.attention.*"),
        "{fact}"
    );
}

#[test]
fn a_run_that_started_from_a_model_resumes_without_it() {
    let task = with_base("");
    std::fs::write(
        task.path("new.tsv"),
        std::fs::read_to_string(task.path("train.tsv")).unwrap() + "aX\tXa\n",
    )
    .unwrap();
    let fresh = "
        train.freeze = ['bridge.*']
        train.optimizer.groups = [{ match = 'encoder.*', lr_scale = 0.5 }]
        train.max_steps = 12
    ";
    let settings = &(from_base(&task) + &path_of(&task, "data.train", "new.tsv") + fresh);
    task.train(settings, "whole");
    for step in [1, 5, 9] {
        task.train_until(settings, "stopped", step);
        if step == 5 {
            std::fs::remove_dir_all(task.path("base")).unwrap();
        }
    }
    task.train(settings, "stopped");
    let last = |run: &str| newest(&task.path(run));
    assert_eq!(last("whole").state, last("stopped").state);
    let files = |run: &str| last(run).files.file("model.safetensors").unwrap().to_vec();
    assert!(files("whole") == files("stopped"));
    let other = refusal(task.open(&settings.replace("0.5", "0.25"), "whole"));
    assert!(other.to_string().contains("lr_scale = 0.25"), "{other}");
    task.train(fresh, "fresh");
    assert_ne!(files("whole"), last("fresh").files.file("model.safetensors").unwrap());
}

#[test]
fn a_run_goes_on_wherever_its_model_lies_and_with_no_other_model() {
    let task = with_base("");
    task.train("train.max_steps = 6\nseed = 8", "other");
    let from = |name: &str| path_of(&task, "train.init_from", name) + "train.max_steps = 8\n";
    task.train(&from("base"), "whole");
    task.train_until(&from("base"), "run", 3);
    std::fs::rename(task.path("base"), task.path("moved")).unwrap();
    task.train_until(&from("moved"), "run", 5);
    let refused = |settings: &str| {
        let error = refusal(task.open(settings, "run"));
        assert!(matches!(error, Error::OtherRun { what: "train.init_from", .. }), "{error}");
        error.to_string()
    };
    let other = refused(&from("other"));
    assert!(other.matches("the model ").count() == 2, "{other}");
    assert!(refused("train.max_steps = 8").contains("this run none"));
    // Where it was, there may be another model now; where nothing is, there is none.
    std::fs::rename(task.path("other"), task.path("base")).unwrap();
    assert!(refused(&from("base")).contains("the model "));
    std::fs::remove_dir_all(task.path("moved")).unwrap();
    std::fs::rename(task.path("base"), task.path("moved")).unwrap();
    task.train_until(&from("moved"), "run", 7);
    task.train(&from("nowhere"), "run");
    assert_same_state(&task.path("run"), &task.path("whole"), "resumed from three places");
    // A run from nothing does not become one from a model.
    let error = refusal(task.open(&(from("whole") + "seed = 8"), "moved"));
    assert!(error.to_string().contains("train.init_from (it has none"), "{error}");
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let task = with_base("");
    let refused = |settings: &str| refusal(task.open(&(from_base(&task) + settings), "run"));
    let error = refused("data.src.level = word");
    assert!(
        matches!(error, Error::Data(seqweave_data::Error::OtherTokenizer { side: "src", .. })),
        "{error}"
    );
    let error = refusal(task.open(&path_of(&task, "train.init_from", "nowhere"), "run"));
    assert!(matches!(error, Error::Store(seqweave::Error::NoFolder { .. })), "{error}");
}
