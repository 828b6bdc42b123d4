//! Every operation as plain functions: `op(inputs…)` allocates its result, `op_into(…, out)` writes where it is told.
//!
//! A body has a fixed rhythm: destructure the shapes, check them, compute.
//!
//! An `op_into` that is also somebody's gradient (`add_into`, `mul_into`, `slice_last_into`, …) and every `op_backward`
//! with a destination take an [`Acc`](crate::Acc) that says whether to set or to add; the other `op_into` set.
//! The fused families (layer normalisation, recurrent layers, attention) return fresh gradients instead, because their
//! backward pass makes all of them at once.

pub mod attention;
mod check;
mod clip;
mod cross_entropy;
mod dropout;
mod elementwise;
mod embedding;
mod matmul;
mod norm;
mod optim;
pub mod recurrent;
mod reduce;
mod shape;
mod softmax;
#[cfg(test)]
mod testing;

pub use attention::{additive_attention, additive_attention_backward, dot_attention, dot_attention_backward};
pub use clip::{GradScale, clip_factor};
pub use cross_entropy::{
    CrossEntropy, LinearCrossEntropy, LinearCrossEntropyGrads, LossTotals, cross_entropy,
    cross_entropy_backward, linear_cross_entropy,
};
pub use dropout::{dropout, dropout_into, dropout_steps};
pub use elementwise::{
    add, add_bias, add_bias_into, add_into, axpy, bias_backward, copy_into, mul, mul_into, relu,
    relu_backward, relu_into, scale, scale_into, sigmoid, sigmoid_backward, sigmoid_into, sub, sub_into,
    tanh, tanh_backward, tanh_into,
};
pub use embedding::{embedding, embedding_backward, embedding_into};
pub use matmul::{PackedRhs, Weight, gemm, gemm_packed, linear, linear_packed, matmul, matmul_packed};
pub use norm::{LayerNormSaved, layer_norm, layer_norm_backward, layer_norm_into};
pub(crate) use optim::AdamFactors;
pub use optim::{AdamStep, SgdStep, adam, sgd};
pub use recurrent::{
    Direction, GruGrads, GruOperands, GruSaved, LstmGrads, LstmOperands, LstmOutputGrads, LstmSaved,
    RnnGrads, RnnSaved, gru_backward, gru_both_backward, gru_both_forward, gru_both_infer, gru_forward,
    gru_infer, lstm_backward, lstm_both_backward, lstm_both_forward, lstm_both_infer, lstm_forward,
    lstm_infer, rnn_backward, rnn_forward, rnn_infer,
};
pub use reduce::{
    argmax_last, first_non_finite, max_last, max_last_into, mean, sum, sum_last, sum_last_into, sum_rows,
    sum_rows_into, sum_squares,
};
pub use shape::{
    concat_first, concat_last, concat_last_into, pad_slice_into, select_rows, slice_last, slice_last_into,
    stack, swap01, swap01_into,
};
pub use softmax::{
    TopLogProbs, log_softmax, log_softmax_backward, log_softmax_into, softmax, softmax_backward,
    softmax_into, top_log_probs,
};
