//! BLEU (Papineni et al. 2002), counted and smoothed as sacreBLEU does.

use crate::ngrams::{Counts, how_many, matches, ngrams};
use crate::space::{trim_end, words};
use crate::{Smooth, TextOptions};

/// The longest n-grams.
const ORDER: usize = 4;

/// Sums of one sentence or of many: length of the output, length of the reference, matches of orders 1 to 4,
/// n-grams of the output of orders 1 to 4.
pub(crate) const WIDTH: usize = 2 + 2 * ORDER;

/// BLEU and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bleu {
    /// The score, 0 to 100.
    pub score: f64,
    /// Precisions of orders 1 to 4 in percent, after smoothing.
    pub precisions: [f64; ORDER],
    /// The brevity penalty.
    pub brevity_penalty: f64,
    /// Words of the outputs.
    pub output_len: f64,
    /// Words of the references of the closest length.
    pub reference_len: f64,
}

/// `[output length, reference length, matches…, n-grams…]`; counts are clipped by the reference that has most of them.
pub(crate) fn sums(output: &str, references: &[&str], options: &TextOptions) -> Vec<f64> {
    let prepared = |text: &str| {
        let text = if options.lowercase { text.to_lowercase() } else { text.to_owned() };
        options.tok.apply(trim_end(&text))
    };
    let output = prepared(output);
    let output: Vec<&str> = words(&output).collect();
    let references: Vec<String> = references.iter().map(|reference| prepared(reference)).collect();
    let references: Vec<Vec<&str>> = references.iter().map(|reference| words(reference).collect()).collect();
    // The closest length; of two equally close, the shorter.
    let closest =
        references.iter().map(Vec::len).min_by_key(|&len| (len.abs_diff(output.len()), len)).unwrap_or(0);

    let mut sums = vec![output.len() as f64, closest as f64];
    let (mut hits, mut totals) = (Vec::new(), Vec::new());
    for n in 1..=ORDER {
        let mut most = Counts::new();
        for reference in &references {
            for (run, count) in ngrams(reference, n) {
                let entry = most.entry(run).or_default();
                *entry = count.max(*entry);
            }
        }
        hits.push(matches(&ngrams(&output, n), &most) as f64);
        totals.push(how_many(output.len(), n) as f64);
    }
    sums.extend(hits);
    sums.extend(totals);
    sums
}

/// `BP · exp(Σ log p_n / 4)`; 0 where nothing matches.
pub(crate) fn bleu(sums: &[f64], smooth: Smooth) -> Bleu {
    over_orders(sums, smooth, false)
}

/// The same over the orders that the output is long enough for, as single sentences want.
pub(crate) fn effective(sums: &[f64], smooth: Smooth) -> Bleu {
    over_orders(sums, smooth, true)
}

fn over_orders(sums: &[f64], smooth: Smooth, effective: bool) -> Bleu {
    let (output_len, reference_len) = (sums[0], sums[1]);
    let brevity_penalty = if output_len >= reference_len {
        1.0
    } else if output_len > 0.0 {
        (1.0 - reference_len / output_len).exp()
    } else {
        0.0
    };
    let mut bleu = Bleu { score: 0.0, precisions: [0.0; ORDER], brevity_penalty, output_len, reference_len };
    let (hits, totals) = sums[2..].split_at(ORDER);
    if hits.iter().all(|&hits| hits == 0.0) {
        return bleu;
    }
    let (mut doubled, mut orders) = (1.0, ORDER);
    for n in 0..ORDER {
        let added = match smooth {
            Smooth::AddK(k) if n > 0 => k,
            _ => 0.0,
        };
        let (hits, total) = (hits[n] + added, totals[n] + added);
        if total == 0.0 {
            break;
        }
        if effective {
            orders = n + 1;
        }
        bleu.precisions[n] = match smooth {
            _ if hits > 0.0 => 100.0 * hits / total,
            Smooth::Exp => {
                doubled *= 2.0;
                100.0 / (doubled * total)
            }
            Smooth::Floor(floor) => 100.0 * floor / total,
            Smooth::AddK(_) | Smooth::None => 0.0,
        };
    }
    let log = |p: f64| if p == 0.0 { -9_999_999_999.0 } else { p.ln() };
    let mean = bleu.precisions[..orders].iter().map(|&p| log(p)).sum::<f64>() / orders as f64;
    bleu.score = brevity_penalty * mean.exp();
    bleu
}

impl std::fmt::Display for Bleu {
    /// `88.9/75.0/71.4/66.7 (BP = 0.895 ratio = 0.900 hyp_len = 9 ref_len = 10)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bleu { precisions: [p1, p2, p3, p4], brevity_penalty, output_len, reference_len, .. } = self;
        let ratio = if *reference_len > 0.0 { output_len / reference_len } else { 0.0 };
        write!(
            f,
            "{p1:.1}/{p2:.1}/{p3:.1}/{p4:.1} (BP = {brevity_penalty:.3} ratio = {ratio:.3} \
             hyp_len = {output_len} ref_len = {reference_len})"
        )
    }
}
