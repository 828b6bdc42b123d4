//! Training steps that go to the device as CUDA graphs.

use super::models::{Run, pairs, shapes};
use super::{alone, bf16, device, on_stand_in};
use seqweave_seq2seq::Batch;
use seqweave_tensor::{Device, Float, GraphReport};

const ON: (&str, &str) = ("SEQWEAVE_CUDA_GRAPHS", "on");

/// Losses of steps over batches of two shapes in turn, and the state after them, which must not depend on `together`.
fn train(device: &Device, together: bool) -> (Vec<Float>, impl PartialEq) {
    let mut run = Run::new(&shapes()[1], device);
    let losses = (0..6).map(|step| {
        // A batch of its own, as in training: its ids are not on the device yet.
        let batch = Batch::from_rows(&pairs([5, 3][step as usize % 2])).unwrap();
        let mut work = || run.step_on(&batch, step + 1).unwrap();
        if together { device.together(work) } else { work() }
    });
    (losses.collect(), run.save())
}

fn report(device: &Device) -> GraphReport {
    let Device::Cuda(cuda) = device else { panic!("a device of CUDA") };
    cuda.graph_report()
}

#[test]
fn a_step_as_a_graph_gives_the_bits_of_one_that_is_not() {
    let Some(cuda) = device() else { return };
    if !alone("cuda::graphs::a_step_as_a_graph_gives_the_bits_of_one_that_is_not", &[ON]) {
        return;
    }
    for device in [cuda.clone(), bf16(&cuda)] {
        let (plain, before) = (train(&device, false), report(&cuda));
        let reads = cuda.host_reads();
        assert!(train(&device, true) == plain, "{device:?}");
        let after = report(&cuda);
        assert_eq!(after.refused, None);
        assert_eq!(after.launched - before.launched, 6, "a graph a step: {after:?}");
        let (made, updated) = (after.made - before.made, after.updated - before.updated);
        assert!(made <= 2 && made + updated == 6, "a graph a shape, then updates: {after:?}");
        // A read a step, and three for what is compared at the end.
        assert_eq!(cuda.host_reads() - reads, 6 + 3);
    }
}

#[test]
fn where_a_driver_records_no_graph_the_bits_are_the_same() {
    let Some(cuda) = device() else { return };
    if !on_stand_in() {
        return;
    }
    let name = "cuda::graphs::where_a_driver_records_no_graph_the_bits_are_the_same";
    if alone(name, &[ON, ("SEQWEAVE_STANDIN_GRAPHS", "0")]) {
        let plain = train(&cuda, false);
        assert!(train(&cuda, true) == plain);
        let report = report(&cuda);
        let reason = report.refused.unwrap();
        assert!(reason.starts_with("beginning a capture: this device records no graphs"), "{reason}");
        assert_eq!((report.launched, report.made), (0, 0));
    }
}

#[test]
fn graphs_are_off_unless_asked_for() {
    let Some(cuda) = device() else { return };
    if alone("cuda::graphs::graphs_are_off_unless_asked_for", &[(ON.0, "")]) {
        train(&cuda, true);
        assert_eq!(report(&cuda), GraphReport::default());
    }
}

/// More values than there is pinned memory for go through all the same, and in order.
#[test]
fn values_that_are_put_down_beside_each_other_come_through() {
    let Some(cuda) = device() else { return };
    if !alone("cuda::graphs::values_that_are_put_down_beside_each_other_come_through", &[ON]) {
        return;
    }
    let sizes = [1, 3, 5000, 250_000, 300_000];
    let make = |i: usize| {
        let values = vec![i as Float; sizes[i % sizes.len()]];
        (seqweave_tensor::Tensor::from_slice(&cuda, &values, [values.len()]).unwrap(), values)
    };
    let made: Vec<_> = cuda.together(|| (0..120).map(make).collect());
    for (tensor, values) in made {
        assert!(tensor.to_vec() == values);
    }
}
