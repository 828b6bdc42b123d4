//! One module a verb: each takes resolved values, calls the libraries, and prints.

pub mod completions;
pub mod figure;
