//! A model as files: weights, shape, tokenizers, vocabularies, decoding defaults.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | weights, PyTorch names and layouts, f32 |
//! | `config.json` | format version, model shape, tokenizer of each side |
//! | `source.vocab.json`, `target.vocab.json` | tokens in id order with their counts |
//! | `source.tokenizer.json`, `target.tokenizer.json` | pieces, at the levels of pieces; Hugging Face's format |
//! | `generation.json` | how to decode unless told otherwise |
//! | `MANIFEST` | size and BLAKE3 hash of each of them, and of itself |

use crate::store::{self, NamedTensor, SealedFolder, Storage};
use crate::{Error, Result};
use seqweave_data::{Codec, CodecFiles, Tokenizer};
use seqweave_nn::Params;
use seqweave_seq2seq::search::SearchOptions;
use seqweave_seq2seq::{ModelConfig, Seq2Seq};
use seqweave_tensor::Device;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Version of the model folder's files that this program writes and reads.
const FORMAT: u32 = 1;

/// A model with everything that turns text into text.
pub struct ModelFolder {
    /// The network.
    pub model: Seq2Seq,
    /// Its weights.
    pub params: Params,
    /// The source side.
    pub source: Codec,
    /// The target side.
    pub target: Codec,
    /// How to decode unless told otherwise.
    pub generation: SearchOptions,
}

/// The part of a model folder that `config.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    format: u32,
    model: ModelConfig,
    source: Tokenizer,
    target: Tokenizer,
}

/// Only the version, so that a file of a later format is refused for that reason and no other.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl ModelFolder {
    /// The files of this model, by name, without the manifest.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a weight is not finite: such a model is never written.
    pub fn to_files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let config = ConfigFile {
            format: FORMAT,
            model: self.model.config().clone(),
            source: self.source.tokenizer.clone(),
            target: self.target.tokenizer.clone(),
        };
        let tensors: Vec<NamedTensor> = self
            .params
            .iter()
            .map(|(name, shape, value)| NamedTensor {
                name: name.to_owned(),
                shape: shape.to_vec(),
                data: value.to_vec(),
            })
            .collect();
        let mut files = vec![
            ("model.safetensors", store::weights_to_bytes(&tensors)?),
            ("config.json", to_json(&config)),
            ("generation.json", to_json(&self.generation)),
        ];
        for (codec, names) in [(&self.source, CodecFiles::SOURCE), (&self.target, CodecFiles::TARGET)] {
            files.extend(codec.to_files(&names).into_iter().map(|(name, json)| (name, json.into_bytes())));
        }
        Ok(files)
    }

    /// Writes the model as a sealed folder that must not exist yet.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NonFinite`], or that the folder exists.
    pub fn save(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let files = self.to_files()?;
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        store::write_folder(storage, dir, &files)
    }

    /// Opens a model folder, a checkpoint, or a run folder (its best checkpoint), and verifies every byte of it.
    ///
    /// # Errors
    /// That there is no such folder, that a file in it is damaged, missing or of another version, or that its parts do
    /// not fit together; always with the file and the place. That the model needs more memory than there is.
    pub fn open(dir: &Path, device: &Device) -> Result<ModelFolder> {
        let folder = ModelFolder::resolve(dir)?;
        let read = store::read_folder(&store::Disk, &folder);
        let sealed = read.map_err(|error| match whole_checkpoint(dir, &folder) {
            Some(whole) => Error::DamagedCheckpoint { source: Box::new(error), whole },
            None => error,
        })?;
        ModelFolder::from_sealed(&sealed, device)
    }

    /// The sealed folder meant by `dir`: itself, or the checkpoint of a run folder that its pointer `best` names, or `last`
    /// if there is no `best`.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] for a run folder without a pointer, [`Error::Pointer`] for one that names no checkpoint.
    pub fn resolve(dir: &Path) -> Result<PathBuf> {
        let checkpoints = dir.join("checkpoints");
        if !checkpoints.is_dir() || dir.join("MANIFEST").exists() {
            return Ok(dir.to_owned());
        }
        let pointer =
            ["best", "last"].map(|name| checkpoints.join(name)).into_iter().find(|path| path.exists());
        let Some(pointer) = pointer else { return Err(Error::NoCheckpoint { run: dir.to_owned() }) };
        let read = std::fs::read_to_string(&pointer);
        let name = read.map_err(|source| Error::Io { op: "read", path: pointer.clone(), source })?;
        let name = name.trim();
        let is_plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
        if !is_plain || !checkpoints.join(name).exists() {
            return Err(Error::Pointer { path: pointer, found: name.to_owned() });
        }
        Ok(checkpoints.join(name))
    }

    /// The model in a folder that has been read and verified.
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn from_sealed(folder: &SealedFolder, device: &Device) -> Result<ModelFolder> {
        let FormatOnly { format } = from_json(folder, "config.json")?;
        if format != FORMAT {
            let path = folder.folder().join("config.json");
            return Err(Error::FormatVersion { path, found: format, supported: FORMAT });
        }
        let config: ConfigFile = from_json(folder, "config.json")?;
        let read = |name: &str| text(folder, name);
        let source = Codec::from_files(config.source, &CodecFiles::SOURCE, read)?;
        let target = Codec::from_files(config.target, &CodecFiles::TARGET, read)?;
        let generation: SearchOptions = from_json(folder, "generation.json")?;
        generation.check()?;
        let (src, tags, tgt) = (source.vocab.len(), source.tags(), target.vocab.len());
        let (model, mut params) = Seq2Seq::build_with_tags(&config.model, src, tags, tgt, device, 0)?;
        load_weights(folder, &mut params)?;
        Ok(ModelFolder { model, params, source, target, generation })
    }
}

/// The newest checkpoint of the run folder `run` that verifies, for when `damaged`, which stands for the run, does not.
fn whole_checkpoint(run: &Path, damaged: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let mut others: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    others.retain(|path| path.is_dir() && path != damaged);
    // Names end in the step, filled with zeros: the newest is the last.
    others.sort();
    others.into_iter().rev().find(|path| store::read_folder(&store::Disk, path).is_ok())
}

/// Replaces the values of `params` by those of `model.safetensors`: the same names, the same shapes, all finite.
fn load_weights(folder: &SealedFolder, params: &mut Params) -> Result<()> {
    let in_file = |source| {
        let path = folder.folder().join("model.safetensors");
        Error::Weights { path, source: Box::new(source) }
    };
    let tensors = store::weights_from_bytes(folder.file("model.safetensors")?).map_err(in_file)?;
    let expected: Vec<(String, Vec<usize>)> =
        params.iter().map(|(name, shape, _)| (name.to_owned(), shape.to_vec())).collect();
    let expected: Vec<(&str, &[usize])> = expected.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
    for tensor in store::match_weights(tensors, &expected).map_err(in_file)? {
        params.set_by_name(&tensor.name, &tensor.data)?;
    }
    Ok(())
}

fn text<'a>(folder: &'a SealedFolder, name: &str) -> Result<(&'a str, String)> {
    let path = folder.folder().join(name).display().to_string();
    let text = std::str::from_utf8(folder.file(name)?)
        .map_err(|error| Error::Json { path: path.clone().into(), message: error.to_string() })?;
    Ok((text, path))
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain structs with string keys are always JSON");
    bytes.push(b'\n');
    bytes
}

fn from_json<T: DeserializeOwned>(folder: &SealedFolder, name: &str) -> Result<T> {
    serde_json::from_slice(folder.file(name)?)
        .map_err(|error| Error::Json { path: folder.folder().join(name), message: error.to_string() })
}
