//! The context every layer takes first: parameters, the tape if any, the dropout stream if training.

use crate::{ParamId, Params, Result};
use seqweave_autograd::{self as ag, Tape, Var};
use seqweave_tensor::{Device, Float, Philox};
use std::cell::Cell;
use std::rc::Rc;

/// One forward pass: which parameters it reads, whether it is recorded, whether it drops out.
///
/// There is no global mode: inference is a context without a tape.
pub struct Ctx<'a> {
    params: &'a Params,
    /// That of the parameters; in a recorded pass, for tensors of training.
    device: Device,
    tape: Option<Rc<Tape>>,
    dropout: Option<Philox>,
    /// Number of the next dropout of this pass; it separates their masks.
    next_op: Cell<u32>,
}

impl<'a> Ctx<'a> {
    /// A pass that records nothing and drops nothing.
    pub fn infer(params: &'a Params) -> Self {
        let device = params.device().clone();
        Self { params, device, tape: None, dropout: None, next_op: Cell::new(0) }
    }

    /// A recorded pass; with `dropout` it drops out, keyed by (seed, step) and the order of calls.
    pub fn train(params: &'a Params, tape: Rc<Tape>, dropout: Option<Philox>) -> Self {
        let device = params.device().clone().in_training();
        Self { params, device, tape: Some(tape), dropout, next_op: Cell::new(0) }
    }

    /// The value of a parameter, on the tape if there is one and the parameter is not frozen.
    ///
    /// # Errors
    /// [`Error::UnknownParam`](crate::Error::UnknownParam) if `id` was made for a larger model.
    pub fn param(&self, id: ParamId) -> Result<Var> {
        let value = self.params.get(id)?;
        let is_matrix = value.shape().len() == 2;
        let var = match &self.tape {
            Some(tape) if !self.params.is_frozen(id) => {
                tape.param(value.in_training(), self.params.offset(id)?)
            }
            Some(_) => Var::constant(value.in_training()),
            None => Var::constant(value),
        };
        if is_matrix { Ok(var.with_layouts(self.params.weight(id)?)) } else { Ok(var) }
    }

    /// y = x·Wᵀ + b, with x: `[..,K]`, W: `[M,K]` the parameter `weight`, b: `[M]`, y: `[..,M]`.
    ///
    /// W is laid out once and kept beside the parameters until they change.
    ///
    /// # Errors
    /// [`Error::UnknownParam`](crate::Error::UnknownParam) if `weight` was made for a larger model; a tensor error if the
    /// shapes do not fit.
    pub fn linear(&self, x: &Var, weight: ParamId, bias: Option<&Var>) -> Result<Var> {
        Ok(ag::linear(x, &self.param(weight)?, bias)?)
    }

    /// Dropout with probability `p`; the identity in a pass without a dropout stream, and for `p` = 0.
    ///
    /// # Errors
    /// A tensor error if `p` is outside [0, 1).
    pub fn dropout(&self, x: &Var, p: Float) -> Result<Var> {
        match self.dropout {
            Some(key) if p != 0.0 => {
                let op = self.next_op.get();
                self.next_op.set(op + 1);
                Ok(ag::dropout(x, p, key, op)?)
            }
            _ => Ok(x.clone()),
        }
    }

    /// The key of this pass's dropout, if it drops out.
    pub(crate) fn dropout_key(&self) -> Option<Philox> {
        self.dropout
    }

    /// The parameters this pass reads.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The tape this pass is recorded on.
    pub fn tape(&self) -> Option<&Rc<Tape>> {
        self.tape.as_ref()
    }

    /// To be called where the forward pass of a training step is over, or all of it but a loss that lays out its weights
    /// itself: what the weights were laid out as for forward products is let go, and the backward pass has that memory.
    ///
    /// Without a tape it does nothing, since another forward pass is likely.
    pub fn forward_is_over(&self) {
        if self.tape.is_some() {
            self.params.drop_forward_layouts();
        }
    }

    /// The device of the parameters, for what a pass makes beside them.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder};
    use seqweave_tensor::Tensor;

    fn one() -> (Params, ParamId) {
        let mut builder = ParamsBuilder::new();
        let id = builder.root().param("w", [3], Init::Constant(2.0));
        (builder.build(&Device::cpu(), 0).unwrap(), id)
    }

    #[test]
    fn inference_records_and_drops_nothing() {
        let (params, id) = one();
        let cx = Ctx::infer(&params);
        let w = cx.param(id).unwrap();
        assert!(!w.needs_grad());
        assert_eq!(cx.dropout(&w, 0.5).unwrap().value().to_vec(), [2.0; 3]);
    }

    #[test]
    fn gradients_of_parameters_land_in_the_flat_buffer() {
        let (mut params, id) = one();
        let tape = Tape::new();
        let loss = {
            let cx = Ctx::train(&params, tape.clone(), None);
            // Asked for twice: the two contributions add up.
            ag::sum(&ag::mul(&cx.param(id).unwrap(), &cx.param(id).unwrap()).unwrap()).unwrap()
        };
        tape.backward(&loss, Some(params.grads_mut())).unwrap();
        assert_eq!(params.grad(id).unwrap().to_vec(), [4.0; 3]);
    }

    #[test]
    fn each_dropout_of_a_pass_has_its_own_mask_and_a_pass_repeats() {
        let (params, _) = one();
        let x = Var::constant(Tensor::full(&Device::cpu(), [200], 1.0));
        let masks = |key| {
            let cx = Ctx::train(&params, Tape::new(), key);
            [0, 1].map(|_| cx.dropout(&x, 0.5).unwrap().value().to_vec())
        };
        let key = |step| Some(Philox { seed: 3, step });
        let [first, second] = masks(key(1));
        assert_ne!(first, second);
        assert_eq!(masks(key(1)), [first.clone(), second]);
        assert_ne!(masks(key(2))[0], first);
        assert_eq!(masks(None)[0], vec![1.0; 200], "training without a stream drops nothing");
    }
}
