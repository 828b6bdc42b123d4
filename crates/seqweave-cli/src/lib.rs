//! What the `seqweave` binary is made of: figures, arguments, output formats, commands.
//!
//! This is a library only so that examples and tests can reach its parts; programs should depend on `seqweave`.
#![forbid(unsafe_code)]

pub mod plot;
