//! Reading and writing files without ever losing a key or showing one.
//!
//! A new file appears complete or not at all: it is written under another name, made durable, and then
//! linked to its own name, which fails where that name is taken. So no key is ever overwritten, and no
//! half-written one is left in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The largest file that is read, in bytes. Certificates have a few KiB, directories some hundred.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone: mode 0600.
    Owner,
    /// Everybody: mode 0644.
    Everybody,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// Why a file could not be read or written. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The name is taken, and what is there may be the only copy of a key.
    #[error("{} exists and is not overwritten; move it away or choose another folder", .0.display())]
    Exists(PathBuf),
    /// Reading failed.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Read(PathBuf, io::Error),
    /// Writing failed.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
    /// The file is far larger than anything this program reads.
    #[error("{} is larger than {} bytes and no file of this network", .0.display(), FILE_BYTES_MAX)]
    TooLarge(PathBuf),
    /// The file should be text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

/// Writes a new file, durably.
///
/// # Errors
/// [`FileError::Exists`] where the name is taken, [`FileError::Write`].
pub fn write_new(path: &Path, contents: &[u8], access: Access) -> Result<(), FileError> {
    let draft = write_draft(path, contents, access)?;
    let linked = fs::hard_link(&draft, path);
    // The draft goes in any case; where that fails too, the first error is the one that matters.
    let removed = fs::remove_file(&draft);
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(FileError::Exists(path.to_owned())),
        Err(e) => Err(FileError::Write(path.to_owned(), e)),
        Ok(()) => removed.and_then(|()| sync_folder(path)).map_err(|e| FileError::Write(path.to_owned(), e)),
    }
}

/// Replaces a file that is made anew again and again, such as a revocation list, durably and at once:
/// a reader sees the old contents or the new.
///
/// # Errors
/// [`FileError::Write`].
pub fn replace(path: &Path, contents: &[u8], access: Access) -> Result<(), FileError> {
    let draft = write_draft(path, contents, access)?;
    fs::rename(&draft, path).and_then(|()| sync_folder(path)).map_err(|e| FileError::Write(path.to_owned(), e))
}

/// Reads a file into memory that is wiped afterwards, because it may hold a key.
///
/// # Errors
/// [`FileError::Read`], [`FileError::TooLarge`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let unreadable = |e| FileError::Read(path.to_owned(), e);
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    // Room for everything at once, because a buffer that grows leaves copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut contents).map_err(unreadable)?;
    Ok(contents)
}

/// Reads a text file.
///
/// # Errors
/// As [`read`], and [`FileError::NotText`].
pub fn read_text(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read(path)?.to_vec()).map_err(|_| FileError::NotText(path.to_owned()))
}

/// The file's permission bits, where others than its owner have any.
///
/// # Errors
/// [`FileError::Read`].
pub fn open_to_others(path: &Path) -> Result<Option<u32>, FileError> {
    let metadata = fs::metadata(path).map_err(|e| FileError::Read(path.to_owned(), e))?;
    let mode = metadata.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// Makes a folder for its owner alone; one that exists is left as it is.
///
/// # Errors
/// [`FileError::Write`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| FileError::Write(path.to_owned(), e))
}

/// Waits for, and holds until dropped, the folder's lock: two processes that read a state, change it
/// and write it back would otherwise lose one of the changes.
///
/// # Errors
/// [`FileError::Read`] where there is no such folder, [`FileError::Write`].
pub fn lock_folder(folder: &Path) -> Result<File, FileError> {
    fs::metadata(folder).map_err(|e| FileError::Read(folder.to_owned(), e))?;
    let path = folder.join(".lock");
    let lock = || {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|e| FileError::Write(path.clone(), e))
}

/// Writes the contents durably under a name that nobody else uses, in the same folder.
fn write_draft(path: &Path, contents: &[u8], access: Access) -> Result<PathBuf, FileError> {
    let mut random = [0; 8];
    let write = |random: &mut [u8; 8]| {
        SystemRandom::new().fill(random).map_err(|_| io::Error::other("the system's random source failed"))?;
        let name = path.file_name().ok_or_else(|| io::Error::other("it is not the name of a file"))?;
        let draft = path.with_file_name(format!(".{}.{:016x}", name.to_string_lossy(), u64::from_be_bytes(*random)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&draft)?;
        let written = file.write_all(contents).and_then(|()| file.sync_all());
        if let Err(e) = written {
            // Nothing more can be done where the removal fails as well; the write's error is reported.
            let _ = fs::remove_file(&draft);
            return Err(e);
        }
        Ok(draft)
    };
    write(&mut random).map_err(|e| FileError::Write(path.to_owned(), e))
}

/// Makes a new name in the file's folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        write_new(&path, b"first", Access::Owner).expect("new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(open_to_others(&path).expect("there"), None);
        let refused = write_new(&path, b"second", Access::Owner).expect_err("taken");
        assert!(matches!(&refused, FileError::Exists(named) if *named == path), "{refused}");
        assert!(refused.to_string().contains("a.key"));
        assert_eq!(read(&path).expect("there").as_slice(), b"first");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft is left");
    }

    #[test]
    fn a_dangling_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).expect("linked");
        assert!(matches!(write_new(&path, b"key", Access::Owner), Err(FileError::Exists(_))));
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn replacing_leaves_the_new_contents_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("crl.pem");
        replace(&path, b"first", Access::Everybody).expect("new");
        replace(&path, b"second", Access::Everybody).expect("replaced");
        assert_eq!(read_text(&path).expect("there"), "second");
        assert!(open_to_others(&path).expect("there").is_some());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft is left");
    }

    #[test]
    fn errors_name_the_file() {
        let missing = Path::new("/nonexistent/folder/a.key");
        for message in [
            read(missing).expect_err("missing").to_string(),
            write_new(missing, b"", Access::Owner).expect_err("no folder").to_string(),
        ] {
            assert!(message.contains("/nonexistent/folder/a.key"), "{message}");
        }
    }

    #[test]
    fn a_locked_folder_is_locked_for_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = lock_folder(folder.path()).expect("free");
        let other = File::open(folder.path().join(".lock")).expect("there");
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
