//! `ci`: what must pass before a merge, cheapest first, stopping at the first step that fails.

use std::ffi::OsString;
use std::time::Instant;

use crate::error::Result;
use crate::{kernels, test, tidy, tools};

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 5] = [
    ("fmt", || tools::fmt(&["--check".into()])),
    ("kernels", || kernels::check().map(|_| ())),
    ("tidy", || tidy::run(&[])),
    ("clippy", tools::clippy),
    ("docs", || tools::docs(&[])),
];

/// `ci`
pub fn run(args: &[OsString]) -> Result<()> {
    tools::no_arguments(args)?;
    let mut table = String::from("step         seconds\n");
    for (name, step) in STEPS {
        let start = Instant::now();
        step()?;
        table += &format!("{name:<10} {:>9.1}\n", start.elapsed().as_secs_f64());
    }
    // The tests print their own table and, last, how many passed; so the other one comes before.
    println!("{table}");
    test::run(&[])
}
