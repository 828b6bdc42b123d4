//! The CUDA kernels of seqweave: images built ahead for every architecture, and the list of their entry points.
//!
//! The kernels themselves are the `.cu` files of `cu/`; `cargo xtask kernels build` compiles them with a pinned NVRTC into
//! `images/`, which is committed and embedded here, so a user needs a driver and nothing else.
//! `src/entries/` is generated from their `KERNEL` declarations by the same command.
//! This crate launches nothing and loads no library: `seqweave-tensor` does.
//!
//! ```
//! use seqweave_kernels::{ENTRIES, FAMILIES};
//!
//! # fn main() -> Result<(), seqweave_kernels::ImageError> {
//! let family = &FAMILIES[ENTRIES[0].family];
//! let image = family.image(8, 6)?; // an RTX 3090: compute capability 8.6
//! assert_eq!(image.target, "sm_80"); // a cubin runs on the later minor versions of its major version
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod entries;
mod images;

pub use entries::{ENTRIES, FAMILIES};
pub use images::{Family, Image, ImageError, Packed};

/// One kernel that can be launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the image.
    pub name: &'static str,
    /// Which of [`FAMILIES`] it is in.
    pub family: usize,
    /// Its place in [`ENTRIES`].
    pub index: usize,
    /// Threads of a block; the image is compiled for exactly this many.
    pub threads: u32,
    /// Blocks that must fit on a multiprocessor at once.
    pub min_blocks: u32,
    /// Bytes of shared memory that it declares itself, beside what a launch asks for; the most of all its images.
    pub static_shared: u32,
    /// Whether blocks wait for each other, so that all must be resident: a cooperative launch.
    pub cooperative: bool,
    /// Its parameters in order.
    pub params: &'static [Param],
}

/// One parameter of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name in the declaration.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory that the kernel reads.
    Read(Element),
    /// Memory that the kernel writes, or reads and writes.
    Write(Element),
    /// A number.
    Value(Element),
}

/// What a parameter points to, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `float`
    F32,
    /// `double`
    F64,
    /// The bits of a bfloat16.
    Bf16,
    /// `int`
    I32,
    /// `u32`
    U32,
    /// `u64`: a number, or a table of device addresses.
    U64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_lead_back_to_their_entries() {
        assert!(!ENTRIES.is_empty());
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.index, index, "{}", entry.name);
            assert!(entry.family < FAMILIES.len(), "{}", entry.name);
            assert!((32..=1024).contains(&entry.threads), "{}", entry.name);
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENTRIES.len());
    }
}
