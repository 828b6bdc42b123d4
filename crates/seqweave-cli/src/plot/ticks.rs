//! Axis ticks at round numbers, and how a number is written on an axis.

/// One labelled position of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Position in data units.
    pub(super) at: f64,
    /// What is written there.
    pub(super) label: String,
}

/// About `wanted` ticks at multiples of 1, 2, 2.5 or 5 times a power of ten inside [low, high].
pub(super) fn linear(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || wanted == 0 {
        return vec![Tick { at: low, label: number(low) }];
    }
    let rough = span / wanted as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let decimals = decimals_of(step);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|i| {
            let at = i as f64 * step;
            Tick { at, label: fixed(at, decimals) }
        })
        .collect()
}

/// Ticks at 1, 2, 5 times powers of ten inside [low, high] > 0; over more than three decades only at powers of ten.
/// A range too narrow for two such ticks gets linear ones.
pub(super) fn logarithmic(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let decades = (high / low).log10();
    let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut ticks = Vec::new();
    for exponent in low.log10().floor() as i32..=high.log10().ceil() as i32 {
        for factor in factors {
            let at = factor * 10f64.powi(exponent);
            if at >= low * 0.999_999 && at <= high * 1.000_001 {
                ticks.push(Tick { at, label: number(at) });
            }
        }
    }
    if ticks.len() < 3 { linear(low, high, wanted) } else { ticks }
}

/// A measured value in about four significant digits: `0.4127`, `12.35`, `9,000`.
pub(super) fn number(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let magnitude = x.abs().log10().floor() as i32;
    if !(-4..15).contains(&magnitude) {
        return format!("{x:.1e}");
    }
    let text = fixed(x, (3 - magnitude).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// How many decimals tell multiples of `step` apart.
fn decimals_of(step: f64) -> usize {
    (0..12)
        .find(|&d| {
            let scaled = step * 10f64.powi(d);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        })
        .unwrap_or(12) as usize
}

/// Fixed decimals, thousands separated by commas.
fn fixed(x: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", x.abs());
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), None), |(w, f)| (w, Some(f)));
    let mut text = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.' | ','));
    if x < 0.0 && !is_zero { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&linear(0.0, 1.0, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(0.0, 10_000.0, 5)), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!(labels(&linear(0.0, 0.001, 4)), ["0.00000", "0.00025", "0.00050", "0.00075", "0.00100"]);
        assert_eq!(labels(&linear(-0.5, 0.5, 4)), ["−0.50", "−0.25", "0.00", "0.25", "0.50"]);
        assert_eq!(linear(3.0, 3.0, 4).len(), 1);
    }

    #[test]
    fn log_ticks_thin_out_over_many_decades() {
        assert_eq!(labels(&logarithmic(1.0, 40.0, 4)), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(&logarithmic(1.0, 2e4, 4)), ["1", "10", "100", "1,000", "10,000"]);
        assert_eq!(labels(&logarithmic(2.1, 2.9, 4)), ["2.2", "2.4", "2.6", "2.8"]);
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (x, text) in [
            (0.41271, "0.4127"),
            (12.3456, "12.35"),
            (9000.0, "9,000"),
            (1_234_567.0, "1,234,567"),
            (0.001, "0.001"),
            (3e-7, "3.0e-7"),
            (0.0, "0"),
            (-2.5, "−2.5"),
        ] {
            assert_eq!(number(x), text);
        }
    }
}
