//! Checks that several families of operations share.

use crate::{Error, Ids, Result, Tensor};

/// Asks that operand `name` of operation `op` has exactly the shape `expected`.
pub(crate) fn expect_shape(op: &'static str, name: &str, operand: &Tensor, expected: &[usize]) -> Result<()> {
    if operand.shape()[..] == *expected {
        return Ok(());
    }
    Err(Error::shape(op, format!("{name} {expected:?}"), operand.shape().to_string()))
}

/// Asks that no extent of `operand` is zero.
pub(crate) fn expect_not_empty(op: &'static str, name: &str, operand: &Tensor) -> Result<()> {
    if operand.numel() > 0 {
        return Ok(());
    }
    Err(Error::shape(op, format!("{name} with every extent at least 1"), operand.shape().to_string()))
}

/// Asks that there are `batch` lengths, each between 1 and `steps`.
pub(crate) fn expect_lengths(op: &'static str, lens: &Ids, batch: usize, steps: usize) -> Result<()> {
    if lens.shape()[..] != [batch] {
        return Err(Error::shape(op, format!("lens [{batch}]"), lens.shape().to_string()));
    }
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
