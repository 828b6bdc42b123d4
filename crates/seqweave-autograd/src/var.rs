//! `Var`: a tensor, and where its gradient goes if it has one.

use crate::tape::{Tape, Target};
use crate::{Error, Result};
use seqweave_tensor::ops::Weight;
use seqweave_tensor::{Float, Shape, Tensor};
use std::rc::Rc;

/// A value that operations of this crate compute with.
///
/// A variable made by [`Tape::leaf`], [`Tape::param`] or an operation on such a variable remembers its tape.
/// One made by [`Var::constant`] does not: operations on constants alone record nothing, which is inference.
/// Cloning copies two reference counts and no element.
#[derive(Clone)]
pub struct Var {
    value: Tensor,
    place: Option<(Rc<Tape>, Target)>,
    /// What products with this matrix were laid out as.
    weight: Option<Weight>,
}

impl Var {
    /// A value without a gradient.
    pub fn constant(value: Tensor) -> Self {
        Self { value, place: None, weight: None }
    }

    pub(crate) fn on_tape(value: Tensor, tape: Rc<Tape>, target: Target) -> Self {
        Self { value, place: Some((tape, target)), weight: None }
    }

    /// The variable, whose value is the matrix of `weight`, with layouts of it that live longer than one operation:
    /// products lay out nothing.
    pub fn with_layouts(self, weight: Weight) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The matrix `[M,K]` as products want it: the layouts it came with, or new ones.
    pub(crate) fn weight(&self) -> Result<Weight> {
        match &self.weight {
            Some(weight) => Ok(weight.clone()),
            None => Ok(Weight::new(&self.value)?),
        }
    }

    /// The tensor.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Gives the tensor away; the variable is gone, a rule that saved the tensor still holds it.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// Shape of the tensor.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The axes as named integers: `let [t, b, h] = x.dims("lstm input [T,B,H]")?`.
    pub fn dims<const N: usize>(&self, what: &'static str) -> Result<[usize; N]> {
        Ok(self.value.dims(what)?)
    }

    /// The only element of a one-element variable. This reads from the device.
    pub fn item(&self) -> Result<Float> {
        Ok(self.value.item()?)
    }

    /// Whether a tape waits for this variable's gradient.
    pub fn needs_grad(&self) -> bool {
        self.place.is_some()
    }

    /// The same value cut off from the tape: gradients stop here.
    pub fn detach(&self) -> Var {
        Self::constant(self.value.clone())
    }

    pub(crate) fn place(&self) -> Option<(&Rc<Tape>, Target)> {
        self.place.as_ref().map(|(tape, target)| (tape, *target))
    }

    /// The place of a loss on `tape`, after checking that it is one number and belongs there.
    pub(crate) fn loss_slot(&self, tape: &Rc<Tape>) -> Result<Target> {
        if self.value.numel() != 1 {
            return Err(Error::NotScalar { found: *self.shape() });
        }
        match self.place() {
            Some((own, target)) if Rc::ptr_eq(own, tape) => Ok(target),
            _ => Err(Error::NotOnTape),
        }
    }
}

impl From<Tensor> for Var {
    /// As [`Var::constant`].
    fn from(value: Tensor) -> Self {
        Self::constant(value)
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Var({}, needs_grad: {})", self.shape(), self.needs_grad())
    }
}
