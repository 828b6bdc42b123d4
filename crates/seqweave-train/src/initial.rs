//! The model that a run starts from: what is taken of it, what grows, and what stays as it was drawn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use seqweave::ModelFolder;
use seqweave_data::{Codec, Known};
use seqweave_nn::Params;
use seqweave_tensor::{Device, Float};

use crate::checkpoint::Checkpoint;
use crate::{Error, Result};

/// The model that a run starts from.
pub(crate) struct Initial {
    /// The folder as it was named.
    path: PathBuf,
    model: ModelFolder,
    /// Whether new tokens are appended to its vocabularies: at the start of the run, and never again.
    extend: bool,
}

/// What became of a parameter.
enum Given {
    Taken,
    /// The rows of the tokens that were there already, and others as they were drawn.
    Extended,
    /// Why not.
    Fresh(String),
}

impl Initial {
    /// The model in a model folder, a checkpoint, or the best checkpoint of a run folder.
    pub(crate) fn open(path: &Path) -> Result<Initial> {
        Ok(Initial { path: path.into(), model: ModelFolder::open(path, &Device::cpu())?, extend: true })
    }

    /// The model in a checkpoint of the run itself, whose vocabularies have been extended.
    pub(crate) fn resumed(found: &Checkpoint) -> Result<Initial> {
        let model = ModelFolder::from_sealed(&found.files, &Device::cpu())?;
        Ok(Initial { path: found.folder.clone(), model, extend: false })
    }

    /// Its tokens.
    pub(crate) fn known(&self) -> Known<'_> {
        Known { src: &self.model.source, tgt: &self.model.target, extend: self.extend }
    }

    /// A hash of all that a run takes of it, wherever it lies; how it decodes is no part of that.
    pub(crate) fn hash(&self) -> Result<String> {
        let mut hash = blake3::Hasher::new();
        for (name, bytes) in self.model.to_files()? {
            if name != "generation.json" {
                hash.update(name.as_bytes());
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
        }
        Ok(hash.finalize().to_hex().to_string())
    }

    /// Overwrites the parameters that it has too, for a model with the tokens of `source` and `target`, and says in a few
    /// lines what was done.
    ///
    /// A parameter of the same name and shape is taken. Of those that have a row a token, the rows of known tokens are taken,
    /// and those of new tokens stay as they were drawn for a new model. Everything else stays as it was drawn.
    pub(crate) fn give(self, params: &mut Params, source: &Codec, target: &Codec) -> Result<Vec<String>> {
        let (mut taken, mut extended, mut fresh) = (0, Vec::new(), Vec::new());
        let wanted: Vec<(String, Vec<usize>)> =
            params.iter().map(|(name, shape, _)| (name.to_owned(), shape.to_vec())).collect();
        for (name, shape) in wanted {
            match self.give_one(params, &name, &shape, source, target)? {
                Given::Taken => taken += 1,
                Given::Extended => extended.push(name),
                Given::Fresh(why) => fresh.push(format!("{name} ({why})")),
            }
        }
        if taken + extended.len() == 0 {
            return Err(Error::NothingToTake { model: self.path });
        }
        let mut facts = vec![format!("starts from {}: {taken} parameters taken", self.path.display())];
        if !extended.is_empty() {
            let new = |now: &Codec, then: &Codec| now.vocab.len() - then.vocab.len();
            let (source, target) = (new(source, &self.model.source), new(target, &self.model.target));
            let names = extended.join(", ");
            facts.push(format!("rows of {source} new source and {target} new target tokens: {names}"));
        }
        if !fresh.is_empty() {
            facts.push(format!("as drawn for a new model: {}", fresh.join(", ")));
        }
        Ok(facts)
    }

    fn give_one(
        &self,
        params: &mut Params,
        name: &str,
        shape: &[usize],
        source: &Codec,
        target: &Codec,
    ) -> Result<Given> {
        let Some((_, there, value)) = self.model.params.iter().find(|(other, ..)| *other == name) else {
            return Ok(Given::Fresh("not in that model".into()));
        };
        let (there, known) = (there.to_vec(), value.to_vec());
        let other_shape = || Ok(Given::Fresh(format!("{shape:?} here, {there:?} there")));
        let sides = match name {
            "encoder.embedding.weight" | "encoder.tags.weight" => (source, &self.model.source),
            "decoder.embedding.weight" | "output.weight" | "output.bias" => (target, &self.model.target),
            _ if there == shape => {
                params.set_by_name(name, &known)?;
                return Ok(Given::Taken);
            }
            _ => return other_shape(),
        };
        if there[1..] != shape[1..] {
            return other_shape();
        }
        let is_of_tags = name == "encoder.tags.weight";
        let now = tokens(sides.0, shape[0], is_of_tags);
        let then: HashMap<&str, usize> = tokens(sides.1, there[0], is_of_tags)
            .into_iter()
            .enumerate()
            .map(|(row, token)| (token, row))
            .collect();
        let width = shape[1..].iter().product();
        let mut values: Vec<Float> = params.by_name(name)?.to_vec();
        let mut is_extended = false;
        for (token, row) in now.into_iter().zip(values.chunks_exact_mut(width)) {
            match then.get(token) {
                Some(&at) => row.copy_from_slice(&known[at * width..][..width]),
                None => is_extended = true,
            }
        }
        params.set_by_name(name, &values)?;
        Ok(if is_extended { Given::Extended } else { Given::Taken })
    }
}

/// The tokens of so many rows: the first of a vocabulary, or, for those of tags, the last.
fn tokens(codec: &Codec, rows: usize, is_of_tags: bool) -> Vec<&str> {
    let skipped = if is_of_tags { codec.vocab.len().saturating_sub(rows) } else { 0 };
    codec.vocab.iter().skip(skipped).take(rows).map(|(token, _)| token).collect()
}
