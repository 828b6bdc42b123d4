//! Rounds of work within one parallel region: a light barrier instead of a fork and a join a round.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most chunks of a round.
pub(crate) const MAX_CHUNKS: usize = 32;

/// How often a thread looks whether the others are done before it lets the system run something else on its processor.
const LOOKS: usize = 1 << 10;

/// Calls `f(round, chunk)` for every chunk of every round. A round begins when all chunks of the one before are done, and
/// what they wrote can be read then.
///
/// The calling thread begins at once, with chunk 0; others of the pool join as they come, each with a chunk that it keeps
/// from round to round, so that what the chunk reads stays in that processor's cache. A chunk that nobody has begun is taken
/// by whoever finishes first: no thread waits for one that has not come, and a busy pool makes a region slow, not stuck.
/// `f` may not wait for the pool, unless there is only one chunk.
pub(crate) fn rounds(rounds: usize, chunks: usize, f: impl Fn(usize, usize) + Sync) {
    assert!((1..=MAX_CHUNKS).contains(&chunks), "{chunks} chunks");
    if chunks == 1 {
        return (0..rounds).for_each(|round| f(round, 0));
    }
    let region = Region {
        rounds,
        chunks,
        begun: std::array::from_fn(|_| Line::default()),
        done: Line::default(),
        failed: AtomicBool::new(false),
    };
    region.crew(0, chunks, &f);
}

/// A counter on a cache line of its own, so that writing one does not slow those who read another.
#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicUsize);

struct Region {
    rounds: usize,
    chunks: usize,
    /// In how many rounds each chunk was begun.
    begun: [Line; MAX_CHUNKS],
    /// Chunks that are done, of all rounds.
    done: Line,
    /// Whether a chunk has panicked.
    failed: AtomicBool,
}

impl Region {
    /// Offers a place in the region to each of `count` threads; the caller takes the first.
    fn crew(&self, first: usize, count: usize, f: &(impl Fn(usize, usize) + Sync)) {
        if count == 1 {
            return self.take_part(first, f);
        }
        let half = count / 2;
        rayon::join(|| self.crew(first, half, f), || self.crew(first + half, count - half, f));
    }

    /// All rounds as one thread sees them: its own chunk, then those that nobody has begun, then waiting for the rest.
    fn take_part(&self, own: usize, f: &(impl Fn(usize, usize) + Sync)) {
        // Whoever comes late begins where the others are.
        let first = self.done.0.load(Ordering::Acquire) / self.chunks;
        for round in first..self.rounds {
            for i in 0..self.chunks {
                let chunk = (own + i) % self.chunks;
                if self.begin(round, chunk) {
                    let guard = Guard(&self.failed);
                    f(round, chunk);
                    std::mem::forget(guard);
                    self.done.0.fetch_add(1, Ordering::Release);
                }
            }
            if !self.wait((round + 1) * self.chunks) {
                return;
            }
        }
    }

    /// Whether this thread is to do the chunk. Nothing is read through the counter, so its order does not matter.
    fn begin(&self, round: usize, chunk: usize) -> bool {
        let counter = &self.begun[chunk].0;
        // Looking comes first, because a failed exchange takes the cache line away from the others all the same.
        counter.load(Ordering::Relaxed) == round
            && counter.compare_exchange(round, round + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Waits until so many chunks are done; `false` if one panicked.
    fn wait(&self, chunks: usize) -> bool {
        let mut looks = 0;
        while self.done.0.load(Ordering::Acquire) < chunks {
            if self.failed.load(Ordering::Relaxed) {
                return false;
            }
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        true
    }
}

/// Tells the others of a panic, on its way out.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each round sums what all chunks wrote in the round before.
    #[test]
    fn a_round_sees_all_of_the_one_before() {
        for threads in [1, 2, 3, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for chunks in [1, 2, 3, 7] {
                let cells: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(1)).collect();
                let sums: Vec<AtomicUsize> = (0..40 * chunks).map(|_| AtomicUsize::new(0)).collect();
                pool.install(|| {
                    rounds(40, chunks, |round, chunk| {
                        if round % 2 == 0 {
                            cells[chunk].fetch_add(chunk + round, Ordering::Relaxed);
                        } else {
                            let sum = cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum();
                            sums[round * chunks + chunk].store(sum, Ordering::Relaxed);
                        }
                    })
                });
                for round in (1..40).step_by(2) {
                    let written = (0..round).step_by(2);
                    let want: usize =
                        (0..chunks).map(|c| 1 + written.clone().map(|r| c + r).sum::<usize>()).sum();
                    for sum in &sums[round * chunks..(round + 1) * chunks] {
                        assert_eq!(sum.load(Ordering::Relaxed), want, "{threads} threads, {chunks} chunks");
                    }
                }
            }
        }
    }

    /// More regions at once than threads, some within others' reach: nobody waits for a thread that does not come.
    #[test]
    fn regions_at_once_all_end() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let calls = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    pool.install(|| {
                        let count = |_, _| {
                            calls.fetch_add(1, Ordering::Relaxed);
                        };
                        let region = || rounds(50, 3, count);
                        rayon::join(region, region);
                    })
                });
            }
        });
        assert_eq!(calls.into_inner(), 6 * 2 * 50 * 3);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let run =
            || pool.install(|| rounds(10, 3, |round, chunk| assert!((round, chunk) != (4, 1), "as planned")));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"as planned"));
    }
}
