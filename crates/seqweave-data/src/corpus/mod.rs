//! Sentence pairs from files: TSV, JSON Lines, or two parallel files; plain text, gzip or zstd.
//!
//! The files are read once from front to back, so a pipe serves as well as a regular file, and a
//! streamed corpus holds two lines at a time. A gzip file may have several members (as written by
//! `cat a.gz b.gz` or by parallel compressors); the line cap applies to the decompressed text.
//!
//! A loaded corpus no longer looks at its file. Whether the file was changed before a run is resumed is seen by
//! the fingerprint of [`Examples`](crate::Examples).

mod json;
mod open;
mod spec;
mod write;

use std::path::Path;

use crate::error::{Error, Result};

use open::{FileLines, open_lines};
pub(crate) use spec::WEIGHTS;
pub use spec::{SourceSpec, TrainSpec, WeightedSource};
pub use write::{to_jsonl, to_tsv};

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

/// Pairs as the lines of a file, for tests.
#[cfg(test)]
pub(crate) fn pairs_of(sides: &[(&str, &str)]) -> Vec<Pair> {
    let pair = |(&(src, tgt), line): (&(&str, &str), u64)| Pair { src: src.into(), tgt: tgt.into(), line };
    sides.iter().zip(1..).map(pair).collect()
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
        SourceSpec::Jsonl { path, src_field, tgt_field } => {
            Inner::Jsonl(open_lines(path)?, src_field.clone(), tgt_field.clone())
        }
        SourceSpec::Parallel { src, tgt } => Inner::Parallel(open_lines(src)?, open_lines(tgt)?),
    };
    Ok(Pairs { inner, tags: false, finished: false })
}

/// Reads a whole corpus into memory.
///
/// # Errors
/// The first fault of the corpus; see [`Error`].
pub fn load(source: &SourceSpec) -> Result<Vec<Pair>> {
    pairs(source)?.collect()
}

/// Reads a whole file of text into memory, line by line; plain, gzip or zstd.
///
/// # Errors
/// A file that is missing, a directory, empty or not readable, and the first line that is no text.
pub fn load_lines(path: &Path) -> Result<Vec<String>> {
    let mut lines = open_lines(path)?;
    let texts = lines.by_ref().collect::<Result<Vec<String>>>()?;
    end_of(&lines)?;
    Ok(texts)
}

/// A stream of pairs; see [`pairs`]. It ends after the first error.
pub struct Pairs {
    inner: Inner,
    /// Whether a line of TSV has a column of tags.
    tags: bool,
    finished: bool,
}

enum Inner {
    Tsv(FileLines),
    /// The lines, and the fields of source and target.
    Jsonl(FileLines, String, String),
    Parallel(FileLines, FileLines),
}

impl Pairs {
    /// Sets whether the source has tags: a line of TSV then has three columns, `source<TAB>tags<TAB>target`, of which the
    /// first two are the source text of the pair. In other forms a source is `source<TAB>tags` by itself.
    #[must_use]
    pub fn with_tags(self, tags: bool) -> Self {
        Self { tags, ..self }
    }

    /// Sets the longest accepted line in bytes, its ending not counted (default: 1 MiB).
    #[must_use]
    pub fn with_line_cap(self, cap: usize) -> Self {
        let inner = match self.inner {
            Inner::Tsv(lines) => Inner::Tsv(lines.with_line_cap(cap)),
            Inner::Jsonl(lines, src, tgt) => Inner::Jsonl(lines.with_line_cap(cap), src, tgt),
            Inner::Parallel(src, tgt) => Inner::Parallel(src.with_line_cap(cap), tgt.with_line_cap(cap)),
        };
        Self { inner, ..self }
    }

    /// Hands the next pair to `take`, source, target and line; false at the end. Nothing is allocated for a pair.
    pub(crate) fn with_next(&mut self, take: impl FnOnce(&str, &str, u64)) -> Result<bool> {
        if self.finished {
            return Ok(false);
        }
        let found = match &mut self.inner {
            Inner::Tsv(lines) => next_tsv(lines, self.tags, take),
            Inner::Jsonl(lines, src, tgt) => next_jsonl(lines, (src, tgt), self.tags, take),
            Inner::Parallel(src, tgt) => next_parallel(src, tgt, self.tags, take),
        };
        self.finished = !matches!(found, Ok(true));
        found
    }
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Pairs");
        match &self.inner {
            Inner::Tsv(lines) => out.field("tsv", &lines.name()).field("line", &lines.line()),
            Inner::Jsonl(lines, ..) => out.field("jsonl", &lines.name()).field("line", &lines.line()),
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
        let mut pair = None;
        let take = |src: &str, tgt: &str, line| {
            pair = Some(Pair { src: src.to_owned(), tgt: tgt.to_owned(), line });
        };
        match self.with_next(take) {
            Ok(_) => pair.map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

fn next_tsv(lines: &mut FileLines, tags: bool, take: impl FnOnce(&str, &str, u64)) -> Result<bool> {
    let (line, expected) = (lines.line() + 1, if tags { 3 } else { 2 });
    let found = match lines.next_text()? {
        None => None,
        Some(text) => match text.rsplit_once('\t') {
            Some((src, tgt)) if 2 + src.matches('\t').count() == expected => {
                take(src, tgt, line);
                return Ok(true);
            }
            _ => Some(text.split('\t').count()),
        },
    };
    match found {
        None => end_of(lines),
        Some(found) => Err(Error::Columns { name: lines.name().to_owned(), line, found, tags }),
    }
}

fn next_jsonl(
    lines: &mut FileLines,
    (src, tgt): (&str, &str),
    tags: bool,
    take: impl FnOnce(&str, &str, u64),
) -> Result<bool> {
    let line = lines.line() + 1;
    let why = match lines.next_text()? {
        None => None,
        Some(text) => match json::read_fields(text, src, tgt) {
            Ok((source, _)) if tags && !source.contains('\t') => {
                Some(format!("the field {src:?} has no tab, expected source<TAB>tags, as there are features"))
            }
            Ok((source, target)) => {
                take(&source, &target, line);
                return Ok(true);
            }
            Err(why) => Some(why),
        },
    };
    let Some(why) = why else { return end_of(lines) };
    let (name, src, tgt) = (lines.name().to_owned(), src.to_owned(), tgt.to_owned());
    Err(Error::Json { name, line, src, tgt, why })
}

fn next_parallel(
    src: &mut FileLines,
    tgt: &mut FileLines,
    tags: bool,
    take: impl FnOnce(&str, &str, u64),
) -> Result<bool> {
    let line = src.line() + 1;
    let has_source = match (src.next_text()?, tgt.next_text()?) {
        (Some(s), Some(t)) => {
            let found = 1 + if tags { s.matches('\t').count() } else { 0 };
            if tags && found != 2 {
                return Err(Error::SourceColumns { name: src.name().to_owned(), line, found });
            }
            take(s, t, line);
            return Ok(true);
        }
        (None, None) => return end_of(src),
        (s, _) => s.is_some(),
    };
    end_of(src)?;
    end_of(tgt)?;
    let (longer, line) = if has_source { (&*src, src.line()) } else { (&*tgt, tgt.line()) };
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

/// The good end of a file that had lines.
fn end_of(lines: &FileLines) -> Result<bool> {
    if lines.line() == 0 {
        return Err(Error::EmptyFile { name: lines.name().to_owned() });
    }
    Ok(false)
}
