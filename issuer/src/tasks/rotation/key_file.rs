//! Taking in the keys of a changed key file, while records are being sealed.

use std::{sync::Arc, time::Duration};

use mesh::{
    sealing::at_rest::{KeyRing, Vault, VaultError, WrapKeys as _},
    tls::WATCH_INTERVAL,
};
use tokio::sync::watch;

use super::Numbers;
use crate::{
    audit::{self, Act, Entry},
    context::Context,
    keys::{KeySource, VaultKeys},
    repository,
    vault::{AtRestError, needs},
};

/// Why new keys were not taken. The former ones count on.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file can't be read, or its keys don't follow the former ones.
    #[error(transparent)]
    Keys(#[from] VaultError),
    /// Records need a key that is not there, or is another one.
    #[error(transparent)]
    Unfit(#[from] needs::Unfit),
    /// The audit trail could not be told.
    #[error(transparent)]
    Audit(#[from] repository::Error),
    /// What is kept in memory could not be moved.
    #[error(transparent)]
    InMemory(#[from] AtRestError),
}

/// Puts new keys in the place of the former ones, if every record can still be opened by them.
///
/// # Errors
/// [`Refused`]; nothing has changed then but for [`Refused::InMemory`], after which the new keys are in use, and
/// to adopt them again is safe.
pub async fn adopt(ctx: &Context, former: &KeyRing, ring: Arc<KeyRing>) -> Result<(), Refused> {
    ring.check_successor_of(former)?;
    needs::admit(ctx.repository.store().as_ref(), &Vault::over(Arc::clone(&ring) as Arc<_>)).await?;
    // Said before anything is sealed under it.
    if ring.current() != former.current() {
        let told = Entry::new(ctx.clock.now(), Act::VaultKeyTaken).key_version(ring.current().number());
        audit::note(&ctx.repository, &told).await?;
    }
    ctx.keys.vault.replace(ring);
    // In this order, because the new keys open what the former ones have sealed, and not the other way round.
    ctx.auth.follow_keys(&ctx.keys.vault)?;
    Ok(())
}

/// Looks at the key file every two seconds, for ever, and says in `adopted` when new keys came in, by the
/// clock's time since its start. An environment variable doesn't change, so that there is nothing to look at.
pub(super) async fn watch(
    ctx: &Context,
    keys: VaultKeys,
    numbers: &Numbers,
    adopted: &watch::Sender<Option<Duration>>,
) {
    let KeySource::File(path) = keys.source().clone() else { return std::future::pending().await };
    let mut ring = Arc::clone(keys.ring());
    let mut refused = String::new();
    loop {
        ctx.clock.sleep(WATCH_INTERVAL).await;
        let path = path.clone();
        // The file may lie on a slow disk or a network mount; a worker thread must not wait for it.
        let looked = tokio::task::spawn_blocking(move || KeyRing::from_file(&path)).await;
        let outcome = match looked {
            Ok(Ok(fresh)) if fresh.is_same(&ring) => {
                refused.clear();
                continue;
            }
            Ok(Ok(fresh)) => {
                let fresh = Arc::new(fresh);
                adopt(ctx, &ring, Arc::clone(&fresh)).await.map(|()| fresh)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "the look at the vault's key file failed");
                continue;
            }
        };
        match outcome {
            Ok(fresh) => {
                ring = fresh;
                refused.clear();
                adopted.send_replace(Some(ctx.clock.elapsed()));
                let versions: Vec<_> = ring.versions().iter().map(ToString::to_string).collect();
                tracing::info!(
                    current = %ring.current(), versions = versions.join(","),
                    "the vault's keys were read again; new records are sealed under the current one"
                );
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != refused {
                    numbers.refused.increment();
                    tracing::error!(
                        error = %problem, source = %keys.source(),
                        "the vault's changed key file is refused; the former keys count"
                    );
                    refused = problem;
                }
            }
        }
    }
}
