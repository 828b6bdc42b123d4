//! Whole numbers beside the floats: tokens, lengths, row indices.

use crate::cuda::{self, CudaBuffer, CudaDevice};
use crate::{Error, Result, Shape};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A read-only block of `u32` with a shape. Cloning shares the memory.
///
/// Ids live on the host, where they are checked; a CUDA device gets a copy when it first wants one.
#[derive(Clone)]
pub struct Ids {
    data: Arc<Data>,
    offset: usize,
    shape: Shape,
}

struct Data {
    host: Vec<u32>,
    cuda: OnceLock<CudaBuffer>,
}

impl Ids {
    /// Ids of the given shape, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of ids is not the product of the extents.
    pub fn new(data: Vec<u32>, shape: impl Into<Shape>) -> Result<Ids> {
        let shape = shape.into();
        if data.len() != shape.numel() {
            return Err(Error::shape(
                "ids",
                format!("{} ids for shape {shape}", shape.numel()),
                data.len().to_string(),
            ));
        }
        Ok(Ids { data: Data::new(data), offset: 0, shape })
    }

    /// A list of ids: shape `[N]`.
    pub fn list(data: Vec<u32>) -> Ids {
        let shape = Shape::from([data.len()]);
        Ids { data: Data::new(data), offset: 0, shape }
    }

    /// The ids, row-major.
    pub fn as_slice(&self) -> &[u32] {
        &self.data.host[self.offset..self.offset + self.shape.numel()]
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of ids.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The extents as named integers: `let [t, b] = ids.dims("targets [T,B]")?`.
    ///
    /// # Errors
    /// [`Error::Rank`] if there are not exactly `N` axes.
    pub fn dims<const N: usize>(&self, what: &'static str) -> Result<[usize; N]> {
        self.shape[..].try_into().map_err(|_| Error::Rank { what, expected: N, found: self.shape })
    }

    /// A view of entry `t` of the leading axis.
    ///
    /// # Errors
    /// [`Error::Range`] if `t` passes the end.
    pub fn step(&self, t: usize) -> Result<Ids> {
        let first = self.shape.first().copied().unwrap_or(0);
        if t >= first {
            return Err(Error::Range { op: "ids step", start: t, end: t + 1, bound: first });
        }
        let shape = self.shape.tail();
        Ok(Ids { data: self.data.clone(), offset: self.offset + t * shape.numel(), shape })
    }

    /// The same ids under another shape of as many elements.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Ids> {
        let shape = shape.into();
        if shape.numel() != self.numel() {
            return Err(Error::shape(
                "ids reshape",
                format!("{} ids", self.numel()),
                format!("shape {shape}"),
            ));
        }
        Ok(Ids { data: self.data.clone(), offset: self.offset, shape })
    }

    /// The ids on a CUDA device, copied there once; what `f` makes of their address.
    pub(crate) fn on<R>(
        &self,
        device: &CudaDevice,
        f: impl FnOnce(cuda::Ptr<u32>) -> Result<R>,
    ) -> Result<R> {
        let data = &*self.data;
        if data.cuda.get().is_none() {
            let copy = cuda::copy::ids(device, &data.host)?;
            data.cuda.get_or_init(|| copy);
        }
        match data.cuda.get() {
            Some(copy) if copy.device().is(device) => f(copy.ptr(self.offset)?),
            // The kept copy is another device's.
            _ => f(cuda::copy::ids(device, &data.host)?.ptr(self.offset)?),
        }
    }
}

impl Data {
    fn new(host: Vec<u32>) -> Arc<Data> {
        Arc::new(Data { host, cuda: OnceLock::new() })
    }
}

impl PartialEq for Ids {
    fn eq(&self, other: &Ids) -> bool {
        self.shape == other.shape && self.as_slice() == other.as_slice()
    }
}

impl Eq for Ids {}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ids{} {:?}", self.shape, self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_views() {
        let ids = Ids::new(vec![1, 2, 3, 4, 5, 6], [3, 2]).unwrap();
        assert_eq!(ids.step(1).unwrap().as_slice(), [3, 4]);
        assert_eq!(ids.reshape([6]).unwrap().as_slice(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(ids.dims::<2>("ids [T,B]").unwrap(), [3, 2]);
    }

    #[test]
    fn errors_say_what_was_wrong() {
        assert_eq!(
            Ids::new(vec![1], [2]).unwrap_err().to_string(),
            "ids: expected 2 ids for shape [2], found 1"
        );
        let ids = Ids::list(vec![7]);
        assert!(ids.step(1).unwrap_err().to_string().contains("range 1..2 does not lie within 0..1"));
        assert!(
            ids.dims::<2>("targets [T,B]")
                .unwrap_err()
                .to_string()
                .starts_with("targets [T,B]: expected 2 axes")
        );
        assert!(ids.reshape([3]).is_err());
    }
}
