//! Golden tests: values and gradients that PyTorch computed, from inputs given by formula.
//!
//! `generate.py` beside this file writes the JSON files in `fixtures/`; the snippet above each test is what it runs.

// In one of the two builds `Float` already is the type a cast names.
#![allow(clippy::unnecessary_cast, clippy::useless_conversion)]

mod attention;
mod ops;
mod optim;
mod recurrent;

use seqweave_autograd::{self as ag, Gradients, Result, Var};
use seqweave_tensor::{Device, Float, Shape, Tensor};
use seqweave_testkit::{Golden, wave};

/// The files keep nine digits, half of the last of which is 5e-9 at most; f32 has seven, of which sums of products of a few layers lose one or two.
const RTOL: f64 = if size_of::<Float>() == 8 { 6e-9 } else { 1e-5 };
const ATOL: f64 = if size_of::<Float>() == 8 { 1e-11 } else { 2e-6 };

/// Tensor number `k` of a test: `formula` of `generate.py`.
fn formula(shape: impl Into<Shape>, k: usize) -> Tensor {
    let shape = shape.into();
    let values = wave(shape.numel(), 0.3 + 0.07 * k as f64, 0.2 * k as f64);
    let values = values.iter().map(|&x| x as Float).collect();
    Tensor::from_vec(&Device::cpu(), values, shape).expect("as many values as the shape holds")
}

/// One number that depends on every element of every output: `weighted` of `generate.py`.
fn weighted(outputs: &[&Var]) -> Result<Var> {
    let mut loss: Option<Var> = None;
    for (i, y) in outputs.iter().enumerate() {
        let part = ag::sum(&ag::mul(y, &formula(*y.shape(), 50 + i).into())?)?;
        loss = Some(loss.map_or(Ok(part.clone()), |sum| ag::add(&sum, &part))?);
    }
    Ok(loss.expect("there is an output"))
}

fn golden(name: &str) -> Golden {
    let path = format!("{}/golden/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Golden::read(path).unwrap_or_else(|e| panic!("{e}"))
}

/// Asserts that a tensor equals the entry `name`.
#[track_caller]
fn assert_entry(golden: &Golden, name: &str, got: &Tensor) {
    golden.assert_close(name, got.shape(), &got.to_vec(), RTOL, ATOL);
}

/// Asserts that the gradient of `leaf` equals the entry `name`.
#[track_caller]
fn assert_gradient(golden: &Golden, name: &str, gradients: &Gradients, leaf: &Var) {
    assert_entry(golden, name, gradients.get(leaf).expect("the loss depends on every leaf"));
}
