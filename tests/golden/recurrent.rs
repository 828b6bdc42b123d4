//! Recurrent layers: values and the gradients of inputs, states and every parameter.

use crate::{assert_entry, assert_gradient, formula, golden, weighted};
use seqweave_autograd::{self as ag, Tape, Var};
use seqweave_nn::{CellKind, CellState, Ctx, ParamsBuilder, Recurrent, RecurrentConfig, RnnState};
use seqweave_tensor::{Device, Float, Ids};

// T, B, E, H = 5, 3, 4, 3
// net = torch.nn.LSTM(E, H, num_layers=layers, bidirectional=bidirectional)        # or GRU, RNN
// for k, (key, p) in enumerate(net.named_parameters()): p.copy_(2 * formula(p.shape, k))
// x, h0, c0 = leaf([T, B, E], 30), leaf([layers * directions, B, H], 31), leaf([layers * directions, B, H], 32)
// y, (h_n, c_n) = net(pack_padded_sequence(x, lengths, enforce_sorted=False), (h0, c0))
// y, _ = pad_packed_sequence(y, total_length=T)
// weighted(y, h_n, c_n).backward()
fn check(name: &str, cell: CellKind, layers: usize, bidirectional: bool, lens: Option<Vec<u32>>) {
    let (t, b, e, h) = (5, 3, 4, 3);
    let config = RecurrentConfig { cell, input: e, hidden: h, layers, bidirectional, ..Default::default() };
    let mut builder = ParamsBuilder::new();
    let net = Recurrent::new(&mut builder.root(), &config).unwrap();
    let mut params = builder.build(&Device::cpu(), 0).unwrap();
    let shapes: Vec<_> = params.iter().map(|(name, shape, _)| (name.to_owned(), *shape)).collect();
    for (k, (name, shape)) in shapes.iter().enumerate() {
        let values: Vec<Float> = formula(*shape, k).to_vec().iter().map(|x| 2.0 * x).collect();
        params.set_by_name(name, &values).unwrap();
    }

    let tape = Tape::new();
    let states = layers * config.directions();
    let x = tape.leaf(formula([t, b, e], 30));
    let (h0, c0) = (tape.leaf(formula([states, b, h], 31)), tape.leaf(formula([states, b, h], 32)));
    let lstm = cell == CellKind::Lstm;
    let initial = |i| CellState { h: ag::step(&h0, i).unwrap(), c: lstm.then(|| ag::step(&c0, i).unwrap()) };
    let initial = RnnState { cells: (0..states).map(initial).collect() };
    let stack = |parts: Vec<&Var>| ag::stack(&parts).unwrap();
    let (y, h_n, c_n) = {
        let cx = Ctx::train(&params, tape.clone(), None);
        let (y, last) = net.forward(&cx, &x, lens.map(Ids::list).as_ref(), Some(&initial)).unwrap();
        let h_n = stack(last.cells.iter().map(|s| &s.h).collect());
        let c_n = lstm.then(|| stack(last.cells.iter().filter_map(|s| s.c.as_ref()).collect()));
        (y, h_n, c_n)
    };
    let outputs: Vec<&Var> = [&y, &h_n].into_iter().chain(&c_n).collect();
    let gradients = tape.backward(&weighted(&outputs).unwrap(), Some(params.grads_mut())).unwrap();

    let want = golden(name);
    assert_entry(&want, "y", y.value());
    assert_entry(&want, "h_n", h_n.value());
    assert_gradient(&want, "dx", &gradients, &x);
    assert_gradient(&want, "dh0", &gradients, &h0);
    if let Some(c_n) = &c_n {
        assert_entry(&want, "c_n", c_n.value());
        assert_gradient(&want, "dc0", &gradients, &c0);
    }
    for (name, _) in &shapes {
        assert_entry(&want, &format!("d {name}"), &params.grad_by_name(name).unwrap());
    }
    let compared = 4 + 2 * usize::from(lstm) + shapes.len();
    assert_eq!(want.names().count(), compared, "every entry of the file was compared");
}

#[test]
fn lstm() {
    check("lstm_one_layer", CellKind::Lstm, 1, false, None);
}

#[test]
fn lstm_two_layers_both_ways_ragged() {
    check("lstm_two_layers_both_ways_ragged", CellKind::Lstm, 2, true, Some(vec![3, 5, 1]));
}

#[test]
fn gru() {
    check("gru_one_layer", CellKind::Gru, 1, false, None);
}

#[test]
fn gru_two_layers_both_ways_ragged() {
    check("gru_two_layers_both_ways_ragged", CellKind::Gru, 2, true, Some(vec![3, 5, 1]));
}

#[test]
fn rnn() {
    check("rnn_one_layer", CellKind::Rnn, 1, false, None);
}

#[test]
fn rnn_two_layers_both_ways_ragged() {
    check("rnn_two_layers_both_ways_ragged", CellKind::Rnn, 2, true, Some(vec![3, 5, 1]));
}
