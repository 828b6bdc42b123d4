//! What this processor can do: the ceiling that benchmarks hold figures against.

use crate::gemm::Isa;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The name of the instruction set that the matrix kernels use here: `avx512`, `avx2` or `portable`.
pub fn matrix_kernels() -> &'static str {
    Isa::best().name()
}

/// The rate of fused multiply-adds in registers, in FLOP/s summed over `threads` threads: what a matrix product could
/// reach if memory cost nothing. `None` where the kernels are portable and have no ceiling of their own.
///
/// Measured, not looked up: the threads start together, each runs for a tenth of a second, and the best of several
/// slices counts.
pub fn multiply_add_ceiling(threads: usize) -> Option<f64> {
    let isa = Isa::best();
    isa.multiply_adds(1)?;
    let start = Barrier::new(threads.max(1));
    let rates = std::thread::scope(|scope| {
        let run = || {
            start.wait();
            let (mut best, end) = (0.0f64, Instant::now() + Duration::from_millis(100));
            while Instant::now() < end {
                let slice = Instant::now();
                let flop = isa.multiply_adds(1 << 16).unwrap_or(0.0);
                best = best.max(flop / slice.elapsed().as_secs_f64());
            }
            best
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum::<f64>()
    });
    Some(rates)
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
        match multiply_add_ceiling(1) {
            Some(rate) => assert!((1e9..1e13).contains(&rate), "{rate}"),
            None => assert_eq!(matrix_kernels(), "portable"),
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_held_counts() {
        let before = peak_memory().unwrap();
        let held = vec![1u8; 64 << 20];
        assert!(peak_memory().unwrap() >= before && peak_memory().unwrap() >= held.len() as u64);
    }
}
