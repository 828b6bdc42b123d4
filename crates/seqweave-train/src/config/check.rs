//! What must hold between keys, beyond the type and range of each.

use std::path::Path;

use super::problem::{Problem, ProblemKind};
use super::sections::*;

/// A mistake, with the other keys that it rests on.
pub(super) struct Conflict {
    pub(super) problem: Problem,
    others: &'static [&'static str],
}

impl Conflict {
    /// Whether one of its keys is wrong in itself, so that this mistake may be only a consequence.
    pub(super) fn involves_any(&self, problems: &[Problem]) -> bool {
        let touches =
            |key: &str| problems.iter().any(|problem| problem.key == key || is_inside(&problem.key, key));
        touches(&self.problem.key) || self.others.iter().any(|key| touches(key))
    }
}

fn is_inside(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

/// Everything in a configuration that does not go together.
pub(super) fn conflicts(config: &Config) -> Vec<Conflict> {
    let mut found = Found(Vec::new());
    check_names(config, &mut found);
    check_data(&config.data, &mut found);
    check_model(config, &mut found);
    check_train(&config.train, &mut found);
    check_valid(&config.valid, &mut found);
    found.0
}

struct Found(Vec<Conflict>);

impl Found {
    fn conflict(&mut self, key: &str, value: impl ToString, others: &'static [&'static str], rule: &str) {
        self.add(key, others, ProblemKind::Conflict { found: value.to_string(), rule: rule.into() });
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

fn check_data(data: &DataConfig, found: &mut Found) {
    let corpora = [
        ("data.train", Some(&data.train)),
        ("data.dev", data.dev.as_ref()),
        ("data.test", data.test.as_ref()),
    ];
    let is_empty = |path: &Path| path.as_os_str().is_empty();
    for (key, corpus) in corpora {
        let has_empty = match corpus {
            Some(Corpus::Tsv(path)) => is_empty(path),
            Some(Corpus::Parallel(pair)) => is_empty(&pair.src) || is_empty(&pair.tgt),
            None => false,
        };
        if has_empty {
            let expected = "the path of a TSV file, or { src = \"…\", tgt = \"…\" }".into();
            found.add(key, &[], ProblemKind::Missing { expected });
        }
    }
    let SplitConfig { dev, test, .. } = data.split;
    if data.dev.is_none() && dev == 0.0 {
        let rule = "there is no `data.dev`: name a validation file, or set a share above 0";
        found.conflict("data.split.dev", dev, &["data.dev"], rule);
    }
    if dev + test >= 1.0 {
        let rule = "together with `data.split.test` it leaves nothing to train on: their sum must be below 1";
        found.conflict("data.split.dev", dev, &["data.split.test"], rule);
    }
    let filter = &data.filter;
    if filter.min_len > filter.max_src_len.min(filter.max_tgt_len) {
        let rule = "it must not be above `data.filter.max_src_len` and `data.filter.max_tgt_len`";
        found.conflict(
            "data.filter.min_len",
            filter.min_len,
            &["data.filter.max_src_len", "data.filter.max_tgt_len"],
            rule,
        );
    }
    if filter.max_len_ratio > 0.0 && filter.max_len_ratio < 1.0 {
        let rule = "the longer side is never shorter than the shorter one: use 1 or more, or 0 for no limit";
        found.conflict("data.filter.max_len_ratio", filter.max_len_ratio, &[], rule);
    }
    if data.vocab.joint && data.src.level != data.tgt.level {
        let rule = "`data.src.level` and `data.tgt.level` differ: one vocabulary needs one kind of token";
        found.conflict("data.vocab.joint", true, &["data.src.level", "data.tgt.level"], rule);
    }
}

fn check_model(config: &Config, found: &mut Found) {
    let model = &config.model;
    if model.encoder.bidirectional && !model.hidden.is_multiple_of(2) {
        let rule = "a bidirectional encoder needs an even number: half for each direction";
        found.conflict("model.hidden", model.hidden, &["model.encoder.bidirectional"], rule);
    }
    if model.tie == Tie::All && !config.data.vocab.joint {
        let rule =
            "`data.vocab.joint` is false: one embedding needs one vocabulary; set it, or use \"softmax\"";
        found.conflict("model.tie", "\"all\"", &["data.vocab.joint"], rule);
    }
    if config.decode.coverage_penalty > 0.0 && model.attention == Attention::None {
        let rule = "`model.attention` is \"none\": coverage is a sum of attention weights";
        found.conflict("decode.coverage_penalty", config.decode.coverage_penalty, &["model.attention"], rule);
    }
}

fn check_train(train: &TrainConfig, found: &mut Found) {
    if train.epochs == 0 && train.max_steps == 0 {
        let rule = "`train.max_steps` is 0 as well, so training would never end: set one of them";
        found.conflict("train.epochs", 0, &["train.max_steps"], rule);
    }
    let optimizer = &train.optimizer;
    if optimizer.kind == OptimizerKind::Sgd && optimizer.nesterov && optimizer.momentum == 0.0 {
        let rule = "`train.optimizer.momentum` is 0: there is nothing to look ahead along";
        found.conflict(
            "train.optimizer.nesterov",
            true,
            &["train.optimizer.kind", "train.optimizer.momentum"],
            rule,
        );
    }
    let schedule = &train.schedule;
    let has_min_lr = matches!(schedule.kind, ScheduleKind::Plateau | ScheduleKind::Cosine);
    if has_min_lr && schedule.min_lr > optimizer.lr {
        let rule = "it is above `train.optimizer.lr`, from which the rate falls";
        found.conflict(
            "train.schedule.min_lr",
            schedule.min_lr,
            &["train.schedule.kind", "train.optimizer.lr"],
            rule,
        );
    }
    match schedule.kind {
        ScheduleKind::InverseSqrt if schedule.warmup == 0 => {
            let rule = "the kind \"inverse-sqrt\" needs at least 1 step, from which the rate falls";
            found.conflict("train.schedule.warmup", 0, &["train.schedule.kind"], rule);
        }
        ScheduleKind::Cosine if schedule.total == 0 && train.max_steps == 0 => {
            let rule = "`train.max_steps` is 0 as well: the cosine needs a last step";
            found.conflict("train.schedule.total", 0, &["train.schedule.kind", "train.max_steps"], rule);
        }
        ScheduleKind::Cosine => {
            let total = if schedule.total > 0 { schedule.total } else { train.max_steps };
            if schedule.warmup >= total {
                let rule = format!("the cosine ends at step {total}: it must be below that");
                let others = &["train.schedule.kind", "train.schedule.total", "train.max_steps"];
                found.conflict("train.schedule.warmup", schedule.warmup, others, &rule);
            }
        }
        _ => {}
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
    let mut problems = Vec::new();
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

fn show(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// The word of a choice, in quotes, as it is written in TOML.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
