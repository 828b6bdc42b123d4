//! A training step of a shape that was seen before takes no memory from the system.

mod common;

use common::{ATTENTIONS, CELLS, Training, config};
use seqweave_seq2seq::BridgeKind;
use seqweave_tensor::Device;

#[test]
fn a_step_of_a_known_shape_makes_no_buffer() {
    for cell in CELLS {
        for attention in ATTENTIONS {
            for input_feeding in [false, true] {
                let mut config = config(cell, attention, BridgeKind::Dense, input_feeding);
                config.dropout = 0.2;
                let device = Device::cpu();
                let mut training = Training::new(&config, 6, &device);
                let mut made = |step| {
                    training.step(step);
                    device.buffers_made()
                };
                let warm = [made(1), made(2)][1];
                assert!(warm > 0);
                let later = [made(3), made(4), made(5)];
                assert_eq!(later, [warm; 3], "{cell:?}, {attention:?}, input feeding {input_feeding}");
            }
        }
    }
}
