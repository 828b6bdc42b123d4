//! A toy task in a temporary folder, and short ways to train on it and to look at what a run has left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use seqweave::store::Disk;
use seqweave_tensor::Device;
use seqweave_testkit::Toy;
use seqweave_train::checkpoint::{self, Checkpoint};
use seqweave_train::config::Config;
use seqweave_train::{Error, Event, OpenOptions, Outcome, Result, Trainer};

/// Settings of a small model; every test adds its own.
const BASE: &str = r#"
    seed = 7
    data = { train = "train.tsv", dev = "dev.tsv", src.level = "char", tgt.level = "char" }
    model = { emb = 8, hidden = 12 }
    train.batch.tokens = 200
    train.optimizer.lr = 0.01
    train.schedule.kind = "constant"
    train.log_every = 1
    run.device = "cpu"
"#;

/// A toy task in a temporary folder.
pub struct Task {
    folder: tempfile::TempDir,
}

impl Task {
    /// Pairs of `toy` for training and for validation.
    pub fn new(toy: &Toy, train: usize, dev: usize) -> Task {
        let folder = tempfile::tempdir().unwrap();
        toy.write_tsv(folder.path().join("train.tsv"), train, 1).unwrap();
        toy.write_tsv(folder.path().join("dev.tsv"), dev, 2).unwrap();
        Task { folder }
    }

    /// A reversal task of which an epoch takes about ten steps.
    pub fn small() -> Task {
        Task::new(&Toy::reverse(), 120, 10)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The base settings, with `settings` on top: lines `key = value` with dotted keys.
    pub fn config(&self, settings: &str) -> Config {
        let base = Config::from_toml("base.toml", BASE, self.folder.path()).unwrap().value;
        let path = self.path("config.toml");
        std::fs::write(&path, base.resolved().unwrap()).unwrap();
        let sets =
            settings.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
        let sources = seqweave_train::config::Sources { files: vec![path], sets };
        Config::load(&sources).unwrap_or_else(|error| panic!("{error}")).value
    }

    /// Opens the run folder `name` with these settings.
    pub fn open(&self, settings: &str, name: &str) -> Result<Trainer> {
        open(self.config(settings), &self.path(name), false)
    }

    /// Trains to the end and returns the outcome and what was reported.
    pub fn train(&self, settings: &str, name: &str) -> (Outcome, Vec<Event>) {
        finish(&mut self.open(settings, name).unwrap())
    }

    /// Trains until `step` is made, and asks for a stop then.
    pub fn train_until(&self, settings: &str, name: &str, step: u64) -> Outcome {
        let stop = AtomicBool::new(false);
        let mut on_event = |event: &Event| {
            if matches!(event, Event::Step(report) if report.step >= step) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        self.open(settings, name).unwrap().run(&mut on_event, &stop).unwrap()
    }
}

pub fn open(config: Config, run: &Path, overwrite: bool) -> Result<Trainer> {
    Trainer::open(config, run, (Device::cpu(), "for a test".into()), OpenOptions { overwrite })
}

pub fn finish(trainer: &mut Trainer) -> (Outcome, Vec<Event>) {
    let mut events = Vec::new();
    let mut on_event = |event: &Event| events.push(event.clone());
    let outcome =
        trainer.run(&mut on_event, &AtomicBool::new(false)).unwrap_or_else(|error| panic!("{error}"));
    (outcome, events)
}

/// The message of opening a run that must be refused.
pub fn refusal(opened: Result<Trainer>) -> Error {
    match opened {
        Ok(trainer) => panic!("{} was opened", trainer.run_folder().display()),
        Err(error) => error,
    }
}

/// Everything a run has left that must not depend on interruptions: every checkpoint, the pointers, the metrics.
pub fn state(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(&mut files, &run.join("checkpoints"), "checkpoints");
    files.insert("metrics.tsv".into(), std::fs::read(run.join("metrics.tsv")).unwrap());
    files
}

fn collect(files: &mut BTreeMap<String, Vec<u8>>, folder: &Path, name: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_string_lossy());
        match path.is_dir() {
            true => collect(files, &path, &name),
            false => drop(files.insert(name, std::fs::read(&path).unwrap())),
        }
    }
}

/// Fails with the names of the files that differ.
pub fn assert_same_state(run: &Path, expected: &Path, context: &str) {
    let (got, want) = (state(run), state(expected));
    let names: std::collections::BTreeSet<&String> = got.keys().chain(want.keys()).collect();
    let differ: Vec<&&String> = names.iter().filter(|name| got.get(**name) != want.get(**name)).collect();
    assert!(differ.is_empty(), "{context}: {differ:?} of {names:?} differ");
}

/// The newest checkpoint of a run.
pub fn newest(run: &Path) -> Checkpoint {
    let latest = checkpoint::load_latest(&Disk, run).unwrap();
    assert!(latest.refused.is_empty(), "{:?}", latest.refused);
    latest.checkpoint.expect("the run has a checkpoint")
}

/// Flips a bit in a file of the checkpoint of a step.
pub fn damage(run: &Path, step: u64, file: &str) {
    let path = checkpoint::checkpoints_folder(run).join(checkpoint::folder_name(step)).join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
}
