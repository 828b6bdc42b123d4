//! Initial values of parameters, each drawn from a stream of its own.

use crate::{Error, Result};
use ndarray::{Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::{Distribution, StandardNormal, Uniform};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use seqweave_tensor::{Float, Shape};

/// How a parameter gets its first value.
///
/// A parameter `[rows, columns]` multiplies column vectors: its fan-in is `columns`, its fan-out `rows`.
/// The variants with `gates` treat the parameter as that many equal blocks of rows (LSTM 4, GRU 3), each a matrix of its
/// own, because the gates of a cell do not share outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same value.
    Constant(Float),
    /// Uniform in [−a, a).
    Uniform(Float),
    /// Normal with mean 0 and this standard deviation.
    Normal(Float),
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, "Understanding the difficulty of training deep
    /// feedforward neural networks", equation 16).
    XavierUniform,
    /// [`Init::XavierUniform`] for each of so many blocks of rows.
    XavierUniformGates(usize),
    /// A random orthogonal matrix: rows orthonormal, or columns if there are fewer of them (Saxe, McClelland and Ganguli
    /// 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", section 3).
    Orthogonal,
    /// [`Init::Orthogonal`] for each of so many blocks of rows.
    OrthogonalGates(usize),
    /// The bias `[4H]` of an LSTM: this value for the forget gate, 0 for the others (Jozefowicz, Zaremba and Sutskever
    /// 2015, "An empirical exploration of recurrent network architectures", section 2.2).
    LstmForgetBias(Float),
}

/// Appends the values of one parameter. They are drawn in f64, so that both builds start from the same point, and put down
/// one by one: a large matrix in f64 would leave a hole in the heap for as long as the program runs.
pub(crate) fn draw(values: &mut Vec<Float>, init: &Init, shape: &Shape, seed: u64, name: &str) -> Result<()> {
    let n = shape.numel();
    let wrong =
        |expected| Error::Init { name: name.to_owned(), shape: *shape, init: format!("{init:?}"), expected };
    let by_gates = |gates| blocks(shape, gates).ok_or(wrong("two axes, rows divisible by the gates"));
    let mut rng = stream(seed, name);
    let end = values.len() + n;
    match *init {
        Init::Zeros => values.resize(end, 0.0),
        Init::Ones => values.resize(end, 1.0),
        Init::Constant(value) => values.resize(end, value),
        Init::Uniform(a) => {
            uniform(values, n, f64::from(a), &mut rng).ok_or(wrong("a finite bound that is at least 0"))?
        }
        Init::Normal(std) if std >= 0.0 && std.is_finite() => {
            let draws = StandardNormal.sample_iter(&mut rng).take(n);
            values.extend(draws.map(|x: f64| (x * f64::from(std)) as Float));
        }
        Init::Normal(_) => return Err(wrong("a finite standard deviation that is at least 0")),
        Init::XavierUniform => xavier(values, blocks(shape, 1).ok_or(wrong("two axes"))?, &mut rng),
        Init::XavierUniformGates(gates) => xavier(values, by_gates(gates)?, &mut rng),
        Init::Orthogonal => orthogonal(values, blocks(shape, 1).ok_or(wrong("two axes"))?, &mut rng),
        Init::OrthogonalGates(gates) => orthogonal(values, by_gates(gates)?, &mut rng),
        Init::LstmForgetBias(value) => {
            let hidden = match shape[..] {
                [g] if g % 4 == 0 => g / 4,
                _ => return Err(wrong("one axis of 4·H entries")),
            };
            let is_forget = |i: usize| (hidden..2 * hidden).contains(&i); // gate order i, f, g, o
            values.extend((0..n).map(|i| if is_forget(i) { value } else { 0.0 }));
        }
    }
    Ok(())
}

/// A matrix made of equal blocks of rows.
struct Blocks {
    count: usize,
    rows: usize,
    columns: usize,
}

fn blocks(shape: &Shape, count: usize) -> Option<Blocks> {
    match shape[..] {
        [rows, columns] if count > 0 && rows % count == 0 => {
            Some(Blocks { count, rows: rows / count, columns })
        }
        _ => None,
    }
}

/// The stream of a parameter: ChaCha8 keyed by seed and name.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (lane, word) in key[8..].chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&hash(name, lane as u64).to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// FNV-1a with a start value a lane, and a finaliser that spreads short names over all bits.
fn hash(name: &str, lane: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ lane.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let h = name.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// Uniform in [−a, a); `None` if `a` is no bound.
fn uniform(values: &mut Vec<Float>, n: usize, a: f64, rng: &mut ChaCha8Rng) -> Option<()> {
    if a == 0.0 {
        values.resize(values.len() + n, 0.0);
        return Some(());
    }
    let range = Uniform::new(-a, a).ok()?;
    values.extend(range.sample_iter(rng).take(n).map(|x| x as Float));
    Some(())
}

fn xavier(values: &mut Vec<Float>, b: Blocks, rng: &mut ChaCha8Rng) {
    let bound = (6.0 / (b.rows + b.columns).max(1) as f64).sqrt();
    uniform(values, b.count * b.rows * b.columns, bound, rng).expect("the bound is positive and finite");
}

fn orthogonal(values: &mut Vec<Float>, b: Blocks, rng: &mut ChaCha8Rng) {
    for _ in 0..b.count {
        // The short side is made orthonormal: at most `long` vectors of that length can be.
        let (short, long) = (b.rows.min(b.columns), b.rows.max(b.columns));
        let q = orthonormal_rows(short, long, rng);
        let block = if b.rows <= b.columns { q } else { q.reversed_axes() };
        values.extend(block.iter().map(|&x| x as Float));
    }
}

/// `count ≤ length` orthonormal rows: modified Gram–Schmidt on normal draws, which makes every direction as likely.
fn orthonormal_rows(count: usize, length: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut q = Array2::zeros((count, length));
    for i in 0..count {
        loop {
            let mut row = Array1::<f64>::random_using(length, StandardNormal, rng);
            // The second pass removes what rounding left of the first; twice is enough (Giraud et al. 2005).
            for _ in 0..2 {
                for j in 0..i {
                    let done = q.row(j);
                    let shared = row.dot(&done);
                    row.scaled_add(-shared, &done);
                }
            }
            let norm = row.dot(&row).sqrt();
            // A draw that lies in the span of the earlier ones has no direction of its own; draw again.
            if norm > 1e-6 {
                q.row_mut(i).assign(&(row / norm));
                break;
            }
        }
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(init: Init, shape: impl Into<Shape>, seed: u64, name: &str) -> Vec<f64> {
        let mut values = Vec::new();
        draw(&mut values, &init, &shape.into(), seed, name).unwrap();
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn a_stream_depends_on_seed_and_name() {
        let base = values(Init::Normal(1.0), [8], 1, "a.weight");
        assert_eq!(base, values(Init::Normal(1.0), [8], 1, "a.weight"));
        assert_ne!(base, values(Init::Normal(1.0), [8], 2, "a.weight"));
        assert_ne!(base, values(Init::Normal(1.0), [8], 1, "b.weight"));
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let n = 20_000;
        let x = values(Init::Uniform(0.5), [n], 3, "u");
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(x.iter().all(|x| (-0.5..0.5).contains(x)));
        assert!(mean.abs() < 0.01 && (variance - 0.25 / 3.0).abs() < 0.003, "{mean} {variance}");
        let x = values(Init::Normal(2.0), [n], 3, "n");
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.05 && (variance - 4.0).abs() < 0.15, "{mean} {variance}");
    }

    #[test]
    fn xavier_fills_its_bound_gate_by_gate() {
        let whole = values(Init::XavierUniform, [40, 20], 1, "w");
        let bound = (6.0f64 / 60.0).sqrt();
        let largest = whole.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(largest <= bound && largest > 0.97 * bound, "{largest} of {bound}");
        let gates = values(Init::XavierUniformGates(4), [40, 20], 1, "w");
        let bound = (6.0f64 / 30.0).sqrt();
        let largest = gates.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(largest <= bound && largest > 0.97 * bound, "{largest} of {bound}");
    }

    #[test]
    fn orthogonal_blocks_are_orthonormal_on_their_short_side() {
        let tolerance = if size_of::<Float>() == 8 { 1e-14 } else { 1e-6 };
        for (rows, columns, gates) in [(5, 5, 1), (3, 8, 1), (8, 3, 1), (12, 4, 3), (64, 16, 4), (1, 1, 1)] {
            let all = values(Init::OrthogonalGates(gates), [rows, columns], 7, "w");
            for block in all.chunks_exact(rows / gates * columns) {
                let m = Array2::from_shape_vec((rows / gates, columns), block.to_vec()).unwrap();
                let m = if m.nrows() <= m.ncols() { m } else { m.reversed_axes() };
                let worst = (m.dot(&m.t()) - Array2::<f64>::eye(m.nrows()))
                    .iter()
                    .fold(0.0f64, |w, x| w.max(x.abs()));
                assert!(worst < tolerance, "{rows}x{columns}/{gates}: {worst}");
            }
        }
    }

    #[test]
    fn forget_gate_alone_is_biased() {
        let bias = values(Init::LstmForgetBias(1.0), [8], 0, "b");
        assert_eq!(bias, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn an_initialisation_that_does_not_fit_is_an_error() {
        for (init, shape) in [
            (Init::Orthogonal, Shape::from([4])),
            (Init::XavierUniform, Shape::from([2, 2, 2])),
            (Init::OrthogonalGates(3), Shape::from([4, 4])),
            (Init::XavierUniformGates(0), Shape::from([4, 4])),
            (Init::LstmForgetBias(1.0), Shape::from([6])),
            (Init::Normal(-1.0), Shape::from([2])),
            (Init::Normal(Float::NAN), Shape::from([2])),
            (Init::Uniform(-1.0), Shape::from([2])),
            (Init::Uniform(Float::INFINITY), Shape::from([2])),
        ] {
            let message = draw(&mut Vec::new(), &init, &shape, 0, "layer.weight").unwrap_err().to_string();
            assert!(message.contains("`layer.weight`") && message.contains("needs"), "{message}");
        }
    }
}
