//! What can be asked of a search beside the best output: samples, prefixes, forbidden and required phrases, no
//! repetitions, several models at once. Each against brute force, and none of them notices a sentence's company.
#![allow(clippy::unnecessary_cast)] // `as f64` is a cast in one of the two builds only

mod common;

use common::{VOCAB, config, draw, every_shape, random_model, sentences};
use seqweave_nn::{AttentionKind, CellKind, Ctx, Params};
use seqweave_seq2seq::search::{
    Hypothesis, LengthPenalty, MaxLen, Query, Sampling, Search, SearchOptions, score_batch, score_batch_with,
    translate_batch,
};
use seqweave_seq2seq::{BOS, BridgeKind, EOS, Ensemble, Error, ModelConfig, Seq2Seq, UNK};
use seqweave_tensor::{Device, Float, Ids, ops};
use seqweave_testkit::{SplitMix64, assert_close};

const SHORT: MaxLen = MaxLen { ratio: 1.0, add: 3 };

fn shape() -> ModelConfig {
    config(CellKind::Lstm, AttentionKind::General, BridgeKind::Dense, true)
}

fn run(
    models: &[&(Seq2Seq, Params)],
    queries: &[Query<'_>],
    options: &SearchOptions,
    forbidden: &[Vec<u32>],
) -> Result<Vec<Vec<Hypothesis>>, Error> {
    let members: Vec<_> = models.iter().map(|(model, params)| (model, params)).collect();
    Search::new(&Ensemble::new(&members)?, options, forbidden)?.batch(queries)
}

/// Whether `text` contains `phrase`.
fn contains(text: &[u32], phrase: &[u32]) -> bool {
    text.windows(phrase.len()).any(|window| window == phrase)
}

fn repeats(text: &[u32], n: usize) -> bool {
    let ngrams: Vec<&[u32]> = text.windows(n).collect();
    (0..ngrams.len()).any(|i| ngrams[..i].contains(&ngrams[i]))
}

#[test]
fn rules_that_never_apply_change_no_bit() {
    for (n, config) in every_shape().iter().enumerate().filter(|(n, _)| n % 4 == 0) {
        let model = random_model(config, n as u64, 1.5);
        let sources = sentences(6, 7, n as u64);
        for beam in [1, 4] {
            let plain =
                SearchOptions { beam, n_best: beam, max_len: SHORT, min_len: n % 3, ..Default::default() };
            let want = translate_batch(&model.0, &model.1, &sources, &plain).unwrap();
            let ruled = SearchOptions { no_repeat_ngram: 1000, ..plain.clone() };
            assert_eq!(translate_batch(&model.0, &model.1, &sources, &ruled).unwrap(), want, "{config:?}");
            // One sentence with a wish in the batch changes nothing for the others.
            let mut queries: Vec<Query<'_>> = sources.iter().map(|source| Query::of(source)).collect();
            queries[2].prefix = &[5];
            let got = run(&[&model], &queries, &plain, &[]).unwrap();
            assert!((0..6).filter(|i| *i != 2).all(|i| got[i] == want[i]), "{config:?}");
        }
    }
}

#[test]
fn a_model_twice_is_the_model_once() {
    for (n, config) in every_shape().iter().enumerate().filter(|(n, _)| n % 7 == 0) {
        let model = random_model(config, n as u64, 1.5);
        let sources = sentences(5, 6, n as u64);
        let queries: Vec<Query<'_>> = sources.iter().map(|source| Query::of(source)).collect();
        for options in [
            SearchOptions { beam: 3, n_best: 3, max_len: SHORT, ..Default::default() },
            SearchOptions { beam: 3, n_best: 3, max_len: SHORT, no_repeat_ngram: 2, ..Default::default() },
        ] {
            let once = run(&[&model], &queries, &options, &[]).unwrap();
            assert_eq!(run(&[&model, &model], &queries, &options, &[]).unwrap(), once, "{config:?}");
        }
    }
}

/// Two models of different shapes, with and without attention.
fn pair() -> [(Seq2Seq, Params); 2] {
    let other = config(CellKind::Gru, AttentionKind::None, BridgeKind::Copy, false);
    [random_model(&shape(), 1, 1.5), random_model(&other, 2, 1.5)]
}

#[test]
fn an_ensemble_averages_probabilities() {
    let models = pair();
    let (source, output) = (vec![4, 9, 5], vec![7, 4, UNK]);
    let rows = [(&source, &output)];
    let members: Vec<_> = models.iter().map(|(model, params)| (model, params)).collect();
    let scored = score_batch_with(&Ensemble::new(&members).unwrap(), &rows).unwrap();
    let alone: Vec<_> = models.iter().map(|(m, p)| score_batch(m, p, &rows).unwrap().remove(0)).collect();
    for (step, &got) in scored[0].token_log_probs.iter().enumerate() {
        let p = |member: usize| (alone[member].token_log_probs[step] as f64).exp();
        assert_close(&[got as f64], &[((p(0) + p(1)) / 2.0).ln()], 1e-5, 1e-5, "mean");
    }
    // The attention is that of the one that has any, and hits are of the mean.
    let options = SearchOptions { beam: 3, n_best: 3, max_len: SHORT, ..Default::default() };
    let both = run(&[&models[0], &models[1]], &[Query::of(&source)], &options, &[]).unwrap();
    for h in &both[0] {
        assert_eq!(h.align.len(), h.ids.len() + 1);
        let scored = score_batch_with(&Ensemble::new(&members).unwrap(), &[(&source, &h.ids)]).unwrap();
        assert_close(&h.token_log_probs, &scored[0].token_log_probs, 0.0, 1e-5, "token log-probabilities");
    }
    let batch = seqweave_seq2seq::Batch::from_rows(&[(source.clone(), both[0][0].ids.clone())]).unwrap();
    let forced = Ensemble::new(&members).unwrap().forced(&batch).unwrap();
    assert_eq!(forced[0].hits.len(), both[0][0].ids.len() + 1);
}

/// Every output of up to `longest` tokens over the words of a vocabulary of `vocab`.
fn all_outputs(vocab: u32, longest: usize) -> Vec<Vec<u32>> {
    let words: Vec<u32> = [UNK].into_iter().chain(EOS + 1..vocab).collect();
    let (mut all, mut last) = (vec![vec![]], vec![vec![]]);
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|text: &Vec<u32>| words.iter().map(|&w| [&text[..], &[w]].concat()))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// A beam as wide as the world finds exactly the outputs that are `right`, in the order of their scores.
fn check_brute_force(
    query: Query<'_>,
    options: SearchOptions,
    forbidden: &[Vec<u32>],
    right: impl Fn(&[u32]) -> bool,
) {
    const SMALL: usize = 7;
    const LONGEST: usize = 4;
    let small = |config: &ModelConfig, seed: u64| {
        let (model, mut params) = Seq2Seq::build(config, VOCAB, SMALL, &Device::cpu(), 3).unwrap();
        draw(&mut params, seed, 0.9);
        (model, params)
    };
    let models =
        [small(&shape(), 40), small(&config(CellKind::Rnn, AttentionKind::Dot, BridgeKind::Zero, false), 41)];
    for models in [&[&models[0]][..], &[&models[1], &models[0]]] {
        let outputs: Vec<Vec<u32>> =
            all_outputs(SMALL as u32, LONGEST).into_iter().filter(|text| right(text)).collect();
        assert!(outputs.len() > 3, "the test has no teeth");
        let beam = 400; // There are 341 outputs.
        let options = SearchOptions {
            beam,
            n_best: beam,
            max_len: MaxLen { ratio: 0.0, add: LONGEST },
            length_penalty: LengthPenalty::Gnmt { alpha: 0.7 },
            ..options.clone()
        };
        let members: Vec<_> = models.iter().map(|(model, params)| (model, params)).collect();
        let ensemble = Ensemble::new(&members).unwrap();
        let rows: Vec<(&[u32], &[u32])> = outputs.iter().map(|y| (query.source, &y[..])).collect();
        let scored = score_batch_with(&ensemble, &rows).unwrap();
        let mut truth: Vec<(f64, &Vec<u32>)> = scored
            .iter()
            .zip(&outputs)
            .map(|(s, y)| (options.score(s.log_prob, y.len() + 1, &[]), y))
            .collect();
        truth.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let got = &run(models, &[query], &options, forbidden).unwrap()[0];
        let (got_ids, want): (Vec<_>, Vec<_>) =
            (got.iter().map(|h| &h.ids).collect(), truth.iter().map(|t| t.1).collect());
        assert_eq!(got_ids, want, "{query:?} {forbidden:?}");
    }
}

#[test]
fn a_wide_beam_finds_all_that_is_allowed_and_nothing_else() {
    let source = [4, 9, 10];
    let query = Query::of(&source);
    let plain = SearchOptions::default;
    check_brute_force(Query { prefix: &[5, UNK], ..query }, plain(), &[], |text| text.starts_with(&[5, UNK]));
    let forbidden = [vec![6], vec![4, 5], vec![5, 5, 4]];
    check_brute_force(query, plain(), &forbidden, |text| !forbidden.iter().any(|f| contains(text, f)));
    // A prefix may say what is forbidden, and nobody else.
    check_brute_force(Query { prefix: &[4, 5], ..query }, plain(), &[vec![4, 5]], |text| {
        text.starts_with(&[4, 5]) && !contains(&text[1..], &[4, 5])
    });
    for required in
        [vec![vec![5]], vec![vec![4, 6], vec![5]], vec![vec![6, 6, 5]], vec![vec![5], vec![4], vec![5, 5]]]
    {
        let query = Query { required: &required, ..query };
        check_brute_force(query, plain(), &[], |text| required.iter().all(|phrase| contains(text, phrase)));
    }
    let required = vec![vec![4, 6]];
    let query_with_both = Query { prefix: &[5, 4], required: &required, ..query };
    check_brute_force(query_with_both, plain(), &[vec![5, 5]], |text| {
        text.starts_with(&[5, 4]) && contains(text, &[4, 6]) && !contains(text, &[5, 5])
    });
    for n in [1, 2, 3] {
        let options = SearchOptions { no_repeat_ngram: n, ..plain() };
        check_brute_force(query, options, &[], |text| !repeats(text, n));
    }
    let options = SearchOptions { no_unk: true, min_len: 2, ..plain() };
    check_brute_force(query, options, &[], |text| !text.contains(&UNK) && text.len() >= 2);
}

#[test]
fn any_beam_says_all_that_is_required() {
    let models = pair();
    let mut rng = SplitMix64::new(11);
    for round in 0..60 {
        let word = |rng: &mut SplitMix64| 4 + rng.below(VOCAB - 4) as u32;
        let required: Vec<Vec<u32>> =
            (0..1 + rng.below(3)).map(|_| (0..1 + rng.below(3)).map(|_| word(&mut rng)).collect()).collect();
        let sources = sentences(3, 6, round);
        let queries: Vec<Query<'_>> =
            sources.iter().map(|source| Query { required: &required, ..Query::of(source) }).collect();
        // No room to spare for an empty source, some for the others.
        let add = required.iter().map(Vec::len).sum();
        for beam in [1, 2, 5] {
            let max_len = MaxLen { ratio: 1.0, add };
            let options =
                SearchOptions { beam, n_best: beam, max_len, no_repeat_ngram: 2, ..Default::default() };
            for best in run(&[&models[0], &models[1]], &queries, &options, &[]).unwrap() {
                assert!(!best.is_empty());
                for h in &best {
                    let says_all = required.iter().all(|phrase| contains(&h.ids, phrase));
                    assert!(says_all, "{required:?} not in {:?}, beam {beam}", h.ids);
                }
            }
        }
    }
}

#[test]
fn the_repetition_penalty_steers_and_the_log_probability_stays_true() {
    let model = random_model(&shape(), 3, 2.0);
    let sources = sentences(8, 6, 3);
    let of = |repetition_penalty| {
        let options = SearchOptions {
            beam: 4,
            n_best: 4,
            max_len: SHORT,
            min_len: 4,
            repetition_penalty,
            length_penalty: LengthPenalty::None,
            ..Default::default()
        };
        (translate_batch(&model.0, &model.1, &sources, &options).unwrap(), options)
    };
    let (plain, (steered, _)) = (of(1.0).0, of(3.0));
    let said_twice =
        |answers: &[Vec<Hypothesis>]| answers.iter().filter(|best| repeats(&best[0].ids, 1)).count();
    assert!(said_twice(&steered) < said_twice(&plain), "{} {}", said_twice(&steered), said_twice(&plain));
    for (source, h) in sources.iter().zip(&steered).flat_map(|(s, best)| best.iter().map(move |h| (s, h))) {
        let scored = &score_batch(&model.0, &model.1, &[(source, &h.ids)]).unwrap()[0];
        assert_close(&[h.log_prob], &[scored.log_prob], 0.0, 1e-5, "log-probability");
        let penalised: f64 =
            h.token_log_probs
                .iter()
                .enumerate()
                .map(|(t, &p)| {
                    if t < h.ids.len() && h.ids[..t].contains(&h.ids[t]) { 3.0 * p as f64 } else { p as f64 }
                })
                .sum();
        assert_close(&[h.score], &[penalised], 1e-9, 1e-9, "score");
    }
}

fn sampling(n_best: usize, sampling: Sampling) -> SearchOptions {
    SearchOptions {
        n_best,
        max_len: SHORT,
        sampling: Sampling { on: true, ..sampling },
        ..Default::default()
    }
}

#[test]
fn samples_follow_the_model() {
    let (model, params) = random_model(&shape(), 5, 0.8);
    let source = [4, 6, 5];
    const SAMPLES: usize = 1000;
    let options = sampling(SAMPLES, Sampling { seed: 9, ..Sampling::default() });
    let got = &translate_batch(&model, &params, &[source], &options).unwrap()[0];
    assert_eq!(got.len(), SAMPLES);
    // The first token's distribution, by hand: PAD and BOS left out.
    let cx = Ctx::infer(&params);
    let src = Ids::new([&source[..], &[EOS]].concat(), [4, 1]).unwrap();
    let state = model.start(&cx, &src, &Ids::list(vec![4])).unwrap();
    let (logits, ..) = model.step(&cx, &Ids::list(vec![BOS]), &state).unwrap();
    let p: Vec<f64> = ops::softmax(logits.value()).unwrap().to_vec().iter().map(|&p| p as f64).collect();
    let left: f64 = 1.0 - p[0] - p[BOS as usize];
    for token in [UNK, 3, 4, 5, 6, 7, 8, 9, 10] {
        let said = |h: &&Hypothesis| h.ids.first().copied().unwrap_or(EOS) == token;
        let share = got.iter().filter(said).count() as f64 / SAMPLES as f64;
        let want = p[token as usize] / left;
        let deviation = (want * (1.0 - want) / SAMPLES as f64).sqrt();
        assert!((share - want).abs() < 4.0 * deviation, "token {token}: {share}, expected {want}");
    }
    // Samples carry the model's own probabilities.
    let rows: Vec<_> = got[..20].iter().map(|h| (&source[..], &h.ids[..])).collect();
    for (h, scored) in got.iter().zip(score_batch(&model, &params, &rows).unwrap()) {
        assert_close(&[h.log_prob], &[scored.log_prob], 0.0, 1e-5, "log-probability");
    }
}

#[test]
fn the_first_of_many_samples_is_the_only_one_of_one() {
    let model = random_model(&shape(), 5, 1.0);
    let sources = sentences(12, 6, 5);
    let of = |n_best, seed| {
        let options =
            sampling(n_best, Sampling { seed, temperature: 1.3, top_p: 0.95, ..Sampling::default() });
        translate_batch(&model.0, &model.1, &sources, &options).unwrap()
    };
    let (one, five) = (of(1, 1), of(5, 1));
    for (one, five) in one.iter().zip(&five) {
        assert_eq!((one.len(), five.len(), &one[0]), (1, 5, &five[0]));
    }
    assert_ne!(of(1, 2), one, "another seed, other samples");
    assert!(five.iter().any(|samples| samples.iter().any(|h| h.ids != samples[0].ids)));
}

#[test]
fn one_token_to_draw_from_is_greedy_search() {
    for (n, config) in every_shape().iter().enumerate().filter(|(n, _)| n % 9 == 0) {
        let (model, params) = random_model(config, n as u64, 1.5);
        let sources = sentences(5, 6, n as u64);
        let greedy = SearchOptions { max_len: SHORT, min_len: 1, ..Default::default() };
        let greedy = translate_batch(&model, &params, &sources, &greedy).unwrap();
        for narrow in
            [Sampling { top_k: 1, ..Default::default() }, Sampling { top_p: 0.001, ..Default::default() }]
        {
            let options = SearchOptions { min_len: 1, ..sampling(2, narrow) };
            let drawn = translate_batch(&model, &params, &sources, &options).unwrap();
            for (greedy, drawn) in greedy.iter().zip(&drawn) {
                assert_eq!((&drawn[0], &drawn[1]), (&greedy[0], &greedy[0]));
            }
        }
    }
}

/// Every number of an answer, as bits.
fn bits(best: &[Hypothesis]) -> Vec<u64> {
    let float = |x: &Float| x.to_bits() as u64;
    let hypothesis = |h: &Hypothesis| {
        let mut bits: Vec<u64> = h.ids.iter().map(|&id| id as u64).collect();
        bits.extend([h.log_prob.to_bits(), h.score.to_bits()]);
        bits.extend(h.token_log_probs.iter().map(float));
        bits.extend(h.align.iter().flatten().map(float));
        bits
    };
    best.iter().flat_map(hypothesis).collect()
}

#[test]
fn no_wish_notices_its_company() {
    let models = pair();
    let sources = sentences(24, 9, 8);
    let phrases = [vec![], vec![vec![5, 6]], vec![vec![7], vec![4, 4]]];
    let wide = MaxLen { ratio: 1.0, add: 6 };
    let plain = SearchOptions { beam: 3, n_best: 3, max_len: wide, ..Default::default() };
    for (name, options, with_phrases) in [
        ("plain", plain.clone(), false),
        ("phrases", plain.clone(), true),
        (
            "rules",
            SearchOptions { no_repeat_ngram: 2, repetition_penalty: 1.4, no_unk: true, ..plain.clone() },
            true,
        ),
        (
            "samples",
            SearchOptions {
                max_len: wide,
                ..sampling(4, Sampling { top_k: 6, top_p: 0.9, ..Default::default() })
            },
            false,
        ),
    ] {
        let query = |i: usize| Query {
            source: &sources[i],
            prefix: if i % 4 == 1 { &[6, 4] } else { &[] },
            required: if with_phrases { &phrases[i % 3] } else { &[] },
        };
        let members: Vec<_> = models.iter().map(|(model, params)| (model, params)).collect();
        for members in [&members[..1], &members[..]] {
            let ensemble = Ensemble::new(members).unwrap();
            let search = Search::new(&ensemble, &options, &[vec![8], vec![9, 10]]).unwrap();
            let alone: Vec<Vec<u64>> =
                (0..sources.len()).map(|i| bits(&search.batch(&[query(i)]).unwrap()[0])).collect();
            let mut order: Vec<usize> = (0..sources.len()).collect();
            SplitMix64::new(3).shuffle(&mut order);
            let queries: Vec<Query<'_>> = order.iter().map(|&i| query(i)).collect();
            for size in [5, 24] {
                for (got, &i) in search.all(&queries, size).unwrap().iter().zip(&order) {
                    assert!(bits(got) == alone[i], "{name}: sentence {i} in batches of {size}");
                }
            }
        }
    }
}

#[test]
fn one_model_that_gives_nan_spoils_the_ensemble() {
    let [good, mut bad] = pair();
    bad.1.set_by_name("output.bias", &[Float::NAN; VOCAB]).unwrap();
    let queries = [Query::of(&[4, 5]), Query::of(&[6])];
    for no_repeat_ngram in [0, 2] {
        let options = SearchOptions { beam: 2, no_repeat_ngram, ..Default::default() };
        let error = run(&[&good, &bad], &queries, &options, &[]).unwrap_err();
        assert!(matches!(error, Error::NotANumber { sentence: 0, step: 0 }), "{error}");
    }
}

#[test]
fn wishes_that_cannot_be_are_errors() {
    let models = pair();
    let source = [4, 5];
    let error = |query: Query<'_>, options: &SearchOptions, forbidden: &[Vec<u32>]| {
        run(&[&models[0]], &[Query::of(&source), query], options, forbidden).unwrap_err().to_string()
    };
    let plain = SearchOptions { max_len: MaxLen { ratio: 0.0, add: 3 }, ..Default::default() };
    let query = Query::of(&source);
    let check = |got: String, want: &str| assert!(got.starts_with(want), "{got}");
    check(
        error(Query { prefix: &[4, EOS], ..query }, &plain, &[]),
        "prefix row 2 holds the reserved id 3 at position 2",
    );
    check(error(Query { prefix: &[99], ..query }, &plain, &[]), "prefix row 2 holds id 99");
    let no_room = "prefix and required phrases of sentence 2 come to 4 tokens, and its outputs may have 3";
    check(error(Query { prefix: &[4; 4], ..query }, &plain, &[]), no_room);
    let long = [vec![4, 5, 6, 7]];
    check(error(Query { required: &long, ..query }, &plain, &[]), no_room);
    let (one, two) = ([vec![4, 5]], [vec![4], vec![]]);
    check(error(Query { required: &two, ..query }, &plain, &[]), "required phrase 2 of sentence 2 is empty");
    check(
        error(Query { required: &one, ..query }, &plain, &[vec![5]]),
        "required phrase 1 of sentence 2, [4, 5], contains [5], which is never said",
    );
    check(error(query, &plain, &[vec![]]), "forbidden phrase 1 is empty");
    let drawn = sampling(1, Sampling::default());
    check(error(Query { required: &one, ..query }, &drawn, &[]), "sentence 2 has required phrases, but");
    // Each alone is possible, both one after the other are not, and there is no room for anything between.
    let both = [vec![4], vec![5]];
    let tight = SearchOptions { max_len: MaxLen { ratio: 0.0, add: 2 }, ..Default::default() };
    let found = error(Query { required: &both, ..query }, &tight, &[vec![4, 5], vec![5, 4]]);
    check(found, "no output for sentence 2 was found");

    let small = Seq2Seq::build(&shape(), VOCAB, 9, &Device::cpu(), 1).unwrap();
    let members = [(&models[0].0, &models[0].1), (&small.0, &small.1)];
    let found = Ensemble::new(&members).err().unwrap().to_string();
    check(found, "model 1 of the ensemble has 9 target tokens, the first has 11");
    assert!(matches!(Ensemble::new(&[]), Err(Error::NoModels)));

    for (bad, key) in [
        (Sampling { temperature: 0.0, ..Sampling::default() }, "sampling.temperature"),
        (Sampling { temperature: f64::NAN, ..Sampling::default() }, "sampling.temperature"),
        (Sampling { top_p: 0.0, ..Sampling::default() }, "sampling.top_p"),
        (Sampling { top_p: 1.1, ..Sampling::default() }, "sampling.top_p"),
    ] {
        let found = SearchOptions { sampling: bad, ..Default::default() }.check().unwrap_err().to_string();
        assert!(found.contains(key), "{found}");
    }
    let options = SearchOptions { repetition_penalty: 0.5, ..Default::default() };
    assert!(options.check().unwrap_err().to_string().contains("repetition_penalty"));
}
