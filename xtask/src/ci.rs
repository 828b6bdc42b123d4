//! `ci`: what must pass before a merge, cheapest first, stopping at the first step that fails.

use std::ffi::OsString;
use std::time::Instant;

use crate::error::Result;
use crate::kernels::{self, Outcome};
use crate::{test, tidy, tools};

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> Result<Outcome>);

const STEPS: [Step; 5] = [
    ("fmt", || passed(tools::fmt(&["--check".into()]))),
    ("tidy", || passed(tidy::run(&[]))),
    ("kernels", kernels::check),
    ("clippy", || passed(tools::clippy())),
    ("docs", || passed(tools::docs(&[]))),
];

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// `ci`
pub fn run(args: &[OsString]) -> Result<()> {
    tools::no_arguments(args)?;
    let mut table = String::from("step         seconds\n");
    for (name, step) in STEPS {
        let start = Instant::now();
        let skipped = if step()? == Outcome::Skipped { "  skipped, see above" } else { "" };
        table += &format!("{name:<10} {:>9.1}{skipped}\n", start.elapsed().as_secs_f64());
    }
    // The tests print their own table and, last, how many passed; so the other one comes before.
    println!("{table}");
    test::run(&["--asan".into()])
}
