//! Model folders and the Translator: the five-line use of a trained model.
//!
//! The [`store`] module is the ground everything on disk stands on.
//! A *sealed folder* is a folder with a manifest that lists the size and BLAKE3 hash of every file;
//! it appears under its name in one rename, and nothing in it is believed before it has been verified.
//!
//! ```
//! use seqweave::store::{self, Disk, NamedTensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! let folder = parent.path().join("model");
//! let bias = NamedTensor { name: "decoder.out.bias".into(), shape: vec![2], data: vec![0.5, -0.5] };
//! let weights = store::weights_to_bytes(&[bias.clone()])?;
//!
//! store::write_folder(&Disk, &folder, &[("model.safetensors", &weights)])?;
//!
//! let sealed = store::read_folder(&Disk, &folder)?;
//! let read = store::weights_from_bytes(sealed.file("model.safetensors")?)?;
//! assert_eq!(read, [bias]);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod alignment;
mod average;
mod dictionary;
mod error;
mod model_folder;
mod phrases;
pub mod store;
mod translator;

pub use average::average;
pub use dictionary::Dictionary;
pub use error::{Count, Error, PhraseFlaw, Result};
pub use model_folder::ModelFolder;
pub use translator::{Line, Output, PairScore, TranslateOptions, Translation, Translator};
