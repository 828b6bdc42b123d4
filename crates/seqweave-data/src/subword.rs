//! Subword units: words cut into pieces that were learnt from text, and text put together from pieces.
//!
//! This is the one place that knows the crate `tokenizers`, whose file format is Hugging Face's `tokenizer.json`.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::tokenizer::{Decoder, OffsetReferential, OffsetType, PreTokenizedString};
use tokenizers::utils::parallelism::set_parallelism;
use tokenizers::{ModelWrapper, Normalizer, NormalizerWrapper, PreTokenizer};

use crate::error::{Error, Result};
use crate::tokenize::Form;
use crate::vocab::SPECIALS;

use self::alphabet::Words;
use self::charsmap::Charsmap;
use self::sample::Cutter;

mod alphabet;
mod charsmap;
mod codes;
mod import;
mod protobuf;
mod sample;
mod sentencepiece;
mod settle;

pub use self::import::{Origin, OriginName};
pub use self::sample::{Noise, SamplingConfig, Side, noise_rng};

/// The piece that stands for what no piece covers.
const UNKNOWN: &str = SPECIALS[1];

/// What pieces are learnt by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubwordKind {
    /// Byte-pair encoding (Sennrich et al. 2016): the most frequent pair of neighbours becomes a piece, again and again.
    Bpe,
    /// A unigram language model (Kudo 2018): of many pieces, those that explain the text best are kept.
    Unigram,
}

/// How pieces are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubwordConfig {
    /// By what.
    pub kind: SubwordKind,
    /// The most pieces there are, `<unk>` and those of bytes included.
    pub pieces: usize,
    /// Whether a character that no piece covers is written as the pieces of its UTF-8 bytes.
    pub byte_fallback: bool,
    /// The Unicode normal form of all text.
    pub form: Form,
    /// Whether text is put into lower case.
    pub lowercase: bool,
}

/// Learnt pieces with the rules for cutting and joining; cheap to clone.
///
/// A piece that begins a word begins with `▁`. White space is folded into single spaces.
///
/// ```
/// use seqweave_data::{Form, SubwordConfig, SubwordKind, Subwords};
///
/// let config = SubwordConfig {
///     kind: SubwordKind::Bpe,
///     pieces: 300,
///     byte_fallback: true,
///     form: Form::Nfc,
///     lowercase: false,
/// };
/// let subwords = Subwords::train(["low lower lowest", "new newer newest"], &config)?;
/// let pieces = subwords.encode("lower  slow 雪!");
/// assert_eq!(pieces[0], "▁lower");
/// assert_eq!(subwords.decode(&pieces), "lower slow 雪!");
/// # Ok::<(), seqweave_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Subwords {
    inner: Arc<tokenizers::Tokenizer>,
    /// The normal form of a text, where the crate's own would not be that of the file.
    normalizers: Arc<[Step]>,
    /// The file, by which two are the same or not.
    json: Arc<str>,
    /// The model for cutting by chance, once it is asked for.
    cutter: Arc<OnceLock<Cutter>>,
}

/// One step on the way to the normal form of a text.
enum Step {
    Table(Charsmap),
    Rule(NormalizerWrapper),
}

impl Subwords {
    /// Learns pieces from texts. The same texts, in any order, give the same pieces.
    ///
    /// Every character of the text is a piece; where there are too many of them, the rarest are left to bytes.
    ///
    /// # Errors
    /// [`Error::TooFewPieces`]: there are too many characters, and bytes do not spell them.
    /// [`Error::Subwords`]: there is no text.
    pub fn train<I>(texts: I, config: &SubwordConfig) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        // Threads are the caller's business, and sums must not depend on them.
        set_parallelism(false);
        let mut file = skeleton(config);
        let rules = Self::from_json(&file.to_string(), "rules")?;
        let mut words = Words::new();
        for text in texts {
            for word in rules.words(text.as_ref()) {
                *words.entry(word).or_default() += 1;
            }
        }
        if words.is_empty() {
            return Err(fault("training", "there is no text to learn from"));
        }
        let words = alphabet::fit(words, config)?;
        let bytes = if config.byte_fallback { 256 } else { 0 };
        let pieces = config.pieces.saturating_sub(bytes + 1);
        file["model"] = match config.kind {
            SubwordKind::Bpe => bpe(&words, pieces, config.byte_fallback)?,
            SubwordKind::Unigram => unigram(&words, pieces, config.byte_fallback)?,
        };
        Self::from_json(&file.to_string(), "training")
    }

    /// Reads a file `tokenizer.json`.
    ///
    /// # Errors
    /// A file that is not there or cannot be read; as [`Subwords::from_json`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { name: name.clone() },
            std::io::ErrorKind::IsADirectory => Error::IsDirectory { name: name.clone() },
            _ => Error::Io { name: name.clone(), action: "read", source },
        })?;
        match OriginName::guess(&bytes) {
            None | Some(OriginName::HuggingFace) => {}
            Some(program) => {
                return Err(fault(
                    &name,
                    format!("{program}: `seqweave tokenizer import` makes a tokenizer.json"),
                ));
            }
        }
        let text = String::from_utf8(bytes).map_err(|error| fault(&name, error))?;
        Self::from_json(&text, &name)
    }

    /// Reads a `tokenizer.json`, ours or of the Python library. `name` is the file in error messages.
    ///
    /// What the file says of truncation, padding, marks at the ends and dropout is left out, and what no piece covers is
    /// `<unk>` whatever the file calls it; see `docs/decisions/0005-text-and-scores.md`.
    ///
    /// # Errors
    /// [`Error::Subwords`] with the reason.
    pub fn from_json(text: &str, name: &str) -> Result<Self> {
        let mut file: Value = serde_json::from_str(text).map_err(|error| fault(name, error))?;
        settle::settle(&mut file).map_err(|why| fault(name, why))?;
        let json = format!("{file:#}");
        let mut normalizers = Vec::new();
        if has_table(&file["normalizer"]) {
            // Tokens that were added are looked for before the normal form, which only the crate can do.
            let inside = file["added_tokens"].as_array().is_some_and(|tokens| !tokens.is_empty());
            steps(&file["normalizer"], &mut normalizers).map_err(|why| fault(name, why))?;
            if inside {
                normalizers.clear();
            } else {
                file["normalizer"] = Value::Null;
            }
        }
        let inner: tokenizers::Tokenizer = file.to_string().parse().map_err(|error| fault(name, error))?;
        Ok(Self {
            inner: Arc::new(inner),
            normalizers: normalizers.into(),
            json: json.into(),
            cutter: Arc::default(),
        })
    }

    /// The text of the file `tokenizer.json`.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// The kind of model, as the file names it: `BPE`, `Unigram`, `WordPiece`, `WordLevel`.
    pub fn model(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "Unigram",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
        }
    }

    /// Every piece with its number in the file, in the order of the numbers.
    pub fn pieces(&self) -> Vec<(u32, String)> {
        let mut pieces: Vec<(u32, String)> =
            self.inner.get_vocab(true).into_iter().map(|(piece, id)| (id, piece)).collect();
        pieces.sort();
        pieces
    }

    /// The pieces of a text; `<unk>` for what none covers.
    pub fn encode(&self, text: &str) -> Vec<String> {
        let text = self.normalize(text);
        let encoding = self.inner.encode(&*text, false).unwrap_or_else(broken);
        // By number: the text of a token that is not known is that of the input.
        let piece = |&id: &u32| self.inner.id_to_token(id).unwrap_or_else(|| UNKNOWN.to_owned());
        encoding.get_ids().iter().map(piece).collect()
    }

    /// The text of pieces.
    pub fn decode<S: AsRef<str>>(&self, pieces: &[S]) -> String {
        if pieces.is_empty() {
            return String::new();
        }
        let pieces: Vec<String> = pieces.iter().map(|piece| piece.as_ref().to_owned()).collect();
        match self.inner.get_decoder() {
            Some(decoder) => decoder.decode(pieces).unwrap_or_else(broken),
            None => pieces.join(" "),
        }
    }

    /// Whether a character that no piece covers is spelt, in bytes, and so nothing is unknown.
    pub fn spells_everything(&self) -> bool {
        // For private use: no text has it, and no normal form changes it.
        !self.encode("\u{10FFFD}").iter().any(|piece| piece == UNKNOWN)
    }

    /// The text that goes into the crate's tokenizer.
    fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for step in self.normalizers.iter() {
            text = Cow::Owned(match step {
                Step::Table(table) => table.apply(&text),
                Step::Rule(rule) => {
                    let mut changed = tokenizers::NormalizedString::from(&*text);
                    rule.normalize(&mut changed).unwrap_or_else(broken);
                    changed.get().to_owned()
                }
            });
        }
        text
    }

    /// The words within which pieces are learnt.
    fn words(&self, text: &str) -> Vec<String> {
        let mut text = tokenizers::NormalizedString::from(&*self.normalize(text));
        if let Some(normalizer) = self.inner.get_normalizer() {
            normalizer.normalize(&mut text).unwrap_or_else(broken);
        }
        let mut words = PreTokenizedString::from(text);
        if let Some(rules) = self.inner.get_pre_tokenizer() {
            rules.pre_tokenize(&mut words).unwrap_or_else(broken);
        }
        let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        splits.into_iter().map(|(word, ..)| word.to_owned()).filter(|word| !word.is_empty()).collect()
    }
}

impl PartialEq for Subwords {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for Subwords {}

impl Hash for Subwords {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.json.hash(state);
    }
}

impl fmt::Debug for Subwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subwords({}, {} pieces)", self.model(), self.inner.get_vocab_size(true))
    }
}

fn fault(place: &str, why: impl fmt::Display) -> Error {
    Error::Subwords { name: place.to_owned(), why: why.to_string() }
}

/// No text and no pieces bring this about. The crate returns an error while it cuts or joins in three cases: a model has no
/// piece for what it does not know, which [`settle`](settle::settle) puts in; text is to be cut off after so many tokens,
/// which `settle` takes out; a pattern is none, which is seen when the file is read.
fn broken<T>(error: impl fmt::Display) -> T {
    panic!("a tokenizer file that was settled fits every text, and yet: {error}")
}

/// Whether a table of a SentencePiece model is among the normalizers.
fn has_table(normalizer: &Value) -> bool {
    let within = normalizer["normalizers"].as_array();
    normalizer["type"] == "Precompiled" || within.is_some_and(|all| all.iter().any(has_table))
}

/// The normalizers of a file, one after the other.
fn steps(normalizer: &Value, out: &mut Vec<Step>) -> Result<(), String> {
    if let Some(all) = normalizer["normalizers"].as_array() {
        return all.iter().try_for_each(|normalizer| steps(normalizer, out));
    }
    if normalizer["type"] == "Precompiled" {
        let bytes = normalizer["precompiled_charsmap"].as_str().and_then(charsmap::from_base64);
        let table = bytes
            .ok_or("its table of characters is not in base 64".to_owned())
            .and_then(|b| Charsmap::new(&b));
        out.push(Step::Table(table.map_err(|why| format!("its table of characters: {why}"))?));
    } else if !normalizer.is_null() {
        let rule = serde_json::from_value(normalizer.clone()).map_err(|error| error.to_string())?;
        out.push(Step::Rule(rule));
    }
    Ok(())
}

/// The file without its pieces: text is normalised, spaces become `▁`, and punctuation stands alone.
fn skeleton(config: &SubwordConfig) -> Value {
    let mut normalizers = Vec::new();
    match config.form {
        Form::None => {}
        Form::Nfc => normalizers.push(json!({"type": "NFC"})),
        Form::Nfkc => normalizers.push(json!({"type": "NFKC"})),
    }
    if config.lowercase {
        normalizers.push(json!({"type": "Lowercase"}));
    }
    normalizers.extend(single_spaces());
    let mark = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    file_of(
        normalizers,
        json!({"type": "Sequence", "pretokenizers": [mark, {"type": "Punctuation", "behavior": "Isolated"}]}),
        json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]}),
        json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {}, "merges": []}),
    )
}

/// A `tokenizer.json` of these parts; what cuts texts or adds to them is left to others.
fn file_of(normalizers: Vec<Value>, pre_tokenizer: Value, decoder: Value, model: Value) -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": decoder,
        "model": model,
    })
}

/// The rules by which white space is one space between words, and none around a text.
fn single_spaces() -> [Value; 2] {
    [
        json!({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}),
        json!({"type": "Strip", "strip_left": true, "strip_right": true}),
    ]
}

fn byte_pieces(byte_fallback: bool) -> impl Iterator<Item = String> {
    (0..if byte_fallback { 256 } else { 0 }).map(|byte| format!("<0x{byte:02X}>"))
}

fn bpe(words: &Words, pieces: usize, byte_fallback: bool) -> Result<Value> {
    // The trainer makes room for as many pieces as it is asked for, and each of them joins two parts of some word.
    let most: usize = words.keys().map(|word| 2 * word.chars().count()).sum();
    let trainer = BpeTrainer::builder().show_progress(false).vocab_size(pieces.min(most)).build();
    let counts = words.iter().map(|(word, &count)| (word.as_str().into(), count)).collect();
    let mut model = tokenizers::models::bpe::BPE::default();
    trainer.do_train(&counts, &mut model).map_err(|error| fault("training", error))?;
    let mut file = serde_json::to_value(&model).map_err(|error| fault("training", error))?;
    let mut vocab = model.get_vocab();
    for piece in std::iter::once(UNKNOWN.to_owned()).chain(byte_pieces(byte_fallback)) {
        let next = vocab.len() as u32;
        vocab.entry(piece).or_insert(next);
    }
    file["vocab"] = json!(vocab);
    file["unk_token"] = json!(UNKNOWN);
    file["byte_fallback"] = json!(byte_fallback);
    Ok(file)
}

fn unigram(words: &Words, pieces: usize, byte_fallback: bool) -> Result<Value> {
    // The trainer makes room for as many pieces as it is asked for; it begins with a million and all characters.
    let size = pieces.min(0x20_0000) as u32;
    let mut trainer = UnigramTrainer::builder();
    let trainer = trainer.show_progress(false).vocab_size(size).build();
    let trainer = trainer.map_err(|error| fault("training", error))?;
    let counts = words.iter().map(|(word, &count)| (word.clone(), u32::try_from(count).unwrap_or(u32::MAX)));
    let mut model = Unigram::default();
    // The sums are cut by the number of threads, so it is always one.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let alone = alone.map_err(|error| fault("training", error))?;
    let counts = counts.collect();
    alone.install(|| trainer.do_train(counts, &mut model)).map_err(|error| fault("training", error))?;
    let mut found: Vec<(String, f64)> =
        model.iter().filter(|(piece, _)| !piece.is_empty() && piece != UNKNOWN).cloned().collect();
    settle_rare_characters(&mut found);
    found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    let lowest = found.last().map_or(0.0, |(_, score)| *score);
    let mut vocab = vec![(UNKNOWN.to_owned(), 0.0)];
    vocab.extend(found);
    vocab.extend(byte_pieces(byte_fallback).map(|piece| (piece, lowest - 10.0)));
    Ok(json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": byte_fallback}))
}

/// Gives the characters that no learnt piece covers their scores in the order of the alphabet.
///
/// The trainer gives them the lowest score, the lowest plus a ten-thousandth, and so on, in the order of a hash map.
fn settle_rare_characters(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let (mut above, mut next) = (0.0, lowest);
    let mut rare: Vec<usize> = Vec::new();
    loop {
        let is_next = |i: &usize| pieces[*i].1 == next && pieces[*i].0.chars().count() == 1;
        let found: Vec<usize> = (0..pieces.len()).filter(is_next).collect();
        if found.is_empty() {
            break;
        }
        rare.extend(found);
        above += 0.0001;
        next = lowest + above;
    }
    let scores: Vec<f64> = rare.iter().map(|&i| pieces[i].1).collect();
    let mut characters: Vec<String> = rare.iter().map(|&i| pieces[i].0.clone()).collect();
    characters.sort();
    for ((i, score), character) in rare.into_iter().zip(scores).zip(characters) {
        pieces[i] = (character, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] = [
        "the low tower is lower than the lowest tower",
        "newer towers are lower, newest towers lowest.",
        "我爱深度学习。深度学习很好。",
        "the newest of the new: slow, slower, slowest!",
        "我爱你",
    ];

    fn config(kind: SubwordKind, byte_fallback: bool) -> SubwordConfig {
        let pieces = 80 + if byte_fallback { 256 } else { 0 };
        SubwordConfig { kind, pieces, byte_fallback, form: Form::Nfkc, lowercase: false }
    }

    #[test]
    fn text_comes_back() {
        for kind in [SubwordKind::Bpe, SubwordKind::Unigram] {
            let subwords = Subwords::train(TEXTS, &config(kind, true)).unwrap();
            let rows = [
                ("the lowest tower.", "the lowest tower."),
                ("  slow \t new  ", "slow new"),
                ("我爱学习!", "我爱学习!"),
                ("ｆｕｌｌ wiﬁ", "full wifi"),
                ("emoji 👩‍🚀, й", "emoji 👩‍🚀, й"),
                ("", ""),
                (" \u{3000}", ""),
            ];
            for (text, want) in rows {
                let pieces = subwords.encode(text);
                assert_eq!(subwords.decode(&pieces), want, "{kind:?} {pieces:?}");
                assert!(!pieces.contains(&UNKNOWN.to_owned()), "{pieces:?}");
            }
            assert!(subwords.pieces().len() <= 80 + 256, "{subwords:?}");
        }
    }

    #[test]
    fn without_bytes_the_unknown_is_unknown() {
        for kind in [SubwordKind::Bpe, SubwordKind::Unigram] {
            let subwords = Subwords::train(TEXTS, &config(kind, false)).unwrap();
            let pieces = subwords.encode("low 👩");
            assert_eq!(pieces.last().map(String::as_str), Some(UNKNOWN), "{kind:?} {pieces:?}");
        }
    }

    #[test]
    fn the_same_text_in_any_order_gives_the_same_pieces() {
        for kind in [SubwordKind::Bpe, SubwordKind::Unigram] {
            let first = Subwords::train(TEXTS, &config(kind, true)).unwrap();
            for _ in 0..3 {
                let again = Subwords::train(TEXTS.iter().rev(), &config(kind, true)).unwrap();
                assert!(again == first, "{kind:?}: {} {}", again.to_json(), first.to_json());
            }
            let read = Subwords::from_json(first.to_json(), "tokenizer.json").unwrap();
            assert!(read == first);
        }
    }

    #[test]
    fn faults_are_told() {
        let error = Subwords::from_json("{}", "a.json").unwrap_err().to_string();
        assert!(error.starts_with("a.json: "), "{error}");
        assert!(Subwords::train([" "], &config(SubwordKind::Bpe, false)).is_err());
    }
}
