//! A sentence does not notice its company: same bits in any batch, at any place, with any padding.
#![allow(clippy::unnecessary_cast)] // `as Float` is a cast in one of the two builds only

mod common;

use common::{config, draw, every_shape, random_model, sentence, sentences, sentences_of};
use seqweave_nn::{AttentionKind, CellKind, Ctx, Params};
use seqweave_seq2seq::search::{
    Hypothesis, LengthPenalty, MaxLen, SearchOptions, translate_all, translate_batch,
};
use seqweave_seq2seq::{Batch, BridgeKind, PAD, Seq2Seq};
use seqweave_tensor::{Device, Float, Ids, Precision};
use seqweave_testkit::{SplitMix64, assert_close};

/// Every number of a list of answers, as bits.
fn bits(answers: &[Vec<Hypothesis>]) -> Vec<Vec<u64>> {
    let float = |x: &Float| x.to_bits() as u64;
    let hypothesis = |h: &Hypothesis| {
        let mut bits: Vec<u64> = h.ids.iter().map(|&id| id as u64).collect();
        bits.extend([h.log_prob.to_bits(), h.score.to_bits()]);
        bits.extend(h.token_log_probs.iter().map(float));
        bits.extend(h.align.iter().flatten().map(float));
        bits
    };
    answers.iter().map(|best| best.iter().flat_map(hypothesis).collect()).collect()
}

/// Decodes `sources` in batches of several sizes, in order and shuffled, greedily and with a beam; every bit must agree.
fn check(model: &Seq2Seq, params: &Params, sources: &[Vec<u32>], max_len: MaxLen) {
    let mut order: Vec<usize> = (0..sources.len()).collect();
    SplitMix64::new(3).shuffle(&mut order);
    let shuffled: Vec<&[u32]> = order.iter().map(|&i| &sources[i][..]).collect();
    for beam in [1, 4] {
        let length_penalty = LengthPenalty::Gnmt { alpha: 0.6 };
        let options = SearchOptions { beam, n_best: beam, length_penalty, max_len, ..Default::default() };
        let whole = bits(&translate_batch(model, params, sources, &options).unwrap());
        let what = |size| format!("batches of {size} differ, beam {beam}, {:?}", model.config());
        for size in [1, 2, 7, 64] {
            let mut parts = Vec::new();
            for part in sources.chunks(size) {
                parts.extend(bits(&translate_batch(model, params, part, &options).unwrap()));
            }
            assert!(parts == whole, "{}", what(size));
            let mut parts = Vec::new();
            for part in shuffled.chunks(size) {
                parts.extend(bits(&translate_batch(model, params, part, &options).unwrap()));
            }
            assert!(order.iter().zip(&parts).all(|(&i, got)| got == &whole[i]), "shuffled {}", what(size));
            let sorted = bits(&translate_all(model, params, &shuffled, &options, size).unwrap());
            assert!(order.iter().zip(&sorted).all(|(&i, got)| got == &whole[i]), "sorted {}", what(size));
        }
    }
}

#[test]
fn decoding_is_batch_invariant_byte_for_byte() {
    // Every third shape still has each cell, attention, bridge and feeding, in both depths.
    for (n, config) in every_shape().iter().enumerate().filter(|(n, _)| n % 3 == 0) {
        let (model, params) = random_model(config, n as u64, 1.5);
        check(&model, &params, &sentences(64, 9, 77 + n as u64), MaxLen { ratio: 1.0, add: 2 });
    }
}

#[test]
fn and_so_it_is_beyond_the_block_sizes_of_the_kernels() {
    const LARGE: usize = 331;
    for (cell, attention, input_feeding) in [
        (CellKind::Lstm, AttentionKind::General, false),
        (CellKind::Gru, AttentionKind::Additive, true),
        (CellKind::Rnn, AttentionKind::ScaledDot, false),
    ] {
        let mut config = config(cell, attention, BridgeKind::Dense, input_feeding);
        (config.emb, config.hidden) = (45, 134);
        for precision in Precision::ALL {
            let device = Device::cpu().with_precision(precision);
            let (model, mut params) = Seq2Seq::build(&config, LARGE, LARGE, &device, 1).unwrap();
            draw(&mut params, 1, 0.4);
            check(&model, &params, &sentences_of(LARGE, 64, 40, 5), MaxLen { ratio: 0.0, add: 6 });
        }
    }
}

#[test]
fn padding_changes_no_loss_and_no_token() {
    for (n, config) in every_shape().iter().enumerate().filter(|(n, _)| n % 3 == 1) {
        let (model, params) = random_model(config, n as u64, 1.5);
        let mut rng = SplitMix64::new(n as u64);
        let rows: Vec<(Vec<u32>, Vec<u32>)> =
            (0..6).map(|_| (sentence(7, &mut rng), sentence(7, &mut rng))).collect();
        let cx = Ctx::infer(&params);
        let batch = Batch::from_rows(&rows).unwrap();
        let more = Batch {
            src: pad(&batch.src, 5),
            tgt_in: pad(&batch.tgt_in, 3),
            tgt_out: pad(&batch.tgt_out, 3),
            ..batch.clone()
        };
        let (loss, stats) = model.loss(&cx, &batch, 0.1, 1.0).unwrap();
        let (padded, padded_stats) = model.loss(&cx, &more, 0.1, 1.0).unwrap();
        assert_eq!(
            (stats.count, stats.correct().unwrap()),
            (padded_stats.count, padded_stats.correct().unwrap())
        );
        assert_eq!(stats.count, batch.tgt_tokens());
        assert_close(&[loss.item().unwrap()], &[padded.item().unwrap()], 1e-6, 0.0, "loss");

        let forced = model.forced(&cx, &batch).unwrap();
        assert_eq!(forced, model.forced(&cx, &more).unwrap());
        let mut alone = 0.0;
        for (row, forced) in rows.iter().zip(&forced) {
            let batch = Batch::from_rows(std::slice::from_ref(row)).unwrap();
            assert_eq!(std::slice::from_ref(forced), &model.forced(&cx, &batch).unwrap()[..]);
            alone += model.loss(&cx, &batch, 0.1, 1.0).unwrap().0.item().unwrap() as f64;
        }
        assert_close(&[loss.item().unwrap()], &[alone], 1e-5, 0.0, "sum of the losses of single sentences");
        let nll: f64 = -forced.iter().map(|f| f.log_prob()).sum::<f64>();
        assert_close(&[stats.nll().unwrap()], &[nll], 1e-5, 0.0, "negative log-likelihood");
        let hits = forced.iter().flat_map(|f| &f.hits).filter(|&&hit| hit).count();
        assert_eq!(stats.correct().unwrap(), hits);
    }
}

/// `ids` `[T,B]` with `steps` more rows of padding.
fn pad(ids: &Ids, steps: usize) -> Ids {
    let [t, b] = ids.dims("ids [T,B]").unwrap();
    let mut padded = ids.as_slice().to_vec();
    padded.resize((t + steps) * b, PAD);
    Ids::new(padded, [t + steps, b]).unwrap()
}
