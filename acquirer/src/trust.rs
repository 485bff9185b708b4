//! The bank directory from its file, verified against the network's authorities.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mesh::{
    config::TlsFiles,
    directory::{Directory, DirectoryError},
    identity::TrustDomain,
    signing::{TrustBytes, TrustFileError, TrustFiles},
};
use proto::digest::Digest;

/// Why the directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file can't be read.
    #[error("{}: cannot be read ({source}); check the path and the file's permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The network's authorities can't be used.
    #[error("the network's authorities: {0}")]
    Authorities(#[from] TrustFileError),
    /// The directory can't be believed.
    #[error("{}: {source}", path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DirectoryError,
    },
}

/// The files that a directory is made of.
#[derive(Clone, Debug)]
pub struct DirectorySource {
    directory: PathBuf,
    trust: TrustFiles,
    domain: TrustDomain,
}

/// What was read from them.
#[derive(Debug)]
pub struct DirectoryFiles {
    directory: Vec<u8>,
    trust: TrustBytes,
}

impl DirectorySource {
    /// A directory file, and the files by which TLS judges peers.
    #[must_use]
    pub fn new(directory: &Path, tls: &TlsFiles, domain: TrustDomain) -> Self {
        Self { directory: directory.to_owned(), trust: TrustFiles::of(tls), domain }
    }

    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// [`TrustError::Unreadable`] and [`TrustError::Authorities`].
    pub fn read(&self) -> Result<DirectoryFiles, TrustError> {
        let unreadable = |source| TrustError::Unreadable { path: self.directory.clone(), source };
        let directory = fs::read(&self.directory).map_err(unreadable)?;
        Ok(DirectoryFiles { directory, trust: self.trust.read()? })
    }

    /// Verifies what was read: every entry, its signature and its certificates.
    ///
    /// # Errors
    /// [`TrustError`], which names the file.
    pub fn verify(&self, files: &DirectoryFiles) -> Result<Directory, TrustError> {
        let damaged = |source| TrustError::Directory { path: self.directory.clone(), source };
        Directory::from_file(&files.directory, &files.trust.trust()?, &self.domain).map_err(damaged)
    }
}

impl DirectoryFiles {
    /// Tells one content from another.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let digests = [Digest::of(&self.directory), self.trust.digest()];
        Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()))
    }
}
