//! Counting what there is in a corpus, pair by pair.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;
use unicode_normalization::{IsNormalized, is_nfc_quick};

use crate::filter::{Measured, Texts, pair_hash};
use crate::script;
use crate::stream::Chunk;
use crate::tokenize::Tokenizer;

/// Longer texts are counted as this long.
const LONGEST: usize = 100_000;
/// Pairs that a thread looks at in one go.
const RUN: usize = 1 << 10;

/// Numbers with how often each was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram(BTreeMap<u32, u64>);

impl Histogram {
    fn add(&mut self, value: usize) {
        *self.0.entry(value.min(LONGEST) as u32).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(value, n)| *self.0.entry(value).or_default() += n);
    }

    /// The smallest value that a share of all values does not exceed; 0 without values.
    pub(super) fn quantile(&self, share: f64) -> u32 {
        let all: u64 = self.0.values().sum();
        let wanted = (share * all as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.0.iter().find(|(_, n)| {
            seen += **n;
            seen >= wanted
        });
        at.map_or(0, |(value, _)| *value)
    }

    /// How many values are above `value`.
    pub(super) fn above(&self, value: u32) -> u64 {
        self.0.range(value.saturating_add(1)..).map(|(_, n)| n).sum()
    }
}

/// What was seen of one side.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    /// Tokens of each text, and its tags; words, at the levels of pieces.
    pub(super) lengths: Histogram,
    /// The most tokens that a text has without its tags.
    pub(super) longest: usize,
    /// Letters of each script.
    pub(super) scripts: BTreeMap<&'static str, u64>,
    /// Texts with U+FFFD, which stands where a conversion has failed.
    pub(super) replaced: u64,
    /// Texts that look like UTF-8 which was read as Latin-1 or Windows-1252.
    pub(super) twice_encoded: u64,
    /// Texts with control characters other than tabs.
    pub(super) controls: u64,
    /// Texts that are not in normal form C.
    pub(super) not_nfc: u64,
    /// Texts with HTML entities or tags.
    pub(super) markup: u64,
}

impl Side {
    /// Looks at a text without its tags.
    fn see(&mut self, text: &str, measured: &Measured) {
        self.lengths.add(measured.tokens + measured.tags);
        self.longest = self.longest.max(measured.tokens);
        script::letters(text).for_each(|script| *self.scripts.entry(script).or_default() += 1);
        let count = |counter: &mut u64, is_so: bool| *counter += u64::from(is_so);
        count(&mut self.controls, text.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f));
        count(&mut self.markup, has_markup(text));
        if !text.is_ascii() {
            count(&mut self.replaced, text.contains('\u{FFFD}'));
            count(&mut self.twice_encoded, is_twice_encoded(text));
            count(&mut self.not_nfc, is_nfc_quick(text.chars()) == IsNormalized::No);
        }
    }

    fn merge(&mut self, other: Self) {
        self.lengths.merge(other.lengths);
        self.longest = self.longest.max(other.longest);
        other.scripts.into_iter().for_each(|(script, n)| *self.scripts.entry(script).or_default() += n);
        self.replaced += other.replaced;
        self.twice_encoded += other.twice_encoded;
        self.controls += other.controls;
        self.not_nfc += other.not_nfc;
        self.markup += other.markup;
    }
}

/// `Ã©` for `é`, `â€™` for `’`: the bytes of UTF-8 as letters of Latin-1 or Windows-1252.
fn is_twice_encoded(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let found = matches!(before, 'Ã' | 'Â') && ('\u{80}'..='\u{BF}').contains(&c) && c != '\u{A0}'
            || before == 'â' && matches!(c, '€' | '\u{80}' | '„');
        before = c;
        found
    })
}

fn has_markup(text: &str) -> bool {
    const ENTITIES: [&str; 6] = ["&amp;", "&lt;", "&gt;", "&quot;", "&nbsp;", "&#"];
    const TAGS: [&str; 6] = ["<br", "<p>", "</", "<i>", "<b>", "<a href"];
    text.contains('&') && ENTITIES.iter().any(|entity| text.contains(entity))
        || text.contains('<') && TAGS.iter().any(|tag| text.contains(tag))
}

/// What was seen of the pairs.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) pairs: u64,
    pub(super) sides: [Side; 2],
    /// Ten times the ratio of the longer side to the shorter one.
    pub(super) ratios: Histogram,
    /// Pairs whose sides are the same text.
    pub(super) copies: u64,
    /// Pairs that came before.
    pub(super) duplicates: u64,
    /// Pairs with a new target to a source that came before.
    pub(super) alternatives: u64,
    /// Pairs whose source is in dev or test.
    pub(super) leaks: u64,
    seen: HashSet<u64>,
    sources: HashSet<u64>,
}

impl Survey {
    /// Looks at the pairs of a chunk that training would see.
    pub(super) fn see(
        &mut self,
        chunk: &Chunk,
        (src, tgt): (&Tokenizer, &Tokenizer),
        seed: u64,
        is_training: impl Fn(u64) -> bool + Sync,
        is_held_out: impl Fn(u64) -> bool,
    ) {
        let starts: Vec<usize> = (0..chunk.len()).step_by(RUN).collect();
        let look = |&from: &usize| {
            let (mut sides, mut ratios, mut copies, mut hashes) =
                <([Side; 2], Histogram, u64, Vec<(u64, u64)>)>::default();
            for i in from..(from + RUN).min(chunk.len()) {
                let (source, target, _) = chunk.get(i);
                let (s, t) = (Measured::of(seed, src, source), Measured::of(seed, tgt, target));
                if !is_training(s.hash) {
                    continue;
                }
                let texts = Texts::of(src, source, target);
                sides[0].see(texts.src, &s);
                sides[1].see(texts.tgt, &t);
                let (short, long) = (s.tokens.min(t.tokens), s.tokens.max(t.tokens));
                if let Some(ratio) = (10 * long).checked_div(short) {
                    ratios.add(ratio);
                    copies += u64::from(texts.is_copy());
                    hashes.push((s.hash, pair_hash(s.hash, t.hash)));
                }
            }
            (sides, ratios, copies, hashes)
        };
        let looks: Vec<_> = starts.par_iter().map(look).collect();
        for ([s, t], ratios, copies, hashes) in looks {
            self.sides[0].merge(s);
            self.sides[1].merge(t);
            self.ratios.merge(ratios);
            self.copies += copies;
            for (source, pair) in hashes {
                self.leaks += u64::from(is_held_out(source));
                let is_new = self.seen.insert(pair);
                self.duplicates += u64::from(!is_new);
                self.alternatives += u64::from(!self.sources.insert(source) && is_new);
            }
        }
        self.pairs += chunk.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let mut lengths = Histogram::default();
        assert_eq!(lengths.quantile(0.5), 0);
        (1..=100).for_each(|n| lengths.add(n));
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| lengths.quantile(share)), [1, 50, 99, 100]);
        assert_eq!((lengths.above(90), lengths.above(100)), (10, 0));
    }

    #[test]
    fn broken_text_is_told_from_good() {
        for (text, broken) in [
            ("cafÃ©", true),
            ("itâ€™s", true),
            ("Â»Zitat", true),
            ("São Paulo, Ânimo, château", false),
            ("naïve £5", false),
        ] {
            assert_eq!(is_twice_encoded(text), broken, "{text}");
        }
        for (text, marked) in [("a &amp; b", true), ("x<br>", true), ("a < b & c", false), ("AT&T", false)] {
            assert_eq!(has_markup(text), marked, "{text}");
        }
    }
}
