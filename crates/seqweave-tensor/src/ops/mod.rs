//! Every operation as plain functions: `op(inputs…)` allocates its result, `op_into(…, out)` writes where it is told.
//!
//! A body has a fixed rhythm: destructure the shapes, check them, compute.

pub mod attention;
mod check;
mod matmul;
pub mod recurrent;

pub use attention::{additive_attention, additive_attention_backward, dot_attention, dot_attention_backward};
pub use matmul::{PackedRhs, gemm, gemm_packed, matmul, matmul_packed};
pub use recurrent::{
    Direction, GruGrads, GruSaved, LstmGrads, LstmSaved, RnnGrads, RnnSaved, gru_backward, gru_forward,
    lstm_backward, lstm_forward, rnn_backward, rnn_forward,
};
