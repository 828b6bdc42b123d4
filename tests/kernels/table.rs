//! The op table: one row an operation of `seqweave-autograd`, from which all checks run.
//!
//! A row names the operation, lists sizes, makes inputs from a size, and applies the operation. `tests/kernels` runs
//! each row for determinism, `tests/grad` for its gradients. A new operation gets both for one row.

use seqweave_autograd::{self as ag, Result, Tape, Var};
use seqweave_tensor::ops::Direction::{Forward, Reverse};
use seqweave_tensor::{Device, Float, Ids, Philox, Shape, Tensor, ops};
use seqweave_testkit::wave;

/// One operation, perhaps one variant of it.
pub struct Row {
    /// The function in `seqweave-autograd`, then what is special about this row.
    pub name: &'static str,
    /// Sizes to run: what `inputs` and `forward` take as `s`. The first is the smallest.
    pub sizes: Vec<Vec<usize>>,
    /// Tensors to differentiate by.
    pub inputs: fn(s: &[usize]) -> Vec<Tensor>,
    /// The operation; all outputs that carry gradients.
    pub forward: fn(x: &[Var], s: &[usize]) -> Result<Vec<Var>>,
}

impl Row {
    /// Name of the function in `seqweave-autograd`.
    pub fn op(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    /// One number that depends on every element of every output, each with a weight of its own.
    pub fn loss(&self, x: &[Var], s: &[usize]) -> Result<Var> {
        let mut loss: Option<Var> = None;
        for (i, y) in (self.forward)(x, s)?.iter().enumerate() {
            let weights = tensor(*y.shape(), 9.1 + i as f64).to(y.value().device())?;
            let part = ag::sum(&ag::mul(y, &Var::constant(weights))?)?;
            loss = Some(loss.map_or(Ok(part.clone()), |sum| ag::add(&sum, &part))?);
        }
        Ok(loss.expect("an operation has an output"))
    }

    /// Values of all outputs, then gradients of all inputs, run once on the CPU.
    pub fn run(&self, s: &[usize]) -> Result<Vec<Vec<Float>>> {
        self.run_on(&Device::cpu(), s)
    }

    /// [`Row::run`] on another device.
    pub fn run_on(&self, device: &Device, s: &[usize]) -> Result<Vec<Vec<Float>>> {
        let tape = Tape::new();
        let inputs = (self.inputs)(s).into_iter();
        let x = inputs.map(|x| Ok(tape.leaf(x.to(device)?))).collect::<Result<Vec<Var>>>()?;
        let mut all: Vec<Vec<Float>> = (self.forward)(&x, s)?.iter().map(|y| y.value().to_vec()).collect();
        let loss = self.loss(&x, s)?;
        let gradients = tape.backward(&loss, None)?;
        all.extend(x.iter().map(|x| gradients.get(x).map_or_else(Vec::new, Tensor::to_vec)));
        Ok(all)
    }
}

/// Values in [−1, 1] by formula, of both signs; none repeats within a tensor. They are f32 numbers in the f64 build, too.
pub fn tensor(shape: impl Into<Shape>, phase: f64) -> Tensor {
    let shape = shape.into();
    let values = wave(shape.numel(), 0.618 + 0.01 * phase, phase)
        .iter()
        .map(|&x| Float::from((2.0 * x) as f32))
        .collect();
    Tensor::from_vec(&Device::cpu(), values, shape).expect("as many values as the shape holds")
}

/// Weights so small that sums over the last axis do not saturate a gate, whose gradient would then be all rounding.
pub fn weight(shape: [usize; 2], phase: f64) -> Tensor {
    // A power of two, so that both builds have the same numbers.
    let scale = (-0.5 * (shape[1] as f64).log2()).round().exp2();
    ops::scale(&tensor(shape, phase), scale as Float).expect("any shape can be scaled")
}

/// `n` ids below `bound`, with repeats.
pub fn ids(n: usize, bound: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * i + 3 * i + 1) % bound) as u32).collect()
}

/// Ragged lengths for B rows of at most T steps: the longest first, one of length 1 if there is room.
pub fn ragged(t: usize, b: usize) -> Ids {
    Ids::list((0..b).map(|i| (t - (i * 2) % t) as u32).collect())
}

fn row(
    name: &'static str,
    sizes: &[&[usize]],
    inputs: fn(&[usize]) -> Vec<Tensor>,
    forward: fn(&[Var], &[usize]) -> Result<Vec<Var>>,
) -> Row {
    Row { name, sizes: sizes.iter().map(|s| s.to_vec()).collect(), inputs, forward }
}

/// Flat sizes: one element, around a vector's width, and more than one chunk.
const FLAT: &[&[usize]] = &[&[1], &[31], &[33], &[1025], &[70_001]];
/// Rows and columns.
const ROWS: &[&[usize]] = &[&[1, 1], &[3, 31], &[31, 33], &[2, 1025], &[90, 700]];
/// Rows, inner extent, columns of a product.
const PRODUCT: &[&[usize]] = &[&[1, 1, 1], &[3, 31, 33], &[33, 1, 31], &[2, 1025, 3], &[65, 200, 130]];
/// T, B, H of a recurrent layer.
const SEQUENCE: &[&[usize]] = &[&[1, 1, 1], &[1, 3, 5], &[7, 1, 4], &[5, 4, 3], &[3, 2, 33], &[9, 21, 40]];
/// The same in both directions.
const BOTH: &[&[usize]] = &[&[1, 1, 1], &[1, 3, 5], &[5, 4, 3], &[3, 2, 33]];
/// T, S, B, H, D of an attention.
const ATTENTION: &[&[usize]] =
    &[&[1, 1, 1, 1, 1], &[1, 5, 3, 4, 2], &[4, 1, 2, 3, 3], &[3, 7, 4, 31, 33], &[6, 30, 9, 40, 24]];

fn one(s: &[usize]) -> Vec<Tensor> {
    vec![tensor(s, 0.4)]
}

fn two(s: &[usize]) -> Vec<Tensor> {
    vec![tensor(s, 0.4), tensor(s, 1.7)]
}

/// xp: [T,B,gates·H], w_hh: [gates·H,H], h0: [B,H].
fn recurrent(s: &[usize], gates: usize) -> Vec<Tensor> {
    let &[t, b, h] = s else { panic!("sizes are T, B, H") };
    vec![tensor([t, b, gates * h], 0.4), weight([gates * h, h], 1.7), tensor([b, h], 2.3)]
}

fn lstm_inputs(s: &[usize]) -> Vec<Tensor> {
    let mut x = recurrent(s, 4);
    x.push(tensor([s[1], s[2]], 3.1));
    x
}

fn gru_inputs(s: &[usize]) -> Vec<Tensor> {
    let mut x = recurrent(s, 3);
    x.push(tensor([3 * s[2]], 3.1));
    x
}

fn lstm_both_inputs(s: &[usize]) -> Vec<Tensor> {
    let &[t, b, h] = s else { panic!("sizes are T, B, H") };
    let reverse = [tensor([t, b, 4 * h], 4.4), weight([4 * h, h], 5.7)];
    let states = [tensor([b, h], 6.3), tensor([b, h], 7.1)];
    lstm_inputs(s).into_iter().chain(reverse).chain(states).collect()
}

/// Outputs of both directions.
fn lstm_both(x: &[Var], lens: Option<&Ids>) -> Result<Vec<Var>> {
    let [a, b] = [&x[..4], &x[4..]].map(|x| ag::LstmVars { xp: &x[0], w_hh: &x[1], h0: &x[2], c0: &x[3] });
    Ok(ag::lstm_both([a, b], lens)?.into_iter().flat_map(|(y, h, c)| [y, h, c]).collect())
}

fn gru_both_inputs(s: &[usize]) -> Vec<Tensor> {
    let &[t, b, h] = s else { panic!("sizes are T, B, H") };
    let reverse = [tensor([t, b, 3 * h], 4.4), weight([3 * h, h], 5.7)];
    let rest = [tensor([b, h], 6.3), tensor([3 * h], 7.1)];
    gru_inputs(s).into_iter().chain(reverse).chain(rest).collect()
}

/// Outputs of both directions.
fn gru_both(x: &[Var], lens: Option<&Ids>) -> Result<Vec<Var>> {
    let [a, b] = [&x[..4], &x[4..]].map(|x| ag::GruVars { xp: &x[0], w_hh: &x[1], b_hh: &x[3], h0: &x[2] });
    Ok(ag::gru_both([a, b], lens)?.into_iter().flat_map(|(y, h)| [y, h]).collect())
}

fn rnn_inputs(s: &[usize]) -> Vec<Tensor> {
    recurrent(s, 1)
}

/// All rows.
pub fn table() -> Vec<Row> {
    let mut rows = vec![
        row(
            "matmul",
            PRODUCT,
            |s| vec![tensor([s[0], s[1]], 0.4), tensor([s[1], s[2]], 1.7)],
            |x, _| Ok(vec![ag::matmul(&x[0], &x[1])?]),
        ),
        row(
            "linear",
            PRODUCT,
            |s| vec![tensor([2, s[0], s[1]], 0.4), tensor([s[2], s[1]], 1.7), tensor([s[2]], 2.3)],
            |x, _| Ok(vec![ag::linear(&x[0], &x[1], Some(&x[2]))?]),
        ),
        row(
            "linear without bias",
            PRODUCT,
            |s| vec![tensor([s[0], s[1]], 0.4), tensor([s[2], s[1]], 1.7)],
            |x, _| Ok(vec![ag::linear(&x[0], &x[1], None)?]),
        ),
    ];
    rows.extend(pointwise());
    rows.extend(shapes());
    rows.extend(losses());
    rows.extend(sequences());
    rows
}

fn pointwise() -> Vec<Row> {
    vec![
        row("add", FLAT, two, |x, _| Ok(vec![ag::add(&x[0], &x[1])?])),
        row("add to itself", FLAT, one, |x, _| Ok(vec![ag::add(&x[0], &x[0])?])),
        row("sub", FLAT, two, |x, _| Ok(vec![ag::sub(&x[0], &x[1])?])),
        row("mul", FLAT, two, |x, _| Ok(vec![ag::mul(&x[0], &x[1])?])),
        row("mul by itself", FLAT, one, |x, _| Ok(vec![ag::mul(&x[0], &x[0])?])),
        row(
            "add_bias",
            ROWS,
            |s| vec![tensor(s, 0.4), tensor([s[1]], 1.7)],
            |x, _| Ok(vec![ag::add_bias(&x[0], &x[1])?]),
        ),
        row("scale", FLAT, one, |x, _| Ok(vec![ag::scale(&x[0], -2.5)?])),
        row("tanh", FLAT, one, |x, _| Ok(vec![ag::tanh(&x[0])?])),
        row("sigmoid", FLAT, one, |x, _| Ok(vec![ag::sigmoid(&x[0])?])),
        row("relu", FLAT, one, |x, _| Ok(vec![ag::relu(&x[0])?])),
        row("dropout", FLAT, one, |x, _| Ok(vec![ag::dropout(&x[0], 0.3, Philox { seed: 5, step: 2 }, 1)?])),
        row("dropout_steps", SEQUENCE, one, |x, _| {
            Ok(vec![ag::dropout_steps(&x[0], 0.3, Philox { seed: 5, step: 2 }, 1)?])
        }),
        row("sum", FLAT, one, |x, _| Ok(vec![ag::sum(&x[0])?])),
        row("mean", FLAT, one, |x, _| Ok(vec![ag::mean(&x[0])?])),
    ]
}

fn shapes() -> Vec<Row> {
    vec![
        row("reshape", ROWS, one, |x, s| Ok(vec![ag::reshape(&x[0], [s[1], s[0]])?])),
        row("swap01", ROWS, one, |x, _| Ok(vec![ag::swap01(&x[0])?])),
        row("swap01 of three axes", SEQUENCE, |s| vec![tensor(s, 0.4)], |x, _| Ok(vec![ag::swap01(&x[0])?])),
        // Two overlapping views, so that the second contribution meets the first.
        row("rows", ROWS, one, |x, s| {
            Ok(vec![ag::rows(&x[0], 0, s[0].div_ceil(2))?, ag::rows(&x[0], s[0] / 2, s[0])?])
        }),
        row("step", ROWS, one, |x, s| Ok(vec![ag::step(&x[0], s[0] - 1)?, ag::step(&x[0], 0)?])),
        row("slice_last", ROWS, one, |x, s| {
            Ok(vec![ag::slice_last(&x[0], 0, s[1].div_ceil(2))?, ag::slice_last(&x[0], s[1] / 2, s[1])?])
        }),
        row(
            "concat_last",
            ROWS,
            |s| vec![tensor(s, 0.4), tensor([s[0], 2], 1.7), tensor(s, 2.3)],
            |x, _| Ok(vec![ag::concat_last(&[&x[0], &x[1], &x[2]])?]),
        ),
        row(
            "concat_first",
            ROWS,
            |s| vec![tensor(s, 0.4), tensor([2, s[1]], 1.7), tensor(s, 2.3)],
            |x, _| Ok(vec![ag::concat_first(&[&x[0], &x[1], &x[2]])?]),
        ),
        row("stack", ROWS, two, |x, _| Ok(vec![ag::stack(&[&x[0], &x[1], &x[0]])?])),
    ]
}

fn losses() -> Vec<Row> {
    vec![
        // V, E; a padding id, whose gradient differs from the true one on purpose, has a test of its own.
        row("embedding", ROWS, one, |x, s| {
            let ids = Ids::new(ids(6, s[0]), [3, 2])?;
            Ok(vec![ag::embedding(&x[0], &ids, None)?])
        }),
        row("softmax", ROWS, one, |x, _| Ok(vec![ag::softmax(&x[0])?])),
        row("log_softmax", ROWS, one, |x, _| Ok(vec![ag::log_softmax(&x[0])?])),
        row("cross_entropy", ROWS, one, |x, s| {
            let targets = Ids::list(ids(s[0], s[1]));
            Ok(vec![ag::cross_entropy(&x[0], &targets, u32::MAX, 0.0, 1.0)?.0])
        }),
        row("cross_entropy smoothed, with ignored rows", ROWS, one, |x, s| {
            let targets = Ids::list(ids(s[0], s[1]));
            let ignore = targets.as_slice()[s[0] - 1];
            Ok(vec![ag::cross_entropy(&x[0], &targets, ignore, 0.1, 0.25)?.0])
        }),
        row(
            "linear_cross_entropy smoothed, with ignored rows",
            PRODUCT,
            |s| vec![tensor([s[0], s[1]], 0.4), weight([s[2], s[1]], 1.7), tensor([s[2]], 2.3)],
            |x, s| {
                let targets = Ids::list(ids(s[0], s[2]));
                let ignore = targets.as_slice()[s[0] - 1];
                Ok(vec![ag::linear_cross_entropy(&x[0], &x[1], Some(&x[2]), &targets, ignore, 0.1, 0.25)?.0])
            },
        ),
        row(
            "linear_cross_entropy without bias, twice over",
            PRODUCT,
            |s| vec![tensor([s[0], s[1]], 0.4), weight([s[2], s[1]], 1.7)],
            |x, s| {
                let targets = Ids::list(ids(s[0], s[2]));
                let loss = ag::linear_cross_entropy(&x[0], &x[1], None, &targets, u32::MAX, 0.0, 1.0)?.0;
                Ok(vec![ag::scale(&loss, 2.0)?])
            },
        ),
        row(
            "layer_norm",
            &[&[1, 2], &[3, 31], &[31, 33], &[2, 1025], &[90, 700]],
            |s| vec![tensor(s, 0.4), tensor([s[1]], 1.7), tensor([s[1]], 2.3)],
            |x, _| Ok(vec![ag::layer_norm(&x[0], &x[1], &x[2], 1e-5)?]),
        ),
    ]
}

fn sequences() -> Vec<Row> {
    vec![
        row("lstm", SEQUENCE, lstm_inputs, |x, _| {
            let (y, h, c) = ag::lstm(&x[0], &x[1], &x[2], &x[3], None, Forward)?;
            Ok(vec![y, h, c])
        }),
        row("lstm ragged, reverse", SEQUENCE, lstm_inputs, |x, s| {
            let (y, h, c) = ag::lstm(&x[0], &x[1], &x[2], &x[3], Some(&ragged(s[0], s[1])), Reverse)?;
            Ok(vec![y, h, c])
        }),
        row("lstm ragged, last state only", SEQUENCE, lstm_inputs, |x, s| {
            let (_, _, c) = ag::lstm(&x[0], &x[1], &x[2], &x[3], Some(&ragged(s[0], s[1])), Forward)?;
            Ok(vec![c])
        }),
        row("lstm_both", BOTH, lstm_both_inputs, |x, _| lstm_both(x, None)),
        row("lstm_both ragged", BOTH, lstm_both_inputs, |x, s| lstm_both(x, Some(&ragged(s[0], s[1])))),
        row("gru_both", BOTH, gru_both_inputs, |x, _| gru_both(x, None)),
        row("gru_both ragged, outputs of one", BOTH, gru_both_inputs, |x, s| {
            let mut outputs = gru_both(x, Some(&ragged(s[0], s[1])))?;
            outputs.truncate(2);
            Ok(outputs)
        }),
        row("gru", SEQUENCE, gru_inputs, |x, _| {
            let (y, h) = ag::gru(&x[0], &x[1], &x[3], &x[2], None, Forward)?;
            Ok(vec![y, h])
        }),
        row("gru ragged, reverse", SEQUENCE, gru_inputs, |x, s| {
            let (y, h) = ag::gru(&x[0], &x[1], &x[3], &x[2], Some(&ragged(s[0], s[1])), Reverse)?;
            Ok(vec![y, h])
        }),
        row("gru ragged, outputs only", SEQUENCE, gru_inputs, |x, s| {
            Ok(vec![ag::gru(&x[0], &x[1], &x[3], &x[2], Some(&ragged(s[0], s[1])), Forward)?.0])
        }),
        row("rnn", SEQUENCE, rnn_inputs, |x, _| {
            let (y, h) = ag::rnn(&x[0], &x[1], &x[2], None, Forward)?;
            Ok(vec![y, h])
        }),
        row("rnn ragged, reverse", SEQUENCE, rnn_inputs, |x, s| {
            let (y, h) = ag::rnn(&x[0], &x[1], &x[2], Some(&ragged(s[0], s[1])), Reverse)?;
            Ok(vec![y, h])
        }),
        row(
            "dot_attention",
            ATTENTION,
            |s| {
                vec![
                    tensor([s[0], s[2], s[3]], 0.4),
                    tensor([s[1], s[2], s[3]], 1.7),
                    tensor([s[1], s[2], s[4]], 2.3),
                ]
            },
            |x, s| Ok(vec![ag::dot_attention(&x[0], &x[1], &x[2], &ragged(s[1], s[2]), 0.7)?.0]),
        ),
        row(
            "additive_attention",
            ATTENTION,
            |s| {
                let keys = tensor([s[1], s[2], s[3]], 1.7);
                vec![
                    tensor([s[0], s[2], s[3]], 0.4),
                    keys,
                    tensor([s[3]], 0.9),
                    tensor([s[1], s[2], s[4]], 2.3),
                ]
            },
            |x, s| Ok(vec![ag::additive_attention(&x[0], &x[1], &x[2], &x[3], &ragged(s[1], s[2]))?.0]),
        ),
    ]
}
