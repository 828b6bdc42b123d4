//! Stacked recurrent layers: simple, LSTM or GRU cells, one or both directions.

use crate::{Ctx, Dropout, DropoutKind, Error, Init, ParamId, Result, Scope};
use schemars::JsonSchema;
use seqweave_autograd::{self as ag, Var};
use seqweave_tensor::ops::{self, Direction, Weight};
use seqweave_tensor::{Float, Ids, Tensor};
use serde::{Deserialize, Serialize};

/// Which cell a recurrent layer runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Simple recurrence: h = tanh(W·x + b + U·h + b'). (Elman 1990.)
    Rnn,
    /// Long short-term memory. (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000.)
    #[default]
    Lstm,
    /// Gated recurrent unit. (Cho et al. 2014, section 2.3.)
    Gru,
}

impl CellKind {
    /// Blocks of H rows in the weights of one cell.
    pub fn gates(self) -> usize {
        match self {
            CellKind::Rnn => 1,
            CellKind::Gru => 3,
            CellKind::Lstm => 4,
        }
    }
}

/// What a stack of recurrent layers looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrentConfig {
    /// The cell. Default "lstm".
    pub cell: CellKind,
    /// Number of input features E. Default 256.
    pub input: usize,
    /// Size H of the state of one direction. Default 256.
    pub hidden: usize,
    /// Number of stacked layers L. Default 1.
    pub layers: usize,
    /// Whether a second pass runs from the end of each row; outputs are then forward and reverse side
    /// by side, 2·H wide. Default false.
    pub bidirectional: bool,
    /// Whether a layer above the first adds its input to its output. Default false.
    pub residual: bool,
    /// Probability of dropping an output of a layer below the last. Default 0.
    pub dropout: Float,
    /// What a mask of this dropout is drawn for. Default "step".
    pub dropout_kind: DropoutKind,
    /// What the forget gate's bias of an LSTM starts with. Default 1.
    pub forget_bias: Float,
}

impl Default for RecurrentConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Lstm,
            input: 256,
            hidden: 256,
            layers: 1,
            bidirectional: false,
            residual: false,
            dropout: 0.0,
            dropout_kind: DropoutKind::Step,
            forget_bias: 1.0,
        }
    }
}

impl RecurrentConfig {
    /// 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Number of output features: H, or 2·H with both directions.
    pub fn output(&self) -> usize {
        self.hidden * self.directions()
    }

    fn validate(&self) -> Result<()> {
        let wrong = |field, expected, found: String| Err(Error::Config { field, expected, found });
        if self.layers == 0 {
            return wrong("layers", "at least 1", self.layers.to_string());
        }
        if self.hidden == 0 || self.input == 0 {
            return wrong("hidden and input", "at least 1", format!("{} and {}", self.hidden, self.input));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", "a probability in [0, 1)", self.dropout.to_string());
        }
        Ok(())
    }
}

/// The state of one layer in one direction.
#[derive(Clone, Debug)]
pub struct CellState {
    /// Hidden state h: `[B,H]`.
    pub h: Var,
    /// Cell state c: `[B,H]`, for an LSTM.
    pub c: Option<Var>,
}

/// The state of a stack, a value that goes in and comes out.
///
/// Entry `layer · directions + direction`, as in PyTorch's `h_n`.
#[derive(Clone, Debug)]
pub struct RnnState {
    /// One state a layer and direction.
    pub cells: Vec<CellState>,
}

impl RnnState {
    /// The state of one layer in one direction (0 forward, 1 reverse) of a stack with so many directions.
    pub fn cell(&self, layer: usize, direction: usize, directions: usize) -> &CellState {
        &self.cells[layer * directions + direction]
    }

    /// The same state cut off from the tape, for truncated back-propagation through time.
    pub fn detach(&self) -> RnnState {
        let detach = |s: &CellState| CellState { h: s.h.detach(), c: s.c.as_ref().map(Var::detach) };
        RnnState { cells: self.cells.iter().map(detach).collect() }
    }
}

/// A stack of recurrent layers over time-major sequences.
///
/// x: `[T,B,E]` → y: `[T,B,H]`, or `[T,B,2H]` with both directions. A layer's input projection is one matrix product over all
/// T·B rows; the recurrence is one fused operation a layer, for both directions where there are two. Beyond the length of a row its state is copied
/// and its output is zero, so padding never changes a result.
///
/// For layer l the parameters are `l{l}.fwd.weight_ih` `[G,E]`, `weight_hh` `[G,H]`, `bias_ih` `[G]`, `bias_hh` `[G]` with
/// G = gates·H, and the same under `l{l}.rev`. Names, layouts and gate orders (LSTM i,f,g,o; GRU r,z,n) are PyTorch's, so
/// weights can be exchanged. Input weights start Xavier uniform and recurrent weights orthogonal, gate by gate.
///
/// With `residual`, a layer above the first returns y + x. (He et al. 2016; for recurrent stacks Wu et al. 2016,
/// "Google's neural machine translation system", section 3.1.) Dropout acts between layers, on y before that sum.
/// (Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization", section 3.2.)
#[derive(Clone, Debug)]
pub struct Recurrent {
    config: RecurrentConfig,
    /// Entry `layer · directions + direction`.
    cells: Vec<Cell>,
}

impl Recurrent {
    /// Declares the parameters of a stack.
    ///
    /// # Errors
    /// [`Error::Config`] for zero layers or features, or a dropout outside [0, 1).
    pub fn new(scope: &mut Scope<'_>, config: &RecurrentConfig) -> Result<Self> {
        config.validate()?;
        let mut cells = Vec::new();
        for l in 0..config.layers {
            let input = if l == 0 { config.input } else { config.output() };
            let mut layer = scope.sub(&format!("l{l}"));
            for direction in ["fwd", "rev"].into_iter().take(config.directions()) {
                cells.push(Cell::new(&mut layer.sub(direction), config, input));
            }
        }
        Ok(Self { config: config.clone(), cells })
    }

    /// What the stack looks like.
    pub fn config(&self) -> &RecurrentConfig {
        &self.config
    }

    /// The matrix by which a layer reads its input (its forward one), for the mask of a [`Dropout`] in front of it.
    pub fn reads(&self, layer: usize) -> ParamId {
        self.cells[layer * self.config.directions()].weight_ih
    }

    /// Runs the stack over x: `[T,B,E]` from `initial` (zeros if `None`); `lens`: `[B]` are the lengths of the rows.
    ///
    /// Returns y: `[T,B,H·directions]` of the last layer and the state of every layer and direction after the last step of
    /// each row (the first, for the reverse direction).
    ///
    /// # Errors
    /// [`Error::State`] if `initial` is not the state of such a stack; tensor errors for shapes and lengths.
    pub fn forward(
        &self,
        cx: &Ctx<'_>,
        x: &Var,
        lens: Option<&Ids>,
        initial: Option<&RnnState>,
    ) -> Result<(Var, RnnState)> {
        let [_, b, _] = x.dims("recurrent input [T,B,E]")?;
        let initial = match initial {
            Some(state) => self.checked(state)?.clone(),
            None => self.zero_state(cx, b),
        };
        let directions = self.config.directions();
        let (mut y, mut last) = (x.clone(), Vec::new());
        for l in 0..self.config.layers {
            let (input, layer) = (y, l * directions..(l + 1) * directions);
            y = match (&self.cells[layer.clone()], &initial.cells[layer]) {
                ([fwd, rev], [fwd0, rev0]) => {
                    let [(fwd, a), (rev, b)] = Cell::both([fwd, rev], cx, &input, [fwd0, rev0], lens)?;
                    last.extend([a, b]);
                    ag::concat_last(&[&fwd, &rev])?
                }
                (cells, states) => {
                    let (y, state) = cells[0].forward(cx, &input, &states[0], lens, Direction::Forward)?;
                    last.push(state);
                    y
                }
            };
            if l + 1 < self.config.layers {
                let RecurrentConfig { dropout: p, dropout_kind: kind, .. } = self.config;
                y = Dropout { p, kind, site: self.reads(l + 1) }.forward(cx, &y)?;
            }
            if self.config.residual && l > 0 {
                y = ag::add(&y, &input)?;
            }
        }
        Ok((y, RnnState { cells: last }))
    }

    /// The state a sequence starts from: zeros for B rows.
    pub fn zero_state(&self, cx: &Ctx<'_>, b: usize) -> RnnState {
        let zeros = Var::constant(Tensor::zeros(cx.device(), [b, self.config.hidden]));
        let c = (self.config.cell == CellKind::Lstm).then(|| zeros.clone());
        RnnState { cells: vec![CellState { h: zeros, c }; self.cells.len()] }
    }

    fn checked<'s>(&self, state: &'s RnnState) -> Result<&'s RnnState> {
        let lstm = self.config.cell == CellKind::Lstm;
        if state.cells.len() == self.cells.len() && state.cells.iter().all(|s| s.c.is_some() == lstm) {
            return Ok(state);
        }
        let with = |lstm| if lstm { "with" } else { "without" };
        let has = state.cells.iter().any(|s| s.c.is_some());
        Err(Error::State {
            expected: format!("{} entries (layers · directions) {} c", self.cells.len(), with(lstm)),
            found: format!("{} entries {} c", state.cells.len(), with(has)),
        })
    }
}

/// The parameters of one layer in one direction.
#[derive(Clone, Debug)]
struct Cell {
    kind: CellKind,
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias_ih: ParamId,
    bias_hh: ParamId,
}

impl Cell {
    fn new(scope: &mut Scope<'_>, config: &RecurrentConfig, input: usize) -> Self {
        let (kind, h) = (config.cell, config.hidden);
        let gates = kind.gates();
        let bias_ih = match kind {
            CellKind::Lstm => Init::LstmForgetBias(config.forget_bias),
            CellKind::Gru | CellKind::Rnn => Init::Zeros,
        };
        Self {
            kind,
            weight_ih: scope.param("weight_ih", [gates * h, input], Init::XavierUniformGates(gates)),
            weight_hh: scope.param("weight_hh", [gates * h, h], Init::OrthogonalGates(gates)),
            bias_ih: scope.param("bias_ih", [gates * h], bias_ih),
            bias_hh: scope.param("bias_hh", [gates * h], Init::Zeros),
        }
    }

    /// The input projection `[T,B,G]` of x: `[T,B,E]`, and b_hh.
    fn project(&self, cx: &Ctx<'_>, x: &Var) -> Result<(Var, Var)> {
        let (b_ih, b_hh) = (cx.param(self.bias_ih)?, cx.param(self.bias_hh)?);
        let bias = match self.kind {
            // The reset gate acts on U·h + b_hh, so that bias stays inside the recurrence.
            CellKind::Gru => b_ih,
            // Both biases enter alike, so they are summed once and not at every step.
            CellKind::Lstm | CellKind::Rnn => ag::add(&b_ih, &b_hh)?,
        };
        Ok((cx.linear(x, self.weight_ih, Some(&bias))?, b_hh))
    }

    /// Two cells of one shape over the same rows, the second in reverse; what [`Cell::forward`] gives for each.
    fn both(
        [fwd, rev]: [&Cell; 2],
        cx: &Ctx<'_>,
        x: &Var,
        initial: [&CellState; 2],
        lens: Option<&Ids>,
    ) -> Result<[(Var, CellState); 2]> {
        let (a, b) = match (fwd.kind, initial.map(|state| &state.c)) {
            (CellKind::Rnn, _) => {
                let a = fwd.forward(cx, x, initial[0], lens, Direction::Forward)?;
                return Ok([a, rev.forward(cx, x, initial[1], lens, Direction::Reverse)?]);
            }
            (CellKind::Lstm, [Some(a), Some(b)]) => (Some(a), Some(b)),
            (CellKind::Lstm, _) => return Err(no_cell_state()),
            (CellKind::Gru, _) => (None, None),
        };
        let ((xp, b_hh), (xp2, b_hh2)) = (fwd.project(cx, x)?, rev.project(cx, x)?);
        let (w, w2) = (cx.param(fwd.weight_hh)?, cx.param(rev.weight_hh)?);
        let [h0, h02] = initial.map(|state| &state.h);
        let recorded = [&xp, &w, h0, &xp2, &w2, h02].into_iter().chain(a).chain(b).any(Var::needs_grad);
        let kept = |cell: &Cell| cx.params().weight(cell.weight_hh);
        let with = |(y, h, c): (Var, Var, Var)| (y, CellState { h, c: Some(c) });
        let without = |(y, h): (Var, Var)| (y, CellState { h, c: None });
        Ok(match (a, b) {
            (Some(c0), Some(c02)) if recorded => {
                let forward = ag::LstmVars { xp: &xp, w_hh: &w, h0, c0 };
                let reverse = ag::LstmVars { xp: &xp2, w_hh: &w2, h0: h02, c0: c02 };
                ag::lstm_both([forward, reverse], lens)?.map(with)
            }
            (Some(c0), Some(c02)) => {
                let (w, w2) = (kept(fwd)?, kept(rev)?);
                let forward = ops::LstmOperands { xp: xp.value(), w_hh: &w, h0: h0.value(), c0: c0.value() };
                let reverse =
                    ops::LstmOperands { xp: xp2.value(), w_hh: &w2, h0: h02.value(), c0: c02.value() };
                let both = [forward, reverse];
                ops::lstm_both_infer(both, lens)?.map(|(y, h, c)| with((y.into(), h.into(), c.into())))
            }
            _ if recorded => {
                let forward = ag::GruVars { xp: &xp, w_hh: &w, b_hh: &b_hh, h0 };
                let reverse = ag::GruVars { xp: &xp2, w_hh: &w2, b_hh: &b_hh2, h0: h02 };
                ag::gru_both([forward, reverse], lens)?.map(without)
            }
            _ => {
                let (w, w2) = (kept(fwd)?, kept(rev)?);
                let forward =
                    ops::GruOperands { xp: xp.value(), w_hh: &w, b_hh: b_hh.value(), h0: h0.value() };
                let reverse =
                    ops::GruOperands { xp: xp2.value(), w_hh: &w2, b_hh: b_hh2.value(), h0: h02.value() };
                ops::gru_both_infer([forward, reverse], lens)?.map(|(y, h)| without((y.into(), h.into())))
            }
        })
    }

    /// x: `[T,B,E]` → y: `[T,B,H]` and the state after the last step.
    fn forward(
        &self,
        cx: &Ctx<'_>,
        x: &Var,
        initial: &CellState,
        lens: Option<&Ids>,
        dir: Direction,
    ) -> Result<(Var, CellState)> {
        let (xp, b_hh) = self.project(cx, x)?;
        let CellState { h: h0, c: c0 } = initial;
        let w_hh = cx.param(self.weight_hh)?;
        if ![&xp, &w_hh, h0].into_iter().chain(c0).any(Var::needs_grad) {
            return self.infer(
                &cx.params().weight(self.weight_hh)?,
                xp.value(),
                b_hh.value(),
                initial,
                lens,
                dir,
            );
        }
        let (y, h, c) = match (self.kind, c0) {
            (CellKind::Lstm, Some(c0)) => {
                let (y, h, c) = ag::lstm(&xp, &w_hh, h0, c0, lens, dir)?;
                (y, h, Some(c))
            }
            (CellKind::Lstm, None) => return Err(no_cell_state()),
            (CellKind::Rnn, _) => {
                let (y, h) = ag::rnn(&xp, &w_hh, h0, lens, dir)?;
                (y, h, None)
            }
            (CellKind::Gru, _) => {
                let (y, h) = ag::gru(&xp, &w_hh, &b_hh, h0, lens, dir)?;
                (y, h, None)
            }
        };
        Ok((y, CellState { h, c }))
    }

    /// The recurrence without a tape: the same bits, and nothing is saved.
    fn infer(
        &self,
        w_hh: &Weight,
        xp: &Tensor,
        b_hh: &Tensor,
        initial: &CellState,
        lens: Option<&Ids>,
        dir: Direction,
    ) -> Result<(Var, CellState)> {
        let h0 = initial.h.value();
        let (y, h, c) = match (self.kind, &initial.c) {
            (CellKind::Lstm, Some(c0)) => {
                let (y, h, c) = ops::lstm_infer(xp, w_hh, h0, c0.value(), lens, dir)?;
                (y, h, Some(c.into()))
            }
            (CellKind::Lstm, None) => return Err(no_cell_state()),
            (CellKind::Rnn, _) => {
                let (y, h) = ops::rnn_infer(xp, w_hh, h0, lens, dir)?;
                (y, h, None)
            }
            (CellKind::Gru, _) => {
                let (y, h) = ops::gru_infer(xp, w_hh, b_hh, h0, lens, dir)?;
                (y, h, None)
            }
        };
        Ok((y.into(), CellState { h: h.into(), c }))
    }
}

fn no_cell_state() -> Error {
    Error::State { expected: "c for an LSTM".into(), found: "h alone".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, ParamsBuilder};
    use seqweave_autograd::Tape;
    use seqweave_tensor::{Device, Philox};
    use seqweave_testkit::{assert_close, wave};

    const CELLS: [CellKind; 3] = [CellKind::Rnn, CellKind::Lstm, CellKind::Gru];

    fn net(config: &RecurrentConfig) -> (Recurrent, Params) {
        let mut builder = ParamsBuilder::new();
        let net = Recurrent::new(&mut builder.root(), config).unwrap();
        (net, builder.build(&Device::cpu(), 3).unwrap())
    }

    fn input(t: usize, b: usize, e: usize) -> Var {
        let values = wave(t * b * e, 0.7, 0.3).into_iter().map(|x| 2.0 * x as Float).collect();
        Var::constant(Tensor::from_vec(&Device::cpu(), values, [t, b, e]).unwrap())
    }

    fn deep(cell: CellKind) -> RecurrentConfig {
        RecurrentConfig { cell, input: 4, hidden: 3, layers: 3, ..Default::default() }
    }

    #[test]
    fn parameters_have_pytorch_names_and_shapes() {
        let (net, params) = net(&RecurrentConfig { layers: 2, bidirectional: true, ..deep(CellKind::Lstm) });
        let shapes: Vec<String> = params.iter().map(|(name, shape, _)| format!("{name} {shape}")).collect();
        assert_eq!(shapes.len(), 16);
        assert_eq!(
            shapes[..5],
            [
                "l0.fwd.weight_ih [12, 4]",
                "l0.fwd.weight_hh [12, 3]",
                "l0.fwd.bias_ih [12]",
                "l0.fwd.bias_hh [12]",
                "l0.rev.weight_ih [12, 4]"
            ]
        );
        assert_eq!(shapes[8], "l1.fwd.weight_ih [12, 6]", "the second layer reads both directions");
        assert_eq!(net.config().output(), 6);
    }

    #[test]
    fn the_forget_gate_starts_open_and_other_biases_at_zero() {
        for cell in CELLS {
            let (_, params) = net(&RecurrentConfig { forget_bias: 2.0, ..deep(cell) });
            let bias = params.by_name("l0.fwd.bias_ih").unwrap().to_vec();
            let open: Vec<usize> = (0..bias.len()).filter(|&i| bias[i] != 0.0).collect();
            assert_eq!(open, if cell == CellKind::Lstm { vec![3, 4, 5] } else { vec![] });
            assert!(params.by_name("l0.fwd.bias_hh").unwrap().to_vec().iter().all(|&b| b == 0.0));
        }
    }

    #[test]
    fn step_by_step_equals_the_whole_sequence_bit_for_bit() {
        for cell in CELLS {
            let (net, params) = net(&RecurrentConfig { residual: true, ..deep(cell) });
            let (cx, x) = (Ctx::infer(&params), input(5, 2, 4));
            let (whole, last) = net.forward(&cx, &x, None, None).unwrap();
            let mut state = None;
            for t in 0..5 {
                let step = ag::rows(&x, t, t + 1).unwrap();
                let (y, next) = net.forward(&cx, &step, None, state.as_ref()).unwrap();
                assert_eq!(y.value().to_vec(), whole.value().step(t).unwrap().to_vec(), "{cell:?} step {t}");
                state = Some(next);
            }
            for (a, b) in state.unwrap().cells.iter().zip(&last.cells) {
                assert_eq!(a.h.value().to_vec(), b.h.value().to_vec());
                assert_eq!(a.c.is_some(), cell == CellKind::Lstm);
            }
        }
    }

    #[test]
    fn weights_laid_out_for_inference_give_the_bits_of_training_and_follow_the_parameters() {
        for cell in CELLS {
            let (net, mut params) = net(&RecurrentConfig { bidirectional: true, ..deep(cell) });
            let (x, lens) = (input(5, 2, 4), Ids::list(vec![5, 3]));
            let run = |cx: &Ctx<'_>| {
                let (y, state) = net.forward(cx, &x, Some(&lens), None).unwrap();
                (y.value().to_vec(), state.cells.iter().map(|s| s.h.value().to_vec()).collect::<Vec<_>>())
            };
            let first = run(&Ctx::infer(&params));
            assert_eq!(first, run(&Ctx::infer(&params)), "{cell:?}, the second time");
            assert_eq!(first, run(&Ctx::train(&params, Tape::new(), None)), "{cell:?}");
            for name in ["l0.fwd.weight_ih", "l2.rev.weight_hh"] {
                let before = run(&Ctx::infer(&params));
                let n = params.by_name(name).unwrap().numel();
                params.set_by_name(name, &vec![0.25; n]).unwrap();
                let after = run(&Ctx::infer(&params));
                assert_ne!(after, before, "{cell:?} {name}");
                assert_eq!(after, run(&Ctx::train(&params, Tape::new(), None)), "{cell:?} {name}");
                assert_eq!(after, run(&Ctx::infer(&params.deep_clone())), "{cell:?} {name}");
            }
        }
    }

    #[test]
    fn a_leaf_gets_its_gradient_in_a_pass_without_a_tape_too() {
        for cell in CELLS {
            let (net, params) = net(&deep(cell));
            let tape = Tape::new();
            let x = tape.leaf(input(3, 2, 4).into_value());
            let (y, _) = net.forward(&Ctx::infer(&params), &x, None, None).unwrap();
            let gradients = tape.backward(&ag::sum(&y).unwrap(), None).unwrap();
            assert!(gradients.get(&x).unwrap().to_vec().iter().any(|&d| d != 0.0), "{cell:?}");
        }
    }

    #[test]
    fn padding_changes_nothing() {
        for cell in CELLS {
            let (net, params) = net(&RecurrentConfig { bidirectional: true, ..deep(cell) });
            let (cx, x) = (Ctx::infer(&params), input(6, 1, 4));
            let short = ag::rows(&x, 0, 4).unwrap();
            let (want, last) = net.forward(&cx, &short, None, None).unwrap();
            let (got, padded) = net.forward(&cx, &x, Some(&Ids::list(vec![4])), None).unwrap();
            assert_eq!(got.value().rows(0, 4).unwrap().to_vec(), want.value().to_vec(), "{cell:?}");
            assert!(got.value().rows(4, 6).unwrap().to_vec().iter().all(|&y| y == 0.0));
            for (a, b) in padded.cells.iter().zip(&last.cells) {
                assert_eq!(a.h.value().to_vec(), b.h.value().to_vec(), "{cell:?}");
            }
        }
    }

    #[test]
    fn a_residual_layer_returns_its_input_plus_what_it_computed() {
        let (plain, params) = net(&RecurrentConfig { layers: 1, ..deep(CellKind::Gru) });
        let (residual, mut both) = net(&RecurrentConfig { layers: 2, residual: true, ..deep(CellKind::Gru) });
        // A second layer whose weights are zero computes zero, so the sum is the first layer's output.
        for (name, _, value) in params.iter() {
            both.set_by_name(name, &value.to_vec()).unwrap();
        }
        for name in ["l1.fwd.weight_ih", "l1.fwd.weight_hh", "l1.fwd.bias_ih", "l1.fwd.bias_hh"] {
            let zeros = vec![0.0; both.by_name(name).unwrap().numel()];
            both.set_by_name(name, &zeros).unwrap();
        }
        let x = input(4, 2, 4);
        let (want, _) = plain.forward(&Ctx::infer(&params), &x, None, None).unwrap();
        let (got, _) = residual.forward(&Ctx::infer(&both), &x, None, None).unwrap();
        assert_close(&got.value().to_vec(), &want.value().to_vec(), 1e-6, 1e-7, "residual");
    }

    #[test]
    fn dropout_acts_between_layers_in_training_only() {
        let x = input(4, 2, 4);
        let run = |layers, dropout, key: Option<Philox>| {
            let (net, params) = net(&RecurrentConfig { layers, dropout, ..deep(CellKind::Lstm) });
            let cx = Ctx::train(&params, Tape::new(), key);
            net.forward(&cx, &x, None, None).unwrap().0.value().to_vec()
        };
        let key = Some(Philox { seed: 1, step: 1 });
        assert_eq!(run(2, 0.5, None), run(2, 0.0, None), "no stream, no dropout");
        assert_ne!(run(2, 0.5, key), run(2, 0.0, key));
        assert_eq!(run(1, 0.5, key), run(1, 0.0, key), "nothing is dropped after the last layer");
    }

    #[test]
    fn a_state_of_another_stack_is_an_error() {
        let (lstm, lstm_params) = net(&deep(CellKind::Lstm));
        let (gru, gru_params) = net(&deep(CellKind::Gru));
        let x = input(2, 2, 4);
        let (_, state) = gru.forward(&Ctx::infer(&gru_params), &x, None, None).unwrap();
        let error = lstm.forward(&Ctx::infer(&lstm_params), &x, None, Some(&state)).unwrap_err().to_string();
        assert_eq!(
            error,
            "recurrent state: expected 3 entries (layers · directions) with c, found 3 entries without c"
        );
        let (flat, flat_params) = net(&RecurrentConfig { layers: 1, ..deep(CellKind::Gru) });
        let error = flat.forward(&Ctx::infer(&flat_params), &x, None, Some(&state)).unwrap_err();
        assert!(matches!(error, Error::State { .. }), "{error}");
    }

    #[test]
    fn configurations_out_of_range_are_errors_that_name_the_field() {
        for (field, config) in [
            ("layers", RecurrentConfig { layers: 0, ..Default::default() }),
            ("hidden", RecurrentConfig { hidden: 0, ..Default::default() }),
            ("hidden and input", RecurrentConfig { input: 0, ..Default::default() }),
            ("dropout", RecurrentConfig { dropout: 1.0, ..Default::default() }),
            ("dropout", RecurrentConfig { dropout: Float::NAN, ..Default::default() }),
        ] {
            let error = Recurrent::new(&mut ParamsBuilder::new().root(), &config).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
