//! From corpora to what a trainer needs: vocabularies and examples.
//!
//! There is one way, whether pairs come from memory or from files, and whether the result stays in memory or becomes a
//! folder of shards. The text streams by once: each pair is looked at, judged and turned into numbers in the order in
//! which tokens are first seen; when the vocabularies are known, those numbers are replaced by ids. Two things take a
//! reading of their own before: pieces that are to be learnt, and a split by a number of pairs.
//!
//! Beside the result, memory holds some chunks of text, the different tokens of both sides, the pairs of dev and test,
//! and with `filter.dedup` about twenty bytes a pair.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batch::Example;
use crate::codec::Codec;
use crate::config::DataConfig;
use crate::corpus::{Pair, SourceSpec, TrainSpec, pairs};
use crate::divide::{Divider, Place, check_parts};
use crate::encode::{Counted, Seen};
use crate::error::{Error, Problems, Result};
use crate::filter::FilterReport;
use crate::hash::source_hash;
use crate::known::Known;
use crate::shard::{Examples, RawShard, ShardFolder, ShardInfo, ShardWriter, fingerprint};
use crate::split::{Amount, SplitConfig};
use crate::stream::{Chunk, Stream};
use crate::tokenize::Tokenizer;
use crate::vocab::{UNK, Vocab};

mod encoded;

use encoded::{Encoded, Numbered};

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

/// Reads the corpora of a configuration into memory, as text. A dev or test corpus without files is split off the
/// training corpus.
///
/// # Errors
/// Bad values, a fault of a corpus (see [`Error`]), or an empty part.
pub fn load_corpora(config: &DataConfig) -> Result<Corpora> {
    let sources = text_sources(config)?;
    let stream = stream_of(sources, config)?;
    let divided = Divided::of(config, &stream)?;
    let (tokenizer, _) = config.tokenizers();
    let mut corpora = Corpora::default();
    stream.for_each(|chunk| {
        for (i, hash) in hashes(&chunk, config.split.seed, &tokenizer).into_iter().enumerate() {
            match divided.divider.place(hash) {
                Place::Train => corpora.train.push(chunk.pair(i)),
                Place::Dev => corpora.dev.push(chunk.pair(i)),
                Place::Test => corpora.test.push(chunk.pair(i)),
                Place::HeldOut => corpora.held_out += 1,
            }
        }
        Ok(())
    })?;
    divided.check(config, &stream, (corpora.train.len(), &corpora.dev, &corpora.test), corpora.held_out)?;
    (corpora.dev, corpora.test) = divided.with(corpora.dev, corpora.test);
    Ok(corpora)
}

/// What a training corpus has become.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The source side's tokenizer and vocabulary.
    pub src: Codec,
    /// The target side's tokenizer and vocabulary.
    pub tgt: Codec,
    /// The pairs that were kept, as ids, in the order of the corpora.
    pub examples: Examples,
    /// What is measured during training; empty for pairs in memory.
    pub dev: Vec<Pair>,
    /// What is measured at the end; empty for pairs in memory.
    pub test: Vec<Pair>,
    /// The texts of the examples, in their order, if chance cuts a side anew in every epoch; else empty.
    pub texts: Vec<Pair>,
    /// What happened on the way.
    pub report: PrepareReport,
}

/// What happened to a training corpus. It prints as one line for the filter and one a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareReport {
    /// Pairs kept and dropped.
    pub filter: FilterReport,
    /// Pairs that were left out before, because dev or test has their source.
    pub held_out: usize,
    /// The source vocabulary.
    pub src: VocabReport,
    /// The target vocabulary.
    pub tgt: VocabReport,
}

impl fmt::Display for PrepareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.filter)?;
        if self.held_out > 0 {
            write!(f, "\nleft out {} training pairs whose source is held out", self.held_out)?;
        }
        write!(f, "\nsource: {}\ntarget: {}", self.src, self.tgt)
    }
}

/// How much of one side's text a vocabulary covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    fn of(vocab: &Vocab, counted: &Counted) -> Self {
        let tokens = counted.counts.iter().sum();
        let known = |token: &&str| vocab.id(token) != UNK;
        let unknown = counted
            .tokens
            .texts()
            .zip(&counted.counts)
            .filter(|(token, _)| !known(token))
            .map(|(_, n)| n)
            .sum();
        Self { size: vocab.len(), distinct: counted.tokens.len(), tokens, unknown }
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
/// assert_eq!(data.src.decode(&data.examples.get(1)?.src)?, "ba");
/// assert_eq!(data.report.filter.to_string(), "kept 2 of 3 pairs; dropped 1: 1 empty source");
/// # Ok::<(), seqweave_data::Error>(())
/// ```
pub fn prepare(train: &[Pair], config: &DataConfig) -> Result<Prepared> {
    prepare_from(train, config, None)
}

/// [`prepare`] with what a model knows already: its pieces are not learnt anew, and its tokens keep their ids.
///
/// # Errors
/// As [`prepare`]; [`Error::OtherTokenizer`] where the configuration asks for another tokenizer than the model has,
/// [`Error::NotShared`] where it asks for one vocabulary and the model has two.
pub fn prepare_from(train: &[Pair], config: &DataConfig, known: Option<Known<'_>>) -> Result<Prepared> {
    config.problems().into_result()?;
    let stream = Stream::held(train);
    let mut raw = Vec::new();
    let mut put = |shard| {
        raw.push(shard);
        Ok(())
    };
    let encoded = Encoded::of(config, &stream, &Divider::default(), known, &mut put, &mut |_| ())?;
    encoded.check()?;
    let numbered = encoded.number(config, known)?;
    Ok(numbered.in_memory(raw, &[1.0]))
}

/// Reads the data of a configuration, text or shards, as a trainer wants it.
///
/// Text is encoded in memory, two or four bytes a token; shards are verified and mapped. The same text gives the same
/// examples either way.
///
/// # Errors
/// Bad values, a fault of a corpus (see [`Error`]), damaged shards or such as were made with other settings, an empty
/// part.
pub fn read_data(config: &DataConfig) -> Result<Prepared> {
    read_data_from(config, None)
}

/// [`read_data`] with what a model knows already.
///
/// # Errors
/// As [`read_data`] and [`prepare_from`]; shards must have been made with the tokens of the model, and those that were made
/// with the tokens of a model need one.
pub fn read_data_from(config: &DataConfig, known: Option<Known<'_>>) -> Result<Prepared> {
    if let Some(TrainSpec::Shards(dir)) = &config.train {
        let mut problems = config.problems();
        let expected = "text, as dropout or sampling cut it anew in every epoch";
        problems.require(!is_cut_anew(config), "train", expected, "shards");
        problems.into_result()?;
        return read_shards(dir, config, known);
    }
    let sources = text_sources(config)?;
    let stream = stream_of(sources, config)?;
    let divided = Divided::of(config, &stream)?;
    let mut raw = Vec::new();
    let mut put = |shard| {
        raw.push(shard);
        Ok(())
    };
    let encoded = divided.encode(config, &stream, known, &mut put, &mut |_| ())?;
    let weights: Vec<f64> = sources.iter().map(|source| source.weight).collect();
    Ok(encoded.number(config, known)?.in_memory(raw, &weights))
}

fn read_shards(dir: &Path, config: &DataConfig, known: Option<Known<'_>>) -> Result<Prepared> {
    let folder = ShardFolder::open(dir)?;
    folder.check(dir, config)?;
    folder.check_tokens(dir, known)?;
    // Files that are named must be those whose sources were kept out of training.
    for (key, source, pairs) in [("dev", &config.dev, &folder.dev), ("test", &config.test, &folder.test)] {
        let Some(source) = source else { continue };
        if read_pairs(source, config)? != *pairs {
            let (found, expected) = (format!("other {key} pairs"), format!("data.{key} = other pairs"));
            return Err(Error::ShardSettings { name: dir.display().to_string(), found, expected });
        }
    }
    let ShardFolder { info, src, tgt, examples, dev, test } = folder;
    Ok(Prepared { src, tgt, examples, dev, test, texts: Vec::new(), report: info.report })
}

/// Turns the corpora of a configuration into the folder of shards `dir`, which must not exist yet, and calls `progress`
/// with the number of pairs read so far.
///
/// The text is never in memory as a whole, and neither are the examples. The threads of the pool share the work.
///
/// # Errors
/// As [`read_data`]; [`Error::FolderExists`], and [`Error::Io`] where the folder cannot be written. Nothing is left
/// behind then.
pub fn prepare_shards(config: &DataConfig, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<ShardInfo> {
    prepare_shards_from(config, dir, None, progress)
}

/// [`prepare_shards`] with what a model knows already: the shards have the tokens that its further training would use.
///
/// # Errors
/// As [`prepare_shards`] and [`prepare_from`].
pub fn prepare_shards_from(
    config: &DataConfig,
    dir: &Path,
    known: Option<Known<'_>>,
    progress: &mut dyn FnMut(u64),
) -> Result<ShardInfo> {
    let sources = text_sources(config)?;
    let mut problems = Problems::default();
    let expected = "no dropout or sampling, which cut text anew in every epoch where shards hold no text";
    problems.require(!is_cut_anew(config), "src", expected, "dropout or sampling");
    problems.into_result()?;
    let mut writer = ShardWriter::begin(dir)?;
    let stream = stream_of(sources, config)?;
    let divided = Divided::of(config, &stream)?;
    let encoded = divided.encode(config, &stream, known, &mut |shard| writer.put_aside(&shard), progress)?;
    let numbered = encoded.number(config, known)?;
    let mut content = blake3::Hasher::new();
    writer.pack(|raw| numbered.pack(raw, &mut content))?;
    let weights: Vec<f64> = sources.iter().map(|source| source.weight).collect();
    let Numbered { src, tgt, dev, test, .. } = &numbered;
    let parts = numbered.parts(&weights);
    let print = fingerprint(&content, &parts);
    let mut info = ShardInfo::new(config, (src, tgt), parts, print, numbered.report.clone());
    info.known = known.map(|known| known.fingerprint());
    writer.describe(&info, (src, tgt), [dev, test])?;
    writer.seal()?;
    Ok(info)
}

/// The corpora that are text; everything that is wrong with a configuration at once.
pub(crate) fn text_sources(config: &DataConfig) -> Result<&[crate::corpus::WeightedSource]> {
    let mut problems = config.problems();
    let expected =
        "the path of a TSV or JSON Lines file, { src = \"file\", tgt = \"file\" }, or a list of such";
    let (sources, found) = match &config.train {
        Some(TrainSpec::Text(sources)) => (&sources[..], "an empty list"),
        Some(TrainSpec::Shards(_)) => (&[][..], "shards"),
        None => (&[][..], "nothing"),
    };
    problems.require(!sources.is_empty(), "train", expected, found);
    problems.into_result()?;
    Ok(sources)
}

pub(crate) fn stream_of<'a>(
    sources: &'a [crate::corpus::WeightedSource],
    config: &DataConfig,
) -> Result<Stream<'a>> {
    Stream::files(sources, config.max_line_bytes, config.features.is_some())
}

fn read_pairs(source: &SourceSpec, config: &DataConfig) -> Result<Vec<Pair>> {
    pairs(source)?.with_line_cap(config.max_line_bytes).with_tags(config.features.is_some()).collect()
}

/// The hashes of the sources of a chunk.
fn hashes(chunk: &Chunk, seed: u64, tokenizer: &Tokenizer) -> Vec<u64> {
    (0..chunk.len()).into_par_iter().map(|i| source_hash(seed, tokenizer, chunk.get(i).0)).collect()
}

/// How a corpus is divided, and the sets that have files of their own.
pub(crate) struct Divided {
    pub(crate) divider: Divider,
    /// What is split off the training corpus.
    split: SplitConfig,
    pub(crate) dev: Option<Vec<Pair>>,
    pub(crate) test: Option<Vec<Pair>>,
}

impl Divided {
    pub(crate) fn of(config: &DataConfig, stream: &Stream<'_>) -> Result<Self> {
        let read = |source: &SourceSpec| read_pairs(source, config);
        let (dev, test) =
            (config.dev.as_ref().map(read).transpose()?, config.test.as_ref().map(read).transpose()?);
        let wanted = |given: bool, amount| if given { Amount::Pairs(0) } else { amount };
        let seed = config.split.seed;
        let split = SplitConfig {
            dev: wanted(dev.is_some(), config.split.dev),
            test: wanted(test.is_some(), config.split.test),
            seed,
        };
        let (tokenizer, _) = config.tokenizers();
        let mut divider = Divider::choose(&split, &|see| every_source(stream, seed, &tokenizer, see))?;
        if config.exclude_held_out {
            let given = dev.iter().chain(&test).flatten();
            divider.hold_out(given.map(|pair| source_hash(seed, &tokenizer, &pair.src)));
        }
        Ok(Self { divider, split, dev, test })
    }

    pub(crate) fn encode(
        self,
        config: &DataConfig,
        stream: &Stream<'_>,
        known: Option<Known<'_>>,
        put: &mut dyn FnMut(RawShard) -> Result<()>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Encoded> {
        let mut encoded = Encoded::of(config, stream, &self.divider, known, put, progress)?;
        let Seen { report, held_out, .. } = &encoded.seen;
        self.check(config, stream, (report.total(), &encoded.dev, &encoded.test), *held_out)?;
        encoded.check()?;
        (encoded.dev, encoded.test) = self.with(encoded.dev, encoded.test);
        Ok(encoded)
    }

    /// The sets with files of their own in place of the parts that were split off.
    fn with(self, dev: Vec<Pair>, test: Vec<Pair>) -> (Vec<Pair>, Vec<Pair>) {
        (self.dev.unwrap_or(dev), self.test.unwrap_or(test))
    }

    /// That no part is empty; `train` counts before the filter.
    fn check(
        &self,
        config: &DataConfig,
        stream: &Stream<'_>,
        (train, dev, test): (usize, &[Pair], &[Pair]),
        held_out: usize,
    ) -> Result<()> {
        let (tokenizer, _) = config.tokenizers();
        let every = |see: &mut dyn FnMut(u64)| every_source(stream, config.split.seed, &tokenizer, see);
        check_parts(&self.split, [train + held_out, dev.len(), test.len()], &every)?;
        if train == 0 {
            let mut why = format!("all {held_out} have a source that dev or test also has");
            let named = |part: &Option<SourceSpec>| match (part, &config.train) {
                (Some(part), Some(TrainSpec::Text(train))) => train.iter().any(|train| train.source == *part),
                _ => false,
            };
            if named(&config.dev) || named(&config.test) {
                why.push_str(", and the same file is named for it as for train");
            }
            return Err(Error::NoExamples { why });
        }
        Ok(())
    }
}

fn every_source(
    stream: &Stream<'_>,
    seed: u64,
    tokenizer: &Tokenizer,
    see: &mut dyn FnMut(u64),
) -> Result<()> {
    stream.for_each(|chunk| {
        hashes(&chunk, seed, tokenizer).into_iter().for_each(&mut *see);
        Ok(())
    })
}

/// Whether chance cuts a side into other pieces in every epoch.
fn is_cut_anew(config: &DataConfig) -> bool {
    config.src.noise().is_some() || config.tgt.noise().is_some()
}

/// Turns pairs into ids with vocabularies that exist already, one example a pair: for dev and test sets.
///
/// Nothing is dropped here, so a measured set stays whole; an empty text gives an empty sequence.
pub fn encode_pairs(pairs: &[Pair], src: &Codec, tgt: &Codec) -> Vec<Example> {
    pairs.iter().map(|pair| Example { src: src.encode(&pair.src), tgt: tgt.encode(&pair.tgt) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::pairs_of;
    use crate::tokenize::Level;

    #[test]
    fn vocabularies_see_only_what_is_kept() {
        let train = pairs_of(&[("a a b", "x"), ("c c c c", ""), ("a d", "y")]);
        let mut config = DataConfig::default();
        config.src.max_vocab = 6;
        let data = prepare(&train, &config).expect("two good pairs");
        assert_eq!(data.src.vocab.encode(["a", "b", "c", "d"]), [4, 5, UNK, UNK]);
        assert_eq!(data.examples.get(1).expect("two examples"), Example { src: vec![4, UNK], tgt: vec![5] });
        assert_eq!(
            data.report.to_string(),
            "kept 2 of 3 pairs; dropped 1: 1 empty target\n\
             source: 5 tokens, 3 distinct, vocabulary of 6, 1 unknown (20.00 %)\n\
             target: 2 tokens, 2 distinct, vocabulary of 6, 0 unknown (0.00 %)"
        );
        assert_eq!(encode_pairs(&pairs_of(&[("zz", "")]), &data.src, &data.tgt)[0].src, [UNK]);
    }

    #[test]
    fn a_shared_vocabulary_gives_both_sides_the_same_ids() {
        let mut config = DataConfig { shared_vocab: true, ..DataConfig::default() };
        config.src.level = Level::Char;
        let data = prepare(&pairs_of(&[("ab", "b c"), ("b", "c")]), &config).expect("good pairs");
        assert_eq!(data.src.vocab, data.tgt.vocab);
        assert_eq!(data.src.vocab.encode(["b", "c", "a"]), [4, 5, 6]);
        assert_eq!((data.report.src.unknown, data.report.tgt.unknown), (0, 0));
        config.tgt.min_freq = 2;
        let message = prepare(&pairs_of(&[("a", "b")]), &config).expect_err("two bounds").to_string();
        assert!(message.contains("tgt.min_freq: expected the value of src"), "{message}");
    }

    #[test]
    fn nothing_left_says_why() {
        let message =
            prepare(&pairs_of(&[("", "x"), ("a", " ")]), &DataConfig::default()).expect_err("all dropped");
        let expected =
            "no training pair is left: kept 0 of 2 pairs; dropped 2: 1 empty source, 1 empty target";
        assert!(message.to_string().contains(expected), "{message}");
        let mut config = DataConfig::default();
        config.tgt.min_freq = 5;
        let message = prepare(&pairs_of(&[("a a a a a", "x")]), &config).expect_err("too rare");
        assert!(
            message.to_string().starts_with("target vocabulary: the vocabulary holds no token"),
            "{message}"
        );
        config.tgt.min_freq = 0;
        config.src.max_vocab = 4;
        let message = prepare(&pairs_of(&[("a", "x")]), &config).expect_err("two bad values").to_string();
        assert!(message.contains("src.max_vocab") && message.contains("tgt.min_freq"), "{message}");
    }
}
