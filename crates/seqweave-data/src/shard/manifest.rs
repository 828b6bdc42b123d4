//! The manifest of a folder of shards: the text of every sealed folder of ours.
//!
//! ```text
//! seqweave-manifest 1
//! <BLAKE3 of the file>  <size in bytes>  <name>      sorted by name
//! blake3  <BLAKE3 of all lines above>
//! ```
//! A reader renders what it has parsed and compares the bytes, so there is no slack in which a flip could hide.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result, ShardFlaw};

/// The file name of the manifest.
pub(super) const MANIFEST: &str = "MANIFEST";
/// A manifest longer than this is refused unread; a hundred thousand shards need half of it.
const MAX_BYTES: u64 = 16 << 20;

/// One file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) hash: String,
}

impl Entry {
    pub(super) fn of(name: &str, bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes).to_hex().to_string();
        Self { name: name.to_owned(), size: bytes.len() as u64, hash }
    }
}

/// The one text of a manifest.
pub(super) fn render(files: &mut [Entry]) -> String {
    files.sort();
    let mut text = "seqweave-manifest 1\n".to_owned();
    for Entry { name, size, hash } in files {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{hash}  {size}  {name}");
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let _ = writeln!(text, "blake3  {hash}");
    text
}

/// Reads the manifest of `dir`.
pub(super) fn read(dir: &Path) -> Result<Vec<Entry>> {
    let path = dir.join(MANIFEST);
    let name = path.display().to_string();
    let flaw = |name: &str, flaw| Error::Shards { name: name.to_owned(), flaw };
    if !dir.is_dir() {
        return Err(Error::NotFound { name: dir.display().to_string() });
    }
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|source| Error::Io {
            name: name.clone(),
            action: "read",
            source,
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(flaw(&dir.display().to_string(), ShardFlaw::NoManifest));
        }
        Err(source) => return Err(Error::Io { name, action: "open", source }),
    };
    parse(&bytes).map_err(|why| flaw(&name, ShardFlaw::Manifest(why)))
}

fn parse(bytes: &[u8]) -> std::result::Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut files = Vec::new();
    for (line, n) in text.lines().zip(1..) {
        let is_end = line.starts_with("blake3  ");
        if n == 1 || is_end {
            continue;
        }
        let fields: Vec<&str> = line.splitn(3, "  ").collect();
        let [hash, size, name] = fields[..] else { return Err(format!("line {n} has not three fields")) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!("line {n}: {name:?} is no plain file name"));
        }
        let size = size.parse().map_err(|_| format!("line {n}: {size:?} is no size"))?;
        files.push(Entry { name: name.to_owned(), size, hash: hash.to_owned() });
    }
    if render(&mut files.clone()) != text {
        return Err("its text or its checksum is not what was written".to_owned());
    }
    Ok(files)
}

/// Compares a file with its entry, without holding it.
pub(super) fn verify(dir: &Path, entry: &Entry) -> Result<()> {
    let path = dir.join(&entry.name);
    let name = path.display().to_string();
    let flaw = |flaw| Error::Shards { name: name.clone(), flaw };
    let io = |action| {
        let name = name.clone();
        move |source| Error::Io { name, action, source }
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(flaw(ShardFlaw::Missing)),
        Err(source) => return Err(io("open")(source)),
    };
    let found = file.metadata().map_err(io("read"))?.len();
    if found != entry.size {
        return Err(flaw(ShardFlaw::Length { expected: entry.size, found }));
    }
    let mut hash = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(io("read")(source)),
        };
    }
    let found = hash.finalize().to_hex().to_string();
    if found != entry.hash {
        return Err(flaw(ShardFlaw::Hash { expected: entry.hash.clone(), found }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_text_is_accepted() {
        let mut files = vec![Entry::of("b.bin", b"two"), Entry::of("a.bin", b"one")];
        let text = render(&mut files);
        assert_eq!(parse(text.as_bytes()).unwrap(), files);
        assert!(text.contains("  3  a.bin\n"));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(parse(&bytes).is_err(), "a flip at {at}");
            assert!(parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        let mut escaped = vec![Entry::of("../b", b"")];
        assert!(parse(render(&mut escaped).as_bytes()).unwrap_err().contains("no plain file name"));
    }
}
