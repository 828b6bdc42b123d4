//! The shape of a tensor: up to four axes, held inline.

use std::{fmt, ops::Deref};

/// The extents of a tensor, outermost axis first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; Shape::MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The largest number of axes.
    pub const MAX_RANK: usize = 4;

    /// Number of elements: the product of the extents.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The shape without its first axis; a shape of one axis becomes `[1]`.
    pub(crate) fn tail(&self) -> Shape {
        if self.rank <= 1 { Shape::from([1]) } else { Shape::from(&self[1..]) }
    }

    /// The same shape with another first extent.
    pub(crate) fn with_first(mut self, n: usize) -> Shape {
        self.dims[0] = n;
        self
    }

    /// The same shape with another last extent; a shape without axes gets one.
    pub(crate) fn with_last(mut self, n: usize) -> Shape {
        self.rank = self.rank.max(1);
        self.dims[self.rank - 1] = n;
        self
    }

    /// All axes but the last folded into one: `(rows, columns)`.
    pub fn rows_and_columns(&self) -> (usize, usize) {
        match self.split_last() {
            Some((&columns, leading)) => (leading.iter().product(), columns),
            None => (1, 1),
        }
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::from(&dims[..])
    }
}

impl From<&[usize]> for Shape {
    /// # Panics
    /// With more than [`Shape::MAX_RANK`] axes: shapes are written in source code, never read from input.
    fn from(dims: &[usize]) -> Self {
        assert!(dims.len() <= Shape::MAX_RANK, "a tensor has at most {} axes", Shape::MAX_RANK);
        let mut shape = Shape { dims: [0; Shape::MAX_RANK], rank: dims.len() };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
