//! Lines of strict UTF-8 from any reader, with bounded memory.
//!
//! Only a line feed ends a line. A carriage return right before it belongs to the ending (CRLF);
//! alone it is text, and so are U+0085, U+2028 and U+2029. The last line may lack its line feed.
//! A byte order mark at the start of the stream is dropped.

use std::io::{self, BufRead};
use std::sync::Arc;

use crate::error::{Error, Result, Utf8Flaw};

/// The default cap of one line: 1 MiB, the line ending not counted.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// gzip, of one member or more.
    Gzip,
    /// Zstandard, of one frame or more.
    Zstd,
}

/// The UTF-8 form of U+FEFF.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Reads lines from a reader such as standard input, with the checks of a corpus file.
///
/// `name` stands for the stream in error messages. An empty stream has no lines and is no error.
///
/// ```
/// let text: &[u8] = "guten Tag\r\nhallo\n".as_bytes();
/// let lines: Vec<String> = seqweave_data::read_lines(text, "<stdin>").collect::<Result<_, _>>()?;
/// assert_eq!(lines, ["guten Tag", "hallo"]);
/// # Ok::<(), seqweave_data::Error>(())
/// ```
pub fn read_lines<R: BufRead>(reader: R, name: impl Into<Arc<str>>) -> Lines<R> {
    Lines {
        reader,
        name: name.into(),
        cap: MAX_LINE_BYTES,
        packing: None,
        line: 0,
        offset: 0,
        buffer: Vec::new(),
        finished: false,
    }
}

/// A stream of checked lines; see [`read_lines`]. It ends after the first error.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    name: Arc<str>,
    cap: usize,
    /// How the reader decompresses, if it does: its errors then mean damaged data.
    packing: Option<Packing>,
    /// Lines read so far.
    line: u64,
    /// Offset of the next byte to read.
    offset: u64,
    buffer: Vec<u8>,
    finished: bool,
}

impl<R: BufRead> Lines<R> {
    /// Sets the longest accepted line in bytes, its ending not counted.
    #[must_use]
    pub fn with_line_cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }

    /// The name used in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many lines were read so far, a refused one included.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Says that the reader decompresses.
    pub(crate) fn packed(mut self, packing: Option<Packing>) -> Self {
        self.packing = packing;
        self
    }

    /// Counts the lines that are left without keeping or checking them.
    pub(crate) fn count_rest(&mut self) -> Result<u64> {
        let (mut lines, mut open) = (0, false);
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.read_error(e)),
            };
            let Some(&last) = chunk.last() else { return Ok(lines + u64::from(open)) };
            lines += memchr::memchr_iter(b'\n', chunk).count() as u64;
            open = last != b'\n';
            let n = chunk.len();
            self.reader.consume(n);
        }
    }

    /// Reads one line into the buffer. Returns whether there was one.
    fn fill_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        // Room for the `\r` of CRLF, and at the file's start for the mark, both of which are dropped.
        let room = self.cap.saturating_add(1 + if self.line == 0 { BOM.len() } else { 0 });
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.read_error(e)),
            };
            if chunk.is_empty() {
                return Ok(!self.buffer.is_empty());
            }
            let end = memchr::memchr(b'\n', chunk);
            let text = &chunk[..end.unwrap_or(chunk.len())];
            if text.len() > room - self.buffer.len() {
                self.line += 1;
                return Err(self.too_long());
            }
            self.buffer.extend_from_slice(text);
            let used = text.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                self.buffer.push(b'\n');
                return Ok(true);
            }
        }
    }

    /// The next line, borrowed from the reader's own buffer.
    pub(crate) fn next_text(&mut self) -> Result<Option<&str>> {
        if self.finished {
            return Ok(None);
        }
        // Whatever goes wrong below ends the stream.
        self.finished = true;
        if !self.fill_line()? {
            return Ok(None);
        }
        let start = self.offset;
        self.offset += self.buffer.len() as u64;
        let mark = if self.line == 0 && self.buffer.starts_with(BOM) { BOM.len() } else { 0 };
        let bytes = &self.buffer[mark..];
        let bytes = match bytes.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            // A stream that is a byte order mark and nothing else has no line.
            None if bytes.is_empty() => return Ok(None),
            None => bytes,
        };
        self.line += 1;
        if bytes.len() > self.cap {
            return Err(self.too_long());
        }
        let (name, line) = (|| self.name.to_string(), self.line);
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let at = e.valid_up_to();
            Error::Utf8 {
                name: name(),
                line,
                offset: start + (mark + at) as u64,
                column: at as u64 + 1,
                flaw: Utf8Flaw::of(&bytes[at..]),
            }
        })?;
        if let Some(at) = memchr::memchr(0, bytes) {
            let (offset, column) = (start + (mark + at) as u64, at as u64 + 1);
            return Err(Error::Nul { name: name(), line, offset, column });
        }
        self.finished = false;
        Ok(Some(text))
    }

    /// The error of the line that is being read.
    fn too_long(&self) -> Error {
        Error::LineTooLong { name: self.name.to_string(), line: self.line, cap: self.cap }
    }

    fn read_error(&self, source: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, Other, UnexpectedEof};
        let name = self.name.to_string();
        match (source.kind(), self.packing) {
            (UnexpectedEof | InvalidData | InvalidInput, Some(Packing::Gzip)) => {
                Error::Gzip { name, line: self.line, source }
            }
            (UnexpectedEof | InvalidData | InvalidInput | Other, Some(Packing::Zstd)) => {
                Error::Zstd { name, line: self.line, source }
            }
            (IsADirectory, _) => Error::IsDirectory { name },
            _ => Error::Io { name, action: "read", source },
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        Some(self.next_text().transpose()?.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn lines(bytes: &[u8]) -> Vec<String> {
        // A buffer of one byte puts every boundary in every place.
        read_lines(BufReader::with_capacity(1, bytes), "t").map(|l| l.expect("a good line")).collect()
    }

    fn fault(bytes: &[u8]) -> String {
        let mut last = None;
        for line in read_lines(bytes, "t").with_line_cap(8) {
            last = Some(line);
        }
        last.expect("a line").expect_err("a bad line").to_string()
    }

    #[test]
    fn only_a_line_feed_splits() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\n", &[""]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\nb", &["a", "b"]),
            ("a\n\nb\n", &["a", "", "b"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("a\rb\r\n", &["a\rb"]),
            ("a\r\r\n", &["a\r"]),
            ("a\r", &["a\r"]),
            ("a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f\n", &["a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f"]),
            ("\u{feff}a\n\u{feff}b\n", &["a", "\u{feff}b"]),
            ("\u{feff}", &[]),
            ("\u{feff}\n", &[""]),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(text.as_bytes()), *expected, "{text:?}");
        }
    }

    #[test]
    fn every_class_of_invalid_utf8_is_named_with_its_place() {
        let cases: &[(&str, &[u8], &str)] = &[
            (
                "continuation",
                b"ok\nab\x80\n",
                "t:2: invalid UTF-8 at byte 5 of the file (byte 3 of the line)",
            ),
            ("overlong 2", b"\xC0\x80", "overlong encoding that begins with C0"),
            ("overlong 3", b"\xE0\x80\x80", "overlong encoding that begins with E0"),
            ("overlong 4", b"\xF0\x80\x80\x80", "overlong encoding that begins with F0"),
            ("high surrogate", b"\xED\xA0\x80", "surrogate"),
            ("low surrogate", b"\xED\xBF\xBF", "surrogate"),
            ("above 10FFFF", b"\xF4\x90\x80\x80", "above U+10FFFF that begins with F4"),
            ("far above", b"\xF7\xBF\xBF\xBF", "above U+10FFFF that begins with F7"),
            ("five bytes", b"\xF8\x88\x80\x80\x80", "byte F8, which UTF-8 never uses"),
            ("UTF-16", b"\xFF\xFEa\0", "may be UTF-16"),
            ("cut by the line feed", b"\xE2\x82\n", "begins with E2 is cut short"),
            ("cut by the end", b"\xF0\x9F\x98", "begins with F0 is cut short"),
            ("Latin-1", b"M\xFCll", "byte 1 of the file (byte 2 of the line): byte FC"),
            ("after a mark", b"\xEF\xBB\xBFa\xFF", "at byte 4 of the file (byte 2 of the line)"),
        ];
        for (name, bytes, expected) in cases {
            let message = fault(bytes);
            assert!(message.contains(expected) && message.contains("help:"), "{name}: {message}");
        }
    }

    #[test]
    fn nul_and_long_lines_are_refused_by_line() {
        assert!(
            fault(b"a\nb\0c\n").contains("t:2: NUL character at byte 3 of the file (byte 2 of the line)")
        );
        assert!(fault(b"a\n123456789\n").contains("t:2: the line is longer than 8 bytes"));
        assert!(fault(b"123456789").contains("t:1: the line is longer than 8 bytes"));
        let full: Vec<_> =
            read_lines(&b"\xEF\xBB\xBF12345678\r\n12345678"[..], "t").with_line_cap(8).collect();
        assert!(full.iter().all(|l| l.as_deref().ok() == Some("12345678")), "{full:?}");
    }

    #[test]
    fn an_endless_line_is_refused_without_reading_it() {
        struct Counted<R>(R, u64);
        impl<R: Read> Read for Counted<R> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let n = self.0.read(buf)?;
                self.1 += n as u64;
                Ok(n)
            }
        }
        let endless = BufReader::with_capacity(4096, Counted(io::repeat(b'x'), 0));
        let mut lines = read_lines(endless, "t").with_line_cap(10_000);
        assert!(matches!(lines.next(), Some(Err(Error::LineTooLong { line: 1, cap: 10_000, .. }))));
        assert!(lines.next().is_none(), "the stream ends after an error");
        assert!(lines.reader.get_ref().1 <= 10_000 + 2 * 4096, "read {} bytes", lines.reader.get_ref().1);
        assert!(lines.buffer.capacity() <= 2 * 10_004, "held {} bytes", lines.buffer.capacity());
    }

    #[test]
    fn the_rest_is_counted_as_lines() {
        for (text, expected) in [("", 0), ("a", 1), ("a\n", 1), ("a\n\nb", 3), ("\n\n", 2)] {
            let mut lines = read_lines(BufReader::with_capacity(1, text.as_bytes()), "t");
            assert_eq!(lines.count_rest().expect("readable"), expected, "{text:?}");
        }
    }
}
