//! Single kernels, to be held beside what their bytes and products cost at best, and the price of a grid barrier.
//!
//! With `SEQWEAVE_MEASURE=1`, which `cargo xtask bench gpu` sets, sizes are those of a medium model with 64 sentences, and a
//! line of JSON an operation is printed. Without, sizes are small, and the test is whether all of it runs.

use super::device;
use seqweave_tensor::ops::{self, AdamStep, GradScale, LstmOperands, LstmOutputGrads, Weight};
use seqweave_tensor::{Acc, Device, Float, Ids, Precision, Result, Tensor, Trans};
use std::io::Write;
use std::time::Instant;

struct Measure {
    device: Device,
    /// Whether sizes are those of a model; else they are this much smaller.
    shrink: usize,
}

impl Measure {
    fn size(&self, n: usize) -> usize {
        n.div_ceil(self.shrink)
    }

    fn tensor(&self, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        let values: Vec<Float> = (0..n).map(|i: usize| (i * 7919 % 1000) as Float / 1000.0 - 0.5).collect();
        Tensor::from_slice(&self.device, &values, shape).unwrap()
    }

    /// Microseconds of a call, from many under way at once, and a line about it.
    fn line(&self, name: &str, bytes: usize, flop: usize, mut work: impl FnMut() -> Result<()>) {
        let done = Tensor::zeros(&self.device, [1]);
        let wait = |done: &Tensor| done.to_vec();
        work().unwrap();
        wait(&done);
        let calls = if self.shrink == 1 { 20 } else { 1 };
        let clock = Instant::now();
        for _ in 0..calls {
            work().unwrap();
        }
        assert_eq!(wait(&done), [0.0], "{name}");
        let us = clock.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
        assert!(us > 0.0 && us.is_finite(), "{name}");
        let precision = self.device.precision().name();
        // Not `println!`, which a passing test keeps to itself.
        let line = format!(
            "{{\"kernel\": \"{name}\", \"precision\": \"{precision}\", \"us\": {us:.2}, \"bytes\": {bytes}, \"flop\": {flop}}}"
        );
        if self.shrink == 1 {
            let mut out = std::io::stdout();
            writeln!(out, "{line}").unwrap();
        }
    }

    fn products(&self) {
        let (n, h, g, v) = (self.size(1600), self.size(512), self.size(2048), self.size(16_000));
        for (name, n, m, k) in [("input product", n, g, h), ("output product", n, v, h)] {
            let (x, w) = (self.tensor(&[n, k]), Weight::new(&self.tensor(&[m, k])).unwrap());
            let bytes = 4 * (n * k + m * k + n * m);
            let mut y = Tensor::zeros(&self.device, [n, m]);
            self.line(name, bytes, 2 * n * m * k, || {
                ops::gemm_packed(&x, w.transposed(), Acc::Set, y.view_mut()?)
            });
            let mut dw = Tensor::zeros(&self.device, [m, k]);
            self.line(&format!("{name}, gradient of the weight"), bytes, 2 * n * m * k, || {
                ops::gemm(&y, Trans::T, &x, Trans::N, Acc::Add, dw.view_mut()?)
            });
        }
    }

    /// Floors count the weights once and all states of a step; the chain of steps is what takes longer.
    fn recurrent(&self) {
        let (t, b, h) = (self.size(25), self.size(64), self.size(512));
        let xp = [self.tensor(&[t, b, 4 * h]), self.tensor(&[t, b, 4 * h])];
        let w = [0, 1].map(|_| Weight::new(&self.tensor(&[4 * h, h])).unwrap());
        let zero = Tensor::zeros(&self.device, [b, h]);
        let x = [0, 1].map(|d| LstmOperands { xp: &xp[d], w_hh: &w[d], h0: &zero, c0: &zero });
        let (bytes, flop) = (2 * 4 * (4 * h * h + t * b * 10 * h), 2 * 2 * t * b * 4 * h * h);
        self.line("LSTM, both directions", bytes, flop, || ops::lstm_both_forward(x, None).map(drop));
        let [a, r] = ops::lstm_both_forward(x, None).unwrap();
        let outputs = [&a.0, &r.0].map(|dy| LstmOutputGrads { dy: Some(dy), ..LstmOutputGrads::default() });
        self.line("LSTM, both directions, backward", bytes, flop, || {
            ops::lstm_both_backward(outputs, [&a.3, &r.3], [&w[0], &w[1]]).map(drop)
        });
    }

    fn passes(&self) {
        let (n, e, v) = (self.size(1600), self.size(512), self.size(16_000));
        let table = self.tensor(&[v, e]);
        let ids = Ids::list((0..n).map(|i| (i * 31 % v) as u32).collect());
        self.line("embedding", 8 * n * e, 0, || ops::embedding(&table, &ids).map(drop));
        let logits = self.tensor(&[n, v]);
        self.line("cross entropy", 4 * n * v, 0, || {
            ops::cross_entropy(&logits, &ids, u32::MAX, 0.1).map(drop)
        });
        let saved = ops::cross_entropy(&logits, &ids, u32::MAX, 0.1).unwrap();
        let mut dz = Tensor::zeros(&self.device, [n, v]);
        self.line("cross entropy, backward", 8 * n * v, 0, || {
            ops::cross_entropy_backward(&logits, &ids, u32::MAX, 0.1, &saved, 1.0, Acc::Set, dz.view_mut()?)
        });
        self.line("softmax", 8 * n * v, 0, || ops::softmax(&logits).map(drop));
        self.line("bias gradient", 4 * n * v, 0, || ops::sum_rows(&logits).map(drop));
        self.line("copy", 8 * n * v, 0, || {
            drop(logits.deep_clone());
            Ok(())
        });
        self.line("tanh", 8 * n * v, 0, || ops::tanh(&logits).map(drop));

        let p = self.size(41_600_000).next_multiple_of(4);
        let (mut w, g) = (self.tensor(&[p]), self.tensor(&[p]));
        let [mut m, mut s] = [0, 1].map(|_| Tensor::zeros(&self.device, [p]));
        self.line("norm and clip factor", 4 * p, 0, || ops::clip_factor(&g, Some(1.0), &[]).map(drop));
        let scale = GradScale::new(1.0);
        let adam = AdamStep {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            step: 1,
        };
        self.line("Adam", 28 * p, 0, || {
            ops::adam(w.view_mut()?, &g, m.view_mut()?, s.view_mut()?, &adam, &scale)
        });
    }
}

#[test]
fn kernels_beside_their_floors() {
    let Some(cuda) = device() else { return };
    let measured = std::env::var_os("SEQWEAVE_MEASURE").is_some_and(|v| v == "1");
    let at = |precision| Measure {
        device: cuda.clone().with_precision(precision),
        shrink: if measured { 1 } else { 64 },
    };
    at(Precision::F32).passes();
    for precision in Precision::ALL {
        at(precision).products();
        at(precision).recurrent();
    }
    let Device::Cuda(device) = &cuda else { panic!("a device of CUDA") };
    let rounds = if measured { 10_000 } else { 5 };
    let clock = Instant::now();
    device.grid_barriers(rounds).unwrap();
    let us = clock.elapsed().as_secs_f64() * 1e6 / rounds as f64;
    if measured {
        let line = format!(
            "{{\"kernel\": \"grid barrier\", \"precision\": \"f32\", \"us\": {us:.3}, \"bytes\": 0, \"flop\": 0}}"
        );
        writeln!(std::io::stdout(), "{line}").unwrap();
    }
}
