//! Attention kinds, composed from matrix products and softmax in PyTorch.

use crate::{assert_entry, assert_gradient, formula, golden, weighted};
use seqweave_autograd::Tape;
use seqweave_nn::{Attention, AttentionKind, Ctx, ParamsBuilder};
use seqweave_tensor::{Device, Ids};

// T, S, B, H, D, A = 2, 4, 3, 3, 3, 5                     # D = 4 for general and additive
// q, states, lengths = leaf([T, B, H], 0), leaf([S, B, D], 1), torch.tensor([4, 1, 3])
// qb, kb = q.transpose(0, 1), states.transpose(0, 1)
// dot:        scores = qb @ kb.transpose(1, 2)
// scaled-dot: scores = qb @ kb.transpose(1, 2) / H**0.5
// general:    scores = qb @ weight @ kb.transpose(1, 2)
// additive:   scores = torch.tanh((qb @ query.weight.T)[:, :, None] + (kb @ key.weight.T)[:, None]) @ v
// align = torch.softmax(scores.masked_fill(step >= lengths, float("-inf")), -1)
// context = align @ kb
fn check(name: &str, kind: AttentionKind, d: usize) {
    let (t, s, b, h, a) = (2, 4, 3, 3, 5);
    let mut builder = ParamsBuilder::new();
    let attention = Attention::new(&mut builder.root(), kind, h, d, a).unwrap();
    let mut params = builder.build(&Device::cpu(), 0).unwrap();
    let shapes: Vec<_> = params.iter().map(|(name, shape, _)| (name.to_owned(), *shape)).collect();
    for (k, (name, shape)) in shapes.iter().enumerate() {
        params.set_by_name(name, &formula(*shape, 2 + k).to_vec()).unwrap();
    }
    let tape = Tape::new();
    let (q, states) = (tape.leaf(formula([t, b, h], 0)), tape.leaf(formula([s, b, d], 1)));
    let (context, align) = {
        let cx = Ctx::train(&params, tape.clone(), None);
        let memory = attention.memory(&cx, &states, &Ids::list(vec![4, 1, 3])).unwrap();
        attention.attend(&cx, &q, &memory).unwrap()
    };
    let gradients = tape.backward(&weighted(&[&context]).unwrap(), Some(params.grads_mut())).unwrap();
    let want = golden(&format!("attention_{name}"));
    assert_entry(&want, "context", context.value());
    assert_entry(&want, "align", &align);
    assert_gradient(&want, "dq", &gradients, &q);
    assert_gradient(&want, "dstates", &gradients, &states);
    for (name, _) in &shapes {
        assert_entry(&want, &format!("d {name}"), &params.grad_by_name(name).unwrap());
    }
    assert_eq!(want.names().count(), 4 + shapes.len(), "every entry of the file was compared");
}

#[test]
fn dot() {
    check("dot", AttentionKind::Dot, 3);
}

#[test]
fn scaled_dot() {
    check("scaled-dot", AttentionKind::ScaledDot, 3);
}

#[test]
fn general() {
    check("general", AttentionKind::General, 4);
}

#[test]
fn additive() {
    check("additive", AttentionKind::Additive, 4);
}
