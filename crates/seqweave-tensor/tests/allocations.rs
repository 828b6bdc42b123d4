//! Operations of a warm training step take their memory from the pool and nothing long from the heap.
//!
//! One test alone, since the allocator counts for the whole process.

use seqweave_tensor::ops::{self, AdamStep, Direction, GradScale, Weight};
use seqweave_tensor::{Acc, Device, Float, Ids, Result, Tensor, Trans, on_pool};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes from which on an allocation counts. What is shorter is shapes, reference counts and lists of a few entries a row.
const LONG: usize = 8 << 10;

/// The system's allocator, which counts long allocations.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn count(bytes: usize) {
    if bytes >= LONG {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system allocator's with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
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

fn wave(device: &Device, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let values = (0..n).map(|i| ((i as f64) * 0.37).sin() as Float).collect();
    Tensor::from_vec(device, values, shape).expect("as many values as the shape holds")
}

/// The long operations of a step, forward and backward: projection, recurrence, attention over one query and over many,
/// loss, update.
fn step(x: &Operands) -> Result<()> {
    let Operands { input, w_ih, w_hh, bias, state, memory, lens, w_out, b_out, targets, .. } = x;
    // Weights are laid out anew, as after an update.
    let [w_ih, w_hh, w_out] = [w_ih, w_hh, w_out].map(Weight::new);
    let (w_ih, w_hh, w_out) = (w_ih?, w_hh?, w_out?);
    let xp = ops::linear_packed(input, w_ih.transposed(), Some(bias))?;
    let (y, .., saved) = ops::lstm_forward(&xp, &w_hh, state, state, None, Direction::Forward)?;
    for queries in [y.clone(), y.rows(0, 1)?] {
        let (ctx, align) = ops::dot_attention(&queries, memory, memory, lens, 1.0)?;
        ops::dot_attention_backward(&ctx, &queries, memory, memory, &align, lens, 1.0)?;
        let v = b_out.flat(0, [H])?;
        let (ctx, align) = ops::additive_attention(&queries, memory, &v, memory, lens)?;
        ops::additive_attention_backward(&ctx, &queries, memory, &v, memory, &align, lens)?;
    }
    let rows = y.reshape([T * B, H])?;
    let loss = ops::linear_cross_entropy(&rows, &w_out, Some(b_out), targets, 0, 0.1, Some(1.0))?;
    let dy = loss.grads.expect("gradients were asked for").dx.reshape([T, B, H])?;
    let grads = ops::lstm_backward(Some(&dy), None, None, &saved, &w_hh)?;
    let mut dw = Tensor::zeros(x.input.device(), [4 * H, H]);
    ops::gemm(&grads.dxp, Trans::T, &grads.h_before, Trans::N, Acc::Add, dw.view_mut()?)?;
    let [mut p, mut m, mut v] = [(); 3].map(|()| Tensor::zeros(x.input.device(), [4 * H, H]));
    let (lr, eps, weight_decay) = (0.1, 1e-8, 0.0);
    let adam = AdamStep { lr, beta1: 0.9, beta2: 0.99, eps, weight_decay, decoupled: false, step: 1 };
    ops::adam(p.view_mut()?, &dw, m.view_mut()?, v.view_mut()?, &adam, &GradScale::new(1.0))
}

const T: usize = 7;
const B: usize = 24;
const S: usize = 9;
const H: usize = 64;
const V: usize = 500;

struct Operands {
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    state: Tensor,
    memory: Tensor,
    lens: Ids,
    w_out: Tensor,
    b_out: Tensor,
    targets: Ids,
}

#[test]
fn a_warm_step_takes_nothing_long_from_the_heap() {
    let device = Device::cpu();
    let operands = Operands {
        input: wave(&device, &[T, B, H]),
        w_ih: wave(&device, &[4 * H, H]),
        w_hh: wave(&device, &[4 * H, H]),
        bias: wave(&device, &[4 * H]),
        state: wave(&device, &[B, H]),
        memory: wave(&device, &[S, B, H]),
        lens: Ids::list(vec![S as u32; B]),
        w_out: wave(&device, &[V, H]),
        b_out: wave(&device, &[V]),
        targets: Ids::list((0..T * B).map(|i| (i % V) as u32).collect()),
    };
    // One thread: of several, one may meet its first product of a kind, and make its room, in any round.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    let run = || pool.install(|| on_pool(|| step(&operands))).expect("the operands fit");
    let cold = (TAKEN.load(Ordering::Relaxed), device.buffers_made());
    run();
    run();
    let warm = (TAKEN.load(Ordering::Relaxed), device.buffers_made());
    assert!(warm.0 > cold.0 && warm.1 > cold.1, "the first rounds take what the next ones need");
    (0..5).for_each(|_| run());
    assert_eq!((TAKEN.load(Ordering::Relaxed), device.buffers_made()), warm, "long allocations, buffers");
}
