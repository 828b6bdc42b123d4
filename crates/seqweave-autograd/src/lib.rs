//! Reverse-mode differentiation: variables on a tape, one gradient rule per tensor operation.
//!
//! A [`Var`] is a tensor that may belong to a [`Tape`]. The functions of this crate ([`matmul`], [`tanh`], [`lstm`], …)
//! are the operations of `seqweave_tensor::ops` on variables: each computes its result and, if an input is on a tape,
//! leaves a rule there. [`Tape::backward`] replays the rules from the end.
//! This crate does no arithmetic of its own.
//!
//! # Fitting a line
//!
//! Gradient descent on y = w·x + b finds the line through four points.
//!
//! ```
//! use seqweave_autograd::{Tape, linear, mean, mul, sub};
//! use seqweave_tensor::{Device, Tensor, ops};
//!
//! let cpu = Device::cpu();
//! let x = Tensor::from_slice(&cpu, &[-1.0, 0.0, 1.0, 2.0], [4, 1])?;
//! let target = Tensor::from_slice(&cpu, &[-1.0, 1.0, 3.0, 5.0], [4, 1])?; // y = 2x + 1
//!
//! let mut w = Tensor::zeros(&cpu, [1, 1]);
//! let mut b = Tensor::zeros(&cpu, [1]);
//! for _ in 0..200 {
//!     let tape = Tape::new();
//!     let (x, target) = (x.clone().into(), target.clone().into());
//!     let (wv, bv) = (tape.leaf(w.clone()), tape.leaf(b.clone()));
//!     let error = sub(&linear(&x, &wv, Some(&bv))?, &target)?;
//!     let loss = mean(&mul(&error, &error)?)?;
//!     let gradients = tape.backward(&loss, None)?;
//!     for (parameter, leaf) in [(&mut w, &wv), (&mut b, &bv)] {
//!         let step = ops::scale(gradients.get(leaf).expect("the loss depends on it"), -0.1)?;
//!         *parameter = ops::add(parameter, &step)?;
//!     }
//! }
//! assert!((w.item()? - 2.0).abs() < 1e-3);
//! assert!((b.item()? - 1.0).abs() < 1e-3);
//! # Ok::<(), seqweave_autograd::Error>(())
//! ```
//!
//! # Inference
//!
//! Operations on variables made by [`Var::constant`] record nothing and free every intermediate at once; there is no
//! global mode.
//!
//! # Adding a rule
//!
//! [`record`] has a worked example; [`check::check_gradients`] says whether the rule is right.

#![forbid(unsafe_code)]
// In one of the two builds `Float` already is the type a cast names.
#![allow(clippy::unnecessary_cast, clippy::useless_conversion)]

pub mod check;
mod error;
mod rules;
mod tape;
mod var;

pub use error::{Error, Result};
pub use rules::*;
pub use tape::{Gradients, Grads, Input, Tape, record, record_list, record_many};
pub use var::Var;
