//! Named parameters, layers, optimizers and schedules for recurrent sequence models.
//!
//! A model is a set of plain structs that hold [`ParamId`]s. Values and gradients live in one [`Params`]; a [`Ctx`] lets
//! layers read them, with or without a tape. There is no module trait, no global mode and no hidden state.
//!
//! # A linear model, trained
//!
//! ```
//! use seqweave_autograd::{Tape, Var, mean, mul, sub};
//! use seqweave_nn::{Ctx, Linear, Optimizer, OptimizerConfig, ParamsBuilder};
//! use seqweave_tensor::{Device, Tensor};
//!
//! let cpu = Device::cpu();
//! let mut builder = ParamsBuilder::new();
//! let layer = Linear::new(&mut builder.root().sub("line"), 1, 1); // line.weight, line.bias
//! let mut params = builder.build(&cpu, 42)?;
//!
//! let config = OptimizerConfig { lr: 0.1, ..Default::default() }; // Adam
//! let mut optimizer = Optimizer::new(&config, &params)?;
//! let x = Var::constant(Tensor::from_slice(&cpu, &[-1.0, 0.0, 1.0, 2.0], [4, 1])?);
//! let y = Var::constant(Tensor::from_slice(&cpu, &[-1.0, 1.0, 3.0, 5.0], [4, 1])?); // y = 2x + 1
//! for _ in 0..300 {
//!     let tape = Tape::new();
//!     let loss = {
//!         let cx = Ctx::train(&params, tape.clone(), None);
//!         let error = sub(&layer.forward(&cx, &x)?, &y)?;
//!         mean(&mul(&error, &error)?)?
//!     };
//!     params.zero_grad()?;
//!     tape.backward(&loss, Some(params.grads_mut()))?;
//!     optimizer.step(&mut params, config.lr, Some(5.0))?;
//! }
//! assert!((params.by_name("line.weight")?.item()? - 2.0).abs() < 0.01);
//! assert!((params.by_name("line.bias")?.item()? - 1.0).abs() < 0.01);
//! # Ok::<(), seqweave_nn::Error>(())
//! ```
//!
//! # Recurrent layers
//!
//! Sequences are time-major, `[T,B,E]`, with the length of each row beside them.
//!
//! ```
//! use seqweave_autograd::Var;
//! use seqweave_nn::{CellKind, Ctx, ParamsBuilder, Recurrent, RecurrentConfig};
//! use seqweave_tensor::{Device, Ids, Tensor};
//!
//! let mut builder = ParamsBuilder::new();
//! let config = RecurrentConfig {
//!     cell: CellKind::Gru,
//!     input: 3,
//!     hidden: 4,
//!     layers: 2,
//!     bidirectional: true,
//!     ..Default::default()
//! };
//! let encoder = Recurrent::new(&mut builder.root().sub("encoder"), &config)?;
//! let params = builder.build(&Device::cpu(), 1)?;
//! assert!(params.names().any(|name| name == "encoder.l1.rev.weight_hh"));
//!
//! let cx = Ctx::infer(&params);
//! let x = Var::constant(Tensor::full(&Device::cpu(), [5, 2, 3], 0.5)); // T = 5, B = 2, E = 3
//! let lens = Ids::list(vec![5, 2]);
//! let (y, state) = encoder.forward(&cx, &x, Some(&lens), None)?;
//! assert_eq!(y.shape()[..], [5, 2, 8]);
//! assert_eq!(state.cells.len(), 4); // two layers, two directions
//! # Ok::<(), seqweave_nn::Error>(())
//! ```

#![forbid(unsafe_code)]
// In one of the two builds `Float` already is the type a cast names.
#![allow(clippy::unnecessary_cast, clippy::useless_conversion)]

mod attention;
mod ctx;
mod dropout;
mod embedding;
mod error;
mod init;
mod layer_norm;
mod linear;
mod moving_average;
mod optim;
mod params;
mod pattern;
mod recurrent;
mod schedule;

pub use attention::{Attention, AttentionKind, Memory};
pub use ctx::Ctx;
pub use dropout::{Dropout, DropoutKind};
pub use embedding::Embedding;
pub use error::{Error, Result};
pub use init::Init;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use moving_average::MovingAverage;
pub use optim::{GroupConfig, Optimizer, OptimizerConfig, OptimizerKind, OptimizerState, StepReport};
pub use params::{ParamId, Params, ParamsBuilder, Scope};
pub use pattern::pattern_fits;
pub use recurrent::{CellKind, CellState, Recurrent, RecurrentConfig, RnnState};
pub use schedule::{Schedule, ScheduleConfig, ScheduleKind, ScheduleState};
