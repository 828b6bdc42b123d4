//! What is kept of a `tokenizer.json`, so that text goes in and comes out whole and the same each time.

use serde_json::{Value, json};

use crate::subword::UNKNOWN;

/// Puts a file into the form in which it is used; the error is the reason why it cannot be.
///
/// - No truncation, no padding, no marks at the ends: the batch adds its own, and nothing is cut off.
/// - No dropout in the model, since it draws from a source that cannot be repeated.
/// - Tokens for the ends of a sentence and the like are no pieces: text that spells one is text.
/// - What no piece covers is `<unk>`, whatever the file called it; a model that would leave such text out gets that piece.
/// - There is a decoder, unless pieces are whole words.
///
/// A file in that form stays as it is.
pub(super) fn settle(file: &mut Value) -> Result<(), String> {
    let object = file.as_object_mut().ok_or("it holds no JSON object")?;
    for part in ["truncation", "padding", "post_processor"] {
        object.insert(part.to_owned(), Value::Null);
    }
    let model = object.get_mut("model").filter(|model| model.is_object()).ok_or("it holds no model")?;
    let unknown = match model_kind(model) {
        "BPE" => {
            model["dropout"] = Value::Null;
            name_unknown(model)?
        }
        "WordPiece" | "WordLevel" => name_unknown(model)?,
        "Unigram" => number_unknown(model)?,
        other => {
            return Err(format!(
                "its model is of the type {other}, which is none of BPE, Unigram, WordPiece, WordLevel"
            ));
        }
    };
    let words = model_kind(model) == "WordLevel";
    if let Some(added) = object.get_mut("added_tokens").and_then(Value::as_array_mut) {
        let is_special =
            |token: &Value| token["special"] == true || token["content"].as_str() == unknown.as_deref();
        added.retain(|token| !is_special(token));
    }
    if object.get("decoder").is_none_or(Value::is_null) && !words {
        return Err("it has no decoder, so that its pieces cannot be put together to text".to_owned());
    }
    Ok(())
}

/// The type of a model. Older files do not name it.
fn model_kind(model: &Value) -> &str {
    match model["type"].as_str() {
        Some(kind) => kind,
        None if model["merges"].is_array() => "BPE",
        None if model["vocab"].is_array() => "Unigram",
        None if model["max_input_chars_per_word"].is_number() => "WordPiece",
        None => "WordLevel",
    }
}

/// Where the vocabulary is a table of names: `<unk>` under the name [`UNKNOWN`]; what it was called.
fn name_unknown(model: &mut Value) -> Result<Option<String>, String> {
    let old = model["unk_token"].as_str().map(str::to_owned);
    let vocab = model["vocab"].as_object_mut().ok_or("its vocabulary is no table of names")?;
    let next = vocab.values().filter_map(Value::as_u64).max().map_or(0, |id| id + 1);
    let id = match old.as_deref() {
        Some(UNKNOWN) | None => vocab.get(UNKNOWN).cloned(),
        Some(_) if vocab.contains_key(UNKNOWN) => return Err(two_unknowns()),
        Some(name) => vocab.remove(name),
    };
    vocab.insert(UNKNOWN.to_owned(), id.unwrap_or_else(|| json!(next)));
    model["unk_token"] = json!(UNKNOWN);
    Ok(old)
}

/// Where the vocabulary is a list: the same.
fn number_unknown(model: &mut Value) -> Result<Option<String>, String> {
    let id = model["unk_id"].as_u64().map(|id| id as usize);
    let vocab = model["vocab"].as_array_mut().ok_or("its vocabulary is no list")?;
    let named = vocab.iter().position(|entry| entry[0] == UNKNOWN);
    let id = match (id, named) {
        (Some(id), _) if id >= vocab.len() => {
            return Err(format!("its unk_id is {id} of {} pieces", vocab.len()));
        }
        (Some(id), Some(named)) if named != id => return Err(two_unknowns()),
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => {
            vocab.push(json!([UNKNOWN, 0.0]));
            vocab.len() - 1
        }
    };
    let old = vocab[id][0].as_str().map(str::to_owned);
    // An entry of another shape is left for the reader of the vocabulary to refuse.
    if old.is_some() {
        vocab[id][0] = json!(UNKNOWN);
    }
    model["unk_id"] = json!(id);
    Ok(old)
}

fn two_unknowns() -> String {
    format!("it has a piece {UNKNOWN} beside the one that it calls unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(model: Value) -> Value {
        json!({
            "version": "1.0", "truncation": {"max_length": 8}, "padding": {}, "post_processor": {"type": "ByteLevel"},
            "added_tokens": [
                {"id": 0, "content": "[UNK]", "special": false}, {"id": 1, "content": "[CLS]", "special": true},
                {"id": 2, "content": "<mark>", "special": false},
            ],
            "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"}, "model": model,
        })
    }

    #[test]
    fn what_cannot_be_repeated_or_cuts_text_goes() {
        let bpe = json!({"type": "BPE", "dropout": 0.1, "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}, "merges": []});
        let mut settled = file(bpe);
        settle(&mut settled).unwrap();
        assert_eq!(settled["model"]["vocab"], json!({"<unk>": 0, "a": 1}));
        assert_eq!(
            (&settled["model"]["unk_token"], &settled["model"]["dropout"]),
            (&json!("<unk>"), &Value::Null)
        );
        assert_eq!(settled["added_tokens"], json!([{"id": 2, "content": "<mark>", "special": false}]));
        assert!(["truncation", "padding", "post_processor"].iter().all(|part| settled[part].is_null()));
        let once = settled.clone();
        settle(&mut settled).unwrap();
        assert_eq!(settled, once);
    }

    #[test]
    fn what_would_be_left_out_becomes_unknown() {
        let mut bpe = file(json!({"vocab": {"a": 4}, "merges": []}));
        settle(&mut bpe).unwrap();
        assert_eq!(bpe["model"]["vocab"], json!({"a": 4, "<unk>": 5}));
        let mut unigram = file(json!({"type": "Unigram", "unk_id": null, "vocab": [["a", -1.0]]}));
        settle(&mut unigram).unwrap();
        assert_eq!(
            (&unigram["model"]["unk_id"], &unigram["model"]["vocab"][1]),
            (&json!(1), &json!(["<unk>", 0.0]))
        );
    }

    #[test]
    fn what_cannot_be_carried_is_refused_with_the_reason() {
        let words = json!({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "<unk>": 1}});
        let rows = [
            (json!([]), "no JSON object"),
            (json!({}), "no model"),
            (file(json!({"type": "Neural"})), "of the type Neural"),
            (file(json!({"type": "BPE", "vocab": []})), "no table of names"),
            (file(json!({"type": "Unigram", "vocab": {}})), "is no list"),
            (file(json!({"type": "Unigram", "unk_id": 3, "vocab": [["a", 0.0]]})), "unk_id is 3 of 1 pieces"),
            (file(words), "beside the one that it calls unknown"),
        ];
        for (mut file, reason) in rows {
            let found = settle(&mut file).unwrap_err();
            assert!(found.contains(reason), "{reason}: {found}");
        }
        let mut mute = file(json!({"type": "BPE", "vocab": {"a": 0}, "merges": []}));
        mute["decoder"] = Value::Null;
        assert!(settle(&mut mute).unwrap_err().contains("no decoder"));
    }
}
