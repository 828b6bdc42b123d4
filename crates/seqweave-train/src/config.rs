//! The configuration of a training run: one TOML document, checked as a whole.
//!
//! - Several files are merged key by key, later ones win; `key=value` overrides come last.
//! - Every mistake is reported at once, with file, line, column and the line itself.
//! - Relative paths are relative to the file that names them.
//! - [`Config::resolved`] writes a complete document that loads again to an equal configuration.
//!
//! ```
//! use seqweave_train::config::{Config, Sources};
//!
//! let sets = ["data.train=words.tsv", "model.cell=lstmm", "train.optimizer.lr=-1"];
//! let error = Config::load(&Sources { sets: sets.map(String::from).into(), ..Sources::default() }).unwrap_err();
//! let text = error.to_string();
//! assert!(text.contains("`model.cell` is \"lstmm\""), "{text}");
//! assert!(text.contains("did you mean \"lstm\"?"), "{text}");
//! assert!(text.contains("`train.optimizer.lr` is -1, expected a number above 0 to 1000"), "{text}");
//! ```

mod check;
mod guide;
mod problem;
mod sections;
mod shape;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use guide::{Key, json_schema, keys, render_guide, suggested_keys};
pub use problem::{Place, Problem, ProblemKind, Problems};
pub use sections::*;

use seqweave_nn::ScheduleKind;

use self::check::is_inside;
use self::shape::{Checker, Shape};
use self::tree::{Node, Texts, Value};
use crate::{Error, Result};

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// TOML files; later ones win key by key.
    pub files: Vec<PathBuf>,
    /// Overrides of the form `key=value` with a dotted key and a TOML value or a plain word; they win over files.
    pub sets: Vec<String>,
}

/// A configuration that has been read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub value: Config,
    /// Keys that were given but have no effect with the other settings.
    pub unused: Vec<Problem>,
}

impl Config {
    /// Reads, merges and checks a configuration.
    ///
    /// # Errors
    /// [`Error::ConfigRead`] for a file that cannot be read, [`Error::Config`] with every mistake otherwise.
    pub fn load(sources: &Sources) -> Result<Loaded> {
        let mut loader = Loader::new();
        for path in &sources.files {
            let bytes = fs::read(path).map_err(|source| Error::ConfigRead { path: path.clone(), source })?;
            let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
            loader.add_file(&path.display().to_string(), bytes, base);
        }
        loader.add_overrides(&sources.sets);
        loader.finish()
    }

    /// Reads a configuration from a text; `name` stands for the file in messages, paths are relative to `base`.
    ///
    /// # Errors
    /// [`Error::Config`] with every mistake.
    pub fn from_toml(name: &str, text: &str, base: &Path) -> Result<Loaded> {
        let mut loader = Loader::new();
        loader.add_file(name, text.as_bytes().to_vec(), base.into());
        loader.finish()
    }

    /// Everything that is wrong with a configuration that was built in a program; empty when it is fine.
    pub fn check(&self) -> Vec<Problem> {
        let node = match self.to_node() {
            Ok(node) => node,
            Err(error) => return vec![refused("", error.to_string())],
        };
        let texts = Texts::default();
        let mut checker = Checker { texts: &texts, problems: Vec::new() };
        checker.check(Shape::of_config(), &node, "");
        let mut problems = checker.problems;
        for found in check::conflicts(self) {
            if !found.involves_any(&problems) {
                problems.push(found.problem);
            }
        }
        problems
    }

    /// The complete configuration as TOML; loading it gives an equal configuration.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that does not pass [`Config::check`].
    pub fn resolved(&self) -> Result<String> {
        let problems = self.check();
        if !problems.is_empty() {
            return Err(Error::Config(Problems(problems)));
        }
        toml::to_string(self).map_err(|error| Error::Config(Problems(vec![refused("", error.to_string())])))
    }

    /// A hash of the settings that decide the weights after a given number of steps, for telling whether a
    /// checkpoint belongs to this configuration.
    ///
    /// Left out are names and paths (the data and the model to start from have hashes of their own), limits and intervals
    /// that only decide when to stop, log or save, decoding defaults, and the machine.
    pub fn hash(&self) -> String {
        blake3::hash(self.hashed().join("\n").as_bytes()).to_hex().to_string()
    }

    /// The settings covered by [`Config::hash`] that another configuration has not, and those it has instead.
    pub(crate) fn differences(&self, other: &Config) -> (Vec<String>, Vec<String>) {
        let (ours, theirs) = (self.hashed(), other.hashed());
        let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect();
        (only(&ours, &theirs), only(&theirs, &ours))
    }

    /// What [`Config::hash`] covers, as lines `key = value`.
    ///
    /// The keys are sorted, so that their order in the structs does not matter, and floats are written exactly.
    fn hashed(&self) -> Vec<String> {
        let mut kept = match self.to_node() {
            Ok(node) => node,
            // A path that JSON cannot hold; such a configuration does not pass `check` either.
            Err(error) => return vec![error.to_string()],
        };
        let schedule = &self.train.schedule;
        let ends_with_run = schedule.kind == ScheduleKind::Cosine && schedule.total == 0;
        for key in NOT_HASHED {
            // The cosine's length is the number of steps unless it is given.
            if !(ends_with_run && matches!(*key, "train.epochs" | "train.max_steps")) {
                kept = kept.without(key);
            }
        }
        let is_leaf = |node: &&Node| !matches!(node.value, Value::Table(_));
        let line = |key: String| Some(format!("{key} = {}", kept.find(&key).filter(is_leaf)?.to_toml()));
        kept.keys().into_iter().filter_map(line).collect()
    }

    /// The configuration as a tree without places.
    fn to_node(&self) -> serde_json::Result<Node> {
        // Through text, where an `f32` is written by its own shortest digits and not by those of the nearest `f64`.
        // The one thing JSON cannot hold is a path that is not UTF-8.
        Ok(Node::from_json(&serde_json::from_str(&serde_json::to_string(self)?)?))
    }

    /// The folder of this run: `run.dir` / `name`.
    pub fn run_folder(&self) -> PathBuf {
        self.run.dir.join(&self.name)
    }
}

/// Keys that do not decide the weights after a given number of steps.
const NOT_HASHED: &[&str] = &[
    "version",
    "name",
    "data.train",
    "data.dev",
    "data.test",
    "data.src.tokenizer",
    "data.tgt.tokenizer",
    "data.max_line_bytes",
    "train.init_from",
    "train.epochs",
    "train.max_steps",
    "train.log_every",
    "train.max_bad_steps",
    "valid.patience",
    "valid.samples",
    "checkpoint",
    "decode",
    "run",
];

struct Loader {
    shape: &'static Shape,
    texts: Texts,
    root: Node,
    problems: Vec<Problem>,
    /// The folder of the first file, for a default path.
    base: Option<PathBuf>,
}

impl Loader {
    fn new() -> Loader {
        Loader {
            shape: Shape::of_config(),
            texts: Texts::default(),
            root: Node::empty(),
            problems: Vec::new(),
            base: None,
        }
    }

    fn add_file(&mut self, name: &str, bytes: Vec<u8>, base: PathBuf) {
        self.base.get_or_insert_with(|| base.clone());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let bytes = error.into_bytes();
                let text = String::from_utf8_lossy(&bytes);
                let detail = format!("the byte 0x{:02x} at offset {at} is not UTF-8", bytes[at]);
                let place = Some(Place::new(name, &text, &(at..at + 1), true));
                self.problems.push(Problem {
                    key: String::new(),
                    kind: ProblemKind::Syntax { detail },
                    place,
                });
                return;
            }
        };
        let text = self.texts.add(name.into(), text, base, true);
        match self.texts.parse(text) {
            Ok(node) => self.root.merge(node),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn add_overrides(&mut self, sets: &[String]) {
        for set in sets {
            let is_text = |key: &str, value: &Value| {
                self.shape.find(key).is_some_and(|shape| shape.is_text() && !shape.admits(value))
            };
            match self.texts.parse_override(set, is_text) {
                Ok(node) => self.root.merge(node),
                Err(problems) => self.problems.extend(problems),
            }
        }
    }

    fn finish(self) -> Result<Loaded> {
        // With broken syntax the tree is not the one that was meant, and more messages would mislead.
        if !self.problems.is_empty() {
            return Err(Error::Config(Problems(self.problems)));
        }
        let mut checker = Checker { texts: &self.texts, problems: Vec::new() };
        checker.check(self.shape, &self.root, "");
        let mut problems = checker.problems;

        // What is left without the broken keys can still be checked for what does not go together.
        let mut root = self.root.clone();
        for Problem { key, .. } in &problems {
            // A key that is missing makes the table around it unreadable.
            let broken = if root.find(key).is_some() {
                key
            } else {
                key.rsplit_once('.').map_or("", |(table, _)| table)
            };
            root = root.without(broken);
        }
        self.make_absolute(&mut root);
        let mut whole = Config::default().to_node().unwrap_or_else(|_| Node::empty());
        whole.merge(root);
        let mut value = loop {
            match read::<Config>(&whole) {
                Ok(value) => break value,
                // Without its broken key a table may lack one that it needs; then it goes as well.
                Err((key, _))
                    if whole.find(&key).is_some() && problems.iter().any(|p| is_inside(&p.key, &key)) =>
                {
                    whole = whole.without(&key);
                }
                Err((key, detail)) => {
                    problems.push(self.placed(refused(&key, detail), &[]));
                    return Err(Error::Config(Problems(problems)));
                }
            }
        };
        if value.run.dir.is_relative() && !value.run.dir.as_os_str().is_empty() {
            let dir = self.base.clone().unwrap_or_default().join(&value.run.dir);
            value.run.dir = std::path::absolute(&dir).unwrap_or(dir);
        }
        for found in check::conflicts(&value) {
            if !found.involves_any(&problems) {
                problems.push(self.placed(found.problem, found.others));
            }
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| {
                problem.place.as_ref().map(|place| (place.file.clone(), place.position))
            });
            return Err(Error::Config(Problems(problems)));
        }
        let unused = check::unused(&value, |key| self.root.find(key).is_some());
        Ok(Loaded { unused: unused.into_iter().map(|problem| self.placed(problem, &[])).collect(), value })
    }

    /// Adds the place of its key to a problem; of another key it rests on, where its own has kept its default.
    fn placed(&self, mut problem: Problem, others: &[&str]) -> Problem {
        let origin = |key: &str| self.root.find(key).and_then(|node| node.origin.as_ref());
        let place = origin(&problem.key).or_else(|| others.iter().find_map(|key| origin(key)));
        problem.place = place.map(|place| self.texts.place(place));
        problem
    }

    /// Makes every path of the tree absolute, each from the file that names it.
    fn make_absolute(&self, root: &mut Node) {
        fn walk(texts: &Texts, shape: &Shape, node: &mut Node) {
            match (shape, &mut node.value) {
                (Shape::Text { is_path: true }, Value::Text(text)) if !text.is_empty() => {
                    if let Some(path) = texts.absolute(&node.origin, text).to_str() {
                        *text = path.into();
                    }
                }
                (Shape::Table(fields), Value::Table(table)) => {
                    for field in fields {
                        if let Some(child) = table.get_mut(&field.name) {
                            walk(texts, &field.shape, child);
                        }
                    }
                }
                (Shape::List(item), Value::List(list)) => {
                    list.iter_mut().for_each(|child| walk(texts, item, child))
                }
                (Shape::Either(alternatives), _) => {
                    alternatives.iter().for_each(|alternative| walk(texts, alternative, node));
                }
                _ => {}
            }
        }
        walk(&self.texts, self.shape, root);
    }
}

/// Reads the checked tree; an error names the deepest key without which the rest would be fine.
///
/// The check against the shape leaves only the rules that a section's own `Deserialize` adds.
fn read<T: DeserializeOwned>(root: &Node) -> std::result::Result<T, (String, String)> {
    let attempt = |node: &Node| node.to_toml().try_into::<T>();
    attempt(root).map_err(|error| {
        let culprit = root.keys().into_iter().find(|key| attempt(&root.without(key)).is_ok());
        (culprit.unwrap_or_default(), error.to_string().trim().replace('\n', "; "))
    })
}

fn refused(key: &str, detail: String) -> Problem {
    Problem { key: key.into(), kind: ProblemKind::Refused { detail }, place: None }
}

#[cfg(test)]
mod tests;
