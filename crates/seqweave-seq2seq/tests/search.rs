//! What the search promises: beam 1 is greedy search, scores are those of force-decoding, n-best lists are sorted and
//! unique, and a beam wide enough finds the true best output.
#![allow(clippy::unnecessary_cast)] // `as f64` is a cast in one of the two builds only

mod common;

use common::{VOCAB, config, every_shape, random_model, sentences};
use seqweave_nn::{AttentionKind, CellKind, Ctx, Params};
use seqweave_seq2seq::search::{
    Hypothesis, LengthPenalty, MaxLen, SearchOptions, score_batch, translate_all, translate_batch,
};
use seqweave_seq2seq::{BOS, Batch, BridgeKind, EOS, Error, PAD, Seq2Seq, UNK};
use seqweave_tensor::{Device, Float, Ids};
use seqweave_testkit::assert_close;

const SHORT: MaxLen = MaxLen { ratio: 1.0, add: 3 };

/// Greedy search, written without the search module: one sentence, one token at a time.
fn greedy(
    model: &Seq2Seq,
    params: &Params,
    source: &[u32],
    max_len: usize,
    min_len: usize,
) -> (Vec<u32>, f64) {
    let cx = Ctx::infer(params);
    let src: Vec<u32> = source.iter().copied().chain([EOS]).collect();
    let lens = Ids::list(vec![src.len() as u32]);
    let mut state = model.start(&cx, &Ids::new(src.clone(), [src.len(), 1]).unwrap(), &lens).unwrap();
    let (mut said, mut log_prob, mut last) = (Vec::new(), 0.0, BOS);
    loop {
        let (logits, next, _) = model.step(&cx, &Ids::list(vec![last]), &state).unwrap();
        let logits: Vec<f64> = logits.value().to_vec().iter().map(|&x| x as f64).collect();
        let allowed = |v: u32| {
            if said.len() == max_len {
                v == EOS
            } else {
                v != PAD && v != BOS && (v != EOS || said.len() >= min_len)
            }
        };
        let best = (0..logits.len() as u32)
            .filter(|&v| allowed(v))
            .max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize]))
            .unwrap();
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        log_prob += logits[best as usize] - top - logits.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
        if best == EOS {
            return (said, log_prob);
        }
        said.push(best);
        last = best;
        state = next;
    }
}

#[test]
fn beam_one_is_greedy_in_every_shape() {
    let mut lengths = std::collections::BTreeSet::new();
    for (n, config) in every_shape().iter().enumerate() {
        let (model, params) = random_model(config, n as u64, 1.5);
        let sources = sentences(5, 6, n as u64 + 1000);
        let options = SearchOptions { max_len: SHORT, min_len: n % 3, ..Default::default() };
        let got = translate_batch(&model, &params, &sources, &options).unwrap();
        for (source, best) in sources.iter().zip(&got) {
            assert_eq!(best.len(), 1);
            let (ids, log_prob) = greedy(&model, &params, source, model.positions(source) + 3, n % 3);
            assert_eq!(best[0].ids, ids, "{config:?}");
            assert_close(&[best[0].log_prob], &[log_prob], 1e-5, 1e-5, "greedy log-probability");
            assert_close(&[best[0].score], &[log_prob / (ids.len() + 1) as f64], 1e-5, 1e-5, "average score");
            lengths.insert(ids.len());
        }
    }
    // The comparison would be empty if every output had one length.
    assert!(lengths.len() >= 5, "{lengths:?}");
}

#[test]
fn returned_scores_are_those_of_force_decoding() {
    for (n, config) in every_shape().iter().enumerate() {
        let (model, params) = random_model(config, n as u64, 1.5);
        let sources = sentences(4, 6, n as u64);
        let options = SearchOptions { beam: 3, n_best: 3, max_len: SHORT, ..Default::default() };
        let got = translate_batch(&model, &params, &sources, &options).unwrap();
        let rows: Vec<(&[u32], &[u32])> = sources
            .iter()
            .zip(&got)
            .flat_map(|(source, best)| best.iter().map(|h| (&source[..], &h.ids[..])))
            .collect();
        let forced = score_batch(&model, &params, &rows).unwrap();
        for (h, forced) in got.iter().flatten().zip(&forced) {
            assert_eq!(h.token_log_probs.len(), h.ids.len() + 1);
            assert_close(&[h.log_prob], &[forced.log_prob], 0.0, 1e-5, "log-probability");
            assert_close(&h.token_log_probs, &forced.token_log_probs, 0.0, 1e-5, "token log-probabilities");
            let sum: f64 = h.token_log_probs.iter().map(|&p| p as f64).sum();
            assert_eq!(h.log_prob, sum);
        }
    }
}

#[test]
fn alignments_are_distributions_over_the_source() {
    for (n, config) in every_shape().iter().enumerate() {
        let (model, params) = random_model(config, n as u64, 1.5);
        let sources = sentences(4, 6, n as u64);
        let options = SearchOptions { beam: 2, n_best: 2, max_len: SHORT, ..Default::default() };
        let got = translate_batch(&model, &params, &sources, &options).unwrap();
        for (source, h) in sources.iter().zip(&got).flat_map(|(s, best)| best.iter().map(move |h| (s, h))) {
            if config.attention == AttentionKind::None {
                assert!(h.align.is_empty());
                continue;
            }
            assert_eq!(h.align.len(), h.ids.len() + 1);
            for row in &h.align {
                assert_eq!(row.len(), model.positions(source) + 1);
                assert_close(&[row.iter().sum::<Float>()], &[1.0], 0.0, 1e-5, "sum of attention");
            }
        }
    }
}

#[test]
fn n_best_lists_are_sorted_unique_and_free_of_reserved_ids() {
    let config = config(CellKind::Gru, AttentionKind::Dot, BridgeKind::Dense, false);
    let (model, params) = random_model(&config, 5, 1.5);
    let sources = sentences(9, 6, 5);
    for length_penalty in [LengthPenalty::None, LengthPenalty::Average, LengthPenalty::Gnmt { alpha: 0.8 }] {
        for coverage_penalty in [0.0, 0.4] {
            let options = SearchOptions {
                beam: 6,
                n_best: 5,
                length_penalty,
                coverage_penalty,
                max_len: SHORT,
                min_len: 2,
                ..Default::default()
            };
            for best in translate_batch(&model, &params, &sources, &options).unwrap() {
                assert_eq!(best.len(), 5);
                assert!(best.is_sorted_by(|a, b| (b.score, &a.ids) < (a.score, &b.ids)));
                for h in &best {
                    assert!(h.ids.len() >= 2 && h.ids.iter().all(|id| ![PAD, BOS, EOS].contains(id)));
                    assert_eq!(h.score, options.score(h.log_prob, h.ids.len() + 1, &coverage(h)));
                }
            }
        }
    }
}

#[test]
fn coverage_reorders_the_list() {
    let config = config(CellKind::Gru, AttentionKind::Dot, BridgeKind::Dense, false);
    let (model, params) = random_model(&config, 5, 3.0); // sharp attention, which leaves positions uncovered
    let sources = sentences(9, 6, 5);
    let plain = SearchOptions { beam: 6, n_best: 6, max_len: SHORT, ..Default::default() };
    let covered = SearchOptions { coverage_penalty: 5.0, ..plain.clone() };
    let run = |options| translate_batch(&model, &params, &sources, options).unwrap();
    let texts = |lists: &[Vec<Hypothesis>]| -> Vec<Vec<Vec<u32>>> {
        lists.iter().map(|best| best.iter().map(|h| h.ids.clone()).collect()).collect()
    };
    let (plain, with) = (run(&plain), run(&covered));
    assert_ne!(texts(&plain), texts(&with));
    // The penalty ranks and makes a search longer, but does not choose what lives on: all that was found without it is found
    // with it, and so is its best.
    for (plain, with) in plain.iter().zip(&with) {
        let scores = plain.iter().map(|h| covered.score(h.log_prob, h.ids.len() + 1, &coverage(h)));
        assert!(scores.into_iter().all(|score| score <= with[0].score));
    }
}

/// How much attention each source position got.
fn coverage(h: &Hypothesis) -> Vec<f64> {
    (0..h.align[0].len()).map(|s| h.align.iter().map(|row| row[s] as f64).sum()).collect()
}

/// Every output of up to `longest` tokens over the words that may be said.
fn all_outputs(vocab: u32, longest: usize) -> Vec<Vec<u32>> {
    let words: Vec<u32> = [UNK].into_iter().chain(EOS + 1..vocab).collect();
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..longest {
        last = last.iter().flat_map(|text| words.iter().map(|&w| [&text[..], &[w]].concat())).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn a_wide_beam_finds_what_brute_force_finds() {
    const SMALL: usize = 7;
    for (n, feeding) in [false, true].into_iter().enumerate() {
        let config = config(CellKind::Lstm, AttentionKind::General, BridgeKind::Dense, feeding);
        let (model, mut params) = Seq2Seq::build(&config, VOCAB, SMALL, &Device::cpu(), 3).unwrap();
        common::draw(&mut params, 40 + n as u64, 0.9);
        let source = vec![4, 9, 10];
        let outputs = all_outputs(SMALL as u32, 3); // 1 + 4 + 16 + 64
        for length_penalty in
            [LengthPenalty::None, LengthPenalty::Average, LengthPenalty::Gnmt { alpha: 1.0 }]
        {
            let options = SearchOptions {
                beam: outputs.len() + 1,
                n_best: outputs.len() + 1,
                length_penalty,
                max_len: MaxLen { ratio: 0.0, add: 3 },
                ..Default::default()
            };
            let rows: Vec<(&[u32], &[u32])> = outputs.iter().map(|y| (&source[..], &y[..])).collect();
            let scored = score_batch(&model, &params, &rows).unwrap();
            let mut truth: Vec<(f64, &Vec<u32>)> = scored
                .iter()
                .zip(&outputs)
                .map(|(s, y)| (options.score(s.log_prob, y.len() + 1, &[]), y))
                .collect();
            truth.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            let got = &translate_batch(&model, &params, &[&source], &options).unwrap()[0];
            assert_eq!(
                got.iter().map(|h| &h.ids).collect::<Vec<_>>(),
                truth.iter().map(|t| t.1).collect::<Vec<_>>()
            );
            // A narrow beam finds nothing better than the truth, and here the very same best output or one close to it.
            let narrow = SearchOptions { beam: 2, n_best: 1, ..options };
            let narrow = &translate_batch(&model, &params, &[&source], &narrow).unwrap()[0][0];
            assert!(narrow.score <= truth[0].0 + 1e-5);
        }
    }
}

#[test]
fn every_sentence_gets_an_answer_even_an_empty_one() {
    let config = config(CellKind::Lstm, AttentionKind::Additive, BridgeKind::Copy, true);
    let (model, params) = random_model(&config, 1, 1.5);
    let options =
        SearchOptions { beam: 3, n_best: 3, max_len: MaxLen { ratio: 0.0, add: 0 }, ..Default::default() };
    let got = translate_batch(&model, &params, &[vec![], vec![5, 6]], &options).unwrap();
    assert!(got.iter().all(|best| best.len() == 1 && best[0].ids.is_empty() && best[0].align.len() == 1));
    let none: [Vec<u32>; 0] = [];
    assert!(translate_batch(&model, &params, &none, &options).unwrap().is_empty());
    assert!(translate_all(&model, &params, &none, &options, 4).unwrap().is_empty());
}

#[test]
fn bad_input_is_an_error_that_names_the_row() {
    let config = config(CellKind::Lstm, AttentionKind::None, BridgeKind::Dense, false);
    let (model, mut params) = random_model(&config, 1, 1.5);
    let options = SearchOptions::default();
    let all = |params: &Params, rows: &[Vec<u32>], options: &SearchOptions, size| {
        translate_all(&model, params, rows, options, size).unwrap_err()
    };
    let rows = [vec![4, 5, 6], vec![4, 5], vec![99], vec![4]];
    assert!(matches!(
        all(&params, &rows, &options, 2),
        Error::Vocabulary { side: "source", row: 2, position: 0, id: 99, vocab: VOCAB }
    ));
    let rows = [vec![4, 5, 6], vec![4, EOS]];
    assert!(matches!(all(&params, &rows, &options, 1), Error::Reserved { row: 1, position: 1, id: EOS, .. }));
    assert!(matches!(all(&params, &[vec![4]], &options, 0), Error::Option { key: "batch_size", .. }));
    let covered = SearchOptions { coverage_penalty: 0.1, ..options.clone() };
    assert!(matches!(all(&params, &[vec![4]], &covered, 1), Error::Option { key: "coverage_penalty", .. }));

    let score =
        |x: Vec<u32>, y: Vec<u32>| score_batch(&model, &params, &[(vec![4], vec![5]), (x, y)]).unwrap_err();
    for (side, error) in [("source", score(vec![4, 99], vec![4])), ("target", score(vec![4, 5], vec![4, 99]))]
    {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{side} row 2 holds id 99 at position 2")), "{text}");
    }
    let batch = Batch::from_rows(&[(vec![4], vec![5])]).unwrap();
    let spoiled = Batch { tgt_out: Ids::new(vec![VOCAB as u32, EOS], [2, 1]).unwrap(), ..batch };
    let error = model.forced(&Ctx::infer(&params), &spoiled).unwrap_err().to_string();
    assert_eq!(error, "decoder targets: index 11 at position 0 is out of range, the axis has 11 entries");

    params.set_by_name("output.bias", &[Float::NAN; VOCAB]).unwrap();
    let error = all(&params, &[vec![4, 5], vec![4]], &options, 1);
    assert!(matches!(error, Error::NotANumber { sentence: 1, step: 0 }), "{error}");
}

/// A thread of the pool that waits for a part of one search takes up another: neither may wait for what the other makes.
#[test]
fn searches_on_one_fresh_model_at_once() {
    const LARGE: usize = 700;
    let mut config = config(CellKind::Lstm, AttentionKind::General, BridgeKind::Dense, false);
    (config.emb, config.hidden) = (16, 64);
    let sources: Vec<Vec<u32>> = (0..8).map(|i| vec![4 + i, 5, 6 + i]).collect();
    let options = SearchOptions { max_len: MaxLen { ratio: 0.0, add: 2 }, ..Default::default() };
    for seed in 0..20 {
        // Its weights are laid out by whoever asks first.
        let fresh = || Seq2Seq::build(&config, LARGE, LARGE, &Device::cpu(), seed).unwrap();
        let (model, params) = fresh();
        let run = |source: &Vec<u32>| translate_batch(&model, &params, &[source], &options).unwrap();
        let at_once: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = sources.iter().map(|source| scope.spawn(move || run(source))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (model, params) = fresh();
        let alone =
            sources.iter().map(|source| translate_batch(&model, &params, &[source], &options).unwrap());
        assert_eq!(at_once, alone.collect::<Vec<_>>());
    }
}
