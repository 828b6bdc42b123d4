//! One rule per operation, in files named like the families of `seqweave_tensor::ops`.
//!
//! A rule calls the forward function, says which tensors it keeps, and calls the backward function. It computes nothing
//! itself and does not know on which device it runs.

mod attention;
mod dropout;
mod elementwise;
mod embedding;
mod matmul;
mod norm;
mod recurrent;
mod reduce;
mod shape;
mod softmax;

pub use attention::{additive_attention, dot_attention};
pub use dropout::{dropout, dropout_steps};
pub use elementwise::{add, add_bias, mul, relu, scale, sigmoid, sub, tanh};
pub use embedding::embedding;
pub use matmul::{linear, matmul};
pub use norm::layer_norm;
pub use recurrent::{GruVars, LstmVars, gru, gru_both, lstm, lstm_both, rnn};
pub use reduce::{mean, sum};
pub use shape::{concat_first, concat_last, reshape, rows, slice_last, stack, step, swap01};
pub use softmax::{CrossEntropyStats, cross_entropy, linear_cross_entropy, log_softmax, softmax};
