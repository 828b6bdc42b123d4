//! The best shift of a phrase of the output to where the reference has it.

use super::beam::{Beam, Step};

/// Candidates that are looked at for one pair of output and reference, all rounds together.
pub(super) const MAX_CANDIDATES: usize = 1000;

/// The longest phrase that is moved.
const MAX_SIZE: usize = 10;

/// The farthest that a phrase may be from its place.
const MAX_DISTANCE: usize = 50;

/// An output with one phrase moved.
pub(super) struct Shift<'a> {
    /// By how much the distance falls, not counting the shift.
    pub(super) gain: i64,
    /// The output after it.
    pub(super) words: Vec<&'a str>,
}

/// The shift that gains most, then that of the longest phrase, the earliest phrase, the earliest target.
pub(super) fn best_shift<'a>(
    beam: &Beam<'_, 'a>,
    output: &[&'a str],
    candidates: &mut usize,
) -> Option<Shift<'a>> {
    let table = beam.table(output);
    let distance = table.distance() as i64;
    let aligned = Alignment::of(&table.steps());
    type Rank<'a> = (i64, usize, std::cmp::Reverse<usize>, std::cmp::Reverse<usize>, Vec<&'a str>);
    let mut best: Option<Rank<'a>> = None;
    'phrases: for start in 0..output.len() {
        for place in 0..beam.reference.len() {
            if place.abs_diff(start) > MAX_DISTANCE {
                continue;
            }
            let common = output[start..].iter().zip(&beam.reference[place..]).take_while(|(a, b)| a == b);
            for length in 1..=common.take(MAX_SIZE).count() {
                // Both the phrase and its place must be wrong, and the place outside the phrase.
                let inside = start as i64..(start + length) as i64;
                if !aligned.output_wrong[start..start + length].contains(&true)
                    || !aligned.reference_wrong[place..place + length].contains(&true)
                    || inside.contains(&aligned.position[place])
                {
                    continue;
                }
                let mut tried = None;
                for offset in 0..=length {
                    // Before the place, and after each of its words; the reference may end before.
                    let target = match place + offset {
                        0 => 0,
                        next => match aligned.position.get(next - 1) {
                            Some(&position) => (position + 1) as usize,
                            None => break,
                        },
                    };
                    if tried == Some(target) {
                        continue;
                    }
                    tried = Some(target);
                    let words = moved(output, start, length, target);
                    let same = start.min(target);
                    let gain = distance - beam.distance_from(&table, &words, same) as i64;
                    *candidates += 1;
                    let rank = (gain, length, std::cmp::Reverse(start), std::cmp::Reverse(target), words);
                    if best.as_ref().is_none_or(|best| rank > *best) {
                        best = Some(rank);
                    }
                }
                if *candidates >= MAX_CANDIDATES {
                    break 'phrases;
                }
            }
        }
    }
    best.map(|(gain, .., words)| Shift { gain, words })
}

/// Where each word of the reference lies in the output, and what is wrong on both sides.
struct Alignment {
    /// The position in the output of each word of the reference, or of the last word before it; −1 before the first.
    position: Vec<i64>,
    reference_wrong: Vec<bool>,
    output_wrong: Vec<bool>,
}

impl Alignment {
    fn of(steps: &[Step]) -> Self {
        let (mut position, mut reference_wrong, mut output_wrong) = (Vec::new(), Vec::new(), Vec::new());
        for &step in steps {
            let wrong = step != Step::Same;
            if step != Step::Missing {
                output_wrong.push(wrong);
            }
            if step != Step::Extra {
                reference_wrong.push(wrong);
                position.push(output_wrong.len() as i64 - 1);
            }
        }
        Alignment { position, reference_wrong, output_wrong }
    }
}

/// The words with `words[start..start + length]` moved to before `target`, or, from within, on by as much.
fn moved<'a>(words: &[&'a str], start: usize, length: usize, target: usize) -> Vec<&'a str> {
    let end = start + length;
    let phrase = &words[start..end];
    if target < start {
        [&words[..target], phrase, &words[target..start], &words[end..]].concat()
    } else if target > end {
        [&words[..start], &words[end..target], phrase, &words[target..]].concat()
    } else {
        let to = (target + length).min(words.len());
        [&words[..start], &words[end..to], phrase, &words[to..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_moves_before_after_and_within() {
        let words = ["a", "b", "c", "d", "e"];
        let rows = [(2, 2, 0, "cdabe"), (0, 2, 4, "cdabe"), (1, 2, 2, "adbce"), (3, 2, 5, "abcde")];
        for (start, length, target, want) in rows {
            assert_eq!(moved(&words, start, length, target).concat(), want, "{start} {length} {target}");
        }
    }
}
