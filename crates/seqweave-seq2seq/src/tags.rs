//! Tags of a whole sentence beside its tokens: part of speech, case, number, tense.

use schemars::JsonSchema;
use seqweave_autograd::{self as ag, Var};
use seqweave_nn::{Ctx, Init, ParamId, Scope};
use seqweave_tensor::{Float, Ids, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, ModelConfig, PAD, Result};

/// How the tags of a source reach the encoder, where the data has any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeaturesConfig {
    /// How tags and tokens come together.
    pub merge: Merge,
    /// Size of a tag's embedding for `concat`, in units; otherwise a tag's embedding is as large as a token's.
    #[schemars(range(min = 1, max = 65_536))]
    pub emb: usize,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self { merge: Merge::Tokens, emb: 32 }
    }
}

/// How the tags of a source and its tokens come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// Tags follow the tokens as tokens of their own, at which attention can look.
    #[default]
    Tokens,
    /// The sum of a sentence's tag embeddings is added to the embedding of each of its tokens.
    Sum,
    /// The sum of a sentence's tag embeddings is put beside the embedding of each of its tokens.
    Concat,
}

/// The tags that are no tokens: the last ids of the source vocabulary.
///
/// ```text
/// m[b,f] = 1 if sentence b has tag f, else 0        [B,F]
/// v      = m·W                                      [B,Eₜ]
/// x'     = x + v  or  (x, v), in every position     [S,B,E] or [S,B,E+Eₜ]
/// ```
pub(crate) struct Tags {
    merge: Merge,
    /// The first id that is a tag.
    first: u32,
    count: usize,
    /// W: `[F,Eₜ]`.
    weight: ParamId,
}

impl Tags {
    /// Parameter `weight` under `scope`, if `count` tags at the end of a vocabulary of `vocab` are to be merged.
    pub(crate) fn new(
        config: &ModelConfig,
        vocab: usize,
        count: usize,
        scope: &mut Scope<'_>,
    ) -> Option<Self> {
        if count == 0 || config.features.merge == Merge::Tokens {
            return None;
        }
        let emb = if config.features.merge == Merge::Sum { config.emb } else { config.features.emb };
        let std = 1.0 / (emb.max(1) as Float).sqrt();
        let weight = scope.param("weight", [count, emb], Init::Normal(std));
        Some(Self { merge: config.features.merge, first: (vocab - count) as u32, count, weight })
    }

    /// The first id that is a tag, or the number of ids that are not.
    pub(crate) fn first(&self) -> usize {
        self.first as usize
    }

    /// The number of ids of `row` that are tokens.
    pub(crate) fn tokens(&self, row: &[u32]) -> usize {
        row.iter().filter(|&&id| id < self.first).count()
    }

    /// Takes the tags out of `src` `[S,B]` with lengths `lens` `[B]`: the tokens `[S',B]`, their lengths, and m `[B,F]`.
    pub(crate) fn split(&self, cx: &Ctx<'_>, src: &Ids, lens: &Ids) -> Result<(Ids, Ids, Tensor)> {
        let ([s, b], f) = (src.dims("source [S,B]")?, self.count);
        let [n] = lens.dims("source lengths [B]")?;
        if n != b {
            return Err(
                seqweave_tensor::Error::shape("source lengths", format!("[{b}]"), format!("[{n}]")).into()
            );
        }
        let mut has = vec![0.0; b * f];
        let mut rows = vec![Vec::new(); b];
        for (column, row) in rows.iter_mut().enumerate() {
            let len = (lens.as_slice()[column] as usize).min(s);
            for id in (0..len).map(|step| src.as_slice()[step * b + column]) {
                match id.checked_sub(self.first).map(|tag| tag as usize) {
                    None => row.push(id),
                    Some(tag) if tag < f => has[column * f + tag] = 1.0,
                    Some(tag) => {
                        let (index, bound) = (self.first as usize + tag, self.first as usize + f);
                        return Err(Error::Vocabulary {
                            side: "source",
                            row: column,
                            position: 0,
                            id: index as u32,
                            vocab: bound,
                        });
                    }
                }
            }
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut ids = vec![PAD; longest * b];
        for (column, row) in rows.iter().enumerate() {
            row.iter().enumerate().for_each(|(step, &id)| ids[step * b + column] = id);
        }
        let lens = Ids::list(rows.iter().map(|row| row.len() as u32).collect());
        Ok((Ids::new(ids, [longest, b])?, lens, Tensor::from_vec(cx.device(), has, [b, f])?))
    }

    /// x: `[S,B,E]` with the tags m: `[B,F]` of each sentence merged in.
    pub(crate) fn merge(&self, cx: &Ctx<'_>, x: &Var, has: Tensor) -> Result<Var> {
        let [s, b, _] = x.dims("embedded source [S,B,E]")?;
        // Each row is a chain over the tags of its own sentence, so it does not depend on the others.
        let v = ag::matmul(&Var::constant(has), &cx.param(self.weight)?)?; // [B,Eₜ]
        let columns = (0..s).flat_map(|_| 0..b as u32).collect();
        let v = ag::embedding(&v, &Ids::new(columns, [s, b])?, None)?; // [S,B,Eₜ]
        Ok(match self.merge {
            Merge::Concat => ag::concat_last(&[x, &v])?,
            Merge::Sum | Merge::Tokens => ag::add(x, &v)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{SearchOptions, translate_batch};
    use crate::{Batch, EOS, Ensemble, Seq2Seq, Tie};
    use seqweave_nn::Params;
    use seqweave_tensor::Device;

    /// Ten source ids, of which the last three are tags.
    fn model(merge: Merge) -> (Seq2Seq, Params) {
        let features = FeaturesConfig { merge, emb: 3 };
        let config = ModelConfig { emb: 4, hidden: 6, dropout: 0.0, features, ..Default::default() };
        Seq2Seq::build_with_tags(&config, 10, 3, 8, &Device::cpu(), 5).unwrap()
    }

    #[test]
    fn tags_are_taken_out_of_the_source() {
        let (model, params) = model(Merge::Sum);
        let (cx, tags) = (Ctx::infer(&params), model.tags().unwrap());
        let batch = Batch::from_rows(&[(vec![4, 5, 9, 7], vec![4]), (vec![6], vec![4])]).unwrap();
        let (src, lens, has) = tags.split(&cx, &batch.src, &batch.src_lens).unwrap();
        assert_eq!((&src.shape()[..], src.as_slice()), (&[3, 2][..], &[4, 6, 5, EOS, EOS, PAD][..]));
        assert_eq!((lens.as_slice(), has.to_vec()), (&[3, 2][..], vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
        assert_eq!((model.positions(&[4, 5, 9, 7]), model.merges_tags()), (2, true));
    }

    #[test]
    fn parameters_are_named_and_sized_by_the_way_of_merging() {
        let shapes = |merge| {
            let (_, params) = model(merge);
            let shape =
                |name: &str| params.iter().find(|(n, ..)| *n == name).map(|(_, shape, _)| shape.to_vec());
            (
                shape("encoder.embedding.weight"),
                shape("encoder.tags.weight"),
                shape("encoder.l0.fwd.weight_ih"),
            )
        };
        assert_eq!(shapes(Merge::Tokens), (Some(vec![10, 4]), None, Some(vec![12, 4])));
        assert_eq!(shapes(Merge::Sum), (Some(vec![7, 4]), Some(vec![3, 4]), Some(vec![12, 4])));
        assert_eq!(shapes(Merge::Concat), (Some(vec![7, 4]), Some(vec![3, 3]), Some(vec![12, 7])));
        let config = ModelConfig { tie: Tie::All, ..Default::default() };
        let error =
            Seq2Seq::build_with_tags(&config, 10, 3, 10, &Device::cpu(), 1).err().unwrap().to_string();
        assert!(error.contains("3 tags"), "{error}");
    }

    /// A sentence is read the same alone and beside sentences with other tags, and its tags matter, in any order.
    #[test]
    fn tags_are_of_their_own_sentence() {
        let options = SearchOptions { beam: 2, ..Default::default() };
        for merge in [Merge::Tokens, Merge::Sum, Merge::Concat] {
            let (model, params) = model(merge);
            let rows: [&[u32]; 4] = [&[4, 5, 8], &[6], &[4, 5, 7, 9, 8], &[7]];
            let together = translate_batch(&model, &params, &rows, &options).unwrap();
            for (row, found) in rows.iter().zip(&together) {
                assert_eq!(
                    translate_batch(&model, &params, &[row], &options).unwrap()[0],
                    *found,
                    "{merge:?}"
                );
                let width = if merge == Merge::Tokens { row.len() } else { model.positions(row) } + 1;
                assert_eq!(found[0].align[0].len(), width, "{merge:?}");
            }
            let score =
                |row: &[u32]| translate_batch(&model, &params, &[row], &options).unwrap()[0][0].log_prob;
            assert_ne!(score(&[4, 5, 8]), score(&[4, 5, 9]), "{merge:?}");
            if merge != Merge::Tokens {
                assert_eq!(score(&[4, 5, 8, 9]), score(&[4, 5, 9, 8]), "{merge:?}");
                assert_eq!(score(&[4, 5, 8, 9]), score(&[8, 4, 9, 5]), "{merge:?}");
            }
        }
    }

    #[test]
    fn models_with_other_positions_are_no_ensemble() {
        let ((a, pa), (b, pb)) = (model(Merge::Tokens), model(Merge::Sum));
        let error = Ensemble::new(&[(&a, &pa), (&b, &pb)]).err().unwrap().to_string();
        assert!(error.contains("has 7 tokens at source positions, the first has 10"), "{error}");
        assert!(error.contains("model.features.merge"), "{error}");
        assert!(Ensemble::new(&[(&b, &pb), (&b, &pb)]).is_ok());
    }

    /// The gradient of a tag's embedding is that of every position of its sentences.
    #[test]
    fn gradients_reach_the_tags_that_are_there() {
        for merge in [Merge::Sum, Merge::Concat] {
            let (model, mut params) = model(merge);
            let batch = Batch::from_rows(&[(vec![4, 5, 8], vec![4, 5]), (vec![6, 9], vec![6])]).unwrap();
            let tape = seqweave_autograd::Tape::new();
            let (loss, _) = model.loss(&Ctx::train(&params, tape.clone(), None), &batch, 0.0, 1.0).unwrap();
            tape.backward(&loss, Some(params.grads_mut())).unwrap();
            let (at, [f, e]) = (model.tags().unwrap().weight, [3, if merge == Merge::Sum { 4 } else { 3 }]);
            let gradient = params.grad(at).unwrap().to_vec();
            for tag in 0..f {
                let is_there = gradient[tag * e..][..e].iter().any(|&g| g != 0.0);
                assert_eq!(is_there, tag != 0, "{merge:?} tag {tag}: {gradient:?}");
            }
        }
    }
}
