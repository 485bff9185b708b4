//! Whom to trust, from the files of TLS: the network's authorities and their revocation lists.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::digest::Digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{SigningError, SigningTrust};
use crate::config::TlsFiles;
use crate::tls::WATCH_INTERVAL;

/// Where the authorities and their revocation lists are.
#[derive(Clone, Debug)]
pub struct TrustFiles {
    authority: PathBuf,
    revocations: Option<PathBuf>,
}

/// What the files hold. Nothing of it is secret.
#[derive(Clone, Debug)]
pub struct TrustBytes {
    files: TrustFiles,
    authority: Vec<u8>,
    revocations: Vec<u8>,
}

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// One can't be read.
    #[error("{}: cannot be read ({source}); check the path and the file's permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// One holds no PEM of its kind.
    #[error("{}: is not well-formed PEM ({problem})", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        problem: String,
    },
    /// The authorities or their lists can't be used.
    #[error("{}: {source}", path.display())]
    Signing {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SigningError,
    },
}

impl TrustFiles {
    /// The same files by which TLS judges peers.
    #[must_use]
    pub fn of(files: &TlsFiles) -> Self {
        Self { authority: files.authority.clone(), revocations: files.revocations.clone() }
    }

    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// [`TrustFileError::Unreadable`].
    pub fn read(&self) -> Result<TrustBytes, TrustFileError> {
        let revocations = self.revocations.as_deref().map(read).transpose()?;
        Ok(TrustBytes {
            files: self.clone(),
            authority: read(&self.authority)?,
            revocations: revocations.unwrap_or_default(),
        })
    }

    /// Looks at the files every two seconds until `stop`, and sends each new content. One that is refused is
    /// logged once. `known` is the digest of the content that is in use.
    pub async fn watch(self, known: Digest, trust: watch::Sender<SigningTrust>, stop: CancellationToken) {
        let mut known = known;
        let mut refused = String::new();
        let mut ticks = interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let files = self.clone();
            // The files may lie on a slow disk or a network mount; a worker thread must not wait for it.
            let looked = tokio::task::spawn_blocking(move || files.read_unless(known)).await;
            match looked {
                Ok(Ok(None)) => {}
                Ok(Ok(Some((fresh, digest)))) => {
                    trust.send_replace(fresh);
                    known = digest;
                    refused.clear();
                }
                Ok(Err(error)) => {
                    let problem = error.to_string();
                    if problem != refused {
                        tracing::error!(error = %problem, "the authorities' files are refused; the former ones count");
                        refused = problem;
                    }
                }
                Err(error) => tracing::error!(panicked = error.is_panic(), "the look at the authorities failed"),
            }
        }
    }

    fn read_unless(&self, known: Digest) -> Result<Option<(SigningTrust, Digest)>, TrustFileError> {
        let bytes = self.read()?;
        let digest = bytes.digest();
        if digest == known { Ok(None) } else { Ok(Some((bytes.trust()?, digest))) }
    }
}

impl TrustBytes {
    /// The trust that they make.
    ///
    /// # Errors
    /// [`TrustFileError::Pem`] and [`TrustFileError::Signing`].
    pub fn trust(&self) -> Result<SigningTrust, TrustFileError> {
        let authority = &self.files.authority;
        let authorities = CertificateDer::pem_slice_iter(&self.authority).collect::<Result<Vec<_>, _>>();
        let authorities = authorities.map_err(|error| pem(authority, &error))?;
        let signing = |path: &Path| {
            let path = path.to_owned();
            |source| TrustFileError::Signing { path, source }
        };
        let trust = SigningTrust::new(authorities).map_err(signing(authority))?;
        let Some(path) = &self.files.revocations else { return Ok(trust) };
        let lists = CertificateRevocationListDer::pem_slice_iter(&self.revocations).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|error| pem(path, &error))?;
        trust.with_crls(lists.iter().map(AsRef::as_ref)).map_err(signing(path))
    }

    /// Tells one content from another.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let digests = [&self.authority, &self.revocations].map(|part| Digest::of(part));
        Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()))
    }
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TrustFileError> {
    let path = path.as_ref();
    fs::read(path).map_err(|source| TrustFileError::Unreadable { path: path.to_owned(), source })
}

fn pem(path: &Path, error: &dyn fmt::Display) -> TrustFileError {
    TrustFileError::Pem { path: path.to_owned(), problem: error.to_string() }
}
