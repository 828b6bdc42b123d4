//! The state of decoding, as a value.

use seqweave_autograd::Var;
use seqweave_nn::{CellState, Memory, RnnState};
use seqweave_tensor::{Ids, ops};

use crate::Result;
use crate::decoder::DecoderState;

/// Everything the next target step needs: for N rows the decoder's state, and the memory of B sentences.
///
/// Rows are hypotheses. N is a multiple of B, and row n belongs to sentence n mod B: K hypotheses a sentence lie slot by
/// slot, row k·B + b. A fresh state has one row a sentence.
///
/// A state is a value: stepping makes a new one and leaves the old one as it was.
#[derive(Clone)]
pub struct State {
    pub(crate) decoder: DecoderState,
    pub(crate) memory: Option<Memory>,
    /// Number of rows, N.
    pub(crate) rows: usize,
    /// Number of sentences, B.
    pub(crate) sentences: usize,
}

impl State {
    /// Number of rows, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of sentences whose memory is held, B.
    pub fn sentences(&self) -> usize {
        self.sentences
    }

    /// The state whose row i is row `rows[i]` of this one: reorders beams, repeats rows, drops finished sentences.
    ///
    /// Any choice of rows is right. It is cheap when the sentences of the chosen rows repeat in a cycle, as they do when
    /// each sentence keeps as many rows as every other: then each memory is kept once, whatever the beam.
    /// Values are cut from the tape: no gradient flows through a selection.
    pub fn select(&self, rows: &Ids) -> Result<State> {
        let [n] = rows.dims("rows [N]")?;
        let sentences: Vec<u32> =
            rows.as_slice().iter().map(|row| row % self.sentences.max(1) as u32).collect();
        let cycle = cycle(&sentences);
        let kept = &sentences[..cycle];
        let same = cycle == self.sentences && kept.iter().enumerate().all(|(i, &s)| s as usize == i);
        let memory = match &self.memory {
            Some(memory) if !same => Some(select_sentences(memory, kept)?),
            memory => memory.clone(),
        };
        let pick = |x: &Var| -> Result<Var> { Ok(Var::constant(ops::select_rows(x.value(), rows)?)) };
        let mut cells = Vec::with_capacity(self.decoder.recurrent.cells.len());
        for CellState { h, c } in &self.decoder.recurrent.cells {
            cells.push(CellState { h: pick(h)?, c: c.as_ref().map(pick).transpose()? });
        }
        let feed = self.decoder.feed.as_ref().map(pick).transpose()?;
        let decoder = DecoderState { recurrent: RnnState { cells }, feed };
        Ok(State { decoder, memory, rows: n, sentences: cycle })
    }
}

/// The memory of some of its sentences, in the order given.
fn select_sentences(memory: &Memory, kept: &[u32]) -> Result<Memory> {
    let [s, b, _] = memory.values.dims("memory [S,B,D]")?;
    let rows =
        Ids::list((0..s as u32).flat_map(|step| kept.iter().map(move |k| step * b as u32 + k)).collect());
    let pick = |x: &Var| -> Result<Var> {
        let [_, _, h] = x.dims("memory [S,B,H]")?;
        let picked = ops::select_rows(&x.value().reshape([s * b, h])?, &rows)?;
        Ok(Var::constant(picked.reshape([s, kept.len(), h])?))
    };
    let lens = kept.iter().map(|&k| memory.lens.as_slice()[k as usize]).collect();
    Ok(Memory { keys: pick(&memory.keys)?, values: pick(&memory.values)?, lens: Ids::list(lens) })
}

/// Length of the shortest beginning of `items` that, repeated, gives all of it.
fn cycle(items: &[u32]) -> usize {
    let n = items.len();
    let repeats = |c: &usize| n.is_multiple_of(*c) && (*c..n).all(|i| items[i] == items[i - c]);
    (1..=n).find(repeats).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::cycle;

    #[test]
    fn the_shortest_cycle_is_found() {
        assert_eq!(cycle(&[]), 0);
        assert_eq!(cycle(&[4]), 1);
        assert_eq!(cycle(&[4, 4, 4]), 1);
        assert_eq!(cycle(&[0, 2, 5, 0, 2, 5]), 3);
        assert_eq!(cycle(&[0, 2, 5, 0, 2]), 5);
        assert_eq!(cycle(&[0, 0, 1, 1]), 4);
    }
}
