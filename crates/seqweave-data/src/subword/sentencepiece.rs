//! A SentencePiece `.model` as a `tokenizer.json`.
//!
//! The file is a message of protocol buffers. Fields that are read, by number:
//!
//! | message | fields |
//! |---|---|
//! | model | 1 pieces, 2 how it was trained, 3 normal form, 5 the form of what comes out |
//! | piece | 1 text, 2 score (f32), 3 kind |
//! | how it was trained | 3 kind of model, 24 whether spaces end a word, 35 byte fallback |
//! | normal form | 2 table, 3 whether a space is put in front, 4 whether extra spaces go, 5 whether a space is written `▁` |

use std::collections::HashMap;

use serde_json::{Value, json};

use super::charsmap::{Charsmap, to_base64};
use super::protobuf::{Field, fields};
use super::{UNKNOWN, file_of};

/// The mark that stands for a space.
const SPACE: &str = "▁";

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    /// `<s>` and the like, which no text reaches.
    Control,
    /// A symbol that is one piece wherever it stands.
    User,
    Unused,
    Byte,
}

struct Piece<'a> {
    text: &'a str,
    score: f32,
    kind: Kind,
}

struct Model<'a> {
    pieces: Vec<Piece<'a>>,
    /// 1 Unigram, 2 BPE, 3 words, 4 characters.
    kind: u64,
    suffix: bool,
    table: &'a [u8],
    prefix: bool,
    squeeze: bool,
    escape: bool,
    denormalizes: bool,
}

/// The `tokenizer.json` that does what the model does; the error is the reason why there is none.
pub(super) fn convert(bytes: &[u8]) -> Result<Value, String> {
    let model = read(bytes).ok_or("it is no whole SentencePiece model")?;
    if model.suffix {
        return Err(
            "it writes a space after a word (treat_whitespace_as_suffix), which cannot be carried".into()
        );
    }
    if !model.escape {
        return Err(
            "it keeps spaces as they are (escape_whitespaces is false), which cannot be carried".into()
        );
    }
    if model.denormalizes {
        return Err("it rewrites what comes out (denormalizer_spec), which cannot be carried".into());
    }
    let has_bytes = model.pieces.iter().any(|piece| piece.kind == Kind::Byte);
    let (table, cut) = match model.kind {
        1 => unigram(&model, has_bytes)?,
        2 => bpe(&model, has_bytes)?,
        3 => return Err("its pieces are whole words (model_type word); use level = \"word\" instead".into()),
        4 => return Err("its pieces are characters (model_type char); use level = \"char\" instead".into()),
        other => return Err(format!("its model_type {other} is not known")),
    };
    let cut = match cut {
        true => {
            json!({"type": "Split", "pattern": {"String": SPACE}, "behavior": "MergedWithNext", "invert": false})
        }
        false => Value::Null,
    };
    let decoder = json!({"type": "Sequence", "decoders": decoders(&model, has_bytes)});
    Ok(file_of(normalizers(&model)?, cut, decoder, table))
}

fn read(bytes: &[u8]) -> Option<Model<'_>> {
    let mut model = Model {
        pieces: Vec::new(),
        kind: 1,
        suffix: false,
        table: &[],
        prefix: true,
        squeeze: true,
        escape: true,
        denormalizes: false,
    };
    for (number, field) in fields(bytes)? {
        match number {
            1 => model.pieces.push(piece(field)?),
            2 => {
                for (number, field) in fields(field.bytes()?)? {
                    match number {
                        3 => model.kind = field.number()?,
                        24 => model.suffix = field.number()? != 0,
                        _ => {}
                    }
                }
            }
            3 => {
                for (number, field) in fields(field.bytes()?)? {
                    match number {
                        2 => model.table = field.bytes()?,
                        3 => model.prefix = field.number()? != 0,
                        4 => model.squeeze = field.number()? != 0,
                        5 => model.escape = field.number()? != 0,
                        _ => {}
                    }
                }
            }
            5 => {
                let table = fields(field.bytes()?)?.into_iter().find(|(number, _)| *number == 2);
                model.denormalizes =
                    table.and_then(|(_, field)| field.bytes()).is_some_and(|table| !table.is_empty());
            }
            _ => {}
        }
    }
    (!model.pieces.is_empty()).then_some(model)
}

fn piece(field: Field<'_>) -> Option<Piece<'_>> {
    let mut piece = Piece { text: "", score: 0.0, kind: Kind::Normal };
    for (number, field) in fields(field.bytes()?)? {
        match number {
            1 => piece.text = field.text()?,
            2 => piece.score = field.float().filter(|score| score.is_finite())?,
            3 => {
                piece.kind = match field.number()? {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::User,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    (!piece.text.is_empty()).then_some(piece)
}

/// The model, and whether text may be cut before each space: no piece goes on after one.
type Table = (Value, bool);

/// Pieces with their scores. Those of bytes get the lowest, so that no text that spells one becomes it.
fn unigram(model: &Model<'_>, has_bytes: bool) -> Result<Table, String> {
    let scores =
        || model.pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|piece| f64::from(piece.score));
    let (lowest, highest) = (scores().fold(0.0, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
    let table = Charsmap::new(model.table).ok();
    let mut vocab = vec![json!([UNKNOWN, 0.0])];
    for piece in &model.pieces {
        let score = match piece.kind {
            Kind::Normal => f64::from(piece.score),
            Kind::Byte => lowest,
            Kind::User if table.as_ref().is_some_and(|table| table.apply(piece.text) != piece.text) => {
                return Err(format!("its normal form changes its own symbol {:?}", piece.text));
            }
            // As SentencePiece does: no other way through these characters is better.
            Kind::User => piece.text.len() as f64 * highest - 0.1,
            Kind::Unknown | Kind::Control | Kind::Unused => continue,
        };
        vocab.push(json!([piece.text, score]));
    }
    let cut = may_cut(model);
    Ok((json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": has_bytes}), cut))
}

/// Pieces with the pairs that they are merged from: every way to cut a piece in two pieces, the best piece first.
fn bpe(model: &Model<'_>, has_bytes: bool) -> Result<Table, String> {
    if let Some(piece) = model.pieces.iter().find(|piece| matches!(piece.kind, Kind::User | Kind::Unused)) {
        let kind = if piece.kind == Kind::User { "a symbol of the user" } else { "not used" };
        return Err(format!("its piece {:?} is {kind}, which a BPE model here cannot carry", piece.text));
    }
    let mut vocab: HashMap<&str, usize> = HashMap::from([(UNKNOWN, 0)]);
    let normal: Vec<&Piece<'_>> = model.pieces.iter().filter(|piece| piece.kind == Kind::Normal).collect();
    for piece in model.pieces.iter().filter(|piece| matches!(piece.kind, Kind::Normal | Kind::Byte)) {
        let next = vocab.len();
        if vocab.insert(piece.text, next).is_some() {
            return Err(format!("it has the piece {:?} twice", piece.text));
        }
    }
    let is_piece: HashMap<&str, f32> = normal.iter().map(|piece| (piece.text, piece.score)).collect();
    let mut best = normal;
    best.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut merges = Vec::new();
    for piece in best {
        for (at, _) in piece.text.char_indices().skip(1) {
            let (left, right) = piece.text.split_at(at);
            if is_piece.contains_key(left) && is_piece.contains_key(right) {
                merges.push(json!([left, right]));
            }
        }
    }
    let file = json!({
        "type": "BPE", "dropout": null, "unk_token": UNKNOWN, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": has_bytes, "ignore_merges": false,
        "vocab": vocab, "merges": merges,
    });
    Ok((file, may_cut(model)))
}

fn may_cut(model: &Model<'_>) -> bool {
    let used = || model.pieces.iter().filter(|piece| matches!(piece.kind, Kind::Normal | Kind::User));
    let goes_on = |piece: &Piece<'_>| {
        piece.text.char_indices().skip(1).any(|(at, _)| piece.text[at..].starts_with(SPACE))
    };
    used().any(|piece| piece.text == SPACE) && !used().any(goes_on)
}

/// The normal form: the table, then spaces.
fn normalizers(model: &Model<'_>) -> Result<Vec<Value>, String> {
    let replace =
        |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let mut steps = Vec::new();
    if !model.table.is_empty() {
        Charsmap::new(model.table).map_err(|why| format!("its table of characters: {why}"))?;
        steps.push(json!({"type": "Precompiled", "precompiled_charsmap": to_base64(model.table)}));
    }
    if model.squeeze {
        steps.push(replace(json!({"Regex": " +"}), " "));
        steps.push(replace(json!({"Regex": "^ "}), ""));
    }
    steps.push(replace(json!({"String": " "}), SPACE));
    if model.prefix {
        steps.push(json!({"type": "Prepend", "prepend": SPACE}));
    }
    if model.squeeze {
        steps.push(replace(json!({"Regex": format!("{SPACE}+$")}), ""));
    }
    Ok(steps)
}

/// From pieces to text: the way back.
fn decoders(model: &Model<'_>, has_bytes: bool) -> Vec<Value> {
    let mut steps = vec![json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "})];
    if has_bytes {
        steps.push(json!({"type": "ByteFallback"}));
    }
    steps.push(json!({"type": "Fuse"}));
    // Where extra spaces go, none is left at the front; else the one that was put there goes.
    if model.prefix || model.squeeze {
        let start = if model.squeeze { u32::MAX } else { 1 };
        steps.push(json!({"type": "Strip", "content": " ", "start": start, "stop": 0}));
    }
    steps
}
