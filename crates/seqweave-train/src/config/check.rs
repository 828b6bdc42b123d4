//! What must hold between keys, beyond the type and range of each: the rules of the crates that own the sections, and
//! those that only a training run has.

use std::path::Path;

use seqweave_data::{DataConfig, Level, SideConfig, SourceSpec, TrainSpec};
use seqweave_nn::{AttentionKind, OptimizerKind, ParamsBuilder, ScheduleConfig, ScheduleKind, pattern_fits};
use seqweave_seq2seq::{Seq2Seq, Tie};

use super::problem::{Problem, ProblemKind};
use super::sections::*;

/// A mistake, with the other keys that it rests on.
pub(super) struct Conflict {
    pub(super) problem: Problem,
    pub(super) others: &'static [&'static str],
}

impl Conflict {
    /// Whether one of its keys is wrong in itself, so that this mistake may be only a consequence.
    pub(super) fn involves_any(&self, problems: &[Problem]) -> bool {
        let touches =
            |key: &str| problems.iter().any(|problem| problem.key == key || is_inside(&problem.key, key));
        touches(&self.problem.key) || self.others.iter().any(|key| touches(key))
    }
}

/// Whether a dotted key is in a table.
pub(super) fn is_inside(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

/// Everything in a configuration that does not go together.
pub(super) fn conflicts(config: &Config) -> Vec<Conflict> {
    let mut found = Found(Vec::new());
    check_names(config, &mut found);
    check_data(config, &mut found);
    check_model(config, &mut found);
    check_train(&config.train, &mut found);
    check_patterns(config, &mut found);
    check_decode(config, &mut found);
    check_valid(&config.valid, &mut found);
    found.0
}

struct Found(Vec<Conflict>);

impl Found {
    fn conflict(&mut self, key: &str, value: impl ToString, others: &'static [&'static str], rule: &str) {
        self.add(key, others, ProblemKind::Conflict { found: value.to_string(), rule: rule.into() });
    }

    /// A rule of the crate that a section belongs to; `key` is relative to the section.
    fn refused_by_owner(&mut self, section: &str, key: &str, value: String, expected: &str) {
        let key = format!("{section}.{key}");
        self.add(&key, others(&key), ProblemKind::OutOfRange { found: value, allowed: expected.into() });
    }

    fn add(&mut self, key: &str, others: &'static [&'static str], kind: ProblemKind) {
        self.0.push(Conflict { problem: Problem { key: key.into(), kind, place: None }, others });
    }
}

fn check_names(config: &Config, found: &mut Found) {
    let name = &config.name;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.bytes().all(is_plain) {
        let allowed = "1 to 100 ASCII letters, digits, `.`, `_` or `-`, not starting with a dot".into();
        found.add("name", &[], ProblemKind::OutOfRange { found: format!("{name:?}"), allowed });
    }
    let device = &config.run.device;
    let is_number = |number: &str| number.len() <= 3 && number.parse::<u16>().is_ok();
    let is_known = matches!(device.as_str(), "auto" | "cpu" | "cuda")
        || device.strip_prefix("cuda:").is_some_and(is_number);
    if !is_known {
        let valid = ["auto", "cpu", "cuda", "cuda:0"].map(String::from).to_vec();
        found.add(
            "run.device",
            &[],
            ProblemKind::UnknownValue { found: format!("{device:?}"), suggestion: None, valid },
        );
    }
    if config.run.dir.as_os_str().is_empty() {
        found.add("run.dir", &[], ProblemKind::Missing { expected: "a path".into() });
    }
}

/// Checks the data section: its owner's rules, and what only a training run asks of it.
fn check_data(config: &Config, found: &mut Found) {
    let data = &config.data;
    let is_empty = |path: &Path| path.as_os_str().is_empty();
    let is_nameless = |source: &SourceSpec| source.paths().into_iter().any(is_empty);
    let train = match &data.train {
        Some(TrainSpec::Text(sources)) => {
            sources.is_empty() || sources.iter().any(|source| is_nameless(&source.source))
        }
        Some(TrainSpec::Shards(folder)) => is_empty(folder),
        None => true,
    };
    let given = |corpus: &Option<SourceSpec>| corpus.as_ref().is_some_and(is_nameless);
    let corpora = [("data.train", train), ("data.dev", given(&data.dev)), ("data.test", given(&data.test))];
    for (key, is_missing) in corpora {
        if is_missing {
            let expected = "the path of a TSV or JSON Lines file, or { src = \"…\", tgt = \"…\" }".into();
            found.add(key, &[], ProblemKind::Missing { expected });
        }
    }
    if data.dev.is_none() && data.split.dev.is_zero() {
        let rule = "there is no `data.dev`: name a validation file, or set a share above 0";
        found.conflict("data.split.dev", 0, &["data.dev"], rule);
    }
    // The pieces of a model that is trained further need no file.
    let checked = if config.train.init_from.is_some() { data.validate_for_model() } else { data.validate() };
    if let Err(seqweave_data::Error::Config { problems }) = checked {
        for seqweave_data::Problem { key, expected, found: value } in problems {
            found.refused_by_owner("data", &key, value, expected);
        }
    }
}

fn check_model(config: &Config, found: &mut Found) {
    let model = &config.model;
    for problem in model.check() {
        let key = format!("model.{}", problem.key());
        found.add(&key, others(&key), ProblemKind::Refused { detail: problem.to_string() });
    }
    if model.tie == Tie::All && config.data.features.is_some() {
        let rule = "`data.features` gives the source ids that the target has not: use \"softmax\"";
        found.conflict("model.tie", "\"all\"", &["data.features"], rule);
    } else if model.tie == Tie::All && !config.data.shared_vocab {
        let rule =
            "`data.shared_vocab` is false: one embedding needs one vocabulary; set it, or use \"softmax\"";
        found.conflict("model.tie", "\"all\"", &["data.shared_vocab"], rule);
    }
}

fn check_train(train: &TrainConfig, found: &mut Found) {
    if train.epochs == 0 && train.max_steps == 0 {
        let rule = "`train.max_steps` is 0 as well, so training would never end: set one of them";
        found.conflict("train.epochs", 0, &["train.max_steps"], rule);
    }
    if train.init_from.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        let expected = "the path of a model folder, a checkpoint or a run folder".into();
        found.add("train.init_from", &[], ProblemKind::Missing { expected });
    }
    if let Err(seqweave_data::Error::Config { problems }) = train.batch.validate() {
        for seqweave_data::Problem { key, expected, found: value } in problems {
            found.refused_by_owner("train.batch", &key, value, expected);
        }
    }
    if let Err(seqweave_nn::Error::Config { field, expected, found: value }) = train.optimizer.validate() {
        found.refused_by_owner("train.optimizer", field, value, expected);
    }
    let schedule = &train.schedule;
    let has_min_lr = matches!(schedule.kind, ScheduleKind::Plateau | ScheduleKind::Cosine);
    if has_min_lr && schedule.min_lr > train.optimizer.lr {
        let rule = "it is above `train.optimizer.lr`, from which the rate falls";
        let others = &["train.schedule.kind", "train.optimizer.lr"];
        found.conflict("train.schedule.min_lr", schedule.min_lr, others, rule);
    }
    // How many steps an epoch has is known when the data is read; until then only `max_steps` bounds the run.
    let longest = if train.max_steps > 0 { train.max_steps } else { u64::MAX };
    let total = if schedule.total > 0 { schedule.total } else { longest };
    if schedule.kind == ScheduleKind::Cosine && schedule.warmup >= total {
        let cause = if schedule.total > 0 { "" } else { ", as train.max_steps (--max-steps) says" };
        let rule = format!("the cosine ends at step {total}{cause}: it must be below that");
        let others = &["train.schedule.kind", "train.schedule.total", "train.max_steps"];
        found.conflict("train.schedule.warmup", schedule.warmup, others, &rule);
    } else if let Err(seqweave_nn::Error::Config { field, expected, found: value }) =
        (ScheduleConfig { total, ..schedule.clone() }).validate()
    {
        found.refused_by_owner("train.schedule", field, value, expected);
    }
}

/// Checks that every pattern fits a parameter of the model, and that not all are frozen.
fn check_patterns(config: &Config, found: &mut Found) {
    let mut builder = ParamsBuilder::new();
    // Names do not depend on the vocabularies, which come with the data, but on whether there are tags.
    let (smallest, tags) = (5, usize::from(config.data.features.is_some()));
    if Seq2Seq::with_tags(&config.model, smallest, tags, smallest, &mut builder.root()).is_err() {
        return;
    }
    let names: Vec<&str> = builder.names().collect();
    let (freeze, optimizer) = (&config.train.freeze, &config.train.optimizer);
    let groups: Vec<String> = optimizer.groups.iter().map(|group| group.pattern.clone()).collect();
    // The default fits what a model has of these; a pattern that was written down is meant to fit something.
    let is_default = optimizer.decay_exclude == TrainConfig::default().optimizer.decay_exclude;
    let excluded = if is_default { &Vec::new() } else { &optimizer.decay_exclude };
    for (key, patterns) in [
        ("train.freeze", freeze),
        ("train.optimizer.decay_exclude", excluded),
        ("train.optimizer.groups", &groups),
    ] {
        for pattern in patterns {
            if !names.iter().any(|name| pattern_fits(pattern, name)) {
                let rule = format!("no parameter has such a name; their names are {}", names.join(", "));
                found.conflict(key, format!("{pattern:?}"), &["model"], &rule);
            }
        }
    }
    if names.iter().all(|name| freeze.iter().any(|pattern| pattern_fits(pattern, name))) {
        let rule = "that is every parameter, so nothing would learn: leave some out";
        found.conflict("train.freeze", format!("{freeze:?}"), &["model"], rule);
    }
}

fn check_decode(config: &Config, found: &mut Found) {
    let decode = &config.decode;
    if let Err(seqweave_seq2seq::Error::Option { key, expected, found: value }) = decode.check() {
        found.refused_by_owner("decode", key, value, expected);
    }
    if decode.max_len.ratio == 0.0 && decode.max_len.add == 0 {
        let rule = "`decode.max_len.ratio` is 0 as well, so every output would be empty: set one of them";
        found.conflict("decode.max_len.add", 0, &["decode.max_len.ratio"], rule);
    }
    if decode.coverage_penalty > 0.0 && config.model.attention == AttentionKind::None {
        let rule = "`model.attention` is \"none\": coverage is a sum of attention weights";
        found.conflict("decode.coverage_penalty", decode.coverage_penalty, &["model.attention"], rule);
    }
}

/// The other keys that an owner's rule about `key` rests on.
fn others(key: &str) -> &'static [&'static str] {
    match key {
        "data.filter.min_len" => &["data.filter.max_src_len", "data.filter.max_tgt_len"],
        "data.split.dev" => &["data.split.test"],
        "data.tgt.min_freq" => &["data.shared_vocab", "data.src.min_freq"],
        "data.src.dropout" | "data.src.sampling.alpha" => &["data.src.level"],
        "data.tgt.dropout" | "data.tgt.sampling.alpha" => &["data.tgt.level"],
        "data.tgt.tokenizer" => &["data.shared_vocab", "data.src.tokenizer"],
        "data.tgt.max_vocab" => &["data.shared_vocab", "data.src.max_vocab"],
        "data.tgt.level" => &["data.shared_vocab", "data.src.level"],
        "data.tgt.byte_fallback" => &["data.shared_vocab", "data.src.byte_fallback"],
        "data.tgt.form" => &["data.shared_vocab", "data.src.form"],
        "data.tgt.lowercase" => &["data.shared_vocab", "data.src.lowercase"],
        "data.shared_vocab" => &["data.features"],
        "model.hidden" => &["model.encoder.bidirectional"],
        "train.optimizer.nesterov" => &["train.optimizer.momentum"],
        "train.schedule.warmup" | "train.schedule.patience" => &["train.schedule.kind"],
        "decode.n_best" => &["decode.beam", "decode.sampling.on"],
        _ => &[],
    }
}

fn check_valid(valid: &ValidConfig, found: &mut Found) {
    if !valid.metrics.contains(&valid.best_by) {
        let rule = "`valid.metrics` does not measure it: add it there";
        found.conflict("valid.best_by", word(&valid.best_by), &["valid.metrics"], rule);
    }
    let twice = valid.metrics.iter().enumerate().find(|(at, metric)| valid.metrics[..*at].contains(metric));
    if let Some((_, metric)) = twice {
        found.conflict(
            "valid.metrics",
            format!("naming {} twice", word(metric)),
            &[],
            "a metric is measured once",
        );
    }
}

/// Keys that were given a value other than the default which the chosen kind does not use.
pub(super) fn unused(config: &Config, is_given: impl Fn(&str) -> bool) -> Vec<Problem> {
    let (optimizer, schedule) = (&config.train.optimizer, &config.train.schedule);
    let default = TrainConfig::default();
    let adam = [OptimizerKind::Adam, OptimizerKind::Adamw].contains(&optimizer.kind);
    let plateau = schedule.kind == ScheduleKind::Plateau;
    let cosine = schedule.kind == ScheduleKind::Cosine;
    let rows: &[(&str, bool, String, String)] = &[
        ("optimizer.beta1", adam, show(optimizer.beta1), show(default.optimizer.beta1)),
        ("optimizer.beta2", adam, show(optimizer.beta2), show(default.optimizer.beta2)),
        ("optimizer.eps", adam, show(optimizer.eps), show(default.optimizer.eps)),
        ("optimizer.momentum", !adam, show(optimizer.momentum), show(default.optimizer.momentum)),
        ("optimizer.nesterov", !adam, show(optimizer.nesterov), show(default.optimizer.nesterov)),
        ("schedule.factor", plateau, show(schedule.factor), show(default.schedule.factor)),
        ("schedule.patience", plateau, show(schedule.patience), show(default.schedule.patience)),
        ("schedule.min_lr", plateau || cosine, show(schedule.min_lr), show(default.schedule.min_lr)),
        ("schedule.total", cosine, show(schedule.total), show(default.schedule.total)),
    ];
    let mut problems = beside_a_file(&config.data, &is_given);
    for (key, is_used, value, default) in rows {
        let path = format!("train.{key}");
        if !is_used && value != default && is_given(&path) {
            let (table, kind) = match key.starts_with("optimizer") {
                true => ("optimizer", word(&optimizer.kind)),
                false => ("schedule", word(&schedule.kind)),
            };
            let rule = format!("`train.{table}.kind` is {kind}, which does not use it");
            problems.push(Problem {
                key: path,
                kind: ProblemKind::Conflict { found: value.clone(), rule },
                place: None,
            });
        }
    }
    problems
}

/// Keys of a side that were given beside a tokenizer file, whose rules count instead.
fn beside_a_file(data: &DataConfig, is_given: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let default = SideConfig::default();
    let sides = [("src", &data.src), ("tgt", &data.tgt)];
    for (name, side) in sides.into_iter().filter(|(_, side)| side.tokenizer.is_some()) {
        let rows = [
            ("level", side.level != default.level && side.level != Level::Pieces, word(&side.level)),
            ("lowercase", side.lowercase != default.lowercase, show(side.lowercase)),
            ("form", side.form != default.form, word(&side.form)),
            ("byte_fallback", side.byte_fallback != default.byte_fallback, show(side.byte_fallback)),
            ("min_freq", side.min_freq != default.min_freq, show(side.min_freq)),
            ("max_vocab", side.max_vocab != default.max_vocab, show(side.max_vocab)),
        ];
        for (key, differs, found) in rows {
            let key = format!("data.{name}.{key}");
            if differs && is_given(&key) {
                let rule = format!("`data.{name}.tokenizer` names a file, whose rules count instead");
                problems.push(Problem { key, kind: ProblemKind::Conflict { found, rule }, place: None });
            }
        }
    }
    problems
}

fn show(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// The word of a choice, in quotes, as it is written in TOML.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
