//! Whole models: training steps, a checkpoint that changes device, beam search.

use super::{device, worst};
use seqweave_autograd::Tape;
use seqweave_nn::{AttentionKind, CellKind, Ctx, Optimizer, OptimizerConfig, OptimizerState, Params};
use seqweave_seq2seq::search::{MaxLen, SearchOptions, translate_batch};
use seqweave_seq2seq::{Batch, BridgeKind, DecoderConfig, EncoderConfig, ModelConfig, Seq2Seq, Tie};
use seqweave_tensor::{Device, Float, Philox};
use seqweave_testkit::SplitMix64;

/// Both sides: four reserved tokens and words.
const VOCAB: usize = 23;

fn config(cell: CellKind, attention: AttentionKind, input_feeding: bool) -> ModelConfig {
    ModelConfig {
        cell,
        emb: 12,
        hidden: 16,
        encoder: EncoderConfig { layers: 2, bidirectional: true, residual: false, dropout: 0.1 },
        decoder: DecoderConfig { layers: 2, residual: true, dropout: 0.1, input_feeding },
        attention,
        bridge: BridgeKind::Dense,
        tie: Tie::None,
        dropout: 0.1,
    }
}

fn shapes() -> Vec<ModelConfig> {
    vec![
        config(CellKind::Lstm, AttentionKind::General, true),
        config(CellKind::Lstm, AttentionKind::Additive, false),
        config(CellKind::Gru, AttentionKind::ScaledDot, false),
        config(CellKind::Rnn, AttentionKind::None, false),
    ]
}

/// Pairs of sentences of different lengths.
fn pairs(n: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut rng = SplitMix64::new(5);
    let mut words = |longest| -> Vec<u32> {
        (0..1 + rng.below(longest)).map(|_| 4 + rng.below(VOCAB - 4) as u32).collect()
    };
    (0..n).map(|_| (words(7), words(5))).collect()
}

/// A model in training, where it stands.
struct Run {
    model: Seq2Seq,
    params: Params,
    optimizer: Optimizer,
}

impl Run {
    fn new(config: &ModelConfig, device: &Device) -> Run {
        let (model, params) = Seq2Seq::build(config, VOCAB, VOCAB, device, 3).unwrap();
        let optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
        Run { model, params, optimizer }
    }

    /// What a checkpoint keeps.
    fn save(&self) -> (Vec<Float>, OptimizerState) {
        (self.params.values().to_vec(), self.optimizer.state())
    }

    fn load(config: &ModelConfig, device: &Device, (values, state): &(Vec<Float>, OptimizerState)) -> Run {
        let mut run = Run::new(config, device);
        run.params.values_mut().unwrap().copy_from_slice(values).unwrap();
        run.optimizer.load_state(state).unwrap();
        run
    }

    /// Trains steps `from..to`; gives the losses.
    fn train(&mut self, from: u64, to: u64) -> Vec<Float> {
        let batch = Batch::from_rows(&pairs(5)).unwrap();
        let step = |step| {
            let tape = Tape::new();
            let (loss, _) = {
                let cx = Ctx::train(&self.params, tape.clone(), Some(Philox { seed: 1, step }));
                self.model.loss(&cx, &batch, 0.1, 1.0 / batch.tgt_tokens() as Float).unwrap()
            };
            self.params.zero_grad().unwrap();
            tape.backward(&loss, Some(self.params.grads_mut())).unwrap();
            self.optimizer.step(&mut self.params, 0.01, Some(1.0)).unwrap();
            loss.value().item().unwrap()
        };
        (from..to).map(step).collect()
    }
}

#[test]
fn two_training_steps_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    for config in shapes() {
        let (mut here, mut there) = (Run::new(&config, &Device::cpu()), Run::new(&config, &cuda));
        let (want, got) = (here.train(1, 3), there.train(1, 3));
        let losses = worst(&got, &want);
        let values = worst(&there.params.values().to_vec(), &here.params.values().to_vec());
        println!("{:?} {:?}: losses off by {losses:e}, weights by {values:e}", config.cell, config.attention);
        assert!(losses <= 1e-5 && values <= 1e-4, "{config:?}");
    }
}

#[test]
fn the_same_training_gives_the_same_bits_again() {
    let Some(cuda) = device() else { return };
    let config = &shapes()[0];
    let [first, again] = [0, 1].map(|_| {
        let mut run = Run::new(config, &cuda);
        let losses = run.train(1, 3);
        (losses, run.params.values().to_vec())
    });
    assert!(first == again);
}

#[test]
fn a_model_goes_on_on_the_other_device() {
    let Some(cuda) = device() else { return };
    let config = &shapes()[1];
    let mut whole = Run::new(config, &Device::cpu());
    whole.train(1, 5);
    for (first, second) in [(Device::cpu(), cuda.clone()), (cuda, Device::cpu())] {
        let mut run = Run::new(config, &first);
        run.train(1, 3);
        let mut run = Run::load(config, &second, &run.save());
        run.train(3, 5);
        let error = worst(&run.params.values().to_vec(), &whole.params.values().to_vec());
        assert!(error <= 1e-4, "{} then {}: off by {error:e}", first.describe(), second.describe());
    }
}

#[test]
fn a_beam_search_finds_what_the_cpu_finds() {
    let Some(cuda) = device() else { return };
    for config in shapes() {
        let (model, mut params) = Seq2Seq::build(&config, VOCAB, VOCAB, &Device::cpu(), 3).unwrap();
        let mut rng = SplitMix64::new(9);
        let weights: Vec<Float> =
            rng.uniforms(params.numel(), -0.8, 0.8).iter().map(|&x| x as Float).collect();
        params.values_mut().unwrap().copy_from_slice(&weights).unwrap();
        let (_, mut moved) = Seq2Seq::build(&config, VOCAB, VOCAB, &cuda, 3).unwrap();
        moved.values_mut().unwrap().copy_from_slice(&weights).unwrap();
        let sources: Vec<Vec<u32>> = pairs(4).into_iter().map(|(source, _)| source).collect();
        for beam in [1, 4] {
            let max_len = MaxLen { ratio: 1.0, add: 3 };
            let options = SearchOptions { beam, max_len, n_best: beam.min(2), ..SearchOptions::default() };
            let want = translate_batch(&model, &params, &sources, &options).unwrap();
            let got = translate_batch(&model, &moved, &sources, &options).unwrap();
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want) {
                    assert_eq!(got.ids, want.ids, "beam {beam} of {config:?}");
                    assert!((got.score - want.score).abs() < 1e-4, "{} {}", got.score, want.score);
                }
            }
        }
    }
}

/// The host waits for the totals of the loss and for the norm of the gradient, and for nothing else.
///
/// Tests beside this one read from the same device, so the steps are counted in a process of their own.
#[test]
fn a_training_step_waits_for_the_device_twice() {
    const ALONE: &str = "SEQWEAVE_TEST_ALONE";
    let Some(cuda) = device() else { return };
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "cuda::models::a_training_step_waits_for_the_device_twice", "--nocapture"]);
        let output = alone.env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let mut run = Run::new(&shapes()[1], &cuda);
    run.train(1, 2);
    let before = cuda.host_reads();
    run.train(2, 5);
    assert_eq!(cuda.host_reads() - before, 3 * 2);
}
