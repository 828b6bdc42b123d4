//! What every row of the op table gives in f64, against which results in f32 are held on the CPU and on a device.
//!
//! Two f32 results that agree could be wrong in the same way: the kernels take the steps of the CPU. `reference.tsv` is
//! made by the f64 build, whose gradients are held against finite differences; `tests/grad` makes sure that it is up to
//! date and rewrites it with `SEQWEAVE_UPDATE_REFERENCE=1`. A line is a result: row, size, number of the result, how many
//! elements, their sum, and a few of them.

use crate::table::{Row, table};
use seqweave_tensor::{Device, Float};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most elements of a result that are kept, evenly spaced from the first to the last.
const KEPT: usize = 7;
/// How far a result in f32 may lie from f64, relative to 1 + |value|.
pub const TOLERANCE: f64 = 4e-5;
const TEXT: &str = include_str!("reference.tsv");

/// What is known of a result: the number of elements, their sum, and some of them.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    count: usize,
    sum: f64,
    some: Vec<f64>,
}

impl Known {
    fn of(values: &[Float]) -> Self {
        let value = |i: usize| f64::from(values[i]);
        let kept = KEPT.min(values.len());
        let some = (0..kept).map(|i| value(i * (values.len() - 1) / (kept - 1).max(1))).collect();
        Self { count: values.len(), sum: (0..values.len()).map(value).sum(), some }
    }

    /// How far this result lies from `want`, relative to 1 + |value|, of the sum to 1 + Σ|value|.
    fn distance(&self, want: &Self, magnitude: f64) -> f64 {
        let values =
            self.some.iter().zip(&want.some).map(|(got, want)| (got - want).abs() / (1.0 + want.abs()));
        // Unlike f64::max, which drops it, a NaN is the farthest and stays it.
        let farther = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        values.fold((self.sum - want.sum).abs() / (1.0 + magnitude), farther)
    }
}

fn key(row: &Row, s: &[usize], result: usize) -> String {
    format!("{}\t{s:?}\t{result}", row.name)
}

/// The lines of the file by row, size and number of the result.
fn known() -> BTreeMap<String, Known> {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|e| panic!("{text}: {e}"));
    let parse = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [row, size, result, count, sum, some @ ..] = columns.as_slice() else { panic!("{line}") };
        let some = some.iter().map(|text| number(text)).collect();
        let known = Known { count: count.parse().unwrap(), sum: number(sum), some };
        ([*row, *size, *result].join("\t"), known)
    };
    TEXT.lines().map(parse).collect()
}

/// The largest distance of a result of the op table on `device` from the reference, with its name.
pub fn farthest(device: &Device) -> (f64, String) {
    let known = known();
    let (mut largest, mut results) = ((0.0, String::new()), 0);
    for row in table() {
        for s in &row.sizes {
            let all = row.run_on(device, s).unwrap_or_else(|e| panic!("{} {s:?}: {e}", row.name));
            for (i, values) in all.iter().enumerate() {
                let key = key(&row, s, i);
                let want = known.get(&key).unwrap_or_else(|| {
                    panic!(
                        "{key} is not in tests/kernels/reference.tsv\n\
                         help: SEQWEAVE_UPDATE_REFERENCE=1 cargo xtask test grad"
                    )
                });
                assert_eq!(values.len(), want.count, "elements of {key}");
                let magnitude = values.iter().map(|&x| f64::from(x).abs()).sum();
                let distance = Known::of(values).distance(want, magnitude);
                if distance > largest.0 || distance.is_nan() {
                    largest = (distance, key.replace('\t', " "));
                }
                results += 1;
            }
        }
    }
    assert_eq!(known.len(), results, "tests/kernels/reference.tsv has lines that no row gives");
    (largest.0, largest.1)
}

#[test]
fn a_nan_or_an_infinity_is_never_near() {
    let want = Known::of(&[1.0, 2.0, 3.0]);
    for bad in [Float::NAN, Float::INFINITY, Float::NEG_INFINITY] {
        for at in 0..3 {
            let mut values = [1.0, 2.0, 3.0];
            values[at] = bad;
            let magnitude = values.iter().map(|&x| f64::from(x).abs()).sum();
            let distance = Known::of(&values).distance(&want, magnitude);
            assert!(distance.is_nan() || distance == f64::INFINITY, "{values:?}: {distance}");
        }
    }
    assert_eq!(want.distance(&want, 6.0), 0.0);
}

/// The text of `reference.tsv` as this build gives it.
pub fn text() -> String {
    let mut text = String::new();
    for row in table() {
        for s in &row.sizes {
            for (i, values) in row.run(s).unwrap().iter().enumerate() {
                let Known { count, sum, some } = Known::of(values);
                let some: String = some.iter().map(|x| format!("\t{x:.11e}")).collect();
                writeln!(text, "{}\t{count}\t{sum:.11e}{some}", key(&row, s, i)).unwrap();
            }
        }
    }
    text
}
