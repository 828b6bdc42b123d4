//! A training step of a shape that was seen before takes no memory from the system.

mod common;

use common::{ATTENTIONS, CELLS, VOCAB, config, sentences};
use seqweave_autograd::Tape;
use seqweave_nn::{Ctx, Optimizer, OptimizerConfig};
use seqweave_seq2seq::{Batch, BridgeKind, Seq2Seq};
use seqweave_tensor::{Device, Philox};

#[test]
fn a_step_of_a_known_shape_makes_no_buffer() {
    let rows: Vec<_> = sentences(5, 6, 1).into_iter().zip(sentences(5, 6, 2)).collect();
    let batch = Batch::from_rows(&rows).unwrap();
    for cell in CELLS {
        for attention in ATTENTIONS {
            for input_feeding in [false, true] {
                let mut config = config(cell, attention, BridgeKind::Dense, input_feeding);
                config.dropout = 0.2;
                let device = Device::cpu();
                let (model, mut params) = Seq2Seq::build(&config, VOCAB, VOCAB, &device, 3).unwrap();
                let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
                let mut step = |step| {
                    params.zero_grad().unwrap();
                    let tape = Tape::new();
                    let loss = {
                        let cx = Ctx::train(&params, tape.clone(), Some(Philox { seed: 1, step }));
                        model.loss(&cx, &batch, 0.1, 0.1).unwrap().0
                    };
                    tape.backward(&loss, Some(params.grads_mut())).unwrap();
                    drop(loss);
                    optimizer.step(&mut params, 1e-3, Some(1.0)).unwrap();
                    device.buffers_made()
                };
                let warm = [step(1), step(2)][1];
                assert!(warm > 0);
                let later = [step(3), step(4), step(5)];
                assert_eq!(later, [warm; 3], "{cell:?}, {attention:?}, input feeding {input_feeding}");
            }
        }
    }
}
