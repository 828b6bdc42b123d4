//! The manifest of a sealed folder: one exact text for one set of files.
//!
//! ```text
//! seqweave-manifest 1
//! <BLAKE3 of the file, 64 hexadecimal digits>  <size in bytes>  <name>
//! ...                                           sorted by name
//! blake3  <BLAKE3 of all lines above>
//! ```

use std::fmt::Write as _;
use std::path::Path;

use crate::{Error, Result};

/// The file name of the manifest.
pub const MANIFEST_NAME: &str = "MANIFEST";

/// The version of the manifest text that this program reads and writes.
pub const MANIFEST_VERSION: u32 = 1;

/// A manifest longer than this is refused unread; ten thousand files need a tenth of it.
pub(super) const MAX_MANIFEST_BYTES: u64 = 16 << 20;

const TITLE: &str = "seqweave-manifest";

/// The list of files in a sealed folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The files, sorted by name.
    pub files: Vec<FileEntry>,
}

/// One file of a sealed folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The plain file name.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of the contents, in hexadecimal.
    pub hash: String,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// The file is longer than any manifest.
    #[error("it has {found} bytes, expected at most {limit}")]
    TooLong {
        /// Its length.
        found: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The text is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The last line is cut off or missing.
    #[error("the text ends without its checksum line")]
    NoChecksum,
    /// The checksum of the text above the last line does not match.
    #[error("the checksum line says {expected}, the text above it has {found}")]
    Checksum {
        /// The hash in the last line.
        expected: String,
        /// The hash of the text.
        found: String,
    },
    /// The first line is not the title of a manifest.
    #[error("expected the line `seqweave-manifest {MANIFEST_VERSION}`, found {found:?}")]
    Title {
        /// The first line.
        found: String,
    },
    /// A line does not have its three fields.
    #[error("expected `hash  size  name`, found {found:?}")]
    Line {
        /// The line.
        found: String,
    },
    /// A name is not a plain file name.
    #[error("the file name {name:?} is refused: {rule}")]
    Name {
        /// The name.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The names are not in strictly rising order, so one may occur twice.
    #[error("{name:?} does not come after {previous:?}: names must be sorted and unique")]
    Order {
        /// The name.
        name: String,
        /// The name above it.
        previous: String,
    },
    /// The text says the right things in other bytes than this program would write.
    #[error("the text differs from the one way to write it")]
    NotCanonical,
}

impl Manifest {
    /// Describes files by their contents. The names must be plain and different.
    pub(super) fn describe(folder: &Path, files: &[(&str, &[u8])]) -> Result<Manifest> {
        let file_name = |name: &str, rule| Error::FileName { folder: folder.into(), name: name.into(), rule };
        let mut entries = Vec::with_capacity(files.len());
        for &(name, bytes) in files {
            if let Some(rule) = broken_name_rule(name) {
                return Err(file_name(name, rule));
            }
            let hash = blake3::hash(bytes).to_hex().to_string();
            entries.push(FileEntry { name: name.into(), size: bytes.len() as u64, hash });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(file_name(&twice[0].name, "a name may occur once"));
        }
        Ok(Manifest { files: entries })
    }

    /// The one text of this manifest.
    pub fn render(&self) -> String {
        let mut text = format!("{TITLE} {MANIFEST_VERSION}\n");
        for FileEntry { name, size, hash } in &self.files {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{hash}  {size}  {name}");
        }
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let _ = writeln!(text, "blake3  {hash}");
        text
    }

    /// Reads a manifest strictly: only the exact bytes that [`Manifest::render`] writes are accepted.
    ///
    /// # Errors
    /// [`Error::Manifest`] with line and byte offset; [`Error::ManifestVersion`] for an intact one of another version.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest> {
        let damaged = |line: usize, offset: usize, problem| Error::Manifest {
            path: path.into(),
            line,
            offset,
            problem,
        };
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let offset = error.valid_up_to();
                let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count();
                return Err(damaged(line, offset, ManifestProblem::NotUtf8));
            }
        };
        let lines = lines_with_offsets(text);
        let line_count = lines.len();
        let Some((body, &(sum_offset, sum_line))) = lines.split_last().map(|(last, body)| (body, last))
        else {
            return Err(damaged(1, 0, ManifestProblem::NoChecksum));
        };
        let Some(expected) = sum_line.strip_prefix("blake3  ").and_then(|rest| rest.strip_suffix('\n'))
        else {
            return Err(damaged(line_count, sum_offset, ManifestProblem::NoChecksum));
        };
        let found = blake3::hash(&bytes[..sum_offset]).to_hex().to_string();
        if found != expected {
            let problem = ManifestProblem::Checksum { expected: expected.into(), found };
            return Err(damaged(line_count, sum_offset, problem));
        }

        let title = body.first().map_or("", |&(_, line)| line.trim_end_matches('\n'));
        match title.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix(' ')) {
            Some(version) if version == MANIFEST_VERSION.to_string() => {}
            Some(version) => {
                return Err(Error::ManifestVersion {
                    path: path.into(),
                    found: version.into(),
                    supported: MANIFEST_VERSION,
                });
            }
            None => return Err(damaged(1, 0, ManifestProblem::Title { found: title.into() })),
        }
        let mut files: Vec<FileEntry> = Vec::new();
        for (index, &(offset, line)) in body.iter().enumerate().skip(1) {
            let entry = parse_line(line).map_err(|problem| damaged(index + 1, offset, problem))?;
            if let Some(previous) = files.last()
                && previous.name >= entry.name
            {
                let problem = ManifestProblem::Order { name: entry.name, previous: previous.name.clone() };
                return Err(damaged(index + 1, offset, problem));
            }
            files.push(entry);
        }
        let manifest = Manifest { files };
        let canonical = manifest.render();
        if canonical.as_bytes() != bytes {
            let offset = canonical.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
            let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count();
            return Err(damaged(line, offset, ManifestProblem::NotCanonical));
        }
        Ok(manifest)
    }
}

fn parse_line(line: &str) -> std::result::Result<FileEntry, ManifestProblem> {
    let line = line.trim_end_matches('\n');
    let bad = || ManifestProblem::Line { found: line.into() };
    let (hash, rest) = line.split_once("  ").ok_or_else(bad)?;
    let (size, name) = rest.split_once("  ").ok_or_else(bad)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let size = size.parse::<u64>().ok().filter(|_| is_hash).ok_or_else(bad)?;
    if let Some(rule) = broken_name_rule(name) {
        return Err(ManifestProblem::Name { name: name.into(), rule });
    }
    Ok(FileEntry { name: name.into(), size, hash: hash.into() })
}

/// The rule that `name` breaks, if it is not a plain file name on every system.
pub(super) fn broken_name_rule(name: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 200 {
        Some("a name has 1 to 200 characters")
    } else if !name.bytes().all(plain) {
        Some("a name consists of ASCII letters, digits, `.`, `_` and `-`")
    } else if name.starts_with('.') {
        Some("a name does not start with a dot")
    } else if name.eq_ignore_ascii_case(MANIFEST_NAME) {
        Some("this name belongs to the manifest")
    } else {
        None
    }
}

/// Splits after each newline, with the byte offset of each piece.
fn lines_with_offsets(text: &str) -> Vec<(usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let start = offset;
            offset += line.len();
            (start, line)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest text with a right checksum around any lines.
    fn sealed(lines: &str) -> Vec<u8> {
        format!("{lines}blake3  {}\n", blake3::hash(lines.as_bytes()).to_hex()).into_bytes()
    }

    fn problem(bytes: &[u8]) -> (usize, usize, ManifestProblem) {
        match Manifest::parse(Path::new("m/MANIFEST"), bytes) {
            Err(Error::Manifest { line, offset, problem, .. }) => (line, offset, problem),
            other => panic!("expected a manifest error, got {other:?}"),
        }
    }

    #[test]
    fn what_is_rendered_is_read() {
        let files: &[(&str, &[u8])] = &[("b.json", b"{}"), ("a.bin", &[0, 255])];
        let manifest = Manifest::describe(Path::new("m"), files).unwrap();
        assert_eq!(manifest.files[0].name, "a.bin");
        let text = manifest.render();
        assert!(text.starts_with("seqweave-manifest 1\n"), "{text}");
        assert_eq!(Manifest::parse(Path::new("m"), text.as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn hostile_names_are_refused_when_read_and_when_written() {
        let hash = "0".repeat(64);
        for name in [
            "../x",
            "a/b",
            "/etc/passwd",
            ".",
            "..",
            ".hidden",
            "a\\b",
            "a\0b",
            "a\u{202e}b",
            "a b",
            "",
            "manifest",
        ] {
            let (line, offset, problem) =
                problem(&sealed(&format!("seqweave-manifest 1\n{hash}  0  {name}\n")));
            assert_eq!((line, offset), (2, 20), "{name:?}");
            assert!(matches!(problem, ManifestProblem::Name { .. }), "{name:?}: {problem}");
            let written = Manifest::describe(Path::new("m"), &[(name, b"")]);
            assert!(matches!(written, Err(Error::FileName { .. })), "{name:?}");
        }
    }

    #[test]
    fn hostile_texts_are_refused_with_their_place() {
        let hash = "0".repeat(64);
        let entry = format!("{hash}  1  a\n");
        type Test = fn(&ManifestProblem) -> bool;
        let cases: &[(String, usize, usize, Test)] = &[
            ("other 1\n".into(), 1, 0, |p| matches!(p, ManifestProblem::Title { .. })),
            (format!("seqweave-manifest 1\n{entry}{entry}"), 3, 91, |p| {
                matches!(p, ManifestProblem::Order { .. })
            }),
            (format!("seqweave-manifest 1\n{hash}  99999999999999999999  a\n"), 2, 20, |p| {
                matches!(p, ManifestProblem::Line { .. })
            }),
            (format!("seqweave-manifest 1\n{hash}  01  a\n"), 2, 86, |p| {
                matches!(p, ManifestProblem::NotCanonical)
            }),
            (format!("seqweave-manifest 1\n{hash}  +1  a\n"), 2, 86, |p| {
                matches!(p, ManifestProblem::NotCanonical)
            }),
            (format!("seqweave-manifest 1\n{}  1  a\n", "A".repeat(64)), 2, 20, |p| {
                matches!(p, ManifestProblem::Line { .. })
            }),
            ("seqweave-manifest 1\n\n".into(), 2, 20, |p| matches!(p, ManifestProblem::Line { .. })),
        ];
        for (text, line, offset, is_expected) in cases {
            let (found_line, found_offset, found) = problem(&sealed(text));
            assert!(is_expected(&found), "{text:?}: {found}");
            assert_eq!((found_line, found_offset), (*line, *offset), "{text:?}: {found}");
        }
        assert_eq!(problem(b""), (1, 0, ManifestProblem::NoChecksum));
        assert_eq!(problem(b"seqweave-manifest 1\n\xff"), (2, 20, ManifestProblem::NotUtf8));
        assert_eq!(problem(b"seqweave-manifest 1\n").2, ManifestProblem::NoChecksum);
    }

    #[test]
    fn an_intact_manifest_of_a_later_version_is_named() {
        let error = Manifest::parse(Path::new("m/MANIFEST"), &sealed("seqweave-manifest 2\n")).unwrap_err();
        assert!(
            matches!(&error, Error::ManifestVersion { found, supported: 1, .. } if found == "2"),
            "{error}"
        );
    }
}
