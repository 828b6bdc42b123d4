//! Recurrent layers with products in bfloat16: in one launch, in one launch for both directions, and step by step.

use super::{alone, bf16, device, on_stand_in, worst};
use crate::bits;
use crate::table::{ragged, table, tensor, weight};
use seqweave_tensor::ops::{self, Direction, GruOperands, LstmOperands, Weight};
use seqweave_tensor::{Device, Float, Tensor};

/// How far a result may lie from the CPU's, relative to 1 + |value|: the CPU rounds the same operands, but a sum in another
/// order may round a state the other way, by half of 2⁻⁸.
const TOLERANCE: f64 = 2e-2;

/// The rows of the op table that are recurrent layers.
fn agree(there: &Device, ops: &[&str], sizes: &[[usize; 3]]) {
    let here = bf16(&Device::cpu());
    for row in table().iter().filter(|row| ops.contains(&row.op())) {
        for s in sizes {
            let (got, want) = (row.run_on(there, s).unwrap(), row.run_on(&here, s).unwrap());
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let error = worst(got, want);
                assert!(error <= TOLERANCE, "{} {s:?}, result {i}: off by {error:e}", row.name);
            }
        }
    }
}

#[test]
fn bf16_recurrent_layers_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    // The stand-in runs blocks that wait for each other on threads of their own, so sizes are small.
    agree(
        &bf16(&cuda),
        &["lstm", "gru", "rnn", "lstm_both", "gru_both"],
        &[[1, 1, 1], [5, 4, 3], [3, 2, 33]],
    );
}

/// Eighty blocks a direction, whose slice and own shared memory are together more than a block has unasked: from 609 units
/// on in an LSTM, and up to 736 the slice alone is not.
#[test]
fn bf16_recurrent_layers_of_many_blocks_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    agree(&bf16(&cuda), &["lstm"], &[[2, 3, 640]]);
    agree(&bf16(&cuda), &["lstm_both", "gru"], &[[2, 2, 610]]);
}

/// Where the blocks of a layer are not resident at once, as with one multiprocessor. A launch that made them wait for each
/// other would be refused, so a result shows that there was none.
#[test]
fn bf16_recurrent_layers_go_step_by_step_where_they_do_not_fit() {
    let Some(cuda) = device() else { return };
    if !on_stand_in() {
        return;
    }
    let name = "cuda::recurrent::bf16_recurrent_layers_go_step_by_step_where_they_do_not_fit";
    if alone(name, &[("SEQWEAVE_STANDIN_SMS", "1")]) {
        agree(&bf16(&cuda), &["lstm", "gru", "lstm_both", "gru_both"], &[[3, 2, 33], [2, 5, 40]]);
    }
}

#[test]
fn two_directions_in_one_launch_give_the_bits_of_two() {
    let Some(cuda) = device() else { return };
    let device = bf16(&cuda);
    for [t, b, h] in [[1, 1, 1], [5, 4, 3], [3, 2, 33]] {
        let on = |x: Tensor| x.to(&device).unwrap();
        let lens = ragged(t, b);
        let read = |x: &[&Tensor]| bits(&x.iter().map(|x| x.to_vec()).collect::<Vec<Vec<Float>>>());
        let state = |phase| on(tensor([b, h], phase));

        let xp = [0.4, 4.4].map(|phase| on(tensor([t, b, 4 * h], phase)));
        let w = [1.7, 5.7].map(|phase| Weight::new(&on(weight([4 * h, h], phase))).unwrap());
        let (h0, c0, dy) =
            ([2.3, 6.3].map(state), [3.1, 7.1].map(state), [0.9, 1.9].map(|p| on(tensor([t, b, h], p))));
        let operands = [0, 1].map(|d| LstmOperands { xp: &xp[d], w_hh: &w[d], h0: &h0[d], c0: &c0[d] });
        let both = ops::lstm_both_forward(operands, Some(&lens)).unwrap();
        let inferred = ops::lstm_both_infer(operands, Some(&lens)).unwrap();
        let outputs = [0, 1].map(|d| ops::LstmOutputGrads { dy: Some(&dy[d]), ..Default::default() });
        let back = ops::lstm_both_backward(outputs, [&both[0].3, &both[1].3], [&w[0], &w[1]]).unwrap();
        for (d, direction) in [Direction::Forward, Direction::Reverse].into_iter().enumerate() {
            let (y, h_n, c_n, saved) =
                ops::lstm_forward(&xp[d], &w[d], &h0[d], &c0[d], Some(&lens), direction).unwrap();
            let alone = read(&[&y, &h_n, &c_n]);
            assert!(alone == read(&[&both[d].0, &both[d].1, &both[d].2]), "lstm {direction:?}");
            assert!(alone == read(&[&inferred[d].0, &inferred[d].1, &inferred[d].2]), "lstm {direction:?}");
            let grads = ops::lstm_backward(Some(&dy[d]), None, None, &saved, &w[d]).unwrap();
            let together = &back[d];
            assert!(
                read(&[&grads.dxp, &grads.h_before, &grads.dh0, &grads.dc0])
                    == read(&[&together.dxp, &together.h_before, &together.dh0, &together.dc0]),
                "lstm backward {direction:?}"
            );
        }

        let xp = [0.4, 4.4].map(|phase| on(tensor([t, b, 3 * h], phase)));
        let w = [1.7, 5.7].map(|phase| Weight::new(&on(weight([3 * h, h], phase))).unwrap());
        let b_hh = [3.1, 7.1].map(|phase| on(tensor([3 * h], phase)));
        let operands = [0, 1].map(|d| GruOperands { xp: &xp[d], w_hh: &w[d], b_hh: &b_hh[d], h0: &h0[d] });
        let both = ops::gru_both_forward(operands, Some(&lens)).unwrap();
        let inferred = ops::gru_both_infer(operands, Some(&lens)).unwrap();
        let back = ops::gru_both_backward(
            [Some(&dy[0]), None],
            [None, Some(&h0[0])],
            [&both[0].2, &both[1].2],
            [&w[0], &w[1]],
        )
        .unwrap();
        for (d, direction) in [Direction::Forward, Direction::Reverse].into_iter().enumerate() {
            let (y, h_n, saved) =
                ops::gru_forward(&xp[d], &w[d], &b_hh[d], &h0[d], Some(&lens), direction).unwrap();
            let alone = read(&[&y, &h_n]);
            assert!(alone == read(&[&both[d].0, &both[d].1]), "gru {direction:?}");
            assert!(alone == read(&[&inferred[d].0, &inferred[d].1]), "gru {direction:?}");
            let (dy, dh) = if d == 0 { (Some(&dy[0]), None) } else { (None, Some(&h0[0])) };
            let grads = ops::gru_backward(dy, dh, &saved, &w[d]).unwrap();
            let together = &back[d];
            assert!(
                read(&[&grads.dxp, &grads.dp, &grads.db_hh, &grads.dh0])
                    == read(&[&together.dxp, &together.dp, &together.db_hh, &together.dh0]),
                "gru backward {direction:?}"
            );
        }
    }
}
