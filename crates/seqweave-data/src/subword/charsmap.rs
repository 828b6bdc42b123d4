//! The table of a SentencePiece model that says which characters are written as which others.
//!
//! Bytes: the size of a double array in bytes (`u32`), the array (`u32` units, Darts-clone), and the texts it points to, each
//! ended by a zero. The crate `tokenizers` reads the same table, but takes the first rule that fits where SentencePiece takes
//! the longest, and so loses marks; it also trusts the pointers. Here a pointer out of the table is no rule.

/// Rules that rewrite text, the longest first.
#[derive(Debug, Clone)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    texts: String,
}

impl Charsmap {
    /// Reads a table; the error is the reason.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, String> {
        let cut = |at: usize| bytes.get(..at).zip(bytes.get(at..)).ok_or("it is cut short".to_owned());
        let (head, _) = cut(4)?;
        let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if size == 0 || !size.is_multiple_of(4) {
            return Err(format!("its array has {size} bytes"));
        }
        let (front, texts) = cut(size.saturating_add(4))?;
        let unit = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let units = front[4..].chunks_exact(4).map(unit).collect();
        let texts = std::str::from_utf8(texts).map_err(|error| error.to_string())?;
        Ok(Self { units, texts: texts.to_owned() })
    }

    /// `text` with every rule applied from left to right, the longest that fits at each place.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (len, found) = self.longest(rest).unwrap_or_else(|| {
                let len = first.len_utf8();
                (len, &rest[..len])
            });
            out.push_str(found);
            rest = &rest[len..];
        }
        out
    }

    /// The bytes of the longest rule at the start of `text`, and what it writes.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut at = offset(*self.units.first()?);
        let mut best = None;
        for (i, byte) in text.bytes().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at) else { break };
            if byte == 0 || unit & ((1 << 31) | 0xFF) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            let is_end = (unit >> 8) & 1 == 1;
            if let (true, Some(leaf)) = (is_end, self.units.get(at)) {
                let value = (leaf & 0x7FFF_FFFF) as usize;
                let written = self.texts.get(value..).and_then(|texts| texts.split('\0').next());
                // A rule ends where a character does, or it is none.
                if let (Some(written), true) = (written, text.is_char_boundary(i + 1)) {
                    best = Some((i + 1, written));
                }
            }
        }
        best
    }
}

/// The bytes that a text in base 64 stands for; `None` if it is not one.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        let mut bits = 0u32;
        for &letter in four {
            let value = ALPHABET.iter().position(|&a| a == letter)?;
            bits = bits << 6 | value as u32;
        }
        bits <<= 6 * (4 - four.len());
        let len = four.len().checked_sub(1).filter(|&len| len > 0)?;
        bytes.extend(&bits.to_be_bytes()[1..=len]);
    }
    Some(bytes)
}

/// Bytes as a text in base 64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_base64(&to_base64(&all)), Some(all));
        assert_eq!((from_base64("Zm9v!"), from_base64("A")), (None, None));
    }

    #[test]
    fn a_damaged_table_is_refused_or_has_no_rules() {
        for bytes in [&b""[..], b"\x01\0\0", b"\x08\0\0\0abcd", b"\x03\0\0\0abc", b"\x04\0\0\0abcd\xFF"] {
            assert!(Charsmap::new(bytes).is_err(), "{bytes:?}");
        }
        // Every unit points anywhere.
        let mut bytes = 64u32.to_le_bytes().to_vec();
        bytes.extend((0..64u32).map(|i| (i * 37 + 11) as u8));
        bytes.extend(b"a\0b\0");
        let table = Charsmap::new(&bytes).unwrap();
        for text in ["", "abc", "\0", "é\u{301}👩‍🚀", "K\u{7f}"] {
            table.apply(text);
        }
    }
}
