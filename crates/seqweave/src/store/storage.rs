//! The few file-system calls that storage is built from, as a trait, and the real disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The file-system calls that sealed folders need.
///
/// The trait is the seam for crash and fault tests; programs use [`Disk`].
pub trait Storage {
    /// Creates a new, empty file; fails with `AlreadyExists` where there is one.
    /// `mode` sets the Unix permission bits, and is ignored elsewhere.
    fn create(&self, path: &Path, mode: Option<u32>) -> io::Result<Box<dyn StorageFile>>;
    /// Creates a folder whose parent exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file over another, or a folder to a name that is free.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable: names created in it, renamed into it, removed from it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Reads a regular file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Describes what is at a path without following a link; `None` where there is nothing.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;
    /// Lists the names in a folder, sorted; names that are not UTF-8 are not ours and are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
}

/// A file that is being written.
pub trait StorageFile {
    /// Appends some of `bytes` and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the contents durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// What a path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// File, folder or neither.
    pub kind: EntryKind,
    /// Length in bytes of a file.
    pub len: u64,
    /// Unix permission bits; `None` on other systems.
    pub mode: Option<u32>,
}

/// The kinds of things a path can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, which storage never follows.
    Link,
    /// A device, a pipe, a socket.
    Special,
}

impl EntryKind {
    /// The kind in words, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            EntryKind::File => "a regular file",
            EntryKind::Dir => "a folder",
            EntryKind::Link => "a symbolic link",
            EntryKind::Special => "a device, pipe or socket",
        }
    }
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

struct DiskFile(File);

impl StorageFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Storage for Disk {
    fn create(&self, path: &Path, mode: Option<u32>) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        #[cfg(unix)]
        if let Some(mode) = mode {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        #[cfg(not(unix))]
        let _ = mode;
        Ok(Box::new(DiskFile(file)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Only Unix can open a folder as a file; elsewhere the file system orders its own metadata.
        #[cfg(unix)]
        File::open(path)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Opening a pipe would block, so the kind is looked at first; the second look, at the open file,
        // notices when the path was swapped in between.
        let before = fs::symlink_metadata(path)?;
        if !before.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut file = File::open(path)?;
        let opened = file.metadata()?;
        if !opened.is_file() || !same_file(&before, &opened) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file was replaced while it was opened",
            ));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = if found.is_file() {
            EntryKind::File
        } else if found.is_dir() {
            EntryKind::Dir
        } else if found.is_symlink() {
            EntryKind::Link
        } else {
            EntryKind::Special
        };
        Ok(Some(Entry { kind, len: found.len(), mode: mode_of(&found) }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(unix)]
fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    a.len() == b.len()
}

#[cfg(unix)]
fn mode_of(found: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(found.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode_of(_found: &fs::Metadata) -> Option<u32> {
    None
}
