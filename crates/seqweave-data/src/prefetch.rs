//! An iterator that runs ahead on its own thread.

use std::iter::FusedIterator;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Runs `items` on another thread, at most `ahead` items in advance (plus the one being made).
///
/// The order is kept. Errors travel as items. A panic of the iterator continues in the thread that asks for
/// the next item. Dropping the [`Prefetch`] stops the thread as soon as it has finished its item; the drop
/// does not wait for that.
///
/// With batches, a checkpoint takes the position that came *with* the batch it was trained on: the iterator
/// itself is ahead.
///
/// # Errors
/// [`Error::Thread`] where the system refuses a thread.
///
/// ```
/// let squares = seqweave_data::prefetch((0u64..5).map(|n| n * n), 2)?;
/// assert_eq!(squares.collect::<Vec<_>>(), [0, 1, 4, 9, 16]);
/// # Ok::<(), seqweave_data::Error>(())
/// ```
pub fn prefetch<I>(items: I, ahead: usize) -> Result<Prefetch<I::Item>>
where
    I: IntoIterator + Send + 'static,
    I::Item: Send + 'static,
{
    let (sender, receiver) = sync_channel(ahead);
    let thread = std::thread::Builder::new()
        .name("seqweave-prefetch".to_owned())
        .spawn(move || {
            for item in items {
                // The other end is gone: nobody wants more.
                if sender.send(item).is_err() {
                    return;
                }
            }
        })
        .map_err(|source| Error::Thread { source })?;
    Ok(Prefetch { receiver, thread: Some(thread) })
}

/// The receiving end of [`prefetch`].
#[derive(Debug)]
pub struct Prefetch<T> {
    receiver: Receiver<T>,
    /// Taken when the thread has ended.
    thread: Option<JoinHandle<()>>,
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(item) = self.receiver.recv() {
            return Some(item);
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

impl<T> FusedIterator for Prefetch<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(20), "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn order_is_kept_at_every_depth() {
        for ahead in [0, 1, 7, 5000] {
            let items: Vec<u32> = prefetch(0..1000, ahead).expect("a thread").collect();
            assert!(items.into_iter().eq(0..1000), "depth {ahead}");
        }
    }

    #[test]
    fn the_thread_stays_within_its_bound_and_ends_with_the_receiver() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let endless = std::iter::repeat_with(move || counter.fetch_add(1, Ordering::SeqCst));
        let mut items = prefetch(endless, 3).expect("a thread");
        assert_eq!(items.next(), Some(0));
        // One taken, three waiting, one in the hand of the thread.
        until("the channel to fill", || made.load(Ordering::SeqCst) == 5);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(made.load(Ordering::SeqCst), 5, "the bound holds while nobody takes");
        drop(items);
        // The thread's iterator held the only other handle.
        until("the thread to end", || Arc::strong_count(&made) == 1);
    }

    #[test]
    fn errors_travel_as_items() {
        let items = prefetch(vec![Ok(1), Err("torn page"), Ok(3)], 1).expect("a thread");
        assert_eq!(items.collect::<Vec<_>>(), [Ok(1), Err("torn page"), Ok(3)]);
    }

    #[test]
    fn a_panic_arrives_after_the_items_before_it() {
        let mut items =
            prefetch((0..4).inspect(|n| assert!(*n < 2, "item {n} is broken")), 8).expect("a thread");
        assert_eq!((items.next(), items.next()), (Some(0), Some(1)));
        let panic =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.next())).expect_err("a panic");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("item 2 is broken"));
        assert_eq!(items.next(), None);
    }
}
