//! Training from shards is training from text, bit for bit; a run may change from one to the other.

use seqweave_data::prepare_shards;
use seqweave_testkit::Toy;

use crate::task::{Task, assert_same_state, refusal};

#[test]
fn weights_are_those_of_the_text() {
    let task = Task::new(&Toy::reverse(), 300, 10);
    let settings = "train.max_steps = 25\nvalid.every = 10\ncheckpoint.every = 9\ntrain.accumulate = 2\n\
                    data.filter.dedup = true\ndata.filter.drop_copies = true";
    task.train(settings, "text");
    let config = task.config(settings);
    prepare_shards(&config.data, &task.path("shards"), &mut |_| ()).unwrap();
    let shards = format!("{settings}\ndata.train = {{ shards = '{}' }}", task.path("shards").display());
    task.train(&shards, "sharded");
    assert_same_state(&task.path("sharded"), &task.path("text"), "all from shards");

    task.train_until(settings, "both", 12);
    task.train(&shards, "both");
    assert_same_state(&task.path("both"), &task.path("text"), "begun with text, ended with shards");
}

#[test]
fn weights_of_corpora_decide_what_an_epoch_shows_and_resume_exactly() {
    let task = Task::new(&Toy::reverse(), 120, 10);
    Toy::copy().write_tsv(task.path("more.tsv"), 80, 5).unwrap();
    let settings = |weight: f64| {
        let path = |name| task.path(name).display().to_string();
        format!(
            "train.epochs = 3\ntrain.max_steps = 0\n\
             data.train = [{{ path = '{}' }}, {{ path = '{}', weight = {weight} }}]",
            path("train.tsv"),
            path("more.tsv")
        )
    };
    task.train(&settings(2.5), "whole");
    task.train_until(&settings(2.5), "stopped", 17);
    task.train(&settings(2.5), "stopped");
    assert_same_state(&task.path("stopped"), &task.path("whole"), "stopped and resumed");
    let error = refusal(task.open(&settings(1.0), "whole")).to_string();
    assert!(error.contains("training data"), "{error}");
}
