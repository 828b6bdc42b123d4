//! A simulated disk for tests: it records every call, replays the states a crash may leave, and fails on request.
//!
//! The crash model is the strict reading of POSIX.
//! Contents are safe only after the file was synced, names only after their folder was synced;
//! anything else may or may not have reached the disk, in any combination, and contents also by half or as zeros.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::rc::Rc;

use super::storage::{Entry, EntryKind, Storage, StorageFile};

/// With more combinations than this for one moment, the extreme ones and a random sample are tried.
const MAX_COMBINATIONS: usize = 4096;
/// Size of that random sample.
const SAMPLE: usize = 512;

/// A file system in memory.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Rc<RefCell<State>>);

/// A way in which a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this error, once.
    Once(io::ErrorKind),
    /// From this call on nothing can be created, written or synced: the disk is full.
    Full,
    /// If the call is a write, half of it is written and the disk is full from then on.
    ShortWrite,
}

/// A planted bug: tests must notice it, or they show nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Syncing a file does nothing.
    NoFileSync,
    /// Syncing a folder does nothing.
    NoDirSync,
}

#[derive(Debug, Clone)]
struct State {
    inodes: Vec<Inode>,
    settled: Vec<Inode>,
    log: Vec<Op>,
    calls: usize,
    fault: Option<(usize, Fault)>,
    full: bool,
    mutant: Option<Mutant>,
    max_write: usize,
}

impl Default for State {
    fn default() -> Self {
        let root = vec![Inode::Dir(BTreeMap::new())];
        State {
            inodes: root.clone(),
            settled: root,
            log: Vec::new(),
            calls: 0,
            fault: None,
            full: false,
            mutant: None,
            max_write: usize::MAX,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Inode {
    File(Vec<u8>),
    Dir(BTreeMap<String, usize>),
}

#[derive(Debug, Clone)]
enum Op {
    Link { dir: usize, name: String, inode: usize },
    Unlink { dir: usize, name: String, inode: usize },
    Rename { from: (usize, String), to: (usize, String), inode: usize },
    Write { inode: usize, offset: usize, bytes: Vec<u8> },
    SyncFile { inode: usize },
    SyncDir { inode: usize },
}

/// What a crash made of an operation that was not yet durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Lost,
    Half,
    Zeros,
}

impl SimDisk {
    /// An empty file system.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Declares everything so far durable, and forgets the record of calls.
    pub fn settle(&self) {
        let mut state = self.0.borrow_mut();
        state.settled = state.inodes.clone();
        state.log.clear();
        state.calls = 0;
    }

    /// Lets call number `call`, counted from 0 since [`SimDisk::settle`], fail.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.0.borrow_mut().fault = Some((call, fault));
    }

    /// The number of calls since [`SimDisk::settle`].
    pub fn calls(&self) -> usize {
        self.0.borrow().calls
    }

    /// Ends all faults: space is back, the cable is in.
    pub fn heal(&self) {
        let mut state = self.0.borrow_mut();
        state.fault = None;
        state.full = false;
    }

    /// Plants a bug.
    pub fn plant(&self, mutant: Mutant) {
        self.0.borrow_mut().mutant = Some(mutant);
    }

    /// Lets one write call take at most so many bytes.
    pub fn limit_writes(&self, bytes: usize) {
        self.0.borrow_mut().max_write = bytes.max(1);
    }

    /// An independent copy, with an empty record.
    pub fn copy(&self) -> SimDisk {
        let copy = SimDisk(Rc::new(RefCell::new(self.0.borrow().clone())));
        copy.heal();
        copy.settle();
        copy
    }

    /// Puts bytes into an existing file behind the program's back.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let inode = state.find(path).expect("the file is there");
        state.inodes[inode] = Inode::File(bytes.to_vec());
    }

    /// Calls `visit(disk, complete)` with each state that a crash may leave at any moment since [`SimDisk::settle`];
    /// `complete` says that the crash came after the last call. Returns the number of states.
    pub fn each_crash_state(&self, mut visit: impl FnMut(&SimDisk, bool)) -> usize {
        let state = self.0.borrow();
        let mut states = 0;
        for end in 0..=state.log.len() {
            let log = &state.log[..end];
            let pending: Vec<usize> = (0..end).filter(|&at| is_pending(log, at)).collect();
            for fates in combinations(log, &pending) {
                let crashed = state.after_crash(log, &pending, &fates);
                visit(&SimDisk(Rc::new(RefCell::new(crashed))), end == state.log.len());
                states += 1;
            }
        }
        states
    }

    /// Every path with its contents, to compare whole file systems.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.borrow();
        let mut tree = BTreeMap::new();
        let mut open = vec![(String::new(), 0)];
        while let Some((path, inode)) = open.pop() {
            match &state.inodes[inode] {
                Inode::File(bytes) => {
                    tree.insert(path, bytes.clone());
                }
                Inode::Dir(entries) => {
                    open.extend(entries.iter().map(|(name, &inode)| (format!("{path}/{name}"), inode)));
                }
            }
        }
        tree
    }
}

fn is_pending(log: &[Op], at: usize) -> bool {
    let later = &log[at + 1..];
    match &log[at] {
        Op::Write { inode, .. } => {
            !later.iter().any(|op| matches!(op, Op::SyncFile { inode: synced } if synced == inode))
        }
        Op::Link { dir, .. } | Op::Unlink { dir, .. } | Op::Rename { to: (dir, _), .. } => {
            !later.iter().any(|op| matches!(op, Op::SyncDir { inode } if inode == dir))
        }
        Op::SyncFile { .. } | Op::SyncDir { .. } => false,
    }
}

/// All combinations of fates where they are few; else the extremes, each single exception, and a random sample.
fn combinations(log: &[Op], pending: &[usize]) -> Vec<Vec<Fate>> {
    const NAME: &[Fate] = &[Fate::Done, Fate::Lost];
    const DATA: &[Fate] = &[Fate::Done, Fate::Lost, Fate::Half, Fate::Zeros];
    let choices: Vec<&[Fate]> =
        pending.iter().map(|&at| if matches!(log[at], Op::Write { .. }) { DATA } else { NAME }).collect();
    let total = choices.iter().fold(1usize, |total, choice| total.saturating_mul(choice.len()));
    let nth = |mut n: u64| -> Vec<Fate> {
        let pick = |choice: &&[Fate]| {
            let fate = choice[(n % choice.len() as u64) as usize];
            n /= choice.len() as u64;
            fate
        };
        choices.iter().map(pick).collect()
    };
    if total <= MAX_COMBINATIONS {
        return (0..total as u64).map(nth).collect();
    }
    let mut all = Vec::new();
    for rest in [Fate::Done, Fate::Lost] {
        all.push(vec![rest; pending.len()]);
        for (at, choice) in choices.iter().enumerate() {
            for &fate in choice.iter().filter(|&&fate| fate != rest) {
                let mut fates = vec![rest; pending.len()];
                fates[at] = fate;
                all.push(fates);
            }
        }
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..SAMPLE {
        let draw = |choice: &&[Fate]| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            choice[((seed >> 33) % choice.len() as u64) as usize]
        };
        all.push(choices.iter().map(draw).collect());
    }
    all
}

impl State {
    fn after_crash(&self, log: &[Op], pending: &[usize], fates: &[Fate]) -> State {
        let empty = |inode: &Inode| match inode {
            Inode::File(_) => Inode::File(Vec::new()),
            Inode::Dir(_) => Inode::Dir(BTreeMap::new()),
        };
        let mut inodes = self.settled.clone();
        inodes.extend(self.inodes[self.settled.len()..].iter().map(empty));
        for (at, op) in log.iter().enumerate() {
            let fate = pending.iter().position(|&index| index == at).map_or(Fate::Done, |index| fates[index]);
            if fate != Fate::Lost {
                apply(&mut inodes, op, fate);
            }
        }
        State { settled: inodes.clone(), inodes, ..State::default() }
    }

    /// Counts a call and fails it if its turn has come; true means a write is to be cut short.
    fn call(&mut self, needs_space: bool, is_write: bool) -> io::Result<bool> {
        let number = self.calls;
        self.calls += 1;
        if self.full && needs_space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match self.fault {
            Some((at, Fault::Once(kind))) if at == number => Err(kind.into()),
            Some((at, Fault::Full)) if at == number => {
                self.full = true;
                if needs_space { Err(io::ErrorKind::StorageFull.into()) } else { Ok(false) }
            }
            Some((at, Fault::ShortWrite)) if at == number && is_write => {
                self.full = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut inode = 0;
        for name in names(path)? {
            let Inode::Dir(entries) = &self.inodes[inode] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            inode = *entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(inode)
    }

    /// The folder that holds the last name of `path`, and that name.
    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let names = names(path)?;
        let (last, _) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("")))?;
        Ok((parent, (*last).to_string()))
    }

    fn entries(&self, dir: usize) -> io::Result<&BTreeMap<String, usize>> {
        match &self.inodes[dir] {
            Inode::Dir(entries) => Ok(entries),
            Inode::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn record(&mut self, op: Op) {
        apply(&mut self.inodes, &op, Fate::Done);
        self.log.push(op);
    }

    fn link_new(&mut self, path: &Path, inode: Inode) -> io::Result<usize> {
        let (dir, name) = self.parent(path)?;
        if self.entries(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.inodes.push(inode);
        let inode = self.inodes.len() - 1;
        self.record(Op::Link { dir, name, inode });
        Ok(inode)
    }

    fn unlink_tree(&mut self, dir: usize, name: String) {
        let Some(&inode) = self.entries(dir).ok().and_then(|entries| entries.get(&name)) else { return };
        if let Inode::Dir(entries) = &self.inodes[inode] {
            let children: Vec<String> = entries.keys().cloned().collect();
            for child in children {
                self.unlink_tree(inode, child);
            }
        }
        self.record(Op::Unlink { dir, name, inode });
    }
}

fn apply(inodes: &mut [Inode], op: &Op, fate: Fate) {
    let mut edit = |dir: usize, name: &str, change: &dyn Fn(Option<usize>) -> Option<usize>| {
        if let Inode::Dir(entries) = &mut inodes[dir] {
            match change(entries.get(name).copied()) {
                Some(inode) => entries.insert(name.to_string(), inode),
                None => entries.remove(name),
            };
        }
    };
    // A name is only removed while it still means the same file: an earlier loss may have kept another one there.
    let forget = |inode: usize| move |present: Option<usize>| present.filter(|&present| present != inode);
    match op {
        &Op::Link { dir, ref name, inode } => edit(dir, name, &|_| Some(inode)),
        &Op::Unlink { dir, ref name, inode } => edit(dir, name, &forget(inode)),
        Op::Rename { from, to, inode } => {
            edit(from.0, &from.1, &forget(*inode));
            edit(to.0, &to.1, &|_| Some(*inode));
        }
        Op::Write { inode, offset, bytes } => {
            let Inode::File(contents) = &mut inodes[*inode] else { return };
            let taken = if fate == Fate::Half { bytes.len() / 2 } else { bytes.len() };
            let end = offset + taken;
            if contents.len() < end {
                contents.resize(end, 0);
            }
            if fate != Fate::Zeros {
                contents[*offset..end].copy_from_slice(&bytes[..taken]);
            }
        }
        Op::SyncFile { .. } | Op::SyncDir { .. } => {}
    }
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}

struct SimFile {
    state: Rc<RefCell<State>>,
    inode: usize,
    offset: usize,
}

impl StorageFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let cut = state.call(true, true)?;
        let taken = if cut { bytes.len().div_ceil(2) } else { bytes.len() }.min(state.max_write);
        state.record(Op::Write { inode: self.inode, offset: self.offset, bytes: bytes[..taken].to_vec() });
        self.offset += taken;
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.call(true, false)?;
        if state.mutant != Some(Mutant::NoFileSync) {
            state.record(Op::SyncFile { inode: self.inode });
        }
        Ok(())
    }
}

impl Storage for SimDisk {
    fn create(&self, path: &Path, _mode: Option<u32>) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.0.borrow_mut();
        state.call(true, false)?;
        let inode = state.link_new(path, Inode::File(Vec::new()))?;
        Ok(Box::new(SimFile { state: Rc::clone(&self.0), inode, offset: 0 }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.call(true, false)?;
        state.link_new(path, Inode::Dir(BTreeMap::new())).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let inode = state.find(from)?;
        let (from, to) = (state.parent(from)?, state.parent(to)?);
        if let Some(&present) = state.entries(to.0)?.get(&to.1) {
            match (&state.inodes[inode], &state.inodes[present]) {
                (Inode::File(_), Inode::File(_)) => {}
                (Inode::Dir(_), Inode::Dir(entries)) if entries.is_empty() => {}
                (Inode::Dir(_), Inode::Dir(_)) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
                (Inode::File(_), Inode::Dir(_)) => return Err(io::ErrorKind::IsADirectory.into()),
                (Inode::Dir(_), Inode::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            }
        }
        state.record(Op::Rename { from, to, inode });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.call(true, false)?;
        let inode = state.find(path)?;
        if state.mutant != Some(Mutant::NoDirSync) {
            state.record(Op::SyncDir { inode });
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let (dir, name) = state.parent(path)?;
        match state.entries(dir)?.get(&name).map(|&inode| &state.inodes[inode]) {
            Some(Inode::File(_)) => {}
            Some(Inode::Dir(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        state.unlink_tree(dir, name);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let (dir, name) = state.parent(path)?;
        if !state.entries(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.unlink_tree(dir, name);
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let inode = state.find(path)?;
        match &state.inodes[inode] {
            Inode::File(bytes) => Ok(bytes.clone()),
            Inode::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let inode = match state.find(path) {
            Ok(inode) => inode,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (kind, len) = match &state.inodes[inode] {
            Inode::File(bytes) => (EntryKind::File, bytes.len() as u64),
            Inode::Dir(_) => (EntryKind::Dir, 0),
        };
        Ok(Some(Entry { kind, len, mode: None }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.0.borrow_mut();
        state.call(false, false)?;
        let inode = state.find(path)?;
        Ok(state.entries(inode)?.keys().cloned().collect())
    }
}
