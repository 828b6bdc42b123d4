//! The checks that open every op.

use crate::{Device, Error, Ids, Result, Shape, Tensor, TensorMut};

/// Something that lies on a device.
pub(super) trait Placed {
    fn place(&self) -> &Device;
}

impl Placed for Tensor {
    fn place(&self) -> &Device {
        self.device()
    }
}

impl Placed for TensorMut<'_> {
    fn place(&self) -> &Device {
        self.device()
    }
}

/// The device of `first`, on which all others lie too.
pub(super) fn device<'a>(op: &'static str, first: &'a Tensor, others: &[&dyn Placed]) -> Result<&'a Device> {
    let place = first.device();
    match others.iter().find(|other| !other.place().is(place)) {
        None => Ok(place),
        Some(other) => Err(Error::Device { op, expected: place.describe(), found: other.place().describe() }),
    }
}

/// `name` has exactly this shape.
pub(super) fn shape(op: &'static str, name: &str, expected: impl Into<Shape>, found: &Shape) -> Result<()> {
    let expected = expected.into();
    if expected == *found {
        return Ok(());
    }
    Err(Error::shape(op, format!("{name} of shape {expected}"), found.to_string()))
}

/// Every id is below `bound`.
pub(super) fn ids_below(op: &'static str, ids: &Ids, bound: usize) -> Result<()> {
    match ids.as_slice().iter().position(|&id| id as usize >= bound) {
        Some(position) => Err(Error::Index { op, index: ids.as_slice()[position] as usize, bound, position }),
        None => Ok(()),
    }
}

/// `p` lies in the range that `expected` names.
pub(super) fn value(
    op: &'static str,
    name: &'static str,
    expected: &'static str,
    holds: bool,
    found: impl ToString,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Value { op, name, expected, found: found.to_string() }) }
}

/// `shape` with another axis of extent `n`, in front of it or behind.
pub(super) fn with_axis(op: &'static str, shape: &Shape, n: usize, front: bool) -> Result<Shape> {
    if shape.len() == Shape::MAX_RANK {
        return Err(Error::shape(op, format!("at most {} axes", Shape::MAX_RANK - 1), shape.to_string()));
    }
    let mut dims = shape.to_vec();
    dims.insert(if front { 0 } else { dims.len() }, n);
    Ok(Shape::from(&dims[..]))
}

/// `shape` with its last extent replaced.
pub(super) fn with_last(shape: &Shape, n: usize) -> Shape {
    shape.with_last(n)
}

/// No extent of `x` is zero.
pub(super) fn not_empty(op: &'static str, name: &str, x: &Tensor) -> Result<()> {
    if x.numel() > 0 {
        return Ok(());
    }
    Err(Error::shape(op, format!("{name} with every extent at least 1"), x.shape().to_string()))
}

/// There are `batch` lengths, each between 1 and `steps`.
pub(super) fn lengths(op: &'static str, lens: &Ids, batch: usize, steps: usize) -> Result<()> {
    shape(op, "lens", [batch], lens.shape())?;
    match lens.as_slice().iter().position(|&len| len == 0 || len as usize > steps) {
        None => Ok(()),
        Some(row) => Err(Error::Value {
            op,
            name: "every length",
            expected: "between 1 and the number of steps",
            found: format!("{} in row {row} of {steps} steps", lens.as_slice()[row]),
        }),
    }
}
