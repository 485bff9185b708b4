//! The stream of a merchant's events.

use std::{pin::Pin, time::Duration};

use mesh::store::Seq;
use proto::{ids::MerchantId, pb};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

use crate::orders::{Orders, merchant_topic};

/// The events of one merchant, as they come.
pub(super) type EventStream = Pin<Box<dyn Stream<Item = Result<pb::WatchOrdersResponse, Status>> + Send>>;

/// Events that wait for a slow reader. Behind them reading stops until the reader goes on, so that a
/// reader costs this much memory and no more.
const WAITING_MAX: usize = 16;

/// How often a reader looks although nobody told it of news, where anything was committed at all: for what
/// another process committed, or what was committed without an answer.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

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
    let repository = &orders.context().repository;
    // Taken before the first read: what is committed after a read that found nothing wakes it up.
    let mut news = repository.follow(&merchant_topic(merchant)?);
    let mut visible = repository.store().watch();
    loop {
        news.borrow_and_update();
        visible.borrow_and_update();
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
                more = until_there_may_be_more(orders, &mut news, &mut visible) => if !more { return Ok(()) },
            }
        }
    }
}

/// Waits for a commit of the merchant's own; `false` where the store is gone, and with it the server.
async fn until_there_may_be_more(
    orders: &Orders,
    news: &mut watch::Receiver<Seq>,
    visible: &mut watch::Receiver<Seq>,
) -> bool {
    loop {
        tokio::select! {
            told = news.changed() => {
                let newest = *news.borrow_and_update();
                return told.is_ok() && visible.wait_for(|seq| *seq >= newest).await.is_ok();
            }
            () = orders.context().clock.sleep(LOOK_PERIOD) => match visible.has_changed() {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            },
        }
    }
}
