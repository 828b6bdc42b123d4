//! A folder of shards: written beside its place, verified, renamed; verified again whenever it is opened.
//!
//! | file | holds |
//! |---|---|
//! | `shard-00000.bin`, … | examples (see the module above) |
//! | `corpus.json` | settings, corpora and weights, what was dropped and why, the fingerprint |
//! | `source.vocab.json`, `target.vocab.json` | vocabularies |
//! | `source.tokenizer.json`, `target.tokenizer.json` | pieces, at the levels of pieces |
//! | `dev.jsonl`, `test.jsonl` | the pairs that were kept out of training |
//! | `MANIFEST` | size and BLAKE3 hash of each of them, and of itself |

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::manifest::{self, Entry, MANIFEST};
use super::map::Bytes;
use super::{Examples, Part, RawShard, Shard};
use crate::codec::{Codec, CodecFiles};
use crate::config::{DataConfig, SideConfig};
use crate::corpus::Pair;
use crate::error::{Error, Result, ShardFlaw};
use crate::known::Known;
use crate::prepare::PrepareReport;
use crate::subword::Subwords;
use crate::tokenize::{Level, Tokenizer};

/// The version of the files.
const VERSION: u32 = 1;
const INFO: &str = "corpus.json";
const HELD_OUT: [&str; 2] = ["dev.jsonl", "test.jsonl"];

/// What a folder of shards says about itself: the file `corpus.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardInfo {
    /// The version of the files.
    pub version: u32,
    /// The settings under which it was made, without the names of files: the folder and its files may be moved.
    pub settings: DataConfig,
    /// How source text becomes tokens; pieces have a file of their own.
    pub source: Tokenizer,
    /// How target text becomes tokens.
    pub target: Tokenizer,
    /// The corpora and their weights.
    pub parts: Vec<Part>,
    /// The examples.
    pub examples: u64,
    /// The hash of all ids, their order, and the weights.
    pub fingerprint: String,
    /// The fingerprint of the tokens of a model, if they were made for its further training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// What happened to the pairs.
    pub report: PrepareReport,
}

impl ShardInfo {
    pub(crate) fn new(
        config: &DataConfig,
        codecs: (&Codec, &Codec),
        parts: Vec<Part>,
        fingerprint: String,
        report: PrepareReport,
    ) -> Self {
        Self {
            version: VERSION,
            settings: nameless(config),
            source: codecs.0.tokenizer.clone(),
            target: codecs.1.tokenizer.clone(),
            examples: parts.iter().map(|part| part.examples).sum(),
            parts,
            fingerprint,
            known: None,
            report,
        }
    }
}

/// The settings without the names of files and without what only guards reading, so that files may be moved.
fn nameless(config: &DataConfig) -> DataConfig {
    let max_line_bytes = DataConfig::default().max_line_bytes;
    let (src, tgt) = (of_pieces(&config.src), of_pieces(&config.tgt));
    DataConfig { train: None, dev: None, test: None, max_line_bytes, src, tgt, ..config.clone() }
}

/// A side without the name of its tokenizer file, beside which the rules for tokens and vocabulary have no effect.
fn of_pieces(side: &SideConfig) -> SideConfig {
    match side.tokenizer {
        None => side.clone(),
        Some(_) => SideConfig {
            level: Level::Pieces,
            dropout: side.dropout,
            sampling: side.sampling,
            ..SideConfig::default()
        },
    }
}

/// A folder of shards, every byte of which has been verified.
#[derive(Debug)]
pub struct ShardFolder {
    /// What it says about itself.
    pub info: ShardInfo,
    /// The source side's tokenizer and vocabulary.
    pub src: Codec,
    /// The target side's tokenizer and vocabulary.
    pub tgt: Codec,
    /// The examples, in mapped files.
    pub examples: Examples,
    /// The validation pairs.
    pub dev: Vec<Pair>,
    /// The test pairs.
    pub test: Vec<Pair>,
}

impl ShardFolder {
    /// Opens a folder and verifies every byte of it, which reads it once; the threads of the pool share the work.
    ///
    /// # Errors
    /// [`Error::Shards`] with the file and what is wrong with it, [`Error::Io`], [`Error::NotFound`].
    pub fn open(dir: &Path) -> Result<Self> {
        let files = manifest::read(dir)?;
        files.par_iter().try_for_each(|entry| manifest::verify(dir, entry))?;
        let info: ShardInfo = read_info(dir)?;
        let read = |name: &str| Ok::<_, Error>((text(dir, name)?, named(dir, name)));
        let src = Codec::from_files(info.source.clone(), &CodecFiles::SOURCE, read)?;
        let tgt = Codec::from_files(info.target.clone(), &CodecFiles::TARGET, read)?;
        let sizes = (src.vocab.len(), tgt.vocab.len());
        let is_shard = |entry: &&Entry| entry.name.starts_with("shard-");
        let shards: Vec<&Entry> = files.iter().filter(is_shard).collect();
        let shards = shards.par_iter().map(|entry| open_shard(dir, &entry.name, sizes));
        let shards = shards.collect::<Result<Vec<Shard>>>()?;
        let examples = Examples::join(shards, info.fingerprint.clone(), info.parts.clone());
        let expected = info.parts.iter().map(|part| part.examples).sum();
        if examples.len() as u64 != expected || info.examples != expected {
            let flaw = ShardFlaw::Examples { expected, found: examples.len() as u64 };
            return Err(Error::Shards { name: named(dir, INFO), flaw });
        }
        let [dev, test] = HELD_OUT.map(|name| read_pairs(dir, name));
        Ok(Self { info, src, tgt, examples, dev: dev?, test: test? })
    }

    /// Compares the settings of a configuration with those that the shards were made with, and the pieces of the tokenizer
    /// files that it names with those in the folder.
    ///
    /// # Errors
    /// [`Error::ShardSettings`] with the keys that differ; that a tokenizer file cannot be read.
    pub fn check(&self, dir: &Path, config: &DataConfig) -> Result<()> {
        let (ours, theirs) = (settings(&nameless(&self.info.settings)), settings(&nameless(config)));
        if ours == theirs {
            for (key, side, codec) in [("src", &config.src, &self.src), ("tgt", &config.tgt, &self.tgt)] {
                let Some(file) = &side.tokenizer else { continue };
                if codec.tokenizer.subwords.as_ref() != Some(&Subwords::open(file)?) {
                    let found = format!("other pieces for data.{key}");
                    let expected = format!("data.{key}.tokenizer = {:?}", file.display().to_string());
                    return Err(Error::ShardSettings { name: dir.display().to_string(), found, expected });
                }
            }
            return Ok(());
        }
        let side = |lines: Vec<&String>| lines.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let found = side(ours.iter().filter(|line| !theirs.contains(line)).collect());
        let expected = side(theirs.iter().filter(|line| !ours.contains(line)).collect());
        Err(Error::ShardSettings { name: dir.display().to_string(), found, expected })
    }

    /// Checks that the ids are those that the text would get for the further training of a model, or of a new one.
    ///
    /// # Errors
    /// [`Error::ShardTokens`], or [`Error::ShardSettings`] where there is no model and the shards were made for one.
    pub fn check_tokens(&self, dir: &Path, known: Option<Known<'_>>) -> Result<()> {
        let name = dir.display().to_string();
        match (known, &self.info.known) {
            (None, None) => Ok(()),
            (None, Some(_)) => {
                let found = "the tokens of a model (train.init_from)".to_owned();
                Err(Error::ShardSettings { name, found, expected: "nothing of a model".to_owned() })
            }
            (Some(known), _) if known.reads(&self.src, &self.tgt) => Ok(()),
            (Some(known), Some(with)) if known.extend && known.fingerprint() == *with => Ok(()),
            (Some(_), _) => Err(Error::ShardTokens { name }),
        }
    }
}

/// Settings as lines `data.key = value`.
fn settings(config: &DataConfig) -> Vec<String> {
    fn walk(key: String, value: &serde_json::Value, lines: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(table) => {
                table.iter().for_each(|(name, value)| walk(format!("{key}.{name}"), value, lines));
            }
            value => lines.push(format!("{key} = {value}")),
        }
    }
    let mut lines = Vec::new();
    // Settings without paths are always JSON.
    walk("data".to_owned(), &serde_json::to_value(config).unwrap_or_default(), &mut lines);
    lines
}

/// Only the version, so that a folder of a later one is refused for that reason and no other.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

fn read_info(dir: &Path) -> Result<ShardInfo> {
    let flaw = |flaw| Error::Shards { name: named(dir, INFO), flaw };
    let json = |error: serde_json::Error| flaw(ShardFlaw::Json(error.to_string()));
    let text = text(dir, INFO)?;
    let VersionOnly { version } = serde_json::from_str(&text).map_err(json)?;
    if version != VERSION {
        return Err(flaw(ShardFlaw::Version(version)));
    }
    serde_json::from_str(&text).map_err(json)
}

fn open_shard(dir: &Path, name: &str, sizes: (usize, usize)) -> Result<Shard> {
    let io = |action| move |source| Error::Io { name: named(dir, name), action, source };
    let file = File::open(dir.join(name)).map_err(io("open"))?;
    let bytes = Bytes::map(&file).map_err(io("map"))?;
    let checked = Shard::new(bytes).and_then(|shard| shard.check(sizes).map(|()| shard));
    let shard = checked.map_err(|flaw| Error::Shards { name: named(dir, name), flaw })?;
    shard.bytes.forget();
    Ok(shard)
}

fn named(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

fn text(dir: &Path, name: &str) -> Result<String> {
    fs::read_to_string(dir.join(name)).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Shards { name: named(dir, name), flaw: ShardFlaw::Missing },
        _ => Error::Io { name: named(dir, name), action: "read", source },
    })
}

/// One pair of `dev.jsonl` or `test.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    src: String,
    tgt: String,
    line: u64,
}

fn read_pairs(dir: &Path, name: &str) -> Result<Vec<Pair>> {
    let pair = |line: &str| {
        let Line { src, tgt, line } = serde_json::from_str(line).map_err(|error| Error::Shards {
            name: named(dir, name),
            flaw: ShardFlaw::Json(error.to_string()),
        })?;
        Ok(Pair { src, tgt, line })
    };
    text(dir, name)?.lines().map(pair).collect()
}

/// Writes a folder of shards under a temporary name beside its place; dropped before [`ShardWriter::seal`], it takes
/// what it wrote with it.
#[derive(Debug)]
pub(crate) struct ShardWriter {
    dir: PathBuf,
    temporary: PathBuf,
    files: Vec<Entry>,
    /// Raw shards that were put aside.
    raw: usize,
}

impl ShardWriter {
    /// Begins a folder `dir`, which must not exist yet.
    pub(crate) fn begin(dir: &Path) -> Result<Self> {
        let name = dir.display().to_string();
        if dir.symlink_metadata().is_ok() {
            return Err(Error::FolderExists { name });
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.exists()) {
            return Err(Error::NotFound { name: parent.display().to_string() });
        }
        let plain = dir.file_name().and_then(|name| name.to_str()).unwrap_or("shards");
        let temporary = dir.with_file_name(format!(".tmp-{plain}-{}", std::process::id()));
        let make = || {
            // A leftover of a process that had this number means nothing to anyone.
            if temporary.exists() {
                fs::remove_dir_all(&temporary)?;
            }
            fs::create_dir(&temporary)
        };
        make().map_err(|source| Error::Io { name, action: "make", source })?;
        Ok(Self { dir: dir.to_owned(), temporary, files: Vec::new(), raw: 0 })
    }

    /// Puts a raw shard aside until there is a vocabulary.
    pub(crate) fn put_aside(&mut self, shard: &RawShard) -> Result<()> {
        let path = self.raw_path(self.raw);
        self.raw += 1;
        let mut bytes = vec![0; 8 + 8 * shard.entries.len() + 4 * shard.ids.len()];
        let (head, rest) = bytes.split_at_mut(8);
        let (entries, ids) = rest.split_at_mut(8 * shard.entries.len());
        head.copy_from_slice(&(shard.entries.len() as u64).to_le_bytes());
        let place = |to: &mut [u8], number: u32| to.copy_from_slice(&number.to_le_bytes());
        for (to, &(start, src)) in entries.chunks_exact_mut(8).zip(&shard.entries) {
            place(&mut to[..4], start);
            place(&mut to[4..], src);
        }
        ids.chunks_exact_mut(4).zip(&shard.ids).for_each(|(to, id)| place(to, *id));
        fs::write(&path, bytes).map_err(|source| self.io("write", source))
    }

    /// Turns every raw shard into a shard; the last one is written while the next is made.
    pub(crate) fn pack(&mut self, mut pack: impl FnMut(&RawShard) -> Vec<u8>) -> Result<()> {
        let this = &*self;
        let written = std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<(String, Vec<u8>)>(0);
            let write = move || {
                let entry = |(name, bytes): (String, Vec<u8>)| {
                    this.write_synced(&name, &bytes).map(|()| Entry::of(&name, &bytes))
                };
                receiver.into_iter().map(entry).collect::<Result<Vec<_>>>()
            };
            let writing = std::thread::Builder::new().name("seqweave-write".to_owned());
            let writing = writing.spawn_scoped(scope, write).map_err(|source| Error::Thread { source })?;
            for i in 0..this.raw {
                let path = this.raw_path(i);
                let bytes = fs::read(&path).map_err(|source| this.io("read", source))?;
                let shard = raw_shard(&bytes).ok_or_else(|| {
                    let source = std::io::ErrorKind::UnexpectedEof.into();
                    this.io("read back", source)
                })?;
                drop(bytes);
                // The other end is gone: it has an error to tell.
                if sender.send((format!("shard-{i:05}.bin"), pack(&shard))).is_err() {
                    break;
                }
                fs::remove_file(&path).map_err(|source| this.io("remove", source))?;
            }
            drop(sender);
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.files.extend(written);
        Ok(())
    }

    /// Writes everything but the shards.
    pub(crate) fn describe(
        &mut self,
        info: &ShardInfo,
        codecs: (&Codec, &Codec),
        held_out: [&[Pair]; 2],
    ) -> Result<()> {
        let mut json = serde_json::to_string_pretty(info).expect("plain structs are always JSON");
        json.push('\n');
        self.write(INFO, json.as_bytes())?;
        let (src, tgt) = (codecs.0.to_files(&CodecFiles::SOURCE), codecs.1.to_files(&CodecFiles::TARGET));
        for (name, json) in src.into_iter().chain(tgt) {
            self.write(name, json.as_bytes())?;
        }
        for (pairs, name) in held_out.into_iter().zip(HELD_OUT) {
            let mut text = String::new();
            for Pair { src, tgt, line } in pairs {
                let line = Line { src: src.clone(), tgt: tgt.clone(), line: *line };
                text.push_str(&serde_json::to_string(&line).expect("texts are always JSON"));
                text.push('\n');
            }
            self.write(name, text.as_bytes())?;
        }
        Ok(())
    }

    /// Writes the manifest, reads everything back, and gives the folder its name.
    pub(crate) fn seal(mut self) -> Result<()> {
        let text = manifest::render(&mut self.files);
        self.write_synced(MANIFEST, text.as_bytes())?;
        let files = manifest::read(&self.temporary)?;
        files.par_iter().try_for_each(|entry| manifest::verify(&self.temporary, entry))?;
        let parent = match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let publish = || {
            sync_dir(&self.temporary)?;
            fs::rename(&self.temporary, &self.dir)?;
            sync_dir(parent)
        };
        publish().map_err(|source| self.io("publish", source))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.push(Entry::of(name, bytes));
        self.write_synced(name, bytes)
    }

    fn write_synced(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let write = || {
            let mut file = File::create_new(self.temporary.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|source| self.io("write", source))
    }

    fn raw_path(&self, i: usize) -> PathBuf {
        self.temporary.join(format!("raw-{i:05}"))
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::Io { name: self.dir.display().to_string(), action, source }
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        // After `seal` there is nothing under this name. Before it, what is left means nothing to anyone.
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

fn raw_shard(bytes: &[u8]) -> Option<RawShard> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let entries = usize::try_from(u64::from_le_bytes(head.try_into().ok()?)).ok()?;
    let (entries, ids) = rest.split_at_checked(entries.checked_mul(8)?)?;
    let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    Some(RawShard {
        entries: entries.chunks_exact(8).map(|b| (number(b), number(&b[4..]))).collect(),
        ids: ids.chunks_exact(4).map(number).collect(),
    })
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    // Only Unix lets a folder be opened and flushed.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
