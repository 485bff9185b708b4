//! How long it takes until something is so.

use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::console::duration;

/// Within this time a suspension or a revocation must have taken effect.
pub(super) const EFFECT_TIME: Duration = Duration::from_secs(5);

/// How long is waited for it, so that a late effect is told from none.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until it is so, and says how long that took since `begin`; `None` where it never came.
pub(super) async fn time_until(begin: Instant, mut look: impl AsyncFnMut() -> bool) -> Option<Duration> {
    let looking = async {
        while !look().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        begin.elapsed()
    };
    tokio::time::timeout(PATIENCE, looking).await.ok()
}

/// Checks that something came in time, and shows how long it took.
pub(super) fn check_in_time(stage: &mut Stage<'_>, name: &str, what: &str, took: Option<Duration>) {
    let Row { name, expected, got } = row(name, what, took);
    stage.check(&name, &expected, &got);
}

/// The same for a refusal.
pub(super) fn refused_in_time(stage: &mut Stage<'_>, name: &str, reason: &str, took: Option<Duration>) {
    let Row { name, expected, got } = row(name, reason, took);
    stage.refusal(&name, &expected, &got);
}

struct Row {
    name: String,
    expected: String,
    got: String,
}

fn row(name: &str, what: &str, took: Option<Duration>) -> Row {
    let expected = format!("{what} within {} s", EFFECT_TIME.as_secs());
    match took {
        None => Row { name: name.to_owned(), expected, got: format!("not within {} s", PATIENCE.as_secs()) },
        Some(took) => {
            let got = if took <= EFFECT_TIME { expected.clone() } else { format!("{what}, too late") };
            Row { name: format!("{name}, after {}", duration(took)), expected, got }
        }
    }
}
