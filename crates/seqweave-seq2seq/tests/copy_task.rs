//! Small models learn to copy, to the last token: every cell with every attention, with and without input feeding; every
//! bridge; deep residual stacks with dropout and tied matrices.

mod common;

use common::{ATTENTIONS, BRIDGES, VOCAB, config};
use seqweave_autograd::Tape;
use seqweave_nn::{AttentionKind, CellKind, Ctx, Optimizer, OptimizerConfig, Params};
use seqweave_seq2seq::search::{SearchOptions, translate_all};
use seqweave_seq2seq::{Batch, BridgeKind, DecoderConfig, EncoderConfig, ModelConfig, Seq2Seq, Tie};
use seqweave_tensor::{Device, Float, Philox};
use seqweave_testkit::SplitMix64;

/// One to four of seven words: 2800 different sentences.
fn words(rng: &mut SplitMix64) -> Vec<u32> {
    (0..1 + rng.below(4)).map(|_| 4 + rng.below(VOCAB - 4) as u32).collect()
}

fn exact(model: &Seq2Seq, params: &Params, sentences: &[Vec<u32>]) -> usize {
    let best = translate_all(model, params, sentences, &SearchOptions::default(), 32).unwrap();
    sentences.iter().zip(&best).filter(|(want, best)| &best[0].ids == *want).count()
}

/// Trains until 100 sentences drawn apart from the training stream are copied, all of them; fails after 3000 steps.
fn learns_to_copy(mut config: ModelConfig) {
    (config.emb, config.hidden) = (16, 32);
    let (model, mut params) = Seq2Seq::build(&config, VOCAB, VOCAB, &Device::cpu(), 1).unwrap();
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
    let mut rng = SplitMix64::new(7);
    let mut held_out = SplitMix64::new(8);
    let held_out: Vec<Vec<u32>> = (0..100).map(|_| words(&mut held_out)).collect();
    let mut best = 0;
    for step in 1..=3000 {
        let lr = if step <= 1000 { 0.01 } else { 0.002 };
        let rows: Vec<_> = (0..16).map(|_| words(&mut rng)).map(|row| (row.clone(), row)).collect();
        let batch = Batch::from_rows(&rows).unwrap();
        let tape = Tape::new();
        let loss = {
            let cx = Ctx::train(&params, tape.clone(), Some(Philox { seed: 1, step }));
            model.loss(&cx, &batch, 0.0, 1.0 / batch.tgt_tokens() as Float).unwrap().0
        };
        params.zero_grad().unwrap();
        tape.backward(&loss, Some(params.grads_mut())).unwrap();
        optimizer.step(&mut params, lr, Some(1.0)).unwrap();
        if step % 50 == 0 {
            best = exact(&model, &params, &held_out);
            if best == held_out.len() {
                println!("{step} steps: {config:?}");
                return;
            }
        }
    }
    panic!("{best} of {} after 3000 steps: {config:?}", held_out.len());
}

/// Every attention, with and without input feeding.
fn every_decoder_learns_to_copy(cell: CellKind) {
    for attention in ATTENTIONS {
        for input_feeding in [false, true] {
            learns_to_copy(config(cell, attention, BridgeKind::Dense, input_feeding));
        }
    }
}

#[test]
fn rnn() {
    every_decoder_learns_to_copy(CellKind::Rnn);
}

#[test]
fn lstm() {
    every_decoder_learns_to_copy(CellKind::Lstm);
}

#[test]
fn gru() {
    every_decoder_learns_to_copy(CellKind::Gru);
}

#[test]
fn every_bridge() {
    for bridge in BRIDGES {
        learns_to_copy(config(CellKind::Lstm, AttentionKind::Additive, bridge, false));
    }
}

#[test]
fn deep_residual_stacks_with_dropout_and_tied_matrices() {
    for tie in [Tie::None, Tie::Softmax, Tie::All] {
        let mut config = config(CellKind::Lstm, AttentionKind::General, BridgeKind::Dense, false);
        config.encoder = EncoderConfig { layers: 3, residual: true, dropout: 0.05, ..config.encoder };
        config.decoder = DecoderConfig { layers: 2, residual: true, dropout: 0.05, ..config.decoder };
        config.dropout = 0.05;
        config.tie = tie;
        learns_to_copy(config);
    }
}
