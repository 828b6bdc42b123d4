//! A batch of sentence pairs as the model reads it: time-major, padded, with lengths.

use seqweave_tensor::{Ids, Shape};

use crate::{BOS, EOS, Error, PAD, Result};

/// Sentence pairs side by side: `B` columns, one step a row, [`PAD`] beyond a sentence's end.
///
/// For a source `x₁ … xₘ` and a target `y₁ … yₙ` the columns are
///
/// | field | column |
/// |---|---|
/// | `src` | `x₁ … xₘ EOS`, length m+1 |
/// | `tgt_in` | `BOS y₁ … yₙ`, length n+1: what the decoder reads |
/// | `tgt_out` | `y₁ … yₙ EOS`, length n+1: what it is to say |
#[derive(Clone, Debug)]
pub struct Batch {
    /// Source ids `[S,B]`, each column ending in [`EOS`].
    pub src: Ids,
    /// Source lengths `[B]`, EOS included.
    pub src_lens: Ids,
    /// Decoder inputs `[T,B]`.
    pub tgt_in: Ids,
    /// Decoder targets `[T,B]`.
    pub tgt_out: Ids,
    /// Target lengths `[B]`, EOS included.
    pub tgt_lens: Ids,
}

impl Batch {
    /// A batch from rows of bare tokens, source and target: BOS, EOS and padding are added here. A row may be empty.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] without rows; [`Error::Reserved`] if a row holds PAD, BOS or EOS.
    pub fn from_rows<X: AsRef<[u32]>, Y: AsRef<[u32]>>(rows: &[(X, Y)]) -> Result<Batch> {
        let src: Vec<&[u32]> = rows.iter().map(|(x, _)| x.as_ref()).collect();
        let tgt: Vec<&[u32]> = rows.iter().map(|(_, y)| y.as_ref()).collect();
        let (src, src_lens) = sources(&src)?;
        check_rows("target", &tgt)?;
        let (tgt_in, tgt_lens) = time_major(&tgt, &[BOS], &[])?;
        let (tgt_out, _) = time_major(&tgt, &[], &[EOS])?;
        Ok(Batch { src, src_lens, tgt_in, tgt_out, tgt_lens })
    }

    /// Number of sentence pairs, B.
    pub fn len(&self) -> usize {
        self.src_lens.numel()
    }

    /// The extents S, T and B, after checking that the five fields agree on them.
    pub(crate) fn dims(&self) -> Result<[usize; 3]> {
        let [s, b] = self.src.dims("source [S,B]")?;
        let [t, _] = self.tgt_in.dims("decoder inputs [T,B]")?;
        for (what, ids, shape) in [
            ("source lengths", &self.src_lens, Shape::from([b])),
            ("decoder inputs", &self.tgt_in, Shape::from([t, b])),
            ("decoder targets", &self.tgt_out, Shape::from([t, b])),
            ("target lengths", &self.tgt_lens, Shape::from([b])),
        ] {
            if *ids.shape() != shape {
                return Err(
                    seqweave_tensor::Error::shape(what, shape.to_string(), ids.shape().to_string()).into()
                );
            }
        }
        if b == 0 { Err(Error::EmptyBatch) } else { Ok([s, t, b]) }
    }

    /// Whether there is no pair; never true of a batch that [`Batch::from_rows`] made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Source tokens without padding, EOS included.
    pub fn src_tokens(&self) -> usize {
        self.src_lens.as_slice().iter().map(|&n| n as usize).sum()
    }

    /// Target tokens without padding, EOS included: the number of predictions the loss is summed over.
    pub fn tgt_tokens(&self) -> usize {
        self.tgt_lens.as_slice().iter().map(|&n| n as usize).sum()
    }
}

/// Source ids `[S,B]` and lengths `[B]` from rows of bare tokens; EOS is added.
pub(crate) fn sources<X: AsRef<[u32]>>(rows: &[X]) -> Result<(Ids, Ids)> {
    check_rows("source", rows)?;
    time_major(rows, &[], &[EOS])
}

/// Refuses an empty batch, and rows that hold what only this crate may place.
fn check_rows<X: AsRef<[u32]>>(side: &'static str, rows: &[X]) -> Result<()> {
    if rows.is_empty() {
        return Err(Error::EmptyBatch);
    }
    for (row, ids) in rows.iter().enumerate() {
        if let Some(position) = ids.as_ref().iter().position(|id| [PAD, BOS, EOS].contains(id)) {
            return Err(Error::Reserved { side, row, position, id: ids.as_ref()[position] });
        }
    }
    Ok(())
}

/// `first`, the row, `last` in each column, [`PAD`] below; and the lengths without padding.
fn time_major<X: AsRef<[u32]>>(rows: &[X], first: &[u32], last: &[u32]) -> Result<(Ids, Ids)> {
    let extra = first.len() + last.len();
    let lens: Vec<u32> = rows.iter().map(|row| (row.as_ref().len() + extra) as u32).collect();
    let (t, b) = (lens.iter().copied().max().unwrap_or(0) as usize, rows.len());
    let mut ids = vec![PAD; t * b];
    for (column, row) in rows.iter().enumerate() {
        for (step, &id) in first.iter().chain(row.as_ref()).chain(last).enumerate() {
            ids[step * b + column] = id;
        }
    }
    Ok((Ids::new(ids, [t, b])?, Ids::new(lens, [b])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_padded_columns() {
        let batch = Batch::from_rows(&[(vec![7, 8], vec![9]), (vec![], vec![4, 5, 6])]).unwrap();
        assert_eq!(batch.src.as_slice(), [7, EOS, 8, PAD, EOS, PAD]);
        assert_eq!(batch.src.shape()[..], [3, 2]);
        assert_eq!(batch.src_lens.as_slice(), [3, 1]);
        assert_eq!(batch.tgt_in.as_slice(), [BOS, BOS, 9, 4, PAD, 5, PAD, 6]);
        assert_eq!(batch.tgt_out.as_slice(), [9, 4, EOS, 5, PAD, 6, PAD, EOS]);
        assert_eq!(batch.tgt_lens.as_slice(), [2, 4]);
        assert_eq!((batch.len(), batch.src_tokens(), batch.tgt_tokens()), (2, 4, 6));
    }

    #[test]
    fn reserved_ids_and_empty_batches_are_refused() {
        let error = Batch::from_rows(&[([7], vec![4]), ([5], vec![4, EOS])]).unwrap_err();
        assert!(matches!(error, Error::Reserved { side: "target", row: 1, position: 1, id: EOS }));
        assert!(matches!(Batch::from_rows::<[u32; 0], [u32; 0]>(&[]), Err(Error::EmptyBatch)));
    }

    #[test]
    fn fields_that_disagree_are_refused() {
        let batch = Batch::from_rows(&[([7], [4]), ([5], [4])]).unwrap();
        assert_eq!(batch.dims().unwrap(), [2, 2, 2]);
        let error = Batch { tgt_lens: Ids::list(vec![2]), ..batch }.dims().unwrap_err();
        assert_eq!(error.to_string(), "target lengths: expected [2], found [1]");
    }
}
