//! Codes of subword-nmt (Sennrich et al. 2016) as a `tokenizer.json`.
//!
//! A line is a pair of pieces that are merged, the most frequent first; `</w>` ends a piece that ends a word. The file says
//! nothing about single characters, so those that are pieces come from the pairs and from texts given beside it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::{UNKNOWN, file_of, single_spaces};

/// What ends a piece that ends a word.
const END: &str = "</w>";

/// The first line of a file of codes.
const VERSION: &str = "#version:";

/// Whether a text looks like codes.
pub(super) fn is_codes(text: &str) -> bool {
    text.starts_with(VERSION)
}

/// The `tokenizer.json` that does what the codes do; the error is the reason why there is none.
pub(super) fn convert(text: &str, alphabet: &[String]) -> Result<Value, String> {
    let mut lines = text.lines().map(|line| line.trim_end_matches(['\r', '\n', ' ']));
    let version = lines.next().and_then(|line| line.strip_prefix(VERSION)).map(str::trim);
    if version != Some("0.2") {
        let found = version.unwrap_or("missing");
        return Err(format!("its version is {found}, and only 0.2 marks the ends of words in the pairs"));
    }
    let mut merges: Vec<[&str; 2]> = Vec::new();
    let mut seen = HashSet::new();
    for (line, text) in lines.enumerate().filter(|(_, text)| !text.is_empty()) {
        let (left, right) = text
            .split_once(' ')
            .filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
            .ok_or_else(|| format!("line {} is no pair: {text:?}", line + 2))?;
        // Of a pair that is there twice the first counts.
        if seen.insert([left, right]) {
            merges.push([left, right]);
        }
    }
    let characters =
        merges.iter().flatten().flat_map(|piece| piece.strip_suffix(END).unwrap_or(piece).chars());
    let characters = characters.chain(alphabet.iter().flat_map(|text| text.chars()));
    let characters: BTreeSet<char> = characters.filter(|c| !c.is_whitespace()).collect();
    let single = characters.iter().flat_map(|c| [c.to_string(), format!("{c}{END}")]);
    let merged = merges.iter().map(|pair| pair.concat());
    let mut vocab: HashMap<String, usize> = HashMap::from([(UNKNOWN.to_owned(), 0)]);
    for piece in single.chain(merged) {
        let next = vocab.len();
        vocab.entry(piece).or_insert(next);
    }
    if let Some(part) = merges.iter().flatten().find(|part| !vocab.contains_key(**part)) {
        return Err(format!("no pair before it makes the piece {part:?}"));
    }
    Ok(file_of(
        single_spaces().into(),
        json!({"type": "WhitespaceSplit"}),
        json!({"type": "BPEDecoder", "suffix": END}),
        json!({
            "type": "BPE", "dropout": null, "unk_token": UNKNOWN, "continuing_subword_prefix": null,
            "end_of_word_suffix": END, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_codes_is_refused_by_line() {
        let rows = [
            ("", "version is missing"),
            ("#version: 0.1\na b\n", "version is 0.1"),
            ("#version: 0.2\na b\nab\n", "line 3 is no pair"),
            ("#version: 0.2\na b c\n", "line 2 is no pair"),
            ("#version: 0.2\nab c\n", "no pair before it makes the piece \"ab\""),
        ];
        for (text, reason) in rows {
            let found = convert(text, &[]).unwrap_err();
            assert!(found.contains(reason), "{text:?}: {found}");
        }
        let file = convert("#version: 0.2\r\na b</w>\r\na b</w>\n\n", &["ç".to_owned()]).unwrap();
        assert_eq!(file["model"]["merges"], json!([["a", "b</w>"]]));
        assert!(
            ["a", "b</w>", "ab</w>", "ç", "ç</w>"]
                .iter()
                .all(|piece| file["model"]["vocab"][piece].is_number())
        );
    }
}
