//! A folder with a trail, and a disk that fails where a test says so.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh::audit::{CheckError, CheckOptions, Checked, Disk, Head, OpenError, Opened, Options, Record, Trail, check};
use tempfile::TempDir;

pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_000_000_123)
}

pub(super) fn record(seq: u64) -> Record {
    let fields = [("act", "session_ended".to_owned()), ("customer", format!("customer-{seq}"))];
    Record::new(seq, now(), fields.map(|(name, value)| (name.to_owned(), value))).unwrap()
}

/// A folder for a trail.
pub(super) struct Folder {
    folder: TempDir,
    file_bytes: u64,
    disk: Option<Arc<dyn Disk>>,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), file_bytes: u64::MAX, disk: None }
    }

    /// Files of at most so many bytes.
    pub(super) fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    pub(super) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    pub(super) fn options(&self) -> Options {
        let options = Options::new(self.path(), "issuer/bank-aurora").file_bytes(self.file_bytes);
        match &self.disk {
            Some(disk) => options.disk(Arc::clone(disk)),
            None => options,
        }
    }

    pub(super) fn open(&self, known: Option<Head>) -> Result<Opened, OpenError> {
        Trail::open(self.options(), known, now())
    }

    /// A trail of its first line and the entries with these sequences, closed again. The head of each line.
    pub(super) fn fill(&self, seqs: std::ops::RangeInclusive<u64>) -> Vec<Head> {
        let mut trail = self.open(None).unwrap().trail;
        let mut heads = vec![trail.head()];
        heads.extend(seqs.map(|seq| trail.append(&[record(seq)]).unwrap()));
        heads
    }

    pub(super) fn check(&self) -> Result<Checked, CheckError> {
        check(&self.path(), &CheckOptions::default())
    }

    /// The trail's files, in their order.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
        files.sort();
        files
    }

    pub(super) fn newest(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    /// All lines of all files.
    pub(super) fn lines(&self) -> Vec<String> {
        let texts = self.files().into_iter().map(|file| std::fs::read_to_string(file).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// The file's name and the line that a check names.
pub(super) fn place(result: Result<Checked, CheckError>) -> (PathBuf, u64) {
    match result.unwrap_err() {
        CheckError::Broken { path, line, .. } => (path, line),
        other @ (CheckError::Io { .. } | CheckError::Nothing { .. }) => panic!("no place: {other}"),
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// What the disk does next, call by call; then it works.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call works.
    Works,
    /// Only so many bytes are written, then the disk is full.
    Full(usize),
    /// The bytes can't be made durable.
    NoSync,
}

impl Faults {
    pub(super) fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut list: Vec<Fault> = faults.into_iter().collect();
        list.reverse();
        *self.0.lock().unwrap() = list;
    }

    fn next(&self) -> Fault {
        self.0.lock().unwrap().pop().unwrap_or(Fault::Works)
    }
}

impl Disk for Faults {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match self.next() {
            Fault::Works | Fault::NoSync => file.write_all(bytes),
            Fault::Full(room) => {
                file.write_all(&bytes[..room.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        match self.next() {
            Fault::Works | Fault::Full(_) => file.sync_data(),
            Fault::NoSync => Err(io::Error::other("the disk is gone")),
        }
    }
}
