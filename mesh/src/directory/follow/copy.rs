//! The last good copy on the disk, replaced so that a crash at any moment leaves one that is whole.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;

use super::{SAVE_INTERVAL, Snapshot};
use crate::{
    clock::Clock,
    directory::{DIRECTORY_FILE_BYTES_MAX, DirectoryError},
};

/// Why a copy cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file can't be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// What it holds doesn't count.
    #[error(transparent)]
    Refused(#[from] DirectoryError),
}

/// The copy's bytes; `None` where there is no copy yet.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CopyError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        // Judged before it is read, so that a wrong path cannot fill the memory.
        Ok(found) if found.len() > DIRECTORY_FILE_BYTES_MAX as u64 => Err(DirectoryError::TooLarge.into()),
        Ok(_) => Ok(Some(fs::read(path)?)),
    }
}

/// Writes down each good copy, the latest one where several come at once, until nobody sends more.
pub(super) async fn keep(path: PathBuf, mut good: watch::Receiver<Option<Snapshot>>, clock: Arc<dyn Clock>) {
    while good.changed().await.is_ok() {
        let Some(snapshot) = good.borrow_and_update().clone() else { continue };
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&target, &snapshot.to_file())).await;
        match written {
            Ok(Ok(())) => {}
            // The member goes on with what it holds in memory; the next head tries again.
            Ok(Err(error)) => {
                tracing::error!(copy = %path.display(), %error, "the copy of the bank directory was not written");
            }
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "the copy of the bank directory was not written");
            }
        }
        tokio::select! {
            () = clock.sleep(SAVE_INTERVAL) => {}
            // The last copy must not wait.
            () = closed(&good) => {}
        }
    }
}

/// Waits until the sender is gone, without taking note of what it sends meanwhile.
async fn closed(good: &watch::Receiver<Option<Snapshot>>) {
    let mut good = good.clone();
    while good.changed().await.is_ok() {}
}

/// Replaces the file: a new one beside it, synced, renamed over it, and the folder synced.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = folder.join(beside);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_copy_replaces_the_former_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.copy");
        assert!(read(&path).unwrap().is_none());
        for content in [&b"first"[..], b"second"] {
            replace(&path, content).unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_left_over_of_a_crash_does_not_stand_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".directory.copy.new"), b"half").unwrap();
        let path = folder.path().join("directory.copy");
        assert!(read(&path).unwrap().is_none());
        replace(&path, b"whole").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"whole");
    }

    #[test]
    fn a_file_that_is_no_directory_is_not_even_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.copy");
        File::create(&path).unwrap().set_len(DIRECTORY_FILE_BYTES_MAX as u64 + 1).unwrap();
        assert!(matches!(read(&path), Err(CopyError::Refused(DirectoryError::TooLarge))));
    }
}
