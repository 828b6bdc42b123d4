//! Numbers that are not finite: the step is skipped, the tensor is named, no bit of the weights changes, and after so many
//! in a row the run ends with a checkpoint that can be used.

use std::path::Path;

use seqweave::store::{self, Disk, NamedTensor};
use seqweave::{ModelFolder, Translator};
use seqweave_tensor::Device;
use seqweave_train::checkpoint;
use seqweave_train::{Event, Outcome};

use crate::task::{Task, newest};

/// Changes the weights of the newest checkpoint of a run, which is sealed anew.
fn plant(run: &Path, change: impl Fn(&mut NamedTensor)) {
    let found = newest(run);
    let mut tensors = store::weights_from_bytes(found.files.file("model.safetensors").unwrap()).unwrap();
    tensors.iter_mut().for_each(change);
    let weights = store::weights_to_bytes(&tensors).unwrap();
    let files: Vec<(&str, &[u8])> = found
        .files
        .names()
        .map(|name| {
            (name, if name == "model.safetensors" { &weights[..] } else { found.files.file(name).unwrap() })
        })
        .collect();
    checkpoint::save(&Disk, run, &found.state, &files).unwrap();
}

fn scale(tensor: &mut NamedTensor, factor: f32) {
    tensor.data.iter_mut().for_each(|x| *x *= factor);
}

/// Whether this is what the embeddings of a side are multiplied with.
fn is_input_weight(name: &str, side: &str) -> bool {
    name.starts_with(side) && name.ends_with("weight_ih")
}

/// The weights of the newest checkpoint, as bits.
fn weights(run: &Path) -> Vec<u32> {
    let folder = ModelFolder::from_sealed(&newest(run).files, &Device::cpu()).unwrap();
    folder.params.values().to_vec().into_iter().map(f32::to_bits).collect()
}

/// The tensors and counts of the skipped steps.
fn skipped(events: &[Event]) -> Vec<(String, u64)> {
    let skipped = events.iter().filter_map(|event| match event {
        Event::Skipped { tensor, in_a_row, .. } => Some((tensor.clone(), *in_a_row)),
        _ => None,
    });
    skipped.collect()
}

const SETTINGS: &str = "
    train.max_steps = 40
    train.max_bad_steps = 3
    checkpoint.every = 4
    model.dropout = 0
";

#[test]
fn a_loss_beyond_all_numbers_ends_the_run_with_the_weights_untouched() {
    let task = Task::small();
    task.train_until(SETTINGS, "run", 4);
    let run = task.path("run");
    let largest = |tensor: &mut NamedTensor| tensor.data.iter_mut().for_each(|x| *x = 3e38_f32.copysign(*x));
    plant(&run, largest);
    let before = weights(&run);
    let (outcome, events) = task.train(SETTINGS, "run");
    assert_eq!(outcome, Outcome::Diverged);
    assert_eq!(skipped(&events), [("loss".to_owned(), 1), ("loss".to_owned(), 2), ("loss".to_owned(), 3)]);
    assert_eq!(newest(&run).state.step, 7);
    assert_eq!(weights(&run), before, "a skipped step changed a weight");
    assert_eq!(newest(&run).state.optimizer.step, 4, "a skipped step counted for the optimizer");
    // What was good before is still there, and what is there opens.
    let good = checkpoint::checkpoints_folder(&run).join(checkpoint::folder_name(4));
    Translator::from_dir(good).unwrap();
    Translator::from_dir(&run).unwrap();
    // Started again without a change, the run notices at once.
    let (outcome, events) = task.train(SETTINGS, "run");
    assert_eq!((outcome, skipped(&events).len()), (Outcome::Diverged, 1));
}

#[test]
fn a_gradient_beyond_all_numbers_is_named_by_its_parameter() {
    let task = Task::small();
    task.train_until(SETTINGS, "run", 4);
    let run = task.path("run");
    // The loss is large but finite. Large embeddings under small weights give ordinary gates, so what flows back is large
    // as well, and overflows when it meets the embeddings.
    plant(&run, |tensor| match tensor.name.as_str() {
        "output.weight" => scale(tensor, 1e34),
        "decoder.embedding.weight" => scale(tensor, 1e8),
        name if is_input_weight(name, "decoder") => scale(tensor, 1e-8),
        _ => {}
    });
    let before = weights(&run);
    let (outcome, events) = task.train(SETTINGS, "run");
    assert_eq!(outcome, Outcome::Diverged);
    let skipped = skipped(&events);
    assert_eq!(skipped.len(), 3);
    for (tensor, _) in skipped {
        let name = tensor.strip_prefix("the gradient of ").unwrap_or_else(|| panic!("{tensor}"));
        assert!(is_input_weight(name, "decoder"), "{tensor}");
    }
    assert_eq!(weights(&run), before);
}

#[test]
fn one_bad_step_is_left_out_and_the_run_goes_on() {
    let task = Task::small();
    // One sentence has a token of its own, whose embedding makes the gradient overflow as above, and only there.
    let path = task.path("train.tsv");
    let data = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{data}zz\tab\n")).unwrap();
    // The rate is so small that the weights stay what they were planted as.
    let settings =
        SETTINGS.replace("max_steps = 40", "max_steps = 0\ntrain.epochs = 4\ntrain.optimizer.lr = 1e-38");
    task.train_until(&settings, "run", 1);
    let run = task.path("run");
    let row = ModelFolder::open(&newest(&run).folder, &Device::cpu()).unwrap().source.vocab.id("z") as usize;
    plant(&run, |tensor| match tensor.name.as_str() {
        "output.weight" => scale(tensor, 1e8),
        "encoder.embedding.weight" => {
            let width = tensor.shape[1];
            tensor.data[row * width..(row + 1) * width].iter_mut().for_each(|x| *x *= 1e37);
        }
        name if is_input_weight(name, "encoder") => scale(tensor, 1e-37),
        _ => {}
    });
    let (outcome, events) = task.train(&settings, "run");
    assert_eq!(outcome, Outcome::Completed);
    // Once in each of the four epochs, unless the first step had the sentence.
    let skipped = skipped(&events);
    assert!((3..=4).contains(&skipped.len()), "{skipped:?}");
    assert!(skipped.iter().all(|(_, in_a_row)| *in_a_row == 1), "{skipped:?}");
    let state = newest(&run).state;
    assert_eq!((state.bad_steps, state.optimizer.step), (0, state.step - skipped.len() as u64));
}

/// The messages of the warnings.
fn warnings(events: &[Event]) -> Vec<&str> {
    let warnings = events.iter().filter_map(|event| match event {
        Event::Warning { message } => Some(message.as_str()),
        _ => None,
    });
    warnings.collect()
}

#[test]
fn a_validation_that_meets_a_broken_model_is_a_warning_and_no_score() {
    let task = Task::small();
    let settings = "
        train.max_steps = 40
        train.max_bad_steps = 3
        valid.every = 2
        valid.metrics = ['ppl', 'acc']
    ";
    task.train_until(settings, "run", 4);
    let run = task.path("run");
    let best = newest(&run).state.best;
    plant(&run, |tensor| tensor.data.iter_mut().for_each(|x| *x = 3e38_f32.copysign(*x)));
    let (outcome, events) = task.train(settings, "run");
    assert_eq!(outcome, Outcome::Diverged);
    let warnings = warnings(&events);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("validation at step 6: the model gave NaN"),
        "{warnings:?}"
    );
    let state = newest(&run).state;
    assert_eq!((state.step, state.best, state.bad_validations), (7, best, 1));
    let row = state.metrics.rows.last().unwrap();
    assert_eq!((row.step, &row.values[3..]), (6, &[None, None, Some(0.0)][..]));
}

#[test]
fn weights_that_are_not_finite_are_never_saved_and_the_last_good_ones_stay() {
    let task = Task::small();
    let settings = "
        train.optimizer.kind = sgd
        train.optimizer.lr = 1000
        train.optimizer.weight_decay = 1
        train.optimizer.decay_exclude = []
        train.max_steps = 40
        train.max_bad_steps = 3
        train.clip = 0
        checkpoint.every = 2
    ";
    task.train_until(settings, "run", 1);
    let run = task.path("run");
    // All tokens alike, so the loss is an ordinary one; but the pull to zero times this rate is beyond all numbers.
    plant(&run, |tensor| {
        let value = if tensor.name == "output.bias" { 3e38 } else { 0.0 };
        tensor.data.fill(value);
    });
    let before = weights(&run);
    let (outcome, events) = task.train(settings, "run");
    assert_eq!(outcome, Outcome::Diverged);
    assert_eq!(skipped(&events).len(), 3);
    let warnings = warnings(&events);
    assert!(warnings[0].starts_with("no checkpoint of step 2: "), "{warnings:?}");
    assert!(warnings.iter().all(|message| message.contains("output.bias")), "{warnings:?}");
    assert_eq!((newest(&run).state.step, weights(&run)), (1, before));
    Translator::from_dir(&run).unwrap();
}
