//! The `seqweave` binary: parse, resolve, call, print.

fn main() {}
