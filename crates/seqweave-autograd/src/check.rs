//! Checks rules against central differences.
//!
//! Meant for the f64 build (`--cfg seqweave_f64`), where a difference quotient with step 1e-4 has some ten good digits.
//! In f32 it has two or three, which still catches a missing factor.

use crate::{Error, Result, Tape, Var};
use seqweave_tensor::{Float, Tensor};

/// One element of one input, differentiated both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Which input.
    pub input: usize,
    /// Row-major position in that input.
    pub position: usize,
    /// What the tape says.
    pub tape: f64,
    /// What the difference quotient says.
    pub difference: f64,
}

impl Element {
    /// |tape − difference| / max(|tape|, |difference|, floor).
    pub fn relative_error(&self, floor: f64) -> f64 {
        let size = self.tape.abs().max(self.difference.abs()).max(floor);
        let error = (self.tape - self.difference).abs() / size;
        if error.is_nan() { f64::INFINITY } else { error }
    }
}

/// What a gradient check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Number of elements compared.
    pub elements: usize,
    /// The element with the largest relative error.
    pub worst: Option<Element>,
    /// Elements outside the tolerance.
    pub failures: Vec<Element>,
    /// Below this size a gradient counts as this large in relative errors: `atol / rtol`.
    pub floor: f64,
}

impl Report {
    /// Whether every element is within the tolerance.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The largest relative error, 0 if nothing was compared.
    pub fn worst_error(&self) -> f64 {
        self.worst.map_or(0.0, |e| e.relative_error(self.floor))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} elements outside the tolerance", self.failures.len(), self.elements)?;
        let mut line = |title: &str, e: &Element| {
            let error = e.relative_error(self.floor);
            write!(f, "\n  {title} input {} element {}: ", e.input, e.position)?;
            write!(f, "tape {:.9e}, difference {:.9e}, relative error {error:.2e}", e.tape, e.difference)
        };
        if let Some(worst) = &self.worst {
            line("worst:", worst)?;
        }
        self.failures.iter().take(8).try_for_each(|e| line("wrong:", e))
    }
}

/// Compares the gradients of `f` at `inputs` with central differences, element by element.
///
/// `f` must return one number and must not depend on anything but its inputs. An element passes if
/// |tape − difference| ≤ `atol` + `rtol`·max(|tape|, |difference|); `eps` is the step of the difference.
///
/// ```
/// use seqweave_autograd::{check::check_gradients, mul, sum, tanh};
/// use seqweave_tensor::{Device, Tensor};
///
/// let x = Tensor::from_slice(&Device::cpu(), &[0.3, -0.8, 1.2], [3])?;
/// let report = check_gradients(&[x], |v| sum(&mul(&v[0], &tanh(&v[0])?)?), 1e-3, 1e-2, 1e-3)?;
/// assert!(report.passed(), "{report}");
/// # Ok::<(), seqweave_autograd::Error>(())
/// ```
///
/// # Errors
/// Whatever `f` returns, and [`Error::NotScalar`] if its result is not one number.
pub fn check_gradients(
    inputs: &[Tensor],
    f: impl Fn(&[Var]) -> Result<Var>,
    eps: Float,
    rtol: f64,
    atol: f64,
) -> Result<Report> {
    check_some_gradients(inputs, f, eps, rtol, atol, usize::MAX)
}

/// Like [`check_gradients`], with at most `limit` elements of each input, spread evenly: for large inputs.
///
/// # Errors
/// As [`check_gradients`].
pub fn check_some_gradients(
    inputs: &[Tensor],
    f: impl Fn(&[Var]) -> Result<Var>,
    eps: Float,
    rtol: f64,
    atol: f64,
    limit: usize,
) -> Result<Report> {
    let tape = Tape::new();
    let leaves: Vec<Var> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
    let loss = f(&leaves)?;
    let gradients = if loss.needs_grad() { Some(tape.backward(&loss, None)?) } else { None };
    let floor = if rtol > 0.0 { atol / rtol } else { 0.0 };
    let mut report = Report { elements: 0, worst: None, failures: Vec::new(), floor };
    for (input, x) in inputs.iter().enumerate() {
        // An input the loss does not depend on has the gradient zero, and the differences must agree.
        let by_tape = gradients.as_ref().and_then(|g| g.get(&leaves[input])).map(Tensor::to_vec);
        let n = x.numel();
        let checked = n.min(limit);
        for i in 0..checked {
            let position = i * n / checked;
            let element = Element {
                input,
                position,
                tape: by_tape.as_ref().map_or(0.0, |g| f64::from(g[position])),
                difference: difference(inputs, &f, input, position, eps)?,
            };
            report.add(element, rtol, atol);
        }
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, e: Element, rtol: f64, atol: f64) {
        self.elements += 1;
        // Written so that a NaN on either side fails.
        let allowed = atol + rtol * e.tape.abs().max(e.difference.abs());
        let within = (e.tape - e.difference).abs() <= allowed;
        if !within {
            self.failures.push(e);
        }
        if self.worst.is_none_or(|w| e.relative_error(self.floor) > w.relative_error(self.floor)) {
            self.worst = Some(e);
        }
    }
}

/// d f / d x for one element x, with h = `eps`: (8·(f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12·h.
///
/// The second difference cancels the curvature that the first one leaves, so that the step can be large enough for the
/// rounding of f to vanish as well: with h = 1e-4 in f64 some ten digits are good.
fn difference(
    inputs: &[Tensor],
    f: &impl Fn(&[Var]) -> Result<Var>,
    input: usize,
    position: usize,
    eps: Float,
) -> Result<f64> {
    let x = &inputs[input];
    let (mut moved, values): (Vec<Var>, _) =
        (inputs.iter().cloned().map(Var::constant).collect(), x.to_vec());
    let mut at = |steps: Float| -> Result<f64> {
        let mut values = values.clone();
        values[position] += steps * eps;
        moved[input] = Var::constant(Tensor::from_vec(x.device(), values, *x.shape())?);
        let y = f(&moved)?;
        if y.value().numel() != 1 {
            return Err(Error::NotScalar { found: *y.shape() });
        }
        Ok(f64::from(y.item()?))
    };
    let (near, far) = (at(1.0)? - at(-1.0)?, at(2.0)? - at(-2.0)?);
    Ok((8.0 * near - far) / (12.0 * f64::from(eps)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mul, record, scale, sum};
    use seqweave_tensor::{Device, ops};

    /// Step and tolerances the element type allows.
    const STEP: (Float, f64, f64) =
        if size_of::<Float>() == 8 { (1e-4, 1e-8, 1e-11) } else { (1e-2, 1e-2, 1e-3) };

    fn input() -> Tensor {
        Tensor::from_slice(&Device::cpu(), &[0.5, -1.5, 2.0, 0.25], [2, 2]).unwrap()
    }

    fn check(f: impl Fn(&[Var]) -> Result<Var>) -> Report {
        check_gradients(&[input(), input()], f, STEP.0, STEP.1, STEP.2).unwrap()
    }

    #[test]
    fn a_right_rule_passes() {
        let report = check(|x| sum(&mul(&x[0], &x[1])?));
        assert!(report.passed() && report.elements == 8, "{report}");
        assert!(report.worst_error() < STEP.1, "{report}");
    }

    #[test]
    fn a_planted_wrong_rule_is_caught_and_shown() {
        // The square, whose rule doubles too much.
        let wrong = |x: &Var| {
            let xv = x.value().clone();
            record(ops::mul(&xv, &xv)?, [x], move |dy, [x], g| {
                g.give(x, ops::scale(&ops::mul(&xv, &dy)?, 2.2)?)
            })
        };
        let report = check(|x| sum(&wrong(&x[1])?));
        assert_eq!(report.failures.len(), 4, "{report}");
        assert!(report.failures.iter().all(|e| e.input == 1));
        assert!((report.worst_error() - 0.2 / 2.2).abs() < 0.01, "{report}");
        let text = report.to_string();
        assert!(
            text.starts_with("4 of 8 elements outside the tolerance") && text.contains("input 1"),
            "{text}"
        );
    }

    #[test]
    fn a_gradient_that_is_not_a_number_is_caught() {
        let nan =
            |x: &Var| record(x.value().clone(), [x], |dy, [x], g| g.give(x, ops::scale(&dy, Float::NAN)?));
        let report = check(|x| sum(&nan(&x[0])?));
        assert_eq!(report.failures.len(), 4);
        assert_eq!(report.worst_error(), f64::INFINITY);
    }

    #[test]
    fn a_missing_gradient_is_caught() {
        let report = check(|x| sum(&mul(&x[0], &x[1].detach())?));
        // `detach` hides the dependence from the tape but not from the differences.
        assert_eq!(report.failures.len(), 4, "{report}");
        let report = check(|x| sum(&scale(&x[0].detach(), 1.0)?));
        assert_eq!(report.failures.len(), 4, "a loss that is not on the tape at all: {report}");
    }

    #[test]
    fn a_limit_spreads_over_the_input() {
        let f = |x: &[Var]| sum(&mul(&x[0], &x[0])?);
        let report = check_some_gradients(&[input()], f, STEP.0, STEP.1, STEP.2, 2).unwrap();
        assert_eq!(report.elements, 2);
        assert!(report.passed(), "{report}");
    }

    #[test]
    fn a_result_that_is_not_one_number_is_an_error() {
        let result = check_gradients(&[input()], |x| scale(&x[0], 1.0), 1e-3, 1e-2, 1e-3);
        assert!(matches!(result, Err(Error::NotScalar { .. })));
    }
}
