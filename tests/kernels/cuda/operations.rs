//! Every row of the op table, and the operations that have no gradient.

use super::{alone, bf16, device, on_stand_in, worst};
use crate::table::{ids, ragged, table, tensor};
use crate::{bits, reference};
use seqweave_autograd::Result;
use seqweave_tensor::ops::{self, AdamStep, GradScale, SgdStep};
use seqweave_tensor::{Acc, Device, Error, Float, Ids, Pending, Precision, Tensor, Trans};
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
                // The same mask, scaled by the same product.
                assert!(got == want || !row.op().starts_with("dropout"), "{} {s:?}: other bits", row.name);
                results += 1;
                same += usize::from(got == want);
                if error > largest.0 {
                    largest = (error, format!("{} {s:?}, result {i}", row.name));
                }
            }
        }
    }
    // Both are in f32, and the kernels take the steps of the CPU: an error that they share shows in f64.
    let (distance, farthest) = reference::farthest(&cuda);
    assert!(distance <= reference::TOLERANCE, "{farthest} is off by {distance:e} from f64");
    // Not `println!`, which a passing test keeps to itself: the task runner reads this line.
    let line = format!(
        "op table: {} rows, {results} results, {same} of them the same bits; largest difference {:e}: {}; from f64 {distance:e}: {farthest}",
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
                    };
                    ops::adam(p.view_mut()?, &g, m.view_mut()?, v.view_mut()?, &adam, &GradScale::new(0.5))?;
                }
                Ok(vec![p, m, v])
            });
            // A group of parameters begins and ends anywhere; what lies around it stays as it is.
            for (start, end) in [(1, n), (2, n - n / 4), (n / 2, n / 2 + 2), (3, 6)] {
                if start >= end || end > n {
                    continue;
                }
                on_both("adam of a part", &cuda, |device| {
                    let (p, g) = (tensor([n], 0.1).to(device)?, tensor([n], 0.7).to(device)?);
                    let (mut p, len) = (p.deep_clone(), end - start);
                    let (mut m, mut v) = (Tensor::zeros(device, [n]), Tensor::zeros(device, [n]));
                    let (beta1, beta2, eps) = (0.9, 0.99, 1e-8);
                    let (lr, step, scale) = (0.01, 1, GradScale::new(0.5));
                    let adam = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step };
                    let [mut pv, mut mv, mut vv] = [p.view_mut()?, m.view_mut()?, v.view_mut()?];
                    let (pv, mv, vv) =
                        (pv.flat_mut(start, [len])?, mv.flat_mut(start, [len])?, vv.flat_mut(start, [len])?);
                    ops::adam(pv, &g.flat(start, [len])?, mv, vv, &adam, &scale)?;
                    Ok(vec![p, m, v])
                });
            }
        }
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            on_both("sgd", &cuda, |device| {
                let (p, g) = (tensor([n], 0.1).to(device)?, tensor([n], 0.7).to(device)?);
                let (mut p, mut buffer) = (p.deep_clone(), Tensor::zeros(device, [n]));
                let sgd = SgdStep { lr: 0.1, momentum, nesterov, weight_decay: 0.01 };
                for _ in 0..2 {
                    ops::sgd(p.view_mut()?, &g, Some(buffer.view_mut()?), &sgd, &GradScale::new(0.5))?;
                }
                Ok(vec![p, buffer])
            });
        }
    }
}

/// The factor on a gradient, and an update with it, without the host in between; a loss that is not finite forbids it.
#[test]
fn clipping_on_the_device_gives_the_bits_of_the_cpu() {
    let Some(cuda) = device() else { return };
    let clipped = |device: &Device, clip, losses: &[f64]| -> Result<(f64, Float, Vec<Float>)> {
        let (g, mut p) = (tensor([40_000], 0.7).to(device)?, tensor([40_000], 0.1).to(device)?.deep_clone());
        let losses: Vec<Pending> = losses.iter().map(|&loss| Pending::known(vec![loss])).collect();
        let scale = ops::clip_factor(&g, clip, &losses.iter().collect::<Vec<_>>())?;
        let sgd = SgdStep { lr: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        ops::sgd(p.view_mut()?, &g, None, &sgd, &scale)?;
        Ok((scale.squares()?, scale.factor()?, p.to_vec()))
    };
    for clip in [None, Some(1e9), Some(0.5)] {
        for losses in [&[][..], &[1.0], &[1.0, f64::NAN], &[f64::MAX, 1.0]] {
            let ((squares, factor, p), want) =
                (clipped(&cuda, clip, losses).unwrap(), clipped(&Device::cpu(), clip, losses).unwrap());
            assert_eq!((squares, factor.to_bits(), &p), (want.0, want.1.to_bits(), &want.2), "{losses:?}");
            assert_eq!(factor.is_nan(), p == tensor([40_000], 0.1).to_vec(), "{clip:?} {losses:?}");
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

/// Operands in two parts each lose next to nothing: the error is within a few times that of an f32 sum, and a hundredth of
/// what operands of 11 bits would have.
#[test]
fn split_products_are_those_of_f32() {
    let Some(cuda) = device() else { return };
    let split = cuda.with_precision(Precision::F32Fast);
    for (m, n, k) in [(1, 1, 1), (1, 33, 7), (13, 31, 300), (65, 130, 200), (33, 40, 1025)] {
        for (ta, tb) in
            [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)]
        {
            let a = tensor(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1);
            let b = tensor(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7);
            let got = ops::matmul(&a.to(&split).unwrap(), ta, &b.to(&split).unwrap(), tb).unwrap().to_vec();
            let (a, b) = (a.to_vec(), b.to_vec());
            for (at, got) in got.into_iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for l in 0..k {
                    let x = f64::from(a[if ta == Trans::N { i * k + l } else { l * m + i }]);
                    let y = f64::from(b[if tb == Trans::N { l * n + j } else { j * k + l }]);
                    sum += x * y;
                    magnitude += (x * y).abs();
                }
                let error = (f64::from(got) - sum).abs() / magnitude / f64::from(f32::EPSILON);
                assert!(error <= 32.0, "{m}x{n}x{k} {ta:?}{tb:?}: off by {error} roundings");
            }
        }
    }
}

/// The kept copy of a weight in bfloat16 is that of its numbers, in both directions and in any company.
#[test]
fn a_weight_that_is_kept_gives_the_bits_of_one_that_is_not() {
    let Some(cuda) = device() else { return };
    for precision in Precision::ALL {
        let device = cuda.clone().with_precision(precision);
        for (n, m, k) in [(1, 33, 7), (5, 31, 40), (70, 9, 65)] {
            let (x, w) = (tensor([n, k], 0.1).to(&device).unwrap(), tensor([m, k], 0.7).to(&device).unwrap());
            let (dy, b) = (tensor([n, m], 0.4).to(&device).unwrap(), tensor([m], 1.3).to(&device).unwrap());
            let weight = ops::Weight::new(&w).unwrap();
            for _ in 0..2 {
                let kept = ops::linear_packed(&x, weight.transposed(), Some(&b)).unwrap();
                let fresh = ops::linear(&x, &w, Some(&b)).unwrap();
                assert_eq!(kept.to_vec(), fresh.to_vec(), "{precision:?} {n}x{m}x{k}");
                let kept = ops::matmul_packed(&dy, weight.plain()).unwrap();
                let fresh = ops::matmul(&dy, Trans::N, &w, Trans::N).unwrap();
                assert_eq!(kept.to_vec(), fresh.to_vec(), "{precision:?} {n}x{m}x{k}");
            }
            let alone = ops::linear(&x.rows(n - 1, n).unwrap(), &w, Some(&b)).unwrap();
            let all = ops::linear(&x, &w, Some(&b)).unwrap();
            assert_eq!(alone.to_vec(), all.rows(n - 1, n).unwrap().to_vec(), "{precision:?} {n}x{m}x{k}");
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

/// A product takes the largest tiles that keep every multiprocessor busy. With one multiprocessor these small shapes take
/// large tiles, too, and must still give the bits of the CPU.
#[test]
fn products_by_large_tiles_agree_with_the_cpu() {
    let name = "cuda::operations::products_by_large_tiles_agree_with_the_cpu";
    if on_stand_in() && alone(name, &[("SEQWEAVE_STANDIN_SMS", "1")]) {
        every_transposition_gives_the_bits_of_the_cpu();
        split_products_are_those_of_f32();
        bf16_products_agree_with_the_cpu();
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

/// Training in bfloat16 makes the loss and the gradient of the logits in one kernel: beside the CPU, whose products round the
/// same operands, and with a count of right tokens that ties and ignored rows cannot fool.
#[test]
fn a_loss_whose_gradient_is_made_in_bfloat16_agrees_with_the_cpu() {
    let Some(cuda) = device() else { return };
    const IGNORE: u32 = 0;
    // Roundings to bfloat16 that fall the other way, beside gradients of up to 1/4.
    const ROUNDED: f64 = 4e-3;
    for ([n, k, v], smoothing) in
        [([1, 1, 1], 0.0), ([5, 3, 31], 0.1), ([33, 8, 40], 0.0), ([7, 16, 1025], 0.1)]
    {
        let (x, w, b) = (tensor([n, k], 0.1), tensor([v, k], 0.7), tensor([v], 1.3));
        let targets = Ids::list((0..n).map(|i| (i * 7 % v) as u32).collect());
        let run = |device: Device| {
            let on = |x: &Tensor| x.to(&device).unwrap().in_training();
            let weight = ops::Weight::new(&on(&w)).unwrap();
            let (x, b) = (on(&x), on(&b));
            let out =
                ops::linear_cross_entropy(&x, &weight, Some(&b), &targets, IGNORE, smoothing, Some(0.25));
            let out = out.unwrap();
            let grads = out.grads.unwrap();
            let totals = out.totals.pending().values().unwrap().to_vec();
            let all = [grads.dx.to_vec(), grads.dw.to_vec(), grads.db.unwrap().to_vec()];
            (out.loss.item().unwrap(), out.count, totals, all)
        };
        let (got, want) = (run(bf16(&cuda)), run(bf16(&Device::cpu())));
        let what = format!("{n}x{k}x{v} ε={smoothing}");
        assert!(worst(&[got.0], &[want.0]) <= TOLERANCE, "{what}: loss {}, not {}", got.0, want.0);
        assert_eq!((got.1, got.2[2]), (want.1, want.2[2]), "{what}: rows that count, and right ones");
        for (i, (got, want)) in got.3.iter().zip(&want.3).enumerate() {
            let error = worst(got, want);
            assert!(error <= ROUNDED, "{what}, gradient {i}: off by {error:e}");
        }
        let again = run(bf16(&cuda));
        assert!(bits(&got.3) == bits(&again.3), "{what}: other bits the second time");
    }
    // A row too long for a block's memory goes the long way.
    let (x, w) = (tensor([2, 2], 0.1), tensor([60_000, 2], 0.7));
    let run = |device: Device| {
        let on = |x: &Tensor| x.to(&device).unwrap().in_training();
        let weight = ops::Weight::new(&on(&w)).unwrap();
        let targets = Ids::list(vec![3, 59_999]);
        let out =
            ops::linear_cross_entropy(&on(&x), &weight, None, &targets, IGNORE, 0.0, Some(1.0)).unwrap();
        out.grads.unwrap().dx.to_vec()
    };
    let error = worst(&run(bf16(&cuda)), &run(bf16(&Device::cpu())));
    assert!(error <= ROUNDED, "off by {error:e}");
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
    // Alone: what could not be returned where it went wrong, the next operation on the device returns, whoever asks for it.
    if !alone("cuda::operations::memory_that_cannot_be_had_is_an_error", &[]) {
        return;
    }
    let huge = Tensor::scratch(&cuda, [1 << 22, 1 << 22]);
    let error = ops::scale(&huge, 2.0).unwrap_err();
    assert!(matches!(error, Error::CudaMemory { .. } | Error::Value { .. }), "{error}");
    // And the device goes on.
    drop(huge);
    let _ = ops::scale(&Tensor::zeros(&cuda, [4]), 1.0);
    assert_eq!(ops::scale(&Tensor::full(&cuda, [4], 3.0), 2.0).unwrap().to_vec(), [6.0; 4]);
}
