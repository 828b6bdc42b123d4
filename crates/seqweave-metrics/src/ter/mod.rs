//! TER (Snover et al. 2006) with the shifts of Tercom, in the order in which sacreBLEU's port tries them.
//!
//! The search for shifts is greedy and stops at fixed limits, so which candidate comes first decides scores.
//! The limits and the ranking follow sacreBLEU's `lib_ter.py` (Apache License 2.0), itself after Tercom.

mod beam;
mod shift;

use beam::Beam;
use shift::{MAX_CANDIDATES, best_shift};

use crate::space::words;

/// `[fewest edits, mean reference length]` of one sentence; text is put into lower case.
pub(crate) fn sums(output: &str, references: &[&str]) -> Vec<f64> {
    let output = output.to_lowercase();
    let output: Vec<&str> = words(&output).collect();
    let references: Vec<String> = references.iter().map(|reference| reference.to_lowercase()).collect();
    let (mut fewest, mut length) = (usize::MAX, 0);
    for reference in &references {
        let reference: Vec<&str> = words(reference).collect();
        fewest = fewest.min(edits(&output, &reference));
        length += reference.len();
    }
    vec![fewest as f64, length as f64 / references.len().max(1) as f64]
}

/// `100 · edits / length`; 100 if there are edits of nothing, 0 if there is nothing at all.
pub(crate) fn ter(sums: &[f64]) -> f64 {
    let (edits, length) = (sums[0], sums[1]);
    match length > 0.0 {
        true => 100.0 * (edits / length),
        false if edits > 0.0 => 100.0,
        false => 0.0,
    }
}

/// Shifts and then word edits, the shifts found greedily.
fn edits<'a>(output: &[&'a str], reference: &[&'a str]) -> usize {
    if reference.is_empty() {
        return output.len();
    }
    let beam = Beam::new(reference, output.len());
    let (mut output, mut shifts, mut candidates) = (output.to_vec(), 0, 0);
    loop {
        let best = best_shift(&beam, &output, &mut candidates);
        match best {
            Some(shift) if shift.gain > 0 && candidates < MAX_CANDIDATES => {
                output = shift.words;
                shifts += 1;
            }
            _ => return shifts + beam.table(&output).distance(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_phrase_is_one_edit() {
        // output, references, edits, mean length
        let rows: [(&str, &[&str], f64, f64); 6] = [
            ("a b c d e", &["d e a b c"], 1.0, 5.0),
            ("A b", &["a B"], 0.0, 2.0),
            ("", &["a b"], 2.0, 2.0),
            ("a b", &[""], 2.0, 0.0),
            ("a x", &["a b c", "a x y z w"], 2.0, 4.0),
            ("saudi arabia denied this week", &["this week the saudis denied"], 3.0, 5.0),
        ];
        for (output, references, edits, length) in rows {
            assert_eq!(sums(output, references), [edits, length], "{output}");
        }
        assert_eq!((ter(&[1.0, 4.0]), ter(&[2.0, 0.0]), ter(&[0.0, 0.0])), (25.0, 100.0, 0.0));
    }
}
