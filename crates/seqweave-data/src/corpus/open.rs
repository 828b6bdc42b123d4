//! A file of text as lines, whatever it is packed in.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::lines::{Lines, Packing, read_lines};

/// The lines of a file.
pub(super) type FileLines = Lines<Box<dyn BufRead + Send>>;

/// The two bytes that every gzip member begins with.
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
/// The four bytes that every Zstandard frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Bytes read at a time.
const BUFFER: usize = 64 << 10;

/// Opens a file and finds out by its first bytes how it is packed.
pub(super) fn open_lines(path: &Path) -> Result<FileLines> {
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
    let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
    if let Err(source) = (&mut file).take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head) {
        return Err(Error::Io { name, action: "read", source });
    }
    if head.is_empty() {
        return Err(Error::EmptyFile { name });
    }
    let packing = if head.starts_with(&GZIP_MAGIC) {
        Some(Packing::Gzip)
    } else if head == ZSTD_MAGIC {
        Some(Packing::Zstd)
    } else {
        let found = |n: usize| head.iter().take(n).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        let ends_in = |ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        if ends_in("gz") {
            return Err(Error::NotGzip { name, found: found(GZIP_MAGIC.len()) });
        }
        if ends_in("zst") {
            return Err(Error::NotZstd { name, found: found(ZSTD_MAGIC.len()) });
        }
        None
    };
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(file));
    let reader: Box<dyn BufRead + Send> = match packing {
        None => Box::new(whole),
        Some(Packing::Gzip) => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole))),
        Some(Packing::Zstd) => match zstd::stream::read::Decoder::with_buffer(whole) {
            Ok(decoder) => Box::new(BufReader::with_capacity(BUFFER, decoder)),
            Err(source) => return Err(Error::Zstd { name, line: 0, source }),
        },
    };
    Ok(read_lines(reader, name).packed(packing))
}
