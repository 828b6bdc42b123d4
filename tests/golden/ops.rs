//! Single operations.

use crate::{assert_entry, assert_gradient, formula, golden, weighted};
use seqweave_autograd::{self as ag, Tape};
use seqweave_tensor::{Ids, Tensor};
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
    assert_close(&[stats.nll], &want.get("nll").unwrap().values, 1e-6, 0.0, "nll");
    assert_eq!(stats.correct as f64, want.get("correct").unwrap().values[0]);
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
