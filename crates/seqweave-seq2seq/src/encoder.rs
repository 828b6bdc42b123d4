//! The encoder: source ids in, one vector a position and the stack's last state out.

use seqweave_autograd::Var;
use seqweave_nn::{Ctx, Dropout, Embedding, Recurrent, RecurrentConfig, RnnState, Scope};
use seqweave_tensor::Ids;

use crate::tags::Tags;
use crate::{EncoderConfig, Merge, ModelConfig, Result};

/// A stack of recurrent layers over embedded source tokens (Sutskever et al. 2014, section 2).
///
/// ```text
/// x = dropout(E_src[src])            [S,B,E]
/// y, (h, c) = recurrent(x, lens)     [S,B,H], a state per layer
/// ```
///
/// A bidirectional layer (Bahdanau et al. 2015, section 3.2) has H/2 units a direction, so that its output has H
/// units like a unidirectional one. Beyond a sentence's length the output is zero and the state is that of its end:
/// padding changes nothing.
pub struct Encoder {
    embedding: Embedding,
    tags: Option<Tags>,
    recurrent: Recurrent,
    dropout: Dropout,
}

/// What the encoder says about a batch.
pub struct Encoded {
    /// One vector a source position, `[S,B,H]`.
    pub outputs: Var,
    /// The last state of each layer and direction.
    pub state: RnnState,
    /// Source positions of each sentence, `[B]`: its tokens with EOS, and its tags where these are tokens.
    pub lens: Ids,
}

impl Encoder {
    /// Parameters under `scope`: those of the stack, `l0.fwd.weight_ih` and so on. The embedding is made by the caller,
    /// since it may be shared with the decoder.
    pub(crate) fn new(
        config: &ModelConfig,
        embedding: Embedding,
        tags: Option<Tags>,
        scope: &mut Scope<'_>,
    ) -> Result<Self> {
        let EncoderConfig { layers, bidirectional, residual, dropout } = config.encoder;
        let recurrent = RecurrentConfig {
            cell: config.cell,
            input: match (&tags, config.features.merge) {
                (Some(_), Merge::Concat) => config.emb + config.features.emb,
                _ => config.emb,
            },
            hidden: if bidirectional { config.hidden / 2 } else { config.hidden },
            layers,
            bidirectional,
            residual,
            dropout,
            dropout_kind: config.dropout_kind,
            ..Default::default()
        };
        let recurrent = Recurrent::new(scope, &recurrent)?;
        let dropout = Dropout { p: config.dropout, kind: config.dropout_kind, site: recurrent.reads(0) };
        Ok(Self { embedding, tags, recurrent, dropout })
    }

    /// The tags that are no tokens, if there are any.
    pub(crate) fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Encodes `src` `[S,B]`, whose columns have lengths `lens` `[B]`.
    ///
    /// Tags that are merged in are taken out of `src` before.
    pub fn forward(&self, cx: &Ctx<'_>, src: &Ids, lens: &Ids) -> Result<Encoded> {
        let (x, lens) = match &self.tags {
            None => (self.embedding.forward(cx, src)?, lens.clone()),
            Some(tags) => {
                let (tokens, lens, has) = tags.split(cx, src, lens)?;
                (tags.merge(cx, &self.embedding.forward(cx, &tokens)?, has)?, lens)
            }
        };
        let x = self.dropout.forward(cx, &x)?; // [S,B,E]
        let (outputs, state) = self.recurrent.forward(cx, &x, Some(&lens), None)?; // [S,B,H]
        Ok(Encoded { outputs, state, lens })
    }
}
