//! Both scores against scalar formulas written independently, and the promises of the module.

use super::*;
use crate::{Device, Error};
use Score::{Additive, Dot};
use seqweave_testkit::{SplitMix64, assert_close};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Score {
    Dot,
    Additive,
}

#[derive(Clone, Debug)]
struct Case {
    score: Score,
    t: usize,
    b: usize,
    s: usize,
    h: usize,
    d: usize,
    lens: Vec<u32>,
}

/// The operands and, in the same order, their gradients; the dot product has no `v`.
const OPERANDS: [&str; 4] = ["q", "keys", "v", "values"];
type Operands = [Vec<f64>; 4];

/// Not a power of two, so that a wrong place for it shows.
const SCALE: f64 = 0.7;

impl Case {
    /// Both scores.
    fn all(t: usize, s: usize, h: usize, d: usize, lens: &[u32]) -> Vec<Case> {
        [Dot, Additive].map(|score| Case { score, t, b: lens.len(), s, h, d, lens: lens.to_vec() }).to_vec()
    }

    fn operands(&self) -> Operands {
        let mut rng = SplitMix64::new(5);
        let mut draw = |n| rng.uniforms(n, -1.0, 1.0).iter().map(|&x| x as Float as f64).collect();
        let v = if self.score == Additive { self.h } else { 0 };
        let (h, d) = (self.h, self.d);
        [draw(self.t * self.b * h), draw(self.s * self.b * h), draw(v), draw(self.s * self.b * d)]
    }

    /// What comes back to the context vectors: any numbers will do.
    fn dctx(&self) -> Vec<f64> {
        SplitMix64::new(3)
            .uniforms(self.t * self.b * self.d, -1.0, 1.0)
            .iter()
            .map(|&x| x as Float as f64)
            .collect()
    }

    fn tensors(&self, operands: &Operands) -> [Tensor; 4] {
        let (t, b, s, h, d) = (self.t, self.b, self.s, self.h, self.d);
        let [q, keys, v, values] = operands;
        [tensor(q, &[t, b, h]), tensor(keys, &[s, b, h]), tensor(v, &[v.len()]), tensor(values, &[s, b, d])]
    }

    /// `(ctx, align)`.
    fn forward(&self, operands: &Operands) -> [Vec<f64>; 2] {
        let [q, keys, v, values] = &self.tensors(operands);
        let lens = Ids::list(self.lens.clone());
        let (ctx, align) = match self.score {
            Dot => dot_attention(q, keys, values, &lens, SCALE as Float),
            Additive => additive_attention(q, keys, v, values, &lens),
        }
        .unwrap();
        [list(&ctx), list(&align)]
    }

    fn backward(&self, operands: &Operands, dctx: &[f64]) -> Operands {
        let [q, keys, v, values] = &self.tensors(operands);
        let lens = Ids::list(self.lens.clone());
        let dctx = tensor(dctx, &[self.t, self.b, self.d]);
        let align = tensor(&self.forward(operands)[1], &[self.t, self.b, self.s]);
        match self.score {
            Dot => {
                let scale = SCALE as Float;
                let (dq, dk, dvalues) =
                    dot_attention_backward(&dctx, q, keys, values, &align, &lens, scale).unwrap();
                [list(&dq), list(&dk), vec![], list(&dvalues)]
            }
            Additive => {
                let (dq, dk, dv, dvalues) =
                    additive_attention_backward(&dctx, q, keys, v, values, &align, &lens).unwrap();
                [list(&dq), list(&dk), list(&dv), list(&dvalues)]
            }
        }
    }

    /// The same case with sentence `b` alone, its operands and its `dctx`.
    fn alone(&self, b: usize, operands: &Operands, dctx: &[f64]) -> (Case, Operands, Vec<f64>) {
        let pick = |x: &[f64], width| row_of(x, self.b, b, width);
        let [q, keys, v, values] = operands;
        let operands = [pick(q, self.h), pick(keys, self.h), v.clone(), pick(values, self.d)];
        (Case { b: 1, lens: vec![self.lens[b]], ..self.clone() }, operands, pick(dctx, self.d))
    }

    /// Every padded memory entry, as `(s, b)`.
    fn padded(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.s)
            .flat_map(|s| (0..self.b).map(move |b| (s, b)))
            .filter(|&(s, b)| s >= self.lens[b] as usize)
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

/// The papers' formulas in f64, over unpadded memory.
fn naive(case: &Case, operands: &Operands) -> [Vec<f64>; 2] {
    let [q, keys, v, values] = operands;
    let (mut ctx, mut align) = (vec![0.0; case.t * case.b * case.d], vec![0.0; case.t * case.b * case.s]);
    for t in 0..case.t {
        for b in 0..case.b {
            let row = t * case.b + b;
            let score = |s: usize| -> f64 {
                let (q, k) = (&q[row * case.h..], &keys[(s * case.b + b) * case.h..]);
                (0..case.h)
                    .map(|i| match case.score {
                        Dot => SCALE * q[i] * k[i],
                        Additive => v[i] * (q[i] + k[i]).tanh(),
                    })
                    .sum()
            };
            let powers: Vec<f64> = (0..case.lens[b] as usize).map(|s| score(s).exp()).collect();
            for (s, power) in powers.iter().enumerate() {
                let weight = power / powers.iter().sum::<f64>();
                align[row * case.s + s] = weight;
                for j in 0..case.d {
                    ctx[row * case.d + j] += weight * values[(s * case.b + b) * case.d + j];
                }
            }
        }
    }
    [ctx, align]
}

fn small_cases() -> Vec<Case> {
    [
        Case::all(1, 1, 1, 1, &[1]),
        Case::all(1, 5, 17, 3, &[5, 1, 3]),
        Case::all(4, 3, 3, 17, &[2]),
        Case::all(3, 9, 33, 81, &[9, 4]),
        Case::all(2, 4, 16, 16, &[4, 4]),
        Case::all(2, 6, 1, 33, &[1, 5, 2]),
    ]
    .concat()
}

#[test]
fn the_forward_pass_is_the_papers() {
    let tolerance = if size_of::<Float>() == 4 { 1e-6 } else { 1e-14 };
    for case in small_cases() {
        let operands = case.operands();
        let ([ctx, align], [want_ctx, want_align]) = (case.forward(&operands), naive(&case, &operands));
        assert_close(&ctx, &want_ctx, tolerance, tolerance, &format!("ctx of {case:?}"));
        assert_close(&align, &want_align, tolerance, tolerance, &format!("align of {case:?}"));
    }
}

#[test]
fn the_backward_pass_is_the_derivative_of_the_papers() {
    let tolerance = if size_of::<Float>() == 4 { 5e-6 } else { 1e-8 };
    const EPS: f64 = 1e-5;
    for case in small_cases() {
        let (mut operands, dctx) = (case.operands(), case.dctx());
        let got = case.backward(&operands, &dctx);
        let loss = |operands: &Operands| -> f64 {
            naive(&case, operands)[0].iter().zip(&dctx).map(|(x, g)| x * g).sum()
        };
        for (i, name) in OPERANDS.iter().enumerate() {
            assert_eq!(got[i].len(), operands[i].len());
            for j in 0..operands[i].len() {
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
fn padded_memory_gives_nothing_and_takes_nothing() {
    for t in [1, 3] {
        for case in Case::all(t, 5, 7, 6, &[2, 5, 3]) {
            let (operands, dctx) = (case.operands(), case.dctx());
            let (results, grads) = (case.forward(&operands), case.backward(&operands, &dctx));
            let mut spoiled = operands.clone();
            for (s, b) in case.padded() {
                let (key, value) = (s * 3 + b, s * 3 + b);
                spoiled[1][key * 7..(key + 1) * 7].fill(f64::NAN);
                spoiled[3][value * 6..(value + 1) * 6].fill(f64::NAN);
                assert!(
                    (0..t).all(|t| bits(&results[1])[(t * 3 + b) * 5 + s] == 0),
                    "align[.,{b},{s}] of {case:?}"
                );
                assert!(
                    grads[1][key * 7..(key + 1) * 7].iter().all(|&d| d == 0.0),
                    "dkeys[{s},{b}] of {case:?}"
                );
                assert!(
                    grads[3][value * 6..(value + 1) * 6].iter().all(|&d| d == 0.0),
                    "dvalues[{s},{b}] of {case:?}"
                );
            }
            assert_eq!(case.forward(&spoiled), results, "{case:?}");
            assert_eq!(case.backward(&spoiled, &dctx), grads, "{case:?}");

            // Three more padded entries at the end: the same, and zeros.
            let longer = Case { s: 8, ..case.clone() };
            let (mut want_keys, mut want_values) = (grads[1].clone(), grads[3].clone());
            spoiled[1].resize(8 * 3 * 7, f64::NAN);
            spoiled[3].resize(8 * 3 * 6, f64::NAN);
            want_keys.resize(8 * 3 * 7, 0.0);
            want_values.resize(8 * 3 * 6, 0.0);
            let want_align: Vec<f64> =
                results[1].chunks(5).flat_map(|row| [row, &[0.0; 3]].concat()).collect();
            assert_eq!(longer.forward(&spoiled), [results[0].clone(), want_align], "{case:?}");
            let got = longer.backward(&spoiled, &dctx);
            assert_eq!(got, [grads[0].clone(), want_keys, grads[2].clone(), want_values], "{case:?}");
        }
    }
}

#[test]
fn a_sentence_does_not_know_its_neighbours() {
    for t in [1, 4] {
        for case in Case::all(t, 6, 33, 17, &[3, 6, 1, 5]) {
            let (operands, dctx) = (case.operands(), case.dctx());
            let (results, grads) = (case.forward(&operands), case.backward(&operands, &dctx));
            for b in 0..4 {
                let (alone, operands, dctx) = case.alone(b, &operands, &dctx);
                for (got, (all, width)) in alone.forward(&operands).iter().zip(results.iter().zip([17, 6])) {
                    assert_eq!(bits(got), bits(&row_of(all, 4, b, width)), "sentence {b} of {case:?}");
                }
                let got = alone.backward(&operands, &dctx);
                for (i, width) in [(0, 33), (1, 33), (3, 17)] {
                    assert_eq!(
                        bits(&got[i]),
                        bits(&row_of(&grads[i], 4, b, width)),
                        "d{} of {b}, {case:?}",
                        OPERANDS[i]
                    );
                }
            }
        }
    }
}

#[test]
fn a_query_alone_is_the_query_among_others() {
    for case in Case::all(4, 6, 33, 17, &[3, 6, 1]) {
        let operands = case.operands();
        let [ctx, align] = case.forward(&operands);
        for t in 0..4 {
            let step = Case { t: 1, ..case.clone() };
            let mut operands = operands.clone();
            operands[0] = operands[0][t * 3 * 33..(t + 1) * 3 * 33].to_vec();
            let [step_ctx, step_align] = step.forward(&operands);
            assert_eq!(bits(&step_ctx), bits(&ctx[t * 3 * 17..(t + 1) * 3 * 17]), "ctx[{t}] of {case:?}");
            assert_eq!(bits(&step_align), bits(&align[t * 3 * 6..(t + 1) * 3 * 6]), "align[{t}] of {case:?}");
        }
    }
}

#[test]
fn threads_and_instruction_sets_change_nothing() {
    // Wide enough for the sentences to run in parallel.
    for case in Case::all(3, 11, 130, 133, &[11, 3, 7, 1, 10, 11, 11, 2, 5, 6, 8, 9, 4, 10, 11, 1]) {
        let (operands, dctx) = (case.operands(), case.dctx());
        let run = || {
            let (results, grads) = (case.forward(&operands), case.backward(&operands, &dctx));
            results.iter().chain(&grads).map(|x| bits(x)).collect::<Vec<_>>()
        };
        let want = run();
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(run) == want, "{threads} threads, {case:?}");
        }
        crate::level::for_each_level(|level| assert!(run() == want, "{level:?}, {case:?}"));
    }
}

#[test]
fn scores_of_any_size_are_weighed() {
    // Without the maximum taken off first, e^1000 would overflow.
    let (q, keys) = (tensor(&[1000.0], &[1, 1, 1]), tensor(&[1.0, 1.0, -1.0], &[3, 1, 1]));
    let values = tensor(&[2.0, 4.0, 8.0], &[3, 1, 1]);
    let (ctx, align) = dot_attention(&q, &keys, &values, &Ids::list(vec![3]), 1.0).unwrap();
    assert_eq!((list(&ctx), list(&align)), (vec![3.0], vec![0.5, 0.5, 0.0]));
}

/// What is wrong with the operands, as the error says it.
#[track_caller]
fn check_error<T>(result: Result<T>, want: &str) {
    let message = result.err().expect("this call must fail").to_string();
    assert!(message.contains(want), "{message:?} does not contain {want:?}");
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let zeros = |shape: &[usize]| Tensor::zeros(&Device::cpu(), shape);
    let (q, keys, values, v, align) =
        (zeros(&[2, 3, 5]), zeros(&[4, 3, 5]), zeros(&[4, 3, 6]), zeros(&[5]), zeros(&[2, 3, 4]));
    let lens = Ids::list(vec![4, 1, 2]);
    let dctx = zeros(&[2, 3, 6]);
    let dot = |q: &Tensor, keys: &Tensor, values: &Tensor, lens: Vec<u32>| {
        dot_attention(q, keys, values, &Ids::list(lens), 1.0)
    };
    let fit = || vec![4, 1, 2];
    assert!(dot(&q, &keys, &values, fit()).is_ok());
    check_error(
        dot(&v, &keys, &values, fit()),
        "attention queries [T,B,H]: expected 3 axes, found shape [5]",
    );
    check_error(dot(&q, &v, &values, fit()), "attention keys [S,B,H]: expected 3 axes");
    check_error(dot(&q, &keys, &v, fit()), "attention values [S,B,D]: expected 3 axes");
    check_error(
        dot(&zeros(&[0, 3, 5]), &keys, &values, fit()),
        "dot attention: expected queries with every extent",
    );
    check_error(
        dot(&q, &values, &values, fit()),
        "dot attention: expected keys of shape [4, 3, 5], found [4, 3, 6]",
    );
    check_error(
        dot(&q, &keys, &q, fit()),
        "dot attention: expected values of shape [4, 3, 5], found [2, 3, 5]",
    );
    check_error(
        dot(&q, &keys, &zeros(&[4, 3, 0]), fit()),
        "dot attention: expected values with every extent",
    );
    check_error(dot(&q, &keys, &values, vec![1, 2]), "dot attention: expected lens of shape [3], found [2]");
    let range = "dot attention: every length must be between 1 and the number of steps, found ";
    check_error(dot(&q, &keys, &values, vec![4, 0, 1]), &format!("{range}0 in row 1 of 4 steps"));
    check_error(dot(&q, &keys, &values, vec![4, 1, 5]), &format!("{range}5 in row 2 of 4 steps"));
    assert!(matches!(dot(&q, &keys, &values, vec![4, 1, 5]), Err(Error::Value { .. })));
    check_error(dot(&q, &zeros(&[0, 3, 5]), &zeros(&[0, 3, 6]), fit()), "with every extent at least 1");

    let additive = |v: &Tensor| additive_attention(&q, &keys, v, &values, &lens);
    assert!(additive(&v).is_ok());
    check_error(additive(&q), "additive attention: expected v of shape [5], found [2, 3, 5]");

    let name = "dot attention backward: expected";
    let back = |dctx, keys, align| dot_attention_backward(dctx, &q, keys, &values, align, &lens, 1.0);
    assert!(back(&dctx, &keys, &align).is_ok());
    check_error(back(&q, &keys, &align), &format!("{name} dctx of shape [2, 3, 6], found [2, 3, 5]"));
    check_error(back(&dctx, &keys, &q), &format!("{name} align of shape [2, 3, 4], found [2, 3, 5]"));
    check_error(back(&dctx, &values, &align), &format!("{name} keys of shape [4, 3, 5]"));

    let name = "additive attention backward: expected";
    let back = |dctx, v, align| additive_attention_backward(dctx, &q, &keys, v, &values, align, &lens);
    assert!(back(&dctx, &v, &align).is_ok());
    check_error(back(&q, &v, &align), &format!("{name} dctx of shape [2, 3, 6]"));
    check_error(back(&dctx, &q, &align), &format!("{name} v of shape [5]"));
    check_error(back(&dctx, &v, &q), &format!("{name} align of shape [2, 3, 4]"));
}
