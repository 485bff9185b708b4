//! What the acquirer does without being asked: it expires orders, settles what a crash left behind,
//! repeats reversals, follows the directory, and removes what was kept for its period. Each task runs until it is stopped, logs what it can't do, and tries again.

use std::{sync::Arc, time::Duration};

use mesh::clock::Clock;
use tokio_util::sync::CancellationToken;

mod directory;
mod expiry;
mod recovery;
mod retention;
mod reversals;

pub use directory::follow_directory;
pub use expiry::expire_orders;
pub use recovery::recover_authorizations;
pub use retention::{Removed, Retention};
pub use reversals::send_reversals;

/// Waits for `pause`; `false` where the task should end.
async fn pause(clock: &Arc<dyn Clock>, pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = clock.sleep(pause) => true,
    }
}
