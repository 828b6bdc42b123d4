//! Storage that survives a crash and refuses damage: sealed folders, atomic files, weights.
//!
//! - [`write_folder`] writes beside the target, syncs every file, writes the manifest last, syncs the folder,
//!   reads everything back, and renames once. After a crash at any moment the folder is complete or absent.
//! - [`read_folder`] believes nothing: the manifest must be byte for byte what this program would write for its
//!   contents, and every listed file must have the listed size and BLAKE3 hash.
//! - [`write_file_atomic`] replaces one file in one rename.
//! - [`weights_to_bytes`] and [`weights_from_bytes`] convert named `f32` tensors to and from safetensors.
//!
//! All of them reach the disk through the small [`Storage`] trait. [`Disk`] is the real one; [`testing::SimDisk`]
//! records every call, so that tests can replay each state a crash may leave and fail each call in turn.

mod manifest;
mod sealed;
mod storage;
pub mod testing;
mod weights;

pub use manifest::{FileEntry, MANIFEST_NAME, MANIFEST_VERSION, Manifest, ManifestProblem};
pub use sealed::{
    SealedFolder, clean_temporaries, read_folder, replace_folder, verify_folder, write_file_atomic,
    write_folder,
};
pub use storage::{Disk, Entry, EntryKind, Storage, StorageFile};
pub use weights::{NamedTensor, match_weights, weights_from_bytes, weights_to_bytes};
