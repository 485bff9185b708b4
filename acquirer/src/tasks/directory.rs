//! Puts a new directory file in force.

use std::{sync::Arc, time::Duration};

use mesh::{clock::Clock, directory::DirectoryHandle};
use proto::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::trust::DirectorySource;

/// How often the files are looked at: a suspended issuer must be refused within 5 seconds.
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// Looks at the directory's files until `stop`. A content that can't be used is logged once, and the
/// directory in force stays. `in_force` is the content that it was made of.
pub async fn follow_directory(
    source: DirectorySource,
    in_force: Digest,
    directory: Arc<DirectoryHandle>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut seen = Some(in_force);
    let mut complained = false;
    while pause(&clock, LOOK_PERIOD, &stop).await {
        let looking = source.clone();
        // The files may lie on a slow disk, and a large directory takes long to verify.
        let looked = tokio::task::spawn_blocking(move || {
            let files = looking.read()?;
            let digest = files.digest();
            let fresh = (seen != Some(digest)).then(|| looking.verify(&files));
            Ok::<_, crate::trust::TrustError>((digest, fresh))
        });
        match looked.await {
            Ok(Ok((digest, Some(Ok(fresh))))) => {
                tracing::info!(members = fresh.len(), "the directory has changed and is in force");
                directory.replace(fresh);
                (seen, complained) = (Some(digest), false);
            }
            Ok(Ok((_, None))) => complained = false,
            Ok(Ok((digest, Some(Err(error))))) => {
                tracing::error!(%error, "the directory has changed and is refused; the old one stays in force");
                (seen, complained) = (Some(digest), false);
            }
            Ok(Err(error)) if !complained => {
                tracing::error!(%error, "the directory can't be read; the one in force stays");
                complained = true;
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(panicked = error.is_panic(), "the look at the directory failed"),
        }
    }
}
