//! Small models, small sentences and plain random numbers for the tests of this crate.
#![allow(dead_code)] // each test binary uses a part of it
#![allow(clippy::unnecessary_cast)] // `as Float` is a cast in one of the two builds only

use seqweave_autograd::Tape;
use seqweave_nn::{AttentionKind, CellKind, Ctx, DropoutKind, Optimizer, OptimizerConfig, Params};
use seqweave_seq2seq::{
    Batch, BridgeKind, DecoderConfig, EncoderConfig, FeaturesConfig, Merge, ModelConfig, Seq2Seq, Tie,
};
use seqweave_tensor::{Device, Float, Philox};
use seqweave_testkit::SplitMix64;

/// Vocabulary of both sides: the four reserved tokens and seven words.
pub const VOCAB: usize = 11;

pub const CELLS: [CellKind; 3] = [CellKind::Rnn, CellKind::Lstm, CellKind::Gru];
pub const ATTENTIONS: [AttentionKind; 5] = [
    AttentionKind::None,
    AttentionKind::Dot,
    AttentionKind::ScaledDot,
    AttentionKind::General,
    AttentionKind::Additive,
];
pub const BRIDGES: [BridgeKind; 3] = [BridgeKind::Zero, BridgeKind::Copy, BridgeKind::Dense];

/// `n` sentences of up to `longest` words; now and then an empty one.
pub fn sentences(n: usize, longest: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut rng = SplitMix64::new(seed);
    (0..n).map(|_| sentence(longest, &mut rng)).collect()
}

/// `n` sentences of up to `longest` words of a vocabulary of `vocab` tokens.
pub fn sentences_of(vocab: usize, n: usize, longest: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut rng = SplitMix64::new(seed);
    let mut sentence = || (0..rng.below(longest + 1)).map(|_| 4 + rng.below(vocab - 4) as u32).collect();
    (0..n).map(|_| sentence()).collect()
}

/// A sentence of up to `longest` words.
pub fn sentence(longest: usize, rng: &mut SplitMix64) -> Vec<u32> {
    (0..rng.below(longest + 1)).map(|_| 4 + rng.below(VOCAB - 4) as u32).collect()
}

/// A small model shape.
pub fn config(
    cell: CellKind,
    attention: AttentionKind,
    bridge: BridgeKind,
    input_feeding: bool,
) -> ModelConfig {
    ModelConfig {
        cell,
        emb: 6,
        hidden: 8,
        encoder: EncoderConfig { layers: 1, bidirectional: true, residual: false, dropout: 0.0 },
        decoder: DecoderConfig { layers: 1, residual: false, dropout: 0.0, input_feeding },
        attention,
        bridge,
        tie: Tie::None,
        dropout: 0.0,
        dropout_kind: DropoutKind::Step,
        features: FeaturesConfig::default(),
    }
}

/// Every cell × attention × bridge × input feeding, with layer counts, directions, residuals, tying and tags varied on
/// the way.
pub fn every_shape() -> Vec<ModelConfig> {
    let mut shapes = Vec::new();
    for cell in CELLS {
        for attention in ATTENTIONS {
            for bridge in BRIDGES {
                for input_feeding in [false, true] {
                    let mut config = config(cell, attention, bridge, input_feeding);
                    let n = shapes.len();
                    config.encoder.layers = 1 + n % 3;
                    config.encoder.bidirectional = n % 4 != 1;
                    config.encoder.residual = n % 5 == 2;
                    config.decoder.layers = 1 + n % 2;
                    config.decoder.residual = n % 5 == 3;
                    config.tie = [Tie::None, Tie::Softmax, Tie::All][n % 7 % 3];
                    config.emb = [6, 8][n % 3 % 2];
                    config.features.merge = [Merge::Tokens, Merge::Sum, Merge::Concat][n % 11 % 3];
                    shapes.push(config);
                }
            }
        }
    }
    shapes
}

/// A model with weights of up to `scale` in size: larger than a fresh model's, so that its outputs differ.
pub fn random_model(config: &ModelConfig, seed: u64, scale: f64) -> (Seq2Seq, Params) {
    // The last ids of a source vocabulary that is not shared are tags.
    let tags = if config.tie == Tie::All { 0 } else { 3 };
    let (model, mut params) =
        Seq2Seq::build_with_tags(config, VOCAB, tags, VOCAB, &Device::cpu(), seed).expect("a valid shape");
    draw(&mut params, seed, scale);
    (model, params)
}

/// Draws every parameter anew, evenly from `-scale` to `scale`.
pub fn draw(params: &mut Params, seed: u64, scale: f64) {
    let mut rng = SplitMix64::new(seed);
    let names: Vec<(String, usize)> =
        params.iter().map(|(name, shape, _)| (name.to_string(), shape.numel())).collect();
    for (name, n) in names {
        let values: Vec<Float> = rng.uniforms(n, -scale, scale).iter().map(|&x| x as Float).collect();
        params.set_by_name(&name, &values).expect("a parameter of this model");
    }
}

/// A small model with its optimizer and the one batch that it is trained on.
pub struct Training {
    model: Seq2Seq,
    params: Params,
    optimizer: Optimizer,
    batch: Batch,
}

impl Training {
    /// A batch of five pairs of up to `longest` words.
    pub fn new(config: &ModelConfig, longest: usize, device: &Device) -> Training {
        let rows: Vec<_> = sentences(5, longest, 1).into_iter().zip(sentences(5, longest, 2)).collect();
        let batch = Batch::from_rows(&rows).expect("sentences of the vocabulary");
        let (model, params) = Seq2Seq::build(config, VOCAB, VOCAB, device, 3).expect("a valid shape");
        let optimizer = Optimizer::new(&OptimizerConfig::default(), &params).expect("the defaults");
        Training { model, params, optimizer, batch }
    }

    /// Takes a step, and says how many operations it recorded.
    pub fn step(&mut self, step: u64) -> usize {
        self.params.zero_grad().unwrap();
        let tape = Tape::new();
        let loss = {
            let cx = Ctx::train(&self.params, tape.clone(), Some(Philox { seed: 1, step }));
            self.model.loss(&cx, &self.batch, 0.1, 0.1).unwrap().0
        };
        let operations = tape.len();
        tape.backward(&loss, Some(self.params.grads_mut())).unwrap();
        drop(loss);
        self.optimizer.step(&mut self.params, 1e-3, Some(1.0)).unwrap();
        operations
    }
}
