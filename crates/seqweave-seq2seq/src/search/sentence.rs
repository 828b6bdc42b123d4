//! The search of one sentence: candidates, survivors, finished hypotheses.
//!
//! Everything here is host arithmetic on one sentence's own numbers, in a fixed order, so a sentence cannot notice
//! what else is in its batch.

use seqweave_tensor::Float;

use super::{Hypothesis, SearchOptions};
use crate::EOS;

/// The state of one sentence's search.
pub(super) struct Sentence {
    width: usize,
    min_len: usize,
    max_len: usize,
    /// Tokens said so far, as a forest of back-pointers: hypotheses share their beginnings.
    nodes: Vec<Node>,
    /// Attention rows over the source, one a slot and step; empty without attention.
    aligns: Vec<Vec<Float>>,
    live: Vec<Live>,
    finished: Vec<Live>,
}

/// One token said by one hypothesis.
struct Node {
    parent: Option<usize>,
    token: u32,
    log_prob: Float,
    align: usize,
}

/// A hypothesis: its last node (none before the first token) and the log-probability of its tokens.
struct Live {
    node: Option<usize>,
    log_prob: f64,
}

/// A hypothesis that lives on: the slot it came from, and the token it said.
pub(super) struct Survivor {
    pub slot: usize,
    pub token: u32,
}

/// What the model said about the live hypothesis in one slot.
pub(super) struct Said<'a> {
    /// (token, log-probability) of the best tokens but PAD and BOS, best first, at least [`Said::room`] of them or all.
    pub best: &'a [(u32, Float)],
    /// Log-probability of EOS; not NaN.
    pub eos: Float,
    /// Attention over the sentence's own source positions; empty without attention.
    pub align: &'a [Float],
}

impl Said<'_> {
    /// How many tokens of a slot a search may look at: 2K, and one more because EOS may be barred.
    pub fn room(options: &SearchOptions) -> usize {
        2 * options.beam + 1
    }
}

struct Candidate {
    slot: usize,
    token: u32,
    log_prob: Float,
    score: f64,
}

impl Sentence {
    /// A search that has said nothing yet, for a source of `n` tokens (EOS not counted).
    pub fn new(n: usize, options: &SearchOptions) -> Self {
        let max_len = options.max_len.of(n);
        Self {
            width: options.beam,
            min_len: options.min_len.min(max_len),
            max_len,
            nodes: Vec::new(),
            aligns: Vec::new(),
            live: vec![Live { node: None, log_prob: 0.0 }],
            finished: Vec::new(),
        }
    }

    /// Number of live hypotheses.
    pub fn slots(&self) -> usize {
        self.live.len()
    }

    /// Takes target step `step`, given what the model said about each live hypothesis; returns those that live on,
    /// best first. None are returned once the sentence is done.
    ///
    /// The best 2K extensions are candidates. A candidate that ends in EOS and is among the best K is finished; the
    /// best K that do not end in EOS live on. At most K candidates end in EOS, one per live hypothesis, so K live
    /// extensions are always among 2K.
    pub fn advance(&mut self, step: usize, said: &[Said<'_>]) -> Vec<Survivor> {
        let first_align = self.aligns.len();
        self.aligns.extend(said.iter().map(|said| said.align.to_vec()));

        let candidates = self.candidates(step, said);
        let (mut live, mut survivors) = (Vec::new(), Vec::new());
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let Candidate { slot, token, log_prob, score } = candidate;
            let ends = token == EOS;
            let kept = if ends {
                rank < self.width && self.finished.len() < self.width
            } else {
                live.len() < self.width
            };
            if !kept {
                continue;
            }
            let parent = self.live[slot].node;
            self.nodes.push(Node { parent, token, log_prob, align: first_align + slot });
            let hypothesis = Live { node: Some(self.nodes.len() - 1), log_prob: score };
            if ends {
                self.finished.push(hypothesis);
            } else {
                live.push(hypothesis);
                survivors.push(Survivor { slot, token });
            }
        }
        if self.finished.len() == self.width {
            live.clear();
            survivors.clear();
        }
        self.live = live;
        survivors
    }

    /// The best 2K extensions, best first; ties go to the earlier slot, then to the smaller token.
    fn candidates(&self, step: usize, said: &[Said<'_>]) -> Vec<Candidate> {
        let room = 2 * self.width;
        let mut best: Vec<Candidate> = Vec::with_capacity(room + 1);
        for (slot, (live, said)) in self.live.iter().zip(said).enumerate() {
            // At its longest, a hypothesis can only end; so each ends in EOS, and its score is that of its whole text.
            let end = [(EOS, said.eos)];
            for &(token, log_prob) in if step >= self.max_len { &end } else { said.best } {
                let score = live.log_prob + log_prob as f64;
                if best.len() == room && score <= best[room - 1].score {
                    break; // The slot's other tokens are no better.
                }
                if token == EOS && step < self.min_len {
                    continue;
                }
                let rank = best.partition_point(|better| better.score >= score);
                best.insert(rank, Candidate { slot, token, log_prob, score });
                best.truncate(room);
            }
        }
        best
    }

    /// The finished hypotheses, best first, at most `n_best`; ties go to the smaller token sequence.
    pub fn into_best(self, options: &SearchOptions) -> Vec<Hypothesis> {
        let mut best: Vec<Hypothesis> =
            self.finished.iter().map(|end| self.hypothesis(end, options)).collect();
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.ids.cmp(&b.ids)));
        best.truncate(options.n_best);
        best
    }

    /// Follows the back-pointers of a finished hypothesis.
    fn hypothesis(&self, end: &Live, options: &SearchOptions) -> Hypothesis {
        let (mut ids, mut token_log_probs, mut align) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = end.node;
        while let Some(node) = at.map(|index| &self.nodes[index]) {
            ids.push(node.token);
            token_log_probs.push(node.log_prob);
            align.push(self.aligns[node.align].clone());
            at = node.parent;
        }
        ids.reverse();
        token_log_probs.reverse();
        align.reverse();
        let mut coverage = vec![0.0; align.first().map_or(0, Vec::len)];
        for row in &align {
            for (sum, &a) in coverage.iter_mut().zip(row) {
                *sum += a as f64;
            }
        }
        let score = options.score(end.log_prob, ids.len(), &coverage);
        if coverage.is_empty() {
            align.clear();
        }
        ids.pop(); // EOS, with which every finished hypothesis ends
        Hypothesis { ids, log_prob: end.log_prob, score, token_log_probs, align }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{LengthPenalty, MaxLen};
    use crate::{BOS, PAD};

    /// What is said by log-probabilities over PAD, UNK, BOS, EOS and two words.
    fn said(log_probs: &[Float; 6]) -> Said<'static> {
        let mut best: Vec<(u32, Float)> = (0..).zip(log_probs.iter().copied()).collect();
        best.retain(|(token, _)| ![PAD, BOS].contains(token));
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Said { best: best.leak(), eos: log_probs[EOS as usize], align: &[] }
    }

    fn options(beam: usize) -> SearchOptions {
        SearchOptions {
            beam,
            n_best: beam,
            length_penalty: LengthPenalty::None,
            max_len: MaxLen { ratio: 0.0, add: 2 },
            ..Default::default()
        }
    }

    #[test]
    fn greedy_takes_the_best_token_and_never_pad_or_bos() {
        let mut search = Sentence::new(1, &options(1));
        let next = search.advance(0, &[said(&[-0.1, -9.0, -0.1, -3.0, -2.0, -4.0])]);
        assert_eq!((next.len(), next[0].token), (1, 4));
        assert!(search.advance(1, &[said(&[-0.1, -9.0, -0.1, -0.5, -2.0, -4.0])]).is_empty());
        let best = search.into_best(&options(1));
        assert_eq!((&best[0].ids, best[0].log_prob), (&vec![4], -2.5));
        assert_eq!(best[0].token_log_probs, [-2.0, -0.5]);
    }

    #[test]
    fn ties_go_to_the_earlier_slot_and_the_smaller_token() {
        let mut search = Sentence::new(1, &options(2));
        let row = [-9.0, -9.0, -9.0, -9.0, -1.0, -1.0];
        let next = search.advance(0, &[said(&row)]);
        assert_eq!(next.iter().map(|s| s.token).collect::<Vec<_>>(), [4, 5]);
        let next = search.advance(1, &[said(&row), said(&row)]);
        assert_eq!(next.iter().map(|s| (s.slot, s.token)).collect::<Vec<_>>(), [(0, 4), (0, 5)]);
    }

    #[test]
    fn an_eos_beyond_the_best_k_is_not_finished() {
        let mut search = Sentence::new(1, &options(2));
        // Ranked: 4, 5, EOS, UNK. EOS is third of a beam of two.
        let next = search.advance(0, &[said(&[0.0, -4.0, 0.0, -3.0, -1.0, -2.0])]);
        assert_eq!(next.iter().map(|s| s.token).collect::<Vec<_>>(), [4, 5]);
        assert!(search.finished.is_empty());
    }

    #[test]
    fn at_its_longest_a_hypothesis_can_only_end() {
        let options = SearchOptions { min_len: 9, ..options(2) };
        let mut search = Sentence::new(1, &options);
        let row = [-1.0, -9.0, -1.0, -0.5, -1.0, -2.0];
        for step in 0..2 {
            let slots = search.slots();
            assert_eq!(search.advance(step, &(0..slots).map(|_| said(&row)).collect::<Vec<_>>()).len(), 2);
        }
        assert!(search.advance(2, &[said(&row), said(&row)]).is_empty());
        let best = search.into_best(&options);
        assert_eq!(best.iter().map(|h| &h.ids[..]).collect::<Vec<_>>(), [[4, 4], [4, 5]]);
    }

    #[test]
    fn minus_infinity_is_a_log_probability_like_any_other() {
        let mut search = Sentence::new(1, &options(1));
        let row = [Float::NEG_INFINITY; 6];
        assert_eq!(search.advance(0, &[said(&row)]).len(), 1);
    }
}
