//! The bridge: from the encoder's last state to the decoder's first.

use seqweave_autograd::{self as ag, Var};
use seqweave_nn::{CellKind, CellState, Ctx, Linear, RnnState, Scope};
use seqweave_tensor::Tensor;

use crate::{BridgeKind, ModelConfig, Result};

/// From the encoder's last state to the decoder's first.
///
/// | kind | decoder layer l, with e = encoder layer of l |
/// |---|---|
/// | zero | `h = 0`, `c = 0` |
/// | copy | `h = h_e`, `c = c_e` |
/// | dense | `h = tanh(W·h_e + b)` (Bahdanau et al. 2015, section A.2.2), `c = W_c·c_e + b_c` |
///
/// The state of a bidirectional encoder layer is its forward and its backward state side by side, H/2 + H/2 units.
/// The cell state has no tanh, because an LSTM's cell is not bounded.
///
/// Where the two stacks differ in depth, the top layers are used: a shallower decoder takes the topmost layers of the
/// encoder; in a deeper one the layers beyond the encoder's take its top layer again.
pub struct Bridge {
    kind: BridgeKind,
    /// Number of directions of the encoder.
    directions: usize,
    /// Encoder layer of each decoder layer.
    sources: Vec<usize>,
    /// For `dense`, one a decoder layer.
    dense: Vec<Dense>,
}

/// The learned map of one layer: of `h`, and of `c` where the cell has one.
struct Dense {
    hidden: Linear,
    cell: Option<Linear>,
}

impl Bridge {
    /// Parameters under `scope`, for `dense` alone: `l0.h.weight`, `l0.h.bias`, and for an LSTM `l0.c.…`.
    pub(crate) fn new(config: &ModelConfig, scope: &mut Scope<'_>) -> Self {
        let sources = encoder_layers(config.encoder.layers, config.decoder.layers);
        let h = config.hidden;
        let dense = |l| {
            let mut scope = scope.sub(&format!("l{l}"));
            let cell = (config.cell == CellKind::Lstm).then(|| Linear::new(&mut scope.sub("c"), h, h));
            Dense { hidden: Linear::new(&mut scope.sub("h"), h, h), cell }
        };
        let dense = match config.bridge {
            BridgeKind::Dense => (0..sources.len()).map(dense).collect(),
            BridgeKind::Zero | BridgeKind::Copy => Vec::new(),
        };
        Self {
            kind: config.bridge,
            directions: 1 + usize::from(config.encoder.bidirectional),
            sources,
            dense,
        }
    }

    /// The decoder's first state, from the last state of each encoder layer and direction.
    pub fn forward(&self, cx: &Ctx<'_>, encoder: &RnnState) -> Result<RnnState> {
        let mut cells = Vec::with_capacity(self.sources.len());
        for (l, &source) in self.sources.iter().enumerate() {
            let CellState { h, c } = self.both_directions(encoder, source)?;
            cells.push(match self.kind {
                BridgeKind::Zero => CellState { h: zeros(&h), c: c.as_ref().map(zeros) },
                BridgeKind::Copy => CellState { h, c },
                BridgeKind::Dense => {
                    let Dense { hidden, cell } = &self.dense[l];
                    let h = ag::tanh(&hidden.forward(cx, &h)?)?;
                    let c = cell.as_ref().zip(c).map(|(cell, c)| cell.forward(cx, &c)).transpose()?;
                    CellState { h, c }
                }
            });
        }
        Ok(RnnState { cells })
    }

    /// The state of one encoder layer, `[B,H]`: its directions side by side.
    fn both_directions(&self, encoder: &RnnState, layer: usize) -> Result<CellState> {
        if self.directions == 1 {
            return Ok(encoder.cell(layer, 0, 1).clone());
        }
        let (fwd, rev) = (encoder.cell(layer, 0, 2), encoder.cell(layer, 1, 2));
        let c = match (&fwd.c, &rev.c) {
            (Some(fwd), Some(rev)) => Some(ag::concat_last(&[fwd, rev])?),
            _ => None,
        };
        Ok(CellState { h: ag::concat_last(&[&fwd.h, &rev.h])?, c })
    }
}

fn zeros(like: &Var) -> Var {
    Var::constant(Tensor::zeros(like.value().device(), *like.shape()))
}

/// The encoder layer whose state each decoder layer starts from.
fn encoder_layers(encoder: usize, decoder: usize) -> Vec<usize> {
    let first = encoder.saturating_sub(decoder);
    (0..decoder).map(|l| (first + l).min(encoder - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::encoder_layers;

    #[test]
    fn stacks_of_unequal_depth_meet_at_the_top() {
        assert_eq!(encoder_layers(2, 2), [0, 1]);
        assert_eq!(encoder_layers(3, 2), [1, 2]);
        assert_eq!(encoder_layers(1, 3), [0, 0, 0]);
        assert_eq!(encoder_layers(2, 3), [0, 1, 1]);
    }
}
