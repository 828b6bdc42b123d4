//! Lines in chunks: memory stays bounded, and a person or program that waits for an answer gets it.
//!
//! A thread reads ahead. A chunk is what has arrived when the worker is free again: from a file that is a full chunk,
//! from somebody who types it is one line.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a chunk that is not full waits for more lines.
const PATIENCE: Duration = Duration::from_millis(20);

/// An iterator over chunks of at most a given number of lines; lines before an error come before it.
pub struct Chunks<E> {
    lines: Receiver<Result<String, E>>,
    size: usize,
    failed: Option<E>,
}

/// Reads lines on another thread and hands them out in chunks of at most `size`.
pub fn chunks<E: Send + 'static>(
    lines: impl Iterator<Item = Result<String, E>> + Send + 'static,
    size: usize,
) -> Chunks<E> {
    // Twice the size: the next chunk is ready when the worker is.
    let (sender, receiver) = sync_channel(2 * size.max(1));
    // The thread ends with the lines or with the receiver; nobody needs to join it.
    thread::spawn(move || {
        for line in lines {
            let last = line.is_err();
            if sender.send(line).is_err() || last {
                return;
            }
        }
    });
    Chunks { lines: receiver, size: size.max(1), failed: None }
}

impl<E> Iterator for Chunks<E> {
    type Item = Result<Vec<String>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let mut chunk = match self.lines.recv().ok()? {
            Ok(line) => vec![line],
            Err(error) => return Some(Err(error)),
        };
        let deadline = Instant::now() + PATIENCE;
        while chunk.len() < self.size {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(line)) => chunk.push(line),
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Some(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_line_comes_once_and_in_order() {
        let lines = (0..1000).map(|i| Ok::<_, ()>(i.to_string()));
        let got: Vec<Vec<String>> = chunks(lines, 7).map(Result::unwrap).collect();
        assert!(got.iter().all(|chunk| (1..=7).contains(&chunk.len())));
        assert_eq!(got.concat(), (0..1000).map(|i| i.to_string()).collect::<Vec<_>>());
        assert_eq!(chunks(std::iter::empty::<Result<String, ()>>(), 7).count(), 0);
    }

    #[test]
    fn lines_before_an_error_are_not_lost() {
        let lines = [Ok("a".to_owned()), Ok("b".to_owned()), Err("bad"), Ok("never".to_owned())];
        let (mut good, mut errors) = (Vec::new(), Vec::new());
        for chunk in chunks(lines.into_iter(), 10) {
            match chunk {
                Ok(chunk) => good.extend(chunk),
                Err(error) => errors.push(error),
            }
        }
        assert_eq!((good.concat().as_str(), errors), ("ab", vec!["bad"]));
    }

    #[test]
    fn a_line_is_answered_before_the_next_one_is_typed() {
        let (keyboard, typed) = mpsc::channel::<Result<String, ()>>();
        let mut chunks = chunks(typed.into_iter(), 32);
        for word in ["one", "two"] {
            keyboard.send(Ok(word.to_owned())).unwrap();
            assert_eq!(chunks.next(), Some(Ok(vec![word.to_owned()])));
        }
        drop(keyboard);
        assert_eq!(chunks.next(), None);
    }
}
