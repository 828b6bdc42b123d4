//! Each operation beside its floor: products beside the multiply-add ceiling, passes over memory beside a triad.
//!
//! `cargo xtask bench ops` runs it in a release build. A result is checked before it is timed; the median counts.

use seqweave_tensor::ops::{self, AdamStep, Direction, GradScale, Weight};
use seqweave_tensor::{Acc, Device, Float, Ids, Precision, Result, Tensor, Trans, machine, on_pool};
use std::time::Instant;

/// Products `[M,K]·[K,N]`: recurrent ones of one time step, then whole-sequence ones, forward and backward.
const PRODUCTS: [(&str, usize, usize, usize); 15] = [
    ("one row, H 256", 1, 1024, 256),
    ("one row, H 512", 1, 2048, 512),
    ("two rows, H 512", 2, 2048, 512),
    ("recurrent B 16, H 256", 16, 1024, 256),
    ("recurrent B 64, H 256", 64, 1024, 256),
    ("its gradient", 64, 256, 1024),
    ("recurrent B 64, H 512", 64, 2048, 512),
    ("its gradient", 64, 512, 2048),
    ("recurrent B 64, H 1024", 64, 4096, 1024),
    ("input, H 256", 1280, 1024, 256),
    ("its gradient", 1280, 256, 1024),
    ("output, V 8000", 1280, 8000, 256),
    ("its gradient", 1280, 256, 8000),
    ("output, V 16000", 640, 16000, 512),
    ("its gradient", 640, 512, 16000),
];

/// Weight gradients `aᵀ·b`, a: `[K,M]`, b: `[K,N]`.
const WEIGHT_GRADIENTS: [(&str, usize, usize, usize); 3] = [
    ("input, H 256", 1024, 256, 1280),
    ("output, V 8000", 8000, 256, 1280),
    ("output, V 16000", 16000, 512, 640),
];

fn main() -> Result<()> {
    // Debug builds run this too, as a test of the example itself: smaller there.
    let shrink = if cfg!(debug_assertions) { 16 } else { 1 };
    let threads = rayon::current_num_threads();
    let precision = match std::env::args().nth(1).as_deref().map(str::parse) {
        None => Precision::F32,
        Some(Ok(precision)) => precision,
        Some(Err(message)) => {
            eprintln!("the precision of the products: {message}");
            std::process::exit(2);
        }
    };
    let flops = machine::multiply_add_ceiling(threads, precision);
    let bytes = machine::triad_bandwidth(threads);
    let kernels = machine::matrix_kernels();
    let name = precision.name();
    println!(
        "{threads} threads, {name}, {kernels} kernels, triad {:.1} GB/s, ceiling {}",
        bytes / 1e9,
        giga(flops)
    );
    on_pool(|| table(&Device::cpu().with_precision(precision), shrink, flops, bytes))
}

fn table(device: &Device, shrink: usize, flops: Option<f64>, bytes: f64) -> Result<()> {
    println!("\n{:<24} {:>20} {:>9} {:>6}", "product", "M x N x K", "GFLOP/s", "%");
    for (name, m, n, k) in PRODUCTS {
        let (m, n) = (m.div_ceil(shrink), n.div_ceil(shrink));
        let (a, b) = (values(device, &[m, k]), Weight::new(&values(device, &[n, k]))?);
        let mut c = Tensor::zeros(a.device(), [m, n]);
        ops::gemm_packed(&a, b.transposed(), Acc::Set, c.view_mut()?)?;
        let (left, right) = (a.to_vec(), b.value().to_vec());
        check_last(&c, (0..k).map(|l| (left[(m - 1) * k + l], right[(n - 1) * k + l])));
        let seconds = time(|| ops::gemm_packed(&a, b.transposed(), Acc::Set, c.view_mut()?))?;
        product(name, m, n, k, seconds, flops);
    }
    println!("\n{:<24} {:>20} {:>9} {:>6}", "weight gradient", "M x N x K", "GFLOP/s", "%");
    for (name, m, n, k) in WEIGHT_GRADIENTS {
        let m = m.div_ceil(shrink);
        let (a, b) = (values(device, &[k, m]), values(device, &[k, n]));
        let mut c = Tensor::zeros(a.device(), [m, n]);
        ops::gemm(&a, Trans::T, &b, Trans::N, Acc::Set, c.view_mut()?)?;
        let (left, right) = (a.to_vec(), b.to_vec());
        check_last(&c, (0..k).map(|l| (left[l * m + m - 1], right[l * n + n - 1])));
        let seconds = time(|| ops::gemm(&a, Trans::T, &b, Trans::N, Acc::Add, c.view_mut()?))?;
        product(name, m, n, k, seconds, flops);
    }

    println!("\n{:<24} {:>20} {:>9} {:>6}", "LSTM, all steps", "T x B x H", "GFLOP/s", "%");
    for h in [256, 512] {
        let (t, b) = (20usize.div_ceil(shrink), 64);
        let (xp, w) = (values(device, &[t, b, 4 * h]), Weight::new(&values(device, &[4 * h, h]))?);
        let zero = Tensor::zeros(xp.device(), [b, h]);
        let (y, .., saved) = ops::lstm_forward(&xp, &w, &zero, &zero, None, Direction::Forward)?;
        let work = (2 * t * b * 4 * h * h) as f64;
        let seconds = time(|| ops::lstm_forward(&xp, &w, &zero, &zero, None, Direction::Forward).map(drop))?;
        shaped("forward", [t, b, h], work / seconds, flops);
        let seconds = time(|| ops::lstm_backward(Some(&y), None, None, &saved, &w).map(drop))?;
        shaped("backward, no dW", [t, b, h], work / seconds, flops);
    }

    println!("\n{:<24} {:>20} {:>9} {:>6}", "passes over memory", "size", "GB/s", "%");
    let (n, v) = (1280usize.div_ceil(shrink), 8000);
    let (logits, targets) =
        (values(device, &[n, v]), Ids::list((0..n).map(|i| (i * 7 % v) as u32).collect()));
    let saved = ops::cross_entropy(&logits, &targets, v as u32, 0.0)?;
    let mut dlogits = Tensor::zeros(logits.device(), [n, v]);
    let seconds = time(|| ops::cross_entropy(&logits, &targets, v as u32, 0.0).map(drop))?;
    shaped("cross entropy", [n, v], (4 * n * v) as f64 / seconds, Some(bytes));
    let seconds = time(|| {
        let out = dlogits.view_mut()?;
        ops::cross_entropy_backward(&logits, &targets, v as u32, 0.0, &saved, 1.0, Acc::Set, out)
    })?;
    shaped("its gradient", [n, v], (8 * n * v) as f64 / seconds, Some(bytes));
    let size = (8 << 20) / shrink;
    let (mut p, g) = (values(device, &[size]), values(device, &[size]));
    let (mut m, mut s) = (Tensor::zeros(p.device(), [size]), Tensor::zeros(p.device(), [size]));
    let mut step = 0;
    let seconds = time(|| {
        step += 1;
        let adam = AdamStep {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            step,
        };
        ops::adam(p.view_mut()?, &g, m.view_mut()?, s.view_mut()?, &adam, &GradScale::new(1.0))
    })?;
    shaped("Adam", [size], (28 * size) as f64 / seconds, Some(bytes));
    Ok(())
}

/// Median seconds of a call, over at least three calls and a fifth of a second.
fn time(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed().as_secs_f64() < 0.2 && !cfg!(debug_assertions) {
        let clock = Instant::now();
        work()?;
        times.push(clock.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Asserts that the last element of a product is the sum of its factors' products.
fn check_last(c: &Tensor, factors: impl Iterator<Item = (Float, Float)>) {
    let want: f64 = factors.map(|(a, b)| f64::from(a) * f64::from(b)).sum();
    let got = c.to_vec().last().map_or(f64::NAN, |&x| x.into());
    assert!((got - want).abs() < 1e-2 * (1.0 + want.abs()), "a product gives {got} instead of {want}");
}

fn values(device: &Device, shape: &[usize]) -> Tensor {
    let n = shape.iter().product();
    let values = (0..n).map(|i: usize| (i * 7919 % 1000) as Float / 1000.0 - 0.5).collect();
    Tensor::from_vec(device, values, shape).expect("as many values as the shape holds")
}

fn product(name: &str, m: usize, n: usize, k: usize, seconds: f64, ceiling: Option<f64>) {
    shaped(name, [m, n, k], (2 * m * n * k) as f64 / seconds, ceiling);
}

/// One line: a rate in units of 10⁹ a second, and in percent of its ceiling.
fn shaped<const N: usize>(name: &str, shape: [usize; N], rate: f64, ceiling: Option<f64>) {
    let shape = shape.map(|n| n.to_string()).join(" x ");
    let percent = ceiling.map_or("-".to_owned(), |ceiling| format!("{:.0}", 100.0 * rate / ceiling));
    println!("{name:<24} {shape:>20} {:>9.1} {percent:>6}", rate / 1e9);
}

fn giga(rate: Option<f64>) -> String {
    rate.map_or("unknown".to_owned(), |rate| format!("{:.0} GFLOP/s", rate / 1e9))
}
