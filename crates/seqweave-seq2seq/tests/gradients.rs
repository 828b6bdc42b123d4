//! The gradient of the whole model against central differences, in the f64 build:
//! `RUSTFLAGS="--cfg seqweave_f64" cargo test --target-dir target/f64 -p seqweave-seq2seq --test gradients`.
//!
//! In single precision a difference quotient of a loss has two or three good digits, so this file is empty there.
#![cfg(seqweave_f64)]

mod common;

use common::{every_shape, random_model, sentence};
use seqweave_autograd::Tape;
use seqweave_nn::{Ctx, DropoutKind, Params};
use seqweave_seq2seq::{Batch, Seq2Seq};
use seqweave_tensor::Philox;
use seqweave_testkit::SplitMix64;

const SMOOTHING: f64 = 0.1;
const SCALE: f64 = 0.25;
/// With a fixed key dropout is a fixed function, so it can be differentiated too.
const DROPOUT: Option<Philox> = Some(Philox { seed: 9, step: 4 });

fn loss(model: &Seq2Seq, params: &Params, batch: &Batch) -> f64 {
    let cx = Ctx::train(params, Tape::new(), DROPOUT);
    model.loss(&cx, batch, SMOOTHING, SCALE).unwrap().0.item().unwrap()
}

#[test]
fn every_shape_has_the_gradient_of_its_loss() {
    const EPS: f64 = 1e-5;
    let (mut compared, mut worst) = (0, 0.0f64);
    for (n, config) in every_shape().iter().enumerate() {
        let mut config = config.clone();
        if n % 2 == 0 {
            (config.dropout, config.encoder.dropout, config.decoder.dropout) = (0.3, 0.2, 0.2);
            config.dropout_kind = [DropoutKind::Step, DropoutKind::Variational][n / 2 % 2];
        }
        let (model, mut params) = random_model(&config, n as u64, 0.6);
        let mut rng = SplitMix64::new(n as u64);
        let rows: Vec<(Vec<u32>, Vec<u32>)> =
            (0..3).map(|_| (sentence(4, &mut rng), sentence(4, &mut rng))).collect();
        let batch = Batch::from_rows(&rows).unwrap();

        params.zero_grad().unwrap();
        let tape = Tape::new();
        let (value, _) =
            model.loss(&Ctx::train(&params, tape.clone(), DROPOUT), &batch, SMOOTHING, SCALE).unwrap();
        tape.backward(&value, Some(params.grads_mut())).unwrap();

        // A few elements of every parameter; over all shapes that is thousands.
        let names: Vec<String> = params.names().map(str::to_string).collect();
        for name in names {
            let values = params.by_name(&name).unwrap().to_vec();
            let grad = params.grad_by_name(&name).unwrap().to_vec();
            for _ in 0..4 {
                let at = rng.below(values.len());
                let mut shifted = |by: f64| {
                    let mut moved = values.clone();
                    moved[at] += by;
                    params.set_by_name(&name, &moved).unwrap();
                    loss(&model, &params, &batch)
                };
                let difference = (shifted(EPS) - shifted(-EPS)) / (2.0 * EPS);
                params.set_by_name(&name, &values).unwrap();
                let error = (grad[at] - difference).abs() / difference.abs().max(grad[at].abs()).max(1e-3);
                assert!(
                    error < 1e-6,
                    "{name}[{at}] of {config:?}: tape {}, difference {difference}, relative error {error:e}",
                    grad[at]
                );
                compared += 1;
                worst = worst.max(error);
            }
        }
    }
    println!("{compared} elements compared, largest relative error {worst:.1e}");
    assert!(compared > 4000);
}
