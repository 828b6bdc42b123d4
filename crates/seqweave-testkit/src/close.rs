//! `assert_close`: the one comparison of numbers which all tests use.

use std::fmt;

/// Asserts `|got - want| ≤ atol + rtol·|want|` for every element, the rule of `numpy.allclose`.
///
/// `f32` and `f64` slices mix freely: both sides are compared as `f64`.
/// A NaN never passes, not even against a NaN; an infinity passes only against the same infinity.
/// `what` names the values in the message, for example `"lstm dw_hh"`.
///
/// # Panics
///
/// If the lengths differ or an element is too far away; the message shows the worst element.
#[track_caller]
pub fn assert_close<G, W>(got: &[G], want: &[W], rtol: f64, atol: f64, what: &str)
where
    G: Into<f64> + Copy,
    W: Into<f64> + Copy,
{
    if let Err(mismatch) = check_close(got, want, rtol, atol) {
        panic!("{what}: {mismatch}");
    }
}

/// The comparison behind [`assert_close`], as a value: for helpers that collect several failures before they report.
pub fn check_close<G, W>(got: &[G], want: &[W], rtol: f64, atol: f64) -> Result<(), Mismatch>
where
    G: Into<f64> + Copy,
    W: Into<f64> + Copy,
{
    if got.len() != want.len() {
        return Err(Mismatch::Length { got: got.len(), want: want.len() });
    }
    let mut failures = 0;
    let mut worst = (0.0, 0);
    for (index, (&g, &w)) in got.iter().zip(want).enumerate() {
        let excess = excess(g.into(), w.into(), rtol, atol);
        if excess > 0.0 {
            failures += 1;
            // Strictly greater: among equals the first one is shown.
            if excess > worst.0 {
                worst = (excess, index);
            }
        }
    }
    if failures == 0 {
        return Ok(());
    }
    let (_, index) = worst;
    let (g, w): (f64, f64) = (got[index].into(), want[index].into());
    let allowed = allowed(w, rtol, atol);
    Err(Mismatch::Value { index, got: g, want: w, allowed, failures, length: got.len() })
}

fn allowed(want: f64, rtol: f64, atol: f64) -> f64 {
    atol + rtol * want.abs()
}

/// How far an element is beyond what is allowed: 0 if it passes, else difference over allowed difference.
fn excess(got: f64, want: f64, rtol: f64, atol: f64) -> f64 {
    let difference = (got - want).abs();
    if got == want {
        0.0
    } else if !difference.is_finite() {
        // A NaN or an infinity, which no tolerance excuses.
        f64::INFINITY
    } else if difference <= allowed(want, rtol, atol) {
        0.0
    } else {
        // Any tolerance of zero makes this infinite, and so does a NaN among the tolerances.
        let excess = difference / allowed(want, rtol, atol);
        if excess.is_nan() { f64::INFINITY } else { excess }
    }
}

/// Why two slices are not close.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The slices have different lengths.
    Length {
        /// Elements in `got`.
        got: usize,
        /// Elements in `want`.
        want: usize,
    },
    /// At least one element is too far away; the worst one (largest difference over allowed difference) is kept.
    Value {
        /// Position of the worst element.
        index: usize,
        /// Its value.
        got: f64,
        /// The value it should have.
        want: f64,
        /// `atol + rtol·|want|`
        allowed: f64,
        /// How many elements are too far away.
        failures: usize,
        /// Elements compared.
        length: usize,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Length { got, want } => write!(f, "got {got} values, want {want}"),
            Mismatch::Value { index, got, want, allowed, failures, length } => write!(
                f,
                "{failures} of {length} values differ; worst at [{index}]: got {got:?}, want {want:?}, \
                 difference {:.3e}, allowed {allowed:.3e}",
                (got - want).abs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;

    #[test]
    fn the_rule_is_numpys() {
        // got, want, rtol, atol, passes
        let rows: &[(f64, f64, f64, f64, bool)] = &[
            (1.0, 1.0, 0.0, 0.0, true),
            (1.0 + 1e-7, 1.0, 1e-6, 0.0, true),
            (1.0 + 1e-5, 1.0, 1e-6, 0.0, false),
            (1e-9, 0.0, 1e-6, 0.0, false), // a relative tolerance says nothing about zero
            (1e-9, 0.0, 0.0, 1e-8, true),
            (0.0, 0.0, 0.0, 0.0, true),
            (NAN, NAN, 1.0, 1.0, false),
            (NAN, 1.0, 1.0, INF, false),
            (1.0, NAN, INF, 1.0, false),
            (INF, INF, 0.0, 0.0, true),
            (INF, -INF, 1.0, 1.0, false),
            (1.0, INF, 1.0, 1.0, false),
            (INF, 1.0, 1.0, INF, false),
        ];
        for &(got, want, rtol, atol, passes) in rows {
            let result = check_close(&[got], &[want], rtol, atol);
            assert_eq!(result.is_ok(), passes, "{got} {want} {rtol} {atol}: {result:?}");
        }
    }

    #[test]
    fn the_worst_element_is_shown() {
        let got = [1.0f32, 2.5, 3.0, 4.1];
        let error = check_close(&got, &[1.0, 2.0, 3.0, 4.0], 0.0, 1e-3).unwrap_err().to_string();
        assert!(error.starts_with("2 of 4 values differ; worst at [1]: got 2.5, want 2.0"), "{error}");
        assert!(error.ends_with("allowed 1.000e-3"), "{error}");
        let error = check_close(&[1.0, NAN, 9.0], &[1.0, 2.0, 3.0], 0.0, 1e-3).unwrap_err().to_string();
        assert!(error.contains("worst at [1]: got NaN"), "{error}");
    }

    #[test]
    fn lengths_must_match() {
        let empty: Vec<f32> = Vec::new();
        assert_eq!(check_close(&empty, &empty, 0.0, 0.0), Ok(()));
        let error = check_close(&[1.0f32], &empty, 1.0, 1.0).unwrap_err();
        assert_eq!(error, Mismatch::Length { got: 1, want: 0 });
    }

    #[test]
    #[should_panic(expected = "gates: 1 of 1 values differ")]
    fn assert_names_the_values() {
        assert_close(&[1.0f32], &[2.0], 0.0, 0.0, "gates");
    }
}
