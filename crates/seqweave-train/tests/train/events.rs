//! What a run reports: every event in its order, and the same figures in the events, the table and the checkpoint.

use seqweave_train::{Event, Outcome};

use crate::task::{Task, newest};

fn short(event: &Event) -> String {
    match event {
        Event::Started(_) => "started".into(),
        Event::Resumed { step, .. } => format!("resumed {step}"),
        Event::Step(report) => format!("step {}/{} epoch {}", report.step, report.total, report.epoch),
        Event::Validated(v) => format!("validated {} epoch {}", v.step, v.epoch),
        Event::Saved { path } => format!("saved {}", path.file_name().unwrap().to_string_lossy()),
        Event::Finished { outcome, step, .. } => format!("finished {outcome:?} {step}"),
        other => format!("{other:?}"),
    }
}

/// Three steps an epoch, so that epochs, intervals and the limit fall on different steps.
const SETTINGS: &str = "
    train.batch.tokens = 600
    train.max_steps = 7
    train.log_every = 2
    valid.metrics = ['ppl', 'acc', 'seq_acc']
    checkpoint.every = 4
";

#[test]
fn events_come_in_order_with_epochs_from_one() {
    let task = Task::small();
    let (_, events) = task.train(SETTINGS, "run");
    let Event::Started(started) = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((started.seed, started.total_steps, started.parameters > 1000), (7, 7, true));
    assert_eq!(started.model, "LSTM 1×12 bidirectional → LSTM 1×12, attention general");
    assert!(started.data[0].starts_with("kept 120 of 120 pairs"), "{:?}", started.data);
    let expected = [
        "started",
        "step 2/7 epoch 1",
        "validated 3 epoch 1",
        "saved step-00000003",
        "step 4/7 epoch 2",
        "saved step-00000004",
        "step 6/7 epoch 2",
        "validated 6 epoch 2",
        "saved step-00000006",
        "validated 7 epoch 3",
        "saved step-00000007",
        "finished Completed 7",
    ];
    assert_eq!(events.iter().map(short).collect::<Vec<_>>(), expected);

    // The log has the same events, one JSON object a line.
    let log = std::fs::read_to_string(task.path("run/log.jsonl")).unwrap();
    let names = log.lines().map(|line| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["time"].is_string(), "{line}");
        object["event"].as_str().unwrap().to_owned()
    });
    let expected: Vec<&str> = expected.iter().map(|event| event.split(' ').next().unwrap()).collect();
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn the_table_the_events_and_the_checkpoint_have_the_same_figures() {
    let task = Task::small();
    let (_, events) = task.train(SETTINGS, "run");
    let table = std::fs::read_to_string(task.path("run/metrics.tsv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("step\tepoch\tlr\ttrain_xent\ttrain_acc\tppl\tacc\tseq_acc\tbest"));

    let history = newest(&task.path("run")).state.metrics;
    let validations: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Validated(validation) = event { Some(validation) } else { None })
        .collect();
    assert_eq!((history.rows.len(), validations.len()), (3, 3));
    for ((line, row), validation) in lines.by_ref().zip(&history.rows).zip(validations) {
        let cells: Vec<f64> = line.split('\t').map(|cell| cell.parse().unwrap()).collect();
        let values: Vec<f64> = row.values.iter().map(|value| value.unwrap()).collect();
        assert_eq!(cells[..2], [row.step as f64, row.epoch as f64]);
        assert_eq!(cells[2..], values);
        assert_eq!((row.step, row.epoch), (validation.step, validation.epoch));
        let scores: Vec<f64> = validation.scores.iter().map(|(_, score)| *score).collect();
        assert_eq!(values[3..6], scores);
        assert_eq!(values[6] == 1.0, validation.best);
        assert!(
            (values[0] - 0.01).abs() < 1e-8 && values[1] > 0.0 && (0.0..=100.0).contains(&values[2]),
            "{line}"
        );
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn samples_are_shown_whatever_is_measured() {
    for metrics in ["['ppl']", "['ppl', 'wer']"] {
        let task = Task::small();
        let settings = format!("train.max_steps = 2\nvalid.metrics = {metrics}\nvalid.samples = 2");
        let (_, events) = task.train(&settings, "run");
        let samples =
            events.iter().find_map(|e| if let Event::Validated(v) = e { Some(&v.samples) } else { None });
        let samples = samples.expect("a validation");
        let first = std::fs::read_to_string(task.path("dev.tsv")).unwrap();
        let (source, reference) = first.lines().next().unwrap().split_once('\t').unwrap();
        assert_eq!(samples.len(), 2, "{metrics}");
        assert_eq!((samples[0].source.as_str(), samples[0].reference.as_str()), (source, reference));
        let text = std::fs::read_to_string(task.path("run/samples/step-00000002.txt")).unwrap();
        let expected = format!(
            "source      {source}\nreference   {reference}\nhypothesis  {}\n\n",
            samples[0].hypothesis
        );
        assert!(text.starts_with(&expected), "{text}");

        task.train(&settings.replace("samples = 2", "samples = 0"), "silent");
        assert_eq!(std::fs::read_dir(task.path("silent/samples")).unwrap().count(), 0);
    }
}

#[test]
fn a_run_without_improvement_stops_early_and_stays_stopped() {
    let task = Task::small();
    // With a rate of almost nothing no score changes, so that only the first validation is the best.
    let settings = "
        train.epochs = 50
        train.optimizer.lr = 1e-30
        valid.metrics = ['acc']
        valid.best_by = acc
        valid.patience = 2
    ";
    let (outcome, events) = task.train(settings, "run");
    assert_eq!(outcome, Outcome::StoppedEarly);
    let flags: Vec<(bool, u64)> = events
        .iter()
        .filter_map(|event| if let Event::Validated(v) = event { Some((v.best, v.since_best)) } else { None })
        .collect();
    assert_eq!(flags, [(true, 0), (false, 1), (false, 2)]);
    let step = newest(&task.path("run")).state.step;
    let (outcome, events) = task.train(settings, "run");
    assert_eq!(outcome, Outcome::StoppedEarly);
    assert_eq!(events.len(), 3, "started, resumed, finished: {events:?}");
    // More patience lets it go on.
    let (outcome, _) = task.train(&settings.replace("patience = 2", "patience = 3"), "run");
    assert_eq!(outcome, Outcome::StoppedEarly);
    assert!(newest(&task.path("run")).state.step > step);
}

#[test]
fn only_so_many_validation_sentences_are_used() {
    let task = Task::small();
    // Nobody learns this pair, so it shows in the perplexity whether it was used.
    let dev = std::fs::read_to_string(task.path("dev.tsv")).unwrap();
    std::fs::write(task.path("dev.tsv"), format!("{dev}zzzz\tyyyy\n")).unwrap();
    let ppl = |settings: &str, run: &str| {
        task.train(&format!("train.max_steps = 1\n{settings}"), run);
        newest(&task.path(run)).state.metrics.rows[0].values[3].unwrap()
    };
    assert_eq!(ppl("valid.max_sentences = 11", "a"), ppl("valid.max_sentences = 0", "b"));
    assert_ne!(ppl("valid.max_sentences = 10", "c"), ppl("valid.max_sentences = 11", "d"));
}
