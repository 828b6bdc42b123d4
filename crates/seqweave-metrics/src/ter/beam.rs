//! Edit distance near the diagonal, with the operations.

/// How far from the diagonal cells are looked at.
const WIDTH: usize = 25;

/// More than any distance; stays so when an edit is added.
const FAR: u32 = u32::MAX / 2;

/// What a cell was reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The words are the same.
    Same,
    /// One word stands for the other.
    Replace,
    /// A word of the reference that the output lacks.
    Missing,
    /// A word of the output that the reference lacks.
    Extra,
}

type Cell = (u32, Option<Step>);

/// A reference, ready to be compared with outputs of one length: shifts change the order only.
pub(super) struct Beam<'r, 'a> {
    pub(super) reference: &'r [&'a str],
    output_len: usize,
    width: usize,
    ratio: f64,
}

/// Distances of every beginning of an output from every beginning of the reference.
pub(super) struct Table {
    /// Row `i` belongs to the first `i` words of the output.
    rows: Vec<Vec<Cell>>,
}

impl<'r, 'a> Beam<'r, 'a> {
    pub(super) fn new(reference: &'r [&'a str], output_len: usize) -> Self {
        let ratio = if output_len > 0 { reference.len() as f64 / output_len as f64 } else { 1.0 };
        // Where one side is far longer, the beam widens so that the rows still overlap.
        let half = ratio / 2.0;
        let width = if (WIDTH as f64) < half { (half + WIDTH as f64).ceil() as usize } else { WIDTH };
        Beam { reference, output_len, width, ratio }
    }

    /// The whole table of an output.
    pub(super) fn table(&self, output: &[&str]) -> Table {
        let first = (0..=self.reference.len()).map(|j| (j as u32, Some(Step::Missing))).collect();
        let mut rows: Vec<Vec<Cell>> = vec![first];
        for i in 1..=output.len() {
            let row = self.row(i, output[i - 1], &rows[i - 1]);
            rows.push(row);
        }
        Table { rows }
    }

    /// The distance of an output whose first `same` words are those of `table`.
    pub(super) fn distance_from(&self, table: &Table, output: &[&str], same: usize) -> usize {
        let mut row = table.rows[same].clone();
        for i in same + 1..=output.len() {
            row = self.row(i, output[i - 1], &row);
        }
        row[self.reference.len()].0 as usize
    }

    fn row(&self, i: usize, word: &str, above: &[Cell]) -> Vec<Cell> {
        let columns = self.reference.len() + 1;
        let diagonal = (i as f64 * self.ratio).floor() as usize;
        let from = diagonal.saturating_sub(self.width);
        let to = if i == self.output_len { columns } else { columns.min(diagonal + self.width) };
        let mut row: Vec<Cell> = vec![(FAR, None); columns];
        for j in from..to {
            if j == 0 {
                row[0] = (above[0].0 + 1, Some(Step::Extra));
                continue;
            }
            let same = word == self.reference[j - 1];
            let diagonal = if same { Step::Same } else { Step::Replace };
            // Of equal costs the first wins.
            let ways = [
                (above[j - 1].0 + u32::from(!same), diagonal),
                (above[j].0 + 1, Step::Extra),
                (row[j - 1].0 + 1, Step::Missing),
            ];
            for (cost, step) in ways {
                if row[j].0 > cost {
                    row[j] = (cost, Some(step));
                }
            }
        }
        row
    }
}

impl Table {
    /// The distance of the whole output from the whole reference.
    pub(super) fn distance(&self) -> usize {
        self.rows.last().and_then(|row| row.last()).map_or(0, |cell| cell.0 as usize)
    }

    /// The steps of the cheapest way, in reading order.
    pub(super) fn steps(&self) -> Vec<Step> {
        let (mut i, mut j) = (self.rows.len() - 1, self.rows[0].len() - 1);
        let mut steps = Vec::new();
        while i > 0 || j > 0 {
            // A cell that was reached was reached from one that was reached.
            let Some(step) = self.rows[i][j].1 else { break };
            steps.push(step);
            match step {
                Step::Same | Step::Replace => (i, j) = (i - 1, j - 1),
                Step::Missing => j -= 1,
                Step::Extra => i -= 1,
            }
        }
        steps.reverse();
        steps
    }
}
