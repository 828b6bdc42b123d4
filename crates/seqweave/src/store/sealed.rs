//! Writing and reading sealed folders, and replacing single files in one rename.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::manifest::{FileEntry, MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, ManifestProblem};
use super::storage::{EntryKind, Storage};
use crate::{Error, Result};

/// Prefix of everything that is being written; a leftover after a crash means nothing to anyone.
const TEMPORARY: &str = ".tmp-";
/// Prefix of a folder that [`replace_folder`] has moved aside for the moment between its two renames.
const OLD: &str = ".old-";

/// A sealed folder whose every listed byte has been verified and is held in memory.
///
/// Holding the bytes means that what was verified is what is used, whatever happens to the files afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFolder {
    folder: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
}

impl SealedFolder {
    /// The folder the files came from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of the files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// [`Error::NotListed`] when the manifest does not list it.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        self.files.get(name).map(Vec::as_slice).ok_or_else(|| self.not_listed(name))
    }

    /// Moves the contents of a file out, so that a large one need not be held twice.
    ///
    /// # Errors
    /// [`Error::NotListed`] when the manifest does not list it.
    pub fn take(&mut self, name: &str) -> Result<Vec<u8>> {
        self.files.remove(name).ok_or_else(|| self.not_listed(name))
    }

    fn not_listed(&self, name: &str) -> Error {
        let present = self.files.keys().cloned().collect();
        Error::NotListed { folder: self.folder.clone(), name: name.into(), present }
    }
}

/// Writes files as a new sealed folder `dir`, whose parent exists.
///
/// The folder appears in one rename after everything in it is durable and has been read back.
/// An error leaves nothing behind, except that after a failed sync of the parent the complete folder stays.
///
/// # Errors
/// [`Error::Exists`] when `dir` is taken, [`Error::FileName`] for a name that is not plain,
/// [`Error::Io`] naming call and path, and the errors of [`verify_folder`] when the read-back differs.
pub fn write_folder(storage: &dyn Storage, dir: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    if entry(storage, dir)?.is_some() {
        return Err(Error::Exists { path: dir.into() });
    }
    let temporary = write_beside(storage, dir, files)?;
    if let Err(error) = rename(storage, &temporary, dir) {
        discard(storage, &temporary);
        return Err(error);
    }
    sync_dir(storage, &parent_of(dir)?)
}

/// Writes files as the sealed folder `dir`, in place of what may be there.
///
/// No plain rename exchanges two folders, so the old one is first moved to `.old-NAME` beside it.
/// There is never a moment without the old or the new folder: [`read_folder`] looks under that name
/// when `dir` is not there.
///
/// # Errors
/// As [`write_folder`]; the old folder is then still in place.
pub fn replace_folder(storage: &dyn Storage, dir: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let parent = parent_of(dir)?;
    let old = old_name(dir)?;
    let temporary = write_beside(storage, dir, files)?;
    let swap = || -> Result<()> {
        if entry(storage, dir)?.is_none() {
            return rename(storage, &temporary, dir);
        }
        if entry(storage, &old)?.is_some() {
            storage.remove_dir_all(&old).map_err(io_error("remove", &old))?;
        }
        rename(storage, dir, &old)?;
        rename(storage, &temporary, dir).inspect_err(|_| {
            // Best effort: where this fails too, readers still find the folder under its old name.
            let _ = storage.rename(&old, dir);
        })
    };
    if let Err(error) = swap() {
        discard(storage, &temporary);
        return Err(error);
    }
    sync_dir(storage, &parent)?;
    if entry(storage, &old)?.is_some() {
        storage.remove_dir_all(&old).map_err(io_error("remove", &old))?;
    }
    Ok(())
}

/// Reads a sealed folder and verifies every byte of it. Files that the manifest does not list are ignored.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::NoManifest`], [`Error::Manifest`], [`Error::ManifestVersion`], [`Error::MissingFile`],
/// [`Error::WrongKind`], [`Error::Size`], [`Error::Hash`], [`Error::Io`].
pub fn read_folder(storage: &dyn Storage, dir: &Path) -> Result<SealedFolder> {
    let folder = live_name(storage, dir)?;
    let manifest = read_manifest(storage, &folder)?;
    let mut files = BTreeMap::new();
    for listed in &manifest.files {
        let bytes = read_listed(storage, &folder, listed)?;
        files.insert(listed.name.clone(), bytes);
    }
    Ok(SealedFolder { folder: dir.into(), files })
}

/// Verifies every byte of a sealed folder while holding one file at a time.
///
/// # Errors
/// As [`read_folder`].
pub fn verify_folder(storage: &dyn Storage, dir: &Path) -> Result<Manifest> {
    let folder = live_name(storage, dir)?;
    let manifest = read_manifest(storage, &folder)?;
    for listed in &manifest.files {
        read_listed(storage, &folder, listed)?;
    }
    Ok(manifest)
}

/// Replaces the file `path` in one rename, keeping the permission bits of an existing one.
///
/// # Errors
/// [`Error::Io`] naming call and path, [`Error::WrongKind`] where `path` is a folder or no regular file.
/// The old contents are then still in place.
pub fn write_file_atomic(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let mode = match entry(storage, path)? {
        Some(found) if found.kind == EntryKind::File => found.mode,
        Some(found) => return Err(wrong_kind(path, EntryKind::File, found.kind)),
        None => None,
    };
    let temporary = temporary_name(path)?;
    let result =
        write_synced(storage, &temporary, mode, bytes).and_then(|()| rename(storage, &temporary, path));
    if let Err(error) = result {
        let _ = storage.remove_file(&temporary);
        return Err(error);
    }
    sync_dir(storage, &parent_of(path)?)
}

/// Cleans up after interrupted writes in a folder, and returns the names that were removed.
///
/// An unfinished write is removed. A folder that [`replace_folder`] had moved aside gets its name back,
/// unless the new one has it.
/// Only the one process that writes there may call it, since another's unfinished write looks the same.
///
/// # Errors
/// [`Error::Io`] naming call and path.
pub fn clean_temporaries(storage: &dyn Storage, parent: &Path) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for name in storage.list(parent).map_err(io_error("list", parent))? {
        let path = parent.join(&name);
        let is_removed = match name.strip_prefix(OLD) {
            Some(target) => !restore(storage, &path, &parent.join(target))?,
            None => name.starts_with(TEMPORARY),
        };
        if is_removed {
            match entry(storage, &path)?.map(|found| found.kind) {
                Some(EntryKind::Dir) => storage.remove_dir_all(&path).map_err(io_error("remove", &path))?,
                Some(_) => storage.remove_file(&path).map_err(io_error("remove", &path))?,
                None => continue,
            }
            removed.push(name);
        }
    }
    Ok(removed)
}

/// Gives a folder that was moved aside its name back; false when the name is taken.
fn restore(storage: &dyn Storage, old: &Path, target: &Path) -> Result<bool> {
    if entry(storage, target)?.is_some() {
        return Ok(false);
    }
    rename(storage, old, target)?;
    sync_dir(storage, &parent_of(target)?)?;
    Ok(true)
}

/// Writes and verifies the folder under a temporary name beside `dir`, and returns that name.
fn write_beside(storage: &dyn Storage, dir: &Path, files: &[(&str, &[u8])]) -> Result<PathBuf> {
    let manifest = Manifest::describe(dir, files)?;
    let temporary = temporary_name(dir)?;
    let build = || -> Result<()> {
        storage.create_dir(&temporary).map_err(io_error("create the folder", &temporary))?;
        for &(name, bytes) in files {
            write_synced(storage, &temporary.join(name), None, bytes)?;
        }
        write_synced(storage, &temporary.join(MANIFEST_NAME), None, manifest.render().as_bytes())?;
        sync_dir(storage, &temporary)?;
        let written = verify_folder(storage, &temporary)?;
        debug_assert_eq!(written, manifest);
        Ok(())
    };
    match build() {
        Ok(()) => Ok(temporary),
        Err(error) => {
            discard(storage, &temporary);
            Err(error)
        }
    }
}

fn read_manifest(storage: &dyn Storage, folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST_NAME);
    let found = entry(storage, &path)?.ok_or_else(|| Error::NoManifest { folder: folder.into() })?;
    if found.kind != EntryKind::File {
        return Err(wrong_kind(&path, EntryKind::File, found.kind));
    }
    if found.len > MAX_MANIFEST_BYTES {
        let problem = ManifestProblem::TooLong { found: found.len, limit: MAX_MANIFEST_BYTES };
        return Err(Error::Manifest { path, line: 1, offset: 0, problem });
    }
    let bytes = storage.read(&path).map_err(io_error("read", &path))?;
    Manifest::parse(&path, &bytes)
}

fn read_listed(storage: &dyn Storage, folder: &Path, listed: &FileEntry) -> Result<Vec<u8>> {
    let path = folder.join(&listed.name);
    let found = entry(storage, &path)?.ok_or_else(|| Error::MissingFile { path: path.clone() })?;
    if found.kind != EntryKind::File {
        return Err(wrong_kind(&path, EntryKind::File, found.kind));
    }
    // The size is compared before a byte is read, so a listed size never decides how much is allocated.
    if found.len != listed.size {
        return Err(Error::Size { path, expected: listed.size, found: found.len });
    }
    let bytes = storage.read(&path).map_err(io_error("read", &path))?;
    if bytes.len() as u64 != listed.size {
        return Err(Error::Size { path, expected: listed.size, found: bytes.len() as u64 });
    }
    let hash = blake3::hash(&bytes).to_hex().to_string();
    if hash != listed.hash {
        return Err(Error::Hash { path, expected: listed.hash.clone(), found: hash });
    }
    Ok(bytes)
}

/// `dir`, or the name under which [`replace_folder`] keeps it between its two renames.
fn live_name(storage: &dyn Storage, dir: &Path) -> Result<PathBuf> {
    if let Some(found) = entry(storage, dir)? {
        // A link to the folder itself is the caller's own choice of path and is followed by the file system.
        return match found.kind {
            EntryKind::Dir | EntryKind::Link => Ok(dir.into()),
            kind => Err(wrong_kind(dir, EntryKind::Dir, kind)),
        };
    }
    match old_name(dir) {
        Ok(old) if entry(storage, &old)?.is_some() => Ok(old),
        _ => Err(Error::NoFolder { folder: dir.into() }),
    }
}

fn write_synced(storage: &dyn Storage, path: &Path, mode: Option<u32>, bytes: &[u8]) -> Result<()> {
    let mut file = storage.create(path, mode).map_err(io_error("create", path))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io_error("write", path)(io::ErrorKind::WriteZero.into())),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("write", path)(error)),
        }
    }
    file.sync().map_err(io_error("sync", path))
}

fn rename(storage: &dyn Storage, from: &Path, to: &Path) -> Result<()> {
    storage.rename(from, to).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Error::Exists { path: to.into() },
        _ => Error::Io { op: "move the finished write to", path: to.into(), source },
    })
}

fn sync_dir(storage: &dyn Storage, path: &Path) -> Result<()> {
    storage.sync_dir(path).map_err(io_error("sync the folder", path))
}

fn entry(storage: &dyn Storage, path: &Path) -> Result<Option<super::Entry>> {
    storage.entry(path).map_err(io_error("look at", path))
}

/// Removes an unfinished write; the error that made it unfinished is the one to report.
fn discard(storage: &dyn Storage, temporary: &Path) {
    let _ = storage.remove_dir_all(temporary);
}

fn wrong_kind(path: &Path, expected: EntryKind, found: EntryKind) -> Error {
    Error::WrongKind { path: path.into(), expected: expected.describe(), found: found.describe() }
}

fn io_error(op: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { op, path: path.clone(), source }
}

fn parent_of(path: &Path) -> Result<PathBuf> {
    file_name(path)?;
    Ok(match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    })
}

fn old_name(dir: &Path) -> Result<PathBuf> {
    Ok(parent_of(dir)?.join(format!("{OLD}{}", file_name(dir)?)))
}

/// A name beside `path` that no other write, of this process or another, is using.
fn temporary_name(path: &Path) -> Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = file_name(path)?;
    Ok(parent_of(path)?.join(format!("{TEMPORARY}{name}-{}-{count}", std::process::id())))
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| Error::FileName {
        folder: path.parent().unwrap_or(Path::new("")).into(),
        name: path.to_string_lossy().into_owned(),
        rule: "a target ends in a UTF-8 name",
    })
}

#[cfg(test)]
mod tests;
