//! The models of these tests: one that is trained once and shared, and a tiny one that trains in a moment.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::OnceLock;

use seqweave_testkit::Toy;

use crate::dir::{Dir, Ran};

/// What `seqweave init` and `seqweave train` have made, as the README says.
pub struct Trained {
    pub dir: Dir,
    pub init: Ran,
    pub train: Ran,
    /// Holds off other processes that run these tests, until this one ends.
    _lock: File,
}

impl Trained {
    /// The run folder.
    pub fn run(&self) -> PathBuf {
        self.dir.join("demo/runs/toy-reverse")
    }

    /// The checkpoint that `best` names.
    pub fn best(&self) -> PathBuf {
        let checkpoints = self.run().join("checkpoints");
        let name = fs::read_to_string(checkpoints.join("best")).expect("there is a best checkpoint");
        checkpoints.join(name.trim())
    }

    /// A fresh folder in which `run` leads to the run folder and `test.tsv` to the test pairs.
    pub fn fresh(&self) -> Dir {
        let dir = Dir::new();
        symlink(self.run(), dir.join("run")).expect("the link can be made");
        symlink(self.dir.join("demo/data/test.tsv"), dir.join("test.tsv")).expect("the link can be made");
        dir
    }

    /// The sources of the first lines of a file of `demo/data`, one a line.
    pub fn sources(&self, file: &str, count: usize) -> Vec<String> {
        let text = self.dir.text(format!("demo/data/{file}.tsv"));
        text.lines().take(count).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }
}

/// The shared model: the preset of `seqweave init`, with so few steps that it still makes mistakes, which tell more.
pub fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        // Statics are never dropped, so this folder has a fixed place and is made anew each time.
        let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let lock = File::create(base.join("e2e-trained.lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be taken");
        let root = base.join("e2e-trained");
        if root.exists() {
            fs::remove_dir_all(&root).expect("the folder of an earlier run can be removed");
        }
        fs::create_dir_all(&root).expect("the folder can be made");
        let dir = Dir::at(root.canonicalize().expect("it is there"));
        let init = dir.seqweave("init demo").run().good();
        let train =
            "train -c demo/config.toml --set train.max_steps=250 --set valid.every=125 --set valid.beam=2";
        let train = dir.seqweave(train).run().good();
        Trained { dir, init, train, _lock: lock }
    })
}

/// Writes `config.toml`, `train.tsv` and `dev.tsv` of a model that trains in well under a second.
pub fn tiny(dir: &Dir) {
    let toy = Toy { spaced: true, ..Toy::reverse() };
    dir.create("train.tsv", toy.tsv(240, 1));
    dir.create("dev.tsv", toy.tsv(20, 2));
    dir.create("config.toml", TINY);
}

/// The checkpoints come at steps 10, 20, … 60.
const TINY: &str = r#"name = "tiny"
seed = 7

[data]
train = "train.tsv"
dev = "dev.tsv"

[model]
emb = 8
hidden = 8
dropout = 0.1

[train]
epochs = 0
max_steps = 60
log_every = 5
batch.tokens = 200

[train.optimizer]
lr = 0.01

[valid]
every = 20

[checkpoint]
every = 10
keep_last = 3
"#;
