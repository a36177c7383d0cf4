//! The contents of a disk after a power cut: everything synced, and a random part of the rest.
//!
//! It is rebuilt from the journal of `shim.c` by what POSIX promises and no more: a file's bytes are safe
//! after an fsync of the file, its name after an fsync of the directory, and of what was not synced each
//! sector of 512 bytes may be there or not, in any order. So this shows what kill -9 cannot: the kernel keeps
//! what a killed process has written, whether it was synced or not.
//!
//! After a failed fsync its data is lost, and a later fsync that succeeds does not bring it back, as on
//! Linux.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Dice;

const SECTOR: usize = 512;

/// A change to the bytes of a file.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { size: usize },
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    /// With the place of each in the order of all changes.
    unsynced: Vec<(u64, Change)>,
}

/// A change to the names in a directory. A directory that was made has no content.
#[derive(Debug, Clone)]
enum Naming {
    Put { name: PathBuf, content: Option<usize> },
    Remove { name: PathBuf },
}

/// What an entry of the journal is, besides a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Noted {
    Change,
    Sync,
    /// An answer 202, as it was sent.
    Answer(String),
}

/// What a power cut does with what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it is gone.
    Everything,
    /// What came first is there, up to some change.
    FromSomePoint,
    /// Any of it may be there, whole or torn.
    Anything,
}

impl Loss {
    pub(crate) fn any(dice: &mut Dice) -> Loss {
        [Loss::Everything, Loss::FromSomePoint, Loss::Anything][dice.below(3) as usize]
    }
}

/// The disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    contents: Vec<Content>,
    /// By inode number.
    open: BTreeMap<u64, usize>,
    /// As the running system sees it.
    names: BTreeMap<PathBuf, Option<usize>>,
    synced_names: BTreeMap<PathBuf, Option<usize>>,
    namings: Vec<(u64, Naming)>,
    steps: u64,
    /// Whether it keeps nothing of what is synced, as if nobody had asked it to.
    is_deaf: bool,
}

impl Disk {
    /// What is below a directory now, all of it synced.
    pub(crate) fn of(root: &Path) -> Disk {
        let root = root.canonicalize().unwrap();
        let mut disk = Disk {
            root: root.clone(),
            contents: vec![],
            open: BTreeMap::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            namings: vec![],
            steps: 0,
            is_deaf: false,
        };
        disk.add(&root);
        disk.synced_names = disk.names.clone();
        disk
    }

    /// The same disk, on which a sync of a file does nothing: to see that a test would notice.
    pub(crate) fn deaf(&self) -> Disk {
        Disk { is_deaf: true, ..self.clone() }
    }

    fn add(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.names.insert(path.clone(), None);
                self.add(&path);
            } else if !is_shared_memory(&path) {
                self.contents.push(Content { synced: fs::read(&path).unwrap(), unsynced: vec![] });
                let content = self.contents.len() - 1;
                self.open.insert(fs::metadata(&path).unwrap().ino(), content);
                self.names.insert(path, Some(content));
            }
        }
    }

    /// Plays the next entry of the journal.
    pub(crate) fn play(&mut self, entry: &Entry) -> Noted {
        self.steps += 1;
        let Entry { op, path, file, offset, data } = entry;
        let at = usize::try_from(*offset).unwrap();
        match op {
            1 => {
                self.contents.push(Content::default());
                let content = self.contents.len() - 1;
                self.open.insert(*file, content);
                self.name(Naming::Put { name: path.clone(), content: Some(content) });
            }
            2 => self.change(*file, Change::Write { offset: at, data: data.clone() }),
            3 => self.change(*file, Change::Truncate { size: at }),
            4 if self.is_deaf => return Noted::Sync,
            4 => {
                if let Some(content) = self.content(*file) {
                    let unsynced = std::mem::take(&mut content.unsynced);
                    unsynced.iter().for_each(|(_, change)| apply(&mut content.synced, change));
                }
                return Noted::Sync;
            }
            5 => {
                if let Some(content) = self.content(*file) {
                    content.unsynced.clear();
                }
            }
            6 => self.name(Naming::Remove { name: path.clone() }),
            7 => {
                let content = *self.names.get(path).expect("what is renamed is there");
                let to = PathBuf::from(std::str::from_utf8(data).unwrap());
                self.name(Naming::Put { name: to, content });
                self.name(Naming::Remove { name: path.clone() });
            }
            8 => self.name(Naming::Put { name: path.clone(), content: None }),
            9 => {
                let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.namings)
                    .into_iter()
                    .partition(|(_, naming)| naming.directory() == path);
                now.iter().for_each(|(_, naming)| naming.apply(&mut self.synced_names));
                self.namings = later;
                return Noted::Sync;
            }
            10 => return Noted::Answer(String::from_utf8_lossy(data).into_owned()),
            _ => panic!("the journal is damaged: {op}"),
        }
        Noted::Change
    }

    fn content(&mut self, file: u64) -> Option<&mut Content> {
        let content = *self.open.get(&file)?;
        self.contents.get_mut(content)
    }

    fn change(&mut self, file: u64, change: Change) {
        let step = self.steps;
        self.content(file).expect("what is written to was opened").unsynced.push((step, change));
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.namings.push((self.steps, naming));
    }

    /// Cuts the power: replaces everything below the directory by what the disk holds then.
    pub(crate) fn cut(&self, loss: Loss, dice: &mut Dice, into: &Path) {
        let unsynced = self.contents.iter().flat_map(|content| &content.unsynced).map(|(step, _)| *step);
        let first = unsynced.chain(self.namings.iter().map(|(step, _)| *step)).min().unwrap_or(self.steps);
        let last = match loss {
            Loss::Everything => 0,
            Loss::FromSomePoint => first + dice.below(self.steps - first + 1),
            Loss::Anything => u64::MAX,
        };
        let any = loss == Loss::Anything;
        let mut names = self.synced_names.clone();
        // Names are kept in order: a file system notes them in a journal of its own.
        let kept = if any { dice.below(self.namings.len() as u64 + 1) } else { u64::MAX };
        for (_, naming) in self.namings.iter().take(kept as usize).filter(|(step, _)| *step < last) {
            naming.apply(&mut names);
        }
        fs::remove_dir_all(into).ok();
        fs::create_dir_all(into).unwrap();
        for (name, content) in &names {
            let path = into.join(name.strip_prefix(&self.root).unwrap());
            // A file in a directory whose own name was not synced is gone with it.
            if !path.parent().unwrap().exists() {
                continue;
            }
            let Some(content) = content else {
                fs::create_dir(&path).unwrap();
                continue;
            };
            let content = &self.contents[*content];
            let mut bytes = content.synced.clone();
            for (_, change) in content.unsynced.iter().filter(|(step, _)| *step < last) {
                if any { apply_some(&mut bytes, change, dice) } else { apply(&mut bytes, change) }
            }
            fs::write(&path, bytes).unwrap();
        }
    }
}

fn is_shared_memory(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => write(bytes, *offset, data),
        Change::Truncate { size } => bytes.resize(*size, 0),
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

/// Half of the changes are there; of some writes, half of the sectors.
fn apply_some(bytes: &mut Vec<u8>, change: &Change, dice: &mut Dice) {
    if dice.one_in(2) {
        return;
    }
    match change {
        Change::Write { offset, data } if dice.one_in(2) => {
            let mut from = 0;
            while from < data.len() {
                let to = data.len().min(from + SECTOR - (offset + from) % SECTOR);
                if dice.one_in(2) {
                    write(bytes, offset + from, &data[from..to]);
                }
                from = to;
            }
        }
        whole => apply(bytes, whole),
    }
}

impl Naming {
    fn path(&self) -> &Path {
        match self {
            Naming::Put { name, .. } | Naming::Remove { name } => name,
        }
    }

    fn directory(&self) -> &Path {
        self.path().parent().expect("it is below a directory")
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Option<usize>>) {
        match self {
            Naming::Put { name, content } => names.insert(name.clone(), *content),
            Naming::Remove { name } => names.remove(name),
        };
    }
}

/// An entry of the journal.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    op: u32,
    path: PathBuf,
    file: u64,
    offset: u64,
    data: Vec<u8>,
}

impl Entry {
    /// Whether it is an answer 202.
    pub(crate) fn is_answer(&self) -> bool {
        self.op == 10
    }
}

/// Reads a journal. A last entry that a kill cut off is left out: nobody was told of it.
pub(crate) fn read_journal(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while let Some((entry, after)) = read_entry(rest) {
        entries.push(entry);
        rest = after;
    }
    entries
}

fn read_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, rest) = bytes.split_at_checked(32)?;
    let small = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let large = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let (op, has_data) = (small(0), matches!(small(0), 2 | 7 | 10));
    let (path, rest) = rest.split_at_checked(small(4) as usize)?;
    let (data, rest) = rest.split_at_checked(if has_data { large(24) as usize } else { 0 })?;
    let path = PathBuf::from(std::str::from_utf8(path).unwrap());
    Some((Entry { op, path, file: large(8), offset: large(16), data: data.to_vec() }, rest))
}
