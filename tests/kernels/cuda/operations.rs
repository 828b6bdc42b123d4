//! Every row of the op table, and the operations that have no gradient.

use super::{bf16, device, worst};
use crate::bits;
use crate::table::{ids, ragged, table, tensor};
use seqweave_autograd::Result;
use seqweave_tensor::ops::{self, AdamStep, SgdStep};
use seqweave_tensor::{Acc, Device, Error, Float, Ids, Tensor, Trans};
use std::io::Write;

/// How far a result on the device may lie from that of the CPU, relative to 1 + |value|.
///
/// The kernels take the steps of the CPU in the same order, so most results are the same to the last bit; the tolerance is
/// that of a sum in another order.
const TOLERANCE: f64 = 2e-5;

#[test]
fn every_row_agrees_with_the_cpu_forward_and_backward() {
    let Some(cuda) = device() else { return };
    let (mut results, mut same, mut largest) = (0, 0, (0.0, String::new()));
    for row in table() {
        for s in &row.sizes {
            let want = row.run(s).unwrap_or_else(|e| panic!("{} {s:?}: {e}", row.name));
            let got = row.run_on(&cuda, s).unwrap_or_else(|e| panic!("{} {s:?}: {e}", row.name));
            assert_eq!(got.len(), want.len(), "{} {s:?}", row.name);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let error = worst(got, want);
                assert!(error <= TOLERANCE, "{} {s:?}, result {i}: off by {error:e}", row.name);
                results += 1;
                same += usize::from(got == want);
                if error > largest.0 {
                    largest = (error, format!("{} {s:?}, result {i}", row.name));
                }
            }
        }
    }
    // Not `println!`, which a passing test keeps to itself: the task runner reads this line.
    let line = format!(
        "op table: {} rows, {results} results, {same} of them the same bits; largest difference {:e}: {}",
        table().len(),
        largest.0,
        largest.1
    );
    writeln!(std::io::stdout(), "{line}").unwrap();
}

#[test]
fn every_row_gives_the_same_bits_again_on_the_device() {
    let Some(cuda) = device() else { return };
    for row in table() {
        for s in &row.sizes {
            let [first, again] = [0, 1].map(|_| bits(&row.run_on(&cuda, s).unwrap()));
            assert_eq!(first, again, "{} {s:?}", row.name);
        }
    }
}

/// `f` on the CPU and on the device.
fn on_both(name: &str, cuda: &Device, f: impl Fn(&Device) -> Result<Vec<Tensor>>) {
    let read = |device: &Device| -> Vec<Vec<Float>> {
        f(device).unwrap_or_else(|e| panic!("{name}: {e}")).iter().map(Tensor::to_vec).collect()
    };
    for (i, (got, want)) in read(cuda).iter().zip(&read(&Device::cpu())).enumerate() {
        let error = worst(got, want);
        assert!(error <= TOLERANCE, "{name}, result {i}: off by {error:e}");
    }
}

#[test]
fn operations_without_a_gradient_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    for (n, c) in [(1, 1), (3, 31), (31, 33), (2, 1025)] {
        let on = |device: &Device| tensor([n, c], 0.3).to(device);
        on_both("max_last, sum_last, sum_rows", &cuda, |device| {
            let x = on(device)?;
            Ok(vec![ops::max_last(&x)?, ops::sum_last(&x)?, ops::sum_rows(&x)?])
        });
        let (here, there) = (on(&Device::cpu()).unwrap(), on(&cuda).unwrap());
        assert_eq!(ops::argmax_last(&there).unwrap(), ops::argmax_last(&here).unwrap());
        assert_eq!(ops::sum_squares(&there).unwrap(), ops::sum_squares(&here).unwrap());
        assert_eq!(ops::first_non_finite(&there).unwrap(), None);
        let rows = Ids::list(ids(7, n));
        on_both("select_rows", &cuda, |device| Ok(vec![ops::select_rows(&on(device)?, &rows)?]));
        let never = [0, 2].map(|v| v % c as u32);
        for k in [0, 1, 5] {
            let top = |x| ops::top_log_probs(x, k, &never, c as u32 - 1).unwrap();
            for (got, want) in top(&there).iter().zip(top(&here)) {
                let columns = |t: &ops::TopLogProbs| t.best.iter().map(|b| b.0).collect::<Vec<_>>();
                assert_eq!(columns(got), columns(&want), "{n}x{c}, the best {k}");
                let scores =
                    |t: &ops::TopLogProbs| t.best.iter().map(|b| b.1).chain([t.named]).collect::<Vec<_>>();
                assert!(worst(&scores(got), &scores(&want)) <= TOLERANCE);
            }
        }
    }
    let mut x = tensor([70_001], 0.3).to_vec();
    for at in [70_000, 33_000, 5] {
        x[at] = Float::NAN;
        let x = Tensor::from_slice(&cuda, &x, [70_001]).unwrap();
        assert_eq!(ops::first_non_finite(&x).unwrap(), Some(at));
    }
}

#[test]
fn optimizers_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    for n in [1, 31, 33, 1025, 70_001] {
        for (decoupled, weight_decay) in [(false, 0.0), (false, 0.1), (true, 0.1)] {
            on_both("adam", &cuda, |device| {
                let (mut p, g) = (tensor([n], 0.1).to(device)?, tensor([n], 0.7).to(device)?);
                p = p.deep_clone();
                let (mut m, mut v) = (Tensor::zeros(device, [n]), Tensor::zeros(device, [n]));
                for step in 1..=3 {
                    let adam = AdamStep {
                        lr: 0.01,
                        beta1: 0.9,
                        beta2: 0.99,
                        eps: 1e-8,
                        weight_decay,
                        decoupled,
                        step,
                        grad_scale: 0.5,
                    };
                    ops::adam(p.view_mut()?, &g, m.view_mut()?, v.view_mut()?, &adam)?;
                }
                Ok(vec![p, m, v])
            });
        }
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            on_both("sgd", &cuda, |device| {
                let (p, g) = (tensor([n], 0.1).to(device)?, tensor([n], 0.7).to(device)?);
                let (mut p, mut buffer) = (p.deep_clone(), Tensor::zeros(device, [n]));
                let sgd = SgdStep { lr: 0.1, momentum, nesterov, weight_decay: 0.01, grad_scale: 0.5 };
                for _ in 0..2 {
                    ops::sgd(p.view_mut()?, &g, Some(buffer.view_mut()?), &sgd)?;
                }
                Ok(vec![p, buffer])
            });
        }
    }
}

/// Products in bfloat16 are those of the CPU in bfloat16, but for the order of sums.
#[test]
fn bf16_products_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    let (here, there) = (bf16(&Device::cpu()), bf16(&cuda));
    for (m, n, k) in [(1, 1, 1), (1, 33, 7), (13, 31, 300), (65, 130, 200), (200, 40, 70)] {
        for (ta, tb) in
            [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)]
        {
            let a = tensor(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1);
            let b = tensor(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7);
            let product = |device: &Device| -> Result<Vec<Float>> {
                let mut c = tensor([m, n], 1.3).to(device)?.deep_clone();
                ops::gemm(&a.to(device)?, ta, &b.to(device)?, tb, Acc::Add, c.view_mut()?)?;
                Ok(c.to_vec())
            };
            let error = worst(&product(&there).unwrap(), &product(&here).unwrap());
            assert!(error <= 1e-4, "{m}x{n}x{k} {ta:?}{tb:?}: off by {error:e}");
        }
    }
}

#[test]
fn every_transposition_gives_the_bits_of_the_cpu() {
    let Some(cuda) = device() else { return };
    for (m, n, k) in [(1, 1, 1), (1, 33, 7), (13, 31, 300), (33, 65, 1), (130, 150, 70), (25, 100, 257)] {
        for (ta, tb) in
            [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)]
        {
            let a = tensor(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1);
            let b = tensor(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7);
            let product = |device: &Device| ops::matmul(&a.to(device)?, ta, &b.to(device)?, tb);
            let (got, want) = (product(&cuda).unwrap(), product(&Device::cpu()).unwrap());
            assert_eq!(got.to_vec(), want.to_vec(), "{m}x{n}x{k} {ta:?}{tb:?}");
        }
    }
}

#[test]
fn padding_is_never_read() {
    let Some(cuda) = device() else { return };
    let (t, b, h) = (5, 4, 33);
    let lens = ragged(t, b);
    let mut xp = tensor([t, b, 4 * h], 0.4).to_vec();
    for (i, x) in xp.iter_mut().enumerate() {
        if i / (b * 4 * h) >= lens.as_slice()[i / (4 * h) % b] as usize {
            *x = Float::NAN;
        }
    }
    let xp = Tensor::from_vec(&cuda, xp, [t, b, 4 * h]).unwrap();
    let w = ops::Weight::new(&tensor([4 * h, h], 1.7).to(&cuda).unwrap()).unwrap();
    let state = tensor([b, h], 2.3).to(&cuda).unwrap();
    for direction in [ops::Direction::Forward, ops::Direction::Reverse] {
        let (y, h_n, c_n, saved) =
            ops::lstm_forward(&xp, &w, &state, &state, Some(&lens), direction).unwrap();
        let grads = ops::lstm_backward(Some(&y), Some(&h_n), None, &saved, &w).unwrap();
        for x in [y, h_n, c_n, grads.dxp, grads.dh0, grads.dc0] {
            assert!(x.to_vec().iter().all(|x| x.is_finite()), "{direction:?}");
        }
    }
}

#[test]
fn empty_tensors_are_tensors() {
    let Some(cuda) = device() else { return };
    let empty = Tensor::zeros(&cuda, [0, 3]);
    assert!(ops::add(&empty, &empty).unwrap().to_vec().is_empty());
    assert_eq!(ops::sum(&empty).unwrap().item().unwrap(), 0.0);
    assert_eq!(ops::sum_rows(&empty).unwrap().to_vec(), [0.0; 3]);
    assert_eq!(ops::softmax(&empty).unwrap().numel(), 0);
    let product = ops::matmul(&Tensor::zeros(&cuda, [2, 0]), Trans::N, &empty, Trans::N).unwrap();
    assert_eq!(product.to_vec(), [0.0; 6]);
}

#[test]
fn operands_on_two_devices_are_an_error() {
    let Some(cuda) = device() else { return };
    let here = tensor([2, 2], 0.1);
    let there = here.to(&cuda).unwrap();
    let error = ops::add(&there, &here).unwrap_err();
    assert!(matches!(error, Error::Device { op: "add", .. }), "{error}");
    assert!(error.to_string().contains("found one on cpu\nhelp: Tensor::to"), "{error}");
    let weight = ops::Weight::new(&here).unwrap();
    for error in [
        ops::add(&here, &there).unwrap_err(),
        ops::matmul(&here, Trans::N, &there, Trans::N).unwrap_err(),
        ops::matmul_packed(&there, weight.plain()).unwrap_err(),
        ops::concat_last(&[&here, &there]).unwrap_err(),
        ops::stack(&[&there, &here]).unwrap_err(),
        ops::linear(&there, &there, Some(&tensor([2], 0.0))).unwrap_err(),
        ops::linear_cross_entropy(
            &here,
            &weight,
            Some(&tensor([2], 0.0).to(&cuda).unwrap()),
            &Ids::list(vec![0, 1]),
            u32::MAX,
            0.0,
            None,
        )
        .unwrap_err(),
        ops::dot_attention(
            &tensor([1, 1, 2], 0.0),
            &tensor([2, 1, 2], 0.0),
            &tensor([2, 1, 2], 0.0).to(&cuda).unwrap(),
            &Ids::list(vec![2]),
            1.0,
        )
        .unwrap_err(),
    ] {
        assert!(matches!(error, Error::Device { .. }), "{error}");
    }
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let Some(cuda) = device() else { return };
    let huge = Tensor::scratch(&cuda, [1 << 22, 1 << 22]);
    let error = ops::scale(&huge, 2.0).unwrap_err();
    assert!(matches!(error, Error::CudaMemory { .. } | Error::Value { .. }), "{error}");
    // And the device goes on.
    drop(huge);
    let _ = ops::scale(&Tensor::zeros(&cuda, [4]), 1.0);
    assert_eq!(ops::scale(&Tensor::full(&cuda, [4], 3.0), 2.0).unwrap().to_vec(), [6.0; 4]);
}

/// Recurrent layers with products in bfloat16: LSTM and GRU in one launch, the plain network step by step. The CPU rounds the
/// same operands; sums in another order may round a state the other way, by half of 2⁻⁸.
#[test]
fn bf16_recurrent_layers_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    let (here, there) = (bf16(&Device::cpu()), bf16(&cuda));
    // The stand-in runs blocks that wait for each other on threads of their own, so sizes are small.
    let sizes = [[1, 1, 1], [5, 4, 3], [3, 2, 33]];
    for row in table().iter().filter(|row| ["lstm", "gru", "rnn"].contains(&row.op())) {
        for s in &sizes {
            let (got, want) = (row.run_on(&there, s).unwrap(), row.run_on(&here, s).unwrap());
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let error = worst(got, want);
                assert!(error <= 2e-2, "{} {s:?}, result {i}: off by {error:e}", row.name);
            }
        }
    }
}
