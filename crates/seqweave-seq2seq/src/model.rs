//! The model: encoder, bridge, decoder and output layer under one name.

use std::ops::Range;

use seqweave_autograd::{self as ag, CrossEntropyStats, Var};
use seqweave_nn::{Ctx, Embedding, Params, ParamsBuilder, Scope};
use seqweave_tensor::{Device, Float, Ids, Tensor, ops};

use crate::bridge::Bridge;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::forced::force;
use crate::output::Output;
use crate::tags::Tags;
use crate::{Batch, ConfigProblem, Error, Forced, Merge, ModelConfig, PAD, Result, State, Tie};

/// An encoder-decoder (Sutskever et al. 2014) with attention (Bahdanau et al. 2015; Luong et al. 2015).
///
/// The struct holds parameter names and shapes alone; the numbers are in [`Params`], which every method gets through
/// its [`Ctx`].
pub struct Seq2Seq {
    config: ModelConfig,
    src_vocab: usize,
    tgt_vocab: usize,
    encoder: Encoder,
    bridge: Bridge,
    decoder: Decoder,
    output: Output,
}

impl Seq2Seq {
    /// Declares the model's parameters under `scope`.
    ///
    /// Names: `encoder.embedding.weight`, `encoder.l0.fwd.weight_ih` …, `bridge.l0.h.weight` …,
    /// `decoder.embedding.weight`, `decoder.l0.fwd.weight_ih` …, `decoder.attention.…`, `decoder.combine.weight`,
    /// `output.weight`, `output.bias`. A tied matrix has the name of the target embedding.
    ///
    /// # Errors
    /// [`Error::Config`] with everything wrong with the configuration and the vocabulary sizes.
    pub fn new(
        config: &ModelConfig,
        src_vocab: usize,
        tgt_vocab: usize,
        scope: &mut Scope<'_>,
    ) -> Result<Self> {
        Self::with_tags(config, src_vocab, 0, tgt_vocab, scope)
    }

    /// [`Seq2Seq::new`] for a source vocabulary whose last `tags` ids are tags of the whole sentence. Where these are
    /// merged in, they have the matrix `encoder.tags.weight`.
    ///
    /// # Errors
    /// As [`Seq2Seq::new`]; a vocabulary that has tags cannot be shared.
    pub fn with_tags(
        config: &ModelConfig,
        src_vocab: usize,
        tags: usize,
        tgt_vocab: usize,
        scope: &mut Scope<'_>,
    ) -> Result<Self> {
        let mut problems = config.check();
        problems.extend(config.check_vocab(src_vocab, tgt_vocab));
        // The four reserved tokens are no tags.
        if tags > 0 && (config.tie == Tie::All || tags + 4 > src_vocab) {
            problems.push(ConfigProblem::SharedTags { tags });
        }
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        let table = |mut scope: Scope<'_>, vocab| {
            Embedding::new(&mut scope.sub("embedding"), vocab, config.emb, Some(PAD))
        };
        let target = table(scope.sub("decoder"), tgt_vocab);
        let merged = if config.features.merge == Merge::Tokens { 0 } else { tags };
        let source = match config.tie {
            Tie::All => target,
            Tie::None | Tie::Softmax => table(scope.sub("encoder"), src_vocab - merged),
        };
        let tags = Tags::new(config, src_vocab, tags, &mut scope.sub("encoder").sub("tags"));
        Ok(Self {
            config: config.clone(),
            src_vocab,
            tgt_vocab,
            encoder: Encoder::new(config, source, tags, &mut scope.sub("encoder"))?,
            bridge: Bridge::new(config, &mut scope.sub("bridge")),
            decoder: Decoder::new(config, target, &mut scope.sub("decoder"))?,
            output: Output::new(config, tgt_vocab, &target, &mut scope.sub("output")),
        })
    }

    /// A model and its freshly drawn parameters. The same seed draws the same numbers.
    ///
    /// # Errors
    /// As [`Seq2Seq::new`], and [`seqweave_nn::Error::TooLarge`] for more parameters than the memory holds.
    pub fn build(
        config: &ModelConfig,
        src_vocab: usize,
        tgt_vocab: usize,
        device: &Device,
        seed: u64,
    ) -> Result<(Self, Params)> {
        Self::build_with_tags(config, src_vocab, 0, tgt_vocab, device, seed)
    }

    /// [`Seq2Seq::build`] for a source vocabulary whose last `tags` ids are tags.
    ///
    /// # Errors
    /// As [`Seq2Seq::with_tags`] and [`Seq2Seq::build`].
    pub fn build_with_tags(
        config: &ModelConfig,
        src_vocab: usize,
        tags: usize,
        tgt_vocab: usize,
        device: &Device,
        seed: u64,
    ) -> Result<(Self, Params)> {
        let mut builder = ParamsBuilder::new();
        let model = Self::with_tags(config, src_vocab, tags, tgt_vocab, &mut builder.root())?;
        Ok((model, builder.build(device, seed)?))
    }

    /// The shape it was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Number of source tokens.
    pub fn src_vocab(&self) -> usize {
        self.src_vocab
    }

    /// Number of target tokens.
    pub fn tgt_vocab(&self) -> usize {
        self.tgt_vocab
    }

    /// The loss of a batch: `scale · Σ cross-entropy` over its target tokens, EOS included, padding not.
    ///
    /// With `smoothing` ε the loss of a token is `(1-ε)·(-log p[y]) + ε·mean_v(-log p[v])`. A `scale` of
    /// 1 / [`Batch::tgt_tokens`] makes it a mean. Statistics come without smoothing and scale.
    pub fn loss(
        &self,
        cx: &Ctx<'_>,
        batch: &Batch,
        smoothing: Float,
        scale: Float,
    ) -> Result<(Var, CrossEntropyStats)> {
        let [_, t, b] = batch.dims()?;
        let h = self.config.hidden;
        let states = ag::reshape(&self.teach(cx, batch)?, [t * b, h])?;
        let targets = batch.tgt_out.reshape([t * b])?;
        cx.forward_is_over();
        self.output.loss(cx, &states, &targets, smoothing, scale)
    }

    /// What the model says about each output of a batch, token by token.
    pub fn forced(&self, cx: &Ctx<'_>, batch: &Batch) -> Result<Vec<Forced>> {
        let states = self.teach(cx, batch)?; // [T,B,H]
        force(batch, self.tgt_vocab, |steps| {
            let logits = self.logits_of(cx, &states, steps)?;
            let best = ops::argmax_last(logits.value())?;
            Ok((best.as_slice().to_vec(), ops::log_softmax(logits.value())?.to_vec()))
        })
    }

    /// Encodes sources `[S,B]` of lengths `[B]` and makes the state before the first target step.
    pub fn start(&self, cx: &Ctx<'_>, src: &Ids, lens: &Ids) -> Result<State> {
        let [_, b] = src.dims("source [S,B]")?;
        let encoded = self.encoder.forward(cx, src, lens)?;
        let memory = self.decoder.memory(cx, &encoded.outputs, &encoded.lens)?;
        let recurrent = self.bridge.forward(cx, &encoded.state)?;
        let decoder = self.decoder.start(cx, recurrent, b);
        Ok(State { decoder, memory, rows: b, sentences: b })
    }

    /// One target step: from the last token of each row `[N]` ([`BOS`](crate::BOS) at first) to logits `[N,V]`, the next
    /// state, and attention weights `[N,S]` (none without attention).
    pub fn step(&self, cx: &Ctx<'_>, ids: &Ids, state: &State) -> Result<(Var, State, Option<Tensor>)> {
        let (s, decoder, align) = self.decoder.step(cx, ids, &state.decoder, state.memory.as_ref())?;
        let logits = self.output.logits(cx, &s)?;
        Ok((logits, State { decoder, ..state.clone() }, align))
    }

    /// Logits `[N,V]` of some target steps of attentional states `[T,B,H]`, N = steps · B.
    pub(crate) fn logits_of(&self, cx: &Ctx<'_>, states: &Var, steps: Range<usize>) -> Result<Var> {
        let [_, b, h] = states.dims("attentional states [T,B,H]")?;
        let part = ag::reshape(&ag::rows(states, steps.start, steps.end)?, [steps.len() * b, h])?;
        self.output.logits(cx, &part)
    }

    /// Attentional states `[T,B,H]` of a batch under teacher forcing.
    pub(crate) fn teach(&self, cx: &Ctx<'_>, batch: &Batch) -> Result<Var> {
        let state = self.start(cx, &batch.src, &batch.src_lens)?;
        self.decoder.forward(cx, &batch.tgt_in, &state.decoder, state.memory.as_ref())
    }

    #[cfg(test)]
    pub(crate) fn tags(&self) -> Option<&Tags> {
        self.encoder.tags()
    }

    /// Whether tags are merged into the embeddings of tokens, so that they are no source positions.
    pub fn merges_tags(&self) -> bool {
        self.encoder.tags().is_some()
    }

    /// The number of source ids that are positions: all but tags that are merged in.
    pub(crate) fn position_vocab(&self) -> usize {
        self.encoder.tags().map_or(self.src_vocab, |tags| tags.first())
    }

    /// The number of source positions of a row of bare ids, EOS not counted: tags that are merged in are none.
    pub fn positions(&self, row: &[u32]) -> usize {
        self.encoder.tags().map_or(row.len(), |tags| tags.tokens(row))
    }

    /// Whether the decoder looks at the source through attention.
    pub(crate) fn has_attention(&self) -> bool {
        self.decoder.has_attention()
    }

    /// Refuses source rows with ids that the vocabulary does not have.
    pub(crate) fn check_source<X: AsRef<[u32]>>(&self, rows: impl IntoIterator<Item = X>) -> Result<()> {
        check_ids("source", rows, self.src_vocab)
    }

    /// Refuses target rows with ids that the vocabulary does not have.
    pub(crate) fn check_target<Y: AsRef<[u32]>>(&self, rows: impl IntoIterator<Item = Y>) -> Result<()> {
        check_ids("target", rows, self.tgt_vocab)
    }
}

fn check_ids<X: AsRef<[u32]>>(
    side: &'static str,
    rows: impl IntoIterator<Item = X>,
    vocab: usize,
) -> Result<()> {
    for (row, ids) in rows.into_iter().enumerate() {
        let ids = ids.as_ref();
        if let Some(position) = ids.iter().position(|&id| id as usize >= vocab) {
            return Err(Error::Vocabulary { side, row, position, id: ids[position], vocab });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(config: &ModelConfig) -> Vec<String> {
        let (_, params) = Seq2Seq::build(config, 7, 7, &Device::cpu(), 1).unwrap();
        params.names().map(str::to_string).collect()
    }

    #[test]
    fn parameters_have_the_documented_names() {
        let mut config = ModelConfig { emb: 3, hidden: 4, ..Default::default() };
        let mut want = Vec::new();
        let mut expect = |prefix: &str, names: &str| {
            want.extend(names.split(' ').map(|name| format!("{prefix}{name}")));
        };
        const CELL: &str = "weight_ih weight_hh bias_ih bias_hh";
        expect("", "decoder.embedding.weight encoder.embedding.weight");
        expect("encoder.l0.fwd.", CELL);
        expect("encoder.l0.rev.", CELL);
        expect("bridge.l0.", "c.weight c.bias h.weight h.bias");
        expect("decoder.l0.fwd.", CELL);
        expect("decoder.", "attention.weight combine.weight");
        expect("output.", "weight bias");
        assert_eq!(names(&config), want);

        config.tie = Tie::All;
        want.retain(|name| name != "encoder.embedding.weight");
        let at = want.iter().position(|name| name == "output.weight").unwrap();
        want[at] = "output.project.weight".to_string();
        assert_eq!(names(&config), want);
        config.emb = 4;
        want.remove(at);
        assert_eq!(names(&config), want);
    }

    #[test]
    fn a_shape_that_cannot_be_built_is_refused_with_every_reason() {
        let config = ModelConfig { hidden: 3, tie: Tie::All, ..Default::default() };
        let error = Seq2Seq::build(&config, 7, 8, &Device::cpu(), 1).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, Error::Config { problems } if problems.len() == 2));
        assert!(text.starts_with("the model configuration has 2 problem(s): `hidden` is 3"), "{text}");
    }
}
