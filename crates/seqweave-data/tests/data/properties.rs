//! Promises that hold for every input.

use std::cmp::Reverse;
use std::collections::HashSet;

use proptest::prelude::*;
use seqweave_data::{
    Amount, BatchConfig, BatchPlan, Codec, Lens, Level, Pair, Position, SourceSpec, SplitConfig,
    TokenCounter, Tokenizer, UNK, Vocab, load, prefetch, read_lines, split,
};

/// Text with what tokenizers stumble over: marks, joiners, flags, odd white space.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b",
        "Z",
        "ß",
        " ",
        "  ",
        "\u{a0}",
        "\u{2028}",
        "\u{85}",
        "\r",
        "e\u{301}",
        "\u{301}",
        "\u{200d}",
        "👩‍🚀",
        "🇩",
        "🇪",
        "שלום",
        "ไทย",
        "각",
        "ᄀ",
        "<pad>",
        "</s>",
        "\u{feff}",
        "\u{e000}",
    ]);
    prop_oneof![prop::collection::vec(pieces, 0..20).prop_map(|p| p.concat()), "[^\n\0]{0,20}"]
}

/// Bytes with more line endings than chance would give.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>(), b'a'..=b'z'], 0..80)
}

fn lens(most: u32) -> impl Strategy<Value = Vec<Lens>> {
    prop::collection::vec((0..most, 0..most).prop_map(|(src, tgt)| Lens { src, tgt }), 1..200)
}

fn batch_config() -> impl Strategy<Value = BatchConfig> {
    (4..300usize, 0..20usize, 0..60usize).prop_map(|(tokens, max_sentences, window)| BatchConfig {
        tokens,
        max_sentences,
        window,
    })
}

proptest! {
    #[test]
    fn characters_round_trip_exactly(text in text()) {
        let chars = Tokenizer::new(Level::Char);
        prop_assert_eq!(chars.decode(chars.encode(&text)), text.clone());
        prop_assert_eq!(chars.count(&text), chars.encode(&text).len());
    }

    #[test]
    fn words_round_trip_up_to_white_space(text in text(), lowercase: bool) {
        let words = Tokenizer::new(Level::Word).with_lowercase(lowercase);
        let tokens = words.encode(&text);
        prop_assert!(tokens.iter().all(|token| !token.is_empty() && !token.contains(char::is_whitespace)));
        let decoded = words.decode(&tokens);
        prop_assert_eq!(Tokenizer::new(Level::Word).encode(&decoded), tokens);
        prop_assert_eq!(words.canonical(&text), decoded);
    }

    #[test]
    fn known_text_round_trips_through_ids(texts in prop::collection::vec(text(), 1..5)) {
        for level in [Level::Word, Level::Char] {
            let tokenizer = Tokenizer::new(level);
            let mut counter = TokenCounter::default();
            texts.iter().for_each(|text| counter.add_text(&tokenizer, text));
            let codec = Codec { vocab: Vocab::build(&counter, 1, 0), tokenizer: tokenizer.clone() };
            for text in &texts {
                let ids = codec.encode(text);
                prop_assert!(ids.iter().all(|&id| id == UNK || id > 3), "text reached a special id");
                if !ids.contains(&UNK) {
                    prop_assert_eq!(codec.decode(&ids).expect("own ids"), tokenizer.canonical(text));
                }
            }
        }
    }

    #[test]
    fn a_vocabulary_depends_on_counts_alone(
        words in prop::collection::vec("[a-e]{1,2}|<pad>", 1..60),
        min in 1..4u64,
        max in 5..20usize,
    ) {
        let build = |words: &[String]| {
            let mut counter = TokenCounter::default();
            words.iter().for_each(|word| counter.add(word));
            Vocab::build(&counter, min, max)
        };
        let vocab = build(&words);
        let mut turned = words.clone();
        turned.reverse();
        prop_assert_eq!(build(&turned), vocab.clone());
        prop_assert!(vocab.len() <= max);
        prop_assert_eq!(vocab.iter().map(|(_, count)| count).sum::<u64>(), words.len() as u64);
        let ranked: Vec<_> = vocab.iter().skip(4).map(|(token, count)| (Reverse(count), token)).collect();
        prop_assert!(ranked.windows(2).all(|two| two[0] < two[1]));
        prop_assert!(ranked.iter().all(|(count, _)| count.0 >= min));
        if !vocab.is_empty() {
            prop_assert_eq!(Vocab::from_json(&vocab.to_json(), "v").expect("its own form"), vocab);
        }
    }

    #[test]
    fn a_vocabulary_reader_never_panics(text in "\\PC{0,80}", cut in 0..200usize) {
        let _ = Vocab::from_json(&text, "v");
        let mut counter = TokenCounter::default();
        counter.add_text(&Tokenizer::new(Level::Char), "abc\"\\é");
        let whole = Vocab::build(&counter, 1, 0).to_json();
        if cut < whole.trim_end().len() && whole.is_char_boundary(cut) {
            prop_assert!(Vocab::from_json(&whole[..cut], "v").is_err());
        }
    }

    #[test]
    fn any_bytes_give_lines_or_one_error(bytes in bytes(), cap in 1..30usize) {
        let items: Vec<_> = read_lines(&bytes[..], "t").with_line_cap(cap).collect();
        for (i, item) in items.iter().enumerate() {
            match item {
                Ok(line) => prop_assert!(line.len() <= cap && !line.contains(['\n', '\0'])),
                Err(_) => prop_assert_eq!(i, items.len() - 1, "the stream went on after an error"),
            }
        }
        if items.iter().all(Result::is_ok) && !bytes.starts_with(b"\xEF\xBB\xBF") {
            let whole: Vec<&str> = items.iter().flatten().map(String::as_str).collect();
            let plain = String::from_utf8(bytes).expect("checked").replace("\r\n", "\n");
            prop_assert_eq!(whole.join("\n"), plain.strip_suffix('\n').unwrap_or(&plain));
        }
    }

    #[test]
    fn a_written_corpus_is_read_back(sides in prop::collection::vec((text(), text()), 1..10)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, src, tgt) = (folder.path().join("t"), folder.path().join("s"), folder.path().join("t2"));
        // A mark at the start of a file and a CR at the end of a line belong to the file, not to the text.
        let clean = |text: &String| format!("|{}|", text.replace('\t', " "));
        let sides: Vec<(String, String)> = sides.iter().map(|(s, t)| (clean(s), clean(t))).collect();
        let file = |line: fn(&(String, String)) -> String| sides.iter().map(line).collect::<String>();
        let packed = super::faults::gzip(file(|(s, t)| format!("{s}\t{t}\n")).as_bytes());
        std::fs::write(&path, packed).expect("a file");
        std::fs::write(&src, file(|(s, _)| format!("{s}\n"))).expect("a file");
        std::fs::write(&tgt, file(|(_, t)| format!("{t}\n"))).expect("a file");
        for spec in [SourceSpec::Tsv { path }, SourceSpec::Parallel { src, tgt }] {
            let found = load(&spec).expect("a good corpus");
            prop_assert!(found.into_iter().map(|p| (p.src, p.tgt)).eq(sides.iter().cloned()));
        }
    }

    #[test]
    fn every_example_comes_once_an_epoch_within_the_limits(
        lens in lens(40),
        config in batch_config(),
        seed: u64,
        epoch in 0..5u64,
    ) {
        let plan = BatchPlan::new(&lens, config.clone()).expect("a good plan");
        let batches = plan.epoch(seed, epoch);
        let mut seen: Vec<u32> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..lens.len() as u32));
        for batch in &batches {
            prop_assert!(!batch.is_empty());
            let most = |side: fn(Lens) -> u32| batch.iter().map(|&i| side(lens[i as usize])).max();
            let (src, tgt) = (most(|l| l.src).unwrap_or(0), most(|l| l.tgt).unwrap_or(0));
            let padded = batch.len() * (src + 1 + tgt + 1) as usize;
            prop_assert!(padded <= config.tokens || batch.len() == 1, "{padded} tokens in {batch:?}");
            prop_assert!(config.max_sentences == 0 || batch.len() <= config.max_sentences);
        }
        let waste = plan.waste(&batches);
        prop_assert_eq!(waste.tokens, lens.iter().map(|l| u64::from(l.src + l.tgt) + 2).sum::<u64>());
        prop_assert!(waste.padded >= waste.tokens && (0.0..1.0).contains(&waste.share()));
    }

    #[test]
    fn resuming_anywhere_gives_the_rest(
        lens in lens(20),
        config in batch_config(),
        seed: u64,
        stop in 0..60usize,
    ) {
        let plan = BatchPlan::new(&lens, config).expect("a good plan");
        let batches = plan.clone().batches(seed, Position::default()).expect("the start");
        let whole: Vec<_> = batches.take(stop + 20).collect();
        let resumed = plan.batches(seed, whole[stop].0.after()).expect("a position of this plan");
        prop_assert!(prefetch(resumed, 2).expect("a thread").take(19).eq(whole[stop + 1..].iter().cloned()));
    }

    #[test]
    fn a_split_ignores_the_order_of_the_file(
        n in 30..120usize,
        seed: u64,
        dev in 0.1..0.4f64,
        test in 1..8u64,
    ) {
        let pair = |i: usize| Pair { src: format!("w{}", i / 3), tgt: i.to_string(), line: 1 };
        let pairs: Vec<Pair> = (0..n).map(pair).collect();
        let mut turned = pairs.clone();
        turned.rotate_left(n / 3);
        turned.reverse();
        let config = SplitConfig { dev: Amount::Share(dev), test: Amount::Pairs(test), seed };
        let words = Tokenizer::new(Level::Word);
        let set = |pairs: &[Pair]| pairs.iter().map(|p| p.tgt.clone()).collect::<HashSet<_>>();
        let sources = |pairs: &[Pair]| pairs.iter().map(|p| p.src.clone()).collect::<HashSet<_>>();
        match (split(pairs, &config, &words), split(turned, &config, &words)) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(set(&a.train), set(&b.train));
                prop_assert_eq!(set(&a.dev), set(&b.dev));
                prop_assert_eq!(set(&a.test), set(&b.test));
                prop_assert_eq!(a.train.len() + a.dev.len() + a.test.len(), n);
                prop_assert!(a.test.len() as u64 <= test);
                prop_assert!(sources(&a.train).is_disjoint(&sources(&a.dev)));
                prop_assert!(sources(&a.train).is_disjoint(&sources(&a.test)));
                prop_assert!(sources(&a.dev).is_disjoint(&sources(&a.test)));
            }
            // A small corpus can leave a part empty, in either order of the file.
            (a, b) => prop_assert_eq!(a.map_err(|e| e.to_string()), b.map_err(|e| e.to_string())),
        }
    }
}
