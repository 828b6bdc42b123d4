//! How a file of a data set becomes one that the config names.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// What happens to a file on its way into `data/`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View {
    /// Nothing: the bytes are the same.
    Same,
    /// The first lines.
    First(usize),
    /// The lines from there on.
    From(usize),
    /// Hangul syllables of the source are taken apart into letters (Unicode 16, section 3.12), each a character of its
    /// own, so that a syllable that was never seen is spelt with letters that were.
    Jamo,
    /// `lemma<TAB>features<TAB>form` becomes `characters and features<TAB>form`, the usual encoding of inflection: each
    /// character of the lemma is a word, then each feature is one.
    Inflection,
}

impl View {
    /// The contents of the new file.
    pub fn apply(self, path: &Path) -> Result<Vec<u8>> {
        let bytes = fs::read(path).map_err(Error::io("reading", path))?;
        if self == View::Same {
            return Ok(bytes);
        }
        let mut text = String::new();
        let read = match path.extension() {
            Some(gz) if gz == "gz" => MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text),
            _ => (&bytes[..]).read_to_string(&mut text),
        };
        read.map_err(Error::io("reading", path))?;
        let lines = text.lines();
        let lines: Vec<String> = match self {
            View::Same => Vec::new(),
            View::First(n) => lines.take(n).map(str::to_string).collect(),
            View::From(n) => lines.skip(n).map(str::to_string).collect(),
            View::Jamo => lines.map(jamo_line).collect(),
            View::Inflection => {
                let line = |(i, line): (usize, &str)| {
                    inflection_line(line).ok_or_else(|| Error::Content {
                        path: path.to_path_buf(),
                        expected: format!("lemma<TAB>features<TAB>form in line {}, found {line:?}", i + 1),
                    })
                };
                lines.enumerate().map(line).collect::<Result<_>>()?
            }
        };
        Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into_bytes())
    }
}

fn jamo_line(line: &str) -> String {
    let (source, rest) = line.split_at(line.find('\t').unwrap_or(line.len()));
    source.chars().flat_map(letters).chain(rest.chars()).collect()
}

/// The letters of a Hangul syllable (the arithmetic of the Unicode standard), and any other character as it is.
///
/// Lead and vowel are those of the block for compatibility, which stand alone: conjoining ones would be one character
/// for a reader, and so for a model of characters. The tail has nothing to join there, and differs from a lead.
fn letters(c: char) -> impl Iterator<Item = char> {
    const FIRST: u32 = 0xAC00;
    const SYLLABLES: u32 = 11172;
    const LEADS: [char; 19] = [
        'ㄱ', 'ㄲ', 'ㄴ', 'ㄷ', 'ㄸ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅃ', 'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅉ', 'ㅊ', 'ㅋ', 'ㅌ',
        'ㅍ', 'ㅎ',
    ];
    let index = (c as u32).wrapping_sub(FIRST);
    let letters = if index < SYLLABLES {
        let vowel = char::from_u32('ㅏ' as u32 + index % 588 / 28);
        let tail = Some(index % 28).filter(|tail| *tail > 0).and_then(|tail| char::from_u32(0x11A7 + tail));
        [Some(LEADS[index as usize / 588]), vowel, tail]
    } else {
        [Some(c), None, None]
    };
    letters.into_iter().flatten()
}

fn inflection_line(line: &str) -> Option<String> {
    let mut columns = line.split('\t');
    let (lemma, features, form) = (columns.next()?, columns.next()?, columns.next()?);
    // A blank inside a lemma is a symbol of its own; the mark is the one that pieces of words use for it.
    let characters = lemma.chars().map(|c| if c == ' ' { '▁'.to_string() } else { c.to_string() });
    let features = features.split([';', '(', ')', ',']).filter(|f| !f.is_empty()).map(|f| format!("<{f}>"));
    let source: Vec<String> = characters.chain(features).collect();
    Some(format!("{}\t{form}", source.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangul_is_taken_apart() {
        assert_eq!(jamo_line("한국 ok\t한"), "ㅎㅏ\u{11ab}ㄱㅜ\u{11a8} ok\t한");
        assert_eq!(jamo_line("가힣"), "ㄱㅏㅎㅣ\u{11c2}");
    }

    #[test]
    fn features_become_symbols() {
        let line = inflection_line("Abu Dabi\tN;ABL(PL;PSS(2,PL))\tAbu Dabilerinizden").unwrap();
        assert_eq!(line, "A b u ▁ D a b i <N> <ABL> <PL> <PSS> <2> <PL>\tAbu Dabilerinizden");
        assert_eq!(inflection_line("Haus\tN"), None);
    }
}
