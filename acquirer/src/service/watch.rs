//! The stream of a merchant's events.

use std::pin::Pin;

use mesh::store::Seq;
use proto::{ids::MerchantId, pb};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

use crate::orders::Orders;

/// The events of one merchant, as they come.
pub(super) type EventStream = Pin<Box<dyn Stream<Item = Result<pb::WatchOrdersResponse, Status>> + Send>>;

/// Events that wait for a slow reader. Behind them reading stops until the reader goes on, so that a
/// reader costs this much memory and no more.
const WAITING_MAX: usize = 16;

/// Follows a merchant's events after a place: those that are there, then new ones, without a gap or a
/// repeat. Ends when the reader goes away.
pub(super) fn follow(orders: Orders, merchant: MerchantId, after: Seq) -> EventStream {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        if let Err(status) = send_events(&orders, &merchant, after, &sender).await {
            // A reader that is gone needs no reason.
            let _ = sender.send(Err(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

async fn send_events(
    orders: &Orders,
    merchant: &MerchantId,
    mut after: Seq,
    sender: &mpsc::Sender<Result<pb::WatchOrdersResponse, Status>>,
) -> Result<(), Status> {
    // Taken before the first read: what is committed after a read that found nothing wakes it up.
    let mut news = orders.context().repository.store().watch();
    loop {
        news.borrow_and_update();
        let page = orders.events_after(merchant, after).await?;
        let is_caught_up = page.events.is_empty();
        for (cursor, event) in page.events {
            let event = pb::WatchOrdersResponse { cursor, event: Some(event.to_pb()) };
            if sender.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        after = page.next;
        if is_caught_up {
            tokio::select! {
                () = sender.closed() => return Ok(()),
                changed = news.changed() => {
                    // The store is gone, and with it the server.
                    if changed.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}
