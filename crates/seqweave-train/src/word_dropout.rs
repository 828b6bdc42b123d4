//! Word dropout: tokens of a batch that the model does not get to see.

use seqweave_seq2seq::{BOS, Batch, EOS, PAD, UNK};
use seqweave_tensor::{Float, Ids, Philox};

use crate::Result;

/// Numbers of the two masks, above those of any other of a step.
const SOURCE: u32 = u32::MAX;
const TARGET: u32 = u32::MAX - 1;

/// How words are dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WordDropout {
    /// Probability of replacing a word.
    pub(crate) p: Float,
    /// Source ids from here on are tags, which say what is wanted and are never dropped.
    pub(crate) first_tag: u32,
}

impl WordDropout {
    /// None are.
    pub(crate) const NONE: WordDropout = WordDropout { p: 0.0, first_tag: u32::MAX };
}

/// The batch with every source token and every decoder input replaced by `<unk>` with probability `p`.
///
/// The token at time t of sentence b is replaced where the uniform number of `key` at position t·B + b is below `p`. What
/// the decoder has to predict stays as it is, and so do padding, begin and end marks, and tags. (Iyyer et al. 2015, "Deep unordered
/// composition rivals syntactic methods for text classification", section 3.1; for the inputs of decoders Bowman et al.
/// 2016, "Generating sentences from a continuous space", section 3.1.)
///
/// # Errors
/// None that a batch can cause: shapes stay as they are.
pub(crate) fn drop_words(
    batch: &Batch,
    WordDropout { p, first_tag }: WordDropout,
    key: Philox,
) -> Result<Batch> {
    let drop = |ids: &Ids, op: u32| {
        let token = |(position, &id): (usize, &u32)| {
            let is_kept = [PAD, BOS, EOS].contains(&id) || (op == SOURCE && id >= first_tag);
            if !is_kept && f64::from(key.uniform(op, position as u64)) < f64::from(p) { UNK } else { id }
        };
        Ids::new(ids.as_slice().iter().enumerate().map(token).collect(), *ids.shape())
    };
    Ok(Batch { src: drop(&batch.src, SOURCE)?, tgt_in: drop(&batch.tgt_in, TARGET)?, ..batch.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Philox = Philox { seed: 5, step: 9 };

    fn all(p: Float) -> WordDropout {
        WordDropout { p, ..WordDropout::NONE }
    }

    fn batch() -> Batch {
        let row = |n: u32| (vec![4 + n; 20], vec![5 + n; 20 - n as usize]);
        Batch::from_rows(&(0..10).map(row).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn words_are_dropped_by_position_and_marks_and_targets_never() {
        let whole = batch();
        let dropped = drop_words(&whole, all(0.3), KEY).unwrap();
        assert_eq!(dropped.tgt_out.as_slice(), whole.tgt_out.as_slice());
        let mut shares = Vec::new();
        for (was, is, op) in [(&whole.src, &dropped.src, SOURCE), (&whole.tgt_in, &dropped.tgt_in, TARGET)] {
            let mut count = 0;
            for (position, (&was, &is)) in was.as_slice().iter().zip(is.as_slice()).enumerate() {
                let is_dropped = was >= 4 && KEY.uniform(op, position as u64) < 0.3;
                assert_eq!(is, if is_dropped { UNK } else { was }, "position {position}");
                count += usize::from(is_dropped);
            }
            shares.push(count as f64 / was.as_slice().iter().filter(|&&id| id >= 4).count() as f64);
        }
        assert!(shares.iter().all(|share| (0.2..0.4).contains(share)), "{shares:?}");
    }

    #[test]
    fn another_step_drops_others_and_none_at_zero() {
        let ids =
            |p, step| drop_words(&batch(), all(p), Philox { step, ..KEY }).unwrap().src.as_slice().to_vec();
        assert_eq!(ids(0.3, 1), ids(0.3, 1));
        assert_ne!(ids(0.3, 1), ids(0.3, 2));
        assert_eq!(ids(0.0, 1), batch().src.as_slice());
    }

    #[test]
    fn tags_of_the_source_are_never_dropped() {
        let first_tag = 9;
        let dropped = drop_words(&batch(), WordDropout { p: 0.99, first_tag }, KEY).unwrap();
        let (was, is) = (batch(), dropped);
        for (&was, &is) in was.src.as_slice().iter().zip(is.src.as_slice()) {
            assert!(is == was || (is == UNK && was < first_tag), "{was} became {is}");
        }
        let unknown = |ids: &Ids| ids.as_slice().iter().filter(|&&id| id == UNK).count();
        assert!(unknown(&is.src) > 0);
        // Target ids mean something else.
        let above = was.tgt_in.as_slice().iter().filter(|&&id| id >= first_tag).count();
        let left = is.tgt_in.as_slice().iter().filter(|&&id| id >= first_tag).count();
        assert!(left < above / 2, "{left} of {above}");
    }
}
