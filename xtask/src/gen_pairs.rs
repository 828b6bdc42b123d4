//! `cargo xtask gen-pairs N FILE`: pairs of a made-up language and its translation, as many as are wanted.
//!
//! Words are drawn as in real text, few of them often and most of them seldom. The translation of a sentence has the
//! translations of its words, every two neighbours exchanged: nothing that a model could not learn, and not nothing.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Different words of each language.
const WORDS: usize = 20_000;
/// Words of a sentence.
const LENGTHS: std::ops::RangeInclusive<u64> = 4..=20;
/// The default seed.
const SEED: u64 = 1;

/// Writes the file.
///
/// # Errors
/// A wrong command line; a file that cannot be written.
pub fn run(args: &[OsString]) -> Result<()> {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let number = |text: &str, option| match text.replace('_', "").parse::<u64>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Error::Option { option, expected: "a whole number above 0", found: Some(text.to_owned()) }),
    };
    let (pairs, path, seed) = match words[..] {
        [pairs, path] => (number(pairs, "N")?, path, SEED),
        [pairs, path, "--seed", seed] => (number(pairs, "N")?, path, number(seed, "--seed")?),
        _ => {
            return Err(Error::Option {
                option: "gen-pairs",
                expected: "N FILE [--seed SEED], as in `gen-pairs 1_000_000 pairs.tsv`",
                found: None,
            });
        }
    };
    let path = Path::new(path);
    let file = File::create(path).map_err(Error::io("create", path))?;
    write(&mut BufWriter::with_capacity(1 << 20, file), pairs, seed).map_err(Error::io("write", path))
}

fn write(out: &mut impl Write, pairs: u64, seed: u64) -> std::io::Result<()> {
    let mut random = Random(seed);
    let (source, target): (Vec<String>, Vec<String>) =
        (0..WORDS).map(|i| (word(i, b"bdgklmnprstv", b"aeiou"), word(i, b"chfjqwxyzlnr", b"aeouy"))).unzip();
    let mut sentence = Vec::new();
    for _ in 0..pairs {
        sentence.clear();
        let length = LENGTHS.start() + random.below(LENGTHS.end() - LENGTHS.start() + 1);
        sentence.extend((0..length).map(|_| random.word()));
        say(out, &source, sentence.iter().copied())?;
        out.write_all(b"\t")?;
        sentence.chunks_mut(2).for_each(<[usize]>::reverse);
        say(out, &target, sentence.iter().copied())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn say(out: &mut impl Write, words: &[String], sentence: impl Iterator<Item = usize>) -> std::io::Result<()> {
    for (i, word) in sentence.enumerate() {
        if i > 0 {
            out.write_all(b" ")?;
        }
        out.write_all(words[word].as_bytes())?;
    }
    Ok(())
}

/// The word of a number: its digits in a number system whose digits are syllables.
fn word(mut number: usize, consonants: &[u8], vowels: &[u8]) -> String {
    let syllables = consonants.len() * vowels.len();
    let mut word = String::new();
    loop {
        let syllable = number % syllables;
        word.push(char::from(consonants[syllable / vowels.len()]));
        word.push(char::from(vowels[syllable % vowels.len()]));
        number /= syllables;
        if number == 0 {
            return word;
        }
        // Without this, `0` would be a digit that leads nowhere, and two numbers could have one word.
        number -= 1;
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A word whose number has an even logarithm: word 9 comes as often as words 90 to 99 together.
    fn word(&mut self) -> usize {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((WORDS as f64).powf(uniform) as usize - 1).min(WORDS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_differ_and_pairs_repeat_by_seed() {
        let words: HashSet<String> = (0..WORDS).map(|i| word(i, b"bdgklmnprstv", b"aeiou")).collect();
        assert_eq!(words.len(), WORDS);
        let text = |pairs, seed| {
            let mut bytes = Vec::new();
            write(&mut bytes, pairs, seed).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert!(text(50, 1).starts_with(&text(20, 1)));
        assert_ne!(text(20, 1), text(20, 2));
        for line in text(50, 3).lines() {
            let (source, target) = line.split_once('\t').unwrap();
            assert_eq!(source.split(' ').count(), target.split(' ').count());
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for args in [&["ten", "f.tsv"][..], &["0", "f.tsv"], &["5"], &["5", "f.tsv", "--sed", "3"]] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(run(&args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}
