//! The binary, end to end: it is run as its users run it, in a fresh folder per test, and judged by its exit code and by
//! what it writes to stdout, to stderr and into files.
//!
//! `cargo xtask test e2e` builds the release binary and names it in `SEQWEAVE_BIN`.
#![cfg(unix)]

mod bad_input;
mod browser;
mod corpora;
mod damage;
mod decoding;
mod dir;
mod features;
mod flows;
mod models;
mod observe;
mod scan;
mod scores;
mod tokenizer;
mod training;
mod translate;
