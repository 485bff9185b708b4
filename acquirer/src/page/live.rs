//! Where an order stands, as it changes.
//!
//! A follower is woken by the commits that write its own order and by the order's deadline. What another process
//! commits it notices by a look now and then, where anything was committed at all.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use mesh::web::sse;
use proto::ids::OrderId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Page, view::Shown};
use crate::{records::KeptOrder, repository::RecordWatch};

/// How often a follower looks although nobody told it of news.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// What a browser waits before it opens the stream again: so long at least, and up to so much longer, each order
/// its own time, so that not all of them come at once after a restart.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_SPREAD_MS: u64 = 3_000;
/// How many may follow one order: its shopper's windows, and those of a few others. Whoever comes later has the page
/// without the stream, and can't take the room of other orders' shoppers.
const FOLLOWERS_MAX: usize = 16;
/// One event is enough: whoever is behind wants to know where the order stands, not where it stood.
const WAITING_MAX: usize = 1;

/// The stream of one order: an event `state` with the page's version, at first and at each change. It ends with
/// the order, or when the browser leaves.
pub(super) fn answer(page: Arc<Page>, order: &OrderId) -> Response {
    let record = page.0.repository.follow_record::<KeptOrder>(order.as_str().as_bytes());
    if record.followers() > FOLLOWERS_MAX {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HeaderValue::from_static("5"))]).into_response();
    }
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let order = order.clone();
    tokio::spawn(async move { follow(&page, &order, record, &sender).await });
    sse::answer(ReceiverStream::new(receiver))
}

/// `record` was taken before the first read: what is committed after it wakes the follower up.
async fn follow(page: &Page, order: &OrderId, mut record: RecordWatch, sender: &mpsc::Sender<sse::Event>) {
    let repository = &page.0.repository;
    let key = order.as_str().as_bytes();
    let mut committed = repository.store().watch();
    let mut told = None;
    loop {
        record.mark();
        committed.borrow_and_update();
        // A browser that is told nothing opens the stream again, and hears of what is wrong then.
        let Ok(Some(loaded)) = repository.load::<KeptOrder>(key).await else { return };
        let state = &loaded.entity.state;
        let shown = Shown::of(state, page.0.clock.now());
        let version = shown.version(state);
        if told.as_ref() != Some(&version) {
            let event = sse::Event::default().event("state").retry(retry(order)).data(&version);
            if sender.send(event).await.is_err() || shown.is_final() {
                return;
            }
            told = Some(version);
        }
        let deadline = shown.is_payable().then_some(state.course().expires_at);
        loop {
            let now = page.0.clock.now();
            if deadline.is_some_and(|deadline| now > deadline) {
                break;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = record.changed() => break,
                () = page.0.clock.sleep(wait(now, deadline)) => match committed.has_changed() {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(_) => return,
                },
            }
        }
    }
}

/// Until the next look, or until the deadline where that comes first: an order expires behind its last millisecond.
fn wait(now: SystemTime, deadline: Option<SystemTime>) -> Duration {
    let left = deadline.map(|deadline| deadline.duration_since(now).unwrap_or_default() + Duration::from_millis(1));
    left.map_or(LOOK_PERIOD, |left| left.min(LOOK_PERIOD))
}

/// An order's id is random, and so is what comes of it.
fn retry(order: &OrderId) -> Duration {
    let sum = order.as_str().bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    RETRY + Duration::from_millis(sum % RETRY_SPREAD_MS)
}
