//! The folder around sled's files: whose it is, that nobody else has it open, and that its
//! directory entries are as durable as the data.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk::{self, Blobs, Cached};
use crate::store::StoreError;

/// The layout of the folder and of the keys and values in it. A build that changes either counts
/// up, and refuses or converts folders of before.
const FORMAT: &str = "1";

const LOCK: &str = "lock";
const MARKER: &str = "owner";
const MARKER_NEW: &str = "owner.new";
const DATA: &str = "db";
const CONFIG: &str = "conf";
const BLOBS: &str = "blobs";
const SNAPSHOT: &str = "snap.";
const SNAPSHOT_UNFINISHED: &str = ".generating";

/// Bytes of an owner's name: a role and an id.
const OWNER_BYTES_MAX: usize = 160;

/// How long sled's background threads may take to let go of its file after the last handle is gone.
const RELEASE_WAIT: Duration = Duration::from_secs(10);

/// Why a folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("cannot {doing} {}; {}", path.display(), disk::advice(source))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{} is in use by process {pid}; stop that process or choose another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The holder's process id as it wrote it down, or `unknown`.
        pid: String,
    },
    /// The folder belongs to another role or id.
    #[error("{} belongs to {found}, not to {wanted}; choose another folder, or run {found} on this one", path.display())]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted to open it.
        wanted: String,
    },
    /// The folder was written in a format that this build doesn't read.
    #[error("{} has the format {found}, but this build reads {FORMAT}; open it with the build that wrote it", path.display())]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// There is a database that no store of this kind has made, or the marker was removed.
    #[error("{} holds a database but no readable `{MARKER}` file; choose an empty folder, or restore that file", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// sled has made a blob file, which is never synced.
    #[error("{} holds blob files, which are not durable; restore the folder from a backup", path.display())]
    Blobs {
        /// The folder.
        path: PathBuf,
    },
    /// The owner's name cannot be written to the marker.
    #[error("an owner's name has 1 to {OWNER_BYTES_MAX} printable characters without spaces")]
    BadOwner,
    /// sled failed.
    #[error("sled cannot open its files in {}; {advice}", path.display())]
    Sled {
        /// The folder.
        path: PathBuf,
        /// What to do about it.
        advice: &'static str,
        /// sled's own error.
        #[source]
        source: sled::Error,
    },
    /// sled can't make sense of its files.
    #[error("the database in {} is damaged: synced data is missing; check that disk, then restore the folder from a backup", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
    },
    /// The store's own data is damaged.
    #[error("the store's last sequence cannot be read")]
    Unreadable(#[source] StoreError),
    /// The writer's thread could not be started.
    #[error("cannot start the store's writer thread")]
    Thread(#[source] io::Error),
}

impl OpenError {
    pub(super) fn sled(path: &Path, source: sled::Error) -> Self {
        let advice = match &source {
            sled::Error::Io(error) => disk::advice(error),
            sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => "restore the folder from a backup",
        };
        Self::Sled { path: path.to_owned(), advice, source }
    }
}

/// A folder that this process has locked.
pub(super) struct Folder {
    path: PathBuf,
    owner: String,
    /// Set while sled's files are being made for the first time.
    creating: bool,
    // Held for its lock, which ends with the descriptor.
    _lock: File,
}

impl Folder {
    /// Makes the folder where there is none, locks it, checks whose it is, and clears away what an
    /// interrupted start left behind.
    pub(super) fn claim(path: &Path, owner: &str) -> Result<Self, OpenError> {
        let printable = owner.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if owner.is_empty() || owner.len() > OWNER_BYTES_MAX || !printable {
            return Err(OpenError::BadOwner);
        }
        let path = std::path::absolute(path).map_err(io_error("find", path))?;
        create_durably(&path)?;
        let lock = lock(&path)?;
        let mut folder = Self { path, owner: owner.to_owned(), creating: false, _lock: lock };
        match folder.marker()? {
            Some(Phase::Ready) => {}
            Some(Phase::Creating) => {
                // Nothing was ever acknowledged from a folder in this phase.
                folder.creating = true;
                folder.remove_sled_files()?;
            }
            None if folder.path.join(DATA).exists() || folder.path.join(CONFIG).exists() => {
                return Err(OpenError::NotAStore { path: folder.path });
            }
            None => {
                folder.creating = true;
                folder.write_marker(Phase::Creating)?;
            }
        }
        folder.remove_unfinished_snapshots()?;
        if folder.has_blobs().map_err(io_error("list", &folder.path))? {
            return Err(OpenError::Blobs { path: folder.path });
        }
        // What a killed process left in the page cache: sled is about to write a durable snapshot
        // of what it recovers from there, which must not be ahead of the data on the disk.
        folder.sync_files()?;
        folder.forget_cached()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything in the folder durable, its directory entries included, and returns our
    /// own descriptor of sled's data file.
    pub(super) fn settle(&self) -> Result<File, OpenError> {
        self.sync_files()?;
        sync_parent(&self.path)?;
        if self.creating {
            self.write_marker(Phase::Ready)?;
        }
        let data = self.path.join(DATA);
        let file = OpenOptions::new().read(true).write(true).open(&data);
        file.map_err(io_error("open", &data))
    }

    /// The folder of sled's blob files, to look into later; sled has made it.
    pub(super) fn blobs(&self) -> Result<Blobs, OpenError> {
        let path = self.path.join(BLOBS);
        File::open(&path).and_then(Blobs::open).map_err(io_error("open", &path))
    }

    fn has_blobs(&self) -> io::Result<bool> {
        match fs::read_dir(self.path.join(BLOBS)) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the folder back when sled has let go of its data file, so that whoever opens it next
    /// in this process isn't refused because of sled's threads that are still ending.
    pub(super) fn release(self, data: File) {
        let deadline = Instant::now() + RELEASE_WAIT;
        while data.try_lock().is_err() {
            if Instant::now() > deadline {
                tracing::warn!(folder = %self.path.display(), "sled has not let go of its file");
                return;
            }
            // sled gives no signal to wait for.
            std::thread::sleep(Duration::from_millis(1));
        }
        // sled's lock first, which `data` holds now, and then with `self` the folder's.
        drop(data);
    }

    fn marker(&self) -> Result<Option<Phase>, OpenError> {
        let path = self.path.join(MARKER);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let path = self.path.clone();
        let (Some(format), Some(owner), Some(phase)) = (field("format"), field("owner"), field("phase")) else {
            return Err(OpenError::NotAStore { path });
        };
        if format != FORMAT {
            let found = format.to_owned();
            return Err(OpenError::OtherFormat { path, found });
        }
        if owner != self.owner {
            return Err(OpenError::OtherOwner { path, found: owner.to_owned(), wanted: self.owner.clone() });
        }
        match phase {
            "ready" => Ok(Some(Phase::Ready)),
            "creating" => Ok(Some(Phase::Creating)),
            _ => Err(OpenError::NotAStore { path }),
        }
    }

    /// Replaces the marker as a whole, so that no crash leaves half of one.
    fn write_marker(&self, phase: Phase) -> Result<(), OpenError> {
        let phase = match phase {
            Phase::Creating => "creating",
            Phase::Ready => "ready",
        };
        let text = format!("format {FORMAT}\nowner {}\nphase {phase}\n", self.owner);
        let new = self.path.join(MARKER_NEW);
        fs::write(&new, text).map_err(io_error("write", &new))?;
        sync(&new)?;
        let marker = self.path.join(MARKER);
        fs::rename(&new, &marker).map_err(io_error("rename to", &marker))?;
        sync(&self.path)
    }

    /// sled can't open beside a snapshot that it did not finish.
    fn remove_unfinished_snapshots(&self) -> Result<(), OpenError> {
        for path in self.files()? {
            let name = name(&path);
            if name.starts_with(SNAPSHOT) && name.ends_with(SNAPSHOT_UNFINISHED) {
                tracing::warn!(file = %path.display(), "removing an unfinished snapshot");
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn remove_sled_files(&self) -> Result<(), OpenError> {
        for path in self.files()? {
            let name = name(&path);
            if name == DATA || name == CONFIG || name.starts_with(SNAPSHOT) {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn sync_files(&self) -> Result<(), OpenError> {
        self.files()?.iter().try_for_each(|path| sync(path))?;
        sync(&self.path)
    }

    /// What a process whose sync failed left in the page cache, which looks as if it were on the disk.
    fn forget_cached(&self) -> Result<(), OpenError> {
        let mut sure = true;
        for path in self.files()? {
            let cached = File::open(&path).and_then(|file| disk::drop_cached(&file));
            let cached = cached.map_err(io_error("drop from the page cache", &path))?;
            sure &= matches!(cached, Cached::Gone | Cached::NoDisk);
        }
        if !sure {
            tracing::warn!(
                folder = %self.path.display(),
                "the page cache may still hold files of this folder; if the last run ended with a failed sync, \
                 restart the machine before this process"
            );
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>, OpenError> {
        let failed = io_error("list", &self.path);
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let paths = entries.map_err(failed)?.into_iter().map(|e| e.path());
        Ok(paths.filter(|path| path.is_file()).collect())
    }
}

/// How far a folder has come.
enum Phase {
    /// sled's files are being made; nothing in them counts.
    Creating,
    /// sled's files and their directory entries are durable.
    Ready,
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder may not have written it yet.
            let read = file.read_to_string(&mut pid);
            let known = read.is_ok() && !pid.trim().is_empty();
            let pid = if known { pid.trim() } else { "unknown" }.to_owned();
            let path = folder.to_owned();
            return Err(OpenError::Locked { path, pid });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io_error("write", &path))?;
    Ok(file)
}

/// Makes the folder and its missing ancestors, each of them readable by the owner alone, with
/// durable entries.
fn create_durably(path: &Path) -> Result<(), OpenError> {
    let missing: Vec<_> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(io_error("create", path))?;
    missing.into_iter().try_for_each(sync_parent)
}

fn sync_parent(path: &Path) -> Result<(), OpenError> {
    path.parent().map_or(Ok(()), sync)
}

fn sync(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(io_error("sync", path))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or("")
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}
