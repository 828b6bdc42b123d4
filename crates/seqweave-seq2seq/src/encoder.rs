//! The encoder: source ids in, one vector a position and the stack's last state out.

use seqweave_autograd::Var;
use seqweave_nn::{Ctx, Embedding, Recurrent, RecurrentConfig, RnnState, Scope};
use seqweave_tensor::{Float, Ids};

use crate::{EncoderConfig, ModelConfig, Result};

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
    recurrent: Recurrent,
    dropout: Float,
}

/// What the encoder says about a batch.
pub struct Encoded {
    /// One vector a source position, `[S,B,H]`.
    pub outputs: Var,
    /// The last state of each layer and direction.
    pub state: RnnState,
}

impl Encoder {
    /// Parameters under `scope`: those of the stack, `l0.fwd.weight_ih` and so on. The embedding is made by the caller,
    /// since it may be shared with the decoder.
    pub(crate) fn new(config: &ModelConfig, embedding: Embedding, scope: &mut Scope<'_>) -> Result<Self> {
        let EncoderConfig { layers, bidirectional, residual, dropout } = config.encoder;
        let recurrent = RecurrentConfig {
            cell: config.cell,
            input: config.emb,
            hidden: if bidirectional { config.hidden / 2 } else { config.hidden },
            layers,
            bidirectional,
            residual,
            dropout,
            ..Default::default()
        };
        Ok(Self { embedding, recurrent: Recurrent::new(scope, &recurrent)?, dropout: config.dropout })
    }

    /// Encodes `src` `[S,B]`, whose columns have lengths `lens` `[B]`.
    pub fn forward(&self, cx: &Ctx<'_>, src: &Ids, lens: &Ids) -> Result<Encoded> {
        let x = cx.dropout(&self.embedding.forward(cx, src)?, self.dropout)?; // [S,B,E]
        let (outputs, state) = self.recurrent.forward(cx, &x, Some(lens), None)?; // [S,B,H]
        Ok(Encoded { outputs, state })
    }
}
