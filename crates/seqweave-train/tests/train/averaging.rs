//! The moving average of the weights is the model; what is trained stays beside it.

use seqweave::ModelFolder;
use seqweave_tensor::Device;
use seqweave_train::Outcome;
use seqweave_train::checkpoint::{self, Checkpoint};

use crate::task::{Task, newest};

fn weights(checkpoint: &Checkpoint) -> Vec<f32> {
    ModelFolder::from_sealed(&checkpoint.files, &Device::cpu()).unwrap().params.values().to_vec()
}

#[test]
fn the_model_is_the_mean_and_the_mean_changes_no_step() {
    let task = Task::small();
    task.train("train.max_steps = 2", "base");
    let began = weights(&newest(&task.path("base")));
    let settings = format!(
        "train.init_from = '{}'\ntrain.max_steps = 8\ncheckpoint.every = 1\ncheckpoint.keep_last = 9\nmodel.dropout = 0.2",
        task.path("base").display()
    );
    task.train(&settings, "plain");
    task.train(&format!("{settings}\ntrain.ema = 0.5"), "mean");
    let at = |run: &str, step: u64| {
        let folder = checkpoint::checkpoints_folder(&task.path(run)).join(checkpoint::folder_name(step));
        checkpoint::load(&seqweave::store::Disk, &folder).unwrap()
    };
    let mut want: Vec<f64> = began.iter().map(|&w| f64::from(w)).collect();
    for step in 1..=8 {
        let (plain, mean) = (at("plain", step), at("mean", step));
        assert_eq!(plain.state.trained, None);
        assert_eq!(
            mean.state.trained.as_ref(),
            Some(&weights(&plain)),
            "step {step}: other weights were trained"
        );
        let t = step as f64;
        let share = 1.0 - f64::min(0.5, (1.0 + t) / (10.0 + t));
        want.iter_mut().zip(weights(&plain)).for_each(|(mean, w)| *mean += share * (f64::from(w) - *mean));
        for (got, want) in weights(&mean).into_iter().zip(&want) {
            assert!((f64::from(got) - want).abs() < 1e-6, "step {step}: {got} for {want}");
        }
    }
    // What is validated is the mean: the scores differ, although the training is the same.
    let row = |run: &str| newest(&task.path(run)).state.metrics.rows.last().unwrap().values.clone();
    assert_eq!(row("plain")[..3], row("mean")[..3]);
    assert_ne!(row("plain")[3..], row("mean")[3..]);
}

#[test]
fn training_stops_when_the_metric_of_choice_gets_no_better_in_its_own_direction() {
    // (metric, column of the table, whether more is better)
    for (metric, higher) in [("ppl", false), ("token_acc", true)] {
        let task = Task::small();
        let settings = format!(
            "train.epochs = 60\ntrain.optimizer.lr = 0.1\nvalid.every = 4\nvalid.patience = 3\nvalid.best_by = {metric}"
        );
        let (outcome, _) = task.train(&settings, "run");
        assert_eq!(outcome, Outcome::StoppedEarly, "{metric}");
        let state = newest(&task.path("run")).state;
        let column = state.metrics.columns.iter().position(|name| name == metric).unwrap();
        let values: Vec<f64> = state.metrics.rows.iter().map(|row| row.values[column].unwrap()).collect();
        let better = |a: f64, b: f64| if higher { a > b } else { a < b };
        let mut best = 0;
        for (at, &value) in values.iter().enumerate() {
            if better(value, values[best]) {
                best = at;
            }
            assert_eq!(at - best == 3, at + 1 == values.len(), "{metric}: {values:?}");
        }
        assert_eq!(state.best.unwrap().score, values[best]);
        // The other direction would have stopped elsewhere, so this looked at the direction.
        assert!(values.len() > 4, "{metric}: {values:?}");
    }
}
