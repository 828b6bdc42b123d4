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
    tape: Option<Rc<Tape>>,
    dropout: Option<Philox>,
    /// Number of the next dropout of this pass; it separates their masks.
    next_op: Cell<u32>,
}

impl<'a> Ctx<'a> {
    /// A pass that records nothing and drops nothing.
    pub fn infer(params: &'a Params) -> Self {
        Self { params, tape: None, dropout: None, next_op: Cell::new(0) }
    }

    /// A recorded pass; with `dropout` it drops out, keyed by (seed, step) and the order of calls.
    pub fn train(params: &'a Params, tape: Rc<Tape>, dropout: Option<Philox>) -> Self {
        Self { params, tape: Some(tape), dropout, next_op: Cell::new(0) }
    }

    /// The value of a parameter, on the tape if there is one.
    ///
    /// # Errors
    /// [`Error::UnknownParam`](crate::Error::UnknownParam) if `id` was made for a larger model.
    pub fn param(&self, id: ParamId) -> Result<Var> {
        let value = self.params.get(id)?;
        Ok(match &self.tape {
            Some(tape) => tape.param(value, self.params.offset(id)?),
            None => Var::constant(value),
        })
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

    /// The parameters this pass reads.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The tape this pass is recorded on.
    pub fn tape(&self) -> Option<&Rc<Tape>> {
        self.tape.as_ref()
    }

    /// The device of the parameters.
    pub fn device(&self) -> &'a Device {
        self.params.device()
    }
}
