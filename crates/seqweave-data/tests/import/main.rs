//! Tokenizer files of other programs: the pieces and the text that those programs make of hard lines.
//!
//! `generate.py` beside this file makes the files and `fixtures/expected.json` with the Python packages.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use seqweave_data::{Error, Origin, Subwords};
use serde_json::Value;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures").join(name);
    let bytes = fs::read(&path).expect(name);
    if !name.ends_with(".gz") {
        return bytes;
    }
    let mut whole = Vec::new();
    GzDecoder::new(&bytes[..]).read_to_end(&mut whole).expect(name);
    whole
}

fn import(bytes: &[u8], alphabet: &[String]) -> Result<Subwords, Error> {
    Subwords::import(&Origin { bytes, name: "file", program: None, alphabet })
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn pieces_and_texts_are_those_of_the_program() {
    let expected: Value = serde_json::from_slice(&fixture("expected.json")).expect("JSON");
    let mut wrong = Vec::new();
    for (name, want) in expected["files"].as_object().expect("a table") {
        let codes = name == "codes.bpe";
        let lines = strings(&expected[if codes { "spaced" } else { "lines" }]);
        let subwords = import(&fixture(name), if codes { &lines } else { &[] }).expect(name);
        // What is written is read again as the same.
        let again = Subwords::from_json(subwords.to_json(), name).expect(name);
        assert!(again == subwords, "{name}");
        for (i, line) in lines.iter().enumerate() {
            let pieces = again.encode(line);
            // What is unknown has one name here.
            let known = |piece: String| if piece == "[UNK]" { "<unk>".to_owned() } else { piece };
            let want_pieces: Vec<String> = strings(&want["pieces"][i]).into_iter().map(known).collect();
            if pieces != want_pieces {
                wrong.push(format!("{name}: {line:?}\n  found  {pieces:?}\n  wanted {want_pieces:?}"));
            }
            let text = again.decode(&pieces);
            let want_text = want["texts"][i].as_str().expect("a text").replace("[UNK]", "<unk>");
            if text != want_text {
                wrong.push(format!("{name}: {line:?}\n  found  {text:?}\n  wanted {want_text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_damage_is_a_panic() {
    for name in ["bare.model.gz", "symbols.model.gz", "codes.bpe", "word_piece.json"] {
        let whole = fixture(name);
        for cut in (0..whole.len()).step_by(whole.len() / 60 + 1) {
            // A part may be a smaller file of its kind; then it is one that can be used.
            if let Ok(subwords) = import(&whole[..cut], &[]) {
                subwords.encode("a tower");
            }
            let mut bent = whole.clone();
            bent[cut] ^= 0x5A;
            if let Ok(subwords) = import(&bent, &[]) {
                let pieces = subwords.encode("a tower <sep> 雪");
                subwords.decode(&pieces);
            }
        }
    }
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_reason() {
    let rows: [(&[u8], &str); 4] = [
        (b"", "looks like none of"),
        (b"PK\x03\x04", "looks like none of"),
        (b"#version: 0.1\na b\n", "its version is 0.1"),
        (b"\x0A\x80", "no whole SentencePiece model"),
    ];
    for (bytes, reason) in rows {
        let message = import(bytes, &[]).expect_err(reason).to_string();
        assert!(message.starts_with("file: cannot import: ") && message.contains(reason), "{message}");
        assert!(message.contains("help: "), "{message}");
    }
    // One piece, and how it was trained: characters; spaces after words.
    let head = b"\x0A\x05\x0A\x03abc\x12";
    let trained: [(&[u8], &str); 2] =
        [(b"\x02\x18\x04", "model_type char"), (b"\x03\xC0\x01\x01", "treat_whitespace_as_suffix")];
    for (part, reason) in trained {
        let message = import(&[head, part].concat(), &[]).expect_err(reason).to_string();
        assert!(message.contains(reason), "{message}");
    }
}
