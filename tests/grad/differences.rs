//! The checks themselves: right rules pass, wrong rules fail.

use crate::table::{Row, table, tensor};
use seqweave_autograd::check::{Report, check_some_gradients};
use seqweave_autograd::{Result, Var, record};
use seqweave_tensor::ops;

/// Step of the differences: their curvature (EPS⁴) and the rounding of the loss over it stay below the tolerance.
const EPS: f64 = 1e-4;
/// One part in a million; a gradient below 1e-4 may be off by a millionth of that.
const RTOL: f64 = 1e-6;
const ATOL: f64 = 1e-10;
/// Elements of each input that are compared: all of the small ones, a spread of the large ones.
const LIMIT: usize = 60;

fn check(row: &Row, s: &[usize], f: impl Fn(&[Var]) -> Result<Var>) -> Report {
    check_some_gradients(&(row.inputs)(s), f, EPS, RTOL, ATOL, LIMIT)
        .unwrap_or_else(|e| panic!("{} {s:?}: {e}", row.name))
}

/// Sizes whose loss is small enough for a difference quotient; the largest of a row is there for its threads.
fn small(s: &[usize]) -> bool {
    s.iter().product::<usize>() <= 60_000
}

#[test]
fn every_row_agrees_with_central_differences() {
    let mut worst = (0.0, String::new());
    let mut elements = 0;
    for row in table() {
        for s in row.sizes.iter().filter(|s| small(s)) {
            let report = check(&row, s, |x| row.loss(x, s));
            assert!(report.passed(), "{} {s:?}: {report}", row.name);
            assert!(report.elements > 0, "{} {s:?} compared nothing", row.name);
            elements += report.elements;
            if report.worst_error() > worst.0 {
                worst = (report.worst_error(), format!("{} {s:?}", row.name));
            }
        }
    }
    println!("{elements} elements; worst relative error {:.2e} in {}", worst.0, worst.1);
}

/// The identity whose rule is wrong by one part in ten thousand.
fn slightly_wrong(x: &Var) -> Result<Var> {
    record(x.value().clone(), [x], |dy, [x], g| g.give(x, ops::scale(&dy, 1.0001)?))
}

#[test]
fn a_slightly_wrong_rule_is_caught_in_every_row() {
    for row in table() {
        let s = &row.sizes[1];
        let report = check(&row, s, |x| {
            let mut x = x.to_vec();
            x[0] = slightly_wrong(&x[0])?;
            row.loss(&x, s)
        });
        assert!(!report.passed(), "{} {s:?}: a gradient wrong by 1e-4 passed", row.name);
        assert!(report.failures.iter().all(|e| e.input == 0), "{}: {report}", row.name);
    }
}

#[test]
fn a_forgotten_contribution_is_caught() {
    // y = x∘x whose rule forgets one of the two factors.
    let forgetful = |x: &Var| {
        let xv = x.value().clone();
        record(ops::mul(&xv, &xv)?, [x], move |dy, [x], g| g.give(x, ops::mul(&dy, &xv)?))
    };
    let inputs = [tensor([5], 0.4)];
    let report =
        check_some_gradients(&inputs, |x| seqweave_autograd::sum(&forgetful(&x[0])?), EPS, RTOL, ATOL, LIMIT)
            .unwrap();
    assert_eq!(report.failures.len(), 5, "{report}");
}

#[test]
fn padding_gets_no_gradient() {
    let tape = seqweave_autograd::Tape::new();
    let w = tape.leaf(tensor([4, 3], 0.4));
    let ids = seqweave_tensor::Ids::list(vec![2, 0, 2, 3, 0]);
    let y = seqweave_autograd::embedding(&w, &ids, Some(0)).unwrap();
    let loss = seqweave_autograd::sum(&y).unwrap();
    let gradients = tape.backward(&loss, None).unwrap();
    let [pad, unused, twice, once] =
        [0, 1, 2, 3].map(|v| gradients.get(&w).unwrap().step(v).unwrap().to_vec());
    assert_eq!((pad, unused, twice, once), (vec![0.0; 3], vec![0.0; 3], vec![2.0; 3], vec![1.0; 3]));
}
