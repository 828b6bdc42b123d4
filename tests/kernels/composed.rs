//! Fused operations against readable compositions of small ones, in values and gradients.
//!
//! The compositions are the definition: slow, one step at a time, one row at a time.

use crate::table::{ids, ragged, table, tensor, weight};
use seqweave_autograd::{self as ag, Result, Tape, Var, record};
use seqweave_tensor::ops::Direction::{self, Forward, Reverse};
use seqweave_tensor::{Float, Ids, Tensor, ops};
use seqweave_testkit::assert_close;

/// Several rounding steps lie between the two ways; a wrong formula is off by far more.
const RTOL: f64 = if size_of::<Float>() == 8 { 1e-11 } else { 2e-4 };
const ATOL: f64 = if size_of::<Float>() == 8 { 1e-12 } else { 2e-5 };

/// Asserts that two computations of the same outputs from the same inputs agree, forward and backward.
fn assert_equal(
    what: &str,
    inputs: &[Tensor],
    fused: impl Fn(&[Var]) -> Result<Vec<Var>>,
    composed: impl Fn(&[Var]) -> Result<Vec<Var>>,
) {
    type Outcome = (Vec<Vec<Float>>, Vec<Vec<Float>>); // outputs, gradients
    let run = |f: &dyn Fn(&[Var]) -> Result<Vec<Var>>| -> Result<Outcome> {
        let tape = Tape::new();
        let x: Vec<Var> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
        let outputs = f(&x)?;
        let mut loss = tape.leaf(Tensor::scalar(inputs[0].device(), 0.0));
        for (i, y) in outputs.iter().enumerate() {
            let weights = Var::constant(tensor(*y.shape(), 9.1 + i as f64));
            loss = ag::add(&loss, &ag::sum(&ag::mul(y, &weights)?)?)?;
        }
        let gradients = tape.backward(&loss, None)?;
        let of = |x: &Var| gradients.get(x).expect("every input is used").to_vec();
        Ok((outputs.iter().map(|y| y.value().to_vec()).collect(), x.iter().map(of).collect()))
    };
    let (got, want) = (run(&fused).unwrap(), run(&composed).unwrap());
    for (i, (got, want)) in got.0.iter().zip(&want.0).enumerate() {
        assert_close(got, want, RTOL, ATOL, &format!("{what}: output {i}"));
    }
    for (i, (got, want)) in got.1.iter().zip(&want.1).enumerate() {
        assert_close(got, want, RTOL, ATOL, &format!("{what}: gradient of input {i}"));
    }
}

const SIZES: &[[usize; 3]] = &[[1, 1, 1], [1, 3, 5], [7, 1, 4], [6, 4, 3], [3, 2, 33]];

/// Steps in the order of the direction.
fn order(t: usize, dir: Direction) -> Vec<usize> {
    match dir {
        Forward => (0..t).collect(),
        Reverse => (0..t).rev().collect(),
    }
}

/// 1 for the rows that are still running at step `t`, 0 for the others: [B,H].
fn running(t: usize, lens: &Ids, h: usize) -> Var {
    let mask =
        lens.as_slice().iter().flat_map(|&len| vec![if t < len as usize { 1.0 } else { 0.0 }; h]).collect();
    let shape = [lens.numel(), h];
    Var::constant(Tensor::from_vec(&seqweave_tensor::Device::cpu(), mask, shape).unwrap())
}

/// old + mask∘(new − old)
fn where_running(mask: &Var, new: &Var, old: &Var) -> Result<Var> {
    ag::add(old, &ag::mul(mask, &ag::sub(new, old)?)?)
}

/// Runs `cell(xp[t], state) → state` over time, keeping the state of rows that have ended; state[0] is the output.
fn over_time(
    xp: &Var,
    state: Vec<Var>,
    lens: &Ids,
    dir: Direction,
    cell: impl Fn(&Var, &[Var]) -> Result<Vec<Var>>,
) -> Result<Vec<Var>> {
    let [t, _, _] = xp.dims("xp [T,B,G]")?;
    let [_, h] = state[0].dims("h [B,H]")?;
    let mut state = state;
    let mut y = vec![None; t];
    for t in order(t, dir) {
        let mask = running(t, lens, h);
        let new = cell(&ag::step(xp, t)?, &state)?;
        state =
            new.iter().zip(&state).map(|(new, old)| where_running(&mask, new, old)).collect::<Result<_>>()?;
        y[t] = Some(ag::mul(&mask, &state[0])?);
    }
    let y: Vec<Var> = y.into_iter().map(|y| y.expect("every step ran")).collect();
    let mut outputs = vec![ag::stack(&y.iter().collect::<Vec<_>>())?];
    outputs.extend(state);
    Ok(outputs)
}

fn gate(x: &Var, i: usize, h: usize) -> Result<Var> {
    ag::slice_last(x, i * h, (i + 1) * h)
}

/// c' = f∘c + i∘g, h' = o∘tanh(c'); i, f, o are sigmoids and g a tanh of xp + W·h.
fn lstm_cell(x: &Var, w: &Var, h: &Var, c: &Var) -> Result<Vec<Var>> {
    let width = h.shape()[1];
    let a = ag::add(x, &ag::linear(h, w, None)?)?;
    let (i, f) = (ag::sigmoid(&gate(&a, 0, width)?)?, ag::sigmoid(&gate(&a, 1, width)?)?);
    let (g, o) = (ag::tanh(&gate(&a, 2, width)?)?, ag::sigmoid(&gate(&a, 3, width)?)?);
    let c = ag::add(&ag::mul(&f, c)?, &ag::mul(&i, &g)?)?;
    Ok(vec![ag::mul(&o, &ag::tanh(&c)?)?, c])
}

/// h' = n + z∘(h − n), n = tanh(xₙ + r∘(Wₙ·h + bₙ)).
fn gru_cell(x: &Var, w: &Var, b: &Var, h: &Var) -> Result<Vec<Var>> {
    let width = h.shape()[1];
    let a = ag::linear(h, w, Some(b))?;
    let r = ag::sigmoid(&ag::add(&gate(x, 0, width)?, &gate(&a, 0, width)?)?)?;
    let z = ag::sigmoid(&ag::add(&gate(x, 1, width)?, &gate(&a, 1, width)?)?)?;
    let n = ag::tanh(&ag::add(&gate(x, 2, width)?, &ag::mul(&r, &gate(&a, 2, width)?)?)?)?;
    Ok(vec![ag::add(&n, &ag::mul(&z, &ag::sub(h, &n)?)?)?])
}

fn full(t: usize, b: usize) -> Ids {
    Ids::list(vec![t as u32; b])
}

/// Every direction, with and without lengths, over all sizes.
fn each_case(mut f: impl FnMut([usize; 3], Option<&Ids>, Direction, &str)) {
    for &[t, b, h] in SIZES {
        for dir in [Forward, Reverse] {
            f([t, b, h], None, dir, &format!("{t}x{b}x{h} {dir:?}"));
            f([t, b, h], Some(&ragged(t, b)), dir, &format!("{t}x{b}x{h} {dir:?} ragged"));
        }
    }
}

#[test]
fn lstm() {
    each_case(|[t, b, h], lens, dir, what| {
        let inputs =
            [tensor([t, b, 4 * h], 0.4), weight([4 * h, h], 1.7), tensor([b, h], 2.3), tensor([b, h], 3.1)];
        let all = lens.cloned().unwrap_or_else(|| full(t, b));
        assert_equal(
            &format!("lstm {what}"),
            &inputs,
            |x| ag::lstm(&x[0], &x[1], &x[2], &x[3], lens, dir).map(|(y, h, c)| vec![y, h, c]),
            |x| {
                let start = vec![x[2].clone(), x[3].clone()];
                over_time(&x[0], start, &all, dir, |xp, s| lstm_cell(xp, &x[1], &s[0], &s[1]))
            },
        );
    });
}

#[test]
fn gru() {
    each_case(|[t, b, h], lens, dir, what| {
        let inputs =
            [tensor([t, b, 3 * h], 0.4), weight([3 * h, h], 1.7), tensor([3 * h], 3.1), tensor([b, h], 2.3)];
        let all = lens.cloned().unwrap_or_else(|| full(t, b));
        assert_equal(
            &format!("gru {what}"),
            &inputs,
            |x| ag::gru(&x[0], &x[1], &x[2], &x[3], lens, dir).map(|(y, h)| vec![y, h]),
            |x| over_time(&x[0], vec![x[3].clone()], &all, dir, |xp, s| gru_cell(xp, &x[1], &x[2], &s[0])),
        );
    });
}

#[test]
fn rnn() {
    each_case(|[t, b, h], lens, dir, what| {
        let inputs = [tensor([t, b, h], 0.4), weight([h, h], 1.7), tensor([b, h], 2.3)];
        let all = lens.cloned().unwrap_or_else(|| full(t, b));
        assert_equal(
            &format!("rnn {what}"),
            &inputs,
            |x| ag::rnn(&x[0], &x[1], &x[2], lens, dir).map(|(y, h)| vec![y, h]),
            |x| {
                over_time(&x[0], vec![x[2].clone()], &all, dir, |xp, s| {
                    Ok(vec![ag::tanh(&ag::add(xp, &ag::linear(&s[0], &x[1], None)?)?)?])
                })
            },
        );
    });
}

/// Attention one row at a time: `scores(query [H], keys [len,H]) → [1,len]`.
fn attention(
    q: &Var,
    keys: &Var,
    values: &Var,
    lens: &Ids,
    scores: impl Fn(&Var, &Var) -> Result<Var>,
) -> Result<Vec<Var>> {
    let [t, b, _] = q.dims("q [T,B,H]")?;
    let (q, keys, values) = (ag::swap01(q)?, ag::swap01(keys)?, ag::swap01(values)?);
    let mut rows = Vec::new();
    for b in 0..b {
        let len = lens.as_slice()[b] as usize;
        let (q, keys) = (ag::step(&q, b)?, ag::rows(&ag::step(&keys, b)?, 0, len)?);
        let values = ag::rows(&ag::step(&values, b)?, 0, len)?;
        let contexts = (0..t)
            .map(|t| ag::matmul(&ag::softmax(&scores(&ag::step(&q, t)?, &keys)?)?, &values))
            .collect::<Result<Vec<Var>>>()?;
        rows.push(ag::concat_first(&contexts.iter().collect::<Vec<_>>())?);
    }
    Ok(vec![ag::swap01(&ag::stack(&rows.iter().collect::<Vec<_>>())?)?])
}

const ATTENTION: &[[usize; 5]] = &[[1, 1, 1, 1, 1], [1, 5, 3, 4, 2], [4, 1, 2, 3, 3], [3, 7, 4, 31, 33]];

#[test]
fn dot_attention() {
    for &[t, s, b, h, d] in ATTENTION {
        let inputs = [tensor([t, b, h], 0.4), tensor([s, b, h], 1.7), tensor([s, b, d], 2.3)];
        let lens = ragged(s, b);
        let scale = 0.6;
        assert_equal(
            &format!("dot attention T={t} S={s} B={b} H={h} D={d}"),
            &inputs,
            |x| Ok(vec![ag::dot_attention(&x[0], &x[1], &x[2], &lens, scale)?.0]),
            |x| {
                attention(&x[0], &x[1], &x[2], &lens, |q, keys| {
                    ag::scale(&ag::linear(&ag::reshape(q, [1, h])?, keys, None)?, scale)
                })
            },
        );
    }
}

#[test]
fn additive_attention() {
    for &[t, s, b, a, d] in ATTENTION {
        let inputs =
            [tensor([t, b, a], 0.4), tensor([s, b, a], 1.7), tensor([a], 0.9), tensor([s, b, d], 2.3)];
        let lens = ragged(s, b);
        assert_equal(
            &format!("additive attention T={t} S={s} B={b} A={a} D={d}"),
            &inputs,
            |x| Ok(vec![ag::additive_attention(&x[0], &x[1], &x[2], &x[3], &lens)?.0]),
            |x| {
                let v = ag::reshape(&x[2], [1, a])?;
                attention(&x[0], &x[1], &x[3], &lens, |q, keys| {
                    ag::linear(&v, &ag::tanh(&ag::add_bias(keys, q)?)?, None)
                })
            },
        );
    }
}

#[test]
fn alignments_sum_to_one_within_a_row_and_are_zero_beyond() {
    let (q, keys, values) = (tensor([3, 4, 5], 0.4), tensor([7, 4, 5], 1.7), tensor([7, 4, 2], 2.3));
    let lens = ragged(7, 4);
    let (_, align) = ag::dot_attention(&q.into(), &keys.into(), &values.into(), &lens, 1.0).unwrap();
    for (n, row) in align.to_vec().chunks_exact(7).enumerate() {
        let (inside, beyond) = row.split_at(lens.as_slice()[n % 4] as usize);
        assert_close(&[inside.iter().sum::<Float>()], &[1.0], 1e-6, 0.0, "sum of a row");
        assert!(beyond.iter().all(|&a| a == 0.0), "row {n}: {row:?}");
    }
}

/// −Σ log p·target distribution, with the distribution (1−ε)·one-hot + ε/V of each counted row.
#[test]
fn cross_entropy() {
    for (n, v) in [(1, 1), (4, 31), (9, 33), (2, 1025)] {
        for (smoothing, ignoring) in [(0.0, false), (0.1, false), (0.1, true)] {
            let targets = Ids::list(ids(n, v));
            let ignore = if ignoring { targets.as_slice()[0] } else { u32::MAX };
            let mut q = vec![0.0; n * v];
            for (row, &target) in q.chunks_exact_mut(v).zip(targets.as_slice()) {
                if target != ignore {
                    row.fill(smoothing / v as Float);
                    row[target as usize] += 1.0 - smoothing;
                }
            }
            let q = Var::constant(Tensor::from_vec(&seqweave_tensor::Device::cpu(), q, [n, v]).unwrap());
            assert_equal(
                &format!("cross entropy {n}x{v} smoothing {smoothing} ignoring {ignoring}"),
                &[ops::scale(&tensor([n, v], 0.4), 4.0).unwrap()],
                |x| Ok(vec![ag::cross_entropy(&x[0], &targets, ignore, smoothing, 0.5)?.0]),
                |x| Ok(vec![ag::scale(&ag::sum(&ag::mul(&ag::log_softmax(&x[0])?, &q)?)?, -0.5)?]),
            );
        }
    }
}

/// y = (x + eps)^−½ by the host, for the composition of layer normalisation only.
fn rsqrt(x: &Var, eps: Float) -> Result<Var> {
    let y: Vec<Float> = x.value().to_vec().iter().map(|x| 1.0 / (x + eps).sqrt()).collect();
    let y = Tensor::from_vec(x.value().device(), y, *x.shape())?;
    let cube = ops::mul(&ops::mul(&y, &y)?, &y)?;
    record(y, [x], move |dy, [x], g| g.give(x, ops::scale(&ops::mul(&dy, &cube)?, -0.5)?))
}

/// x̂ = (x − mean)·(var + eps)^−½, y = γ∘x̂ + β; means are products with a column of 1/C.
#[test]
fn layer_norm() {
    for (n, c) in [(1, 2), (3, 31), (4, 33), (2, 1025)] {
        let inputs = [tensor([n, c], 0.4), tensor([c], 1.7), tensor([c], 2.3)];
        let device = inputs[0].device().clone();
        let average = Var::constant(Tensor::full(&device, [c, 1], 1.0 / c as Float));
        let spread = Var::constant(Tensor::full(&device, [1, c], 1.0));
        let ones = Var::constant(Tensor::full(&device, [n, 1], 1.0));
        assert_equal(
            &format!("layer norm {n}x{c}"),
            &inputs,
            |x| Ok(vec![ag::layer_norm(&x[0], &x[1], &x[2], 1e-5)?]),
            |x| {
                let centred = ag::sub(&x[0], &ag::matmul(&ag::matmul(&x[0], &average)?, &spread)?)?;
                let variance = ag::matmul(&ag::mul(&centred, &centred)?, &average)?;
                let hat = ag::mul(&centred, &ag::matmul(&rsqrt(&variance, 1e-5)?, &spread)?)?;
                let gamma = ag::matmul(&ones, &ag::reshape(&x[1], [1, c])?)?;
                Ok(vec![ag::add_bias(&ag::mul(&hat, &gamma)?, &x[2])?])
            },
        );
    }
}

/// The batch axis of the operations on sequences is the second one: row 0 alone must give the bits it gives in company,
/// and padding after its end must not matter.
pub fn rows_alone_equal_rows_in_company() {
    let mut compared = 0;
    for row in table().iter().filter(|r| ["lstm", "gru", "rnn"].contains(&r.op())) {
        let s = [6, 5, 33];
        let inputs = (row.inputs)(&s);
        let alone: Vec<Tensor> = inputs.iter().map(|x| first_of_batch(x, 5)).collect();
        let run = |inputs: &[Tensor], s: &[usize]| {
            let x: Vec<Var> = inputs.iter().cloned().map(Var::constant).collect();
            (row.forward)(&x, s).unwrap()
        };
        for (company, alone) in run(&inputs, &s).iter().zip(run(&alone, &[6, 1, 33])) {
            let company = first_of_batch(company.value(), 5);
            assert_eq!(company.to_vec(), alone.value().to_vec(), "{}", row.name);
            compared += company.numel();
        }
    }
    assert!(compared > 0);
}

/// Entry 0 of whichever axis has `b` entries (the second of three, the first of two); weights are left alone.
fn first_of_batch(x: &Tensor, b: usize) -> Tensor {
    match x.shape()[..] {
        [t, n, _] if n == b => {
            let steps: Vec<Tensor> = (0..t).map(|t| x.step(t).unwrap().rows(0, 1).unwrap()).collect();
            ops::stack(&steps.iter().collect::<Vec<_>>()).unwrap()
        }
        [n, _] if n == b => x.rows(0, 1).unwrap(),
        _ => x.clone(),
    }
}
