//! Named parameters: one flat buffer of values, one of gradients, and an ordered table of names.

use crate::init::{self, Init};
use crate::{Error, Result};
use seqweave_tensor::{Device, Float, Shape, Tensor, TensorMut, ops};
use std::collections::HashMap;
use std::sync::Arc;

/// A handle on one parameter: its position in the table of the [`Params`] it was declared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(usize);

/// All parameters of a model.
///
/// Values lie behind one another in the order of declaration, gradients likewise, so that zeroing, norms, updates and
/// saving are one pass over one buffer. Layers keep [`ParamId`]s and read through a [`Ctx`](crate::Ctx).
pub struct Params {
    values: Tensor,
    grads: Tensor,
    table: Arc<Table>,
}

struct Table {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

struct Entry {
    name: String,
    shape: Shape,
    offset: usize,
}

impl Entry {
    fn view(&self, flat: &Tensor) -> Tensor {
        flat.flat(self.offset, self.shape).expect("the table was laid out over this buffer")
    }
}

impl Params {
    /// Number of scalar parameters.
    pub fn numel(&self) -> usize {
        self.values.numel()
    }

    /// Number of named parameters.
    pub fn len(&self) -> usize {
        self.table.entries.len()
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device all parameters live on.
    pub fn device(&self) -> &Device {
        self.values.device()
    }

    /// Names in the order of declaration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.entries.iter().map(|e| e.name.as_str())
    }

    /// (name, shape, view of the value) of each parameter, in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Shape, Tensor)> {
        self.table.entries.iter().map(|e| (e.name.as_str(), &e.shape, e.view(&self.values)))
    }

    /// A view of one value. The optimizer cannot write while it is alive.
    ///
    /// # Errors
    /// [`Error::UnknownParam`] if `id` was made for a larger model.
    pub fn get(&self, id: ParamId) -> Result<Tensor> {
        Ok(self.entry(id)?.view(&self.values))
    }

    /// A view of one gradient.
    ///
    /// # Errors
    /// [`Error::UnknownParam`] if `id` was made for a larger model.
    pub fn grad(&self, id: ParamId) -> Result<Tensor> {
        Ok(self.entry(id)?.view(&self.grads))
    }

    /// The handle of a name.
    ///
    /// # Errors
    /// [`Error::UnknownParam`]
    pub fn id(&self, name: &str) -> Result<ParamId> {
        let position = self.table.by_name.get(name).copied();
        position.map(ParamId).ok_or_else(|| self.unknown(name.to_owned()))
    }

    /// A view of the value called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownParam`]
    pub fn by_name(&self, name: &str) -> Result<Tensor> {
        self.get(self.id(name)?)
    }

    /// A view of the gradient of the parameter called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownParam`]
    pub fn grad_by_name(&self, name: &str) -> Result<Tensor> {
        self.grad(self.id(name)?)
    }

    /// Overwrites the value called `name`, row-major.
    ///
    /// # Errors
    /// [`Error::UnknownParam`], [`Error::ParamLength`], [`Error::ParamsInUse`]
    pub fn set_by_name(&mut self, name: &str, values: &[Float]) -> Result<()> {
        let ParamId(at) = self.id(name)?;
        let table = self.table.clone();
        let Entry { shape, offset, .. } = &table.entries[at];
        if values.len() != shape.numel() {
            let (expected, found) = (shape.numel(), values.len());
            return Err(Error::ParamLength { name: name.to_owned(), shape: *shape, expected, found });
        }
        let mut flat = self.values_mut()?;
        Ok(flat.flat_mut(*offset, *shape)?.copy_from_slice(values)?)
    }

    /// All values behind one another.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// All gradients behind one another.
    pub fn grads(&self) -> &Tensor {
        &self.grads
    }

    /// Write access to all values.
    ///
    /// # Errors
    /// [`Error::ParamsInUse`] while a tape or anybody else holds a view.
    pub fn values_mut(&mut self) -> Result<TensorMut<'_>> {
        in_use(self.values.view_mut())
    }

    /// The gradient buffer, to be handed to [`Tape::backward`](seqweave_autograd::Tape::backward).
    pub fn grads_mut(&mut self) -> &mut Tensor {
        &mut self.grads
    }

    /// Values to write and gradients to read, at once: what an optimizer needs.
    ///
    /// # Errors
    /// [`Error::ParamsInUse`] while a tape or anybody else holds a view of a value.
    pub fn split_mut(&mut self) -> Result<(TensorMut<'_>, &Tensor)> {
        Ok((in_use(self.values.view_mut())?, &self.grads))
    }

    /// Sets all gradients to zero.
    ///
    /// # Errors
    /// [`Error::ParamsInUse`] while somebody holds a view of a gradient.
    pub fn zero_grad(&mut self) -> Result<()> {
        in_use(self.grads.view_mut())?.fill(0.0);
        Ok(())
    }

    /// Euclidean norm of all gradients together.
    ///
    /// # Errors
    /// A tensor error from the device.
    pub fn grad_norm(&self) -> Result<f64> {
        Ok(ops::sum_squares(&self.grads)?.sqrt())
    }

    /// The first parameter whose gradient holds an infinity or a NaN.
    ///
    /// # Errors
    /// A tensor error from the device.
    pub fn non_finite_grad(&self) -> Result<Option<&str>> {
        let Some(at) = ops::first_non_finite(&self.grads)? else { return Ok(None) };
        let entries = &self.table.entries;
        let after = entries.partition_point(|e| e.offset <= at);
        // Parameters without elements share an offset with their successor, which partition_point skips to.
        Ok(Some(&entries[after - 1].name))
    }

    /// The same parameters in buffers of their own, with zero gradients: for averages and snapshots.
    pub fn deep_clone(&self) -> Params {
        let grads = Tensor::zeros(self.device(), [self.numel()]);
        Params { values: self.values.deep_clone(), grads, table: self.table.clone() }
    }

    /// Where a parameter's gradient lies in the flat buffer.
    pub(crate) fn offset(&self, id: ParamId) -> Result<usize> {
        Ok(self.entry(id)?.offset)
    }

    fn entry(&self, id: ParamId) -> Result<&Entry> {
        self.table.entries.get(id.0).ok_or_else(|| self.unknown(format!("#{}", id.0)))
    }

    fn unknown(&self, name: String) -> Error {
        let first = self.names().next().unwrap_or("(none)").to_owned();
        Error::UnknownParam { name, count: self.len(), first }
    }
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Params({} names, {} elements)", self.len(), self.numel())
    }
}

fn in_use(view: seqweave_tensor::Result<TensorMut<'_>>) -> Result<TensorMut<'_>> {
    view.map_err(|e| match e {
        seqweave_tensor::Error::Shared { others, .. } => Error::ParamsInUse { others },
        other => other.into(),
    })
}

/// Collects the declarations of a model's parameters.
///
/// ```
/// use seqweave_nn::{Init, ParamsBuilder};
/// use seqweave_tensor::Device;
///
/// let mut builder = ParamsBuilder::new();
/// let mut root = builder.root();
/// let mut encoder = root.sub("encoder");
/// let weight = encoder.param("weight", [3, 2], Init::XavierUniform);
/// let bias = encoder.param("bias", [3], Init::Zeros);
/// let params = builder.build(&Device::cpu(), 42)?;
/// assert_eq!(params.names().collect::<Vec<_>>(), ["encoder.weight", "encoder.bias"]);
/// assert_eq!(params.get(bias)?.to_vec(), [0.0; 3]);
/// # Ok::<(), seqweave_nn::Error>(())
/// ```
#[derive(Default)]
pub struct ParamsBuilder {
    declared: Vec<(String, Shape, Init)>,
}

impl ParamsBuilder {
    /// A builder without declarations.
    pub fn new() -> Self {
        Self::default()
    }

    /// The scope whose names have no prefix.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { builder: self, prefix: String::new() }
    }

    /// Allocates the buffers and draws the values.
    ///
    /// The random stream of a parameter depends on `seed` and its name only, not on what else the model has.
    ///
    /// # Errors
    /// [`Error::DuplicateParam`], [`Error::Init`]
    pub fn build(self, device: &Device, seed: u64) -> Result<Params> {
        let mut table = Table { entries: Vec::new(), by_name: HashMap::new() };
        let mut values = Vec::new();
        for (name, shape, init) in self.declared {
            if table.by_name.insert(name.clone(), table.entries.len()).is_some() {
                return Err(Error::DuplicateParam { name });
            }
            let offset = values.len();
            values.extend(init::draw(&init, &shape, seed, &name)?);
            table.entries.push(Entry { name, shape, offset });
        }
        let n = values.len();
        let grads = Tensor::zeros(device, [n]);
        Ok(Params { values: Tensor::from_vec(device, values, [n])?, grads, table: Arc::new(table) })
    }
}

/// A dotted prefix under which a layer declares its parameters.
pub struct Scope<'a> {
    builder: &'a mut ParamsBuilder,
    prefix: String,
}

impl Scope<'_> {
    /// The scope `name` inside this one: its parameters are called `prefix.name.…`.
    pub fn sub(&mut self, name: &str) -> Scope<'_> {
        Scope { prefix: self.full(name), builder: self.builder }
    }

    /// Declares a parameter; its value is drawn by [`ParamsBuilder::build`].
    pub fn param(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> ParamId {
        let name = self.full(name);
        self.builder.declared.push((name, shape.into(), init));
        ParamId(self.builder.declared.len() - 1)
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}
