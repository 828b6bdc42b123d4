//! The bytes of a shard: in memory, or a file mapped into it.
//!
//! This is the one module of the crate with `unsafe` in it.
#![allow(unsafe_code, reason = "a memory map is unsafe to make, because another program may change the file")]

use std::fs::File;
use std::io;

use memmap2::{Mmap, UncheckedAdvice};

/// Bytes that can be read.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In memory.
    Held(Vec<u8>),
    /// In a file, of which the system holds what is being read.
    Mapped(Mmap),
}

impl Bytes {
    /// Maps a file.
    ///
    /// The file must not be cut or changed while it is mapped. Shards are written once, under another name, and
    /// never touched again; a change is found when they are next opened, and a number that has become impossible is an
    /// error where it is read. A file that is *cut* while a training reads it ends the program with SIGBUS.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only and its bytes are only ever taken as numbers, each of which is checked before it
        // is used as an index, so that no value they might take breaks an invariant. Nothing of ours writes to or cuts a
        // shard once it has its name.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self::Mapped(map))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Held(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }

    /// Lets the system take back the memory of a mapped file; what is read again comes from the file again.
    pub(super) fn forget(&self) {
        if let Self::Mapped(map) = self {
            // SAFETY: the map is read-only and backed by a file, so that a page that is dropped is read anew with the
            // same bytes; no byte of it exists only in memory.
            // A refusal costs memory and nothing else.
            let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }
}
