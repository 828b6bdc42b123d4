//! Pointwise operations: sums, products, activations, a bias added to rows.
//!
//! NaN goes through every one of them.

use super::{check, reduce};
use crate::cuda::{self, CudaDevice, elementwise::Binary, elementwise::Unary, launchers};
use crate::math::{self, simd};
use crate::parallel::{for_chunks, for_rows};
use crate::{Acc, Device, Float, Result, Tensor, TensorMut};

/// Elements a task handles at once: they stay in the first-level cache.
const CHUNK: usize = 4096;

/// Defines loops `name(inputs; scalars) = expression`, which set their output to the expression or add it.
macro_rules! kernels {
    ($($name:ident($($x:ident),+ $(; $s:ident)?) = $e:expr;)+) => { simd! {$(
        fn $name($($x: &[Float],)+ $($s: Float,)? acc: Acc, out: &mut [Float]) {
            let n = out.len();
            $(let $x = &$x[..n];)+
            match acc {
                Acc::Set => for i in 0..n {
                    $(let $x = $x[i];)+
                    out[i] = $e;
                },
                Acc::Add => for i in 0..n {
                    $(let $x = $x[i];)+
                    out[i] += $e;
                },
            }
        }
    )+} };
}

kernels! {
    add_loop(a, b) = a + b;
    sub_loop(a, b) = a - b;
    mul_loop(a, b) = a * b;
    copy_loop(x) = x;
    scale_loop(x; s) = s * x;
    tanh_loop(x) = math::tanh(x);
    tanh_backward_loop(y, dy) = dy * (1.0 - y * y);
    sigmoid_loop(x) = math::sigmoid(x);
    sigmoid_backward_loop(y, dy) = dy * (y * (1.0 - y));
    relu_loop(x) = if x <= 0.0 { 0.0 } else { x };
    relu_backward_loop(y, dy) = if y <= 0.0 { 0.0 } else { dy };
}

/// One input: on the CPU `f(chunk of x, chunk of out)` over all chunks, else `launch`.
fn map1(
    op: &'static str,
    x: &Tensor,
    mut out: TensorMut<'_>,
    f: impl Fn(&[Float], &mut [Float]) + Sync,
    launch: impl FnOnce(&CudaDevice, TensorMut<'_>) -> Result<()>,
) -> Result<()> {
    check::shape(op, "output", x.shape(), out.shape())?;
    match check::device(op, x, &[&out])? {
        Device::Cpu(_) => {
            let x = x.cpu();
            for_chunks(out.cpu_mut(), CHUNK, |start, out| f(&x[start..start + out.len()], out));
            Ok(())
        }
        Device::Cuda(cuda) => launch(cuda, out),
    }
}

/// Two inputs of one shape: on the CPU `f(chunk of a, chunk of b, chunk of out)` over all chunks, else `kernel`.
fn map2(
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    acc: Acc,
    mut out: TensorMut<'_>,
    f: impl Fn(&[Float], &[Float], &mut [Float]) + Sync,
    kernel: Binary,
) -> Result<()> {
    check::shape(op, "second operand", a.shape(), b.shape())?;
    check::shape(op, "output", a.shape(), out.shape())?;
    match check::device(op, a, &[b, &out])? {
        Device::Cpu(_) => {
            let (a, b) = (a.cpu(), b.cpu());
            for_chunks(out.cpu_mut(), CHUNK, |start, out| {
                let end = start + out.len();
                f(&a[start..end], &b[start..end], out);
            });
            Ok(())
        }
        Device::Cuda(cuda) => cuda::elementwise::binary(cuda, kernel, a, b, acc, out),
    }
}

/// Defines `op(a, b)` and `op_into(a, b, acc, out)`.
macro_rules! binary {
    ($($(#[$doc:meta])* $op:ident, $into:ident, $kernel:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
        pub fn $op(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            Tensor::try_build(a.device(), a.shape(), |out| $into(a, b, Acc::Set, out))
        }

        #[doc = concat!("[`", stringify!($op), "`] into `out`, set or added.")]
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
        pub fn $into(a: &Tensor, b: &Tensor, acc: Acc, out: TensorMut<'_>) -> Result<()> {
            map2(stringify!($op), a, b, acc, out, |a, b, out| $kernel(a, b, acc, out), launchers::$op)
        }
    )+};
}

binary! {
    /// `y = a + b`, both of one shape.
    add, add_into, add_loop;
    /// `y = a - b`, both of one shape.
    sub, sub_into, sub_loop;
    /// `y = a·b` element by element, both of one shape. Its backward is `mul_into` with the other factor.
    mul, mul_into, mul_loop;
}

/// Defines an activation `op(x)`, `op_into(x, out)` and `op_backward(y, dy, acc, dx)`.
macro_rules! activation {
    ($($(#[$doc:meta])* $op:ident, $into:ident, $kernel:ident, $launcher:ident;
       $(#[$backward_doc:meta])* $backward:ident, $backward_kernel:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// None today.
        pub fn $op(x: &Tensor) -> Result<Tensor> {
            Tensor::try_build(x.device(), x.shape(), |out| $into(x, out))
        }

        #[doc = concat!("[`", stringify!($op), "`] into `out`.")]
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
        pub fn $into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
            let launch: Unary = launchers::$launcher;
            map1(stringify!($op), x, out, |x, out| $kernel(x, Acc::Set, out), |cuda, out| {
                cuda::elementwise::unary(cuda, launch, x, out)
            })
        }

        $(#[$backward_doc])*
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
        pub fn $backward(y: &Tensor, dy: &Tensor, acc: Acc, dx: TensorMut<'_>) -> Result<()> {
            map2(
                stringify!($backward),
                y,
                dy,
                acc,
                dx,
                |y, dy, dx| $backward_kernel(y, dy, acc, dx),
                launchers::$backward,
            )
        }
    )+};
}

activation! {
    /// `y = tanh(x)`, any shape. Within 2.5 units of the last place.
    tanh, tanh_into, tanh_loop, tanh_forward;
    /// `dx (+)= dy·(1 - y²)` from the output `y` of [`tanh`](fn@tanh).
    tanh_backward, tanh_backward_loop;

    /// `y = 1/(1 + e^-x)`, any shape. Within 2.5 units of the last place.
    sigmoid, sigmoid_into, sigmoid_loop, sigmoid_forward;
    /// `dx (+)= dy·y·(1 - y)` from the output `y` of [`sigmoid`](fn@sigmoid).
    sigmoid_backward, sigmoid_backward_loop;

    /// `y = max(x, 0)`, any shape.
    relu, relu_into, relu_loop, relu_forward;
    /// `dx (+)= dy where y > 0, else 0`, from the output `y` of [`relu`](fn@relu).
    relu_backward, relu_backward_loop;
}

/// `y = s·x`, any shape.
///
/// # Errors
/// None today.
pub fn scale(x: &Tensor, s: Float) -> Result<Tensor> {
    let y = Tensor::try_build(x.device(), x.shape(), |out| scale_into(x, s, Acc::Set, out))?;
    Ok(y.knowing(x.known().map(|x| s * x)))
}

/// [`scale`] into `out`, set or added.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn scale_into(x: &Tensor, s: Float, acc: Acc, out: TensorMut<'_>) -> Result<()> {
    map1(
        "scale",
        x,
        out,
        |x, out| scale_loop(x, s, acc, out),
        |cuda, out| cuda::elementwise::scale(cuda, x, s, acc, out),
    )
}

/// `y += alpha·x`, both of one shape.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn axpy(alpha: Float, x: &Tensor, y: TensorMut<'_>) -> Result<()> {
    map1(
        "axpy",
        x,
        y,
        |x, y| scale_loop(x, alpha, Acc::Add, y),
        |cuda, y| cuda::elementwise::scale(cuda, x, alpha, Acc::Add, y),
    )
}

/// `out (+)= x`, both of one shape: the backward of everything that only moves elements.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn copy_into(x: &Tensor, acc: Acc, out: TensorMut<'_>) -> Result<()> {
    map1(
        "copy",
        x,
        out,
        |x, out| copy_loop(x, acc, out),
        |cuda, out| cuda::elementwise::scale(cuda, x, 1.0, acc, out),
    )
}

/// `y[n,c] = x[n,c] + b[c]`, with `x: [..,C]`, `b: [C]`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `b` is not as long as the last axis of `x`.
pub fn add_bias(x: &Tensor, b: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), x.shape(), |out| add_bias_into(x, b, out))
}

/// [`add_bias`] into `out`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `b` is not as long as the last axis of `x`, or `out` not shaped like `x`.
pub fn add_bias_into(x: &Tensor, b: &Tensor, mut out: TensorMut<'_>) -> Result<()> {
    let (_, c) = x.shape().rows_and_columns();
    check::shape("add_bias", "bias", [c], b.shape())?;
    check::shape("add_bias", "output", x.shape(), out.shape())?;
    match check::device("add_bias", x, &[b, &out])? {
        Device::Cpu(_) => {
            let (x, b) = (x.cpu(), b.cpu());
            for_rows(out.cpu_mut(), c, c, |row, out| add_loop(&x[row * c..(row + 1) * c], b, Acc::Set, out));
            Ok(())
        }
        Device::Cuda(cuda) => cuda::elementwise::add_bias(cuda, x, b, out),
    }
}

/// `db[c] (+)= Σ_n dy[n,c]`, with `dy: [..,C]`, `db: [C]`; the order of [`sum_rows`](fn@super::sum_rows).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `db` is not as long as the last axis of `dy`.
pub fn bias_backward(dy: &Tensor, acc: Acc, db: TensorMut<'_>) -> Result<()> {
    reduce::sum_rows_into(dy, acc, db)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ODD, check_close, gradient, same_bits_for_any_threads, wave};
    use super::*;
    use crate::Error;

    /// One activation: name, op, backward, truth.
    type Activation = (
        &'static str,
        fn(&Tensor) -> Result<Tensor>,
        fn(&Tensor, &Tensor, Acc, TensorMut<'_>) -> Result<()>,
        fn(f64) -> f64,
    );
    const ACTIVATIONS: [Activation; 3] = [
        ("tanh", tanh, tanh_backward, f64::tanh),
        ("sigmoid", sigmoid, sigmoid_backward, |x| 1.0 / (1.0 + (-x).exp())),
        ("relu", relu, relu_backward, |x| x.max(0.0)),
    ];

    #[test]
    fn activations_equal_their_formula_and_its_slope() {
        for (name, op, backward, truth) in ACTIVATIONS {
            for n in ODD {
                let (x, dy) = (wave([n], 0.1), wave([n], 0.9));
                let naive = |x: &[f64]| x.iter().map(|&x| truth(x)).collect::<Vec<_>>();
                let y = op(&x).unwrap();
                check_close(name, &y, &naive(&x.to_f64()));
                for acc in [Acc::Set, Acc::Add] {
                    let mut dx = wave([n], 3.0);
                    let start = dx.to_f64();
                    backward(&y, &dy, acc, dx.view_mut().unwrap()).unwrap();
                    check_close(name, &dx, &gradient(naive, &x, &dy, acc, &start));
                }
            }
        }
    }

    #[test]
    fn activations_pass_nan_on() {
        let x = Tensor::from_slice(&crate::Device::cpu(), &[Float::NAN, 1.0], [2]).unwrap();
        for (name, op, _, _) in ACTIVATIONS {
            let y = op(&x).unwrap().to_vec();
            assert!(y[0].is_nan() && !y[1].is_nan(), "{name}: {y:?}");
        }
    }

    #[test]
    fn sums_and_products_are_exact() {
        for n in ODD {
            let (a, b) = (wave([n], 0.1), wave([n], 0.9));
            let plain = |f: fn(Float, Float) -> Float| {
                a.to_vec().iter().zip(b.to_vec()).map(|(&a, b)| f(a, b)).collect::<Vec<_>>()
            };
            assert_eq!(add(&a, &b).unwrap().to_vec(), plain(|a, b| a + b));
            assert_eq!(sub(&a, &b).unwrap().to_vec(), plain(|a, b| a - b));
            assert_eq!(mul(&a, &b).unwrap().to_vec(), plain(|a, b| a * b));
            assert_eq!(scale(&a, 0.3).unwrap().to_vec(), plain(|a, _| 0.3 * a));
            let mut y = b.deep_clone();
            axpy(0.3, &a, y.view_mut().unwrap()).unwrap();
            assert_eq!(y.to_vec(), plain(|a, b| b + 0.3 * a));
            let mut y = b.deep_clone();
            mul_into(&a, &b, Acc::Add, y.view_mut().unwrap()).unwrap();
            assert_eq!(y.to_vec(), plain(|a, b| b + a * b));
            copy_into(&a, Acc::Set, y.view_mut().unwrap()).unwrap();
            copy_into(&b, Acc::Add, y.view_mut().unwrap()).unwrap();
            assert_eq!(y.to_vec(), plain(|a, b| a + b));
        }
    }

    #[test]
    fn a_bias_is_added_to_every_row() {
        for c in ODD {
            let (x, b) = (wave([3, 5, c], 0.1), wave([c], 0.9));
            let (xs, bs) = (x.to_vec(), b.to_vec());
            let want: Vec<Float> = (0..15 * c).map(|i| xs[i] + bs[i % c]).collect();
            assert_eq!(add_bias(&x, &b).unwrap().to_vec(), want);
            let mut db = b.deep_clone();
            bias_backward(&x, Acc::Add, db.view_mut().unwrap()).unwrap();
            let mut want = b.to_f64();
            x.to_f64().iter().enumerate().for_each(|(i, x)| want[i % c] += x);
            check_close("bias_backward", &db, &want);
        }
    }

    #[test]
    fn threads_change_nothing() {
        let (x, y, b) = (wave([257, 300], 0.1), wave([257, 300], 0.9), wave([300], 0.4));
        same_bits_for_any_threads(|| {
            let mut db = Tensor::zeros(x.device(), [300]);
            bias_backward(&x, Acc::Add, db.fresh_mut()).unwrap();
            let mut dx = x.deep_clone();
            sigmoid_backward(&x, &y, Acc::Add, dx.fresh_mut()).unwrap();
            vec![tanh(&x).unwrap(), mul(&x, &y).unwrap(), add_bias(&x, &b).unwrap(), db, dx]
        });
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (x, dy) = (wave([1025], 0.1), wave([1025], 0.9));
        let all = || {
            ACTIVATIONS.map(|(_, op, backward, _)| {
                let y = op(&x).unwrap();
                let mut dx = dy.deep_clone();
                backward(&y, &dy, Acc::Add, dx.fresh_mut()).unwrap();
                (y.to_vec(), dx.to_vec())
            })
        };
        let want = all();
        crate::level::for_each_level(|level| assert_eq!(all(), want, "{level:?}"));
    }

    #[test]
    fn shapes_that_differ_are_errors() {
        let (a, b, mut out) = (wave([2, 3], 0.0), wave([3, 2], 0.0), wave([6], 0.0));
        let message = add(&a, &b).unwrap_err().to_string();
        assert_eq!(message, "add: expected second operand of shape [2, 3], found [3, 2]");
        let mut out = out.view_mut().unwrap();
        for result in [
            mul_into(&a, &a, Acc::Set, out.reborrow()),
            tanh_into(&a, out.reborrow()),
            tanh_backward(&a, &b, Acc::Set, out.reborrow()),
            axpy(1.0, &a, out.reborrow()),
            scale_into(&a, 1.0, Acc::Set, out.reborrow()),
            copy_into(&a, Acc::Set, out.reborrow()),
            add_bias_into(&a, &wave([3], 0.0), out.reborrow()),
            bias_backward(&a, Acc::Set, out.reborrow()),
            add_bias(&a, &wave([2], 0.0)).map(drop),
        ] {
            assert!(matches!(result, Err(Error::Shape { .. })));
        }
    }
}
