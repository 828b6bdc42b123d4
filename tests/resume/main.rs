//! Kill the trainer at random moments, run the same command again, and compare with a run that was left alone.
//!
//! A trial takes one setting (cell × optimizer × schedule × accumulation …), starts `seqweave train`, sends SIGKILL after
//! a random time, and starts the same command again; up to three kills a trial, the moments drawn over the whole
//! duration: while the data is read, in a step, in a validation, while a checkpoint is written. The final checkpoint
//! folder (weights, optimizer, counters, metric history) and `metrics.tsv` must then equal those of the run that was
//! left alone, byte for byte. Threads vary between the starts on purpose: they must not matter.
//!
//! `SEQWEAVE_RESUME_TRIALS` sets the number of trials (20 by default); `cargo xtask test resume --trials 200` is the
//! long form. The binary is found through `SEQWEAVE_BIN`, which `cargo xtask test` sets.

use seqweave_testkit::{SplitMix64, Toy};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SETTINGS: [&str; 10] = [
    // cell, optimizer, schedule, and what else differs; every line is one way training state can be lost.
    "model.cell=lstm train.optimizer.kind=adam train.schedule.kind=inverse-sqrt train.schedule.warmup=10 train.accumulate=2",
    "model.cell=gru train.optimizer.kind=adamw train.optimizer.weight_decay=0.01 train.schedule.kind=plateau",
    "model.cell=rnn train.optimizer.kind=sgd train.optimizer.lr=0.2 train.optimizer.momentum=0.9 train.schedule.kind=cosine",
    "model.cell=lstm train.optimizer.kind=sgd train.optimizer.lr=0.5 model.attention=none model.bridge=copy checkpoint.every=7",
    "model.cell=gru train.optimizer.kind=adam model.decoder.input_feeding=true model.attention=additive checkpoint.every=1",
    "model.cell=lstm train.optimizer.kind=adamw model.encoder.layers=2 model.encoder.dropout=0.2 valid.every=11 checkpoint.every=13",
    "model.cell=lstm train.optimizer.kind=adam train.precision=bf16 model.decoder.input_feeding=true checkpoint.every=9",
    "model.cell=gru train.optimizer.kind=adamw train.precision=f32-fast checkpoint.every=8",
    "model.cell=lstm model.dropout_kind=variational model.encoder.layers=2 model.encoder.dropout=0.3 model.decoder.input_feeding=true train.ema=0.9 train.word_dropout=0.1 checkpoint.every=6",
    "model.cell=gru train.ema=0.99 train.freeze=['bridge.*'] train.optimizer.groups=[{match='encoder.*',lr_scale=0.5}] valid.every=15 checkpoint.keep_best=3",
];

const BASE: &str = r#"
version = 1
seed = 7
[data]
train = "train.tsv"
dev = "dev.tsv"
[data.src]
level = "word"
[data.tgt]
level = "word"
[model]
emb = 12
hidden = 16
dropout = 0.1
[train]
epochs = 4
label_smoothing = 0.1
batch = { tokens = 200, max_sentences = 16 }
log_every = 5
[train.optimizer]
lr = 0.01
[valid]
every = 20
[checkpoint]
every = 10
keep_last = 2
"#;

struct Trainer {
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Trainer {
    fn command(&self, setting: &str, run: &str, threads: usize) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["train", "-q", "-c"]).arg(self.folder.path().join("config.toml"));
        command.arg("--run").arg(self.folder.path().join(run)).arg(format!("--threads={threads}"));
        for pair in setting.split_whitespace() {
            command.args(["--set", pair]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end and returns how long it took.
    fn finish(&self, setting: &str, run: &str, threads: usize) -> Duration {
        let start = Instant::now();
        let output = self.command(setting, run, threads).output().expect("the trainer starts");
        assert!(output.status.success(), "{run} [{setting}]: {}", String::from_utf8_lossy(&output.stderr));
        start.elapsed()
    }

    /// Starts, kills after `delay`; true if the kill came before the end.
    fn kill_after(&self, setting: &str, run: &str, threads: usize, delay: Duration) -> bool {
        let mut child = self.command(setting, run, threads).spawn().expect("the trainer starts");
        std::thread::sleep(delay);
        child.kill().expect("SIGKILL is sent");
        !child.wait().expect("the child is reaped").success()
    }

    /// Every file that must not depend on interruptions: the last checkpoint and the metric log.
    fn state(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let run = self.folder.path().join(run);
        let last = std::fs::read_to_string(run.join("checkpoints/last")).expect("there is a last checkpoint");
        let folder = run.join("checkpoints").join(last.trim());
        let mut files: BTreeMap<_, _> = read_files(&folder).into_iter().collect();
        files.insert(
            "metrics.tsv".into(),
            std::fs::read(run.join("metrics.tsv")).expect("there is a metric log"),
        );
        files
    }
}

fn read_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the checkpoint folder is readable");
    let paths = entries.map(|entry| entry.expect("the entry is readable").path());
    paths
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap()))
        .collect()
}

#[test]
fn a_killed_and_resumed_run_ends_in_the_same_bits() {
    let binary = std::env::var_os("SEQWEAVE_BIN")
        .expect("SEQWEAVE_BIN names the binary: run `cargo xtask test resume`");
    let trials: u64 =
        std::env::var("SEQWEAVE_RESUME_TRIALS").map_or(20, |n| n.parse().expect("a number of trials"));
    let trainer = Trainer { binary: binary.into(), folder: tempfile::tempdir().unwrap() };
    std::fs::write(trainer.folder.path().join("config.toml"), BASE).unwrap();
    Toy::reverse().write_tsv(trainer.folder.path().join("train.tsv"), 240, 1).unwrap();
    Toy::reverse().write_tsv(trainer.folder.path().join("dev.tsv"), 20, 2).unwrap();

    let mut undisturbed = HashMap::new();
    let (mut kills, mut unlike) = (0, Vec::new());
    let mut rng = SplitMix64::new(0x5eed);
    for trial in 0..trials {
        let setting = SETTINGS[trial as usize % SETTINGS.len()];
        let (want, duration) = undisturbed.entry(setting).or_insert_with(|| {
            let duration = trainer.finish(setting, &format!("whole-{trial}"), 2);
            (trainer.state(&format!("whole-{trial}")), duration)
        });
        let run = format!("killed-{trial}");
        for _ in 0..1 + rng.below(3) {
            let delay = duration.mul_f64(rng.uniform());
            kills += u64::from(trainer.kill_after(setting, &run, 1 + rng.below(3), delay));
        }
        trainer.finish(setting, &run, 1 + rng.below(3));
        let got = trainer.state(&run);
        if got != *want {
            let differ = |name: &&String| got.get(*name) != want.get(*name);
            unlike.push((
                trial,
                setting,
                want.keys().chain(got.keys()).filter(differ).cloned().collect::<Vec<_>>(),
            ));
        }
        std::fs::remove_dir_all(trainer.folder.path().join(&run)).unwrap();
    }
    println!("{trials} trials, {kills} kills before the end, {} final states unlike", unlike.len());
    assert!(
        kills >= trials / 2,
        "only {kills} of the kills came before the end: the test has lost its teeth"
    );
    assert!(unlike.is_empty(), "final states differ: {unlike:#?}");
}
