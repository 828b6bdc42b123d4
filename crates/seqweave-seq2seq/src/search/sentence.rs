//! The search of one sentence: candidates, survivors, finished hypotheses.
//!
//! Everything here is host arithmetic on one sentence's own numbers, in a fixed order, so a sentence cannot notice
//! what else is in its batch.

use seqweave_tensor::Float;

use super::required::Required;
use super::rules::{BARRED, Rules, check_ids};
use super::said::{Best, Next, Said};
use super::sampling::{Draw, key};
use super::{Hypothesis, Query, SearchOptions};
use crate::{EOS, Error, Result};

/// The state of one sentence's search.
pub(super) struct Sentence<'a> {
    options: &'a SearchOptions,
    rules: &'a Rules,
    prefix: &'a [u32],
    required: Required<'a>,
    /// What tells its draws from those of another sentence.
    key: u64,
    min_len: usize,
    max_len: usize,
    /// Tokens said so far, as a forest of back-pointers: hypotheses share their beginnings.
    nodes: Vec<Node>,
    /// Attention rows over the source, one a slot and step; empty without attention.
    aligns: Vec<Vec<Float>>,
    live: Vec<Live>,
    finished: Vec<Finished>,
}

/// A hypothesis that has ended, and what it is ranked by.
struct Finished {
    end: Live,
    score: f64,
}

/// One token said by one hypothesis.
struct Node {
    parent: Option<usize>,
    token: u32,
    log_prob: Float,
    align: usize,
}

/// A hypothesis: its last node (none before the first token) and what its tokens add up to.
#[derive(Clone)]
struct Live {
    node: Option<usize>,
    /// Sum of the log-probabilities.
    log_prob: f64,
    /// The same after the repetition penalty: what the search goes by.
    value: f64,
    /// Number of the sample, where outputs are drawn.
    sample: usize,
}

/// A hypothesis that lives on: the slot it came from, and the token it said.
pub(super) struct Survivor {
    pub slot: usize,
    pub token: u32,
}

/// A token that a hypothesis may say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub token: u32,
    pub log_prob: Float,
    /// The log-probability after the repetition penalty: what the search goes by.
    pub value: f64,
    /// Tokens of required phrases said with it: the bank it falls into.
    pub met: usize,
}

/// A token that a hypothesis may say, and what the hypothesis then adds up to.
struct Candidate {
    slot: usize,
    offer: Offer,
    value: f64,
}

impl<'a> Sentence<'a> {
    /// A search that has said nothing yet, for sentence number `row` of a call, whose source has so many `positions`.
    ///
    /// # Errors
    /// A prefix or phrase that a vocabulary of `vocab` target tokens does not have, a phrase that is empty or forbidden,
    /// more tokens than the longest output has, or required phrases where outputs are drawn.
    pub fn new(
        row: usize,
        query: &Query<'a>,
        positions: usize,
        options: &'a SearchOptions,
        rules: &'a Rules,
        vocab: usize,
    ) -> Result<Self> {
        check_ids("prefix", row, query.prefix, vocab)?;
        let required = Required::new(query, row, rules, vocab)?;
        if options.sampling.on && !required.is_empty() {
            return Err(Error::RequiredOfSamples { sentence: row });
        }
        let max_len = options.max_len.of(positions);
        let tokens = query.prefix.len() + required.tokens() - required.met(query.prefix).tokens;
        if tokens > max_len {
            return Err(Error::NoRoom { sentence: row, tokens, max_len });
        }
        let first = |sample| Live { node: None, log_prob: 0.0, value: 0.0, sample };
        Ok(Self {
            options,
            rules,
            prefix: query.prefix,
            required,
            key: key(query.source),
            min_len: options.min_len.min(max_len),
            max_len,
            nodes: Vec::new(),
            aligns: Vec::new(),
            live: (0..options.lanes()).map(first).collect(),
            finished: Vec::new(),
        })
    }

    /// Number of live hypotheses.
    pub fn slots(&self) -> usize {
        self.live.len()
    }

    /// Whether it needs the log-probabilities of all tokens, and not only of the best.
    pub fn needs_all(&self) -> bool {
        !self.prefix.is_empty() || !self.required.is_empty()
    }

    /// What the hypothesis in `slot` may say at target step `step`, best first, given the log-probabilities of all
    /// tokens.
    pub fn offers(&self, step: usize, slot: usize, log_probs: &[Float]) -> Vec<Offer> {
        let live = &self.live[slot];
        let mut history = self.history(live);
        let plain = |token: u32, met| {
            let log_prob = log_probs[token as usize];
            Offer { token, log_prob, value: log_prob as f64, met }
        };
        if let Some(&token) = self.prefix.get(step) {
            return vec![plain(token, 0)];
        }
        let met = self.required.met(&history);
        let is_met = met.tokens == self.required.tokens();
        let end = is_met.then(|| plain(EOS, met.tokens));
        if step >= self.max_len {
            return end.into_iter().collect();
        }

        let mut x: Vec<f64> = log_probs.iter().map(|&log_prob| log_prob as f64).collect();
        self.rules.amend(&history, &mut x);
        if !is_met || step < self.min_len {
            x[EOS as usize] = BARRED;
        }
        // Before repetitions are barred: they do not hold up a required phrase.
        let needed = met.next.iter().map(|&token| (token, x[token as usize]));
        let needed: Vec<(u32, f64)> = needed.filter(|(_, x)| !x.is_nan()).collect();
        self.rules.bar_repeated_ngrams(&history, &mut x);

        let mut best = self.pick(Draw { key: self.key, sample: live.sample, step }, &x);
        for (token, x) in needed {
            if !best.iter().any(|(other, _)| *other == token) {
                best.push((token, x));
            }
        }
        if best.is_empty() {
            return end.into_iter().collect(); // A short output is better than none.
        }
        let offers = best.into_iter().map(|(token, value)| Offer { value, ..plain(token, met.tokens) });
        let mut offers: Vec<Offer> = offers.collect();
        if self.required.is_empty() {
            return offers;
        }
        for offer in offers.iter_mut().filter(|offer| offer.token != EOS) {
            history.push(offer.token);
            offer.met = self.required.met(&history).tokens;
            history.pop();
        }
        // Whoever cannot say all that is required any more is out.
        let room = self.max_len - step - 1;
        offers.retain(|offer| offer.token == EOS || self.required.tokens() - offer.met <= room);
        offers.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.token.cmp(&b.token)));
        offers
    }

    /// The tokens that a hypothesis may go on with, of all with the values `x`: the best, or one that is drawn.
    fn pick(&self, draw: Draw, x: &[f64]) -> Vec<(u32, f64)> {
        if self.options.sampling.on {
            let drawn = self.options.sampling.draw(x, draw);
            return drawn.map(|token| (token, x[token as usize])).into_iter().collect();
        }
        let mut best = Best::new(self.options.room());
        let left = (0..).zip(x).filter(|(_, x)| !x.is_nan());
        left.for_each(|(token, &x)| best.add(token, x));
        best.list
    }

    /// Takes target step `step`, given what was said about each live hypothesis; returns those that live on, best first.
    /// None are returned once the sentence is done.
    pub fn advance(&mut self, step: usize, said: &[Said<'_>]) -> Vec<Survivor> {
        let first_align = self.aligns.len();
        self.aligns.extend(said.iter().map(|said| said.align.to_vec()));
        let kept = if self.options.sampling.on { self.drawn(said) } else { self.best(step, said) };
        let (mut live, mut survivors) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for Candidate { slot, offer: Offer { token, log_prob, .. }, value } in kept {
            let from = &self.live[slot];
            self.nodes.push(Node { parent: from.node, token, log_prob, align: first_align + slot });
            let node = Some(self.nodes.len() - 1);
            let said = Live { node, log_prob: from.log_prob + log_prob as f64, value, sample: from.sample };
            if token == EOS {
                let score = self.options.score(said.value, step + 1, &self.coverage(&said));
                self.finished.push(Finished { end: said, score });
            } else {
                live.push(said);
                survivors.push(Survivor { slot, token });
            }
        }
        if self.is_done(step, live.first()) {
            live.clear();
            survivors.clear();
        }
        self.live = live;
        survivors
    }

    /// Whether the search ends after target step `step`, where `best` is the best of those that would live on.
    fn is_done(&self, step: usize, best: Option<&Live>) -> bool {
        let &SearchOptions { beam, n_best, ref sampling, .. } = self.options;
        if sampling.on || self.finished.len() < beam {
            return false;
        }
        let Some(best) = best.filter(|_| beam > 1) else { return true };
        // Where one token is nearly certain, the other places of the beam go to ends that are not: K of them are no sign
        // that the best is among them. So it also has to be better than what is within reach of the next token.
        let within_reach = self.options.score(best.value, step + 2, &[]);
        self.finished.iter().filter(|finished| finished.score > within_reach).count() >= n_best
    }

    /// Each hypothesis with the token that was drawn for it.
    fn drawn(&self, said: &[Said<'_>]) -> Vec<Candidate> {
        let slots = self.live.iter().zip(said).enumerate();
        let drawn = slots.filter_map(|(slot, (live, said))| match said.next {
            Next::Offers([offer, ..]) => {
                Some(Candidate { slot, offer: *offer, value: live.value + offer.value })
            }
            _ => None,
        });
        drawn.collect()
    }

    /// The candidates that are kept, best first.
    ///
    /// The best 2K extensions are candidates. A candidate that ends in EOS and is among the best K is finished; the best K
    /// that do not end in EOS live on. At most K candidates end in EOS, one per live hypothesis, so K live
    /// extensions are always among 2K. With required phrases every offer is a candidate, only those that have said all
    /// of them end in EOS, and compete among each other; the K places are shared among the banks.
    fn best(&self, step: usize, said: &[Said<'_>]) -> Vec<Candidate> {
        let (width, all) = (self.options.beam, self.required.tokens());
        let candidates = self.candidates(step, said);
        let mut rank = 0;
        let (mut places, mut banks) = (Vec::new(), Vec::new());
        let mut keeps = vec![false; candidates.len()];
        for (at, Candidate { offer, .. }) in candidates.iter().enumerate() {
            if offer.token == EOS {
                keeps[at] = rank < width;
            } else {
                places.push(at);
                banks.push(offer.met);
            }
            rank += usize::from(offer.met == all);
        }
        if self.required.is_empty() {
            places.iter().take(width).for_each(|&at| keeps[at] = true);
        } else {
            Required::share(&banks, width).into_iter().for_each(|place| keeps[places[place]] = true);
        }
        candidates
            .into_iter()
            .zip(keeps)
            .filter_map(|(candidate, keeps)| keeps.then_some(candidate))
            .collect()
    }

    /// The best extensions, best first; ties go to the earlier slot, then to the smaller token.
    fn candidates(&self, step: usize, said: &[Said<'_>]) -> Vec<Candidate> {
        let (room, is_all) = (2 * self.options.beam, !self.required.is_empty());
        let mut best: Vec<Candidate> = Vec::with_capacity(room + 1);
        let mut offers: Vec<Offer> = Vec::new();
        for (slot, (live, said)) in self.live.iter().zip(said).enumerate() {
            offers.clear();
            self.plain_or_offered(step, said.next, &mut offers);
            for &offer in &offers {
                let value = live.value + offer.value;
                if is_all {
                    best.push(Candidate { slot, offer, value });
                    continue;
                }
                if best.len() == room && value <= best[room - 1].value {
                    break; // The slot's other tokens are no better.
                }
                let rank = best.partition_point(|better| better.value >= value);
                best.insert(rank, Candidate { slot, offer, value });
                best.truncate(room);
            }
        }
        if is_all {
            best.sort_by(|a, b| b.value.total_cmp(&a.value)); // A stable sort: ties stay as they were found.
        }
        best
    }

    /// What may be said next: what the rules left, or the best tokens of a search without rules.
    fn plain_or_offered(&self, step: usize, next: Next<'_>, offers: &mut Vec<Offer>) {
        let plain =
            |&(token, log_prob): &(u32, Float)| Offer { token, log_prob, value: log_prob as f64, met: 0 };
        match next {
            Next::Offers(left) => offers.extend(left),
            // At its longest, a hypothesis can only end; so each ends in EOS, and its score is that of its whole text.
            Next::Best(_, eos) if step >= self.max_len => offers.push(plain(&(EOS, eos))),
            Next::Best(best, _) if step < self.min_len => {
                offers.extend(best.iter().filter(|(token, _)| *token != EOS).map(plain));
            }
            Next::Best(best, _) => offers.extend(best.iter().map(plain)),
        }
    }

    /// The tokens a hypothesis has said.
    fn history(&self, live: &Live) -> Vec<u32> {
        let mut ids: Vec<u32> = self.path(live).map(|node| node.token).collect();
        ids.reverse();
        ids
    }

    /// The nodes of a hypothesis, the last one first.
    fn path(&self, live: &Live) -> impl Iterator<Item = &Node> {
        let first = live.node.map(|at| &self.nodes[at]);
        std::iter::successors(first, |node| node.parent.map(|at| &self.nodes[at]))
    }

    /// The finished hypotheses: best first, at most `n_best`, ties go to the smaller token sequence; samples in the order
    /// of their numbers.
    pub fn into_best(mut self) -> Vec<Hypothesis> {
        let mut finished = std::mem::take(&mut self.finished);
        if self.options.sampling.on {
            finished.sort_by_key(|finished| finished.end.sample);
        } else {
            let ids = |finished: &Finished| self.history(&finished.end);
            finished.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| ids(a).cmp(&ids(b))));
        }
        finished.iter().take(self.options.n_best).map(|finished| self.hypothesis(finished)).collect()
    }

    /// Follows the back-pointers of a finished hypothesis.
    fn hypothesis(&self, Finished { end, score }: &Finished) -> Hypothesis {
        let (mut ids, mut token_log_probs, mut align) = (Vec::new(), Vec::new(), Vec::new());
        for node in self.path(end) {
            ids.push(node.token);
            token_log_probs.push(node.log_prob);
            align.push(self.aligns[node.align].clone());
        }
        ids.reverse();
        token_log_probs.reverse();
        align.reverse();
        if align.iter().all(Vec::is_empty) {
            align.clear();
        }
        ids.pop(); // EOS, with which every finished hypothesis ends
        Hypothesis { ids, log_prob: end.log_prob, score: *score, token_log_probs, align }
    }

    /// How much attention each source position got from a hypothesis; empty without a penalty on that, or attention.
    fn coverage(&self, live: &Live) -> Vec<f64> {
        if self.options.coverage_penalty == 0.0 {
            return Vec::new();
        }
        let mut rows: Vec<&[Float]> = self.path(live).map(|node| &self.aligns[node.align][..]).collect();
        rows.reverse(); // Sums are made in the order of the steps.
        let mut coverage = vec![0.0; rows.first().map_or(0, |row| row.len())];
        for row in rows {
            coverage.iter_mut().zip(row).for_each(|(sum, &a)| *sum += a as f64);
        }
        coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{LengthPenalty, MaxLen};
    use crate::{BOS, PAD};

    const VOCAB: usize = 6;

    /// What is said by log-probabilities over PAD, UNK, BOS, EOS and two words.
    fn said(log_probs: &[Float; VOCAB]) -> Said<'static> {
        let mut best: Vec<(u32, Float)> = (0..).zip(log_probs.iter().copied()).collect();
        best.retain(|(token, _)| ![PAD, BOS].contains(token));
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Said { next: Next::Best(best.leak(), log_probs[EOS as usize]), align: &[] }
    }

    /// The search of a source of one token.
    fn search(options: &SearchOptions) -> Sentence<'static> {
        let options: &SearchOptions = Box::leak(Box::new(options.clone()));
        let rules = Box::leak(Box::new(Rules::new(options, &[], VOCAB).unwrap()));
        Sentence::new(0, &Query::of(&[4]), 1, options, rules, VOCAB).unwrap()
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
        let mut search = self::search(&options(1));
        let next = search.advance(0, &[said(&[-0.1, -9.0, -0.1, -3.0, -2.0, -4.0])]);
        assert_eq!((next.len(), next[0].token), (1, 4));
        assert!(search.advance(1, &[said(&[-0.1, -9.0, -0.1, -0.5, -2.0, -4.0])]).is_empty());
        let best = search.into_best();
        assert_eq!((&best[0].ids, best[0].log_prob), (&vec![4], -2.5));
        assert_eq!(best[0].token_log_probs, [-2.0, -0.5]);
    }

    #[test]
    fn ties_go_to_the_earlier_slot_and_the_smaller_token() {
        let mut search = self::search(&options(2));
        let row = [-9.0, -9.0, -9.0, -9.0, -1.0, -1.0];
        let next = search.advance(0, &[said(&row)]);
        assert_eq!(next.iter().map(|s| s.token).collect::<Vec<_>>(), [4, 5]);
        let next = search.advance(1, &[said(&row), said(&row)]);
        assert_eq!(next.iter().map(|s| (s.slot, s.token)).collect::<Vec<_>>(), [(0, 4), (0, 5)]);
    }

    #[test]
    fn an_eos_beyond_the_best_k_is_not_finished() {
        let mut search = self::search(&options(2));
        // Ranked: 4, 5, EOS, UNK. EOS is third of a beam of two.
        let next = search.advance(0, &[said(&[0.0, -4.0, 0.0, -3.0, -1.0, -2.0])]);
        assert_eq!(next.iter().map(|s| s.token).collect::<Vec<_>>(), [4, 5]);
        assert!(search.finished.is_empty());
    }

    #[test]
    fn ends_that_nobody_believes_in_do_not_end_the_search() {
        // One word is nearly certain at each step, and the rest of the beam goes to ends that are not.
        let long = SearchOptions { max_len: MaxLen { ratio: 0.0, add: 9 }, ..options(2) };
        for (n_best, length_penalty) in
            [(1, LengthPenalty::Average), (2, LengthPenalty::Average), (1, LengthPenalty::None)]
        {
            let options = SearchOptions { n_best, length_penalty, ..long.clone() };
            let mut search = self::search(&options);
            let lost = || said(&[0.0, -20.0, 0.0, -15.0, -15.0, -15.0]);
            for step in 0..4 {
                let sure = said(&[0.0, -20.0, 0.0, -5.0, -0.1, -9.0]);
                let rest = (1..search.slots()).map(|_| lost());
                let said: Vec<_> = std::iter::once(sure).chain(rest).collect();
                assert_eq!(search.advance(step, &said).len(), 2, "step {step}");
            }
            assert!(search.finished.len() > 2);
            let end = said(&[0.0, -20.0, 0.0, -0.1, -5.0, -9.0]);
            // Nothing that lives on is as good as the best, but two are wanted.
            assert_eq!(search.advance(4, &[end, lost()]).is_empty(), n_best == 1);
            assert_eq!(search.into_best()[0].ids, [4; 4]);
        }
    }

    #[test]
    fn greedy_search_ends_with_the_first_end() {
        // Another word would be better on average, but it was not the best.
        let options = SearchOptions { length_penalty: LengthPenalty::Average, ..options(1) };
        let mut search = self::search(&options);
        assert!(search.advance(0, &[said(&[0.0, -9.0, 0.0, -0.6, -0.7, -9.0])]).is_empty());
        assert!(search.into_best()[0].ids.is_empty());
    }

    #[test]
    fn at_its_longest_a_hypothesis_can_only_end() {
        let options = SearchOptions { min_len: 9, ..options(2) };
        let mut search = self::search(&options);
        let row = [-1.0, -9.0, -1.0, -0.5, -1.0, -2.0];
        for step in 0..2 {
            let slots = search.slots();
            assert_eq!(search.advance(step, &(0..slots).map(|_| said(&row)).collect::<Vec<_>>()).len(), 2);
        }
        assert!(search.advance(2, &[said(&row), said(&row)]).is_empty());
        let best = search.into_best();
        assert_eq!(best.iter().map(|h| &h.ids[..]).collect::<Vec<_>>(), [[4, 4], [4, 5]]);
    }

    #[test]
    fn minus_infinity_is_a_log_probability_like_any_other() {
        let mut search = self::search(&options(1));
        let row = [Float::NEG_INFINITY; 6];
        assert_eq!(search.advance(0, &[said(&row)]).len(), 1);
    }
}
