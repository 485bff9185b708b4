//! What the store asks of the disk under its folder: how much room is left, that what is read
//! really is on the disk, and what to tell people when it fails.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::path::PathBuf;

use rustix::fs::{Advice, Dir, FsWord, fadvise, fstatfs, statvfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::store::StoreError;

/// Bytes of a page of memory on every machine that this runs on, or a divisor of them.
const PAGE_BYTES: u64 = 4096;

/// File systems whose files are nowhere but in the page cache: tmpfs and ramfs (statfs(2)).
const IN_MEMORY: [FsWord; 2] = [0x0102_1994, 0x8584_58f6];

/// How often a file's pages are dropped at most: the kernel leaves one that it is moving just then.
const DROPS_MAX: usize = 5;

/// Room that is kept free on the disk of a folder.
///
/// A disk that is full in the middle of a write ends the process, and the next one may not even be able to open
/// the folder. Refusing writes a little earlier keeps the process up and able to read, and it goes on
/// by itself when there is room again.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) folder: PathBuf,
    pub(super) reserve_bytes: u64,
}

impl Room {
    /// How many bytes are free, where that is too little to begin a write. Needs no descriptor.
    pub(super) fn shortage(&self) -> Option<u64> {
        if self.reserve_bytes == 0 {
            return None;
        }
        // Where the disk can't be asked, the write itself will tell.
        let disk = statvfs(&self.folder).ok()?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        // A file system that reports no size at all can't tell.
        (disk.f_blocks > 0 && free_bytes < self.reserve_bytes).then_some(free_bytes)
    }

    /// The error that says so.
    pub(super) fn full(&self, free_bytes: u64) -> StoreError {
        StoreError::Full { folder: self.folder.clone(), free_bytes, reserve_bytes: self.reserve_bytes }
    }
}

/// The folder of sled's blob files, held open, so that looking into it needs no descriptor that a
/// process with too many connections might not get.
pub(super) struct Blobs(Dir);

impl Blobs {
    pub(super) fn open(folder: File) -> io::Result<Self> {
        Ok(Self(Dir::new(folder)?))
    }

    /// Whether there is one.
    pub(super) fn any(&mut self) -> io::Result<bool> {
        self.0.rewind();
        let own: [&CStr; 2] = [c".", c".."];
        while let Some(entry) = self.0.read() {
            if !own.contains(&entry?.file_name()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What became of the pages of a file in the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    /// None is left: whatever is read next comes from the disk.
    Gone,
    /// The file system has no disk.
    NoDisk,
    /// Some are left, because someone has them mapped or the file system keeps a cache of its own.
    Left,
    /// The file system doesn't tell.
    Untold,
}

/// Drops the pages of a file from the page cache. The file must have been synced: pages that wait
/// to be written stay.
///
/// After a failed write-back Linux keeps the pages and marks them as clean, so that a later sync
/// succeeds and a later read returns what the disk does not have. A process that starts after such a failure
/// must not build on that.
pub(super) fn drop_cached(file: &File) -> io::Result<Cached> {
    if IN_MEMORY.contains(&fstatfs(file)?.f_type) {
        return Ok(Cached::NoDisk);
    }
    let mut cached = Cached::Left;
    for _ in 0..DROPS_MAX {
        fadvise(file, 0, None, Advice::DontNeed)?;
        cached = look(file)?;
        if cached != Cached::Left {
            break;
        }
    }
    Ok(cached)
}

/// Looks for pages of a file in the page cache, without bringing one in.
fn look(file: &File) -> io::Result<Cached> {
    let end = file.metadata()?.len();
    let mut at = 0;
    let mut byte = [0];
    while at < end {
        // Answers from the cache or not at all.
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN) => at += PAGE_BYTES,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(Cached::Untold),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(Cached::Left),
        }
    }
    Ok(Cached::Gone)
}

/// What whoever runs the process can do about a failed file operation.
pub(super) fn advice(error: &io::Error) -> &'static str {
    if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
        return "raise the limit of open files (`ulimit -n`) or close some, then start again";
    }
    // Other kinds, known and to come, need a look at the disk.
    #[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind grows with the standard library")]
    match error.kind() {
        ErrorKind::StorageFull => "free space on that disk, then start again",
        ErrorKind::QuotaExceeded => "raise the disk quota or free space, then start again",
        ErrorKind::FileTooLarge => "raise the limit of a file's size (`ulimit -f`), then start again",
        ErrorKind::ReadOnlyFilesystem => "mount that disk writable, then start again",
        ErrorKind::PermissionDenied => "let this user write there or choose another folder, then start again",
        _ => "check that disk, then start again",
    }
}

/// The same for a failure of the store.
pub(super) fn advice_on(error: &StoreError) -> &'static str {
    match error {
        StoreError::Engine { source, .. } => {
            let sled = source.downcast_ref::<sled::Error>();
            let io = source.downcast_ref::<io::Error>().or_else(|| match sled? {
                sled::Error::Io(error) => Some(error),
                sled::Error::CollectionNotFound(_)
                | sled::Error::Unsupported(_)
                | sled::Error::ReportableBug(_)
                | sled::Error::Corruption { .. } => None,
            });
            io.map_or("start again, which recovers the folder", advice)
        }
        StoreError::Full { .. } => "free space on that disk",
        StoreError::Corrupt(_) => "restore the folder from a backup",
        StoreError::Limit(_)
        | StoreError::Panicked
        | StoreError::Failed { .. }
        | StoreError::Halted
        | StoreError::Closed => "start again, which recovers the folder",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_was_synced_leaves_the_cache_and_can_be_read() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_001u32).map(|n| n as u8).collect();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let cached = drop_cached(&file).unwrap();
        let in_memory = IN_MEMORY.contains(&fstatfs(&file).unwrap().f_type);
        // Where the file system doesn't tell, there is nothing to see; ext4, xfs and btrfs tell.
        assert!(if in_memory { cached == Cached::NoDisk } else { matches!(cached, Cached::Gone | Cached::Untold) });
        let mut read = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn pages_that_are_left_are_noticed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 20_000]).unwrap();
        assert!(matches!(look(&file).unwrap(), Cached::Left | Cached::Untold));
    }

    #[test]
    fn a_blob_is_seen_whenever_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open(File::open(folder.path()).unwrap()).unwrap();
        for _ in 0..3 {
            assert!(!blobs.any().unwrap());
        }
        let blob = folder.path().join("17");
        std::fs::write(&blob, "a blob").unwrap();
        assert!(blobs.any().unwrap());
        std::fs::remove_file(&blob).unwrap();
        assert!(!blobs.any().unwrap());
    }

    #[test]
    fn room_is_what_the_disk_has() {
        let folder = tempfile::tempdir().unwrap();
        let room = |reserve_bytes| Room { folder: folder.path().to_owned(), reserve_bytes };
        assert_eq!(room(0).shortage(), None);
        assert_eq!(room(1).shortage(), None);
        let free = room(u64::MAX).shortage().unwrap();
        let error = room(u64::MAX).full(free);
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }

    #[test]
    fn each_failure_has_its_advice() {
        let cases = [
            (Errno::NOSPC, "free space"),
            (Errno::DQUOT, "quota"),
            (Errno::FBIG, "a file's size"),
            (Errno::ROFS, "writable"),
            (Errno::ACCESS, "let this user write"),
            (Errno::MFILE, "open files"),
            (Errno::NFILE, "open files"),
            (Errno::IO, "check that disk"),
        ];
        for (errno, word) in cases {
            let error = || io::Error::from(errno);
            assert!(advice(&error()).contains(word), "{errno}");
            let direct = StoreError::engine("synced", error());
            assert!(advice_on(&direct).contains(word), "{errno}");
            let through_sled = StoreError::engine("flushed", sled::Error::Io(error()));
            assert!(advice_on(&through_sled).contains(word), "{errno}");
        }
        assert!(advice_on(&StoreError::Panicked).contains("start again"));
    }
}
