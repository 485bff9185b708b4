//! Where the bank directory comes from: the operator's file, or the platform that is followed.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use mesh::{
    boot::{self, Failure},
    directory::{
        Directory, DirectoryHandle, Standing,
        follow::{Membership, MembershipParts},
    },
    identity::TrustDomain,
    signing::{Signer, TrustFiles},
    tls::TlsIdentity,
};
use proto::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::open;
use crate::config::IssuerConfig;

/// How often the directory's files are looked at: as often as those of TLS.
const LOOK_EVERY: Duration = mesh::tls::WATCH_INTERVAL;

/// What keeps a directory in step; it ends when the role stops.
pub(super) type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A directory that was opened, and where its changes come from.
pub(super) enum Source {
    /// The operator's file.
    File(DirectoryFile, Digest, Arc<DirectoryHandle>),
    /// The platform.
    Platform(Box<Membership>),
}

impl Source {
    /// Opens the directory that the configuration names.
    pub(super) fn open(
        config: &IssuerConfig,
        identity: &Arc<TlsIdentity>,
        boot: &boot::Context,
    ) -> Result<Self, Failure> {
        let first = config.directory.as_ref().map(|directory| directory.file.as_path());
        let Some(platform) = &config.platform else {
            let file = first.ok_or_else(|| Failure::Config("field `directory.file`: must be set".to_owned()))?;
            let file = DirectoryFile::new(file, config);
            let (directory, digest) = file.read()?;
            return Ok(Self::File(file, digest, Arc::new(DirectoryHandle::new(directory))));
        };
        let membership = Membership::open(MembershipParts {
            platform,
            first,
            identity: Arc::clone(identity),
            tls: &config.tls,
            domain: config.trust_domain.clone(),
            clock: Arc::clone(&boot.clock),
            entropy: Arc::clone(&boot.entropy),
        });
        Ok(Self::Platform(Box::new(membership.map_err(|error| open::wrong(&error))?)))
    }

    /// The directory, which changes as its source does.
    pub(super) fn directory(&self) -> Arc<DirectoryHandle> {
        match self {
            Self::File(_, _, handle) => Arc::clone(handle),
            Self::Platform(membership) => membership.directory(),
        }
    }

    /// Begins to follow the changes until `stop`. Waits for the first directory where there is none yet.
    pub(super) async fn follow(self, stop: CancellationToken) -> Result<Following, Failure> {
        match self {
            Self::File(file, digest, handle) => Ok(Box::pin(file.watch(digest, handle, stop))),
            Self::Platform(membership) => {
                let following = membership.follow(&stop, &stop).await.map_err(|error| open::wrong(&error))?;
                Ok(Box::pin(following))
            }
        }
    }
}

/// Our standing in this directory. Without a platform it must be good from the start, because the file is what
/// the others have; a copy may lack what the platform has already, so that a bad standing is logged.
pub(super) fn standing(
    config: &IssuerConfig,
    signer: &Signer,
    directory: &DirectoryHandle,
    boot: &boot::Context,
) -> Result<Standing, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Config(format!("field `signing.certificate`: {error}"));
    let standing = Standing::new((&config.issuer_id).into(), signer).map_err(|error| wrong(&error))?;
    if config.platform.is_none() {
        standing.check(&directory.load(), boot.clock.now()).map_err(|error| wrong(&error))?;
    }
    Ok(standing)
}

/// The directory as it lies on the disk, for a command that runs while the server is stopped: the last good
/// copy of the platform's, else the operator's file.
pub(super) fn at_rest(config: &IssuerConfig) -> Result<Directory, Failure> {
    let copy = config.platform.as_ref().map(|platform| &platform.directory_copy).filter(|copy| copy.exists());
    let file = copy.or(config.directory.as_ref().map(|directory| &directory.file)).ok_or_else(|| {
        let advice = "start the issuer once while the platform runs, or name a file that the operator has signed";
        Failure::Config(format!("field `directory.file`: there is no copy of the bank directory yet; {advice}"))
    })?;
    let (directory, _) = DirectoryFile::new(file, config).read()?;
    Ok(directory)
}

/// The files that make the bank directory: the directory itself, and whom its signatures must lead to.
#[derive(Clone, Debug)]
pub(super) struct DirectoryFile {
    file: PathBuf,
    trust: TrustFiles,
    trust_domain: TrustDomain,
}

impl DirectoryFile {
    fn new(file: &Path, config: &IssuerConfig) -> Self {
        Self { file: file.to_owned(), trust: TrustFiles::of(&config.tls), trust_domain: config.trust_domain.clone() }
    }

    /// Reads and verifies the directory. The digest tells this content from another.
    fn read(&self) -> Result<(Directory, Digest), Failure> {
        self.read_unless(None)?.ok_or_else(|| Failure::Internal("the directory was not read".to_owned()))
    }

    /// Looks at the files every few seconds until `stop`, and puts a changed directory in force. One
    /// that is refused is logged once, and the former one stays.
    ///
    /// The authority's files count as part of it: a certificate that was revoked meanwhile must stop to
    /// verify anything, although the directory itself is the same.
    async fn watch(self, first: Digest, handle: Arc<DirectoryHandle>, stop: CancellationToken) {
        let mut in_force = first;
        let mut refused = String::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let source = self.clone();
            let looked = tokio::task::spawn_blocking(move || source.read_unless(Some(in_force))).await;
            match looked {
                Ok(Ok(None)) => {}
                Ok(Ok(Some((directory, digest)))) => {
                    tracing::info!(members = directory.len(), "the bank directory changed and is in use");
                    handle.replace(directory);
                    in_force = digest;
                    refused.clear();
                }
                Ok(Err(failure)) => {
                    let problem = failure.to_string();
                    if problem != refused {
                        tracing::error!(error = %problem, "the bank directory changed and is refused; the former one stays");
                        refused = problem;
                    }
                }
                Err(error) => tracing::error!(panicked = error.is_panic(), "the bank directory could not be looked at"),
            }
        }
    }

    fn read_unless(&self, known: Option<Digest>) -> Result<Option<(Directory, Digest)>, Failure> {
        let file = std::fs::read(&self.file).map_err(|error| {
            Failure::Config(format!(
                "bank directory {}: cannot be read ({error}); check the path and the permissions",
                self.file.display()
            ))
        })?;
        let authorities = self.trust.read().map_err(|error| open::wrong(&error))?;
        let digests = [Digest::of(&file), authorities.digest()];
        let digest = Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()));
        if known == Some(digest) {
            return Ok(None);
        }
        let trust = authorities.trust().map_err(|error| open::wrong(&error))?;
        let directory = Directory::from_file(&file, &trust, &self.trust_domain)
            .map_err(|error| Failure::Config(format!("bank directory {}: {error}", self.file.display())))?;
        Ok(Some((directory, digest)))
    }
}
