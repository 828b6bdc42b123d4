//! Checks of every operation that need no gradient checker: determinism, completeness of the table, and equality of the
//! fused operations with compositions of small ones.

// In one of the two builds `Float` already is the type a cast names.
#![allow(clippy::unnecessary_cast, clippy::useless_conversion)]

mod composed;
mod cuda;
#[allow(dead_code)] // written by `tests/grad`, in f64
mod reference;
mod table;

use seqweave_tensor::Float;
use std::collections::BTreeSet;
use table::table;

fn bits(values: &[Vec<Float>]) -> Vec<Vec<u64>> {
    values.iter().map(|v| v.iter().map(|x| f64::from(*x).to_bits()).collect()).collect()
}

#[test]
fn every_row_gives_the_same_bits_again_and_for_any_number_of_threads() {
    for row in table() {
        for s in &row.sizes {
            let first = bits(&row.run(s).unwrap_or_else(|e| panic!("{} {s:?}: {e}", row.name)));
            for threads in [1, 2, 4] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = bits(&pool.install(|| row.run(s)).unwrap());
                assert_eq!(first, again, "{} {s:?} on {threads} threads", row.name);
            }
        }
    }
}

/// In the f64 build `tests/grad` does this with a finer measure.
#[test]
fn every_row_agrees_with_f64() {
    let (distance, row) = reference::farthest(&seqweave_tensor::Device::cpu());
    println!("largest difference from f64 {distance:e}: {row}");
    assert!(distance <= reference::TOLERANCE, "{row} is off by {distance:e}");
}

#[test]
fn every_input_of_every_row_gets_a_finite_gradient() {
    for row in table() {
        for s in &row.sizes {
            let inputs = (row.inputs)(s);
            let all = row.run(s).unwrap();
            let gradients = &all[all.len() - inputs.len()..];
            for (i, (x, g)) in inputs.iter().zip(gradients).enumerate() {
                assert_eq!(x.numel(), g.len(), "{} {s:?}: gradient of input {i}", row.name);
                assert!(g.iter().all(|g| g.is_finite()), "{} {s:?}: gradient of input {i}", row.name);
            }
        }
    }
}

/// The rules are read from source text, so that a rule without a row cannot be forgotten.
#[test]
fn every_rule_has_a_row() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/seqweave-autograd/src/rules");
    let mut rules = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let public = text.lines().filter_map(|line| line.strip_prefix("pub fn "));
        rules.extend(public.map(|rest| rest.split(['(', '<']).next().unwrap_or(rest).to_owned()));
    }
    let rows: BTreeSet<String> = table().iter().map(|row| row.op().to_owned()).collect();
    assert!(rules.len() >= 25, "the rules folder was not read: {rules:?}");
    assert_eq!(rules, rows, "rules on the left, rows of the table on the right");
}

/// A guide whose code has moved on teaches what does not compile.
#[test]
fn the_guide_to_adding_an_op_shows_the_code_as_it_is() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let code: BTreeSet<String> = [
        "kernels/cu/softmax.cu",
        "crates/seqweave-tensor/src/ops/softmax.rs",
        "crates/seqweave-tensor/src/cuda/softmax.rs",
        "crates/seqweave-autograd/src/rules/softmax.rs",
        "tests/kernels/table.rs",
    ]
    .iter()
    .flat_map(|path| read(path).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
    .collect();
    let guide = read("docs/guide/adding-an-op.md");
    let (mut inside, mut seen) = (false, 0);
    for line in guide.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && !line.is_empty() {
            assert!(code.contains(line), "no such line in the code: {line}");
            seen += 1;
        }
    }
    assert!(seen >= 25, "the guide has {seen} lines of code");
}

/// No input may leave its row: padding and neighbours change nothing in what a row of a batch gives.
#[test]
fn a_row_alone_gives_the_bits_it_gives_in_company() {
    composed::rows_alone_equal_rows_in_company();
}
