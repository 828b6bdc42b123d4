//! The decoder: target ids and a state in, attentional states and the next state out.

use seqweave_autograd::{self as ag, Var};
use seqweave_nn::{
    Attention, AttentionKind, Ctx, Dropout, Embedding, Linear, Memory, Recurrent, RecurrentConfig, RnnState,
    Scope,
};
use seqweave_tensor::{Ids, Tensor};

use crate::{DecoderConfig, ModelConfig, Result};

/// A recurrent decoder with attention (Luong et al. 2015, section 3).
///
/// ```text
/// x_t = dropout(E_tgt[y_{t-1}])              without input feeding
/// x_t = [dropout(E_tgt[y_{t-1}]) ; s_{t-1}]  with input feeding (section 3.3), s_{-1} = 0
/// h_t, state = recurrent(x_t, state)
/// c_t, a_t = attention(h_t, memory)
/// s_t = dropout(tanh(W_c·[c_t ; h_t]))       the attentional state, equation 5
/// s_t = dropout(tanh(W_c·h_t))               without attention
/// ```
///
/// Without input feeding nothing in step t needs the attention of step t-1, so a whole target runs as whole-sequence
/// operations. With it the decoder has to step. Both take the same code path for one step: what teacher forcing
/// computes is what decoding computes.
pub struct Decoder {
    embedding: Embedding,
    recurrent: Recurrent,
    attention: Option<Attention>,
    combine: Linear,
    /// Of the embedded inputs.
    input_dropout: Dropout,
    /// Of the attentional states.
    state_dropout: Dropout,
    hidden: usize,
    input_feeding: bool,
}

/// What the decoder carries from one target step to the next, for N rows.
#[derive(Clone)]
pub struct DecoderState {
    /// The state of each layer.
    pub recurrent: RnnState,
    /// The last attentional state `[N,H]`; with input feeding alone.
    pub feed: Option<Var>,
}

impl Decoder {
    /// Parameters under `scope`: those of the stack, `attention.…` and `combine.weight`. The embedding is made by the
    /// caller, since it may be shared.
    pub(crate) fn new(config: &ModelConfig, embedding: Embedding, scope: &mut Scope<'_>) -> Result<Self> {
        let (e, h) = (config.emb, config.hidden);
        let DecoderConfig { layers, residual, dropout, input_feeding } = config.decoder;
        let recurrent = RecurrentConfig {
            cell: config.cell,
            input: if input_feeding { e + h } else { e },
            hidden: h,
            layers,
            residual,
            dropout,
            dropout_kind: config.dropout_kind,
            ..Default::default()
        };
        let recurrent = Recurrent::new(scope, &recurrent)?;
        let attention = match config.attention {
            AttentionKind::None => None,
            kind => Some(Attention::new(&mut scope.sub("attention"), kind, h, h, h)?),
        };
        let joined = if attention.is_some() { 2 * h } else { h };
        let combine = Linear::without_bias(&mut scope.sub("combine"), joined, h);
        let dropout = |site| Dropout { p: config.dropout, kind: config.dropout_kind, site };
        Ok(Self {
            input_dropout: dropout(recurrent.reads(0)),
            state_dropout: dropout(combine.weight),
            embedding,
            recurrent,
            attention,
            combine,
            hidden: h,
            input_feeding,
        })
    }

    /// Whether it looks at the source through attention.
    pub fn has_attention(&self) -> bool {
        self.attention.is_some()
    }

    /// Prepares encoder outputs `[S,B,H]` for attention, once a batch; nothing without attention.
    pub fn memory(&self, cx: &Ctx<'_>, outputs: &Var, lens: &Ids) -> Result<Option<Memory>> {
        match &self.attention {
            Some(attention) => Ok(Some(attention.memory(cx, outputs, lens)?)),
            None => Ok(None),
        }
    }

    /// The state before the first target step, from the state the bridge made.
    pub fn start(&self, cx: &Ctx<'_>, recurrent: RnnState, n: usize) -> DecoderState {
        let zeros = || Var::constant(Tensor::zeros(cx.device(), [n, self.hidden]));
        DecoderState { recurrent, feed: self.input_feeding.then(zeros) }
    }

    /// Attentional states `[T,B,H]` of given decoder inputs `[T,B]`: teacher forcing.
    pub fn forward(
        &self,
        cx: &Ctx<'_>,
        ids: &Ids,
        state: &DecoderState,
        memory: Option<&Memory>,
    ) -> Result<Var> {
        let [t, ..] = ids.dims::<2>("decoder inputs [T,B]")?;
        let x = self.input_dropout.forward(cx, &self.embedding.forward(cx, ids)?)?; // [T,B,E]
        if !self.input_feeding {
            return Ok(self.advance(cx, &x, state, memory)?.0);
        }
        let (mut states, mut state) = (Vec::with_capacity(t), state.clone());
        for step in 0..t {
            let (s, next, _) = self.advance(cx, &ag::rows(&x, step, step + 1)?, &state, memory)?;
            states.push(s); // [1,B,H]
            state = next;
        }
        Ok(ag::concat_first(&states.iter().collect::<Vec<_>>())?)
    }

    /// One target step for N rows: attentional states `[N,H]`, the next state, and attention weights `[N,S]`.
    pub fn step(
        &self,
        cx: &Ctx<'_>,
        ids: &Ids,
        state: &DecoderState,
        memory: Option<&Memory>,
    ) -> Result<(Var, DecoderState, Option<Tensor>)> {
        let [n] = ids.dims("decoder inputs [N]")?;
        let x = self.input_dropout.forward(cx, &self.embedding.forward(cx, &ids.reshape([1, n])?)?)?; // [1,N,E]
        let (s, state, align) = self.advance(cx, &x, state, memory)?;
        let align = match align {
            Some(align) => Some(align.reshape([n, align.numel() / n.max(1)])?),
            None => None,
        };
        Ok((ag::reshape(&s, [n, self.hidden])?, state, align))
    }

    /// Embedded inputs `[T,N,E]` to attentional states `[T,N,H]`, the next state and attention weights; T is 1 with
    /// input feeding.
    fn advance(
        &self,
        cx: &Ctx<'_>,
        x: &Var,
        state: &DecoderState,
        memory: Option<&Memory>,
    ) -> Result<(Var, DecoderState, Option<Tensor>)> {
        let [t, n, _] = x.dims("embedded decoder inputs [T,N,E]")?;
        let x = match &state.feed {
            Some(feed) => ag::concat_last(&[x, &ag::reshape(feed, [t, n, self.hidden])?])?, // [1,N,E+H]
            None => x.clone(),
        };
        let (h, recurrent) = self.recurrent.forward(cx, &x, None, Some(&state.recurrent))?; // [T,N,H]
        let (joined, align) = match (&self.attention, memory) {
            (Some(attention), Some(memory)) => {
                // N rows are K hypotheses of each of B sentences, row k·B + b. They are K queries to one memory, so the
                // memory need not be copied K times.
                let [b] = memory.lens.dims("memory lengths [B]")?;
                let queries = ag::reshape(&h, [t * n / b.max(1), b, self.hidden])?; // [T·K,B,H]
                let (context, align) = attention.attend(cx, &queries, memory)?;
                let context = ag::reshape(&context, [t, n, self.hidden])?;
                (ag::concat_last(&[&context, &h])?, Some(align))
            }
            _ => (h, None),
        };
        let s = ag::tanh(&self.combine.forward(cx, &joined)?)?;
        let s = self.state_dropout.forward(cx, &s)?; // [T,N,H]
        let feed = match &state.feed {
            Some(_) => Some(ag::reshape(&s, [n, self.hidden])?),
            None => None,
        };
        Ok((s, DecoderState { recurrent, feed }, align))
    }
}
