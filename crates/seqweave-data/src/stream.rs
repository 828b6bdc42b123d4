//! Corpora as a stream of chunks, as often as it is wanted.

use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;

use crate::corpus::{Pair, Pairs, SourceSpec, WeightedSource, pairs};
use crate::error::{Error, Result};

/// Pairs of a chunk.
pub(crate) const CHUNK: usize = 1 << 14;
/// Bytes after which a chunk ends before it has so many pairs: long lines must not multiply into gigabytes.
const CHUNK_BYTES: usize = 8 << 20;
/// Chunks read ahead.
const AHEAD: usize = 2;

/// Some pairs in one piece of text.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    text: String,
    /// Where source and target of each pair end, and its line.
    ends: Vec<(usize, usize, u64)>,
    /// The corpus that they came from.
    pub(crate) part: usize,
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Source, target and line of a pair.
    pub(crate) fn get(&self, i: usize) -> (&str, &str, u64) {
        let start = if i == 0 { 0 } else { self.ends[i - 1].1 };
        let (middle, end, line) = self.ends[i];
        (&self.text[start..middle], &self.text[middle..end], line)
    }

    pub(crate) fn pair(&self, i: usize) -> Pair {
        let (src, tgt, line) = self.get(i);
        Pair { src: src.to_owned(), tgt: tgt.to_owned(), line }
    }

    fn push(&mut self, src: &str, tgt: &str, line: u64) {
        self.text.push_str(src);
        let middle = self.text.len();
        self.text.push_str(tgt);
        self.ends.push((middle, self.text.len(), line));
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= CHUNK || self.text.len() >= CHUNK_BYTES
    }
}

/// The pairs of some corpora, in order.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    parts: Vec<Part<'a>>,
    line_cap: usize,
    /// Whether lines have a column of tags.
    tags: bool,
    /// The pairs there were when it was first read to its end.
    pairs: OnceLock<u64>,
}

#[derive(Debug)]
enum Part<'a> {
    /// Read anew each time.
    Files(&'a SourceSpec),
    /// What can be read but once, such as a pipe, and what the caller has.
    Held(std::borrow::Cow<'a, [Pair]>),
}

impl<'a> Stream<'a> {
    /// The pairs of files. A file that is none, such as a pipe, is read here and held in memory.
    pub(crate) fn files(sources: &'a [WeightedSource], line_cap: usize, tags: bool) -> Result<Self> {
        let part = |WeightedSource { source, .. }: &'a WeightedSource| {
            // What is missing or a folder is told by the reader.
            let is_pipe =
                |path: &&std::path::Path| path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
            if source.paths().iter().any(is_pipe) {
                let held =
                    pairs(source)?.with_line_cap(line_cap).with_tags(tags).collect::<Result<Vec<Pair>>>()?;
                return Ok(Part::Held(held.into()));
            }
            Ok(Part::Files(source))
        };
        let parts = sources.iter().map(part).collect::<Result<_>>()?;
        Ok(Self { parts, line_cap, tags, pairs: OnceLock::new() })
    }

    /// Pairs that are in memory.
    pub(crate) fn held(pairs: &'a [Pair]) -> Self {
        Self {
            parts: vec![Part::Held(pairs.into())],
            line_cap: usize::MAX,
            tags: false,
            pairs: OnceLock::new(),
        }
    }

    /// How many corpora there are.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What stands for the corpora in messages.
    fn name(&self) -> String {
        let name = |part: &Part| match part {
            Part::Files(source) => source.paths().iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
            Part::Held(_) => vec!["pairs in memory".to_owned()],
        };
        self.parts.iter().flat_map(name).collect::<Vec<_>>().join(", ")
    }

    /// All chunks, one after the other.
    pub(crate) fn chunks(&self) -> Chunks<'_> {
        Chunks { stream: self, part: 0, reader: None, at: 0, is_over: false }
    }

    /// Calls `take` with every chunk, while another thread reads the next ones.
    ///
    /// # Errors
    /// What `take` says; a fault of a corpus; [`Error::Changed`].
    pub(crate) fn for_each(&self, mut take: impl FnMut(Chunk) -> Result<()>) -> Result<()> {
        let mut found = 0;
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(AHEAD);
            let reading =
                std::thread::Builder::new().name("seqweave-read".to_owned()).spawn_scoped(scope, move || {
                    for chunk in self.chunks() {
                        // The other end is gone: nobody wants more.
                        if sender.send(chunk).is_err() {
                            return;
                        }
                    }
                });
            reading.map_err(|source| Error::Thread { source })?;
            receiver.into_iter().try_for_each(|chunk| {
                let chunk = chunk?;
                found += chunk.len() as u64;
                take(chunk)
            })
        })?;
        match *self.pairs.get_or_init(|| found) {
            expected if expected == found => Ok(()),
            expected => Err(Error::Changed { name: self.name(), expected, found }),
        }
    }
}

/// An iterator over chunks; it ends after the first error.
pub(crate) struct Chunks<'s> {
    stream: &'s Stream<'s>,
    part: usize,
    /// The open files of the running corpus.
    reader: Option<Pairs>,
    /// The next pair of one in memory.
    at: usize,
    is_over: bool,
}

impl Chunks<'_> {
    fn fill(&mut self) -> Result<Option<Chunk>> {
        while let Some(part) = self.stream.parts.get(self.part) {
            let mut chunk = Chunk { part: self.part, ..Chunk::default() };
            let goes_on = match part {
                Part::Held(pairs) => {
                    for Pair { src, tgt, line } in &pairs[self.at..] {
                        if chunk.is_full() {
                            break;
                        }
                        chunk.push(src, tgt, *line);
                    }
                    self.at += chunk.len();
                    self.at < pairs.len()
                }
                Part::Files(source) => {
                    let reader = match &mut self.reader {
                        Some(reader) => reader,
                        None => self.reader.insert(
                            pairs(source)?.with_line_cap(self.stream.line_cap).with_tags(self.stream.tags),
                        ),
                    };
                    let mut goes_on = true;
                    while goes_on && !chunk.is_full() {
                        goes_on = reader.with_next(|src, tgt, line| chunk.push(src, tgt, line))?;
                    }
                    goes_on
                }
            };
            if !goes_on {
                (self.part, self.reader, self.at) = (self.part + 1, None, 0);
            }
            if chunk.len() > 0 {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Result<Chunk>> {
        if self.is_over {
            return None;
        }
        let chunk = self.fill().transpose();
        self.is_over = !matches!(chunk, Some(Ok(_)));
        chunk
    }
}
