//! Waiting with a deadline. A test that reaches one has failed.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use mesh::status::{reason_of, retry_after_of};
use proto::reason::Reason;
use tonic::Status;

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

/// Makes a call, and again when it is told that the server has as much in hand as it can answer. It is for crowds:
/// a single call that is refused so has something to tell.
///
/// # Errors
/// Every other refusal, and that one where [`PATIENCE`] would be over before there may be room.
pub async fn once_there_is_room<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let begin = Instant::now();
    loop {
        let status = match call().await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let is_shed = reason_of(&status).as_deref() == Some(Reason::Overloaded.as_wire());
        match retry_after_of(&status) {
            Some(wait) if is_shed && begin.elapsed() + wait < PATIENCE => tokio::time::sleep(wait).await,
            _ => return Err(status),
        }
    }
}
