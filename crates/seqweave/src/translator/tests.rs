//! Wishes as text, on models of random weights.

use super::*;
use crate::PhraseFlaw;
use seqweave_data::{Form, Level, SubwordConfig, Subwords, TokenCounter, Tokenizer, Vocab};
use seqweave_seq2seq::search::MaxLen;
use seqweave_seq2seq::{ModelConfig, Seq2Seq};

const TEXT: &str = "the cat sat on the mat and the dog ran to the red house";

fn codec(level: Level) -> Codec {
    let mut tokenizer = Tokenizer::new(level);
    if let Some(kind) = level.kind() {
        let form = Form::Nfc;
        let config = SubwordConfig { kind, pieces: 40, byte_fallback: false, form, lowercase: false };
        tokenizer.subwords = Some(Subwords::train([TEXT], &config).unwrap());
    }
    let mut counter = TokenCounter::default();
    counter.add_text(&tokenizer, TEXT);
    Codec { vocab: Vocab::build(&counter, 1, 0), tokenizer }
}

fn folder(level: Level, seed: u64) -> ModelFolder {
    let config = ModelConfig { emb: 6, hidden: 8, ..ModelConfig::default() };
    let (source, target) = (codec(level), codec(level));
    let (model, mut params) =
        Seq2Seq::build(&config, source.vocab.len(), target.vocab.len(), &Device::cpu(), seed).unwrap();
    let larger: Vec<_> = params.values().to_vec().into_iter().map(|x| 5.0 * x).collect();
    params.values_mut().unwrap().copy_from_slice(&larger).unwrap();
    let max_len = MaxLen { ratio: 1.0, add: 12 };
    let generation = SearchOptions { beam: 4, max_len, ..SearchOptions::default() };
    ModelFolder { model, params, source, target, generation }
}

fn translator(level: Level) -> Translator {
    Translator::new(folder(level, 5))
}

const LEVELS: [Level; 4] = [Level::Word, Level::Char, Level::Bpe, Level::Unigram];

#[test]
fn phrases_are_cut_as_target_text_is_at_every_level() {
    let mut tried = 0;
    for level in LEVELS {
        let translator = translator(level);
        let options = translator.defaults();
        let required = ["red house".to_owned(), "cat".to_owned()];
        let line = Line { text: "the dog ran", prefix: "on the", required: &required };
        let best = |line, options: &TranslateOptions| {
            translator.translate_lines(&[line], options).unwrap().remove(0).outputs.remove(0)
        };
        let output = best(line, &options);
        assert!(output.text.starts_with("on the"), "{level:?}: {}", output.text);
        for phrase in &required {
            let pieces = translator.model().target.tokenizer.encode(phrase);
            let there = output.tokens.windows(pieces.len()).any(|window| window == pieces);
            assert!(there && output.text.contains(phrase), "{level:?}: {phrase} in {}", output.text);
        }
        // What is said without being asked for can be forbidden.
        let tokenizer = &translator.model().target.tokenizer;
        let says = |output: &Output, phrase: &str| {
            let pieces = tokenizer.encode(phrase);
            output.tokens.windows(pieces.len()).any(|window| window == pieces)
        };
        let known = |phrase: &&str| !translator.model().target.encode(phrase).contains(&UNK);
        let plain = best(Line::of("the dog ran"), &options);
        let mut said = plain.text.split_whitespace().filter(known).filter(|phrase| says(&plain, phrase));
        let Some(phrase) = said.next() else { continue };
        let forbidden = vec![phrase.to_owned()];
        let output = best(Line::of("the dog ran"), &TranslateOptions { forbidden, ..options });
        assert!(!says(&output, phrase), "{level:?}: {phrase} in {}", output.text);
        tried += 1;
    }
    assert!(tried >= 2, "hardly anything was said that could be forbidden");
}

#[test]
fn phrases_that_cannot_be_are_named() {
    let translator = translator(Level::Word);
    let lines = |required: &'static [String], prefix: &'static str| {
        let odd = Line { text: "the dog", prefix, required };
        let lines = [Line::of("the cat"), Line { text: " ", ..odd }, odd];
        translator.translate_lines(&lines, &translator.defaults()).unwrap_err()
    };
    let unknown: &[String] = Box::leak(Box::new(["the cat".to_owned(), "the cow ran".to_owned()]));
    let error = lines(unknown, "");
    let text = "required phrase 2 of sentence 3 is \"the cow ran\", and the model does not know \"cow\"";
    assert!(error.to_string().starts_with(text), "{error}");
    let error = lines(&[], "a cat");
    assert!(error.to_string().starts_with("the prefix of sentence 3 is \"a cat\", and"), "{error}");
    let empty: &[String] = Box::leak(Box::new([" ".to_owned()]));
    let error = lines(empty, "");
    let is_empty =
        matches!(&error, Error::Phrase { sentence: Some(2), number: 0, flaw: PhraseFlaw::Empty, .. });
    assert!(is_empty, "{error}");
    let long: &[String] = Box::leak(Box::new([TEXT.to_owned(), TEXT.replace("red", "cat")]));
    let error = lines(long, "");
    assert!(error.to_string().starts_with("prefix and required phrases of sentence 3 come to"), "{error}");

    let forbid =
        |phrase: &str| TranslateOptions { forbidden: vec![phrase.to_owned()], ..translator.defaults() };
    let error = translator.translate(&["the"], &forbid("a cow")).unwrap_err().to_string();
    assert!(
        error.starts_with("forbidden phrase 1 is \"a cow\", and the model does not know \"a\""),
        "{error}"
    );
    let required = ["red cat sat".to_owned()];
    let line = Line { text: "the dog", required: &required, ..Line::default() };
    let error = translator.translate_lines(&[line], &forbid("cat sat")).unwrap_err().to_string();
    assert!(error.contains("\"red cat sat\", contains \"cat sat\", which is never said"), "{error}");
}

#[test]
fn an_unknown_token_becomes_the_source_token_it_looks_at() {
    let mut folder = folder(Level::Word, 5);
    let mut bias = vec![0.0; folder.target.vocab.len()];
    bias[UNK as usize] = 50.0;
    folder.params.set_by_name("output.bias", &bias).unwrap();
    let translator = Translator::new(folder);
    let max_len = MaxLen { ratio: 0.0, add: 3 };
    let search = SearchOptions { max_len, ..translator.defaults().search };
    let all = |replace_unknown| {
        let options =
            TranslateOptions { search: search.clone(), replace_unknown, ..TranslateOptions::default() };
        translator.translate(&["wombats eat the grass"], &options).unwrap().remove(0)
    };
    let of = |replace_unknown| all(replace_unknown).outputs.remove(0);
    let translation = all(None);
    let plain = of(None);
    assert_eq!(plain.text, "<unk> <unk> <unk>");
    let source = ["wombats", "eat", "the", "grass"];
    let looked: Vec<&str> = translation.alignment(&plain).into_iter().map(|(s, _)| source[s]).collect();
    let copied = of(Some(Dictionary::default()));
    assert_eq!(copied.text, looked.join(" "));
    assert_eq!(copied.tokens, looked);
    let dictionary = Dictionary::from_pairs(source.map(|word| (word, word.to_uppercase())));
    assert_eq!(of(Some(dictionary)).text, looked.join(" ").to_uppercase());
    assert_eq!(copied.attention, plain.attention);
    // Tags are no text to copy or to align with, however much they are looked at.
    let mut of_tags = translation.clone();
    of_tags.source_tags = 3;
    assert!(of_tags.alignment(&plain).iter().all(|&(source, _)| source == 0));
    of_tags.source_tags = 4;
    assert_eq!(of_tags.alignment(&plain), []);
}

#[test]
fn models_of_other_tokens_do_not_join() {
    let join = |other: ModelFolder| translator(Level::Word).join(other).err().map(|error| error.to_string());
    assert_eq!(join(folder(Level::Word, 6)), None);
    let found = join(folder(Level::Char, 6)).unwrap();
    let first = "the source side is not that of the first model: the tokenizer is level = \"char\"";
    assert!(found.starts_with(first) && found.contains("expected level = \"word\""), "{found}");
    let mut other = folder(Level::Word, 6);
    let mut counter = TokenCounter::default();
    counter.add_text(&other.target.tokenizer, &TEXT.replace("dog", "fox"));
    other.target.vocab = Vocab::build(&counter, 1, 0);
    let found = join(other).unwrap();
    assert!(found.starts_with("the target side is not that of the first model: token "), "{found}");
    let mut other = folder(Level::Word, 6);
    counter.add_text(&other.target.tokenizer, "dog the the");
    other.source.vocab = Vocab::build(&counter, 2, 0);
    assert!(join(other).unwrap().contains("the number of tokens is "));
}

#[test]
fn an_ensemble_of_one_model_twice_says_what_it_says() {
    let lines = ["the cat sat on the mat", "", "red house", "a wombat"];
    let (once, twice) =
        (translator(Level::Word), translator(Level::Word).join(folder(Level::Word, 5)).unwrap());
    let options = once.defaults();
    assert_eq!(once.translate(&lines, &options).unwrap(), twice.translate(&lines, &options).unwrap());
    let pairs = [("the cat", "the dog ran"), ("red", "mat")];
    assert_eq!(once.score(&pairs, 2).unwrap(), twice.score(&pairs, 2).unwrap());
    let other = translator(Level::Word).join(folder(Level::Word, 6)).unwrap();
    assert_ne!(once.score(&pairs, 2).unwrap(), other.score(&pairs, 2).unwrap());
}
