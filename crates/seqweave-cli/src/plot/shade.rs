//! Colours: one perceptually even ramp for heat maps, and a palette for curves.

use plotters::style::RGBColor;

/// Lightness of weight 0 and of weight 1 (OKLab L).
const LIGHTNESS: (f64, f64) = (0.972, 0.30);
/// Hue in degrees (OKLab), from the pale end to the dark end: a little turn keeps the middle lively.
const HUE: (f64, f64) = (238.0, 266.0);

/// The shade of a weight in [0, 1]: pale to deep blue, equally many steps of lightness for equal differences.
///
/// Lightness is linear in OKLab (Ottosson 2020, "A perceptual color space for image processing"), so that a reader
/// who compares two cells compares their weights. Values outside [0, 1] are clamped.
pub(super) fn shade(weight: f64) -> RGBColor {
    let w = weight.clamp(0.0, 1.0);
    let lightness = LIGHTNESS.0 + (LIGHTNESS.1 - LIGHTNESS.0) * w;
    let hue = (HUE.0 + (HUE.1 - HUE.0) * w).to_radians();
    // Chroma rises quickly out of white, is greatest past the middle and stays within sRGB at both ends.
    let chroma = 0.005 + 0.24 * w.powf(0.75) * (1.0 - 0.62 * w);
    oklab_to_srgb(lightness, chroma * hue.cos(), chroma * hue.sin())
}

/// Whether white text reads better than dark text on the shade of this weight.
pub(super) fn wants_light_text(weight: f64) -> bool {
    weight > 0.40
}

/// Colours that stay apart for colour-blind readers (after Okabe and Ito 2008, darkened where lines were too pale).
pub(super) fn palette(index: usize) -> RGBColor {
    const COLOURS: [RGBColor; 7] = [
        RGBColor(0x1b, 0x6c, 0xb0), // blue
        RGBColor(0xd5, 0x5e, 0x00), // vermilion
        RGBColor(0x00, 0x8f, 0x68), // green
        RGBColor(0xb5, 0x4f, 0x92), // purple
        RGBColor(0xc8, 0x8a, 0x00), // ochre
        RGBColor(0x38, 0xa3, 0xd8), // sky
        RGBColor(0x55, 0x55, 0x55), // grey
    ];
    COLOURS[index % COLOURS.len()]
}

/// The matrices of Ottosson's definition, then the sRGB transfer curve.
fn oklab_to_srgb(lightness: f64, a: f64, b: f64) -> RGBColor {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    let [red, green, blue] = linear.map(|c| {
        let c = c.clamp(0.0, 1.0);
        let encoded = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0).round() as u8
    });
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (sRGB), enough to check the order of shades.
    fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
        let linear = |c: u8| (f64::from(c) / 255.0).powf(2.2);
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn darker_means_more() {
        let ramp: Vec<f64> = (0..=40).map(|i| luminance(shade(f64::from(i) / 40.0))).collect();
        assert!(ramp.windows(2).all(|pair| pair[1] < pair[0]), "{ramp:?}");
        assert!(ramp[0] > 0.85 && ramp[40] < 0.1);
    }

    #[test]
    fn values_outside_are_clamped() {
        assert_eq!(shade(-1.0), shade(0.0));
        assert_eq!(shade(7.0), shade(1.0));
    }

    #[test]
    fn known_colours_of_the_space() {
        assert_eq!(oklab_to_srgb(1.0, 0.0, 0.0), RGBColor(255, 255, 255));
        assert_eq!(oklab_to_srgb(0.627_955, 0.224_863, 0.125_846), RGBColor(255, 0, 0));
    }
}
