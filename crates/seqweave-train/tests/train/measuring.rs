//! `evaluate` on a model of random weights, against the same figures made by hand.

use seqweave::{ModelFolder, TranslateOptions, Translator};
use seqweave_data::{Codec, Level, Pair, TokenCounter, Tokenizer, Vocab};
use seqweave_metrics::{Metric, TextOptions};
use seqweave_nn::Ctx;
use seqweave_seq2seq::search::SearchOptions;
use seqweave_seq2seq::{BOS, EOS, ModelConfig, Seq2Seq};
use seqweave_tensor::{Device, Ids};
use seqweave_train::{Error, EvaluateOptions, Evaluation, evaluate};

fn codec() -> Codec {
    let tokenizer = Tokenizer::new(Level::Word);
    let mut counter = TokenCounter::default();
    counter.add_text(&tokenizer, "a b c d e");
    Codec { vocab: Vocab::build(&counter, 1, 0), tokenizer }
}

fn translator() -> Translator {
    let config = ModelConfig { emb: 6, hidden: 8, ..ModelConfig::default() };
    let (source, target) = (codec(), codec());
    let (model, mut params) =
        Seq2Seq::build(&config, source.vocab.len(), target.vocab.len(), &Device::cpu(), 5).unwrap();
    // Larger weights than a model begins with, so that what it says depends on what it has read.
    let larger: Vec<_> = params.values().to_vec().into_iter().map(|x| 6.0 * x).collect();
    params.values_mut().unwrap().copy_from_slice(&larger).unwrap();
    let generation = SearchOptions::default();
    Translator::new(ModelFolder { model, params, source, target, generation })
}

fn pairs(texts: &[(&str, &str)]) -> Vec<Pair> {
    texts.iter().map(|(src, tgt)| Pair { src: (*src).into(), tgt: (*tgt).into(), line: 1 }).collect()
}

fn measure(translator: &Translator, texts: &[(&str, &str)], metrics: &[Metric]) -> Evaluation {
    let options = EvaluateOptions {
        translate: TranslateOptions::default(),
        metrics: metrics.into(),
        text: TextOptions::default(),
    };
    evaluate(translator, &pairs(texts), &options).unwrap()
}

/// What the model holds most probable after each prefix of `tgt`, one sentence and one step at a time.
fn said(translator: &Translator, src: &str, tgt: &str) -> Vec<u32> {
    let ModelFolder { model, params, source, target, .. } = translator.model();
    let cx = Ctx::infer(params);
    let ids = |ids: Vec<u32>, rows: usize| Ids::new(ids.clone(), [rows, ids.len() / rows]).unwrap();
    let mut x = source.encode(src);
    x.push(EOS);
    let lens = Ids::new(vec![x.len() as u32], [1]).unwrap();
    let mut state = model.start(&cx, &ids(x.clone(), x.len()), &lens).unwrap();
    let mut said = Vec::new();
    for id in std::iter::once(BOS).chain(target.encode(tgt)) {
        let (logits, next, _) = model.step(&cx, &Ids::new(vec![id], [1]).unwrap(), &state).unwrap();
        let logits = logits.value().to_vec();
        said.push((0..logits.len()).max_by(|&i, &j| logits[i].total_cmp(&logits[j])).unwrap() as u32);
        state = next;
    }
    said
}

#[test]
fn lines_of_one_source_are_one_item_with_several_references() {
    let translator = translator();
    let own = |source: &str| {
        translator.translate(&[source], &TranslateOptions::default()).unwrap()[0].text().to_owned()
    };
    let (first, second) = (own("a b"), own("c"));
    // `a b` is right by its second reference, `c` by none.
    let texts = [("a b", "e e e e"), ("c", "e e e e e"), ("a b", first.as_str())];
    let found = measure(&translator, &texts, &[Metric::Wer, Metric::Acc, Metric::Per]);
    assert_eq!((found.lines, found.items), (3, 2));
    assert_eq!(found.value(Metric::Acc), Some(50.0));
    assert_eq!(found.value(Metric::Wer), Some(50.0));
    let answers: Vec<_> =
        found.answers.iter().map(|a| (a.source.as_str(), a.references.len(), a.right)).collect();
    assert_eq!(answers, [("a b", 2, true), ("c", 1, false)]);
    assert_eq!((found.answers[0].output.as_str(), found.answers[1].output.as_str()), (&*first, &*second));
    // Errors are counted against the nearest reference: none for `a b`, all the rest for `c`.
    let errors = seqweave_metrics::distance(
        &second.split_whitespace().collect::<Vec<_>>(),
        &"e e e e e".split(' ').collect::<Vec<_>>(),
    );
    let tokens = first.split_whitespace().count() + 5;
    let per = found.value(Metric::Per).unwrap();
    assert!((per - 100.0 * errors as f64 / tokens as f64).abs() < 1e-9, "{per}: {errors} of {tokens}");
}

#[test]
fn figures_of_the_model_equal_those_made_one_step_at_a_time() {
    let translator = translator();
    // A source whose greedy output the model ends by itself: that output is exact under teacher forcing too.
    let sources: Vec<String> =
        "abcde".chars().flat_map(|x| "abcde".chars().map(move |y| format!("{x} {y}"))).collect();
    let answers = translator.translate(&sources, &TranslateOptions::default()).unwrap();
    let is_own = |text: &str| !text.contains('<') && (1..14).contains(&text.split_whitespace().count());
    let ended = sources.iter().zip(&answers).find(|(_, answer)| is_own(answer.text()));
    let (source, own) =
        ended.map(|(source, answer)| (source.as_str(), answer.text())).expect("one of 25 ends");
    // A text nobody has seen, an empty target, two lines of one source, and the model's own words.
    let texts = [("a", "b c"), (source, own), ("a", "e"), ("x y z", "q a"), ("e d c b a", "")];
    let found = measure(&translator, &texts, &[Metric::Ppl, Metric::TokenAcc, Metric::SeqAcc]);
    assert_eq!((found.lines, found.items, found.answers.len()), (5, 4, 0));

    let target = &translator.model().target;
    let (mut right, mut tokens, mut exact) = (0, 0, 0);
    for (src, tgt) in texts {
        let mut wanted = target.encode(tgt);
        wanted.push(EOS);
        let said = said(&translator, src, tgt);
        assert_eq!(said.len(), wanted.len());
        let hits = said.iter().zip(&wanted).filter(|(said, wanted)| said == wanted).count();
        (right, tokens, exact) =
            (right + hits, tokens + wanted.len(), exact + usize::from(hits == wanted.len()));
    }
    assert!(
        (1..texts.len()).contains(&exact),
        "{exact} of {} are exact: the test tells nothing",
        texts.len()
    );
    let percent = |part: usize, whole: usize| Some(100.0 * part as f64 / whole as f64);
    assert_eq!(found.value(Metric::TokenAcc), percent(right, tokens));
    assert_eq!(found.value(Metric::SeqAcc), percent(exact, texts.len()));

    let scores = translator.score(&texts, 2).unwrap();
    let nll: f64 = scores.iter().map(|score| -score.log_prob).sum();
    let ppl = found.value(Metric::Ppl).unwrap();
    assert!((ppl / (nll / tokens as f64).exp() - 1.0).abs() < 1e-12, "{ppl}");
}

#[test]
fn sums_do_not_depend_on_batches_or_order() {
    let translator = translator();
    let mut texts = [("a", "b c"), ("b d", "e d"), ("a", "e"), ("x y z", "q a"), ("e d c b a", "a b c d e")];
    let metrics = [Metric::Ppl, Metric::TokenAcc, Metric::Wer];
    let all = |texts: &[(&str, &str)], batch| {
        let translate = TranslateOptions { batch, ..TranslateOptions::default() };
        let found = evaluate(
            &translator,
            &pairs(texts),
            &EvaluateOptions { translate, metrics: metrics.into(), text: TextOptions::default() },
        )
        .unwrap();
        metrics.map(|metric| found.value(metric).unwrap().to_bits())
    };
    let expected = all(&texts, 64);
    for batch in [1, 2, 3] {
        assert_eq!(all(&texts, batch), expected, "batches of {batch}");
    }
    texts.reverse();
    assert_eq!(all(&texts, 2), expected, "backwards");
}

#[test]
fn nothing_to_measure_has_no_score_and_a_broken_model_is_an_error() {
    let mut translator = translator();
    let metrics = [Metric::Ppl, Metric::Wer, Metric::SeqAcc];
    let found = measure(&translator, &[], &metrics);
    assert_eq!((found.items, metrics.map(|metric| found.value(metric))), (0, [None; 3]));

    let params = &mut translator.model_mut().params;
    params.values_mut().unwrap().fill(3e38);
    for metric in [Metric::Wer, Metric::Ppl] {
        let options = EvaluateOptions {
            translate: TranslateOptions::default(),
            metrics: vec![metric],
            text: TextOptions::default(),
        };
        let error = evaluate(&translator, &pairs(&[("a", "b")]), &options).unwrap_err();
        assert!(matches!(error, Error::Store(_) | Error::Model(_)), "{error}");
        assert!(
            error.to_string().contains("the model gave NaN for sentence 1 at target step 1"),
            "{metric}: {error}"
        );
    }
}
