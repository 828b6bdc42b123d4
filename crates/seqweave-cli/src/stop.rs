//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;

/// Listens for the signals that end a program; meant for commands that have something to save.
#[derive(Debug, Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Starts listening, for the rest of the process.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn listen() -> io::Result<Self> {
        let stop =
            Self { requested: Arc::new(AtomicBool::new(false)), signal: Arc::new(AtomicUsize::new(0)) };
        for signal in [SIGINT, SIGTERM] {
            // Actions run in this order: the second signal finds the request of the first and ends the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.requested))?;
            flag::register_usize(signal, Arc::clone(&stop.signal), signal as usize)?;
            flag::register(signal, Arc::clone(&stop.requested))?;
        }
        Ok(stop)
    }

    /// Set when an orderly end is wanted.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.requested
    }

    /// Whether an orderly end is wanted.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// The exit code of a command that ended because it was asked to.
    pub fn exit(&self) -> Exit {
        if self.signal.load(Ordering::Relaxed) == SIGTERM as usize {
            Exit::Terminated
        } else {
            Exit::Interrupted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_only_asks() {
        let stop = Stop::listen().unwrap();
        assert!(!stop.is_requested());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(stop.is_requested());
        assert_eq!(stop.exit(), Exit::Terminated);
    }
}
