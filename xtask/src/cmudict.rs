//! CMUdict as the corpus of the main job: where it is, how it is read, how it is split.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::workspace;

/// The dictionary file, inside the package `cmudict-fast` that cargo has fetched. Nothing is copied into the repository.
pub fn locate() -> Result<PathBuf> {
    let metadata = workspace::dependencies()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|package| package["name"] == "cmudict-fast")
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or(Error::NoPackage {
            name: "cmudict-fast",
            next: "it is a dependency of xtask/Cargo.toml; restore that line",
        })?;
    let path = Path::new(manifest).with_file_name("resources").join("cmudict.dict");
    if path.is_file() {
        return Ok(path);
    }
    let next = "`cargo clean` does not restore it; remove the package's folder, then run `cargo fetch`";
    Err(Error::Missing { what: "CMUdict", path, next })
}

/// A word and its pronunciation, phonemes without stress separated by spaces: `("abbe", "AE B EY")`.
pub type Line = (String, String);

/// Reads the dictionary.
///
/// A line is `word PH PH1 PH0 # comment`; `word(2)` is another pronunciation of `word`; `;;;` starts a comment line.
/// Stress digits are dropped, and with them the pronunciations that differ in stress alone.
/// Words with anything but a to z and the apostrophe are skipped.
pub fn parse(text: &str) -> Vec<Line> {
    let mut seen = HashSet::new();
    text.lines().filter_map(parse_line).filter(|line| seen.insert(line.clone())).collect()
}

fn parse_line(line: &str) -> Option<Line> {
    if line.starts_with(";;;") {
        return None;
    }
    let line = line.split_once('#').map_or(line, |(before, _)| before);
    let mut fields = line.split_whitespace();
    let word = fields.next()?;
    let word = word.split_once('(').map_or(word, |(word, _)| word);
    if !word.bytes().all(|b| b.is_ascii_lowercase() || b == b'\'') {
        return None;
    }
    let phonemes: Vec<&str> = fields.map(|ph| ph.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    (!phonemes.is_empty()).then(|| (word.into(), phonemes.join(" ")))
}

/// The three parts of the corpus. All lines of a word are in the same part.
#[derive(Debug, Default, PartialEq)]
pub struct Split {
    pub train: Vec<Line>,
    pub dev: Vec<Line>,
    pub test: Vec<Line>,
    /// Words that would have been trained on, had they not to be left out.
    pub left_out: usize,
}

/// One word in this many goes to the test part, and one to the dev part: about 600 of CMUdict each.
const SHARE: u64 = 200;

/// Splits by a hash of the word, so that a word stays in its part whatever else is in the dictionary.
/// Words of `leave_out` never go to the training part.
pub fn split(lines: Vec<Line>, leave_out: &HashSet<String>) -> Split {
    let mut split = Split::default();
    let mut left_out = HashSet::new();
    for (word, phonemes) in lines {
        let part = match hash(&word) % SHARE {
            0 => &mut split.test,
            1 => &mut split.dev,
            _ if leave_out.contains(&word) => {
                left_out.insert(word);
                continue;
            }
            _ => &mut split.train,
        };
        part.push((word, phonemes));
    }
    split.left_out = left_out.len();
    split
}

/// `n` words of a part with all their pronunciations: those with the smallest hashes, so none is picked by taste.
pub fn sample(lines: &[Line], n: usize, keep: impl Fn(&str) -> bool) -> Vec<(String, Vec<String>)> {
    let mut words: BTreeMap<(u64, &str), Vec<String>> = BTreeMap::new();
    for (word, phonemes) in lines.iter().filter(|(word, _)| keep(word)) {
        words.entry((hash(word), word)).or_default().push(phonemes.clone());
    }
    words.into_iter().take(n).map(|((_, word), phonemes)| (word.into(), phonemes)).collect()
}

/// FNV-1a, its bits then mixed well enough that the remainder by any number is uniform.
fn hash(word: &str) -> u64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let h = word.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// The lines as TSV, `word<TAB>phonemes`.
pub fn to_tsv(lines: &[Line]) -> String {
    lines.iter().map(|(word, phonemes)| format!("{word}\t{phonemes}\n")).collect()
}

/// The first column of a TSV file in lower case: the words of somebody else's test set.
pub fn words_of_tsv(text: &str) -> HashSet<String> {
    text.lines().filter_map(|line| line.split('\t').next()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(word: &str, phonemes: &str) -> Line {
        (word.into(), phonemes.into())
    }

    #[test]
    fn the_format_is_read() {
        let text = ";;; comment\nabbe AE1 B IY0\nabbe(2) AE0 B EY1\nabbe(3) AE2 B IY1\n\n\
                    'bout B AW1 T # colloquial\nx-ray EH1 K S R EY2\na.m. EY2 EH1 M\nhiv EY1 CH # abbrev\nempty\n";
        let want = [
            line("abbe", "AE B IY"),
            line("abbe", "AE B EY"), // and not a third: it differs from the first in stress alone
            line("'bout", "B AW T"),
            line("hiv", "EY CH"),
        ];
        assert_eq!(parse(text), want);
    }

    #[test]
    fn words_keep_to_one_part() {
        let lines: Vec<Line> = (0..20_000).map(|i| line(&format!("w{}", i / 2), &format!("P{i}"))).collect();
        let whole = split(lines.clone(), &HashSet::new());
        for part in [&whole.dev, &whole.test] {
            assert!((60..140).contains(&part.len()), "{} lines are not about 2/200", part.len());
            for pair in part.chunks(2) {
                assert_eq!(pair[0].0, pair[1].0, "both lines of a word are in the part");
            }
        }
        assert_eq!(whole.train.len() + whole.dev.len() + whole.test.len(), lines.len());
        // A smaller dictionary: the same words where they were.
        let half = split(lines[..10_000].to_vec(), &HashSet::new());
        assert_eq!(half.test, whole.test[..half.test.len()]);
        assert_eq!(whole.left_out, 0);
    }

    #[test]
    fn words_can_be_left_out_of_training_only() {
        let lines: Vec<Line> = (0..5000).map(|i| line(&format!("w{i}"), "P")).collect();
        let whole = split(lines.clone(), &HashSet::new());
        let leave_out = words_of_tsv(&format!(
            "{}\tP\nnot-there\tP\n{}\tP\n",
            whole.train[0].0.to_uppercase(),
            whole.test[0].0
        ));
        let less = split(lines, &leave_out);
        assert_eq!(less.left_out, 1);
        assert_eq!(less.train, whole.train[1..]);
        assert_eq!((less.dev, less.test), (whole.dev, whole.test));
    }

    #[test]
    fn samples_hold_every_pronunciation() {
        let lines = [line("ab", "A B"), line("c'd", "C D"), line("ab", "A P"), line("ef", "E F")];
        let sampled = sample(&lines, 2, |word| !word.contains('\''));
        let mut words: Vec<_> = sampled.iter().map(|(word, _)| word.as_str()).collect();
        words.sort_unstable();
        assert_eq!(words, ["ab", "ef"]);
        assert!(sampled.contains(&("ab".into(), vec!["A B".into(), "A P".into()])));
        assert_eq!(sample(&lines, 1, |_| true).len(), 1);
    }

    #[test]
    fn the_package_holds_the_dictionary() {
        let text = std::fs::read_to_string(locate().unwrap()).unwrap();
        let split = split(parse(&text), &HashSet::new());
        let words = |lines: &[Line]| lines.iter().map(|line| line.0.clone()).collect::<HashSet<_>>().len();
        assert!(words(&split.train) > 100_000);
        for part in [&split.dev, &split.test] {
            assert!((550..650).contains(&words(part)), "{} words", words(part));
        }
    }
}
