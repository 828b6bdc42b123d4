//! The mean of several models.

use std::path::{Path, PathBuf};

use seqweave_data::Vocab;
use seqweave_tensor::Device;

use crate::store::{self, Disk};
use crate::{Error, ModelFolder, Result};

/// The model whose every weight is the mean of those of the models in `folders`: `w = (w₁ + … + wₙ)/n`.
///
/// The last checkpoints of one run lie around the same optimum, and their mean is often nearer to it than any of them.
/// (Junczys-Dowmunt, Dwojak and Sennrich 2016, "The AMU-UEDIN submission to the WMT16 news translation task", section 4;
/// Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization".)
///
/// Sums are made in f64, in an order that the weights themselves decide (that of their BLAKE3 hashes), so the result does
/// not depend on the order in which the folders are named. Only one of the models is in memory besides the sum. How to
/// decode is taken from the folder named first.
///
/// # Errors
/// [`Error::TooFewModels`] for less than two folders, [`Error::OtherModel`] for a folder whose shape, tokenizers or
/// vocabularies are not those of the first, and what [`ModelFolder::open`] says of each.
pub fn average(folders: &[PathBuf], device: &Device) -> Result<ModelFolder> {
    let [first, others @ ..] = folders else { return Err(Error::TooFewModels { found: 0 }) };
    if others.is_empty() {
        return Err(Error::TooFewModels { found: 1 });
    }
    let mut mean = ModelFolder::open(first, device)?;
    let mut order = Vec::with_capacity(folders.len());
    for folder in folders {
        let folder = ModelFolder::resolve(folder)?;
        let sealed = store::read_folder(&Disk, &folder)?;
        let weights = blake3::hash(sealed.file("model.safetensors")?);
        order.push((*weights.as_bytes(), folder));
    }
    order.sort();

    let mut sums = vec![0.0_f64; mean.params.numel()];
    for (_, folder) in &order {
        let model = ModelFolder::open(folder, device)?;
        check_same(first, &mean, folder, &model)?;
        for (sum, weight) in sums.iter_mut().zip(model.params.values().to_vec()) {
            *sum += f64::from(weight);
        }
    }
    let count = order.len() as f64;
    let weights: Vec<_> = sums.into_iter().map(|sum| (sum / count) as _).collect();
    mean.params.values_mut()?.copy_from_slice(&weights).map_err(seqweave_nn::Error::from)?;
    Ok(mean)
}

/// Refuses a model that is not of the make of the first one.
fn check_same(first: &Path, expected: &ModelFolder, folder: &Path, found: &ModelFolder) -> Result<()> {
    let refuse = |what, (expected, found): (String, String)| {
        let (folder, first) = (folder.to_owned(), first.to_owned());
        Err(Error::OtherModel { folder, first, what, expected, found })
    };
    if let Some(difference) = first_difference(expected.model.config(), found.model.config()) {
        return refuse("model configuration", difference);
    }
    let sides = [
        ("source tokenizer", "source vocabulary", &expected.source, &found.source),
        ("target tokenizer", "target vocabulary", &expected.target, &found.target),
    ];
    for (tokenizer, vocabulary, expected, found) in sides {
        if let Some(difference) = first_difference(&expected.tokenizer, &found.tokenizer) {
            return refuse(tokenizer, difference);
        }
        if expected.tokenizer.subwords != found.tokenizer.subwords {
            return refuse(tokenizer, ("its pieces".to_owned(), "other pieces".to_owned()));
        }
        if let Some(difference) = first_other_token(&expected.vocab, &found.vocab) {
            return refuse(vocabulary, difference);
        }
    }
    Ok(())
}

/// The first entry in which two documents of one kind differ, of each side.
fn first_difference<T: serde::Serialize>(expected: &T, found: &T) -> Option<(String, String)> {
    let lines = |value: &T| serde_json::to_string_pretty(value).unwrap_or_default();
    let (expected, found) = (lines(expected), lines(found));
    let plain = |line: &str| line.trim().trim_end_matches(',').replace('"', "");
    let (expected, found) = expected.lines().zip(found.lines()).find(|(ours, theirs)| ours != theirs)?;
    Some((plain(expected), plain(found)))
}

/// The first id at which two vocabularies have other tokens; how often these were seen does not matter.
fn first_other_token(expected: &Vocab, found: &Vocab) -> Option<(String, String)> {
    if expected.len() != found.len() {
        return Some((format!("{} tokens", expected.len()), format!("{} tokens", found.len())));
    }
    let mut ids = expected.iter().zip(found.iter()).enumerate();
    let (id, ((ours, _), (theirs, _))) = ids.find(|(_, ((ours, _), (theirs, _)))| ours != theirs)?;
    Some((format!("{ours:?} at id {id}"), format!("{theirs:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_data::{Codec, Level, TokenCounter, Tokenizer};
    use seqweave_seq2seq::{ModelConfig, Seq2Seq};

    fn codec(text: &str) -> Codec {
        let tokenizer = Tokenizer::new(Level::Word);
        let mut counter = TokenCounter::default();
        counter.add_text(&tokenizer, text);
        Codec { tokenizer, vocab: Vocab::build(&counter, 1, 0) }
    }

    /// A model on disk, with parameters drawn from `seed`.
    fn saved(parent: &Path, name: &str, seed: u64, hidden: usize, text: &str) -> PathBuf {
        let (source, target) = (codec(text), codec("x y z"));
        let config = ModelConfig { emb: 4, hidden, ..ModelConfig::default() };
        let sizes = (source.vocab.len(), target.vocab.len());
        let (model, params) = Seq2Seq::build(&config, sizes.0, sizes.1, &Device::cpu(), seed).unwrap();
        let folder = parent.join(name);
        let whole = ModelFolder { model, params, source, target, generation: Default::default() };
        whole.save(&Disk, &folder).unwrap();
        folder
    }

    fn weights(folder: &Path) -> Vec<f64> {
        let values = ModelFolder::open(folder, &Device::cpu()).unwrap().params.values().to_vec();
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn a_weight_is_the_mean_of_the_weights_in_any_order() {
        let parent = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> =
            (0..5).map(|i| saved(parent.path(), &format!("m{i}"), i, 6, "a b c")).collect();
        let mean = |folders: &[PathBuf]| average(folders, &Device::cpu()).unwrap().params.values().to_vec();
        let got = mean(&folders);
        let all: Vec<Vec<f64>> = folders.iter().map(|folder| weights(folder)).collect();
        for (i, &got) in got.iter().enumerate() {
            let want: f64 = all.iter().map(|model| model[i]).sum::<f64>() / 5.0;
            assert!((f64::from(got) - want).abs() <= 1e-7 * want.abs(), "{i}: {got} for {want}");
        }
        let mut other_way = folders.clone();
        other_way.rotate_left(2);
        other_way.swap(0, 3);
        assert_eq!(mean(&other_way), got, "the order of the folders shows");
        // Of a model with itself nothing is lost.
        let twice = mean(&[folders[0].clone(), folders[0].clone()]);
        assert_eq!(twice.into_iter().map(f64::from).collect::<Vec<_>>(), all[0]);
    }

    #[test]
    fn models_of_another_make_are_refused_and_named() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name, hidden, text| saved(parent.path(), name, 1, hidden, text);
        let base = make("base", 6, "a b c");
        let refusal = |folders: &[PathBuf]| average(folders, &Device::cpu()).err().unwrap().to_string();
        for (other, parts) in [
            (make("wide", 8, "a b c"), ["another model configuration", "hidden: 6", "hidden: 8"]),
            (make("more", 6, "a b c d"), ["another source vocabulary", "7 tokens", "8 tokens"]),
            (make("else", 6, "a b d"), ["another source vocabulary", "\"c\" at id 6", "\"d\""]),
        ] {
            let message = refusal(&[base.clone(), other.clone()]);
            for part in parts.iter().copied().chain([&*other.display().to_string(), "help:"]) {
                assert!(message.contains(part), "{part} is not in {message}");
            }
        }
        assert!(refusal(&[]).contains("found 0"));
        assert!(refusal(&[base]).contains("found 1"));
    }
}
