//! The trainer learns what can be learned.

use seqweave_testkit::Toy;
use seqweave_train::{Event, Outcome, Validation};

use crate::task::Task;

/// The scores of the last validation.
fn last(events: &[Event]) -> &Validation {
    let is_validation = |event: &&Event| matches!(event, Event::Validated(_));
    let Some(Event::Validated(validation)) = events.iter().rfind(is_validation) else { panic!("{events:?}") };
    validation
}

#[test]
fn copying_and_reversing_are_learned_from_the_config_alone() {
    for toy in [Toy::copy(), Toy::reverse()] {
        let task = Task::new(&toy, 1500, 100);
        let settings = "
            model.emb = 24
            model.hidden = 48
            model.dropout = 0
            train.epochs = 10
            train.batch.tokens = 500
            train.label_smoothing = 0
            train.optimizer.lr = 0.02
            train.schedule.kind = cosine
            train.schedule.warmup = 10
            train.log_every = 100
            valid.metrics = ['acc', 'per', 'ppl', 'token_acc', 'seq_acc']
            valid.best_by = acc
        ";
        let (outcome, events) = task.train(settings, "run");
        let validation = last(&events);
        println!("{:?}: {:?}", toy.task, validation.scores);
        assert_eq!(outcome, Outcome::Completed);
        for (metric, score) in &validation.scores {
            let (least, most) = match metric.as_str() {
                "acc" | "seq_acc" => (95.0, 100.0),
                "token_acc" => (98.0, 100.0),
                "ppl" => (1.0, 1.1),
                _ => (0.0, 100.0), // A `per` of characters without spaces counts whole words.
            };
            assert!((least..=most).contains(score), "{:?}: {metric} is {score}", toy.task);
        }
        // The folder of the run is a model: it opens and answers.
        let translator = seqweave::Translator::from_dir(task.path("run")).unwrap();
        let answers = translator.translate(&["abcd"], &translator.defaults()).unwrap();
        let expected = if toy.task == seqweave_testkit::ToyTask::Copy { "abcd" } else { "dcba" };
        assert_eq!(answers[0].text(), expected);
    }
}
