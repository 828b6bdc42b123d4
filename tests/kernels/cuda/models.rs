//! Whole models: training steps, a checkpoint that changes device, beam search.

use super::{alone, device, with_own_products, worst};
use seqweave_autograd::Tape;
use seqweave_nn::{
    AttentionKind, CellKind, Ctx, DropoutKind, Optimizer, OptimizerConfig, OptimizerState, Params, Result,
};
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
        // With and without input feeding there is one of each.
        dropout_kind: if input_feeding { DropoutKind::Variational } else { DropoutKind::Step },
        ..ModelConfig::default()
    }
}

pub(super) fn shapes() -> Vec<ModelConfig> {
    vec![
        config(CellKind::Lstm, AttentionKind::General, true),
        config(CellKind::Lstm, AttentionKind::Additive, false),
        config(CellKind::Gru, AttentionKind::ScaledDot, false),
        config(CellKind::Rnn, AttentionKind::None, false),
    ]
}

/// Pairs of sentences of different lengths.
pub(super) fn pairs(n: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut rng = SplitMix64::new(5);
    let mut words = |longest| -> Vec<u32> {
        (0..1 + rng.below(longest)).map(|_| 4 + rng.below(VOCAB - 4) as u32).collect()
    };
    (0..n).map(|_| (words(7), words(5))).collect()
}

/// A model in training, where it stands.
pub(super) struct Run {
    model: Seq2Seq,
    params: Params,
    optimizer: Optimizer,
}

impl Run {
    pub(super) fn new(config: &ModelConfig, device: &Device) -> Run {
        let (model, params) = Seq2Seq::build(config, VOCAB, VOCAB, device, 3).unwrap();
        let optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
        Run { model, params, optimizer }
    }

    pub(super) fn model(&self) -> (&Seq2Seq, &Params) {
        (&self.model, &self.params)
    }

    /// What a checkpoint keeps.
    pub(super) fn save(&self) -> (Vec<Float>, OptimizerState) {
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
        (from..to).map(|step| self.step(step).unwrap()).collect()
    }

    fn step(&mut self, step: u64) -> Result<Float> {
        self.step_on(&Batch::from_rows(&pairs(5)).unwrap(), step)
    }

    pub(super) fn step_on(&mut self, batch: &Batch, step: u64) -> Result<Float> {
        let tape = Tape::new();
        let (loss, stats) = {
            let cx = Ctx::train(&self.params, tape.clone(), Some(Philox { seed: 1, step }));
            self.model.loss(&cx, batch, 0.1, 1.0 / batch.tgt_tokens() as Float).unwrap()
        };
        self.params.zero_grad()?;
        tape.backward(&loss, Some(self.params.grads_mut()))?;
        let totals = stats.totals.pending();
        self.optimizer.step_if_finite(&mut self.params, 0.01, Some(1.0), &[totals])?;
        Ok((totals.values()?[0] / stats.count as f64) as Float)
    }
}

#[test]
fn two_training_steps_agree_with_the_cpu() {
    let Some(cuda) = device() else { return };
    if !with_own_products("cuda::models::two_training_steps_agree_with_the_cpu", &cuda) {
        return;
    }
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

/// The update is launched before the host knows what the loss was.
#[test]
fn a_step_that_is_not_finite_changes_nothing_on_the_device() {
    let Some(cuda) = device() else { return };
    // Large output weights overflow the loss alone; large embeddings under small weights the gradient alone.
    for (output, embeddings, expected) in [(3e38, 1.0, "the loss"), (1e34, 1e8, "the gradient of `decoder.")]
    {
        let mut run = Run::new(&config(CellKind::Lstm, AttentionKind::None, false), &cuda);
        run.train(1, 2);
        let names: Vec<String> = run.params.names().map(str::to_owned).collect();
        for name in names {
            let factor: Float = match name.as_str() {
                "output.weight" => output,
                "decoder.embedding.weight" => embeddings,
                name if name.starts_with("decoder") && name.ends_with("weight_ih") => 1.0 / embeddings,
                _ => continue,
            };
            let values: Vec<Float> =
                run.params.by_name(&name).unwrap().to_vec().into_iter().map(|x| x * factor).collect();
            run.params.set_by_name(&name, &values).unwrap();
        }
        let before = run.save();
        let error = run.step(2).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(run.save() == before, "{error}");
    }
}

#[test]
fn a_model_goes_on_on_the_other_device() {
    let Some(cuda) = device() else { return };
    if !with_own_products("cuda::models::a_model_goes_on_on_the_other_device", &cuda) {
        return;
    }
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
        // With a rule, all log-probabilities are read, and without one the best.
        for (beam, no_repeat_ngram) in [(1, 0), (4, 0), (4, 2)] {
            let max_len = MaxLen { ratio: 1.0, add: 3 };
            let n_best = beam.min(2);
            let options =
                SearchOptions { beam, max_len, n_best, no_repeat_ngram, ..SearchOptions::default() };
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

/// The host waits once, for the totals of the loss and the norm of the gradient together.
#[test]
fn a_training_step_waits_for_the_device_once() {
    let Some(cuda) = device() else { return };
    if alone("cuda::models::a_training_step_waits_for_the_device_once", &[]) {
        let mut run = Run::new(&shapes()[1], &cuda);
        run.train(1, 2);
        let before = cuda.host_reads();
        run.train(2, 5);
        assert_eq!(cuda.host_reads() - before, 3);
    }
}
