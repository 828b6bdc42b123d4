//! The tokenizers of published BLEU scores.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_general_category::{GeneralCategory as Category, get_general_category};

use crate::Error;
use crate::space::is_space;

/// How a line is cut into words before n-grams are counted. Each is the tokenizer of sacreBLEU of the same name.
///
/// Output and reference go in as raw text; a score over text that was tokenized otherwise is another score.
///
/// ```
/// use seqweave_metrics::Tok;
///
/// assert_eq!(Tok::V13a.apply("Hello, \"world\" 3.5%!"), "Hello , \" world \" 3.5 % !");
/// assert_eq!(Tok::Zh.apply("我爱 NLP。"), "我 爱 NLP 。");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum Tok {
    /// The rules of mteval-v13a, made for Western languages; what most published scores use.
    #[default]
    #[serde(rename = "13a")]
    V13a,
    /// The rules of mteval-v14: Unicode punctuation and symbols stand alone, unless digits surround them.
    #[serde(rename = "intl")]
    Intl,
    /// Chinese characters and full-width forms stand alone, and the rest follows the Western rules.
    #[serde(rename = "zh")]
    Zh,
    /// Every character stands alone.
    #[serde(rename = "char")]
    Char,
    /// Nothing is done: words are what white space separates.
    #[serde(rename = "none")]
    None,
}

impl Tok {
    /// Every tokenizer.
    pub const ALL: [Tok; 5] = [Tok::V13a, Tok::Intl, Tok::Zh, Tok::Char, Tok::None];

    /// The name, as signatures show it and [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Tok::V13a => "13a",
            Tok::Intl => "intl",
            Tok::Zh => "zh",
            Tok::Char => "char",
            Tok::None => "none",
        }
    }

    /// Whether it makes one word of a line of a script that puts no blanks between words. [`Tok::None`] is for text that was
    /// tokenized before.
    pub fn needs_blanks(self) -> bool {
        matches!(self, Tok::V13a | Tok::Intl)
    }

    /// The line with one space between tokens; [`Tok::None`] gives it as it is.
    pub fn apply(self, line: &str) -> String {
        match self {
            Tok::V13a => western(&format!(" {} ", unescape(line))),
            Tok::Intl => international(line),
            Tok::Zh => western(&spread_chinese(line.trim_matches(is_space))),
            Tok::Char => joined(line.chars().filter(|&c| !is_space(c)).map(String::from)),
            Tok::None => line.to_owned(),
        }
    }

    pub(crate) fn names() -> String {
        Tok::ALL.map(Tok::name).join(", ")
    }
}

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tok {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Tok::ALL.into_iter().find(|tok| tok.name() == name);
        known.ok_or_else(|| Error::UnknownTok { name: name.into() })
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn squeezed(line: &str) -> String {
    joined(crate::space::words(line).map(str::to_owned))
}

/// The part of 13a that looks at no language: markup of skipped segments, line ends, four entities.
fn unescape(line: &str) -> String {
    let line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if !line.contains('&') {
        return line;
    }
    // One after the other, so that `&amp;lt;` becomes `<`, as in the original.
    line.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
}

/// The rules for Western languages, each over the whole line before the next.
fn western(line: &str) -> String {
    let digit = |c: char| c.is_ascii_digit();
    let stop = |c: char| matches!(c, '.' | ',');
    let line = alone(line, |c| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/'));
    let line = pairs(&line, |a| !digit(a), stop, |a, b| [a, ' ', b, ' ']);
    let line = pairs(&line, stop, |b| !digit(b), |a, b| [' ', a, ' ', b]);
    squeezed(&pairs(&line, digit, |b| b == '-', |a, b| [a, ' ', b, ' ']))
}

fn international(line: &str) -> String {
    let number = |c: char| is_number(get_general_category(c));
    let punctuation = |c: char| is_punctuation(get_general_category(c));
    let line = pairs(line, |a| !number(a), punctuation, |a, b| [a, ' ', b, ' ']);
    let line = pairs(&line, punctuation, |b| !number(b), |a, b| [' ', a, ' ', b]);
    squeezed(&alone(&line, |c| is_symbol(get_general_category(c))))
}

/// A space on both sides of every character that `hit` takes.
fn alone(line: &str, hit: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(line.len() + line.len() / 4);
    for c in line.chars() {
        match hit(c) {
            true => out.extend([' ', c, ' ']),
            false => out.push(c),
        }
    }
    out
}

/// Rewrites pairs of neighbours from left to right; a character belongs to one pair only, as in a regular expression.
fn pairs(
    line: &str,
    first: impl Fn(char) -> bool,
    second: impl Fn(char) -> bool,
    write: impl Fn(char, char) -> [char; 4],
) -> String {
    let mut out = String::with_capacity(line.len() + line.len() / 4);
    let mut chars = line.chars().peekable();
    while let Some(a) = chars.next() {
        match chars.peek() {
            Some(&b) if first(a) && second(b) => {
                out.extend(write(a, b));
                chars.next();
            }
            _ => out.push(a),
        }
    }
    out
}

fn spread_chinese(line: &str) -> String {
    alone(line, is_chinese)
}

/// What sacreBLEU takes for Chinese.
///
/// Two of its ranges are written with five digits after `\u`, which Python reads as a character and a digit.
/// So they do not mean the ideographs beyond the basic plane but the symbols U+2001 to U+2A6D and U+2F81 to U+2FA1;
/// scores depend on it, and it is kept.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}' | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}' | '\u{2001}'..='\u{2a6d}' | '\u{2f81}'..='\u{2fa1}' | '\u{ff00}'..='\u{ffef}'
        | '\u{2e80}'..='\u{2eff}' | '\u{3000}'..='\u{303f}' | '\u{31c0}'..='\u{31ef}' | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{2fff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{33ff}')
}

fn is_number(category: Category) -> bool {
    matches!(category, Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber)
}

fn is_punctuation(category: Category) -> bool {
    use Category::*;
    matches!(
        category,
        ConnectorPunctuation
            | DashPunctuation
            | OpenPunctuation
            | ClosePunctuation
            | InitialPunctuation
            | FinalPunctuation
            | OtherPunctuation
    )
}

fn is_symbol(category: Category) -> bool {
    use Category::*;
    matches!(category, MathSymbol | CurrencySymbol | ModifierSymbol | OtherSymbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cuts_as_its_name_says() {
        // tokenizer, line, tokens
        let rows = [
            (Tok::V13a, "", ""),
            (Tok::V13a, "It's 1,000.50 (ca. 3-4), ok.", "It's 1,000.50 ( ca . 3 - 4 ) , ok ."),
            (Tok::V13a, "&quot;a&amp;lt;b&gt; <skipped>", "\" a < b >"),
            (Tok::V13a, "...", ". . ."),
            (Tok::Intl, "1,5 € – „ja“!", "1,5 € – „ ja “ !"),
            (Tok::Intl, "im Jahr 2001.", "im Jahr 2001."),
            (Tok::Zh, "你好，world.", "你 好 ， world ."),
            (Tok::Zh, "“a”", "“ a ”"),
            (Tok::Char, "a b\u{3000}中", "a b 中"),
            (Tok::None, " a  b,", " a  b,"),
        ];
        for (tok, line, want) in rows {
            assert_eq!(tok.apply(line), want, "{tok} {line:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        for tok in Tok::ALL {
            assert_eq!(tok.to_string().parse(), Ok(tok));
            assert_eq!(serde_json::to_string(&tok).unwrap(), format!("\"{tok}\""));
        }
        let error = "moses".parse::<Tok>().unwrap_err().to_string();
        assert_eq!(error, "unknown tokenizer `moses`: expected one of 13a, intl, zh, char, none");
    }
}
