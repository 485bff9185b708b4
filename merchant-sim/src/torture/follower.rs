//! A shop that follows its orders by `WatchOrders` through everything: with its last cursor, again and again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use mesh::channel::MeshChannel;
use prost::Message as _;
use proto::pb;
use proto::pb::order_service_client::OrderServiceClient;
use tokio::task::JoinHandle;

use crate::shop::{acquirer_channel, identity};
use crate::topology::{Merchant, Topology};

/// The pause before a stream that ended is resumed.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a stream is followed before it is given up and resumed, so that one whose line has fallen silent
/// for good is noticed.
const STREAM_TIME: Duration = Duration::from_secs(20);

/// What one shop has seen so far. Dropping it ends the following.
#[derive(Debug)]
pub(super) struct Follower {
    merchant: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Each event, serialised, in the order in which it came.
    events: Vec<Vec<u8>>,
    /// The orders of which a final state was seen.
    ended: BTreeSet<String>,
}

impl Follower {
    /// Begins to follow a shop's orders from the first event on.
    ///
    /// # Errors
    /// The shop's files can't be used.
    pub(super) fn start(topology: &Topology, merchant: &Merchant) -> Result<Self> {
        let channel = acquirer_channel(topology, merchant, identity(topology, &merchant.tls)?)?;
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(follow(OrderServiceClient::new(channel), Arc::clone(&seen)));
        Ok(Self { merchant: merchant.id.clone(), seen, task })
    }

    /// Whose orders.
    pub(super) fn merchant(&self) -> &str {
        &self.merchant
    }

    /// Whether it has seen the end of this order.
    pub(super) fn has_seen_end_of(&self, order: &str) -> bool {
        lock(&self.seen).ended.contains(order)
    }

    /// Everything that it has seen.
    pub(super) fn events(&self) -> Vec<Vec<u8>> {
        lock(&self.seen).events.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: OrderServiceClient<MeshChannel>, seen: Arc<Mutex<Seen>>) {
    let mut cursor = String::new();
    loop {
        let _ = tokio::time::timeout(STREAM_TIME, watch(client.clone(), &mut cursor, &seen)).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Follows one stream until it ends, and moves the cursor with each event.
async fn watch(mut client: OrderServiceClient<MeshChannel>, cursor: &mut String, seen: &Mutex<Seen>) {
    let request = pb::WatchOrdersRequest { cursor: cursor.clone() };
    let Ok(stream) = client.watch_orders(request).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(answer)) = stream.message().await {
        let Some(event) = answer.event else { continue };
        let mut seen = lock(seen);
        if let Ok(says) = pb::OrderEvent::decode(event.body.clone())
            && is_final(says.state())
        {
            seen.ended.insert(says.order_id);
        }
        seen.events.push(event.encode_to_vec());
        *cursor = answer.cursor;
    }
}

/// Whether an order in this state stays in it.
pub(super) const fn is_final(state: pb::OrderState) -> bool {
    match state {
        pb::OrderState::Approved | pb::OrderState::Cancelled | pb::OrderState::Expired | pb::OrderState::Failed => true,
        pb::OrderState::Unspecified | pb::OrderState::Open | pb::OrderState::Authorizing => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
