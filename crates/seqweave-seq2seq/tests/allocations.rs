//! How often a warm training step asks the system's allocator for memory: a bound, so that the number cannot creep up.
//!
//! One test alone, since the allocator counts for the whole process. What is left is counted in
//! `docs/guide/benchmarks.md`: a shared buffer a tensor and a boxed rule a recorded operation, nearly all of it.

mod common;

use common::{VOCAB, config, sentences};
use seqweave_autograd::Tape;
use seqweave_nn::{AttentionKind, CellKind, Ctx, Optimizer, OptimizerConfig};
use seqweave_seq2seq::{Batch, BridgeKind, Seq2Seq};
use seqweave_tensor::{Device, Philox, on_pool};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Steps of the target: seven words and the end of the sentence.
const STEPS: usize = 8;

/// (allocations a step, recorded operations a step) of an LSTM with attention, once it is warm.
fn allocations(input_feeding: bool) -> (usize, usize) {
    let rows: Vec<_> = sentences(5, STEPS - 1, 1).into_iter().zip(sentences(5, STEPS - 1, 2)).collect();
    let batch = Batch::from_rows(&rows).unwrap();
    let config = config(CellKind::Lstm, AttentionKind::General, BridgeKind::Copy, input_feeding);
    let (model, mut params) = Seq2Seq::build(&config, VOCAB, VOCAB, &Device::cpu(), 3).unwrap();
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
    let mut operations = 0;
    let mut step = |step| {
        params.zero_grad().unwrap();
        let tape = Tape::new();
        let loss = {
            let cx = Ctx::train(&params, tape.clone(), Some(Philox { seed: 1, step }));
            model.loss(&cx, &batch, 0.1, 0.1).unwrap().0
        };
        operations = tape.len();
        tape.backward(&loss, Some(params.grads_mut())).unwrap();
        drop(loss);
        optimizer.step(&mut params, 1e-3, Some(1.0)).unwrap();
    };
    (1..4).for_each(&mut step);
    let before = TAKEN.load(Ordering::Relaxed);
    (4..8).for_each(&mut step);
    ((TAKEN.load(Ordering::Relaxed) - before) / 4, operations)
}

#[test]
fn a_warm_step_allocates_few_times_an_operation() {
    // One thread: of several, one may make its room for a kind of product in any step.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (input_feeding, most) in [(true, 450), (false, 200)] {
        let (found, operations) = pool.install(|| on_pool(|| allocations(input_feeding)));
        println!("input feeding {input_feeding}: {found} allocations, {operations} operations");
        assert!(
            found <= most,
            "input feeding {input_feeding}: {found} allocations in a step, at most {most}"
        );
    }
}
