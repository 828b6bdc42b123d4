//! Sentence pairs from files: one TSV file, or two parallel files; plain text or gzip.
//!
//! The files are read once from front to back, so a pipe serves as well as a regular file, and a
//! streamed corpus holds two lines at a time. A gzip file may have several members (as written by
//! `cat a.gz b.gz` or by parallel compressors); the line cap applies to the decompressed text.
//!
//! A loaded corpus no longer looks at its file. Whether the file was changed before a run is resumed is seen by
//! [`fingerprint`](crate::fingerprint).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::lines::{Lines, read_lines};

/// Where sentence pairs come from.
///
/// In a configuration it is the path of a TSV file, `"train.tsv"`, or `{ src = "train.de", tgt = "train.en" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written", into = "Written")]
pub enum SourceSpec {
    /// One file of lines `source<TAB>target`.
    Tsv {
        /// The file, plain or gzip.
        path: PathBuf,
    },
    /// Two files whose lines correspond.
    Parallel {
        /// The source side, plain or gzip.
        src: PathBuf,
        /// The target side, plain or gzip.
        tgt: PathBuf,
    },
}

/// A [`SourceSpec`] as a configuration writes it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected the path of a TSV file, or { src = \"file\", tgt = \"file\" }"
)]
enum Written {
    /// One file of lines `source<TAB>target`.
    Tsv(#[schemars(extend("format" = "path"))] PathBuf),
    /// Two files whose lines correspond.
    Parallel {
        /// The source side.
        #[schemars(extend("format" = "path"))]
        src: PathBuf,
        /// The target side.
        #[schemars(extend("format" = "path"))]
        tgt: PathBuf,
    },
}

impl From<Written> for SourceSpec {
    fn from(written: Written) -> Self {
        match written {
            Written::Tsv(path) => Self::Tsv { path },
            Written::Parallel { src, tgt } => Self::Parallel { src, tgt },
        }
    }
}

impl From<SourceSpec> for Written {
    fn from(spec: SourceSpec) -> Self {
        match spec {
            SourceSpec::Tsv { path } => Self::Tsv(path),
            SourceSpec::Parallel { src, tgt } => Self::Parallel { src, tgt },
        }
    }
}

/// One sentence pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The source text.
    pub src: String,
    /// The target text.
    pub tgt: String,
    /// The 1-based line that it was read from.
    pub line: u64,
}

/// Opens a corpus and streams its pairs.
///
/// Sides may be empty strings here; [`select`](crate::select) counts and drops them.
///
/// # Errors
/// A file that is missing, a directory, empty or not readable.
///
/// ```
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("train.tsv");
/// std::fs::write(&path, "a b c\tc b a\nd e\te d\n")?;
/// for pair in seqweave_data::pairs(&seqweave_data::SourceSpec::Tsv { path })? {
///     let pair = pair?;
///     println!("{}: {} -> {}", pair.line, pair.src, pair.tgt);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pairs(source: &SourceSpec) -> Result<Pairs> {
    let inner = match source {
        SourceSpec::Tsv { path } => Inner::Tsv(open_lines(path)?),
        SourceSpec::Parallel { src, tgt } => Inner::Parallel(open_lines(src)?, open_lines(tgt)?),
    };
    Ok(Pairs { inner, finished: false })
}

/// Reads a whole corpus into memory.
///
/// # Errors
/// The first fault of the corpus; see [`Error`].
pub fn load(source: &SourceSpec) -> Result<Vec<Pair>> {
    pairs(source)?.collect()
}

type FileLines = Lines<Box<dyn BufRead + Send>>;

/// A stream of pairs; see [`pairs`]. It ends after the first error.
pub struct Pairs {
    inner: Inner,
    finished: bool,
}

enum Inner {
    Tsv(FileLines),
    Parallel(FileLines, FileLines),
}

impl Pairs {
    /// Sets the longest accepted line in bytes, its ending not counted (default: 1 MiB).
    #[must_use]
    pub fn with_line_cap(self, cap: usize) -> Self {
        let inner = match self.inner {
            Inner::Tsv(lines) => Inner::Tsv(lines.with_line_cap(cap)),
            Inner::Parallel(src, tgt) => Inner::Parallel(src.with_line_cap(cap), tgt.with_line_cap(cap)),
        };
        Self { inner, ..self }
    }
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Pairs");
        match &self.inner {
            Inner::Tsv(lines) => out.field("tsv", &lines.name()).field("line", &lines.line()),
            Inner::Parallel(src, tgt) => {
                out.field("src", &src.name()).field("tgt", &tgt.name()).field("line", &src.line())
            }
        };
        out.finish_non_exhaustive()
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        if self.finished {
            return None;
        }
        let item = match &mut self.inner {
            Inner::Tsv(lines) => next_tsv(lines),
            Inner::Parallel(src, tgt) => next_parallel(src, tgt),
        };
        self.finished = !matches!(item, Ok(Some(_)));
        item.transpose()
    }
}

fn next_tsv(lines: &mut FileLines) -> Result<Option<Pair>> {
    let Some(text) = lines.next().transpose()? else { return end_of(lines) };
    let columns = text.split('\t').count();
    match text.split_once('\t') {
        Some((src, tgt)) if columns == 2 => {
            Ok(Some(Pair { src: src.to_owned(), tgt: tgt.to_owned(), line: lines.line() }))
        }
        _ => Err(Error::Columns { name: lines.name().to_owned(), line: lines.line(), found: columns }),
    }
}

fn next_parallel(src: &mut FileLines, tgt: &mut FileLines) -> Result<Option<Pair>> {
    match (src.next().transpose()?, tgt.next().transpose()?) {
        (Some(s), Some(t)) => Ok(Some(Pair { src: s, tgt: t, line: src.line() })),
        (None, None) => end_of(src),
        (s, _) => {
            end_of(src)?;
            end_of(tgt)?;
            let (longer, line) = if s.is_some() { (&*src, src.line()) } else { (&*tgt, tgt.line()) };
            let longer = longer.name().to_owned();
            Err(Error::LineCounts {
                longer,
                line,
                src_lines: src.line() + src.count_rest()?,
                tgt_lines: tgt.line() + tgt.count_rest()?,
                src: src.name().to_owned(),
                tgt: tgt.name().to_owned(),
            })
        }
    }
}

/// The good end of a file that had lines.
fn end_of(lines: &FileLines) -> Result<Option<Pair>> {
    if lines.line() == 0 {
        return Err(Error::EmptyFile { name: lines.name().to_owned() });
    }
    Ok(None)
}

/// The two bytes that every gzip member begins with.
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

fn open_lines(path: &Path) -> Result<FileLines> {
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
    let mut file = match opened {
        Ok((false, file)) => file,
        Ok((true, _)) => return Err(Error::IsDirectory { name }),
        // Some systems refuse to open a directory at all.
        Err(_) if path.is_dir() => return Err(Error::IsDirectory { name }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound { name }),
        Err(source) => return Err(Error::Io { name, action: "open", source }),
    };
    // The head is read and put back in front, not sought: the file may be a pipe.
    let mut head = Vec::with_capacity(GZIP_MAGIC.len());
    if let Err(source) = (&mut file).take(GZIP_MAGIC.len() as u64).read_to_end(&mut head) {
        return Err(Error::Io { name, action: "read", source });
    }
    if head.is_empty() {
        return Err(Error::EmptyFile { name });
    }
    let gzip = head == GZIP_MAGIC;
    if !gzip && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
        let found = head.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        return Err(Error::NotGzip { name, found });
    }
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(file));
    let reader: Box<dyn BufRead + Send> = if gzip {
        Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(whole)))
    } else {
        Box::new(whole)
    };
    Ok(read_lines(reader, name).of_gzip(gzip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_or_both_sides() {
        let parse = |text: &str| serde_json::from_str::<SourceSpec>(text).map_err(|e| e.to_string());
        let tsv = SourceSpec::Tsv { path: "a.tsv".into() };
        let parallel = SourceSpec::Parallel { src: "a.de".into(), tgt: "a.en".into() };
        assert_eq!(parse(r#""a.tsv""#), Ok(tsv.clone()));
        assert_eq!(parse(r#"{"src":"a.de","tgt":"a.en"}"#), Ok(parallel.clone()));
        for spec in [tsv, parallel] {
            let text = serde_json::to_string(&spec).expect("paths are UTF-8");
            assert_eq!(parse(&text), Ok(spec));
        }
        for text in ["{}", "1", r#"{"src":"a"}"#, r#"{"tsv":"a"}"#, r#"{"src":"a","tgt":"b","tsv":"c"}"#] {
            let message = parse(text).expect_err(text);
            assert!(message.contains("expected the path of a TSV file, or { src = "), "{text}: {message}");
        }
    }
}
