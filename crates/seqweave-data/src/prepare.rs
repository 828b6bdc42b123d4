//! From corpora to what a trainer needs: vocabularies and examples.

use std::fmt;

use crate::batch::Example;
use crate::config::{DataConfig, SideConfig};
use crate::corpus::{Pair, SourceSpec, pairs};
use crate::error::{Error, Result};
use crate::filter::{FilterReport, select};
use crate::split::{Amount, SplitConfig, exclude_sources, split};
use crate::subword::Subwords;
use crate::tokenize::Tokenizer;
use crate::vocab::{SPECIALS, TokenCounter, Vocab};

/// One side's way from text to ids and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Tokens to ids.
    pub vocab: Vocab,
}

impl Codec {
    /// The ids of a text, without `<s>` and `</s>`.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        if self.tokenizer.subwords.is_some() {
            return self.vocab.encode(self.tokenizer.encode(text));
        }
        self.vocab.encode(self.tokenizer.level.split(&self.tokenizer.normalize(text)))
    }

    /// The text of ids; padding, `<s>` and `</s>` are skipped, and unknown tokens read `<unk>`.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(self.tokenizer.decode(self.vocab.decode(ids)?))
    }
}

/// The corpora that a [`DataConfig`] names, each in the order of its file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Corpora {
    /// What is trained on, not yet filtered.
    pub train: Vec<Pair>,
    /// What is measured during training; empty where `split.dev` is 0 and no file is given.
    pub dev: Vec<Pair>,
    /// What is measured at the end; empty where `split.test` is 0 and no file is given.
    pub test: Vec<Pair>,
    /// How many training pairs were dropped because dev or test has their source.
    pub held_out: usize,
}

/// Reads the corpora of a configuration. A dev or test corpus without files is split off the training corpus.
///
/// # Errors
/// Bad values, a fault of a corpus (see [`Error`]), or an empty part.
pub fn load_corpora(config: &DataConfig) -> Result<Corpora> {
    let mut problems = config.problems();
    let expected = "the path of a TSV file, or { src = \"file\", tgt = \"file\" }";
    problems.require(config.train.is_some(), "train", expected, "nothing");
    problems.into_result()?;
    let read = |source: &SourceSpec| -> Result<Vec<Pair>> {
        pairs(source)?.with_line_cap(config.max_line_bytes).collect()
    };
    let read_all = |source: &Option<SourceSpec>| source.as_ref().map(read).transpose();
    let train = read_all(&config.train)?.unwrap_or_default();
    let (dev, test) = (read_all(&config.dev)?, read_all(&config.test)?);

    let tokenizer = config.src.tokenizer();
    let wanted = |given: bool, amount| if given { Amount::Pairs(0) } else { amount };
    let amounts = SplitConfig {
        dev: wanted(dev.is_some(), config.split.dev),
        test: wanted(test.is_some(), config.split.test),
        seed: config.split.seed,
    };
    let parts = split(train, &amounts, &tokenizer)?;
    let (dev, test) = (dev.unwrap_or(parts.dev), test.unwrap_or(parts.test));
    let (mut train, mut held_out) = (parts.train, 0);
    if config.exclude_held_out {
        let sources = dev.iter().chain(&test).map(|pair| pair.src.as_str());
        (train, held_out) = exclude_sources(train, sources, &tokenizer);
    }
    if train.is_empty() {
        let why = format!("all {held_out} have a source that dev or test also has");
        return Err(Error::NoExamples { why });
    }
    Ok(Corpora { train, dev, test, held_out })
}

/// What [`prepare`] makes of a training corpus.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The source side's tokenizer and vocabulary.
    pub src: Codec,
    /// The target side's tokenizer and vocabulary.
    pub tgt: Codec,
    /// The pairs that were kept, as ids, in the order of the corpus.
    pub examples: Vec<Example>,
    /// What happened on the way.
    pub report: PrepareReport,
}

/// What happened to a training corpus. It prints as one line for the filter and one a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareReport {
    /// Pairs kept and dropped.
    pub filter: FilterReport,
    /// The source vocabulary.
    pub src: VocabReport,
    /// The target vocabulary.
    pub tgt: VocabReport,
}

impl fmt::Display for PrepareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nsource: {}\ntarget: {}", self.filter, self.src, self.tgt)
    }
}

/// How much of one side's text a vocabulary covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VocabReport {
    /// Tokens in the vocabulary, special ones included.
    pub size: usize,
    /// Different tokens in the text.
    pub distinct: usize,
    /// Tokens in the text.
    pub tokens: u64,
    /// Tokens in the text that are not in the vocabulary.
    pub unknown: u64,
}

impl VocabReport {
    fn of(vocab: &Vocab, counter: &TokenCounter) -> Self {
        let tokens = counter.total();
        let known: u64 = vocab.iter().skip(SPECIALS.len()).map(|(token, _)| counter.get(token)).sum();
        Self { size: vocab.len(), distinct: counter.distinct(), tokens, unknown: tokens - known }
    }
}

impl fmt::Display for VocabReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, distinct, tokens, unknown } = self;
        let percent = if *tokens == 0 { 0.0 } else { 100.0 * *unknown as f64 / *tokens as f64 };
        write!(
            f,
            "{tokens} tokens, {distinct} distinct, vocabulary of {size}, {unknown} unknown ({percent:.2} %)"
        )
    }
}

/// Filters training pairs, builds the vocabularies from those that are kept, and turns them into ids.
///
/// # Errors
/// Bad values, no pair left, or a vocabulary without tokens.
///
/// ```
/// use seqweave_data::{DataConfig, Level, Pair, SideConfig, prepare};
///
/// let pair = |src: &str, tgt: &str| Pair { src: src.into(), tgt: tgt.into(), line: 1 };
/// let config = DataConfig {
///     src: SideConfig { level: Level::Char, ..SideConfig::default() },
///     ..DataConfig::default()
/// };
/// let data = prepare(&[pair("ab", "x y"), pair("ba", "y x"), pair("", "x")], &config)?;
/// assert_eq!(data.examples.len(), 2);
/// assert_eq!(data.src.decode(&data.examples[1].src)?, "ba");
/// assert_eq!(data.report.filter.to_string(), "kept 2 of 3 pairs; dropped 1: 1 empty source");
/// # Ok::<(), seqweave_data::Error>(())
/// ```
pub fn prepare(train: &[Pair], config: &DataConfig) -> Result<Prepared> {
    config.validate()?;
    let (src, tgt) = (config.src.tokenizer(), config.tgt.tokenizer());
    let (kept, filter) = select(train, &src, &tgt, &config.filter);
    if kept.is_empty() {
        return Err(Error::NoExamples { why: filter.to_string() });
    }
    let (src, tgt) = learn(train, &kept, config, (src, tgt))?;
    let (mut src_counts, mut tgt_counts) = (TokenCounter::default(), TokenCounter::default());
    for &i in &kept {
        src_counts.add_text(&src, &train[i].src);
        tgt_counts.add_text(&tgt, &train[i].tgt);
    }
    let (src_vocab, tgt_vocab) = if config.shared_vocab {
        let mut both = src_counts.clone();
        both.merge(&tgt_counts);
        let vocab = build(&both, &src, &config.src, "shared vocabulary")?;
        (vocab.clone(), vocab)
    } else {
        let vocab = build(&src_counts, &src, &config.src, "source vocabulary")?;
        (vocab, build(&tgt_counts, &tgt, &config.tgt, "target vocabulary")?)
    };
    let report = PrepareReport {
        filter,
        src: VocabReport::of(&src_vocab, &src_counts),
        tgt: VocabReport::of(&tgt_vocab, &tgt_counts),
    };
    let (src, tgt) = (Codec { tokenizer: src, vocab: src_vocab }, Codec { tokenizer: tgt, vocab: tgt_vocab });
    let examples = kept.into_iter().map(|i| example(&train[i], &src, &tgt)).collect();
    Ok(Prepared { src, tgt, examples, report })
}

/// The tokenizers with pieces learnt from the pairs that are kept, where a side asks for pieces.
fn learn(
    train: &[Pair],
    kept: &[usize],
    config: &DataConfig,
    (mut src, mut tgt): (Tokenizer, Tokenizer),
) -> Result<(Tokenizer, Tokenizer)> {
    let sources = || kept.iter().map(|&i| train[i].src.as_str());
    let targets = || kept.iter().map(|&i| train[i].tgt.as_str());
    if let (true, Some(pieces)) = (config.shared_vocab, config.src.subwords()) {
        let both = Subwords::train(sources().chain(targets()), &pieces)?;
        (src.subwords, tgt.subwords) = (Some(both.clone()), Some(both));
        return Ok((src, tgt));
    }
    if let Some(pieces) = config.src.subwords() {
        src.subwords = Some(Subwords::train(sources(), &pieces)?);
    }
    if let Some(pieces) = config.tgt.subwords() {
        tgt.subwords = Some(Subwords::train(targets(), &pieces)?);
    }
    Ok((src, tgt))
}

fn build(counter: &TokenCounter, tokenizer: &Tokenizer, side: &SideConfig, name: &str) -> Result<Vocab> {
    let vocab = match &tokenizer.subwords {
        Some(subwords) => Vocab::of_pieces(subwords, counter),
        None => Vocab::build(counter, side.min_freq, side.max_vocab),
    };
    if vocab.is_empty() { Err(Error::VocabEmpty { name: name.to_owned() }) } else { Ok(vocab) }
}

/// Turns pairs into ids with vocabularies that exist already, one example a pair: for dev and test sets.
///
/// Nothing is dropped here, so a measured set stays whole; an empty text gives an empty sequence.
pub fn encode_pairs(pairs: &[Pair], src: &Codec, tgt: &Codec) -> Vec<Example> {
    pairs.iter().map(|pair| example(pair, src, tgt)).collect()
}

fn example(pair: &Pair, src: &Codec, tgt: &Codec) -> Example {
    Example { src: src.encode(&pair.src), tgt: tgt.encode(&pair.tgt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Level;
    use crate::vocab::UNK;

    fn pairs(sides: &[(&str, &str)]) -> Vec<Pair> {
        sides.iter().map(|(src, tgt)| Pair { src: (*src).into(), tgt: (*tgt).into(), line: 1 }).collect()
    }

    #[test]
    fn vocabularies_see_only_what_is_kept() {
        let train = pairs(&[("a a b", "x"), ("c c c c", ""), ("a d", "y")]);
        let mut config = DataConfig::default();
        config.src.max_vocab = 6;
        let data = prepare(&train, &config).expect("two good pairs");
        assert_eq!(data.src.vocab.encode(["a", "b", "c", "d"]), [4, 5, UNK, UNK]);
        assert_eq!(data.examples[1], Example { src: vec![4, UNK], tgt: vec![5] });
        assert_eq!(
            data.report.to_string(),
            "kept 2 of 3 pairs; dropped 1: 1 empty target\n\
             source: 5 tokens, 3 distinct, vocabulary of 6, 1 unknown (20.00 %)\n\
             target: 2 tokens, 2 distinct, vocabulary of 6, 0 unknown (0.00 %)"
        );
        assert_eq!(encode_pairs(&pairs(&[("zz", "")]), &data.src, &data.tgt)[0].src, [UNK]);
    }

    #[test]
    fn a_shared_vocabulary_gives_both_sides_the_same_ids() {
        let mut config = DataConfig { shared_vocab: true, ..DataConfig::default() };
        config.src.level = Level::Char;
        let data = prepare(&pairs(&[("ab", "b c"), ("b", "c")]), &config).expect("good pairs");
        assert_eq!(data.src.vocab, data.tgt.vocab);
        assert_eq!(data.src.vocab.encode(["b", "c", "a"]), [4, 5, 6]);
        assert_eq!((data.report.src.unknown, data.report.tgt.unknown), (0, 0));
        config.tgt.min_freq = 2;
        let message = prepare(&pairs(&[("a", "b")]), &config).expect_err("two bounds").to_string();
        assert!(message.contains("tgt.min_freq: expected the value of src"), "{message}");
    }

    #[test]
    fn nothing_left_says_why() {
        let message =
            prepare(&pairs(&[("", "x"), ("a", " ")]), &DataConfig::default()).expect_err("all dropped");
        let expected =
            "no training pair is left: kept 0 of 2 pairs; dropped 2: 1 empty source, 1 empty target";
        assert!(message.to_string().contains(expected), "{message}");
        let mut config = DataConfig::default();
        config.tgt.min_freq = 5;
        let message = prepare(&pairs(&[("a a a a a", "x")]), &config).expect_err("too rare");
        assert!(
            message.to_string().starts_with("target vocabulary: the vocabulary holds no token"),
            "{message}"
        );
        config.tgt.min_freq = 0;
        config.src.max_vocab = 4;
        let message = prepare(&pairs(&[("a", "x")]), &config).expect_err("two bad values").to_string();
        assert!(message.contains("src.max_vocab") && message.contains("tgt.min_freq"), "{message}");
    }
}
