//! Which checkpoints a run keeps, and which are chosen of it.

use std::path::PathBuf;

use seqweave::{Error as StoreError, ModelFolder, average};
use seqweave_metrics::Metric;
use seqweave_tensor::Device;
use seqweave_train::Error;
use seqweave_train::checkpoint::{checkpoints_folder, folder_name};
use seqweave_train::choice::{Choice, choose, ranked};

use crate::task::{Task, damage, newest};

const MANY: &str =
    "train.max_steps = 24\nvalid.every = 3\ncheckpoint.keep_last = 2\ncheckpoint.keep_best = 4";

#[test]
fn the_best_are_kept_and_chosen_best_first() {
    let task = Task::small();
    let run = task.path("run");
    // A rate at which the scores go up and down, so that the best are not the last.
    task.train(&format!("{MANY}\ntrain.optimizer.lr = 0.3\nvalid.best_by = token_acc"), "run");
    let table = newest(&run).state.metrics;
    let best = ranked(&table, Metric::TokenAcc);
    assert_eq!(best.len(), 8);
    let folder = |step: &u64| checkpoints_folder(&run).join(folder_name(*step));
    let want: Vec<PathBuf> = best[..4].iter().map(folder).collect();
    assert_eq!(choose(&run, Choice::Best(4)).unwrap(), want);
    assert_eq!(choose(&run, Choice::Last(2)).unwrap(), [folder(&24), folder(&21)]);
    assert_ne!(want[..2], [folder(&24), folder(&21)], "the best of this run are its last: it shows nothing");
    let kept: std::collections::BTreeSet<PathBuf> =
        want.into_iter().chain([folder(&21), folder(&24)]).collect();
    let there = std::fs::read_dir(checkpoints_folder(&run)).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(there.filter(|path| path.is_dir()).collect::<std::collections::BTreeSet<_>>(), kept);

    let mean = average(&choose(&run, Choice::Best(4)).unwrap(), &Device::cpu()).unwrap();
    let one = ModelFolder::open(&run, &Device::cpu()).unwrap();
    assert_eq!(mean.params.numel(), one.params.numel());
    assert_ne!(mean.params.values().to_vec(), one.params.values().to_vec());
    assert_eq!(mean.generation, one.generation);
}

#[test]
fn a_choice_of_more_than_there_are_is_refused_and_damage_is_passed_over() {
    let task = Task::small();
    let run = task.path("run");
    task.train(MANY, "run");
    let error = choose(&run, Choice::Last(9)).unwrap_err();
    assert!(matches!(error, Error::TooFewCheckpoints { wanted: 9, .. }), "{error}");
    let error = choose(&run, Choice::Best(5)).unwrap_err().to_string();
    assert!(error.contains("4 checkpoints with a validation, expected 5"), "{error}");
    damage(&run, 24, "model.safetensors");
    let chosen = choose(&run, Choice::Last(2)).unwrap();
    assert!(chosen.iter().all(|folder| !folder.ends_with("step-00000024")), "{chosen:?}");
    let error = average(&chosen[..1], &Device::cpu()).err().unwrap();
    assert!(matches!(error, StoreError::TooFewModels { found: 1 }), "{error}");
}
