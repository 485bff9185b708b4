//! Following the platform's directory: how an acquirer or an issuer keeps its own verified copy.
//!
//! [`Follower::open`] takes up the last good copy from the disk, so that a member starts and works while
//! the platform is away; [`Follower::run`] then follows `BankDirectory.WatchBanks`. The platform is
//! trusted to pass on and with nothing else: every entry must be the operator's and newer than the one
//! that is held, and a copy comes into force only together with a head, signed by the platform, whose
//! digest names exactly these entries. What breaks a rule ends the stream, and the copy in force stays.

use std::{path::PathBuf, sync::Arc, time::Duration};

use proto::pb::{self, bank_directory_client::BankDirectoryClient};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{DirectoryError, DirectoryHandle};
use crate::{
    channel::MeshChannel,
    clock::{Clock, Entropy},
    identity::TrustDomain,
    signing::SigningTrust,
};

pub use copy::CopyError;
pub use membership::{Membership, MembershipError, MembershipParts, channel_to};
pub(super) use replica::read_file;
pub use replica::{Replica, Snapshot};

mod copy;
mod membership;
mod replica;

/// The first wait after a stream has ended; each further one is twice as long.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(500);
/// The longest wait between two attempts: short beside the hour after which a copy is stale.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
/// A platform signs a head every five minutes. One that is silent for longer than two of them is
/// taken for gone, whatever its connection says.
const SILENCE_MAX: Duration = Duration::from_secs(11 * 60);
/// The least time between two writings of the copy, so that a burst of changes doesn't become a
/// burst of writes.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// What a follower is made of.
#[derive(Debug)]
pub struct FollowParts {
    /// The network's authorities.
    pub trust: SigningTrust,
    /// The network.
    pub domain: TrustDomain,
    /// Leads to the platform, as this member.
    pub channel: MeshChannel,
    /// Where the last good copy is kept.
    pub copy: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For the jitter between attempts.
    pub entropy: Arc<dyn Entropy>,
}

/// Follows a platform's directory.
#[derive(Debug)]
pub struct Follower {
    replica: Replica,
    handle: Arc<DirectoryHandle>,
    client: BankDirectoryClient<MeshChannel>,
    copy: PathBuf,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    trust: Option<watch::Receiver<SigningTrust>>,
    /// The copy and the platform's differ although both are in order: everything is fetched again.
    starts_over: bool,
    /// Whether the last attempt failed, so that an outage is logged once and not every 30 seconds.
    is_away: bool,
}

/// Why a stream has ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Refused(#[from] Box<Status>),
    #[error("the platform ended the stream")]
    Finished,
    #[error("the platform was silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("what the platform sent does not count: {0}")]
    Untrusted(#[from] DirectoryError),
}

impl Follower {
    /// A follower with the last good copy in force, where there is one. A copy that can't be read or
    /// doesn't count is logged and left aside: then the member holds nothing until the platform answers.
    #[must_use]
    pub fn open(parts: FollowParts) -> Self {
        let FollowParts { trust, domain, channel, copy, clock, entropy } = parts;
        let kept = copy::read(&copy).and_then(|bytes| match bytes {
            Some(bytes) => Ok(Some(Replica::from_file(&bytes, &trust, &domain)?)),
            None => Ok(None),
        });
        let replica = kept.unwrap_or_else(|error| {
            tracing::error!(copy = %copy.display(), %error, "the copy of the bank directory cannot be used");
            None
        });
        let replica = replica.unwrap_or_else(|| Replica::empty(trust, domain));
        let handle = DirectoryHandle::followed(Default::default());
        handle.publish(Arc::clone(replica.directory()));
        Self {
            replica,
            handle: Arc::new(handle),
            client: BankDirectoryClient::new(channel),
            copy,
            clock,
            entropy,
            trust: None,
            starts_over: false,
            is_away: false,
        }
    }

    /// Begins with a directory file that the operator has signed, where there is no copy yet. Its entries
    /// verify results and questions at once; nothing new starts before the platform has vouched for them.
    ///
    /// # Errors
    /// [`DirectoryError`] where the file is needed and doesn't count.
    pub fn beginning_with(mut self, file: &[u8]) -> Result<Self, DirectoryError> {
        if self.holds_nothing() {
            self.replica.begin_with(file)?;
            self.handle.publish(Arc::clone(self.replica.directory()));
        }
        Ok(self)
    }

    /// Whether there was no copy to begin with, and no file.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.replica.directory().is_empty()
    }

    /// Judges everything that is held anew whenever the authorities or their revocation lists change.
    #[must_use]
    pub fn judging_by(mut self, trust: watch::Receiver<SigningTrust>) -> Self {
        self.trust = Some(trust);
        self
    }

    /// The directory that the follower keeps in step.
    #[must_use]
    pub fn handle(&self) -> Arc<DirectoryHandle> {
        Arc::clone(&self.handle)
    }

    /// Follows until `stop`, and leaves the last good copy on the disk.
    pub async fn run(mut self, stop: CancellationToken) {
        let (good, to_save) = watch::channel(None);
        let saving = tokio::spawn(copy::keep(self.copy.clone(), to_save, Arc::clone(&self.clock)));
        let mut trust = self.trust.take();
        let mut wait = RETRY_WAIT_FIRST;
        loop {
            let mut has_heard = false;
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                changed = changed(&mut trust) => {
                    self.judge_again(changed).await;
                    continue;
                }
                ended = self.follow_once(&good, &mut has_heard) => ended,
            };
            self.starts_over = matches!(ended, Ended::Untrusted(DirectoryError::HeadMismatch));
            self.log_outage(&ended, has_heard);
            wait = if has_heard { RETRY_WAIT_FIRST } else { RETRY_WAIT_MAX.min(wait * 2) };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.clock.sleep(self.jittered(wait)) => {}
                changed = changed(&mut trust) => self.judge_again(changed).await,
            }
        }
        // The keeper writes what is new and ends when nobody can send it more.
        drop(good);
        if let Err(error) = saving.await {
            tracing::error!(panicked = error.is_panic(), "the copy of the bank directory was not kept");
        }
    }

    /// One stream, from its beginning to its end. `has_heard` tells whether a copy came into force.
    async fn follow_once(&mut self, good: &watch::Sender<Option<Snapshot>>, has_heard: &mut bool) -> Ended {
        self.replica.forget_pending();
        let after_version = if self.starts_over { 0 } else { self.replica.version() };
        let opening = self.client.watch_banks(pb::WatchBanksRequest { after_version });
        let mut stream = tokio::select! {
            opened = opening => match opened {
                Ok(stream) => stream.into_inner(),
                Err(status) => return Box::new(status).into(),
            },
            () = self.clock.sleep(SILENCE_MAX) => return Ended::Silent,
        };
        loop {
            let update = tokio::select! {
                update = stream.message() => update,
                () = self.clock.sleep(SILENCE_MAX) => return Ended::Silent,
            };
            let update = match update {
                Ok(Some(update)) => update,
                Ok(None) => return Ended::Finished,
                Err(status) => return Box::new(status).into(),
            };
            match self.replica.apply(update, self.clock.now()) {
                Ok(None) => {}
                Ok(Some(directory)) => {
                    self.handle.publish(directory);
                    good.send_replace(self.replica.snapshot());
                    *has_heard = true;
                    if std::mem::take(&mut self.is_away) {
                        tracing::info!(
                            version = self.replica.version(),
                            "the platform's bank directory is followed again"
                        );
                    }
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Puts the copy in force as another trust sees it; where that refuses it, the former one stays.
    async fn judge_again(&mut self, trust: SigningTrust) {
        let held = self.replica.clone();
        // Thousands of signatures are verified, which must not hold up a worker thread.
        match tokio::task::spawn_blocking(move || held.judged_by(&trust)).await {
            Ok(Ok(replica)) => {
                self.replica = replica;
                self.handle.publish(Arc::clone(self.replica.directory()));
                tracing::info!("the bank directory was judged by the new authorities and revocation lists");
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the new authorities refuse the bank directory; the former judgement stays");
            }
            Err(error) => tracing::error!(panicked = error.is_panic(), "the bank directory was not judged again"),
        }
    }

    fn log_outage(&mut self, ended: &Ended, has_heard: bool) {
        let is_news = has_heard || !self.is_away;
        self.is_away = true;
        match ended {
            // Somebody is lying or damaged, which an operator must hear of each time.
            Ended::Untrusted(_) => tracing::error!(error = %ended, "the bank directory was refused"),
            Ended::Refused(_) | Ended::Finished | Ended::Silent if is_news => {
                tracing::warn!(error = %ended, "the platform's bank directory is not followed; the last copy is used");
            }
            Ended::Refused(_) | Ended::Finished | Ended::Silent => {}
        }
    }

    /// Half to all of the wait, so that members who lost the platform together don't come back together.
    fn jittered(&self, wait: Duration) -> Duration {
        let mut byte = [0; 1];
        // Without random bytes everybody waits the whole time, which is no harm.
        let share = self.entropy.fill(&mut byte).map_or(u32::from(u8::MAX), |()| u32::from(byte[0]));
        wait / 2 + wait / 2 * share / u32::from(u8::MAX)
    }
}

/// The next trust; never, where nobody sends one.
async fn changed(trust: &mut Option<watch::Receiver<SigningTrust>>) -> SigningTrust {
    if let Some(trust) = trust
        && trust.changed().await.is_ok()
    {
        return trust.borrow_and_update().clone();
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
