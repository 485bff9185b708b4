//! The trail as its one writer has it.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    BATCH_MAX,
    chain::Break,
    files::{self, Disk, LocalDisk, Part},
    line::{Head, Record, RecordError},
};

mod opening;

/// The file whose lock says that a process writes the trail.
const LOCK: &str = "lock";

/// A file is full at this size unless configured: an entry of 400 bytes makes that 160,000 entries.
const FILE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// How to open a trail.
#[derive(Clone)]
pub struct Options {
    folder: PathBuf,
    owner: String,
    file_bytes: u64,
    disk: Arc<dyn Disk>,
}

impl Options {
    /// The usual options for the trail of `owner`, for example `issuer/bank-a`, in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        Self { folder: folder.into(), owner: owner.into(), file_bytes: FILE_BYTES_DEFAULT, disk: Arc::new(LocalDisk) }
    }

    /// The size at which a file is full. A single line may be larger.
    #[must_use]
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// Replaces the disk, in tests.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("folder", &self.folder)
            .field("owner", &self.owner)
            .field("file_bytes", &self.file_bytes)
            .finish_non_exhaustive()
    }
}

/// Why a trail can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{}: another process writes this audit trail", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A line can't be what was written.
    #[error("{}:{line}: {broken}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line in it, counted from 1.
        line: u64,
        /// What is wrong.
        broken: Break,
    },
    /// The files end before the entry that is known to be in them.
    #[error("the trail ends with n={found}, but n={known} was written: it was cut short or is an older copy")]
    Behind {
        /// The number that is known.
        known: u64,
        /// The last one found; 0 where there is none.
        found: u64,
    },
    /// The entry that is known to be in the files is in none of them, but later ones are.
    #[error(
        "n={known} was written, but is not in the trail, where n={found} comes instead: a file is missing, \
         or the trail was begun anew and that was not finished"
    )]
    Missing {
        /// The number that is known.
        known: u64,
        /// The number found instead.
        found: u64,
    },
    /// The entry that is known to be there has other content.
    #[error("n={n} of the trail is not the entry that was written as n={n}: this is another trail")]
    Other {
        /// The number.
        n: u64,
    },
    /// There are entries of which nothing is known.
    #[error(
        "the trail goes on to n={found}, but only n={known} is known: this is another trail, or what knows it is older"
    )]
    Ahead {
        /// The number that is known; 0 where nothing is.
        known: u64,
        /// The last number found.
        found: u64,
    },
    /// The owner's name or the reason of a restart can't be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why entries were not appended. The trail is as it was; trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// More entries than one call takes.
    #[error("{count} entries, but at most {BATCH_MAX} are appended at once")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// An entry's sequence is not above that of the one before, so that it may be in the trail already.
    #[error("an entry with sequence {found} can't follow one with sequence {last}")]
    Order {
        /// The last sequence.
        last: u64,
        /// The entry's.
        found: u64,
    },
}

/// A trail that this process alone writes. Everything blocks.
pub struct Trail {
    options: Options,
    head: Head,
    /// The file that the last line is in.
    path: PathBuf,
    file: File,
    /// Bytes of that file which are durable.
    len: u64,
    /// What a failed append has left: files that it began, to be removed before anything else.
    debris: Vec<PathBuf>,
    /// Whether the last append failed, so that behind `len` there may be anything.
    failed: bool,
    // Held for its lock, which ends with the descriptor.
    _lock: File,
}

/// What opening a trail has found.
#[derive(Debug)]
pub struct Opened {
    /// The trail.
    pub trail: Trail,
    /// The heads of the lines behind the known one, in their order: entries that were written, but of which the
    /// process did not note any more that they were. The caller compares them with what it would have written.
    pub ahead: Vec<Head>,
    /// A line that a crash had left unfinished, and that was cut off.
    pub repaired: Option<Repair>,
}

/// What a crash has left at the end of the newest file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The file.
    pub path: PathBuf,
    /// The line that was unfinished.
    pub line: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

impl Trail {
    /// Opens a trail, or begins it where there is neither a file nor anything known of one.
    ///
    /// `known` is the head that is known to be durable in the files. The file that it is in and all later ones
    /// are read in full; of the earlier ones only how they join. A last line that a crash has left unfinished is
    /// cut off, where it stands behind the known head; whatever else is wrong is refused.
    ///
    /// # Errors
    /// [`OpenError`], with the place.
    pub fn open(options: Options, known: Option<Head>, now: SystemTime) -> Result<Opened, OpenError> {
        opening::open(options, known, now)
    }

    /// The last line.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Appends at most [`BATCH_MAX`] entries, all of them or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`AppendError`]; the trail is as before, and the same entries can be appended again.
    pub fn append(&mut self, records: &[Record]) -> Result<Head, AppendError> {
        if records.len() > BATCH_MAX {
            return Err(AppendError::TooMany { count: records.len() });
        }
        self.clear_debris()?;
        let batch = self.lay_out(records)?;
        self.failed = true;
        for piece in batch.pieces {
            match piece.begins {
                None => self.write(&piece.bytes)?,
                Some(first) => self.write_new(first, &piece.bytes)?,
            }
        }
        self.failed = false;
        self.debris.clear();
        self.len = batch.len;
        self.head = batch.head;
        Ok(batch.head)
    }

    /// Distributes the lines over the file that is open and new ones.
    fn lay_out(&self, records: &[Record]) -> Result<Batch, AppendError> {
        let mut batch = Batch { head: self.head, len: self.len, pieces: Vec::new() };
        for record in records {
            let last = batch.head.seq;
            if record.seq() <= last {
                return Err(AppendError::Order { last, found: record.seq() });
            }
            let (line, head) = record.line(batch.head.n + 1, &batch.head.hash);
            batch.head = head;
            let full = batch.len > 0 && batch.len + line.len() as u64 > self.options.file_bytes;
            if full {
                batch.len = 0;
            }
            batch.len += line.len() as u64;
            match batch.pieces.last_mut() {
                Some(piece) if !full => piece.bytes.extend_from_slice(line.as_bytes()),
                Some(_) | None => {
                    batch.pieces.push(Piece { begins: full.then_some(head.n), bytes: line.into_bytes() });
                }
            }
        }
        Ok(batch)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let disk = Arc::clone(&self.options.disk);
        disk.append(&mut self.file, bytes).map_err(failed("write to", &self.path))?;
        disk.sync(&self.file).map_err(failed("sync", &self.path))
    }

    /// What is in the older file is durable by now, so that a new one never stands behind a gap.
    fn write_new(&mut self, first: u64, bytes: &[u8]) -> Result<(), AppendError> {
        let path = Part::new(&self.options.folder, first).path;
        let mut file = files::create(&path).map_err(failed("create", &path))?;
        self.debris.push(path.clone());
        self.options.disk.append(&mut file, bytes).map_err(failed("write to", &path))?;
        self.options.disk.sync(&file).map_err(failed("sync", &path))?;
        files::sync_folder(&self.options.folder).map_err(failed("sync", &self.options.folder))?;
        (self.path, self.file) = (path, file);
        Ok(())
    }

    /// Takes back what a failed append has written. After a failed sync nobody knows which of its pages are on
    /// the disk, and the kernel may call them clean: they are cut off and written anew.
    fn clear_debris(&mut self) -> Result<(), AppendError> {
        if !self.failed {
            return Ok(());
        }
        if let Some(first) = self.debris.first() {
            // The file before the first new one is where the durable end is.
            let parts = files::parts(&self.options.folder).map_err(failed("list", &self.options.folder))?;
            let before = parts.iter().rfind(|part| part.path < *first);
            if let Some(before) = before {
                let file = files::open_end(&before.path).map_err(failed("open", &before.path))?;
                (self.path, self.file) = (before.path.clone(), file);
            }
        }
        while let Some(path) = self.debris.last() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", path)(error)),
                Ok(()) | Err(_) => {}
            }
            self.debris.pop();
        }
        self.file.set_len(self.len).map_err(failed("cut back", &self.path))?;
        self.options.disk.sync(&self.file).map_err(failed("sync", &self.path))?;
        files::sync_folder(&self.options.folder).map_err(failed("sync", &self.options.folder))?;
        self.failed = false;
        Ok(())
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("folder", &self.options.folder).field("head", &self.head).finish_non_exhaustive()
    }
}

/// Lines that are about to be written.
struct Batch {
    head: Head,
    /// The size of the last file afterwards.
    len: u64,
    pieces: Vec<Piece>,
}

/// Lines of one file.
struct Piece {
    /// The number of a new file; `None` for the file that is open.
    begins: Option<u64>,
    bytes: Vec<u8>,
}

/// Takes the folder for this process.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    files::make_folder(folder).map_err(unopened("create", folder))?;
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(unopened("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unopened("lock", &path)(error)),
    }
}

/// Makes a file with one line, durably.
pub(super) fn begin(options: &Options, line: &str, head: &Head) -> Result<(PathBuf, File), OpenError> {
    let path = Part::new(&options.folder, head.n).path;
    let mut file = files::create(&path).map_err(unopened("create", &path))?;
    options.disk.append(&mut file, line.as_bytes()).map_err(unopened("write to", &path))?;
    options.disk.sync(&file).map_err(unopened("sync", &path))?;
    files::sync_folder(&options.folder).map_err(unopened("sync", &options.folder))?;
    Ok((path, file))
}

pub(super) fn unopened(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AppendError {
    let path = path.to_owned();
    move |source| AppendError::Io { doing, path, source }
}
