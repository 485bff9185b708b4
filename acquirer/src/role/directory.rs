//! Where the bank directory comes from: the operator's file, or the platform that is followed.

use std::{future::Future, pin::Pin, sync::Arc};

use mesh::{
    boot::{self, Failure},
    clock::Clock,
    directory::{
        DirectoryHandle, Standing,
        follow::{Membership, MembershipParts},
    },
    signing::Signer,
    tls::TlsIdentity,
};
use proto::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::wrong;
use crate::{config::AcquirerConfig, tasks, trust::DirectorySource};

/// What keeps a directory in step; it ends when it is stopped.
pub(super) type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A directory that was opened, and where its changes come from.
pub(super) enum Source {
    /// The operator's file.
    File(FromFile),
    /// The platform.
    Platform(Box<Membership>),
}

/// A directory from the operator's file.
pub(super) struct FromFile {
    source: DirectorySource,
    in_force: Digest,
    directory: Arc<DirectoryHandle>,
    clock: Arc<dyn Clock>,
}

impl Source {
    /// Opens the directory that the configuration names.
    pub(super) fn open(
        config: &AcquirerConfig,
        identity: &Arc<TlsIdentity>,
        boot: &boot::Context,
    ) -> Result<Self, Failure> {
        let first = config.directory.as_ref().map(|directory| directory.file.as_path());
        let clock = Arc::clone(&boot.clock);
        let Some(platform) = &config.platform else {
            let refused = |error| wrong("directory.file", &error);
            let file = first.ok_or_else(|| wrong("directory.file", &"must be set"))?;
            let source = DirectorySource::new(file, &config.tls, config.trust_domain.clone());
            let files = source.read().map_err(refused)?;
            let directory = Arc::new(DirectoryHandle::new(source.verify(&files).map_err(refused)?));
            return Ok(Self::File(FromFile { source, in_force: files.digest(), directory, clock }));
        };
        let membership = Membership::open(MembershipParts {
            platform,
            first,
            identity: Arc::clone(identity),
            tls: &config.tls,
            domain: config.trust_domain.clone(),
            clock,
            entropy: Arc::clone(&boot.entropy),
        });
        Ok(Self::Platform(Box::new(membership.map_err(|error| Failure::Config(error.to_string()))?)))
    }

    /// The directory, which changes as its source does.
    pub(super) fn directory(&self) -> Arc<DirectoryHandle> {
        match self {
            Self::File(file) => Arc::clone(&file.directory),
            Self::Platform(membership) => membership.directory(),
        }
    }

    /// Begins to follow the changes until `stop`. Waits for the first directory where there is none yet;
    /// `abort` ends that waiting.
    pub(super) async fn follow(self, stop: CancellationToken, abort: &CancellationToken) -> Result<Following, Failure> {
        match self {
            Self::File(FromFile { source, in_force, directory, clock }) => {
                Ok(Box::pin(tasks::follow_directory(source, in_force, directory, clock, stop)))
            }
            Self::Platform(membership) => {
                let following = membership.follow(&stop, abort).await;
                Ok(Box::pin(following.map_err(|error| Failure::Config(error.to_string()))?))
            }
        }
    }
}

/// Our standing in this directory. Without a platform it must be good from the start, because the file is what
/// the others have; a copy may lack what the platform has already, so that a bad standing is logged.
pub(super) fn standing(
    config: &AcquirerConfig,
    signer: &Signer,
    directory: &DirectoryHandle,
    boot: &boot::Context,
) -> Result<Standing, Failure> {
    let wrong = |error: &dyn std::fmt::Display| wrong("signing.certificate", error);
    let standing = Standing::new((&config.acquirer_id).into(), signer).map_err(|error| wrong(&error))?;
    if config.platform.is_none() {
        standing.check(&directory.load(), boot.clock.now()).map_err(|error| wrong(&error))?;
    }
    Ok(standing)
}
