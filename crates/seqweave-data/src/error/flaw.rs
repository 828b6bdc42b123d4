//! What is wrong with a byte, a vocabulary entry, a folder of shards: the ends of messages.

use std::fmt;

/// Why a byte sequence is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Utf8Flaw {
    /// A continuation byte (80–BF) with no start byte before it.
    LoneContinuation(u8),
    /// A longer encoding than the character needs (C0, C1, E0 80–9F, F0 80–8F).
    Overlong(u8),
    /// One half of a surrogate pair (ED A0–BF): CESU-8 or damaged UTF-16.
    Surrogate,
    /// A code point above U+10FFFF (F4 90–BF, F5–F7).
    TooLarge(u8),
    /// A byte that UTF-8 never uses (F8–FF); FE and FF often begin UTF-16.
    NeverValid(u8),
    /// The sequence ends before its last byte.
    CutShort(u8),
}

impl Utf8Flaw {
    /// Names the flaw of `bytes`, which begin at the first invalid byte.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let second = bytes.get(1).copied().unwrap_or(0);
        let continues = (0x80..=0xBF).contains(&second);
        match bytes.first().copied().unwrap_or(0) {
            b @ 0x80..=0xBF => Self::LoneContinuation(b),
            b @ 0xC0..=0xC1 => Self::Overlong(b),
            b @ 0xE0 if continues && second < 0xA0 => Self::Overlong(b),
            b @ 0xF0 if continues && second < 0x90 => Self::Overlong(b),
            0xED if continues && second >= 0xA0 => Self::Surrogate,
            b @ 0xF4 if continues && second >= 0x90 => Self::TooLarge(b),
            b @ 0xF5..=0xF7 => Self::TooLarge(b),
            b @ 0xF8..=0xFF => Self::NeverValid(b),
            b => Self::CutShort(b),
        }
    }
}

impl fmt::Display for Utf8Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoneContinuation(b) => write!(f, "continuation byte {b:02X} without a start byte"),
            Self::Overlong(b) => write!(f, "overlong encoding that begins with {b:02X}"),
            Self::Surrogate => write!(f, "half of a surrogate pair (ED A0–BF)"),
            Self::TooLarge(b) => write!(f, "code point above U+10FFFF that begins with {b:02X}"),
            Self::NeverValid(b @ 0xFE..) => {
                write!(f, "byte {b:02X}, which UTF-8 never uses; the file may be UTF-16")
            }
            Self::NeverValid(b) => write!(f, "byte {b:02X}, which UTF-8 never uses"),
            Self::CutShort(b) => write!(f, "sequence that begins with {b:02X} is cut short"),
        }
    }
}

/// What is wrong with a folder of shards, or with one of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardFlaw {
    /// The folder has no manifest: it was never finished, or is something else.
    NoManifest,
    /// The manifest is not exactly what was written.
    Manifest(String),
    /// A file that the manifest names is not there.
    Missing,
    /// A file has another length.
    Length {
        /// The length that it should have.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// The contents have another BLAKE3 hash.
    Hash {
        /// The hash in the manifest.
        expected: String,
        /// The hash of the file.
        found: String,
    },
    /// A file of JSON is not what `prepare` writes.
    Json(String),
    /// The folder is of another version.
    Version(u32),
    /// A file is too short for the header of a shard.
    Short,
    /// A file does not begin as a shard does.
    Magic,
    /// An id of so many bytes is neither of 2 nor 4.
    Width(usize),
    /// The ids of an example do not lie between those of its neighbours.
    Entry(usize),
    /// An example has an id that is in no vocabulary.
    Id {
        /// The example within its shard.
        example: usize,
        /// The id.
        id: u32,
        /// Tokens of the vocabulary.
        size: usize,
    },
    /// The shards have another number of examples than the description says.
    Examples {
        /// The number in the description.
        expected: u64,
        /// The number in the shards.
        found: u64,
    },
}

impl fmt::Display for ShardFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManifest => write!(f, "there is no MANIFEST in it"),
            Self::Manifest(why) => write!(f, "the manifest: {why}"),
            Self::Missing => write!(f, "the file is missing"),
            Self::Length { expected, found } => write!(f, "expected {expected} bytes, found {found}"),
            Self::Hash { expected, found } => write!(f, "expected the BLAKE3 hash {expected}, found {found}"),
            Self::Json(why) => write!(f, "{why}"),
            Self::Version(found) => write!(f, "version {found}, expected 1"),
            Self::Short => write!(f, "too short for the header of a shard"),
            Self::Magic => write!(f, "expected it to begin with SWSHARD1"),
            Self::Width(found) => write!(f, "expected ids of 2 or 4 bytes, found {found}"),
            Self::Entry(example) => write!(f, "the ids of example {example} are not where they should be"),
            Self::Id { example, id, size } => {
                write!(f, "example {example} has the id {id}, and the vocabulary {size} tokens")
            }
            Self::Examples { expected, found } => write!(f, "expected {expected} examples, found {found}"),
        }
    }
}

/// What is wrong with one vocabulary entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFlaw {
    /// An earlier entry, whose id is given, has the same token.
    DuplicateOf(usize),
    /// The token is the empty string.
    Empty,
}

impl fmt::Display for EntryFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateOf(id) => write!(f, "the same token as entry {id}, expected every token once"),
            Self::Empty => write!(f, "the token is empty, expected at least one character"),
        }
    }
}
