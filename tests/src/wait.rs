//! Waiting with a deadline. A test that reaches one has failed.

use std::{future::Future, time::Duration};

/// The longest that any single step may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen soon.
///
/// # Panics
/// It took longer than [`PATIENCE`].
pub async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    within(PATIENCE, what, work).await
}

/// Waits for something that must happen within `time`.
///
/// # Panics
/// It took longer.
pub async fn within<F: Future>(time: Duration, what: &str, work: F) -> F::Output {
    match tokio::time::timeout(time, work).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took longer than {time:?}"),
    }
}
