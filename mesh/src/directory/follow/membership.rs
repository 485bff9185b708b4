//! A member's part in a platform's network: how its role opens, follows and waits for the directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use proto::digest::Digest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DirectoryError, DirectoryHandle, FollowParts, Follower};
use crate::{
    channel::{self, MeshChannel},
    clock::{Clock, Entropy},
    config::{MembershipConfig, Period, TlsFiles},
    identity::{Role, TrustDomain},
    signing::{SigningTrust, TrustFileError, TrustFiles},
    tls::{ExpectedServer, TlsIdentity},
};

/// What a membership is made of.
#[derive(Clone, Debug)]
pub struct MembershipParts<'a> {
    /// The platform.
    pub platform: &'a MembershipConfig,
    /// The directory file of the operator's to begin with, where there is one.
    pub first: Option<&'a Path>,
    /// Us, towards the platform.
    pub identity: Arc<TlsIdentity>,
    /// The files of that identity, whose authorities must have issued whatever verifies the directory.
    pub tls: &'a TlsFiles,
    /// The network.
    pub domain: TrustDomain,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For the jitter between attempts.
    pub entropy: Arc<dyn Entropy>,
}

/// A member's copy of the platform's directory, ready to be followed.
#[derive(Debug)]
pub struct Membership {
    follower: Follower,
    trust: TrustFiles,
    trust_digest: Digest,
    trust_sender: watch::Sender<SigningTrust>,
    wait: Period,
    clock: Arc<dyn Clock>,
    /// What to say where no directory came: it names everything that was tried.
    sources: String,
}

/// Why a member can't take part.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The platform can't be called.
    #[error("field `platform.endpoint`: {0}")]
    Channel(#[from] channel::Error),
    /// The authorities' files can't be used.
    #[error("field `tls.authority`: {0}")]
    Trust(#[from] TrustFileError),
    /// The copy's folder can't be made.
    #[error("field `platform.directory_copy`: the folder of {} cannot be made ({source})", path.display())]
    Folder {
        /// The copy.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The first directory can't be read.
    #[error("field `directory.file`: {}: cannot be read ({source}); check the path and the permissions", path.display())]
    FirstUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The first directory doesn't count.
    #[error("field `directory.file`: {}: {source}", path.display())]
    FirstRefused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DirectoryError,
    },
    /// There is no directory at all.
    #[error(
        "there is no bank directory to start with: {0}; check that the platform runs and can be reached, or \
         name a file that the operator has signed as `directory.file`"
    )]
    Nothing(String),
}

impl Membership {
    /// Opens the last good copy, or the operator's file where there is no copy. Nothing is called yet.
    ///
    /// The file is not even looked at where there is a copy: it is older.
    ///
    /// # Errors
    /// [`MembershipError`], all but [`MembershipError::Nothing`].
    pub fn open(parts: MembershipParts<'_>) -> Result<Self, MembershipError> {
        let MembershipParts { platform, first, identity, tls, domain, clock, entropy } = parts;
        let files = TrustFiles::of(tls);
        let bytes = files.read()?;
        let trust = bytes.trust()?;
        let (trust_sender, updates) = watch::channel(trust.clone());
        make_folder(&platform.directory_copy)?;
        let mut follower = Follower::open(FollowParts {
            trust,
            domain,
            channel: channel_to(platform, identity)?,
            copy: platform.directory_copy.clone(),
            clock: Arc::clone(&clock),
            entropy,
        })
        .judging_by(updates);
        if let Some(path) = first.filter(|_| follower.holds_nothing()) {
            let unreadable = |source| MembershipError::FirstUnreadable { path: path.to_owned(), source };
            let refused = |source| MembershipError::FirstRefused { path: path.to_owned(), source };
            follower = follower.beginning_with(&fs::read(path).map_err(unreadable)?).map_err(refused)?;
        }
        Ok(Self {
            follower,
            trust: files,
            trust_digest: bytes.digest(),
            trust_sender,
            wait: platform.first_directory_wait,
            clock,
            sources: format!(
                "{} holds no good copy, and platform {} at {} gave none within {}",
                platform.directory_copy.display(),
                platform.id,
                platform.endpoint,
                platform.first_directory_wait
            ),
        })
    }

    /// The directory that is kept in step.
    #[must_use]
    pub fn directory(&self) -> Arc<DirectoryHandle> {
        self.follower.handle()
    }

    /// Follows the platform, and the authorities' files, until `stop`; what is handed back ends then.
    /// Returns once there is a directory to work with: at once, but for the first start of all. `abort`
    /// ends that waiting.
    ///
    /// # Errors
    /// [`MembershipError::Nothing`] where none came in time; nothing is followed any more then.
    pub async fn follow(
        self,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) -> Result<impl Future<Output = ()> + use<>, MembershipError> {
        let Self { follower, trust, trust_digest, trust_sender, wait, clock, sources } = self;
        let directory = follower.handle();
        let ending = stop.child_token();
        let following = tokio::spawn(follower.run(ending.clone()));
        let watching = tokio::spawn(trust.watch(trust_digest, trust_sender, ending.clone()));
        let ended = async move {
            for (task, what) in [(following, "following the platform"), (watching, "watching the authorities")] {
                if let Err(error) = task.await {
                    tracing::error!(panicked = error.is_panic(), "{what} ended early");
                }
            }
        };
        tokio::select! {
            biased;
            () = directory.filled() => {}
            // The role is asked to stop before it has begun; there is nothing to complain about.
            () = abort.cancelled() => {}
            () = clock.sleep(wait.get()) => {
                ending.cancel();
                ended.await;
                return Err(MembershipError::Nothing(sources));
            }
        }
        Ok(ended)
    }
}

/// A connection to the platform as this member. Whoever answers must show that platform's certificate.
///
/// # Errors
/// [`channel::Error`].
pub fn channel_to(platform: &MembershipConfig, identity: Arc<TlsIdentity>) -> Result<MeshChannel, channel::Error> {
    MeshChannel::new(&platform.endpoint, identity, ExpectedServer::member(Role::Platform, platform.id.clone()))
}

fn make_folder(copy: &Path) -> Result<(), MembershipError> {
    let Some(folder) = copy.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| MembershipError::Folder { path: copy.to_owned(), source })
}
