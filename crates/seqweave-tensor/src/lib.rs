//! Tensors, random streams, and every operation as plain forward and backward functions.
