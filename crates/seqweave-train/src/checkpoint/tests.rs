//! Tests of checkpoints: exact round trips, damage, crashes, faults, pruning.

use std::collections::BTreeSet;

use seqweave::store::testing::{Fault, Mutant, SimDisk};
use seqweave_tensor::Float;

use super::*;

const RUN: &str = "/run";

fn run() -> &'static Path {
    Path::new(RUN)
}

fn empty_run() -> SimDisk {
    let sim = SimDisk::new();
    sim.create_dir(run()).unwrap();
    sim.create_dir(&checkpoints_folder(run())).unwrap();
    sim.settle();
    sim
}

fn state(step: u64) -> TrainState {
    TrainState {
        step,
        epoch: step / 10,
        next_block: step % 3,
        next_batch: step % 10,
        seed: 42,
        optimizer: OptimizerState {
            step,
            vectors: vec![
                ("m".into(), vec![0.1, -0.0, Float::MIN_POSITIVE / 4.0]),
                ("v".into(), vec![1e-30, 3.0, step as Float]),
            ],
        },
        schedule: ScheduleState { best: Some(0.5), bad: 1, reductions: 2 },
        trained: Some(vec![0.25, -0.0]),
        best: Some(Best { step: 3, score: 0.1 + 0.2 }),
        bad_validations: 1,
        bad_steps: 0,
        running: vec![("loss".into(), 12.25)],
        metrics: MetricTable {
            columns: vec!["train_loss".into(), "valid_loss".into()],
            rows: vec![MetricRow { step, epoch: 0, values: vec![Some(1.0 / 3.0), None] }],
        },
        config_hash: "c".into(),
        data_fingerprint: "d".into(),
        code_version: "0.1.0".into(),
    }
}

fn model(step: u64) -> Vec<u8> {
    format!("weights of step {step}").into_bytes()
}

fn save_step(storage: &dyn Storage, step: u64) -> Result<PathBuf> {
    save(storage, run(), &state(step), &[("config.json", b"{}"), ("model.safetensors", &model(step))])
}

fn is_whole(checkpoint: &Checkpoint, step: u64) -> bool {
    checkpoint.state == state(step) && checkpoint.files.file("model.safetensors").unwrap() == model(step)
}

fn latest_step(storage: &dyn Storage) -> (Option<u64>, usize) {
    let latest = load_latest(storage, run()).unwrap();
    (latest.checkpoint.map(|checkpoint| checkpoint.state.step), latest.refused.len())
}

#[test]
fn a_checkpoint_comes_back_exactly() {
    let sim = empty_run();
    assert_eq!(latest_step(&sim), (None, 0));
    let folder = save_step(&sim, 500).unwrap();
    assert_eq!(folder, Path::new("/run/checkpoints/step-00000500"));
    let loaded = load(&sim, &folder).unwrap();
    assert!(is_whole(&loaded, 500), "{loaded:?}");
    assert_eq!(loaded.files.names().collect::<Vec<_>>(), ["config.json", "model.safetensors"]);
    assert!(loaded.state.optimizer.vectors[0].1[1].is_sign_negative());
}

#[test]
fn every_flip_and_truncation_of_a_checkpoint_is_refused() {
    let sim = empty_run();
    let folder = save_step(&sim, 1).unwrap();
    let (mut tried, mut accepted) = (0, Vec::new());
    for name in sim.list(&folder).unwrap() {
        let path = folder.join(&name);
        let good = sim.read(&path).unwrap();
        let mut try_bytes = |bytes: &[u8], what: String| {
            sim.overwrite(&path, bytes);
            tried += 1;
            if load(&sim, &folder).is_ok() {
                accepted.push(format!("{name}: {what}"));
            }
        };
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            try_bytes(&bytes, format!("bit {bit}"));
        }
        for len in 0..good.len() {
            try_bytes(&good[..len], format!("cut to {len}"));
        }
        sim.overwrite(&path, &good);
    }
    assert!(load(&sim, &folder).is_ok());
    assert!(accepted.is_empty(), "{} of {tried} damaged checkpoints accepted: {accepted:?}", accepted.len());
    println!("checkpoint: 0 of {tried} flips and truncations accepted");
}

#[test]
fn an_earlier_good_checkpoint_is_offered_and_the_damaged_one_is_kept() {
    let sim = empty_run();
    for step in [1, 2, 3] {
        save_step(&sim, step).unwrap();
    }
    let folder = checkpoints_folder(run()).join(folder_name(3));
    sim.overwrite(&folder.join("model.safetensors"), b"weights of step X");
    let latest = load_latest(&sim, run()).unwrap();
    assert_eq!(latest.checkpoint.unwrap().state.step, 2);
    assert_eq!(latest.refused.len(), 1);
    let message = latest.refused[0].error.to_string();
    assert!(message.contains("step-00000003/model.safetensors is damaged"), "{message}");

    // Training goes on from step 2 and comes to step 3 again.
    save_step(&sim, 3).unwrap();
    assert_eq!(latest_step(&sim), (Some(3), 0));
    let names = sim.list(&checkpoints_folder(run())).unwrap();
    assert_eq!(names, ["step-00000001", "step-00000002", "step-00000003", "step-00000003.damaged"]);
}

#[test]
fn saving_a_step_again_is_harmless() {
    let sim = empty_run();
    save_step(&sim, 1).unwrap();
    let before = sim.tree();
    save_step(&sim, 1).unwrap();
    assert_eq!(sim.tree(), before);
    let mut other = state(1);
    other.seed = 7;
    let folder = save(&sim, run(), &other, &[("model.safetensors", b"x")]).unwrap();
    assert_eq!(load(&sim, &folder).unwrap().state, other);
}

#[test]
fn pruning_keeps_two_verified_the_best_and_the_unreadable() {
    let sim = empty_run();
    for step in 1..=6 {
        save_step(&sim, step).unwrap();
    }
    let damage =
        |step| sim.overwrite(&checkpoints_folder(run()).join(folder_name(step)).join("config.json"), b"?");
    damage(6);
    damage(3);
    let pruned = prune(&sim, run(), 1, &[folder_name(1)]).unwrap();
    // 5 and 4 are the newest two that verify, 1 is the best, 6 and 3 cannot be read.
    assert_eq!(list(&sim, run()).unwrap(), [1, 3, 4, 5, 6].map(folder_name));
    assert_eq!(pruned.removed, [checkpoints_folder(run()).join(folder_name(2))]);
    assert_eq!(pruned.refused.len(), 2);
    assert!(prune(&sim, run(), 5, &[]).unwrap().removed.is_empty());
}

#[test]
fn pointers_hold_only_names_of_checkpoints() {
    let sim = empty_run();
    assert_eq!(pointer(&sim, run(), Pointer::Best).unwrap(), None);
    set_pointer(&sim, run(), Pointer::Best, 7).unwrap();
    set_pointer(&sim, run(), Pointer::Best, 12).unwrap();
    assert_eq!(pointer(&sim, run(), Pointer::Best).unwrap(), Some("step-00000012".into()));
    assert_eq!(pointer(&sim, run(), Pointer::Last).unwrap(), None);
    for hostile in [&b"../../etc\n"[..], b"step-00000012", b"step-12\n", b"\xff\n", b""] {
        sim.overwrite(&checkpoints_folder(run()).join("best"), hostile);
        assert_eq!(pointer(&sim, run(), Pointer::Best).unwrap(), None, "{hostile:?}");
    }
}

/// What a trainer does at a checkpoint, with three earlier ones on disk.
fn save_and_prune(storage: &dyn Storage) -> Result<()> {
    save_step(storage, 4)?;
    set_pointer(storage, run(), Pointer::Last, 4)?;
    prune(storage, run(), 2, &[])?;
    Ok(())
}

fn run_of_three() -> SimDisk {
    let sim = empty_run();
    for step in [1, 2, 3] {
        save_step(&sim, step).unwrap();
    }
    set_pointer(&sim, run(), Pointer::Last, 3).unwrap();
    sim.settle();
    sim
}

/// Every crash state of one save with pruning: the number of states, different ones, and the bad ones.
fn crash(mutant: Option<Mutant>) -> (usize, usize, Vec<String>) {
    let sim = run_of_three();
    sim.limit_writes(40);
    if let Some(mutant) = mutant {
        sim.plant(mutant);
    }
    save_and_prune(&sim).unwrap();
    let mut bad = Vec::new();
    let mut seen = BTreeSet::new();
    let states = sim.each_crash_state(|crashed, complete| {
        // One bad state is enough to notice a planted bug.
        if (mutant.is_some() && !bad.is_empty()) || !seen.insert((crashed.tree(), complete)) {
            return;
        }
        let latest = load_latest(crashed, run()).unwrap();
        let context = || format!("{:?} in {:?}", latest.refused, crashed.tree().keys());
        match &latest.checkpoint {
            Some(checkpoint) if is_whole(checkpoint, 4) || (!complete && is_whole(checkpoint, 3)) => {}
            other => bad.push(format!("complete: {complete}; {:?}; {}", other.as_ref().map(|c| &c.folder), context())),
        }
        if !latest.refused.is_empty() {
            bad.push(format!("refused: {}", context()));
        }
        if !matches!(pointer(crashed, run(), Pointer::Last), Ok(Some(name)) if [3, 4].map(folder_name).contains(&name)) {
            bad.push(format!("the pointer is lost: {}", context()));
        }
    });
    println!(
        "save and prune, {mutant:?}: {states} crash states, {} different, {} bad",
        seen.len(),
        bad.len()
    );
    (states, seen.len(), bad)
}

#[test]
fn after_any_crash_the_old_or_the_new_checkpoint_loads_exactly() {
    let (states, different, bad) = crash(None);
    assert!(states > 10_000, "only {states} states were tried");
    assert!(
        bad.is_empty(),
        "{} of {states} states ({different} different) are bad: {:?}",
        bad.len(),
        bad.first()
    );
}

#[test]
fn the_crash_test_notices_missing_syncs() {
    for mutant in [Mutant::NoFileSync, Mutant::NoDirSync] {
        let (states, _, bad) = crash(Some(mutant));
        assert!(!bad.is_empty(), "{mutant:?} was not noticed in {states} states");
    }
}

#[test]
fn after_a_fault_at_any_call_a_checkpoint_loads_and_the_next_save_works() {
    let calls = {
        let sim = run_of_three();
        save_and_prune(&sim).unwrap();
        sim.calls()
    };
    let faults = [
        Fault::Once(std::io::ErrorKind::StorageFull),
        Fault::Once(std::io::ErrorKind::Other),
        Fault::Once(std::io::ErrorKind::Interrupted),
        Fault::Full,
        Fault::ShortWrite,
    ];
    for fault in faults {
        for call in 0..calls {
            let sim = run_of_three();
            sim.fail_at(call, fault);
            let result = save_and_prune(&sim);
            sim.heal();
            let latest = load_latest(&sim, run()).unwrap();
            let context = format!("{fault:?} at call {call} of {calls}: {result:?}, {:?}", latest.refused);
            let loaded = latest.checkpoint.as_ref().expect(&context);
            assert!(is_whole(loaded, 4) || (result.is_err() && is_whole(loaded, 3)), "{context}");
            assert!(latest.refused.is_empty(), "{context}");
            save_and_prune(&sim).expect(&context);
            assert_eq!(latest_step(&sim), (Some(4), 0), "{context}");
        }
    }
    println!("checkpoint faults: {} tried, 0 lost data", faults.len() * calls);
}

#[test]
fn starting_over_removes_checkpoints_and_pointers_and_nothing_else() {
    let sim = run_of_three();
    set_pointer(&sim, run(), Pointer::Best, 2).unwrap();
    let kept = checkpoints_folder(run()).join("step-00000002.damaged");
    sim.create_dir(&kept).unwrap();
    remove_all(&sim, run()).unwrap();
    assert_eq!(sim.list(&checkpoints_folder(run())).unwrap(), ["step-00000002.damaged"]);
    assert_eq!(latest_step(&sim), (None, 0));
    remove_all(&sim, run()).unwrap();
    remove_all(&SimDisk::new(), run()).unwrap();
}

#[test]
fn an_interrupted_removal_leaves_checkpoints_that_load_and_can_be_repeated() {
    let calls = {
        let sim = run_of_three();
        remove_all(&sim, run()).unwrap();
        sim.calls()
    };
    assert!(calls > 10, "{calls}");
    for call in 0..calls {
        let sim = run_of_three();
        sim.fail_at(call, Fault::Once(std::io::ErrorKind::Other));
        let error = remove_all(&sim, run()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        sim.heal();
        let latest = load_latest(&sim, run()).unwrap();
        assert!(latest.refused.is_empty(), "call {call}: {:?}", latest.refused);
        store::clean_temporaries(&sim, &checkpoints_folder(run())).unwrap();
        remove_all(&sim, run()).unwrap();
        assert_eq!(sim.list(&checkpoints_folder(run())).unwrap(), [""; 0], "call {call}");
    }
    // The same for a crash: no state has half a checkpoint under its name.
    let sim = run_of_three();
    remove_all(&sim, run()).unwrap();
    let mut refused = 0;
    let states = sim.each_crash_state(|crashed, _| {
        refused += load_latest(crashed, run()).unwrap().refused.len();
    });
    println!("starting over: {states} crash states, {refused} with a checkpoint that does not load");
    assert!(states > 10 && refused == 0);
}

#[test]
fn a_pointer_is_moved_to_a_step_or_to_nothing() {
    let sim = run_of_three();
    let points_to = |sim: &SimDisk| pointer(sim, run(), Pointer::Last).unwrap();
    point(&sim, run(), Pointer::Last, Some(2)).unwrap();
    assert_eq!(points_to(&sim), Some(folder_name(2)));
    let before = sim.calls();
    point(&sim, run(), Pointer::Last, Some(2)).unwrap();
    assert!(sim.calls() - before <= 2, "it is looked at and not written again");
    point(&sim, run(), Pointer::Last, None).unwrap();
    point(&sim, run(), Pointer::Last, None).unwrap();
    assert_eq!(points_to(&sim), None);
}
