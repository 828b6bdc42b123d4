//! Single operations.

use crate::{RTOL, assert_entry, assert_gradient, formula, golden, weighted};
use seqweave_autograd::{self as ag, Result, Tape, Var};
use seqweave_tensor::{Ids, Tensor, ops};
use seqweave_testkit::assert_close;

// x, w = leaf([4, 5], 0), leaf([5, 3], 1)
// y = x @ w
#[test]
fn matmul() {
    let tape = Tape::new();
    let (x, w) = (tape.leaf(formula([4, 5], 0)), tape.leaf(formula([5, 3], 1)));
    let y = ag::matmul(&x, &w).unwrap();
    let gradients = tape.backward(&weighted(&[&y]).unwrap(), None).unwrap();
    let want = golden("matmul");
    assert_entry(&want, "y", y.value());
    assert_gradient(&want, "dx", &gradients, &x);
    assert_gradient(&want, "dw", &gradients, &w);
}

// x, w, b = leaf([2, 4, 5], 0), leaf([3, 5], 1), leaf([3], 2)
// y = torch.nn.functional.linear(x, w, b)
#[test]
fn linear() {
    let tape = Tape::new();
    let [x, w] = [formula([2, 4, 5], 0), formula([3, 5], 1)].map(|v| tape.leaf(v));
    let b = tape.leaf(formula([3], 2));
    let y = ag::linear(&x, &w, Some(&b)).unwrap();
    let gradients = tape.backward(&weighted(&[&y]).unwrap(), None).unwrap();
    let want = golden("linear");
    assert_entry(&want, "y", y.value());
    for (name, leaf) in [("dx", &x), ("dw", &w), ("db", &b)] {
        assert_gradient(&want, name, &gradients, leaf);
    }
}

/// An operation by the name of its entries, on as many inputs as its file has.
type Op = (&'static str, fn(&[Var]) -> Result<Var>);

/// Compares each operation of a file with its entries `y name`, `d0 name`, `d1 name`, …
fn check(file: &str, shapes: &[&[usize]], ops: &[Op]) {
    let want = golden(file);
    let mut compared = 0;
    for (name, op) in ops {
        let tape = Tape::new();
        let x: Vec<Var> = shapes.iter().enumerate().map(|(k, &s)| tape.leaf(formula(s, k))).collect();
        let y = op(&x).unwrap();
        let gradients = tape.backward(&weighted(&[&y]).unwrap(), None).unwrap();
        assert_entry(&want, &format!("y {name}"), y.value());
        compared += 1;
        for (k, leaf) in x.iter().enumerate().filter(|(_, leaf)| gradients.get(leaf).is_some()) {
            assert_gradient(&want, &format!("d{k} {name}"), &gradients, leaf);
            compared += 1;
        }
    }
    assert_eq!(want.names().count(), compared, "every entry of the file was compared");
}

// scale, tanh, sigmoid: -2.5 * x, torch.tanh(8 * x), torch.sigmoid(8 * x)
// relu, sum, mean: torch.relu(x), torch.sum(x), torch.mean(x)               # x = leaf([4, 5], 0)
#[test]
fn pointwise_operations_of_one_input() {
    let ops: [Op; 6] = [
        ("scale", |x| ag::scale(&x[0], -2.5)),
        ("tanh", |x| ag::tanh(&ag::scale(&x[0], 8.0)?)),
        ("sigmoid", |x| ag::sigmoid(&ag::scale(&x[0], 8.0)?)),
        ("relu", |x| ag::relu(&x[0])),
        ("sum", |x| ag::sum(&x[0])),
        ("mean", |x| ag::mean(&x[0])),
    ];
    check("pointwise_one", &[&[4, 5]], &ops);
}

// torch.add(x, z), torch.sub(x, z), torch.mul(x, z)                          # x, z = leaf([4, 5], 0), leaf([4, 5], 1)
#[test]
fn pointwise_operations_of_two_inputs() {
    let ops: [Op; 3] = [
        ("add", |x| ag::add(&x[0], &x[1])),
        ("sub", |x| ag::sub(&x[0], &x[1])),
        ("mul", |x| ag::mul(&x[0], &x[1])),
    ];
    check("pointwise_two", &[&[4, 5], &[4, 5]], &ops);
    // x + b, with x, b = leaf([2, 4, 5], 0), leaf([5], 1)
    check("add_bias", &[&[2, 4, 5], &[5]], &[("add_bias", |x| ag::add_bias(&x[0], &x[1]))]);
}

// x, z = leaf([3, 2, 4], 0), leaf([3, 2, 4], 1)
// torch.cat([x, z, x], 0), torch.cat([x, z, x], -1), torch.stack([x, z, x])
// x[..., 1:3], x[1:3], x[2], x.transpose(0, 1), x.reshape(6, 4)
#[test]
fn operations_that_move_elements() {
    let ops: [Op; 8] = [
        ("concat_first", |x| ag::concat_first(&[&x[0], &x[1], &x[0]])),
        ("concat_last", |x| ag::concat_last(&[&x[0], &x[1], &x[0]])),
        ("stack", |x| ag::stack(&[&x[0], &x[1], &x[0]])),
        ("slice_last", |x| ag::slice_last(&x[0], 1, 3)),
        ("rows", |x| ag::rows(&x[0], 1, 3)),
        ("step", |x| ag::step(&x[0], 2)),
        ("swap01", |x| ag::swap01(&x[0])),
        ("reshape", |x| ag::reshape(&x[0], [6, 4])),
    ];
    check("moves", &[&[3, 2, 4], &[3, 2, 4]], &ops);
}

// x = 2 * formula([3, 7], 0)
// x.sum(0), x.sum(-1), x.amax(-1), x.argmax(-1), x.square().sum(), x[[2, 0, 2]]
#[test]
fn operations_without_a_rule() {
    let x = ops::scale(&formula([3, 7], 0), 2.0).unwrap();
    let want = golden("reductions");
    assert_entry(&want, "sum_rows", &ops::sum_rows(&x).unwrap());
    assert_entry(&want, "sum_last", &ops::sum_last(&x).unwrap());
    assert_entry(&want, "max_last", &ops::max_last(&x).unwrap());
    assert_entry(&want, "select_rows", &ops::select_rows(&x, &Ids::list(vec![2, 0, 2])).unwrap());
    let at: Vec<f64> = ops::argmax_last(&x).unwrap().as_slice().iter().map(|&id| f64::from(id)).collect();
    assert_eq!(at, want.get("argmax_last").unwrap().values);
    let squares = ops::sum_squares(&x).unwrap();
    assert_close(&[squares], &want.get("sum_squares").unwrap().values, RTOL, 0.0, "sum_squares");
}

// x, z = leaf([3, 7], 0), leaf([3, 7], 1)
// y, l = torch.softmax(8 * x, -1), torch.log_softmax(8 * z, -1)
#[test]
fn softmax_and_log_softmax() {
    let tape = Tape::new();
    let (x, z) = (tape.leaf(formula([3, 7], 0)), tape.leaf(formula([3, 7], 1)));
    let y = ag::softmax(&ag::scale(&x, 8.0).unwrap()).unwrap();
    let l = ag::log_softmax(&ag::scale(&z, 8.0).unwrap()).unwrap();
    let gradients = tape.backward(&weighted(&[&y, &l]).unwrap(), None).unwrap();
    let want = golden("softmax");
    assert_entry(&want, "softmax", y.value());
    assert_entry(&want, "log_softmax", l.value());
    assert_gradient(&want, "dx_softmax", &gradients, &x);
    assert_gradient(&want, "dx_log_softmax", &gradients, &z);
}

// logits, targets = leaf([6, 7], 0), torch.tensor([3, 0, 6, 0, 2, 5])
// loss = cross_entropy(8 * logits, targets, ignore_index=0, label_smoothing=0.1, reduction="sum")
// nll = cross_entropy(8 * logits, targets, ignore_index=0, reduction="sum")
// correct = ((logits.argmax(-1) == targets) & (targets != 0)).sum()
#[test]
fn cross_entropy() {
    let tape = Tape::new();
    let logits = tape.leaf(formula([6, 7], 0));
    let targets = Ids::list(vec![3, 0, 6, 0, 2, 5]);
    let (loss, stats) = ag::cross_entropy(&ag::scale(&logits, 8.0).unwrap(), &targets, 0, 0.1, 1.0).unwrap();
    let gradients = tape.backward(&loss, None).unwrap();
    let want = golden("cross_entropy");
    assert_entry(&want, "loss", loss.value());
    assert_gradient(&want, "dlogits", &gradients, &logits);
    assert_close(&[stats.nll().unwrap()], &want.get("nll").unwrap().values, 1e-6, 0.0, "nll");
    assert_eq!(stats.correct().unwrap() as f64, want.get("correct").unwrap().values[0]);
    assert_eq!(stats.count, 4);
}

// x, w, b = leaf([2, 3, 7], 0), leaf([7], 1), leaf([7], 2)
// y = torch.nn.functional.layer_norm(x, [7], w, b, eps=1e-5)
#[test]
fn layer_norm() {
    let tape = Tape::new();
    let x = tape.leaf(formula([2, 3, 7], 0));
    let (w, b) = (tape.leaf(formula([7], 1)), tape.leaf(formula([7], 2)));
    let y = ag::layer_norm(&x, &w, &b, 1e-5).unwrap();
    let gradients = tape.backward(&weighted(&[&y]).unwrap(), None).unwrap();
    let want = golden("layer_norm");
    assert_entry(&want, "y", y.value());
    for (name, leaf) in [("dx", &x), ("dw", &w), ("db", &b)] {
        assert_gradient(&want, name, &gradients, leaf);
    }
}

// w, ids = leaf([5, 3], 0), torch.tensor([[1, 4], [0, 1], [1, 2]])
// y = torch.nn.functional.embedding(ids, w, padding_idx=0)
#[test]
fn embedding_with_padding() {
    let tape = Tape::new();
    let w = tape.leaf(formula([5, 3], 0));
    let ids = Ids::new(vec![1, 4, 0, 1, 1, 2], [3, 2]).unwrap();
    let y = ag::embedding(&w, &ids, Some(0)).unwrap();
    let gradients = tape.backward(&weighted(&[&y]).unwrap(), None).unwrap();
    let want = golden("embedding");
    assert_entry(&want, "y", y.value());
    assert_gradient(&want, "dw", &gradients, &w);
}

/// The comparison must be able to fail: a value off by one part in ten thousand is seen.
#[test]
#[should_panic(expected = "values differ")]
fn a_wrong_value_is_caught() {
    let want = golden("matmul");
    let y = want.get("y").unwrap();
    let values = y.values.iter().map(|&v| (v * 1.0001) as seqweave_tensor::Float).collect();
    assert_entry(
        &want,
        "y",
        &Tensor::from_vec(&seqweave_tensor::Device::cpu(), values, &y.shape[..]).unwrap(),
    );
}
