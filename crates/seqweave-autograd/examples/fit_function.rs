//! Fits sin(x) on [−π, π] with one hidden layer: tensors and gradients only, no layers and no optimizer crate.
//!
//! Run with `cargo run --release --example fit_function`.

use seqweave_autograd::{Result, Tape, Var, linear, mean, mul, sub, tanh};
use seqweave_tensor::{Device, Float, Tensor, ops};
use std::f64::consts::PI;

const POINTS: usize = 64;
const HIDDEN: usize = 16;
const STEPS: usize = 3000;
const RATE: Float = 0.1;

fn main() -> Result<()> {
    let cpu = Device::cpu();
    let x: Vec<Float> =
        (0..POINTS).map(|i| (-PI + 2.0 * PI * i as f64 / (POINTS - 1) as f64) as Float).collect();
    let y = x.iter().map(|x| x.sin()).collect();
    let x = Var::constant(Tensor::from_vec(&cpu, x, [POINTS, 1])?);
    let y = Var::constant(Tensor::from_vec(&cpu, y, [POINTS, 1])?);

    // Fixed, spread-out starting weights: a random generator would only hide what happens.
    let spread = |n: usize, phase: f64| (0..n).map(|i| (2.4 * i as f64 + phase).sin() as Float).collect();
    let mut parameters = [
        Tensor::from_vec(&cpu, spread(HIDDEN, 0.3), [HIDDEN, 1])?,
        Tensor::from_vec(&cpu, spread(HIDDEN, 1.1), [HIDDEN])?,
        ops::scale(&Tensor::from_vec(&cpu, spread(HIDDEN, 2.7), [1, HIDDEN])?, 0.3)?,
        Tensor::zeros(&cpu, [1]),
    ];
    for step in 0..=STEPS {
        let tape = Tape::new();
        let leaves = parameters.each_ref().map(|p| tape.leaf(p.clone()));
        let [w1, b1, w2, b2] = &leaves;
        let hidden = tanh(&linear(&x, w1, Some(b1))?)?;
        let error = sub(&linear(&hidden, w2, Some(b2))?, &y)?;
        let loss = mean(&mul(&error, &error)?)?;
        if step % 500 == 0 {
            println!("step {step:4}: mean squared error {:.6}", loss.item()?);
        }
        let gradients = tape.backward(&loss, None)?;
        for (parameter, leaf) in parameters.iter_mut().zip(&leaves) {
            let gradient = gradients.get(leaf).expect("the loss depends on every parameter");
            *parameter = ops::add(parameter, &ops::scale(gradient, -RATE)?)?;
        }
    }
    Ok(())
}
