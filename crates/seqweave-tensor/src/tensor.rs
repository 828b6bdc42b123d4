//! The tensor: shared and read-only, or borrowed for writing.

use crate::cuda::{self, CudaBuffer};
use crate::pool::CpuBuffer;
use crate::{Device, Error, Float, Result, Shape, parallel};
use ndarray_rand::RandomExt;
use ndarray_rand::rand::Rng;
use ndarray_rand::rand_distr::Distribution;
use std::fmt;
use std::sync::Arc;

/// Memory on one device.
pub(crate) enum Buffer {
    Cpu(CpuBuffer),
    Cuda(CudaBuffer),
}

/// A contiguous, row-major block of [`Float`]s with a shape. Cloning shares the memory, which stays read-only while it
/// is shared; see [`Tensor::view_mut`].
#[derive(Clone)]
pub struct Tensor {
    buf: Arc<Buffer>,
    device: Device,
    offset: usize,
    shape: Shape,
    /// The one element of a tensor on a CUDA device, if the host knows it: `item` need not wait then.
    known: Option<Float>,
}

impl Tensor {
    /// A tensor whose elements are yet to be written: they hold what the last owner of the memory left, or NaN in debug
    /// builds. For a destination that is about to be set as a whole.
    ///
    /// The memory is always initialised, so reading it is no undefined behaviour; it is only never the same twice.
    pub fn scratch(device: &Device, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        let buf = match device {
            Device::Cpu(cpu) => Buffer::Cpu(cpu.alloc(shape.numel())),
            Device::Cuda(cuda) => Buffer::Cuda(cuda.alloc(shape.numel())),
        };
        Tensor { buf: Arc::new(buf), device: device.clone(), offset: 0, shape, known: None }
    }

    /// All zeros.
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Tensor {
        Tensor::full(device, shape, 0.0)
    }

    /// Every element equal to `value`.
    pub fn full(device: &Device, shape: impl Into<Shape>, value: Float) -> Tensor {
        let mut tensor = Tensor::scratch(device, shape);
        tensor.fresh_mut().fill(value);
        tensor.knowing(Some(value))
    }

    /// One number: shape `[1]`.
    pub fn scalar(device: &Device, value: Float) -> Tensor {
        Tensor::full(device, [1], value)
    }

    /// A new tensor whose elements `write` fills in, on the host.
    pub(crate) fn build(
        device: &Device,
        shape: impl Into<Shape>,
        write: impl FnOnce(&mut [Float]),
    ) -> Tensor {
        let mut tensor = Tensor::scratch(device, shape);
        match device {
            Device::Cpu(_) => write(tensor.fresh_mut().cpu_mut()),
            Device::Cuda(cuda) => {
                let mut host = vec![0.0; tensor.numel()];
                write(&mut host);
                cuda::copy::write(cuda, &host, tensor.fresh_mut());
            }
        }
        tensor
    }

    /// A new tensor that `write`, which may fail, fills in.
    pub(crate) fn try_build(
        device: &Device,
        shape: impl Into<Shape>,
        write: impl FnOnce(TensorMut<'_>) -> Result<()>,
    ) -> Result<Tensor> {
        let mut tensor = Tensor::scratch(device, shape);
        write(tensor.fresh_mut())?;
        Ok(tensor)
    }

    /// The elements given, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] if their number is not the product of the extents.
    pub fn from_slice(device: &Device, data: &[Float], shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if data.len() != shape.numel() {
            let expected = format!("{} elements for shape {shape}", shape.numel());
            return Err(Error::shape("tensor", expected, data.len().to_string()));
        }
        Ok(Tensor::build(device, shape, |out| out.copy_from_slice(data)))
    }

    /// The elements given, row-major; see [`Tensor::from_slice`].
    ///
    /// # Errors
    /// [`Error::Shape`] if their number is not the product of the extents.
    pub fn from_vec(device: &Device, data: Vec<Float>, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::from_slice(device, &data, shape)
    }

    /// A copy of an [`ndarray`] view, in logical (row-major) order whatever its strides.
    ///
    /// # Errors
    /// [`Error::Shape`] with more than [`Shape::MAX_RANK`] axes.
    pub fn from_array<D: ndarray::Dimension>(
        device: &Device,
        array: ndarray::ArrayView<'_, Float, D>,
    ) -> Result<Tensor> {
        if array.ndim() > Shape::MAX_RANK {
            let expected = format!("at most {} axes", Shape::MAX_RANK);
            return Err(Error::shape("from_array", expected, format!("{} axes", array.ndim())));
        }
        Ok(Tensor::build(device, array.shape(), |out| {
            out.iter_mut().zip(array.iter()).for_each(|(o, &x)| *o = x);
        }))
    }

    /// A copy as an [`ndarray`] array of the same shape.
    pub fn to_array(&self) -> ndarray::ArrayD<Float> {
        ndarray::ArrayD::from_shape_vec(&self.shape[..], self.to_vec())
            .expect("a tensor has as many elements as its shape says")
    }

    /// Independent draws from `distribution`, in row-major order, from the stream `rng`.
    pub fn random(
        device: &Device,
        shape: impl Into<Shape>,
        distribution: impl Distribution<Float>,
        rng: &mut impl Rng,
    ) -> Tensor {
        let shape = shape.into();
        let draws = ndarray::Array1::random_using(shape.numel(), distribution, rng);
        Tensor::build(device, shape, |out| out.iter_mut().zip(&draws).for_each(|(o, &x)| *o = x))
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The device it lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The extents as named integers: `let [t, b, h] = x.dims("lstm y [T,B,H]")?`.
    ///
    /// # Errors
    /// [`Error::Rank`] if there are not exactly `N` axes.
    pub fn dims<const N: usize>(&self, what: &'static str) -> Result<[usize; N]> {
        self.shape[..].try_into().map_err(|_| Error::Rank { what, expected: N, found: self.shape })
    }

    /// A view of entries `start..end` of the leading axis.
    ///
    /// # Errors
    /// [`Error::Range`] if the range passes the end.
    pub fn rows(&self, start: usize, end: usize) -> Result<Tensor> {
        let bound = self.shape.first().copied().unwrap_or(0);
        if start > end || end > bound {
            return Err(Error::Range { op: "rows", start, end, bound });
        }
        let row = self.numel() / bound.max(1);
        Ok(self.window(start * row, self.shape.with_first(end - start)))
    }

    /// A view of entry `t` of the leading axis, with that axis dropped.
    ///
    /// # Errors
    /// [`Error::Range`] if `t` passes the end.
    pub fn step(&self, t: usize) -> Result<Tensor> {
        let row = self.rows(t, t.saturating_add(1))?;
        row.reshape(self.shape.tail())
    }

    /// The same elements under another shape of as many elements.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape.numel() != self.numel() {
            let expected = format!("a shape of {} elements (from {})", self.numel(), self.shape);
            return Err(Error::shape("reshape", expected, shape.to_string()));
        }
        Ok(self.window(0, shape))
    }

    /// A view of `shape.numel()` elements from element `start` on: one parameter in a flat store.
    ///
    /// # Errors
    /// [`Error::Range`] if it passes the end.
    pub fn flat(&self, start: usize, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let (end, bound) = (start.saturating_add(shape.numel()), self.numel());
        if end > bound {
            return Err(Error::Range { op: "flat view", start, end, bound });
        }
        Ok(self.window(start, shape))
    }

    fn window(&self, start: usize, shape: Shape) -> Tensor {
        let known = if shape.numel() == 1 { self.known } else { None };
        Tensor {
            buf: self.buf.clone(),
            device: self.device.clone(),
            offset: self.offset + start,
            shape,
            known,
        }
    }

    /// The same tensor, of which the host knows its element, if it has but one and lies on a CUDA device.
    pub(crate) fn knowing(self, value: Option<Float>) -> Tensor {
        let remote = matches!(self.device, Device::Cuda(_));
        Tensor { known: value.filter(|_| remote && self.shape.numel() == 1), ..self }
    }

    /// The one element, if the host knows it.
    pub(crate) fn known(&self) -> Option<Float> {
        self.known
    }

    /// A copy of the elements on the host.
    ///
    /// It waits for a CUDA device, see [`Device::host_reads`]. If that has failed, the copy is NaN and the next operation
    /// returns the error.
    pub fn to_vec(&self) -> Vec<Float> {
        match &self.device {
            Device::Cpu(_) => self.cpu().to_vec(),
            Device::Cuda(cuda) => cuda::copy::read(cuda, self).unwrap_or_else(|error| {
                cuda.remember(error);
                vec![Float::NAN; self.numel()]
            }),
        }
    }

    /// The one element of a tensor of one element. It waits for a CUDA device, see [`Device::host_reads`], unless the host
    /// put the number there.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not exactly one; errors of the device.
    pub fn item(&self) -> Result<Float> {
        if self.numel() != 1 {
            return Err(Error::shape("item", "one element", format!("shape {}", self.shape)));
        }
        match (&self.device, self.known) {
            (Device::Cpu(_), _) => Ok(self.cpu()[0]),
            (Device::Cuda(_), Some(value)) => Ok(value),
            (Device::Cuda(cuda), None) => Ok(cuda::copy::read(cuda, self)?[0]),
        }
    }

    /// The same elements on another device: shared if it lies there already, else a copy.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn to(&self, device: &Device) -> Result<Tensor> {
        if self.device.is(device) {
            return Ok(Tensor { device: device.clone(), ..self.clone() });
        }
        Tensor::try_build(device, self.shape, |mut out| out.copy_from(self))
    }

    /// The same tensor as an operand of a training step: see [`Device::in_training`].
    pub fn in_training(&self) -> Tensor {
        Tensor { device: self.device.clone().in_training(), ..self.clone() }
    }

    /// A copy with memory of its own.
    pub fn deep_clone(&self) -> Tensor {
        let mut copy = Tensor::scratch(&self.device, self.shape);
        match &self.device {
            Device::Cpu(_) => copy.fresh_mut().cpu_mut().copy_from_slice(self.cpu()),
            Device::Cuda(cuda) => {
                if let Err(error) = cuda::copy::copy(cuda, self, copy.fresh_mut()) {
                    cuda.remember(error);
                }
            }
        }
        copy
    }

    /// Exclusive access to the elements.
    ///
    /// # Errors
    /// [`Error::Shared`] while other tensors, views included, share the memory.
    pub fn view_mut(&mut self) -> Result<TensorMut<'_>> {
        let others = Arc::strong_count(&self.buf) - 1;
        self.known = None;
        match Arc::get_mut(&mut self.buf) {
            Some(buf) => Ok(TensorMut { buf, device: &self.device, offset: self.offset, shape: self.shape }),
            None => Err(Error::Shared { what: "tensor", others }),
        }
    }

    /// Write access to a tensor that was just made and so cannot be shared.
    pub(crate) fn fresh_mut(&mut self) -> TensorMut<'_> {
        self.view_mut().expect("a tensor that was just made has one owner")
    }

    /// The elements in host memory, of a tensor that is known to lie there.
    pub(crate) fn cpu(&self) -> &[Float] {
        let Buffer::Cpu(buf) = &*self.buf else { panic!("an operation looks at its devices first") };
        &buf.as_slice()[self.offset..self.offset + self.shape.numel()]
    }

    /// Where the elements lie on a CUDA device.
    ///
    /// # Errors
    /// What went wrong when the memory was asked for.
    pub(crate) fn ptr(&self) -> Result<cuda::Ptr<f32>> {
        let (buf, offset) = self.cuda_buffer();
        buf.ptr(offset)
    }

    /// The memory on a CUDA device, and the place of the first element in it.
    pub(crate) fn cuda_buffer(&self) -> (&CudaBuffer, usize) {
        let Buffer::Cuda(buf) = &*self.buf else { panic!("an operation looks at its devices first") };
        (buf, self.offset)
    }
}

impl fmt::Debug for Tensor {
    /// The shape, and the first few elements if they lie on the host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Device::Cuda(cuda) = &self.device {
            return write!(f, "Tensor{} on cuda:{}", self.shape, cuda.ordinal());
        }
        let head = &self.cpu()[..self.numel().min(8)];
        write!(f, "Tensor{} {head:?}{}", self.shape, if self.numel() > 8 { " …" } else { "" })
    }
}

/// Exclusive access to the elements of a tensor, or to a part of them.
pub struct TensorMut<'a> {
    buf: &'a mut Buffer,
    device: &'a Device,
    offset: usize,
    shape: Shape,
}

impl TensorMut<'_> {
    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The extents as named integers; see [`Tensor::dims`].
    ///
    /// # Errors
    /// [`Error::Rank`] if there are not exactly `N` axes.
    pub fn dims<const N: usize>(&self, what: &'static str) -> Result<[usize; N]> {
        self.shape[..].try_into().map_err(|_| Error::Rank { what, expected: N, found: self.shape })
    }

    /// The same access, lent for a shorter time.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { buf: self.buf, device: self.device, offset: self.offset, shape: self.shape }
    }

    /// Entries `start..end` of the leading axis.
    ///
    /// # Errors
    /// [`Error::Range`] if the range passes the end.
    pub fn rows_mut(&mut self, start: usize, end: usize) -> Result<TensorMut<'_>> {
        let bound = self.shape.first().copied().unwrap_or(0);
        if start > end || end > bound {
            return Err(Error::Range { op: "rows", start, end, bound });
        }
        let row = self.numel() / bound.max(1);
        Ok(TensorMut {
            buf: self.buf,
            device: self.device,
            offset: self.offset + start * row,
            shape: self.shape.with_first(end - start),
        })
    }

    /// `shape.numel()` elements from element `start` on.
    ///
    /// # Errors
    /// [`Error::Range`] if it passes the end.
    pub fn flat_mut(&mut self, start: usize, shape: impl Into<Shape>) -> Result<TensorMut<'_>> {
        let shape = shape.into();
        let (end, bound) = (start.saturating_add(shape.numel()), self.numel());
        if end > bound {
            return Err(Error::Range { op: "flat view", start, end, bound });
        }
        Ok(TensorMut { buf: self.buf, device: self.device, offset: self.offset + start, shape })
    }

    /// The device the elements lie on.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// Sets every element to `value`.
    pub fn fill(&mut self, value: Float) {
        match self.device {
            Device::Cpu(_) => parallel::for_chunks(self.cpu_mut(), 1 << 14, |_, part| part.fill(value)),
            Device::Cuda(cuda) => {
                if let Err(error) = cuda::elementwise::fill(cuda, value, self.reborrow()) {
                    cuda.remember(error);
                }
            }
        }
    }

    /// Copies the elements of `source`, which may lie on another device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of elements differ; errors of the device.
    pub fn copy_from(&mut self, source: &Tensor) -> Result<()> {
        match (&source.device, self.device) {
            (Device::Cpu(_), _) => self.copy_from_slice(source.cpu()),
            (Device::Cuda(from), Device::Cuda(to)) if from.is(to) => {
                self.check_length(source.numel())?;
                cuda::copy::copy(to, source, self.reborrow())
            }
            (Device::Cuda(from), _) => self.copy_from_slice(&cuda::copy::read(from, source)?),
        }
    }

    /// Copies the elements of a host slice.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of elements differ.
    pub fn copy_from_slice(&mut self, source: &[Float]) -> Result<()> {
        self.check_length(source.len())?;
        match self.device {
            Device::Cpu(_) => self.cpu_mut().copy_from_slice(source),
            Device::Cuda(cuda) => cuda::copy::write(cuda, source, self.reborrow()),
        }
        Ok(())
    }

    fn check_length(&self, elements: usize) -> Result<()> {
        if elements == self.numel() {
            return Ok(());
        }
        Err(Error::shape("copy", format!("{} elements", self.numel()), elements.to_string()))
    }

    /// The elements in host memory, of a tensor that is known to lie there.
    pub(crate) fn cpu_mut(&mut self) -> &mut [Float] {
        let Buffer::Cpu(buf) = &mut *self.buf else { panic!("an operation looks at its devices first") };
        &mut buf.as_mut_slice()[self.offset..self.offset + self.shape.numel()]
    }

    /// Where the elements lie on a CUDA device.
    ///
    /// # Errors
    /// What went wrong when the memory was asked for.
    pub(crate) fn ptr_mut(&mut self) -> Result<cuda::PtrMut<f32>> {
        let Buffer::Cuda(buf) = &mut *self.buf else { panic!("an operation looks at its devices first") };
        buf.ptr_mut(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_rand::rand_distr::Uniform;
    use rand::SeedableRng;

    fn iota(shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        Tensor::from_vec(&Device::cpu(), (0..shape.numel()).map(|i| i as Float).collect(), shape).unwrap()
    }

    #[test]
    fn views_share_memory() {
        let x = iota([3, 2, 2]);
        assert_eq!(x.rows(1, 3).unwrap().to_vec(), (4..12).map(|i| i as Float).collect::<Vec<_>>());
        assert_eq!(x.step(2).unwrap().shape()[..], [2, 2]);
        assert_eq!(x.step(2).unwrap().step(1).unwrap().to_vec(), [10.0, 11.0]);
        assert_eq!(x.flat(5, [2, 2]).unwrap().to_vec(), [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(x.reshape([12]).unwrap().numel(), 12);
    }

    #[test]
    fn shared_memory_cannot_be_written() {
        let mut x = iota([4]);
        let view = x.rows(0, 2).unwrap();
        assert!(matches!(x.view_mut(), Err(Error::Shared { others: 1, .. })));
        drop(view);
        x.view_mut().unwrap().flat_mut(1, [2]).unwrap().fill(9.0);
        assert_eq!(x.to_vec(), [0.0, 9.0, 9.0, 3.0]);
    }

    #[test]
    fn bad_shapes_are_errors() {
        let x = iota([2, 3]);
        assert!(Tensor::from_slice(&Device::cpu(), &[1.0], [2]).is_err());
        assert!(
            x.dims::<3>("x [A,B,C]")
                .unwrap_err()
                .to_string()
                .contains("x [A,B,C]: expected 3 axes, found shape [2, 3]")
        );
        for result in [x.rows(1, 3), x.rows(2, 1), x.step(2), x.reshape([5]), x.flat(4, [3])] {
            assert!(result.is_err());
        }
        assert!(x.item().is_err());
        let mut y = iota([4]);
        let mut y = y.view_mut().unwrap();
        assert!(y.rows_mut(3, 5).is_err() && y.flat_mut(3, [2]).is_err());
        assert!(y.copy_from_slice(&[1.0]).is_err());
    }

    #[test]
    fn ndarray_round_trip_keeps_logical_order() {
        let x = iota([2, 3]);
        let array = x.to_array();
        let transposed = Tensor::from_array(&Device::cpu(), array.t()).unwrap();
        assert_eq!(transposed.shape()[..], [3, 2]);
        assert_eq!(transposed.to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn random_draws_repeat_by_seed() {
        let draw = |seed| {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            Tensor::random(&Device::cpu(), [50], Uniform::new(-1.0, 1.0).unwrap(), &mut rng).to_vec()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
