//! The tape: a flat list of rules, pushed in execution order and popped from the end.
//!
//! The order in which operations run is a topological order of their graph, so replaying needs no sort, no recursion
//! and no map: [`Tape::backward`] pops the last node, calls its rule with the gradient of its outputs, and drops it
//! together with whatever the rule had saved, factors of put-off products excepted. (Wengert 1964, "A simple automatic derivative evaluation program".)

use crate::{Error, Result, Var};
use seqweave_tensor::Trans::{N, T};
use seqweave_tensor::{Acc, Device, Shape, Tensor, TensorMut, ops};
use std::cell::RefCell;
use std::rc::Rc;

/// The record of one forward computation. Make one per training step.
///
/// Rules hold tensors and never variables, so a tape cannot keep itself alive.
#[derive(Default)]
pub struct Tape {
    log: RefCell<Log>,
}

#[derive(Default)]
struct Log {
    nodes: Vec<Node>,
    /// The inputs of all nodes behind one another: a list for each node would be an allocation for each.
    /// `None` stands for an input that needs no gradient.
    edges: Vec<Option<Edge>>,
    /// Number of gradient slots handed out so far, to leaves and to outputs of nodes.
    slots: usize,
    consumed: bool,
}

/// Where the gradient of a variable is collected.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Target {
    /// In a slot of this tape.
    Slot(usize),
    /// In the flat gradient buffer, from this element on.
    Param { offset: usize },
}

/// One recorded operation.
struct Node {
    /// Slots of the outputs: `first_output .. first_output + outputs`.
    first_output: usize,
    outputs: usize,
    /// Where its inputs begin among the edges; they end where those of the next node begin.
    first_input: usize,
    rule: Rule,
}

#[derive(Clone, Copy)]
struct Edge {
    target: Target,
    shape: Shape,
}

/// It takes the gradients of the outputs out of the list.
type Rule = Box<dyn FnOnce(&mut [Option<Tensor>], &mut Grads<'_>) -> Result<()>>;

impl Tape {
    /// An empty tape.
    #[allow(clippy::new_ret_no_self)] // variables share the tape, so it is born inside its `Rc`
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    /// A variable whose gradient `backward` returns in [`Gradients`].
    pub fn leaf(self: &Rc<Self>, value: Tensor) -> Var {
        let slot = self.log.borrow_mut().take_slots(1);
        Var::on_tape(value, self.clone(), Target::Slot(slot))
    }

    /// A parameter: its gradient is added into the flat gradient buffer, from element `flat_offset` on.
    ///
    /// The same parameter may enter a tape any number of times; the contributions add up.
    pub fn param(self: &Rc<Self>, value: Tensor, flat_offset: usize) -> Var {
        Var::on_tape(value, self.clone(), Target::Param { offset: flat_offset })
    }

    /// Number of recorded operations.
    pub fn len(&self) -> usize {
        self.log.borrow().nodes.len()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replays the tape from `loss` (one number) and frees its nodes.
    ///
    /// Gradients of leaves are returned; gradients of parameters are *added* to `flat`, which must be given if there are
    /// parameters on the path. After this call the tape is consumed, also when it failed.
    ///
    /// # Errors
    /// [`Error::NotScalar`], [`Error::NotOnTape`], [`Error::TapeConsumed`], [`Error::NoFlatBuffer`], or a tensor error
    /// from a rule or because `flat` is shared or too short.
    pub fn backward(self: &Rc<Self>, loss: &Var, flat: Option<&mut Tensor>) -> Result<Gradients> {
        let target = loss.loss_slot(self)?;
        let (mut nodes, edges, slots) = self.log.borrow_mut().consume()?;
        let device = loss.value().device().clone();
        let mut grads = Grads {
            first_input: edges.len(),
            edges,
            slots: std::iter::repeat_with(|| None).take(slots).collect(),
            flat: flat.map(|t| t.view_mut()).transpose()?,
            device: &device,
            put_off: Vec::new(),
        };
        let seed = Tensor::full(&device, *loss.shape(), 1.0);
        grads.edges.push(Some(Edge { target, shape: *loss.shape() }));
        grads.give(Input(0), seed)?;
        let mut dys: Vec<Option<Tensor>> = Vec::new();
        while let Some(node) = nodes.pop() {
            grads.edges.truncate(grads.first_input);
            grads.first_input = node.first_input;
            let outputs = node.first_output..node.first_output + node.outputs;
            dys.extend(grads.slots[outputs].iter_mut().map(Option::take));
            // An operation the loss does not depend on is dropped without a call.
            if dys.iter().any(Option::is_some) {
                (node.rule)(&mut dys, &mut grads)?;
            }
            dys.clear();
        }
        grads.finish_products()?;
        Ok(Gradients { tape: self.clone(), slots: grads.slots })
    }

    /// Appends a node with one output a value and returns the outputs.
    fn push<const M: usize>(
        self: &Rc<Self>,
        values: [Tensor; M],
        inputs: impl Iterator<Item = Option<Edge>>,
        rule: Rule,
    ) -> Result<[Var; M]> {
        let mut log = self.log.borrow_mut();
        if log.consumed {
            return Err(Error::TapeConsumed);
        }
        let (first_output, first_input) = (log.take_slots(M), log.edges.len());
        log.edges.extend(inputs);
        log.nodes.push(Node { first_output, outputs: M, first_input, rule });
        drop(log);
        let mut slots = first_output..;
        let mut slot = || slots.next().expect("a node has a slot an output");
        Ok(values.map(|value| Var::on_tape(value, self.clone(), Target::Slot(slot()))))
    }
}

impl Log {
    fn take_slots(&mut self, n: usize) -> usize {
        self.slots += n;
        self.slots - n
    }

    fn consume(&mut self) -> Result<(Vec<Node>, Vec<Option<Edge>>, usize)> {
        if std::mem::replace(&mut self.consumed, true) {
            return Err(Error::TapeConsumed);
        }
        Ok((std::mem::take(&mut self.nodes), std::mem::take(&mut self.edges), self.slots))
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log.borrow();
        write!(f, "Tape({} nodes, {} slots, consumed: {})", log.nodes.len(), log.slots, log.consumed)
    }
}

/// Gradients of the leaves, as returned by [`Tape::backward`].
pub struct Gradients {
    tape: Rc<Tape>,
    slots: Vec<Option<Tensor>>,
}

impl Gradients {
    /// d loss / d `leaf`, shaped like the leaf; `None` if the loss does not depend on it or it is not a leaf of the tape.
    pub fn get(&self, leaf: &Var) -> Option<&Tensor> {
        match leaf.place() {
            Some((tape, Target::Slot(slot))) if Rc::ptr_eq(tape, &self.tape) => {
                self.slots.get(slot)?.as_ref()
            }
            _ => None,
        }
    }
}

/// A rule's handle on one of its inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Input(usize);

/// Where a rule leaves the gradients of its inputs.
///
/// A rule either writes into a destination ([`accumulate`](Self::accumulate)) or hands over a tensor it already has
/// ([`give`](Self::give)). Both do nothing for an input that needs no gradient.
pub struct Grads<'a> {
    /// The inputs of the nodes that are left, those of the present one from `first_input` on.
    edges: Vec<Option<Edge>>,
    first_input: usize,
    slots: Vec<Option<Tensor>>,
    flat: Option<TensorMut<'a>>,
    device: &'a Device,
    /// Products of parameter gradients that wait for more rows or the end of the pass, in the order in which they came.
    put_off: Vec<Product>,
}

/// The gradient of one weight as a sum of products aᵀ·b.
struct Product {
    offset: usize,
    shape: Shape,
    /// (a: `[..,M]`, b: `[..,K]`) with equally many rows.
    factors: Vec<(Tensor, Tensor)>,
    /// Rows of all factors.
    rows: usize,
}

/// Rows from which on a product is worth making, alone or of what has been put off.
const ROWS_ENOUGH: usize = 512;

impl Grads<'_> {
    /// Whether the gradient of `input` is needed: a rule asks before an expensive computation.
    pub fn wants(&self, input: Input) -> bool {
        self.edge(input).is_some()
    }

    fn edge(&self, input: Input) -> Option<Edge> {
        self.edges[self.first_input + input.0]
    }

    /// Hands out the destination of the gradient of `input` and says whether to overwrite it or to add to it.
    ///
    /// The first contribution to an activation overwrites; later ones, and all those of parameters, add.
    pub fn accumulate(
        &mut self,
        input: Input,
        write: impl FnOnce(TensorMut<'_>, Acc) -> seqweave_tensor::Result<()>,
    ) -> Result<()> {
        let Some(edge) = self.edge(input) else { return Ok(()) };
        match edge.target {
            Target::Param { offset } => {
                let flat = self.flat.as_mut().ok_or(Error::NoFlatBuffer { offset })?;
                write(flat.flat_mut(offset, edge.shape)?, Acc::Add)?;
            }
            Target::Slot(slot) => match &mut self.slots[slot] {
                Some(sum) => write(owned(sum)?, Acc::Add)?,
                empty => {
                    let mut fresh = Tensor::scratch(self.device, edge.shape);
                    write(fresh.view_mut()?, Acc::Set)?;
                    *empty = Some(fresh);
                }
            },
        }
        Ok(())
    }

    /// Like [`accumulate`](Self::accumulate) for a rule that touches a part of the destination only: it always adds,
    /// and a first contribution finds zeros.
    pub fn accumulate_part(
        &mut self,
        input: Input,
        write: impl FnOnce(TensorMut<'_>) -> seqweave_tensor::Result<()>,
    ) -> Result<()> {
        self.accumulate(input, |mut dst, acc| {
            if let Acc::Set = acc {
                dst.fill(0.0);
            }
            write(dst)
        })
    }

    /// Adds aᵀ·b to the gradient of `input` `[M,K]`, with a: `[..,M]` and b: `[..,K]` of equally many rows.
    ///
    /// Products of few rows are put off until those of one parameter have rows enough, or the tape is done, and made as
    /// one: a decoder that steps through time would otherwise read and write the whole gradient of a weight at every
    /// step. Until then their factors are kept.
    ///
    /// # Errors
    /// A tensor error if the rows differ or the product is not shaped like the input; [`Error::NoFlatBuffer`].
    pub fn accumulate_product(&mut self, input: Input, a: Tensor, b: Tensor) -> Result<()> {
        let (rows, rows_b) = (a.shape().rows_and_columns().0, b.shape().rows_and_columns().0);
        let Some(Edge { target: Target::Param { offset }, shape }) = self.edge(input) else {
            return self.accumulate(input, |dst, acc| ops::gemm(&a, T, &b, N, acc, dst));
        };
        // Unequal rows are left to the product, whose error names the shapes.
        if rows >= ROWS_ENOUGH || rows != rows_b {
            return self.accumulate(input, |dst, acc| ops::gemm(&a, T, &b, N, acc, dst));
        }
        let known = self.put_off.iter().position(|p| (p.offset, p.shape) == (offset, shape));
        let at = known.unwrap_or(self.put_off.len());
        if known.is_none() {
            self.put_off.push(Product { offset, shape, factors: Vec::new(), rows: 0 });
        }
        let product = &mut self.put_off[at];
        product.factors.push((a, b));
        product.rows += rows;
        if product.rows < ROWS_ENOUGH {
            return Ok(());
        }
        let product = self.put_off.remove(at);
        self.make(product)
    }

    /// Makes the products that are still put off.
    fn finish_products(&mut self) -> Result<()> {
        std::mem::take(&mut self.put_off).into_iter().try_for_each(|product| self.make(product))
    }

    /// Makes a product that was put off. Rules run from the last operation to the first, so the factors are taken from
    /// the back: their rows then stand in the order of the forward pass.
    fn make(&mut self, Product { offset, shape, factors, .. }: Product) -> Result<()> {
        let flat = self.flat.as_mut().ok_or(Error::NoFlatBuffer { offset })?;
        let (a, b) = match <[_; 1]>::try_from(factors) {
            Ok([(a, b)]) => (a, b),
            Err(factors) => {
                let joined = |pick: fn(&(Tensor, Tensor)) -> &Tensor| -> Result<Tensor> {
                    let parts: Result<Vec<Tensor>> = factors.iter().rev().map(|f| as_rows(pick(f))).collect();
                    Ok(ops::concat_first(&parts?.iter().collect::<Vec<_>>())?)
                };
                (joined(|f| &f.0)?, joined(|f| &f.1)?)
            }
        };
        Ok(ops::gemm(&a, T, &b, N, Acc::Add, flat.flat_mut(offset, shape)?)?)
    }

    /// Hands over a finished gradient of `input`: moved in if it is the first contribution, added otherwise.
    pub fn give(&mut self, input: Input, grad: Tensor) -> Result<()> {
        let Some(edge) = self.edge(input) else { return Ok(()) };
        if grad.shape() != &edge.shape {
            let (expected, found) = (edge.shape, *grad.shape());
            return Err(Error::GradientShape { input: input.0, expected, found });
        }
        if let Target::Slot(slot) = edge.target
            && self.slots[slot].is_none()
        {
            self.slots[slot] = Some(grad);
            return Ok(());
        }
        self.accumulate(input, |dst, _| ops::axpy(1.0, &grad, dst))
    }
}

/// `[..,C]` as `[N,C]`.
fn as_rows(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.shape().rows_and_columns();
    Ok(x.reshape([rows, columns])?)
}

/// A writable view of `sum`, which is copied first if somebody else holds its buffer too.
///
/// A gradient is shared when one rule gave the same tensor to two inputs, as addition does.
fn owned(sum: &mut Tensor) -> Result<TensorMut<'_>> {
    if sum.view_mut().is_err() {
        *sum = sum.deep_clone();
    }
    Ok(sum.view_mut()?)
}

/// Records an operation with one output.
///
/// `value` is the result, `inputs` are what it was computed from (an input may be an `Option`, for a bias that need not
/// be there), and `rule` receives the gradient of the output, one handle an input, and the place to leave gradients.
/// If no input needs a gradient the result is a constant and `rule` is dropped.
///
/// ```
/// use seqweave_autograd::{Result, Tape, Var, record};
/// use seqweave_tensor::{Device, Tensor, ops};
///
/// /// y = x², dx = 2·x·dy
/// fn square(x: &Var) -> Result<Var> {
///     let xv = x.value().clone();
///     record(ops::mul(&xv, &xv)?, [x], move |dy, [x], g| {
///         g.give(x, ops::scale(&ops::mul(&xv, &dy)?, 2.0)?)
///     })
/// }
///
/// let tape = Tape::new();
/// let x = tape.leaf(Tensor::scalar(&Device::cpu(), 3.0));
/// let y = square(&x)?;
/// let gradients = tape.backward(&y, None)?;
/// assert_eq!(gradients.get(&x).unwrap().item()?, 6.0);
/// # Ok::<(), seqweave_autograd::Error>(())
/// ```
///
/// # Errors
/// [`Error::MixedTapes`] if two inputs are on different tapes, [`Error::TapeConsumed`] after `backward`.
pub fn record<'v, V, R, const N: usize>(value: Tensor, inputs: [V; N], rule: R) -> Result<Var>
where
    V: Into<Option<&'v Var>>,
    R: FnOnce(Tensor, [Input; N], &mut Grads<'_>) -> Result<()> + 'static,
{
    // The rule of a node runs only if some output has a gradient; with one output it is that one.
    let [y] = record_many([value], inputs, move |[dy], inputs, g| match dy {
        Some(dy) => rule(dy, inputs, g),
        None => Ok(()),
    })?;
    Ok(y)
}

/// Records an operation with several outputs as one node, such as `y, h_n, c_n` of a recurrent layer.
///
/// The rule receives one gradient an output; `None` for an output the loss does not depend on.
///
/// # Errors
/// As [`record`].
pub fn record_many<'v, V, R, const M: usize, const N: usize>(
    values: [Tensor; M],
    inputs: [V; N],
    rule: R,
) -> Result<[Var; M]>
where
    V: Into<Option<&'v Var>>,
    R: FnOnce([Option<Tensor>; M], [Input; N], &mut Grads<'_>) -> Result<()> + 'static,
{
    let inputs: [Option<&Var>; N] = inputs.map(Into::into);
    push(values, inputs.iter().copied(), move |dys, g| {
        rule(std::array::from_fn(|i| dys[i].take()), std::array::from_fn(Input), g)
    })
}

/// Records an operation on a list of inputs whose length is known at run time, such as a concatenation.
///
/// # Errors
/// As [`record`].
pub fn record_list<R>(value: Tensor, inputs: &[&Var], rule: R) -> Result<Var>
where
    R: FnOnce(Tensor, &[Input], &mut Grads<'_>) -> Result<()> + 'static,
{
    let handles: Vec<Input> = (0..inputs.len()).map(Input).collect();
    let [y] = push([value], inputs.iter().copied().map(Some), move |dys, g| match dys[0].take() {
        Some(dy) => rule(dy, &handles, g),
        None => Ok(()),
    })?;
    Ok(y)
}

/// Appends a node to the tape of its inputs; outputs are constants if no input has one.
fn push<'v, R, const M: usize>(
    values: [Tensor; M],
    inputs: impl Iterator<Item = Option<&'v Var>> + Clone,
    rule: R,
) -> Result<[Var; M]>
where
    R: FnOnce(&mut [Option<Tensor>], &mut Grads<'_>) -> Result<()> + 'static,
{
    let mut places = inputs.clone().flatten().filter_map(|v| v.place());
    let Some((tape, _)) = places.next() else {
        return Ok(values.map(Var::constant));
    };
    if places.any(|(other, _)| !Rc::ptr_eq(tape, other)) {
        return Err(Error::MixedTapes);
    }
    let edge = |v: &Var| v.place().map(|(_, target)| Edge { target, shape: *v.shape() });
    tape.push(values, inputs.map(|v| v.and_then(edge)), Box::new(rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{add, mul, scale, sum};
    use seqweave_tensor::Float;
    use std::cell::Cell;

    fn tensor(values: &[Float]) -> Tensor {
        Tensor::from_slice(&Device::cpu(), values, [values.len()]).unwrap()
    }

    #[test]
    fn contributions_to_a_leaf_add_up() {
        let tape = Tape::new();
        let x = tape.leaf(tensor(&[2.0, 3.0]));
        // x·x + 4x: two contributions from one node, one from another.
        let loss = sum(&add(&mul(&x, &x).unwrap(), &scale(&x, 4.0).unwrap()).unwrap()).unwrap();
        let gradients = tape.backward(&loss, None).unwrap();
        assert_eq!(gradients.get(&x).unwrap().to_vec(), [8.0, 10.0]);
    }

    /// y = x·wᵀ with a whole-number x of `rows` rows, whose weight gradient is a product.
    fn product_of(tape: &Rc<Tape>, w: &Var, rows: usize, first: usize) -> Var {
        let x: Vec<Float> = (first..first + 2 * rows).map(|i| (i % 7) as Float).collect();
        let x = tape.leaf(Tensor::from_slice(&Device::cpu(), &x, [rows, 2]).unwrap());
        sum(&crate::linear(&x, w, None).unwrap()).unwrap()
    }

    #[test]
    fn products_of_few_rows_wait_and_add_to_what_was_there() {
        // Two weights [1,2] in one buffer that is not empty; rows that never are enough, at last are, and are at once.
        for rows in [vec![3], vec![3, 1, 2], vec![300, 300, 5], vec![2, 600, 3]] {
            let tape = Tape::new();
            let mut flat = tensor(&[0.5, 0.5, 0.25, 0.25]);
            let w = |offset| tape.param(Tensor::full(&Device::cpu(), [1, 2], 1.0), offset);
            let (v, w) = (w(0), w(2));
            let mut loss = product_of(&tape, &v, 1, 5);
            let mut want = [0.5 + 5.0, 0.5 + 6.0, 0.25, 0.25];
            for (i, &n) in rows.iter().enumerate() {
                loss = add(&loss, &product_of(&tape, &w, n, i)).unwrap();
                for row in 0..n {
                    want[2] += ((i + 2 * row) % 7) as Float;
                    want[3] += ((i + 2 * row + 1) % 7) as Float;
                }
            }
            tape.backward(&loss, Some(&mut flat)).unwrap();
            assert_eq!(flat.to_vec(), want, "{rows:?}");
        }
        let tape = Tape::new();
        let w = tape.param(Tensor::full(&Device::cpu(), [1, 2], 1.0), 0);
        let loss = product_of(&tape, &w, 3, 0);
        assert!(matches!(tape.backward(&loss, None), Err(Error::NoFlatBuffer { offset: 0 })));
    }

    #[test]
    fn a_product_of_unequal_rows_is_an_error() {
        let tape = Tape::new();
        let w = tape.param(Tensor::full(&Device::cpu(), [1, 2], 1.0), 0);
        let y = record(Tensor::scalar(&Device::cpu(), 0.0), [&w], |_, [w], g| {
            let zeros = |rows, columns| Tensor::zeros(&Device::cpu(), [rows, columns]);
            g.accumulate_product(w, zeros(3, 1), zeros(2, 2))
        });
        let error = tape.backward(&y.unwrap(), Some(&mut tensor(&[0.0, 0.0]))).err().unwrap().to_string();
        assert!(error.contains("[3, 1]") && error.contains("[2, 2]"), "{error}");
    }

    #[test]
    fn a_gradient_given_to_two_inputs_is_not_written_through() {
        let tape = Tape::new();
        let (a, b) = (tape.leaf(tensor(&[1.0])), tape.leaf(tensor(&[1.0])));
        // The addition gives one tensor to both; a then gets three more and b must not see them.
        let more = scale(&a, 3.0).unwrap();
        let loss = add(&add(&a, &b).unwrap(), &more).unwrap();
        let gradients = tape.backward(&loss, None).unwrap();
        assert_eq!(gradients.get(&a).unwrap().to_vec(), [4.0]);
        assert_eq!(gradients.get(&b).unwrap().to_vec(), [1.0]);
    }

    #[test]
    fn parameters_add_into_the_flat_buffer_at_their_offset() {
        let mut flat = tensor(&[0.0, 100.0, 100.0, 0.0]);
        for _ in 0..2 {
            let tape = Tape::new();
            let (first, again) = (tape.param(tensor(&[1.0, 2.0]), 1), tape.param(tensor(&[1.0, 2.0]), 1));
            let loss = sum(&mul(&first, &again).unwrap()).unwrap();
            tape.backward(&loss, Some(&mut flat)).unwrap();
        }
        assert_eq!(flat.to_vec(), [0.0, 104.0, 108.0, 0.0]);
    }

    #[test]
    fn constants_record_nothing() {
        let x = Var::constant(tensor(&[1.0]));
        let y = mul(&x, &scale(&x, 2.0).unwrap()).unwrap();
        assert!(!y.needs_grad());
        let tape = Tape::new();
        let loss = mul(&tape.leaf(tensor(&[5.0])).detach(), &y).unwrap();
        assert!(tape.is_empty() && !loss.needs_grad());
        assert_eq!(loss.item().unwrap(), 10.0);
    }

    /// Two outputs: 2x and 3x.
    fn twice_and_thrice(x: &Var, seen: Rc<Cell<Option<(bool, bool)>>>) -> Result<[Var; 2]> {
        let (two, three) = (ops::scale(x.value(), 2.0)?, ops::scale(x.value(), 3.0)?);
        record_many([two, three], [x], move |[d2, d3], [x], g| {
            seen.set(Some((d2.is_some(), d3.is_some())));
            for (dy, s) in [(d2, 2.0), (d3, 3.0)] {
                if let Some(dy) = dy {
                    g.accumulate(x, |dx, acc| ops::scale_into(&dy, s, acc, dx))?;
                }
            }
            Ok(())
        })
    }

    #[test]
    fn a_node_sees_which_of_its_outputs_matter() {
        for (use_two, use_three, want) in [(true, true, 5.0), (true, false, 2.0), (false, true, 3.0)] {
            let (tape, seen) = (Tape::new(), Rc::new(Cell::new(None)));
            let x = tape.leaf(tensor(&[1.0]));
            let [two, three] = twice_and_thrice(&x, seen.clone()).unwrap();
            let parts = [(use_two, &two), (use_three, &three)];
            let mut used = parts.iter().filter(|(used, _)| *used).map(|(_, v)| (*v).clone());
            let first = used.next().unwrap();
            let loss = used.next().map_or(first.clone(), |second| add(&first, &second).unwrap());
            let gradients = tape.backward(&loss, None).unwrap();
            assert_eq!(seen.get(), Some((use_two, use_three)));
            assert_eq!(gradients.get(&x).unwrap().item().unwrap(), want);
        }
    }

    #[test]
    fn an_operation_the_loss_does_not_depend_on_is_not_called() {
        let (tape, seen) = (Tape::new(), Rc::new(Cell::new(None)));
        let (x, z) = (tape.leaf(tensor(&[1.0])), tape.leaf(tensor(&[1.0])));
        twice_and_thrice(&z, seen.clone()).unwrap();
        let gradients = tape.backward(&scale(&x, 7.0).unwrap(), None).unwrap();
        assert_eq!(seen.get(), None);
        assert!(gradients.get(&z).is_none());
    }

    #[test]
    fn popping_a_node_frees_what_its_rule_saved() {
        let tape = Tape::new();
        let saved: Vec<Rc<()>> = (0..3).map(|_| Rc::new(())).collect();
        let mut x = tape.leaf(tensor(&[1.0]));
        for i in 0..3 {
            let (mine, later) = (saved[i].clone(), saved.get(i + 1).map(Rc::downgrade));
            let value = x.value().clone();
            x = record(value, [&x], move |dy, [x], g| {
                let held = later.map_or(1, |l| l.strong_count());
                assert_eq!(
                    (Rc::strong_count(&mine), held),
                    (2, 1),
                    "the later rule is gone, this one is not"
                );
                g.give(x, dy)
            })
            .unwrap();
        }
        tape.backward(&x, None).unwrap();
        assert!(saved.iter().all(|s| Rc::strong_count(s) == 1));
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let tape = Tape::new();
        let x = tape.leaf(tensor(&[1.0]));
        let mut y = x.clone();
        for _ in 0..100_000 {
            y = scale(&y, 1.0).unwrap();
        }
        assert_eq!(tape.len(), 100_000);
        let gradients = tape.backward(&y, None).unwrap();
        assert_eq!(gradients.get(&x).unwrap().item().unwrap(), 1.0);
    }

    #[test]
    fn each_error_says_what_to_do() {
        let (tape, other) = (Tape::new(), Tape::new());
        let (x, z) = (tape.leaf(tensor(&[1.0, 2.0])), other.leaf(tensor(&[1.0, 2.0])));
        let p = tape.param(tensor(&[1.0]), 3);
        let message = |e: Error| e.to_string();
        assert!(message(add(&x, &z).unwrap_err()).contains("one `Tape`"));
        assert!(message(tape.backward(&x, None).err().unwrap()).contains("found [2]"));
        let constant = Var::constant(tensor(&[1.0]));
        assert!(message(tape.backward(&constant, None).err().unwrap()).contains("constants only"));
        assert!(message(other.backward(&p, None).err().unwrap()).contains("not on this tape"));
        let wrong = record(tensor(&[1.0]), [&x], |dy, [x], g| g.give(x, dy)).unwrap();
        let error = tape.backward(&wrong, None).err().unwrap();
        assert!(matches!(error, Error::GradientShape { input: 0, .. }), "{error}");
        assert!(message(tape.backward(&wrong, None).err().unwrap()).contains("make a new `Tape`"));
        assert!(message(add(&x, &x).unwrap_err()).contains("make a new `Tape`"));
        let tape = Tape::new();
        let p = tape.param(tensor(&[1.0]), 3);
        assert!(message(tape.backward(&p, None).err().unwrap()).contains("offset 3"));
    }

    #[test]
    fn a_flat_buffer_that_is_shared_or_short_is_an_error() {
        let mut flat = tensor(&[0.0, 0.0]);
        let run = |flat: &mut Tensor, offset| {
            let tape = Tape::new();
            let p = tape.param(tensor(&[1.0]), offset);
            tape.backward(&p, Some(flat)).map(|_| ())
        };
        let held = flat.clone();
        assert!(matches!(run(&mut flat, 0), Err(Error::Tensor(seqweave_tensor::Error::Shared { .. }))));
        drop(held);
        assert!(run(&mut flat, 1).is_ok());
        assert!(matches!(run(&mut flat, 2), Err(Error::Tensor(seqweave_tensor::Error::Range { .. }))));
    }
}
