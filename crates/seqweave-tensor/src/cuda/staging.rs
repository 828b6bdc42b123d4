//! Pinned host memory through which values go to a device.
//!
//! A copy from ordinary memory makes the host wait until the driver has read it, and cannot be recorded, for the memory may
//! be gone when the copy is made. So small values, such as the ids of a batch, are put down here first. Nothing is taken
//! back until the host has waited for the device, which a training step does once.

use cudarc::driver::result::{self, DriverError};
use std::ffi::c_void;

/// Bytes of a piece of pinned memory; values beyond it are not staged.
pub(super) const PIECE: usize = 1 << 20;

/// Pieces that there are at most.
const PIECES: usize = 64;

/// Distance of two values, so that each is aligned.
const ALIGN: usize = 16;

/// Pieces of pinned memory, filled one after the other.
#[derive(Default)]
pub(super) struct Staging {
    pieces: Vec<*mut c_void>,
    /// The piece that is being filled, and how far.
    piece: usize,
    used: usize,
}

impl Staging {
    /// Puts `values` down, at most [`PIECE`] bytes; `None` if there is no room until the host has waited.
    ///
    /// # Errors
    /// The driver's, when it gives no more pinned memory.
    pub(super) fn put<T: Copy>(&mut self, values: &[T]) -> Result<Option<*const u8>, DriverError> {
        let bytes = size_of_val(values);
        debug_assert!(bytes <= PIECE, "large values are not staged");
        if self.used + bytes > PIECE {
            (self.piece, self.used) = (self.piece + 1, 0);
        }
        if self.piece == PIECES {
            return Ok(None);
        }
        if self.piece == self.pieces.len() {
            // SAFETY: the context is current, as for every call on this queue.
            self.pieces.push(unsafe { result::malloc_host(PIECE, 0) }?);
        }
        // SAFETY: the piece has room for `bytes` from `used` on, and `values` lie elsewhere.
        let place = unsafe {
            let place = self.pieces[self.piece].cast::<u8>().add(self.used);
            std::ptr::copy_nonoverlapping(values.as_ptr().cast::<u8>(), place, bytes);
            place
        };
        self.used += bytes.next_multiple_of(ALIGN);
        Ok(Some(place.cast_const()))
    }

    /// The host has waited: all copies were made.
    pub(super) fn reset(&mut self) {
        (self.piece, self.used) = (0, 0);
    }

    /// Gives all memory back; all copies were made and the context is current.
    pub(super) fn release(&mut self) {
        self.reset();
        for piece in self.pieces.drain(..) {
            // SAFETY: it came from `malloc_host` and is given back once.
            let _ = unsafe { result::free_host(piece) };
        }
    }
}
