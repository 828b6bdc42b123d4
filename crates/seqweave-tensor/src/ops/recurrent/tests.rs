//! The three cells against scalar formulas written independently, and the promises of the module.

use super::*;
use crate::ops::{Weight, matmul};
use crate::{Error, Trans};
use Cell::{Gru, Lstm, Rnn};
use Direction::{Forward, Reverse};
use seqweave_testkit::{SplitMix64, assert_close};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Lstm,
    Gru,
    Rnn,
}

#[derive(Clone, Debug)]
struct Case {
    cell: Cell,
    direction: Direction,
    t: usize,
    b: usize,
    h: usize,
    lens: Option<Vec<u32>>,
}

/// The operands of any cell and, in the same order, their gradients; those a cell does not have are empty.
const OPERANDS: [&str; 5] = ["xp", "w_hh", "b_hh", "h0", "c0"];
type Operands = [Vec<f64>; 5];
/// The results of any cell and, in the same order, the gradients that come back to them; an LSTM alone has `c_n`.
const RESULTS: [&str; 3] = ["y", "h_n", "c_n"];
type Results = [Vec<f64>; 3];

impl Case {
    /// Every cell in both directions.
    fn all(t: usize, b: usize, h: usize, lens: Option<&[u32]>) -> Vec<Case> {
        let lens = lens.map(<[u32]>::to_vec);
        [Lstm, Gru, Rnn]
            .into_iter()
            .flat_map(|cell| {
                [Forward, Reverse].map(|direction| Case { cell, direction, t, b, h, lens: lens.clone() })
            })
            .collect()
    }

    fn gates(&self) -> usize {
        match self.cell {
            Lstm => 4,
            Gru => 3,
            Rnn => 1,
        }
    }

    fn len(&self, b: usize) -> usize {
        self.lens.as_ref().map_or(self.t, |lens| lens[b] as usize)
    }

    fn is_padded(&self, t: usize, b: usize) -> bool {
        t >= self.len(b)
    }

    fn operands(&self) -> Operands {
        let (g, h) = (self.gates(), self.h);
        let b_hh = if self.cell == Gru { 3 * h } else { 0 };
        let c0 = if self.cell == Lstm { self.b * h } else { 0 };
        let mut rng = SplitMix64::new(7);
        let mut draw = |n, low, high| rng.uniforms(n, low, high).iter().map(|&x| x as Float as f64).collect();
        let spread = 1.5 / (h as f64).sqrt();
        [
            draw(self.t * self.b * g * h, -2.0, 2.0),
            draw(g * h * h, -spread, spread),
            draw(b_hh, -1.0, 1.0),
            draw(self.b * h, -1.0, 1.0),
            draw(c0, -2.0, 2.0),
        ]
    }

    /// What comes back to the results: any numbers will do.
    fn gradients(&self) -> Results {
        let c_n = if self.cell == Lstm { self.b * self.h } else { 0 };
        let mut rng = SplitMix64::new(11);
        let mut draw = |n| rng.uniforms(n, -1.0, 1.0).iter().map(|&x| x as Float as f64).collect();
        [draw(self.t * self.b * self.h), draw(self.b * self.h), draw(c_n)]
    }

    fn tensors(&self, operands: &Operands) -> [Tensor; 5] {
        let (t, b, g, h) = (self.t, self.b, self.gates() * self.h, self.h);
        let [xp, w_hh, b_hh, h0, c0] = operands;
        [
            tensor(xp, &[t, b, g]),
            tensor(w_hh, &[g, h]),
            tensor(b_hh, &[b_hh.len()]),
            tensor(h0, &[b, h]),
            tensor(c0, &[c0.len() / h, h]),
        ]
    }

    fn ids(&self) -> Option<Ids> {
        self.lens.clone().map(Ids::list)
    }

    /// The one place that calls the operations.
    fn run(
        &self,
        operands: &Operands,
        gradients: Option<[Option<&[f64]>; 3]>,
    ) -> (Results, Option<Operands>) {
        let [xp, w, b_hh, h0, c0] = &self.tensors(operands);
        let w = &Weight::new(w).unwrap();
        let (lens, direction, h) = (self.ids(), self.direction, self.h);
        let given = gradients.map(|[dy, dh_n, dc_n]| {
            let state = |d: Option<&[f64]>| d.map(|d| tensor(d, &[self.b, h]));
            (dy.map(|d| tensor(d, &[self.t, self.b, h])), state(dh_n), state(dc_n))
        });
        match self.cell {
            Lstm => {
                let (y, h_n, c_n, saved) = lstm_forward(xp, w, h0, c0, lens.as_ref(), direction).unwrap();
                let grads = given.map(|(dy, dh_n, dc_n)| {
                    let g = lstm_backward(dy.as_ref(), dh_n.as_ref(), dc_n.as_ref(), &saved, w).unwrap();
                    [list(&g.dxp), dw(&g.dxp, &g.h_before), vec![], list(&g.dh0), list(&g.dc0)]
                });
                ([list(&y), list(&h_n), list(&c_n)], grads)
            }
            Gru => {
                let (y, h_n, saved) = gru_forward(xp, w, b_hh, h0, lens.as_ref(), direction).unwrap();
                let grads = given.map(|(dy, dh_n, _)| {
                    let g = gru_backward(dy.as_ref(), dh_n.as_ref(), &saved, w).unwrap();
                    [list(&g.dxp), dw(&g.dp, &g.h_before), list(&g.db_hh), list(&g.dh0), vec![]]
                });
                ([list(&y), list(&h_n), vec![]], grads)
            }
            Rnn => {
                let (y, h_n, saved) = rnn_forward(xp, w, h0, lens.as_ref(), direction).unwrap();
                let grads = given.map(|(dy, dh_n, _)| {
                    let g = rnn_backward(dy.as_ref(), dh_n.as_ref(), &saved, w).unwrap();
                    [list(&g.dxp), dw(&g.dxp, &g.h_before), vec![], list(&g.dh0), vec![]]
                });
                ([list(&y), list(&h_n), vec![]], grads)
            }
        }
    }

    fn infer(&self, operands: &Operands) -> Results {
        let [xp, w, b_hh, h0, c0] = &self.tensors(operands);
        let (w, lens) = (Weight::new(w).unwrap(), self.ids());
        let (lens, direction) = (lens.as_ref(), self.direction);
        match self.cell {
            Lstm => {
                let (y, h_n, c_n) = lstm_infer(xp, &w, h0, c0, lens, direction).unwrap();
                [list(&y), list(&h_n), list(&c_n)]
            }
            Gru => {
                let (y, h_n) = gru_infer(xp, &w, b_hh, h0, lens, direction).unwrap();
                [list(&y), list(&h_n), vec![]]
            }
            Rnn => {
                let (y, h_n) = rnn_infer(xp, &w, h0, lens, direction).unwrap();
                [list(&y), list(&h_n), vec![]]
            }
        }
    }

    fn forward(&self, operands: &Operands) -> Results {
        self.run(operands, None).0
    }

    fn backward(&self, operands: &Operands, gradients: &Results) -> Operands {
        let [dy, dh_n, dc_n] = gradients;
        let dc_n = (!dc_n.is_empty()).then_some(&dc_n[..]);
        self.run(operands, Some([Some(dy), Some(dh_n), dc_n])).1.unwrap()
    }

    /// The same case with row `b` alone, and row `b` of operands and gradients.
    fn alone(&self, b: usize, operands: &Operands, gradients: &Results) -> (Case, Operands, Results) {
        let lens = self.lens.as_ref().map(|lens| vec![lens[b]]);
        let [xp, w_hh, b_hh, h0, c0] = operands;
        let pick = |x: &[f64], width| row_of(x, self.b, b, width);
        let h = self.h;
        let operands = [pick(xp, self.gates() * h), w_hh.clone(), b_hh.clone(), pick(h0, h), pick(c0, h)];
        let gradients = [0, 1, 2].map(|i| pick(&gradients[i], h));
        (Case { b: 1, lens, ..self.clone() }, operands, gradients)
    }
}

fn tensor(data: &[f64], shape: &[usize]) -> Tensor {
    let data = data.iter().map(|&x| x as Float).collect();
    Tensor::from_vec(&Device::cpu(), data, shape).unwrap()
}

fn list(x: &Tensor) -> Vec<f64> {
    x.to_vec().into_iter().map(|x| x as f64).collect()
}

/// The bits, by which even the sign of a zero counts.
fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Row `b` of every `[batch, width]` block of `x`.
fn row_of(x: &[f64], batch: usize, b: usize, width: usize) -> Vec<f64> {
    x.chunks(batch * width).flat_map(|step| step[b * width..(b + 1) * width].to_vec()).collect()
}

/// The textbook, in f64: one row after the other, one unit after the other, no padding anywhere.
fn naive(case: &Case, operands: &Operands) -> Results {
    let [xp, w, b_hh, h0, c0] = operands;
    let (h, g) = (case.h, case.gates());
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut y, mut h_n, mut c_n) = (vec![0.0; case.t * case.b * h], h0.clone(), c0.clone());
    for b in 0..case.b {
        let mut times: Vec<usize> = (0..case.len(b)).collect();
        if case.direction == Reverse {
            times.reverse();
        }
        for t in times {
            let before = h_n[b * h..(b + 1) * h].to_vec();
            let x = |gate: usize, k: usize| xp[(t * case.b + b) * g * h + gate * h + k];
            let p = |gate: usize, k: usize| -> f64 {
                (0..h).map(|j| w[(gate * h + k) * h + j] * before[j]).sum()
            };
            for k in 0..h {
                let out = match case.cell {
                    Lstm => {
                        let i = sigmoid(x(0, k) + p(0, k));
                        let f = sigmoid(x(1, k) + p(1, k));
                        let g = (x(2, k) + p(2, k)).tanh();
                        let o = sigmoid(x(3, k) + p(3, k));
                        c_n[b * h + k] = f * c_n[b * h + k] + i * g;
                        o * c_n[b * h + k].tanh()
                    }
                    Gru => {
                        let r = sigmoid(x(0, k) + p(0, k) + b_hh[k]);
                        let z = sigmoid(x(1, k) + p(1, k) + b_hh[h + k]);
                        let n = (x(2, k) + r * (p(2, k) + b_hh[2 * h + k])).tanh();
                        (1.0 - z) * n + z * before[k]
                    }
                    Rnn => (x(0, k) + p(0, k)).tanh(),
                };
                h_n[b * h + k] = out;
                y[(t * case.b + b) * h + k] = out;
            }
        }
    }
    [y, h_n, c_n]
}

/// Shapes with ragged, full and single rows, one step, odd widths, and no row as long as the tensor.
fn small_cases() -> Vec<Case> {
    [
        Case::all(1, 1, 1, None),
        Case::all(1, 3, 17, None),
        Case::all(1, 2, 3, Some(&[1, 1])),
        Case::all(4, 1, 3, None),
        Case::all(6, 4, 1, Some(&[2, 6, 1, 3])),
        Case::all(5, 3, 17, Some(&[5, 2, 4])),
        Case::all(3, 2, 33, Some(&[1, 3])),
        Case::all(4, 2, 3, Some(&[2, 3])),
        Case::all(4, 2, 3, Some(&[4, 4])),
    ]
    .concat()
}

#[test]
fn the_forward_pass_is_the_textbooks() {
    let rtol = if size_of::<Float>() == 4 { 2e-6 } else { 1e-13 };
    for case in small_cases() {
        let operands = case.operands();
        let (got, want) = (case.forward(&operands), naive(&case, &operands));
        for (i, name) in RESULTS.iter().enumerate() {
            assert_close(&got[i], &want[i], rtol, rtol, &format!("{name} of {case:?}"));
        }
    }
}

#[test]
fn the_backward_pass_is_the_derivative_of_the_textbooks() {
    // Central differences of the f64 formulas are good to about 1e-9.
    let tolerance = if size_of::<Float>() == 4 { 2e-5 } else { 1e-8 };
    const EPS: f64 = 1e-5;
    for case in small_cases() {
        let (mut operands, gradients) = (case.operands(), case.gradients());
        let got = case.backward(&operands, &gradients);
        let loss = |operands: &Operands| -> f64 {
            let results = naive(&case, operands);
            results.iter().flatten().zip(gradients.iter().flatten()).map(|(x, g)| x * g).sum()
        };
        for (i, name) in OPERANDS.iter().enumerate() {
            assert_eq!(got[i].len(), operands[i].len());
            // Large operands are sampled: an odd stride meets every gate.
            let stride = (operands[i].len() / 300) | 1;
            for j in (0..operands[i].len()).step_by(stride) {
                let x = operands[i][j];
                operands[i][j] = x + EPS;
                let up = loss(&operands);
                operands[i][j] = x - EPS;
                let want = (up - loss(&operands)) / (2.0 * EPS);
                operands[i][j] = x;
                assert_close(
                    &[got[i][j]],
                    &[want],
                    tolerance,
                    tolerance,
                    &format!("d{name}[{j}] of {case:?}"),
                );
            }
        }
    }
}

#[test]
fn inference_gives_the_bits_of_training() {
    for case in small_cases() {
        let operands = case.operands();
        for (got, want) in case.infer(&operands).iter().zip(case.forward(&operands)) {
            assert_eq!(bits(got), bits(&want), "{case:?}");
        }
    }
}

#[test]
fn a_gradient_that_is_not_given_counts_as_zero() {
    for case in Case::all(4, 3, 5, Some(&[4, 1, 3])) {
        let (operands, gradients) = (case.operands(), case.gradients());
        for given in [[true, false, false], [false, true, false], [false, false, true], [false, false, false]]
        {
            let mut zeroed = gradients.clone();
            (0..3).filter(|&i| !given[i]).for_each(|i| zeroed[i].fill(0.0));
            let options =
                [0, 1, 2].map(|i| (given[i] && !gradients[i].is_empty()).then_some(&gradients[i][..]));
            let got = case.run(&operands, Some(options)).1.unwrap();
            assert_eq!(got, case.backward(&operands, &zeroed), "{given:?} of {case:?}");
        }
    }
}

#[test]
fn padded_steps_give_nothing_and_take_nothing() {
    for case in Case::all(5, 3, 7, Some(&[2, 5, 3])) {
        let (operands, gradients) = (case.operands(), case.gradients());
        let (results, grads) = (case.forward(&operands), case.backward(&operands, &gradients));
        let (mut spoiled, mut spoiled_gradients) = (operands.clone(), gradients.clone());
        for (t, b) in (0..5).flat_map(|t| (0..3).map(move |b| (t, b))).filter(|&(t, b)| case.is_padded(t, b))
        {
            let width = case.gates() * 7;
            let (gates, units) =
                ((t * 3 + b) * width..(t * 3 + b + 1) * width, (t * 3 + b) * 7..(t * 3 + b + 1) * 7);
            assert!(results[0][units.clone()].iter().all(|&y| y == 0.0), "y[{t},{b}] of {case:?}");
            assert!(grads[0][gates.clone()].iter().all(|&d| d == 0.0), "dxp[{t},{b}] of {case:?}");
            spoiled[0][gates].fill(f64::NAN);
            spoiled_gradients[0][units].fill(f64::NAN);
        }
        assert_eq!(case.forward(&spoiled), results, "{case:?}");
        assert_eq!(case.backward(&spoiled, &spoiled_gradients), grads, "{case:?}");

        // Three more padded steps at the end: the same, then zeros.
        let longer = Case { t: 8, ..case.clone() };
        spoiled[0].resize(8 * 3 * case.gates() * 7, f64::NAN);
        spoiled_gradients[0].resize(8 * 3 * 7, f64::NAN);
        let (mut want, mut want_grads) = (results, grads);
        want[0].resize(8 * 3 * 7, 0.0);
        want_grads[0].resize(8 * 3 * case.gates() * 7, 0.0);
        assert_eq!(longer.forward(&spoiled), want, "{case:?}");
        assert_eq!(longer.backward(&spoiled, &spoiled_gradients), want_grads, "{case:?}");
    }
}

#[test]
fn a_row_does_not_know_its_neighbours() {
    for case in Case::all(4, 5, 33, Some(&[3, 1, 4, 2, 4])) {
        let (operands, gradients) = (case.operands(), case.gradients());
        let (results, grads) = (case.forward(&operands), case.backward(&operands, &gradients));
        let widths = [case.gates() * 33, 0, 0, 33, 33];
        for b in 0..5 {
            let (alone, operands, gradients) = case.alone(b, &operands, &gradients);
            let got = alone.forward(&operands);
            for (i, name) in RESULTS.iter().enumerate() {
                assert_eq!(
                    bits(&got[i]),
                    bits(&row_of(&results[i], 5, b, 33)),
                    "{name} of row {b} of {case:?}"
                );
            }
            let got = alone.backward(&operands, &gradients);
            for i in [0, 3, 4] {
                assert_eq!(
                    got[i],
                    row_of(&grads[i], 5, b, widths[i]),
                    "d{} of row {b} of {case:?}",
                    OPERANDS[i]
                );
            }
        }
    }
}

#[test]
fn reverse_is_forward_on_the_reversed_sequence() {
    let reversed = |x: &[f64], steps: usize| -> Vec<f64> {
        x.chunks(x.len() / steps).rev().flatten().copied().collect()
    };
    for cell in [Lstm, Gru, Rnn] {
        let case = Case { cell, direction: Reverse, t: 6, b: 3, h: 17, lens: None };
        let mirrored = Case { direction: Forward, ..case.clone() };
        let (mut operands, mut gradients) = (case.operands(), case.gradients());
        let (results, grads) = (case.forward(&operands), case.backward(&operands, &gradients));
        operands[0] = reversed(&operands[0], 6);
        gradients[0] = reversed(&gradients[0], 6);
        let (mut got, mut got_grads) =
            (mirrored.forward(&operands), mirrored.backward(&operands, &gradients));
        got[0] = reversed(&got[0], 6);
        got_grads[0] = reversed(&got_grads[0], 6);
        assert_eq!(got, results, "{case:?}");
        for i in [0, 3, 4] {
            assert_eq!(got_grads[i], grads[i], "d{} of {case:?}", OPERANDS[i]);
        }
        // The sums over time run the other way round.
        for i in [1, 2] {
            assert_close(&got_grads[i], &grads[i], 1e-5, 1e-5, OPERANDS[i]);
        }
    }
}

#[test]
fn threads_and_instruction_sets_change_nothing() {
    // Wide enough for threads to share a walk: by units where they are whole panels (192 of them for three threads, too),
    // else by the rows and the products of each step. One step, one row and two, a step at which every row is padding.
    let lens: Vec<u32> = (0..70).map(|b| b % 3 + 1).collect();
    let cases = [130, 128, 192].into_iter().flat_map(|h| Case::all(3, 70, h, Some(&lens)));
    let small =
        [Case::all(1, 70, 128, None), Case::all(2, 1, 512, None), Case::all(4, 2, 512, Some(&[3, 1]))];
    for case in cases.chain(small.into_iter().flatten()) {
        let (operands, gradients) = (case.operands(), case.gradients());
        let run = || {
            let (results, grads) = (case.forward(&operands), case.backward(&operands, &gradients));
            results.iter().chain(&grads).map(|x| bits(x)).collect::<Vec<_>>()
        };
        let want = run();
        for threads in [1, 2, 3, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(run) == want, "{threads} threads, {case:?}");
        }
        crate::level::for_each_level(|level| assert!(run() == want, "{level:?}, {case:?}"));
    }
}

/// What is wrong with the operands, as the error says it.
/// The gradient of `w_hh` from its two factors.
fn dw(dgates: &Tensor, h_before: &Tensor) -> Vec<f64> {
    list(&matmul(dgates, Trans::T, h_before, Trans::N).unwrap())
}

#[track_caller]
fn check_error<T>(result: Result<T>, want: &str) {
    let message = result.err().expect("this call must fail").to_string();
    assert!(message.contains(want), "{message:?} does not contain {want:?}");
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let zeros = |shape: &[usize]| Tensor::zeros(&Device::cpu(), shape);
    let weight = |shape: &[usize]| Weight::new(&zeros(shape)).unwrap();
    let (xp, w, h0) = (zeros(&[3, 2, 20]), weight(&[20, 5]), zeros(&[2, 5]));
    let (w_value, h0_weight) = (w.value().clone(), Weight::new(&h0).unwrap());
    let forward = |xp: &Tensor, w: &Weight, h0: &Tensor, c0: &Tensor, lens: Option<Vec<u32>>| {
        lstm_forward(xp, w, h0, c0, lens.map(Ids::list).as_ref(), Forward)
    };
    check_error(
        lstm_infer(&xp, &weight(&[15, 5]), &h0, &h0, None, Forward),
        "lstm: expected w_hh of shape [20, 5], found [15, 5]",
    );
    check_error(
        forward(&w_value, &w, &h0, &h0, None),
        "xp [T,B,gates*H]: expected 3 axes, found shape [20, 5]",
    );
    check_error(forward(&xp, &w, &xp, &h0, None), "h0 [B,H]: expected 2 axes, found shape [3, 2, 20]");
    check_error(
        forward(&zeros(&[3, 2, 15]), &w, &h0, &h0, None),
        "lstm: expected xp of shape [3, 2, 20], found [3, 2, 15]",
    );
    check_error(
        forward(&zeros(&[0, 2, 20]), &w, &h0, &h0, None),
        "lstm: expected xp with every extent at least 1",
    );
    check_error(
        forward(&xp, &weight(&[5, 20]), &h0, &h0, None),
        "lstm: expected w_hh of shape [20, 5], found [5, 20]",
    );
    check_error(
        forward(&xp, &w, &zeros(&[3, 5]), &h0, None),
        "lstm: expected h0 of shape [2, 5], found [3, 5]",
    );
    check_error(
        forward(&xp, &w, &h0, &zeros(&[2, 4]), None),
        "lstm: expected c0 of shape [2, 5], found [2, 4]",
    );
    check_error(forward(&xp, &w, &h0, &h0, Some(vec![3])), "lstm: expected lens of shape [2], found [1]");
    let range = "lstm: every length must be between 1 and the number of steps, found ";
    check_error(forward(&xp, &w, &h0, &h0, Some(vec![3, 0])), &format!("{range}0 in row 1 of 3 steps"));
    check_error(forward(&xp, &w, &h0, &h0, Some(vec![4, 1])), &format!("{range}4 in row 0 of 3 steps"));
    assert!(matches!(forward(&xp, &w, &h0, &h0, Some(vec![4, 1])), Err(Error::Value { .. })));

    let saved = forward(&xp, &w, &h0, &h0, None).unwrap().3;
    let backward = |dy, dh_n, dc_n, w| lstm_backward(dy, dh_n, dc_n, &saved, w);
    check_error(
        backward(Some(&h0), None, None, &w),
        "lstm backward: expected dy of shape [3, 2, 5], found [2, 5]",
    );
    check_error(
        backward(None, Some(&w_value), None, &w),
        "lstm backward: expected dh_n of shape [2, 5], found [20, 5]",
    );
    check_error(
        backward(None, None, Some(&w_value), &w),
        "lstm backward: expected dc_n of shape [2, 5], found [20, 5]",
    );
    check_error(
        backward(None, None, None, &h0_weight),
        "lstm backward: expected w_hh of shape [20, 5], found [2, 5]",
    );

    let (xp, w) = (zeros(&[3, 2, 15]), weight(&[15, 5]));
    check_error(
        gru_forward(&xp, &w, &zeros(&[5]), &h0, None, Forward),
        "gru: expected b_hh of shape [15], found [5]",
    );
    let saved = gru_forward(&xp, &w, &zeros(&[15]), &h0, None, Forward).unwrap().2;
    check_error(gru_backward(Some(&h0), None, &saved, &w), "gru backward: expected dy of shape [3, 2, 5]");
    check_error(
        gru_backward(None, Some(&w_value), &saved, &w),
        "gru backward: expected dh_n of shape [2, 5]",
    );
    check_error(gru_backward(None, None, &saved, &h0_weight), "gru backward: expected w_hh of shape [15, 5]");

    let (xp, w) = (zeros(&[3, 2, 5]), weight(&[5, 5]));
    check_error(rnn_forward(&xp, &w, &zeros(&[2, 6]), None, Forward), "rnn: expected xp of shape [3, 2, 6]");
    let saved = rnn_forward(&xp, &w, &h0, None, Forward).unwrap().2;
    check_error(rnn_backward(Some(&h0), None, &saved, &w), "rnn backward: expected dy of shape [3, 2, 5]");
    check_error(
        rnn_backward(None, Some(&w_value), &saved, &w),
        "rnn backward: expected dh_n of shape [2, 5]",
    );
    check_error(rnn_backward(None, None, &saved, &h0_weight), "rnn backward: expected w_hh of shape [5, 5]");
}
