//! Edit-based F0.5: how good corrections are, for spelling and grammar.

use crate::edit::{EditOp, align};

/// A corrector that changes little and rightly is worth more than one that finds everything: `β² = ¼`.
const FACTOR: f64 = 0.25;

/// `[right edits, proposed edits, wanted edits]` of one sentence, against the reference with the best F0.5.
///
/// An edit is a longest run of changed words between source and text: where it begins and ends in the source, and what
/// stands there afterwards.
/// A proposed edit is right if the reference has the same one.
/// Of references with equal F0.5, the one with most right edits counts, and then the one with fewest wanted.
pub(crate) fn sums(source: &str, output: &str, references: &[&str]) -> Vec<f64> {
    let proposed = edits(source, output);
    let against = |reference: &&str| {
        let wanted = edits(source, reference);
        let right = proposed.iter().filter(|edit| wanted.contains(edit)).count();
        [right, proposed.len(), wanted.len()].map(|count| count as f64)
    };
    let better = |a: &[f64; 3], b: &[f64; 3]| {
        let rank = |s: &[f64; 3]| (f_half(s).unwrap_or(100.0), s[0], -s[2]);
        rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal)
    };
    references.iter().map(against).max_by(better).map_or_else(|| vec![0.0; 3], Vec::from)
}

/// `100 · 1.25·p·r / (0.25·p + r)`; `None` where nothing was wanted and nothing proposed.
///
/// Where one side has no edits, its rate counts as 1, so that a needless edit or a missed one gives 0.
pub(crate) fn f_half(sums: &[f64]) -> Option<f64> {
    let (right, proposed, wanted) = (sums[0], sums[1], sums[2]);
    if proposed == 0.0 && wanted == 0.0 {
        return None;
    }
    let rate = |whole: f64| if whole > 0.0 { right / whole } else { 1.0 };
    let (precision, recall) = (rate(proposed), rate(wanted));
    let below = FACTOR * precision + recall;
    Some(if below > 0.0 { 100.0 * ((1.0 + FACTOR) * precision * recall / below) } else { 0.0 })
}

/// The place in the source and the words that replace it.
type Edit<'a> = (usize, usize, Vec<&'a str>);

fn edits<'a>(source: &str, text: &'a str) -> Vec<Edit<'a>> {
    let source: Vec<&str> = source.split_whitespace().collect();
    let text: Vec<&str> = text.split_whitespace().collect();
    let mut edits: Vec<Edit<'a>> = Vec::new();
    let (mut from, mut to, mut open) = (0, 0, false);
    for op in align(&text, &source) {
        if op == EditOp::Match {
            (from, to, open) = (from + 1, to + 1, false);
            continue;
        }
        if !open {
            edits.push((from, from, Vec::new()));
            open = true;
        }
        // The run that was opened above, or before.
        let Some((_, end, words)) = edits.last_mut() else { continue };
        if op != EditOp::Delete {
            words.push(text[to]);
            to += 1;
        }
        if op != EditOp::Insert {
            from += 1;
            *end = from;
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_changes_are_one_edit() {
        let found = edits("he go to to school yesterday", "he went to school , yesterday");
        assert_eq!(found, [(1, 2, vec!["went"]), (3, 5, vec!["school", ","])]);
        assert!(edits("a b", "a b").is_empty());
        assert_eq!(edits("", "a b"), [(0, 0, vec!["a", "b"])]);
    }

    #[test]
    fn precision_counts_twice() {
        // source, output, references, right, proposed, wanted
        let rows: [(&str, &str, &[&str], [f64; 3]); 5] = [
            ("a x c y", "a b c y", &["a b c d"], [1.0, 1.0, 2.0]),
            ("a x c y", "a b c z", &["a b c y"], [1.0, 2.0, 1.0]),
            ("a b", "a b", &["a c", "a b"], [0.0, 0.0, 0.0]),
            ("a b", "a c", &["a b"], [0.0, 1.0, 0.0]),
            ("a b", "a b", &["a c"], [0.0, 0.0, 1.0]),
        ];
        for (source, output, references, want) in rows {
            assert_eq!(sums(source, output, references), want, "{source} {output}");
        }
        let (careful, eager) = (f_half(&[1.0, 1.0, 2.0]), f_half(&[1.0, 2.0, 1.0]));
        let close = |found: Option<f64>, want: f64| (found.unwrap() - want).abs() < 1e-12;
        assert!(close(careful, 250.0 / 3.0) && close(eager, 500.0 / 9.0), "{careful:?} {eager:?}");
        assert_eq!((f_half(&[0.0; 3]), f_half(&[0.0, 1.0, 0.0])), (None, Some(0.0)));
    }
}
