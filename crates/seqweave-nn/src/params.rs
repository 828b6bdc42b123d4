//! Named parameters: one flat buffer of values, one of gradients, and an ordered table of names.

use crate::init::{self, Init};
use crate::{Error, Result, pattern};
use seqweave_tensor::ops::{self, Weight};
use seqweave_tensor::{Device, Float, Shape, Tensor, TensorMut};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle on one parameter: its position in the table of the [`Params`] it was declared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(usize);

impl ParamId {
    /// Its position in the table.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// All parameters of a model.
///
/// Values lie behind one another in the order of declaration, gradients likewise, so that zeroing, norms, updates and
/// saving are one pass over one buffer. Layers keep [`ParamId`]s and read through a [`Ctx`](crate::Ctx).
pub struct Params {
    values: Tensor,
    grads: Tensor,
    table: Arc<Table>,
    /// Layouts of weights, one entry a parameter: see [`Params::weight`].
    weights: Vec<Mutex<Option<Weight>>>,
    /// Which parameters do not learn, one entry a parameter.
    frozen: Vec<bool>,
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

    /// Freezes the parameters whose names fit one of `patterns` (see [`pattern_fits`](crate::pattern_fits)), and no others.
    ///
    /// A frozen parameter is a constant: a [`Ctx`](crate::Ctx) puts it on no tape, so nothing is computed for its gradient,
    /// which stays zero, and an [`Optimizer`](crate::Optimizer) that is made afterwards leaves it as it is to the bit.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a pattern that fits nothing; nothing has changed then.
    pub fn freeze(&mut self, patterns: &[String]) -> Result<()> {
        self.frozen = pattern::fitting(patterns, self.table.entries.iter().map(|e| e.name.as_str()))?;
        Ok(())
    }

    /// Whether a parameter does not learn.
    pub fn is_frozen(&self, id: ParamId) -> bool {
        self.frozen.get(id.0).copied().unwrap_or(false)
    }

    /// The number of elements that are frozen.
    pub fn frozen_numel(&self) -> usize {
        self.layout().filter(|(.., frozen)| *frozen).map(|(_, _, len, _)| len).sum()
    }

    /// Exchanges all values for `others`, which has as many elements.
    ///
    /// # Errors
    /// [`Error::ParamsInUse`] while a tape or anybody else holds a view, a tensor error for another number of elements or
    /// another device; nothing has changed then.
    pub fn swap_values(&mut self, others: &mut Tensor) -> Result<()> {
        let (values, _) = self.split_mut()?;
        if others.shape() != values.shape() || !others.device().is(values.device()) {
            let describe = |shape: &Shape, device: &Device| format!("{shape} on {}", device.describe());
            let expected = describe(values.shape(), values.device());
            let found = describe(others.shape(), others.device());
            return Err(seqweave_tensor::Error::shape("values of parameters", expected, found).into());
        }
        std::mem::swap(&mut self.values, others);
        Ok(())
    }

    /// (offset, number of elements) of what is not frozen in the flat buffers; neighbours are one.
    pub(crate) fn learning(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (_, start, len, _) in self.layout().filter(|(.., frozen)| !frozen) {
            match runs.last_mut() {
                Some((first, so_far)) if *first + *so_far == start => *so_far += len,
                _ => runs.push((start, len)),
            }
        }
        runs
    }

    /// (name, offset in the flat buffers, number of elements, whether it is frozen), in the order of declaration.
    pub(crate) fn layout(&self) -> impl Iterator<Item = (&str, usize, usize, bool)> {
        let entries = self.table.entries.iter().zip(&self.frozen);
        entries.map(|(e, &frozen)| (e.name.as_str(), e.offset, e.shape.numel(), frozen))
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
        Ok(self.split_mut()?.0)
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
        // Whoever asks for write access is taken to write: what was laid out from the old values is dropped. First of all,
        // for layouts hold views of the values, which would be in the way.
        self.weights.iter().for_each(|kept| *lock(kept) = None);
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
        let copy = Params::new(self.values.deep_clone(), grads, self.table.clone());
        Params { frozen: self.frozen.clone(), ..copy }
    }

    /// A weight `[M,K]` with its layouts for matrix products, kept until somebody asks for write access to the values.
    ///
    /// A decoder multiplies by the same weights at every token; laying them out costs more than the product of a few
    /// rows. The price is a second copy of the weights in use, and in training a third, unless `Ctx::forward_is_over` lets
    /// go of the copies for forward products before those for backward products are made.
    pub(crate) fn weight(&self, id: ParamId) -> Result<Weight> {
        let value = self.get(id)?;
        // A layout is made when a product asks the weight for it, so nothing takes long under the lock.
        let mut kept = lock(&self.weights[id.0]);
        if kept.is_none() {
            *kept = Some(Weight::new(&value)?);
        }
        Ok(kept.clone().expect("it was just made"))
    }

    /// Lets go of the layouts that forward products take, on the CPU a copy of every weight in use. The next forward pass
    /// makes them anew.
    pub(crate) fn drop_forward_layouts(&self) {
        for kept in &self.weights {
            if let Some(weight) = &mut *lock(kept) {
                weight.drop_transposed();
            }
        }
    }

    fn new(values: Tensor, grads: Tensor, table: Arc<Table>) -> Params {
        let weights = table.entries.iter().map(|_| Mutex::default()).collect();
        let frozen = vec![false; table.entries.len()];
        Params { values, grads, table, weights, frozen }
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

fn lock(kept: &Mutex<Option<Weight>>) -> MutexGuard<'_, Option<Weight>> {
    // A panic elsewhere cannot leave a weight in a bad state.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The names declared so far, in the order of declaration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().map(|(name, ..)| name.as_str())
    }

    /// Number of scalar parameters declared so far.
    pub fn numel(&self) -> usize {
        self.declared.iter().map(|(_, shape, _)| shape.numel()).sum()
    }

    /// Checks that `device` has memory for `copies` numbers a parameter, such as its value and its gradient.
    ///
    /// # Errors
    /// [`Error::TooLarge`]
    pub fn check_memory(&self, device: &Device, copies: usize) -> Result<()> {
        let (parameters, available) = (self.numel(), device.available_memory());
        let needed = (parameters as u64).saturating_mul((copies * size_of::<Float>()) as u64);
        if needed > available {
            return Err(Error::TooLarge { parameters, needed, available });
        }
        Ok(())
    }

    /// Allocates the buffers and draws the values.
    ///
    /// The random stream of a parameter depends on `seed` and its name only, not on what else the model has.
    ///
    /// # Errors
    /// [`Error::TooLarge`] before anything is allocated, [`Error::DuplicateParam`], [`Error::Init`]
    pub fn build(self, device: &Device, seed: u64) -> Result<Params> {
        // A value and its gradient, the value as it was drawn, and as much for an orthogonal matrix in f64.
        self.check_memory(device, 4)?;
        let mut table = Table { entries: Vec::new(), by_name: HashMap::new() };
        let mut values = Vec::with_capacity(self.numel());
        for (name, shape, init) in self.declared {
            if table.by_name.insert(name.clone(), table.entries.len()).is_some() {
                return Err(Error::DuplicateParam { name });
            }
            let offset = values.len();
            init::draw(&mut values, &init, &shape, seed, &name)?;
            table.entries.push(Entry { name, shape, offset });
        }
        let n = values.len();
        let grads = Tensor::zeros(device, [n]);
        Ok(Params::new(Tensor::from_vec(device, values, [n])?, grads, Arc::new(table)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_drops_the_layouts_and_a_held_one_is_in_its_way() {
        let mut builder = ParamsBuilder::new();
        let id = builder.root().param("w", [3, 2], Init::Constant(1.0));
        let mut params = builder.build(&Device::cpu(), 0).unwrap();
        let held = params.weight(id).unwrap();
        held.transposed();
        assert!(matches!(params.set_by_name("w", &[2.0; 6]), Err(Error::ParamsInUse { .. })));
        drop(held);
        params.set_by_name("w", &[2.0; 6]).unwrap();
        assert_eq!(params.weight(id).unwrap().value().to_vec(), [2.0; 6]);
    }

    #[test]
    fn the_end_of_a_forward_pass_drops_its_layouts_and_keeps_those_of_the_backward_pass() {
        let mut builder = ParamsBuilder::new();
        let id = builder.root().param("w", [3, 2], Init::Constant(1.0));
        let params = builder.build(&Device::cpu(), 0).unwrap();
        let before = params.weight(id).unwrap();
        let of_a_rule = before.for_backward();
        let again = params.weight(id).unwrap();
        assert!(std::ptr::eq(before.transposed(), again.transposed()), "made once");

        params.drop_forward_layouts();
        let after = params.weight(id).unwrap();
        assert!(!std::ptr::eq(before.transposed(), after.transposed()), "made anew");
        assert!(std::ptr::eq(of_a_rule.plain(), after.plain()), "that of the backward pass stays");
    }

    fn small() -> (Params, [ParamId; 3]) {
        let mut builder = ParamsBuilder::new();
        let mut root = builder.root();
        let a = root.param("a", [2], Init::Constant(1.0));
        let mut layer = root.sub("layer");
        let empty = layer.param("empty", [0, 3], Init::Zeros);
        let b = layer.sub("l0").param("b", [2, 2], Init::Constant(2.0));
        (builder.build(&Device::cpu(), 0).unwrap(), [a, empty, b])
    }

    #[test]
    fn parameters_lie_behind_one_another_in_the_order_of_declaration() {
        let (params, [a, empty, b]) = small();
        assert_eq!(params.names().collect::<Vec<_>>(), ["a", "layer.empty", "layer.l0.b"]);
        assert_eq!(params.values().to_vec(), [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!((params.len(), params.numel()), (3, 6));
        assert_eq!(params.get(b).unwrap().shape()[..], [2, 2]);
        assert_eq!(params.get(empty).unwrap().numel(), 0);
        assert_eq!(params.id("a").unwrap(), a);
        let sizes: Vec<usize> = params.iter().map(|(_, _, view)| view.numel()).collect();
        assert_eq!(sizes, [2, 0, 4]);
    }

    #[test]
    fn values_are_set_by_name() {
        let (mut params, [a, _, b]) = small();
        params.set_by_name("layer.l0.b", &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(params.get(b).unwrap().to_vec(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(params.get(a).unwrap().to_vec(), [1.0, 1.0]);
        let message = params.set_by_name("a", &[1.0]).unwrap_err().to_string();
        assert_eq!(message, "parameter `a`: expected 2 values for shape [2], found 1");
        let message = params.set_by_name("b", &[1.0]).unwrap_err().to_string();
        assert_eq!(message, "there is no parameter `b`; the model has 3 parameters, the first is `a`");
    }

    #[test]
    fn a_view_keeps_writers_out_until_it_is_dropped() {
        let (mut params, [a, ..]) = small();
        let view = params.get(a).unwrap();
        for result in [params.values_mut().map(|_| ()), params.split_mut().map(|_| ())] {
            assert!(matches!(result, Err(Error::ParamsInUse { others: 1 })));
        }
        assert!(matches!(params.set_by_name("a", &[0.0, 0.0]), Err(Error::ParamsInUse { others: 1 })));
        drop(view);
        params.set_by_name("a", &[0.0, 0.0]).unwrap();
    }

    #[test]
    fn gradients_have_a_norm_and_name_what_is_not_finite() {
        let (mut params, _) = small();
        params.grads_mut().view_mut().unwrap().copy_from_slice(&[0.0, 0.0, 3.0, 0.0, 0.0, 4.0]).unwrap();
        assert_eq!(params.grad_norm().unwrap(), 5.0);
        assert_eq!(params.non_finite_grad().unwrap(), None);
        for (at, name) in [(1, "a"), (2, "layer.l0.b"), (5, "layer.l0.b")] {
            params.zero_grad().unwrap();
            let mut grads = params.grads().to_vec();
            grads[at] = Float::INFINITY;
            params.grads_mut().view_mut().unwrap().copy_from_slice(&grads).unwrap();
            assert_eq!(params.non_finite_grad().unwrap(), Some(name));
        }
        params.zero_grad().unwrap();
        assert_eq!(params.grad_norm().unwrap(), 0.0);
    }

    #[test]
    fn a_deep_clone_is_independent() {
        let (mut params, [a, ..]) = small();
        let mut copy = params.deep_clone();
        copy.set_by_name("a", &[7.0, 8.0]).unwrap();
        assert_eq!(params.get(a).unwrap().to_vec(), [1.0, 1.0]);
        params.set_by_name("a", &[5.0, 5.0]).unwrap();
        assert_eq!(copy.get(a).unwrap().to_vec(), [7.0, 8.0]);
    }

    #[test]
    fn values_depend_on_seed_and_name_and_not_on_the_rest_of_the_model() {
        let build = |seed, before: usize| {
            let mut builder = ParamsBuilder::new();
            if before > 0 {
                builder.root().param("before", [before], Init::Normal(1.0));
            }
            builder.root().sub("x").param("w", [4], Init::Normal(1.0));
            builder.build(&Device::cpu(), seed).unwrap().by_name("x.w").unwrap().to_vec()
        };
        assert_eq!(build(1, 0), build(1, 5));
        assert_ne!(build(1, 0), build(2, 0));
    }

    #[test]
    fn a_model_beyond_the_memory_is_refused_before_it_is_allocated() {
        let mut builder = ParamsBuilder::new();
        for layer in 0..100 {
            builder.root().param(&format!("w{layer}"), [1 << 20, 1 << 20], Init::XavierUniform);
        }
        assert_eq!(builder.numel(), 100 << 40);
        builder.check_memory(&Device::cpu(), 0).unwrap();
        let Err(error) = builder.build(&Device::cpu(), 0) else { panic!("it was built") };
        let Error::TooLarge { parameters, needed, available } = &error else { panic!("{error}") };
        assert_eq!((*parameters, *needed), (100 << 40, (100 << 40) * 4 * size_of::<Float>() as u64));
        assert!(*available > 0 && available < needed);
        let message = error.to_string();
        let gigabytes = format!("{:.2} GB are available", *available as f64 / 1e9);
        assert!(message.contains("109951162777600 parameters") && message.contains(&gigabytes), "{message}");
    }

    #[test]
    fn names_must_differ_and_ids_must_belong() {
        let mut builder = ParamsBuilder::new();
        builder.root().sub("l").param("w", [1], Init::Zeros);
        builder.root().param("l.w", [1], Init::Zeros);
        let message = builder.build(&Device::cpu(), 0).unwrap_err().to_string();
        assert!(message.contains("`l.w` is defined twice"), "{message}");

        let (params, [.., b]) = small();
        let mut builder = ParamsBuilder::new();
        builder.root().param("only", [1], Init::Zeros);
        let smaller = builder.build(&Device::cpu(), 0).unwrap();
        assert!(matches!(smaller.get(b), Err(Error::UnknownParam { count: 1, .. })));
        assert!(params.get(b).is_ok());
    }
}
