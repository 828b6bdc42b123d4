//! Pairs back into files from which the same pairs are read.

use serde::Serialize;

use super::Pair;

/// Pairs as the text of a TSV file, if each is the same when it is read back; `tags` says whether the source has a column of
/// them.
///
/// A text with a tab or a line break of its own has no place there; [`to_jsonl`] takes any.
pub fn to_tsv(pairs: &[Pair], tags: bool) -> Option<String> {
    let columns = usize::from(tags);
    let fits = |pair: &Pair| {
        // A carriage return at the end would be part of the line's ending.
        let is_line = |text: &str| !text.contains('\n') && !text.ends_with('\r');
        let is_cell = pair.src.matches('\t').count() == columns && !pair.tgt.contains('\t');
        is_cell && is_line(&pair.src) && is_line(&pair.tgt)
    };
    // A mark of the byte order is dropped at the start of a file.
    let is_marked = pairs.first().is_some_and(|pair| pair.src.starts_with('\u{feff}'));
    let lines = || pairs.iter().map(|pair| format!("{}\t{}\n", pair.src, pair.tgt));
    (!is_marked && pairs.iter().all(fits)).then(|| lines().collect())
}

/// Pairs as the text of a file of JSON Lines with the fields `src` and `tgt`.
pub fn to_jsonl(pairs: &[Pair]) -> String {
    #[derive(Serialize)]
    struct Line<'p> {
        src: &'p str,
        tgt: &'p str,
    }
    let mut text = String::new();
    for Pair { src, tgt, .. } in pairs {
        text.push_str(&serde_json::to_string(&Line { src, tgt }).expect("texts are always JSON"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{SourceSpec, pairs};

    #[test]
    fn what_is_written_is_read_back_or_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let texts = [
            "a b",
            "",
            "a\tN;PL",
            "a\tb\tN",
            "a\nb",
            "a\r",
            "a\rb",
            "\u{feff}a",
            "\t",
            "\"",
            "\\n",
            "a\u{2028}",
        ];
        let read = |name: &str, text: String, tags| -> Vec<(String, String)> {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let read = pairs(&SourceSpec::file(path)).unwrap().with_tags(tags);
            read.map(|pair| pair.map(|pair| (pair.src, pair.tgt)).unwrap()).collect()
        };
        let mut refused = 0;
        for (src, tgt) in texts.iter().flat_map(|src| texts.map(|tgt| (*src, tgt))) {
            let pair = Pair { src: src.to_owned(), tgt: tgt.to_owned(), line: 1 };
            let is = vec![(pair.src.clone(), pair.tgt.clone())];
            let pair = [pair];
            assert_eq!(read("pairs.jsonl", to_jsonl(&pair), false), is);
            for tags in [false, true] {
                match to_tsv(&pair, tags) {
                    Some(text) => assert_eq!(read("pairs.tsv", text, tags), is, "{tags} {is:?}"),
                    None => refused += 1,
                }
            }
        }
        assert_eq!(refused, 288 - 6 * 7 - 2 * 7, "pairs that need JSON");
        assert_eq!(to_tsv(&[], false).as_deref(), Some(""));
    }
}
