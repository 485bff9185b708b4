//! What a disk may hold after the power fails: only what was synced is certain.
//!
//! The model is stricter than any one file system. Writes that were not synced may be on the disk or
//! not, sector by sector and in any order; a file's new size may be there without its bytes; a
//! file's name is certain only once its folder was synced, even if the file itself was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::dice::Dice;
use crate::trace::{Change, Step};

/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// The files of a folder, as the disk and as the page cache have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrashDisk {
    /// Below this everything happens; it is always there.
    root: PathBuf,
    /// The contents that are certain.
    files: Vec<Vec<u8>>,
    /// The names that are certain; `None` is a folder.
    names: BTreeMap<PathBuf, Option<usize>>,
    /// The names as the running process sees them.
    seen: BTreeMap<PathBuf, Option<usize>>,
    /// What is not certain yet, in the order in which it began.
    pending: Vec<Pending>,
    /// Which pending changes a sync under way will make certain.
    syncs: BTreeMap<usize, BTreeSet<usize>>,
}

#[derive(Debug, Clone)]
struct Pending {
    call: usize,
    complete: bool,
    effect: Effect,
}

#[derive(Debug, Clone)]
enum Effect {
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Resize {
        file: usize,
        len: usize,
    },
    /// Names in one folder, which change together.
    Names(Vec<(PathBuf, Option<Option<usize>>)>),
}

/// Which of the uncertain changes are on the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    /// None.
    Dropped,
    /// All, as after a kill.
    Kept,
    /// All up to one that is cut short, and none after it.
    Cut,
    /// Any of them, by sector.
    Some,
}

/// The content of a disk after a crash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    folders: BTreeSet<PathBuf>,
}

impl CrashDisk {
    /// A disk that holds an image, all of it certain.
    pub(crate) fn holding(image: &Image, root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        for folder in &image.folders {
            disk.names.insert(folder.clone(), None);
        }
        for (path, bytes) in &image.files {
            disk.names.insert(path.clone(), Some(disk.files.len()));
            disk.files.push(bytes.clone());
        }
        disk.seen = disk.names.clone();
        disk
    }

    /// Goes one step on.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Begins(call, change) => {
                for effect in self.effects(change)? {
                    self.pending.push(Pending { call: *call, complete: false, effect });
                }
            }
            Step::SyncBegins(call, path) => {
                let file = self.seen.get(path).copied().flatten();
                let of_this = |effect: &Effect| match effect {
                    Effect::Write { file: of, .. } | Effect::Resize { file: of, .. } => Some(*of) == file,
                    Effect::Names(names) => names.iter().any(|(name, _)| name.parent() == Some(path)),
                };
                let covered = self.pending.iter().filter(|p| p.complete && of_this(&p.effect)).map(|p| p.call);
                self.syncs.insert(*call, covered.collect());
            }
            Step::Ends(call) => {
                if let Some(covered) = self.syncs.remove(call) {
                    self.settle(&covered);
                }
                for pending in self.pending.iter_mut().filter(|p| p.call == *call) {
                    pending.complete = true;
                    if let Effect::Names(changes) = &pending.effect {
                        rename(&mut self.seen, changes);
                    }
                }
            }
            Step::Fails(call) => {
                self.syncs.remove(call);
                self.pending.retain(|p| p.call != *call);
            }
            Step::Acknowledged(_) => {}
        }
        Ok(())
    }

    /// Whether anything is uncertain.
    pub(crate) fn is_certain(&self) -> bool {
        self.pending.is_empty()
    }

    /// The disk after a crash at this point.
    pub(crate) fn crash(&self, choice: Choice, dice: &mut Dice) -> Image {
        let mut files = self.files.clone();
        let mut names = self.names.clone();
        let cut_at = dice.below(self.pending.len());
        let percent = 5 + dice.below(91);
        for (at, pending) in self.pending.iter().enumerate() {
            let whole = match choice {
                Choice::Dropped => false,
                Choice::Kept => true,
                Choice::Cut => at < cut_at,
                Choice::Some => dice.percent(percent),
            };
            match (&pending.effect, choice) {
                (Effect::Write { file, at, bytes }, Choice::Some) => {
                    scatter(&mut files[*file], *at, bytes, percent, dice);
                }
                (Effect::Write { file, at, bytes }, _) if whole => put(&mut files[*file], *at, bytes),
                (Effect::Write { file, at: place, bytes }, Choice::Cut) if at == cut_at => {
                    put(&mut files[*file], *place, &bytes[..dice.below(bytes.len() + 1)]);
                }
                (Effect::Resize { file, len }, _) if whole => files[*file].resize(*len, 0),
                (Effect::Names(changes), _) if whole => rename(&mut names, changes),
                (Effect::Write { .. } | Effect::Resize { .. } | Effect::Names(_), _) => {}
            }
        }
        Image::of(&files, &names, &self.root)
    }

    fn effects(&mut self, change: &Change) -> Result<Vec<Effect>, String> {
        let name = |path: &Path, to| Effect::Names(vec![(path.to_owned(), to)]);
        Ok(match change {
            Change::Create { path, empty } => match self.seen.get(path) {
                Some(Some(file)) if *empty => vec![Effect::Resize { file: *file, len: 0 }],
                Some(_) => Vec::new(),
                None => {
                    let file = self.files.len();
                    self.files.push(Vec::new());
                    vec![name(path, Some(Some(file)))]
                }
            },
            Change::Write { path, at, bytes } => {
                vec![Effect::Write { file: self.file(path)?, at: *at as usize, bytes: bytes.clone() }]
            }
            Change::Resize { path, len } => vec![Effect::Resize { file: self.file(path)?, len: *len as usize }],
            // Where what they need is missing, or there already, the call is about to fail.
            Change::Rename { from, to } => match self.seen.get(from) {
                Some(file) => vec![Effect::Names(vec![(from.clone(), None), (to.clone(), Some(*file))])],
                None => Vec::new(),
            },
            Change::Remove { path } if self.seen.contains_key(path) => vec![name(path, None)],
            Change::MakeFolder { path } if !self.seen.contains_key(path) => vec![name(path, Some(None))],
            Change::Remove { .. } | Change::MakeFolder { .. } => Vec::new(),
        })
    }

    fn file(&self, path: &Path) -> Result<usize, String> {
        self.seen.get(path).copied().flatten().ok_or_else(|| format!("{} is not there", path.display()))
    }

    fn settle(&mut self, covered: &BTreeSet<usize>) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.effect {
                effect if !covered.contains(&pending.call) => self.pending.push(Pending { effect, ..pending }),
                Effect::Write { file, at, bytes } => put(&mut self.files[file], at, &bytes),
                Effect::Resize { file, len } => self.files[file].resize(len, 0),
                Effect::Names(changes) => rename(&mut self.names, &changes),
            }
        }
    }
}

impl Image {
    fn of(files: &[Vec<u8>], names: &BTreeMap<PathBuf, Option<usize>>, root: &Path) -> Self {
        let mut image = Self::default();
        for (path, file) in names {
            // Without its folder a file is nowhere. The root has no name and is always there.
            let mut folders = path.ancestors().skip(1).take_while(|folder| *folder != root);
            if folders.all(|folder| names.contains_key(folder)) {
                match file {
                    Some(file) => drop(image.files.insert(path.clone(), files[*file].clone())),
                    None => drop(image.folders.insert(path.clone())),
                }
            }
        }
        image
    }

    /// Writes the image out below a folder, in place of what was there; names are below `root`.
    pub(crate) fn write(&self, root: &Path, folder: &Path) -> std::io::Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let place = |path: &Path| folder.join(path.strip_prefix(root).unwrap_or(path));
        for path in &self.folders {
            std::fs::create_dir_all(place(path))?;
        }
        self.files.iter().try_for_each(|(path, bytes)| std::fs::write(place(path), bytes))
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if bytes.is_empty() {
        return;
    }
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<PathBuf, Option<usize>>, changes: &[(PathBuf, Option<Option<usize>>)]) {
    for (path, to) in changes {
        match to {
            Some(file) => drop(names.insert(path.clone(), *file)),
            None => drop(names.remove(path)),
        }
    }
}

/// Writes some sectors of a write; of others perhaps the file's size alone.
fn scatter(file: &mut Vec<u8>, at: usize, bytes: &[u8], percent: usize, dice: &mut Dice) {
    let mut done = 0;
    while done < bytes.len() {
        let sector_end = SECTOR_BYTES - (at + done) % SECTOR_BYTES;
        let end = bytes.len().min(done + sector_end);
        if dice.percent(percent) {
            put(file, at + done, &bytes[done..end]);
        } else if dice.percent(25) && file.len() < at + end {
            file.resize(at + end, 0);
        }
        done = end;
    }
}
