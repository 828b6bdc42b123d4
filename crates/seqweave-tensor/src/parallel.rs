//! Loops over threads whose results do not depend on how many threads there are.
//!
//! Work is cut where no sum is cut, or into chunks of a fixed length whose sums are joined in order; a chunk is always
//! computed by one thread in one order. Below a threshold the loop stays on the calling thread, because handing work over
//! costs a few microseconds.

mod rounds;

use crate::Float;
use rayon::prelude::*;
pub(crate) use rounds::{MAX_CHUNKS, rounds};
use std::cell::RefCell;

/// Elements of pointwise work below which a loop stays serial.
pub(crate) const SERIAL_BELOW: usize = 1 << 15;

/// Runs `f` on a thread of the current pool and returns what it returns.
///
/// A parallel loop that starts on a thread of the pool shares its work with the others in under a microsecond; one that
/// starts elsewhere has to wake a thread and go to sleep itself. So whoever calls many operations, for a training step or
/// a search, calls them through this.
///
/// A thread of the pool that waits inside `f` may take up other work meanwhile, another caller's `f` among it, on top of
/// its own stack. So hold no lock and no half-made value across an operation; and many callers at once finish late rather
/// than one after another.
pub fn on_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::join(f, || ()).0
}

/// Calls `f(first index, chunk)` for each chunk of `chunk` elements of `out`.
pub(crate) fn for_chunks(out: &mut [Float], chunk: usize, f: impl Fn(usize, &mut [Float]) + Sync) {
    let chunk = chunk.max(1);
    if out.len() < SERIAL_BELOW {
        out.chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
    }
}

/// Calls `f(row, row of out)` for each row of `columns` elements; `work` is the cost of a row in elements touched.
pub(crate) fn for_rows(
    out: &mut [Float],
    columns: usize,
    work: usize,
    f: impl Fn(usize, &mut [Float]) + Sync,
) {
    if columns == 0 || out.is_empty() {
        return;
    }
    let rows = out.len() / columns;
    if rows * work < SERIAL_BELOW {
        out.chunks_exact_mut(columns).enumerate().for_each(|(row, part)| f(row, part));
    } else {
        let rows_per_task = (4096 / work.max(1)).clamp(1, rows);
        out.par_chunks_mut(columns * rows_per_task).enumerate().for_each(|(i, part)| {
            for (j, row) in part.chunks_exact_mut(columns).enumerate() {
                f(i * rows_per_task + j, row);
            }
        });
    }
}

/// Calls `f(i)` for `i` in `0..n`; `work` is the cost of one in elements touched.
pub(crate) fn for_each(n: usize, work: usize, f: impl Fn(usize) + Sync) {
    if n * work < SERIAL_BELOW {
        (0..n).for_each(f);
    } else {
        (0..n).into_par_iter().with_min_len(4096 / work.max(1)).for_each(&f);
    }
}

/// Lends `f` `len` numbers of this thread's own, which hold what they held. A loop's body asks for room here instead of
/// allocating it; within `f`, another call makes room of its own.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Float]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<Float>> = const { RefCell::new(Vec::new()) };
    }
    let mut own = SCRATCH.take();
    if own.len() < len {
        own.resize(len, 0.0);
    }
    let result = f(&mut own[..len]);
    SCRATCH.replace(own);
    result
}

/// The values `f(i)` for `i` in `0..n`, in order, computed in parallel when `n · work` elements are worth it.
pub(crate) fn map<R: Send>(n: usize, work: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if n * work < SERIAL_BELOW { (0..n).map(f).collect() } else { (0..n).into_par_iter().map(f).collect() }
}

/// The values `f(row, row of out)` for each row of `columns` elements, in order; `f` may change its row.
pub(crate) fn map_rows<R: Send>(
    out: &mut [Float],
    columns: usize,
    work: usize,
    f: impl Fn(usize, &mut [Float]) -> R + Sync + Send,
) -> Vec<R> {
    let columns = columns.max(1);
    if out.len() / columns * work < SERIAL_BELOW {
        out.chunks_exact_mut(columns).enumerate().map(|(i, row)| f(i, row)).collect()
    } else {
        out.par_chunks_exact_mut(columns).enumerate().map(|(i, row)| f(i, row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_element_is_visited_once() {
        for len in [0, 1, 1000, SERIAL_BELOW + 17] {
            let mut out = vec![0.0; len];
            for_chunks(&mut out, 64, |start, part| {
                part.iter_mut().enumerate().for_each(|(i, x)| *x += (start + i) as Float)
            });
            assert!(out.iter().enumerate().all(|(i, &x)| x == i as Float));
            assert_eq!(map(len, 1, |i| i), (0..len).collect::<Vec<_>>());
        }
        let mut out = vec![0.0; 1001 * 77];
        for_rows(&mut out, 77, 77, |row, part| part.iter_mut().for_each(|x| *x += row as Float));
        assert!(out.chunks(77).enumerate().all(|(row, part)| part.iter().all(|&x| x == row as Float)));
        for rows in [0, 3, 2001] {
            let mut out = vec![1.0; rows * 30];
            let seen = map_rows(&mut out, 30, 30, |i, row| {
                row.iter_mut().for_each(|x| *x += i as Float);
                i
            });
            assert_eq!(seen, (0..rows).collect::<Vec<_>>());
            assert!(out.chunks(30).enumerate().all(|(i, row)| row.iter().all(|&x| x == 1.0 + i as Float)));
        }
        let inner = with_scratch(5, |outer| {
            outer.fill(1.0);
            with_scratch(9, |inner| inner.fill(2.0));
            outer.to_vec()
        });
        assert_eq!(inner, [1.0; 5], "a call within a call has room of its own");
        for n in [0, 5, SERIAL_BELOW + 17] {
            let calls: Vec<AtomicUsize> = (0..n).map(AtomicUsize::new).collect();
            for_each(n, 3, |i| {
                calls[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(calls.into_iter().enumerate().all(|(i, calls)| calls.into_inner() == i + 1));
        }
    }
}
