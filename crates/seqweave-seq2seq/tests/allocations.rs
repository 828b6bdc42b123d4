//! How often a warm training step asks the system's allocator for memory: a bound, so that the number cannot creep up.
//!
//! What is left is counted in `docs/guide/benchmarks.md`.

mod common;

use allocation_counter::measure;
use common::{Training, config};
use seqweave_nn::{AttentionKind, CellKind};
use seqweave_seq2seq::BridgeKind;
use seqweave_tensor::{Device, on_pool};

/// Words of the longest sentence.
const LONGEST: usize = 7;

/// (allocations a step, recorded operations a step) of an LSTM with attention, once it is warm.
fn allocations(input_feeding: bool) -> (u64, usize) {
    let config = config(CellKind::Lstm, AttentionKind::General, BridgeKind::Copy, input_feeding);
    let mut training = Training::new(&config, LONGEST, &Device::cpu());
    let mut operations = 0;
    (1..4).for_each(|step| operations = training.step(step));
    let found = measure(|| (4..8).for_each(|step| operations = training.step(step)));
    (found.count_total / 4, operations)
}

#[test]
fn a_warm_step_allocates_few_times_an_operation() {
    // One thread: of several, one may make its room for a kind of product in any step, and those of others are not counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (input_feeding, most) in [(true, 450), (false, 200)] {
        let (found, operations) = pool.install(|| on_pool(|| allocations(input_feeding)));
        println!("input feeding {input_feeding}: {found} allocations, {operations} operations");
        assert!(found > operations as u64, "a recorded operation is at least a boxed rule: {found}");
        assert!(
            found <= most,
            "input feeding {input_feeding}: {found} allocations in a step, at most {most}"
        );
    }
}
