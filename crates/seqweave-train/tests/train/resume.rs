//! A run that is stopped and started again is the run that was not.

use std::path::Path;

use seqweave::ModelFolder;
use seqweave::store::Disk;
use seqweave_tensor::Device;
use seqweave_train::checkpoint::{self, Pointer};
use seqweave_train::{Error, Event, Outcome};

use crate::task::{Task, assert_same_state, damage, finish, newest, open, refusal, state};

/// Settings in which every part of the state matters: dropout, accumulation, a plateau that is reached, a cut epoch.
const EVERYTHING: &str = "
    model.dropout = 0.2
    train.max_steps = 33
    train.epochs = 0
    train.accumulate = 2
    train.schedule.kind = plateau
    train.schedule.patience = 1
    train.schedule.warmup = 5
    train.optimizer.kind = adamw
    train.optimizer.weight_decay = 0.01
    valid.every = 4
    valid.metrics = ['acc', 'ppl']
    valid.best_by = acc
    checkpoint.every = 5
";

/// Pieces that are cut anew in each epoch, of which there are several.
const PIECES: &str = "
    train.max_steps = 33
    train.epochs = 0
    data.src.level = bpe
    data.src.max_vocab = 50
    data.src.dropout = 0.3
    data.tgt.level = unigram
    data.tgt.max_vocab = 50
    data.tgt.sampling.alpha = 0.3
";

fn run_in(threads: usize, work: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work);
}

#[test]
fn interrupted_runs_end_in_the_same_bits_whatever_the_threads() {
    let others = [
        EVERYTHING.to_owned(),
        // Whatever else holds state or draws numbers: the mean of the weights, words, masks over time, groups.
        "model.dropout_kind = variational\nmodel.encoder.layers = 2\nmodel.encoder.dropout = 0.3\nmodel.decoder.input_feeding = true
         train.ema = 0.9\ntrain.word_dropout = 0.1\ntrain.freeze = ['bridge.*']\ntrain.accumulate = 2\nvalid.every = 3
         train.optimizer.groups = [{ match = 'encoder.*', lr_scale = 0.5 }]\ntrain.epochs = 7\ncheckpoint.keep_best = 2"
            .into(),
        "model.cell = gru\nmodel.decoder.input_feeding = true\ntrain.epochs = 3\ntrain.schedule.kind = cosine".into(),
        "model.cell = rnn\ntrain.optimizer.kind = sgd\ntrain.optimizer.momentum = 0.9\ntrain.epochs = 3\nvalid.every = 7"
            .into(),
        PIECES.into(),
    ];
    for settings in others {
        let task = Task::small();
        run_in(2, || assert_eq!(task.train(&settings, "whole").0, Outcome::Completed));
        for (starts, step) in [1, 2, 7, 12, 16, 20].into_iter().enumerate() {
            run_in(1 + starts % 3, || {
                let outcome = task.train_until(&settings, "stopped", step);
                assert_eq!(outcome, Outcome::Interrupted, "step {step} of {settings}");
                assert_eq!(newest(&task.path("stopped")).state.step, step);
            });
        }
        run_in(3, || assert_eq!(task.train(&settings, "stopped").0, Outcome::Completed));
        // Which checkpoints are kept depends on where the run was stopped; the last one and the history do not.
        let last = |run: &str| newest(&task.path(run));
        let (whole, stopped) = (last("whole"), last("stopped"));
        assert_eq!(whole.state, stopped.state, "{settings}");
        assert!(settings != EVERYTHING || whole.state.schedule.reductions > 1, "{:?}", whole.state.schedule);
        assert!(
            whole
                .files
                .names()
                .all(|name| whole.files.file(name).unwrap() == stopped.files.file(name).unwrap())
        );
        assert_eq!(state(&task.path("whole"))["metrics.tsv"], state(&task.path("stopped"))["metrics.tsv"]);
        for pointer in [Pointer::Best, Pointer::Last] {
            let of = |run: &str| checkpoint::pointer(&Disk, &task.path(run), pointer).unwrap();
            assert_eq!(of("whole"), of("stopped"), "{pointer:?}");
        }
    }
}

#[test]
fn a_run_that_is_complete_stays_as_it_is() {
    let task = Task::small();
    let run = task.path("run");
    task.train("train.epochs = 2", "run");
    let before = state(&run);
    let (outcome, events) = task.train("train.epochs = 2", "run");
    assert_eq!(outcome, Outcome::Completed);
    let names: Vec<&str> = events.iter().map(name).collect();
    assert_eq!(names, ["started", "resumed", "finished"]);
    assert_eq!(state(&run), before);
    // A larger limit goes on from there.
    assert_eq!(task.train("train.epochs = 3", "run").0, Outcome::Completed);
    assert!(newest(&run).state.step > 20, "{}", newest(&run).state.step);
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Started(_) => "started",
        Event::Resumed { .. } => "resumed",
        Event::Step(_) => "step",
        Event::Validated(_) => "validated",
        Event::Saved { .. } => "saved",
        Event::Finished { .. } => "finished",
        _ => "another",
    }
}

#[test]
fn other_settings_or_other_data_are_refused_and_named() {
    let task = Task::small();
    let run = task.path("run");
    let base = "train.max_steps = 3";
    task.train(base, "run");
    let before = state(&run);

    let error = refusal(task.open(&format!("{base}\ntrain.optimizer.lr = 0.02\nmodel.cell = gru"), "run"));
    assert!(matches!(&error, Error::OtherRun { what: "settings", .. }), "{error}");
    let message = error.to_string();
    for part in [
        "step-00000003",
        "train.optimizer.lr = 0.01",
        "train.optimizer.lr = 0.02",
        "model.cell = \"gru\"",
        "--overwrite",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(!message.contains("seed"), "{message}");

    // Without the old configuration there are only the fingerprints to show.
    let kept = std::fs::read(run.join("config.toml")).unwrap();
    std::fs::remove_file(run.join("config.toml")).unwrap();
    let error = refusal(task.open(&format!("{base}\nseed = 8"), "run"));
    assert!(
        matches!(&error, Error::OtherRun { what: "settings", found, .. } if found.len() == 64),
        "{error}"
    );
    std::fs::write(run.join("config.toml"), kept).unwrap();

    for (file, text) in [("train.tsv", "ab\tba\n"), ("dev.tsv", "ab\tba\n")] {
        let path = task.path(file);
        let data = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{data}{text}")).unwrap();
        let error = refusal(task.open(base, "run"));
        assert!(matches!(&error, Error::OtherRun { what: "training data", .. }), "{file}: {error}");
        std::fs::write(&path, data).unwrap();
    }
    // Another alphabet in the same places gives the same ids; the tokens are what differs.
    let path = task.path("train.tsv");
    let data = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, data.replace('a', "z")).unwrap();
    assert!(matches!(refusal(task.open(base, "run")), Error::OtherRun { what: "training data", .. }));
    std::fs::write(&path, data).unwrap();

    assert_eq!(state(&run), before, "a refusal changes nothing");
    task.open(base, "run").unwrap();
}

#[test]
fn starting_over_removes_the_earlier_run_but_not_for_a_mistake() {
    let task = Task::small();
    let run = task.path("run");
    task.train("train.max_steps = 6\nvalid.every = 3\nseed = 1", "run");
    let before = state(&run);

    let config = task.config("data.train = missing.tsv");
    assert!(matches!(refusal(open(config, &run, true)), Error::Data(_)));
    assert_eq!(state(&run), before, "the checkpoints went before the data was read");

    let mut trainer = open(task.config("train.max_steps = 2\nseed = 2"), &run, true).unwrap();
    let (_, events) = finish(&mut trainer);
    assert!(!events.iter().any(|event| matches!(event, Event::Resumed { .. })));
    task.train("train.max_steps = 2\nseed = 2", "fresh");
    assert_same_state(&run, &task.path("fresh"), "a run that started over");
    let samples = std::fs::read_dir(run.join("samples")).unwrap().count();
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert_eq!((samples, log.matches("\"started\"").count()), (1, 1), "{log}");
}

#[test]
fn from_a_damaged_checkpoint_the_run_goes_back_to_the_one_before() {
    let task = Task::small();
    let settings = "train.max_steps = 20\ncheckpoint.every = 5\nvalid.every = 10";
    task.train(settings, "whole");
    task.train_until(settings, "run", 10);
    let run = task.path("run");
    damage(&run, 10, "model.safetensors");
    let mut trainer = task.open(settings, "run").unwrap();
    // Nobody translates with the damaged one in the meantime: it was the best.
    let best = checkpoint::pointer(&Disk, &run, Pointer::Best).unwrap();
    assert_eq!(best, None);
    ModelFolder::open(&run, &Device::cpu()).unwrap();

    let (outcome, events) = finish(&mut trainer);
    assert_eq!(outcome, Outcome::Completed);
    let Some(Event::Resumed { step: 5, refused }) = events.get(1) else { panic!("{:?}", events.get(1)) };
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("step-00000010/model.safetensors is damaged"), "{refused:?}");
    let damaged = run.join("checkpoints/step-00000010.damaged");
    assert!(damaged.is_dir(), "what cannot be read is not removed");
    std::fs::remove_dir_all(damaged).unwrap();
    assert_same_state(&run, &task.path("whole"), "a run that went back");
}

#[test]
fn without_a_good_checkpoint_the_run_says_so_and_touches_nothing() {
    let task = Task::small();
    let settings = "train.max_steps = 4\ncheckpoint.every = 2";
    task.train(settings, "run");
    let run = task.path("run");
    damage(&run, 2, "state.bin");
    damage(&run, 4, "MANIFEST");
    let before = state(&run);
    let error = refusal(task.open(settings, "run"));
    let Error::NoGoodCheckpoint { refused, .. } = &error else { panic!("{error}") };
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        error.to_string().contains("step-00000002/state.bin") && error.to_string().contains("--overwrite"),
        "{error}"
    );
    assert_eq!(state(&run), before);
    let (outcome, _) = finish(&mut open(task.config(settings), &run, true).unwrap());
    assert_eq!(outcome, Outcome::Completed);
}

#[test]
fn a_kill_between_a_save_and_its_pointers_leaves_no_trace() {
    let task = Task::small();
    let settings = "train.max_steps = 12\nvalid.every = 4";
    task.train(settings, "whole");
    task.train_until(settings, "run", 8);
    let run = task.path("run");
    // As if the process had ended right after the folder of step 8 went live.
    for name in ["best", "last"] {
        std::fs::write(run.join("checkpoints").join(name), "step-00000004\n").unwrap();
    }
    let state = newest(&run).state;
    assert_eq!(
        (state.step, state.best.map(|best| best.step)),
        (8, Some(8)),
        "the toy run improves at step 8"
    );
    drop(task.open(settings, "run").unwrap());
    for pointer in [Pointer::Best, Pointer::Last] {
        let name = checkpoint::pointer(&Disk, &run, pointer).unwrap();
        assert_eq!(name.as_deref(), Some("step-00000008"), "{pointer:?}");
    }
    task.train(settings, "run");
    assert_same_state(&run, &task.path("whole"), "a run killed between a save and its pointers");
}

#[test]
fn a_kill_before_the_last_pruning_leaves_no_checkpoint_too_many() {
    let task = Task::small();
    let settings = "train.max_steps = 12\ncheckpoint.every = 3\nvalid.every = 12\ncheckpoint.keep_last = 2";
    task.train(settings, "run");
    let checkpoints = task.path("run/checkpoints");
    let before = state(&task.path("run"));
    // As if the process had ended right after the checkpoint of step 12 went live, with that of step 6 still there.
    let (oldest, gone) = (checkpoints.join("step-00000009"), checkpoints.join("step-00000006"));
    assert!(oldest.is_dir() && !gone.exists());
    std::fs::create_dir(&gone).unwrap();
    for file in std::fs::read_dir(&oldest).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), gone.join(file.file_name())).unwrap();
    }
    task.train(settings, "run");
    assert!(!gone.exists(), "it stays for good");
    assert_eq!(state(&task.path("run")), before);
}

#[test]
fn how_to_decode_may_be_changed_between_two_starts() {
    let task = Task::small();
    task.train("train.max_steps = 2\ndecode.beam = 2", "run");
    task.train("train.max_steps = 4\ndecode.beam = 3", "run");
    let beam = |dir: &Path| ModelFolder::open(dir, &Device::cpu()).unwrap().generation.beam;
    assert_eq!(beam(&newest(&task.path("run")).folder), 3);
}

#[test]
fn a_position_that_the_data_do_not_have_is_refused() {
    let task = Task::small();
    task.train_until("", "run", 3);
    let run = task.path("run");
    let mut found = newest(&run);
    let sound = found.state.next_batch;
    let names: Vec<String> = found.files.names().map(str::to_owned).collect();
    for next_batch in [1000, u64::MAX, sound] {
        found.state.next_batch = next_batch;
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (&name[..], found.files.file(name).unwrap())).collect();
        checkpoint::save(&Disk, &run, &found.state, &files).unwrap();
        if next_batch != sound {
            let error = refusal(task.open("", "run"));
            let is_named = matches!(error, Error::Data(seqweave_data::Error::Position { epoch: 0, .. }));
            assert!(is_named, "{next_batch}: {error}");
        }
    }
    task.open("", "run").unwrap();
}
