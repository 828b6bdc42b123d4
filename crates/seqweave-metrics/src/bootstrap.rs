//! Bootstrap resampling: how much of a score, and of a difference of two, is the luck of the sentences.

use serde::Serialize;

use crate::pcg::Pcg64;

/// The seed that sacreBLEU takes when none is given.
pub const SEED: u64 = 12345;

/// A 95 % confidence interval, by bootstrap resampling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean over the resamples.
    pub mean: f64,
    /// Half the width of the interval: what stands behind `±`.
    pub half: f64,
    /// A fortieth of the resamples lies below.
    pub low: f64,
    /// A fortieth of the resamples lies above.
    pub high: f64,
}

/// The outcome of a paired bootstrap test of a system against a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// The chance of a difference this large if the systems were equally good.
    pub p_value: f64,
    /// The interval of the system's own value.
    pub interval: Interval,
}

/// `total += row`
pub(crate) fn add(total: &mut [f64], row: &[f64]) {
    for (sum, x) in total.iter_mut().zip(row) {
        *sum += x;
    }
}

/// Values of `samples` corpora drawn with replacement, the same sentences for every system. Undefined values are left
/// out; there are none without sentences.
pub(crate) fn resampled(
    systems: &[&[Vec<f64>]],
    samples: usize,
    seed: u64,
    value: &dyn Fn(&[f64]) -> Option<f64>,
) -> Vec<Vec<f64>> {
    let sentences = systems.first().map_or(0, |rows| rows.len());
    let mut values = vec![Vec::with_capacity(samples); systems.len()];
    // More sentences than the generator draws from would not fit a machine.
    let Ok(n) = u32::try_from(sentences) else { return values };
    if n == 0 {
        return values;
    }
    let mut pcg = Pcg64::new(seed);
    let mut totals: Vec<Vec<f64>> = systems.iter().map(|rows| vec![0.0; rows[0].len()]).collect();
    for _ in 0..samples {
        totals.iter_mut().for_each(|total| total.fill(0.0));
        for _ in 0..n {
            let drawn = pcg.below(n) as usize;
            for (total, rows) in totals.iter_mut().zip(systems) {
                add(total, &rows[drawn]);
            }
        }
        let drawn: Option<Vec<f64>> = totals.iter().map(|total| value(total)).collect();
        // Systems stay paired: a resample counts for all or for none.
        for (values, value) in values.iter_mut().zip(drawn.into_iter().flatten()) {
            values.push(value);
        }
    }
    values
}

/// The middle 95 % of some values; `None` of none.
pub(crate) fn interval(mut values: Vec<f64>) -> Option<Interval> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[n / 40], values[n - n / 40 - 1]);
    Some(Interval { mean, half: 0.5 * (high - low), low, high })
}

/// The p-value of a difference: how many resampled differences exceed their own mean by more than it, with one added
/// to both counts so that it is never 0.
pub(crate) fn paired(difference: f64, values: &[Vec<f64>]) -> Option<Paired> {
    let [baseline, system] = values else { return None };
    let interval = interval(system.clone())?;
    let differences: Vec<f64> = baseline.iter().zip(system).map(|(a, b)| (b - a).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let larger = differences.iter().filter(|&&found| found - mean > difference).count();
    Some(Paired { p_value: (larger + 1) as f64 / (differences.len() + 1) as f64, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_the_middle_of_the_values() {
        let values: Vec<f64> = (0..80).map(f64::from).collect();
        let found = interval(values.iter().rev().copied().collect()).unwrap();
        assert_eq!(found, Interval { mean: 39.5, half: 37.5, low: 2.0, high: 77.0 });
        assert_eq!(interval(Vec::new()), None);
    }

    #[test]
    fn systems_see_the_same_sentences() {
        let rows: Vec<Vec<f64>> = (0..7).map(|i| vec![f64::from(i)]).collect();
        let doubled: Vec<Vec<f64>> = (0..7).map(|i| vec![f64::from(2 * i)]).collect();
        let values = resampled(&[&rows, &doubled], 50, 3, &|sums| Some(sums[0]));
        assert!(values[0].iter().zip(&values[1]).all(|(a, b)| 2.0 * a == *b));
        assert!(values[0].iter().any(|&value| value != 21.0), "resamples differ");
    }
}
