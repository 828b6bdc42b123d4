//! Numbers as bfloat16, the upper half of an f32: rounded in place, or two in one element for kernels that take pairs.

use crate::Float;
use crate::math::simd;

/// The upper half of `x` as an f32, to nearest, ties to even; NaN stays NaN.
#[inline(always)]
fn upper(x: Float) -> u32 {
    let (x, bits) = (x as f32, (x as f32).to_bits());
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if x.is_nan() { (bits >> 16) | 0x40 } else { rounded }
}

/// Two bfloat16 in the bits of one element, `low` in the low half. In the f64 build, where nobody asks, nonsense.
#[inline(always)]
fn pair(low: Float, high: Float) -> Float {
    f32::from_bits(upper(low) | upper(high) << 16) as Float
}

simd! {
    /// Each element rounded to bfloat16.
    pub(super) fn round(x: &mut [Float]) {
        x.iter_mut().for_each(|x| *x = f32::from_bits(upper(*x) << 16) as Float);
    }

    /// What rounding each element to bfloat16 leaves of it; nothing of one that is infinite when rounded, or NaN.
    pub(super) fn rest(x: &mut [Float]) {
        x.iter_mut().for_each(|x| {
            let upper = f32::from_bits(upper(*x) << 16);
            *x = if upper.is_finite() { *x - upper as Float } else { 0.0 };
        });
    }

    /// `out[s]` = elements `2s` and `2s + 1` of `x`; zero for one that is missing.
    pub(super) fn pair_neighbours(x: &[Float], out: &mut [Float]) {
        let (pairs, rest) = x.as_chunks::<2>();
        for (out, &[low, high]) in out.iter_mut().zip(pairs) {
            *out = pair(low, high);
        }
        if let (Some(&last), Some(out)) = (rest.first(), out.get_mut(pairs.len())) {
            *out = pair(last, 0.0);
        }
    }

    /// `out[j]` = `low[j]` and `high[j]`.
    pub(super) fn pair_rows(low: &[Float], high: &[Float], out: &mut [Float]) {
        for ((out, &low), &high) in out.iter_mut().zip(low).zip(high) {
            *out = pair(low, high);
        }
    }
}

#[cfg(all(test, not(seqweave_f64)))]
mod tests {
    use super::*;

    /// Halves of the pair as f32.
    fn halves(x: f32) -> [f32; 2] {
        [x.to_bits() << 16, x.to_bits() & 0xffff_0000].map(f32::from_bits)
    }

    #[test]
    fn rounding_is_to_nearest_and_ties_go_to_even() {
        let ulp = 2f32.powi(-7); // of a bfloat16 at 1
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 0.49 * ulp, 1.0),
            (1.0 + 0.51 * ulp, 1.0 + ulp),
            (1.0 + 0.5 * ulp, 1.0),
            (1.0 + 1.5 * ulp, 1.0 + 2.0 * ulp),
            (-1.0 - 0.51 * ulp, -1.0 - ulp),
            (0.0, 0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            let mut rounded = [x];
            round(&mut rounded);
            assert_eq!(rounded[0], want, "{x}");
            assert_eq!(halves(pair(x, 3.0)), [want, 3.0]);
            assert_eq!(halves(pair(3.0, x)), [3.0, want]);
        }
        assert!(halves(pair(f32::NAN, 1.0))[0].is_nan() && halves(pair(1.0, -f32::NAN))[1].is_nan());
    }

    #[test]
    fn a_number_and_its_rest_lose_the_last_seven_bits_at_most() {
        for x in [1.0f32, -1.2345678, 3.1415927e-20, 255.5, 0.0, f32::INFINITY, f32::NAN, f32::MAX] {
            let (mut first, mut second) = ([x], [x]);
            round(&mut first);
            rest(&mut second);
            round(&mut second);
            if first[0].is_finite() {
                assert!((x - first[0] - second[0]).abs() <= x.abs() * 2f32.powi(-17), "{x}");
            } else {
                assert_eq!(second, [0.0], "{x}");
            }
        }
    }

    #[test]
    fn pairs_are_of_neighbours_or_of_rows_and_a_missing_one_is_zero() {
        for n in [1usize, 2, 5, 33] {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            let mut out = vec![f32::NAN; n.div_ceil(2)];
            pair_neighbours(&x, &mut out);
            let flat: Vec<f32> = out.iter().flat_map(|&pair| halves(pair)).collect();
            assert_eq!(flat[..n], x);
            assert!(flat[n..].iter().all(|&x| x == 0.0));
            let mut out = vec![f32::NAN; n];
            pair_rows(&x, &vec![0.5; n], &mut out);
            assert!(out.iter().zip(&x).all(|(&pair, &x)| halves(pair) == [x, 0.5]));
        }
    }
}
