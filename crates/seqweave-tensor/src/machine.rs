//! What this processor can do, what of it is used, and the ceiling that benchmarks hold figures against.

use crate::gemm::{Isa, amx, multiply_adds};
use crate::math::simd;
use crate::{Float, Precision};
use std::sync::Barrier;
use std::time::{Duration, Instant};

pub use crate::level::OVERRIDE;

/// Whether the environment variables that choose how matrix products are made say what is known: [`OVERRIDE`] for the CPU,
/// `SEQWEAVE_GEMM` for a GPU.
///
/// # Errors
/// [`Error::CpuOverride`], [`Error::GemmSwitch`].
///
/// [`Error::CpuOverride`]: crate::Error::CpuOverride
/// [`Error::GemmSwitch`]: crate::Error::GemmSwitch
pub fn check_override() -> crate::Result<()> {
    crate::level::check_override()?;
    crate::cuda::gemm_switch().map(drop)
}

/// The name of the instruction set that the matrix kernels use here: `avx512`, `avx2` or `portable`.
pub fn matrix_kernels() -> &'static str {
    Isa::best().name()
}

/// How products in [`Precision::Bf16`] are made here: on `amx` tiles, with `avx512bf16`, or of `rounded` operands in f32.
pub fn bf16_kernels() -> &'static str {
    match amx::usable() {
        Ok(()) => "amx",
        Err(_) if Isa::has_pairs() => "avx512bf16",
        Err(_) => "rounded",
    }
}

/// How products in [`Precision::F32Fast`] are made here: of parts on `amx` tiles, or as in `f32`.
pub fn f32_fast_kernels() -> &'static str {
    if amx::usable().is_ok() { "amx" } else { "f32" }
}

/// Why no product is made on AMX tiles here; `None` where they are used.
pub fn tiles_unused() -> Option<&'static str> {
    amx::usable().as_ref().err().map(String::as_str)
}

/// The rate of the multiply-adds of a precision in registers, in FLOP/s summed over `threads` threads: what a matrix product could
/// reach if memory cost nothing. `None` where the kernels are portable and have no ceiling of their own.
///
/// Measured, not looked up: the threads start together, each runs for a tenth of a second, and the best of several
/// slices counts.
pub fn multiply_add_ceiling(threads: usize, precision: Precision) -> Option<f64> {
    multiply_adds(precision, 1)?;
    let start = Barrier::new(threads.max(1));
    let rates = std::thread::scope(|scope| {
        let run = || {
            start.wait();
            let (mut best, end) = (0.0f64, Instant::now() + Duration::from_millis(100));
            while Instant::now() < end {
                let slice = Instant::now();
                let flop = multiply_adds(precision, 1 << 16).unwrap_or(0.0);
                best = best.max(flop / slice.elapsed().as_secs_f64());
            }
            best
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum::<f64>()
    });
    Some(rates)
}

/// The rate at which `threads` threads at once do `a = b + s·c` on arrays far larger than any cache, in bytes of the
/// three arrays a second: what a pass over memory could reach.
pub fn triad_bandwidth(threads: usize) -> f64 {
    // Debug builds only see that it runs.
    const LEN: usize = if cfg!(debug_assertions) { 1 << 16 } else { 1 << 23 };
    let start = Barrier::new(threads.max(1));
    std::thread::scope(|scope| {
        let run = || {
            let (mut a, b, c) = (vec![0.0; LEN], vec![1.0; LEN], vec![2.0; LEN]);
            start.wait();
            let passes = (0..5).map(|_| {
                let clock = Instant::now();
                triad(&mut a, &b, &c, 3.0);
                std::hint::black_box(&mut a);
                (3 * LEN * size_of::<Float>()) as f64 / clock.elapsed().as_secs_f64()
            });
            passes.fold(0.0, f64::max)
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum()
    })
}

simd! {
    /// a = b + s·c.
    fn triad(a: &mut [Float], b: &[Float], c: &[Float], s: Float) {
        for ((a, &b), &c) in a.iter_mut().zip(b).zip(c) {
            *a = b + s * c;
        }
    }
}

/// The most memory this process has held so far, in bytes; `None` where the system does not say (not Linux).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_a_rate_of_this_century() {
        for precision in Precision::ALL {
            match multiply_add_ceiling(1, precision) {
                Some(rate) => assert!((1e9..1e13).contains(&rate), "{rate}"),
                None => assert_eq!(matrix_kernels(), "portable"),
            }
        }
    }

    #[test]
    fn a_triad_moves_bytes() {
        assert!((1e6..1e13).contains(&triad_bandwidth(2)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_held_counts() {
        let before = peak_memory().unwrap();
        let held = vec![1u8; 64 << 20];
        assert!(peak_memory().unwrap() >= before && peak_memory().unwrap() >= held.len() as u64);
    }
}
