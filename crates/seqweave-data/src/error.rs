//! The one error type of the crate. Each message says what, where, what was expected, what was found,
//! and after `help:` what to do next.

mod flaw;

use std::fmt;
use std::io;

pub use flaw::{EntryFlaw, ShardFlaw, Utf8Flaw};

/// What can go wrong between a file of text and a batch of ids.
///
/// Lines and columns are 1-based, byte offsets are 0-based. Offsets count decompressed bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file of that name.
    #[error(
        "{name}: no such file\n\
         help: check the path; relative paths start at the working directory"
    )]
    NotFound {
        /// The file as it was named.
        name: String,
    },

    /// A file was expected, a directory was found.
    #[error("{name}: expected a text file, found a directory\nhelp: name a file inside it")]
    IsDirectory {
        /// The path as it was named.
        name: String,
    },

    /// The operating system refused to open or read.
    #[error("{name}: cannot {action}: {source}\nhelp: check the permissions and the disk")]
    Io {
        /// The file or stream.
        name: String,
        /// `"open"` or `"read"`.
        action: &'static str,
        /// The reason of the operating system.
        source: io::Error,
    },

    /// A gzip stream is truncated, damaged, or not gzip at all.
    #[error(
        "{name}: damaged gzip data after line {line}: {source}\n\
         help: `gzip -t` shows whether the file is whole; make or copy it again"
    )]
    Gzip {
        /// The file.
        name: String,
        /// The number of whole lines that could be read before the damage.
        line: u64,
        /// The reason of the decompressor.
        source: io::Error,
    },

    /// A Zstandard stream is truncated, damaged, or not Zstandard at all.
    #[error(
        "{name}: damaged zstd data after line {line}: {source}\n\
         help: `zstd -t` shows whether the file is whole; make or copy it again"
    )]
    Zstd {
        /// The file.
        name: String,
        /// The number of whole lines that could be read before the damage.
        line: u64,
        /// The reason of the decompressor.
        source: io::Error,
    },

    /// The name ends in `.zst`, the content is something else.
    #[error(
        "{name}: the name ends in .zst but the file does not begin with the zstd magic 28 b5 2f fd (found \
         {found})\n\
         help: rename the file if it is plain text"
    )]
    NotZstd {
        /// The file.
        name: String,
        /// The first bytes, in hexadecimal.
        found: String,
    },

    /// A line of a JSON Lines file that is no pair.
    #[error(
        "{name}:{line}: {why}\n\
         help: expected one JSON object a line with the text fields {src:?} and {tgt:?}; `src_field` and \
         `tgt_field` name others"
    )]
    Json {
        /// The file.
        name: String,
        /// The line.
        line: u64,
        /// The field of the source text.
        src: String,
        /// The field of the target text.
        tgt: String,
        /// What the reader found.
        why: String,
    },

    /// The name ends in `.gz`, the content is something else.
    #[error(
        "{name}: the name ends in .gz but the file does not begin with the gzip magic 1f 8b (found {found})\n\
         help: rename the file if it is plain text"
    )]
    NotGzip {
        /// The file.
        name: String,
        /// The first bytes, in hexadecimal.
        found: String,
    },

    /// Subword pieces that cannot be learnt, read or used.
    #[error(
        "{name}: no tokenizer of pieces: {why}\nhelp: name a tokenizer.json, of `seqweave tokenizer` or of Hugging Face's library"
    )]
    Subwords {
        /// The file, or what was being done.
        name: String,
        /// The reason.
        why: String,
    },

    /// More pieces are needed than there may be.
    #[error("{name} is {allowed}, and {needed} is the least that will do: {why}\nhelp: raise it{help}")]
    TooFewPieces {
        /// What says how many there may be.
        name: String,
        /// How many there may be.
        allowed: usize,
        /// How many are needed.
        needed: usize,
        /// What needs them.
        why: String,
        /// What could be done instead.
        help: &'static str,
    },

    /// A tokenizer file of another program that cannot be taken over.
    #[error(
        "{name}: cannot import: {why}\n\
         help: give the program with --from if the file was taken for another's; else learn pieces from the text with \
         `seqweave tokenizer train`"
    )]
    Import {
        /// The file.
        name: String,
        /// The reason.
        why: String,
    },

    /// A corpus file without a single line.
    #[error("{name}: the file is empty, expected at least one line\nhelp: check the step that wrote it")]
    EmptyFile {
        /// The file.
        name: String,
    },

    /// A byte sequence that is not UTF-8.
    #[error(
        "{name}:{line}: invalid UTF-8 at byte {offset} of the file (byte {column} of the line): {flaw}\n\
         help: convert the file first, e.g. `iconv -f LATIN1 -t UTF-8`; it is never guessed or repaired here"
    )]
    Utf8 {
        /// The file or stream.
        name: String,
        /// The line.
        line: u64,
        /// Offset of the first bad byte from the start of the file.
        offset: u64,
        /// 1-based position of the first bad byte in its line.
        column: u64,
        /// What is wrong with it.
        flaw: Utf8Flaw,
    },

    /// A NUL character inside a line.
    #[error(
        "{name}:{line}: NUL character at byte {offset} of the file (byte {column} of the line)\n\
         help: remove it (`tr -d '\\000'`), or convert the file if it is UTF-16"
    )]
    Nul {
        /// The file or stream.
        name: String,
        /// The line.
        line: u64,
        /// Offset from the start of the file.
        offset: u64,
        /// 1-based position in the line.
        column: u64,
    },

    /// A line longer than the cap. The rest of the line was not read.
    #[error(
        "{name}:{line}: the line is longer than {cap} bytes\n\
         help: split it, or raise `max_line_bytes`; only a line feed ends a line"
    )]
    LineTooLong {
        /// The file or stream.
        name: String,
        /// The line.
        line: u64,
        /// The cap in bytes, the line ending not counted.
        cap: usize,
    },

    /// A TSV line that does not have exactly two columns, or three with tags.
    #[error(
        "{name}:{line}: expected {}, found {found}\nhelp: {}",
        if *.tags { "3 columns (source<TAB>tags<TAB>target)" } else { "2 columns (source<TAB>target)" },
        match (*.tags, *.found) {
            (true, _) => "an empty column still needs its tab; without `data.features` there are two columns",
            (false, 3) => "write exactly one tab between source and target; for a column of tags between them set `data.features`",
            (false, _) => "write exactly one tab between source and target",
        }
    )]
    Columns {
        /// The file.
        name: String,
        /// The line.
        line: u64,
        /// How many columns there are: 1 where the tab is missing.
        found: usize,
        /// Whether a column of tags was expected.
        tags: bool,
    },

    /// A line of a source file without the column of tags that `data.features` speaks of, or with more.
    #[error(
        "{name}:{line}: expected 2 columns (source<TAB>tags), found {found}\n\
         help: an empty column still needs its tab; without `data.features` there is one column"
    )]
    SourceColumns {
        /// The file.
        name: String,
        /// The 1-based line.
        line: u64,
        /// Columns found.
        found: usize,
    },

    /// Parallel files of different lengths.
    #[error(
        "{longer}:{line}: this line has no partner: {src} has {src_lines} lines, {tgt} has {tgt_lines}\n\
         help: parallel files need equal line counts; look for a lost or doubled line before it"
    )]
    LineCounts {
        /// The file that goes on.
        longer: String,
        /// Its first line that lacks a partner.
        line: u64,
        /// The source file.
        src: String,
        /// The target file.
        tgt: String,
        /// Lines of the source file.
        src_lines: u64,
        /// Lines of the target file.
        tgt_lines: u64,
    },

    /// A vocabulary file that is not the JSON that [`Vocab::to_json`](crate::Vocab::to_json) writes.
    #[error(
        "{name}: not a vocabulary: {source}\nhelp: expected {{\"version\":1,\"tokens\":[[\"<pad>\",0],…]}}"
    )]
    VocabJson {
        /// The file.
        name: String,
        /// What the JSON reader found, with line and column.
        source: serde_json::Error,
    },

    /// A vocabulary of another version.
    #[error(
        "{name}: vocabulary version {found}, expected {expected}\nhelp: use the release that wrote the file"
    )]
    VocabVersion {
        /// The file.
        name: String,
        /// The version that this release reads.
        expected: u32,
        /// The version in the file.
        found: u32,
    },

    /// One of the four special tokens is not where it belongs.
    #[error(
        "{name}: vocabulary entry {id} must be {expected:?}, found {found}\n\
         help: the first four entries are <pad>, <unk>, <s>, </s> in this order"
    )]
    VocabSpecial {
        /// The file.
        name: String,
        /// The entry, 0-based: the token's id.
        id: usize,
        /// The special token.
        expected: &'static str,
        /// The token in its place, quoted, or `nothing`.
        found: String,
    },

    /// A vocabulary entry that cannot be: a duplicate, or an empty token.
    #[error("{name}: vocabulary entry {id} ({token:?}): {flaw}\nhelp: build the vocabulary again")]
    VocabEntry {
        /// The file.
        name: String,
        /// The entry, 0-based: the token's id.
        id: usize,
        /// The token.
        token: String,
        /// What is wrong with it.
        flaw: EntryFlaw,
    },

    /// A vocabulary without a token beside the special ones.
    #[error(
        "{name}: the vocabulary holds no token beside the four special ones\n\
         help: lower `min_freq`, and check that the training text is the right one"
    )]
    VocabEmpty {
        /// The file, or which vocabulary was being built.
        name: String,
    },

    /// An id that no token has.
    #[error(
        "token id {id} at position {position} is outside the vocabulary of {len} tokens\n\
         help: the ids come from a model with another vocabulary"
    )]
    TokenId {
        /// The id.
        id: u32,
        /// Its position in the sequence, 0-based.
        position: usize,
        /// The number of tokens, special ones included.
        len: usize,
    },

    /// Configuration values that make no sense; all of them at once.
    #[error("{}", join(.problems))]
    Config {
        /// One entry a bad value.
        problems: Vec<Problem>,
    },

    /// A part of the split came out without a pair.
    #[error(
        "the {set} split is empty: asked for {asked} of {pairs} pairs ({groups} distinct sources)\n\
         help: {help}"
    )]
    EmptySplit {
        /// `"train"`, `"dev"` or `"test"`.
        set: &'static str,
        /// The configured amount.
        asked: String,
        /// All pairs.
        pairs: usize,
        /// Distinct sources; all pairs of one source stay together.
        groups: usize,
        /// The next step.
        help: &'static str,
    },

    /// The data are to be cut into tokens in another way than those of the model that is trained further.
    #[error(
        "the model to start from has other tokens: its {side} has {expected}, data.{side} asks for {found}\n\
         help: set data.{side} to what the model has{}",
        if .expected.starts_with("pieces") { "; level = \"pieces\" without `tokenizer` takes its pieces as they are" }
        else { "" }
    )]
    OtherTokenizer {
        /// `src` or `tgt`.
        side: &'static str,
        /// The settings of the model's tokenizer.
        expected: String,
        /// The settings asked for.
        found: String,
    },

    /// One vocabulary was asked for, and the model that is trained further has two.
    #[error(
        "the model to start from has a source vocabulary of {src} tokens and another target vocabulary of {tgt}\n\
         help: set data.shared_vocab to false"
    )]
    NotShared {
        /// Tokens of the source vocabulary.
        src: usize,
        /// Tokens of the target vocabulary.
        tgt: usize,
    },

    /// No pair is left to train on.
    #[error("no training pair is left: {why}\nhelp: loosen the filter, or check the corpus")]
    NoExamples {
        /// What happened to the pairs.
        why: String,
    },

    /// More examples than a batch index can name.
    #[error("{found} examples, at most {limit} fit one plan\nhelp: train on shards")]
    TooManyExamples {
        /// The number of examples.
        found: usize,
        /// The largest number of examples.
        limit: usize,
    },

    /// A resume position that the data does not have.
    #[error(
        "cannot resume at batch {batch} of block {block} of epoch {epoch}: there are {batches} batches in it, and \
         {blocks} blocks\n\
         help: the position belongs to other data, another seed or another batch configuration"
    )]
    Position {
        /// The epoch.
        epoch: u64,
        /// The block asked for.
        block: u64,
        /// The batch asked for.
        batch: u64,
        /// The number of blocks in an epoch.
        blocks: u64,
        /// The number of batches in that block.
        batches: usize,
    },

    /// A file of a folder of shards is not as its manifest says.
    #[error(
        "{name}: damaged shards: {flaw}\nhelp: copy the folder again, or make it anew with `seqweave prepare`"
    )]
    Shards {
        /// The file, or the folder.
        name: String,
        /// What is wrong with it.
        flaw: ShardFlaw,
    },

    /// A folder of shards that was made with other settings than it is used with.
    #[error(
        "{name}: the shards were made with {found}, the configuration says {expected}\n\
         help: set the key as it was, or make the shards anew with `seqweave prepare`"
    )]
    ShardSettings {
        /// The folder.
        name: String,
        /// The settings that differ, as they are in the shards.
        found: String,
        /// The same settings, as they are in the configuration.
        expected: String,
    },

    /// Shards whose ids mean other tokens than those of the model that is to be trained on them.
    #[error(
        "{name}: the shards were made with other tokens than the model has\n\
         help: make them with the same train.init_from, or train on the text itself"
    )]
    ShardTokens {
        /// The folder.
        name: String,
    },

    /// A folder that was to be made is there already.
    #[error("{name}: is there already\nhelp: name a new folder, or remove this one first")]
    FolderExists {
        /// The folder.
        name: String,
    },

    /// An example that a shard does not have, or no longer has.
    #[error(
        "there is no example {example} among {examples}, or its shard was changed while it was in use\n\
         help: start again: every byte of the shards is verified when they are opened"
    )]
    ShardChanged {
        /// The example asked for.
        example: usize,
        /// How many there are.
        examples: usize,
    },

    /// A corpus that has not the pairs it had when it was read before.
    #[error(
        "{name}: the corpus was changed while it was being read: {expected} pairs at first, then {found}\n\
         help: start again when nothing writes to it"
    )]
    Changed {
        /// The corpora.
        name: String,
        /// Pairs of the first reading.
        expected: u64,
        /// Pairs of the second.
        found: u64,
    },

    /// The reading thread could not be started.
    #[error("cannot start the reading thread: {source}\nhelp: raise the limit of processes or free memory")]
    Thread {
        /// The reason of the operating system.
        source: io::Error,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One configuration value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, dotted from the table that was checked: `filter.max_len_ratio`.
    pub key: String,
    /// The allowed values.
    pub expected: &'static str,
    /// The value.
    pub found: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.key, self.expected, self.found)
    }
}

/// Collects [`Problem`]s so that one run names every bad key.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes that `key` is bad unless `good`.
    pub(crate) fn require(
        &mut self,
        good: bool,
        key: &str,
        expected: &'static str,
        found: impl fmt::Display,
    ) {
        if !good {
            self.0.push(Problem { key: key.to_owned(), expected, found: found.to_string() });
        }
    }

    /// Adds the problems of a nested table under its name.
    pub(crate) fn nest(&mut self, table: &str, inner: Problems) {
        self.0.extend(inner.0.into_iter().map(|p| Problem { key: format!("{table}.{}", p.key), ..p }));
    }

    /// Adds the problems of the same table.
    pub(crate) fn add(&mut self, more: Problems) {
        self.0.extend(more.0);
    }

    /// An error if anything was noted.
    pub(crate) fn into_result(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Config { problems: self.0 }) }
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
