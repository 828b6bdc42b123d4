//! Levenshtein distance and the operations behind it.

use serde::Serialize;

/// The Levenshtein distance: the fewest substitutions, insertions and deletions, each of cost 1, between two sequences.
///
/// `O(|a|·|b|)` time, `O(min(|a|, |b|))` memory. An empty side costs the length of the other.
///
/// ```
/// use seqweave_metrics::distance;
///
/// assert_eq!(distance(b"kitten", b"sitting"), 3);
/// assert_eq!(distance(&["a", "b"], &[]), 2);
/// ```
pub fn distance<T: Eq>(a: &[T], b: &[T]) -> usize {
    let (a, b) = trim_common(a, b);
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    // row[j] is the distance between the part of `long` read so far and short[..j].
    let mut row: Vec<usize> = (0..=short.len()).collect();
    for (i, x) in long.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in short.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[short.len()]
}

/// A common start and end never cost anything, and outputs are often nearly right.
fn trim_common<'a, T: Eq>(mut a: &'a [T], mut b: &'a [T]) -> (&'a [T], &'a [T]) {
    while let ([x, a_rest @ ..], [y, b_rest @ ..]) = (a, b)
        && x == y
    {
        (a, b) = (a_rest, b_rest);
    }
    while let ([a_rest @ .., x], [b_rest @ .., y]) = (a, b)
        && x == y
    {
        (a, b) = (a_rest, b_rest);
    }
    (a, b)
}

/// One step of the way from the reference to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EditOp {
    /// The next token of both is the same.
    Match,
    /// The output has another token where the reference has one.
    Substitute,
    /// The output has a token too many.
    Insert,
    /// The output lacks a token of the reference.
    Delete,
}

/// The operations of a cheapest way from `reference` to `output`, in reading order.
///
/// Where several ways are equally cheap, match or substitution is preferred to deletion, and deletion to insertion,
/// decided from the end. `O(|output|·|reference|)` time and memory; [`EditCounts::between`] needs less.
///
/// ```
/// use seqweave_metrics::{EditOp::*, align};
///
/// assert_eq!(align(b"sat", b"seat"), [Match, Delete, Match, Match]);
/// ```
pub fn align<T: Eq>(output: &[T], reference: &[T]) -> Vec<EditOp> {
    let (rows, columns) = (reference.len() + 1, output.len() + 1);
    let mut cells: Vec<Cell> = Vec::with_capacity(rows * columns);
    for r in 0..rows {
        for c in 0..columns {
            let cell = match (r, c) {
                (0, 0) => Cell::default(),
                (0, _) => cells[c - 1].after(EditOp::Insert),
                (_, 0) => cells[(r - 1) * columns].after(EditOp::Delete),
                _ => Cell::best(
                    cells[(r - 1) * columns + c - 1],
                    cells[(r - 1) * columns + c],
                    cells[r * columns + c - 1],
                    reference[r - 1] == output[c - 1],
                ),
            };
            cells.push(cell);
        }
    }
    let mut ops = Vec::new();
    let (mut r, mut c) = (reference.len(), output.len());
    while let Some(op) = cells[r * columns + c].last {
        ops.push(op);
        r -= usize::from(op != EditOp::Insert);
        c -= usize::from(op != EditOp::Delete);
    }
    ops.reverse();
    ops
}

/// How often each operation occurs in [`align`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EditCounts {
    /// Tokens that are right.
    pub matches: u64,
    /// Tokens replaced by another.
    pub substitutions: u64,
    /// Tokens the output has too many.
    pub insertions: u64,
    /// Tokens of the reference the output lacks.
    pub deletions: u64,
}

impl EditCounts {
    /// The counts of [`align`]`(output, reference)`, in memory proportional to the output.
    pub fn between<T: Eq>(output: &[T], reference: &[T]) -> Self {
        let mut row = vec![Cell::default()];
        for c in 0..output.len() {
            row.push(row[c].after(EditOp::Insert));
        }
        for r in reference {
            let mut diagonal = row[0];
            row[0] = diagonal.after(EditOp::Delete);
            for (c, o) in output.iter().enumerate() {
                let above = row[c + 1];
                row[c + 1] = Cell::best(diagonal, above, row[c], r == o);
                diagonal = above;
            }
        }
        row[output.len()].counts
    }

    /// Substitutions, insertions and deletions together: the distance.
    pub fn errors(&self) -> u64 {
        self.substitutions + self.insertions + self.deletions
    }

    /// Tokens of the reference.
    pub fn reference_len(&self) -> u64 {
        self.matches + self.substitutions + self.deletions
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        self.matches += other.matches;
        self.substitutions += other.substitutions;
        self.insertions += other.insertions;
        self.deletions += other.deletions;
    }
}

/// The preferred cheapest way to a cell of the distance table.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    counts: EditCounts,
    last: Option<EditOp>,
}

impl Cell {
    fn after(mut self, op: EditOp) -> Self {
        match op {
            EditOp::Match => self.counts.matches += 1,
            EditOp::Substitute => self.counts.substitutions += 1,
            EditOp::Insert => self.counts.insertions += 1,
            EditOp::Delete => self.counts.deletions += 1,
        }
        self.last = Some(op);
        self
    }

    /// The one place that breaks ties, so that `align` and `EditCounts::between` agree.
    fn best(diagonal: Cell, above: Cell, left: Cell, equal: bool) -> Self {
        let mut best = diagonal.after(if equal { EditOp::Match } else { EditOp::Substitute });
        for other in [above.after(EditOp::Delete), left.after(EditOp::Insert)] {
            if other.counts.errors() < best.counts.errors() {
                best = other;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distances_known_by_hand() {
        let rows = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("intention", "execution", 5),
            ("aaaa", "aa", 2),
            ("ab", "ba", 2),
        ];
        for (a, b, want) in rows {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
        }
    }

    #[test]
    fn ties_are_broken_as_documented() {
        use EditOp::*;
        // Two substitutions, not a deletion and an insertion.
        assert_eq!(align(b"ba", b"ab"), [Substitute, Substitute]);
        // Which `a` is missing is decided from the end: the last ones match.
        assert_eq!(align(b"aa", b"aaa"), [Delete, Match, Match]);
        assert_eq!(align(b"aaa", b"aa"), [Insert, Match, Match]);
        assert_eq!(align(b"", b"ab"), [Delete, Delete]);
        assert_eq!(align(b"ab", b""), [Insert, Insert]);
        assert_eq!(align::<u8>(b"", b""), []);
    }

    /// The definition, without a table.
    fn naive(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a_rest @ ..], [y, b_rest @ ..]) if x == y => naive(a_rest, b_rest),
            ([_, a_rest @ ..], [_, b_rest @ ..]) => {
                1 + naive(a_rest, b_rest).min(naive(a_rest, b)).min(naive(a, b_rest))
            }
        }
    }

    /// Short sequences over few symbols, where ties and repetitions are common.
    fn word() -> impl Strategy<Value = Vec<u8>> {
        vec(0u8..3, 0..9)
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in word(), b in word(), c in word()) {
            prop_assert_eq!(distance(&a, &a), 0);
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
            prop_assert!(distance(&a, &b) <= a.len().max(b.len()));
            prop_assert!(distance(&a, &b) >= a.len().abs_diff(b.len()));
        }

        #[test]
        fn distance_is_the_definition(a in vec(0u8..3, 0..6), b in vec(0u8..3, 0..6)) {
            prop_assert_eq!(distance(&a, &b), naive(&a, &b));
        }

        #[test]
        fn alignment_leads_from_reference_to_output(output in word(), reference in word()) {
            let ops = align(&output, &reference);
            let (mut o, mut r) = (output.iter(), reference.iter());
            for op in &ops {
                match op {
                    EditOp::Match => prop_assert_eq!(o.next().unwrap(), r.next().unwrap()),
                    EditOp::Substitute => prop_assert_ne!(o.next().unwrap(), r.next().unwrap()),
                    EditOp::Insert => prop_assert!(o.next().is_some()),
                    EditOp::Delete => prop_assert!(r.next().is_some()),
                }
            }
            prop_assert!(o.next().is_none() && r.next().is_none());

            let counts = EditCounts::between(&output, &reference);
            let count = |op| ops.iter().filter(|&&x| x == op).count() as u64;
            prop_assert_eq!(counts.matches, count(EditOp::Match));
            prop_assert_eq!(counts.substitutions, count(EditOp::Substitute));
            prop_assert_eq!(counts.insertions, count(EditOp::Insert));
            prop_assert_eq!(counts.deletions, count(EditOp::Delete));
            prop_assert_eq!(counts.errors(), distance(&output, &reference) as u64);
            prop_assert_eq!(counts.reference_len(), reference.len() as u64);
        }
    }
}
