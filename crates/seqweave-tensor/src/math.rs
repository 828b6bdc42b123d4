//! `exp`, `tanh`, `sigmoid` and `ln` as branch-free code that vectorises inside loops, and the `simd!` dispatcher.
//!
//! The functions use plain multiplications and additions, never a fused one, so a value has the same bits on every
//! instruction set, in a vector body and in a scalar tail alike. Largest errors against f64, measured by the tests:
//! `exp` 1 ulp, `tanh` 2.5 ulp, `sigmoid` 2.5 ulp, `ln` 1 ulp (also near zero, where tanh(x) ≈ x). NaN gives NaN (its payload
//! is not promised). In the f64 build all four are the standard library's.

#[cfg(not(seqweave_f64))]
pub(crate) use single::{exp, ln, sigmoid, tanh};

#[cfg(seqweave_f64)]
pub(crate) use double::{exp, ln, sigmoid, tanh};

/// The f32 functions.
#[cfg_attr(seqweave_f64, allow(dead_code))]
mod single {
    /// Adding and subtracting 1.5·2^23 rounds a small f32 to the nearest integer; the sum holds it in its low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has 9 significant bits, so its product with |n| < 2^15 is exact.
    const LN2_HI: f32 = 355.0 / 512.0;
    const LN2_LO: f32 = -2.121_944_4e-4;

    /// e^x. 0 at -∞ and below -103.97, ∞ at +∞ and above 88.72; subnormal results are rounded once.
    #[inline(always)]
    pub(crate) fn exp(x: f32) -> f32 {
        let (p, n) = exp_parts(x.clamp(-104.0, 89.0));
        // 2^n in two factors, as n reaches from -150 to 128, beyond one exponent field on either side.
        let half = n >> 1;
        (1.0 + p) * pow2(half) * pow2(n.wrapping_sub(half))
    }

    /// tanh(x), odd, ±1 from |x| = 9.02 on.
    #[inline(always)]
    pub(crate) fn tanh(x: f32) -> f32 {
        // With e = e^(2|x|) - 1 the quotient e/(e+2) loses nothing near zero, because `exp_parts` gives e^r - 1 itself.
        let a = x.abs().clamp(0.0, 10.0);
        let (p, n) = exp_parts(a + a);
        let s = pow2(n);
        let e = p * s + (s - 1.0);
        (e / (e + 2.0)).copysign(x)
    }

    /// 1/(1+e^-x). 0 at -∞, 1 at +∞.
    #[inline(always)]
    pub(crate) fn sigmoid(x: f32) -> f32 {
        // Below -30 the power no longer shows in 1+e; the last factor 2 lets the power overflow to ∞ at n = 128.
        let (p, n) = exp_parts((-x).clamp(-30.0, 89.0));
        let e = (1.0 + p) * pow2(n.wrapping_sub(1)) * 2.0;
        1.0 / (1.0 + e)
    }

    /// Natural logarithm. -∞ at ±0, NaN below zero, ∞ at ∞; subnormals included.
    #[inline(always)]
    pub(crate) fn ln(x: f32) -> f32 {
        let tiny = x < f32::MIN_POSITIVE;
        let bits = (if tiny { x * 33_554_432.0 } else { x }).to_bits() as i32;
        // x = m·2^k with m in [√½, √2).
        let k = bits.wrapping_sub(SQRT_HALF) >> 23;
        let f = f32::from_bits(bits.wrapping_sub(k << 23) as u32) - 1.0;
        let k = (k - if tiny { 25 } else { 0 }) as f32;
        // ln(1+f) = 2·artanh(s) = f - s·(f - z·Q(z)), with Q minimax on [0, 0.0294].
        let s = f / (2.0 + f);
        let z = s * s;
        let r = z * (0.666_667_76 + z * (0.399_775_42 + z * 0.298_717_62));
        let y = k * LN2_HI + (f - (s * (f - r) - k * LN2_LO));
        let y = if x < f32::INFINITY { y } else { x };
        let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
        if x < 0.0 { f32::NAN } else { y }
    }
    /// The bits of √½.
    const SQRT_HALF: i32 = 0x3f35_04f3;

    /// (e^r - 1, n) with x = n·ln 2 + r and |r| ≤ ½ ln 2; n is nonsense when x is NaN, and e^r - 1 is then NaN.
    #[inline(always)]
    fn exp_parts(x: f32) -> (f32, i32) {
        let t = x * std::f32::consts::LOG2_E + ROUND;
        let n = t - ROUND;
        let r = (x - n * LN2_HI) - n * LN2_LO;
        // (e^r - 1 - r)/r², minimax in relative error of e^r: 3.1e-9.
        let q = 1.381_459_4e-3;
        let q = q * r + 8.368_719e-3;
        let q = q * r + 4.166_839e-2;
        let q = q * r + 1.666_652_1e-1;
        let q = q * r + 0.499_999_94;
        (q * (r * r) + r, (t.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32))
    }

    /// 2^n for -127 < n < 128.
    #[inline(always)]
    fn pow2(n: i32) -> f32 {
        f32::from_bits((n.wrapping_add(127) as u32) << 23)
    }
}

/// The f64 functions: the standard library's.
#[cfg(seqweave_f64)]
mod double {
    #[inline(always)]
    pub(crate) fn exp(x: f64) -> f64 {
        x.exp()
    }
    #[inline(always)]
    pub(crate) fn tanh(x: f64) -> f64 {
        x.tanh()
    }
    #[inline(always)]
    pub(crate) fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
    #[inline(always)]
    pub(crate) fn ln(x: f64) -> f64 {
        x.ln()
    }
}

/// Defines a function whose body is compiled for every [`Level`](crate::level::Level) and chosen at run time.
///
/// ```text
/// simd! {
///     /// y = 2x.
///     pub(crate) fn double(x: &[Float], y: &mut [Float]) {
///         for (y, &x) in y.iter_mut().zip(x) { *y = 2.0 * x; }
///     }
/// }
/// ```
/// The body must be inlinable to its leaves (`#[inline(always)]` helpers) to profit. Rust neither reorders nor fuses float
/// operations, so the bits are the same on every level; a body that calls `mul_add` keeps that promise too (slowly at
/// the baseline).
macro_rules! simd {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)+) => {$(
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::level::level() {
                // SAFETY: `level` returns only what this machine was found to have.
                $crate::level::Level::Avx512 => return unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                $crate::level::Level::Avx2 => return unsafe { avx2($($arg),*) },
                $crate::level::Level::Baseline => {}
            }
            body($($arg),*)
        }
    )+};
}
pub(crate) use simd;

#[cfg(test)]
mod tests {
    use super::single;

    /// Every 97th f32 between the two magnitudes, both signs.
    fn sweep(low: f32, high: f32) -> impl Iterator<Item = f32> {
        (low.to_bits()..=high.to_bits()).step_by(97).map(f32::from_bits).flat_map(|x| [x, -x])
    }

    /// Distance of `got` from `want` in units of the last place of `want` as an f32 (subnormal spacing included).
    fn ulps(got: f32, want: f64) -> f64 {
        let w = (want as f32).abs().max(f32::MIN_POSITIVE);
        let ulp = f64::from(w) - f64::from(f32::from_bits(w.to_bits() - 1));
        // At a power of two the spacing below is half of that above; the wider one is the usual measure.
        let above = f64::from(f32::from_bits(w.to_bits() + 1)) - f64::from(w);
        (f64::from(got) - want).abs() / if above.is_finite() { above } else { ulp }
    }

    /// Asserts that the worst error over `xs` is at most `max_ulp`, and above the 0.4 that no f32 function stays below.
    fn check(
        name: &str,
        f: fn(f32) -> f32,
        truth: fn(f64) -> f64,
        xs: impl Iterator<Item = f32>,
        max_ulp: f64,
    ) {
        let (mut worst, mut at) = (0.0, 0.0);
        for x in xs {
            let e = ulps(f(x), truth(f64::from(x)));
            assert!(!e.is_nan(), "{name}({x:e}) is not a number");
            if e > worst {
                (worst, at) = (e, x);
            }
        }
        println!("{name}: largest error {worst:.3} ulp at {at:e}");
        assert!(worst <= max_ulp, "{name}: {worst:.3} ulp at {at:e}, stated {max_ulp}");
        assert!(worst > 0.4, "{name}: {worst:.3} ulp is below half an ulp; is the sweep alive?");
    }

    fn sigmoid64(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn errors_are_within_the_stated_ulps() {
        check("exp", single::exp, f64::exp, sweep(0.0, 88.722), 1.0);
        check("tanh", single::tanh, f64::tanh, sweep(0.0, 100.0), 2.5);
        check("sigmoid", single::sigmoid, sigmoid64, sweep(0.0, 87.0), 2.5);
        check("ln", single::ln, f64::ln, sweep(f32::from_bits(1), f32::MAX).filter(|x| *x > 0.0), 1.0);
    }

    #[test]
    fn subnormal_exponentials_are_rounded_once() {
        check("exp, subnormal", single::exp, f64::exp, sweep(87.0, 105.0).filter(|x| *x < 0.0), 1.0);
    }

    #[test]
    fn limits_and_nan() {
        let inf = f32::INFINITY;
        for (got, want) in [
            (single::exp(0.0), 1.0),
            (single::exp(inf), inf),
            (single::exp(-inf), 0.0),
            (single::exp(88.73), inf),
            (single::exp(f32::MAX), inf),
            (single::exp(f32::MIN), 0.0),
            (single::exp(-104.0), 0.0),
            (single::tanh(inf), 1.0),
            (single::tanh(-inf), -1.0),
            (single::tanh(9.1), 1.0),
            (single::tanh(f32::MIN), -1.0),
            (single::tanh(1e-30), 1e-30),
            (single::tanh(f32::from_bits(1)), f32::from_bits(1)),
            (single::sigmoid(0.0), 0.5),
            (single::sigmoid(inf), 1.0),
            (single::sigmoid(-inf), 0.0),
            (single::sigmoid(f32::MIN), 0.0),
            (single::sigmoid(f32::MAX), 1.0),
            (single::ln(0.0), -inf),
            (single::ln(-0.0), -inf),
            (single::ln(1.0), 0.0),
            (single::ln(inf), inf),
        ] {
            assert_eq!(got, want);
        }
        assert_eq!(single::tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        for f in [single::exp, single::tanh, single::sigmoid, single::ln] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(single::ln(-1.0).is_nan() && single::ln(-inf).is_nan() && single::ln(-1e-40).is_nan());
    }

    simd! {
        fn sweep_all(x: &[f32], y: &mut [f32]) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = single::exp(x) + 2.0 * single::tanh(x) + 4.0 * single::sigmoid(x) + 8.0 * single::ln(x.abs());
            }
        }
    }

    #[test]
    fn every_level_and_every_length_has_the_same_bits() {
        let x: Vec<f32> = sweep(1e-6, 110.0).step_by(997).collect();
        let one_by_one: Vec<u32> = x
            .iter()
            .map(|&x| {
                let mut y = [0.0];
                sweep_all(&[std::hint::black_box(x)], &mut y);
                y[0].to_bits()
            })
            .collect();
        let mut levels = 0;
        crate::level::for_each_level(|level| {
            assert_eq!(crate::level::level(), level);
            levels += 1;
            for n in [1, 31, 33, 1025, x.len()] {
                let mut y = vec![0.0; n];
                sweep_all(&x[..n], &mut y);
                assert!(y.iter().zip(&one_by_one).all(|(y, w)| y.to_bits() == *w), "{level:?}, {n} elements");
            }
        });
        assert!(levels >= 1 && x.len() > 1025);
    }
}
