//! Only the acquirer's word counts, each once, and nothing is passed over.
#![allow(clippy::unwrap_used)]

use std::time::SystemTime;

use bytes::Bytes;
use mesh::signing::Signer;
use prost::Message as _;
use proto::digest::Digest;
use proto::signed::SignedBody as _;

use super::*;
use crate::sample::money;
use crate::shop::directory;
use crate::topology::{KeyPair, Topology, files, plan};

/// A network's certificates and directory, without servers.
struct Paper {
    topology: Topology,
    _folder: tempfile::TempDir,
}

impl Paper {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wishes =
            plan::Wishes { reflection: false, log_filter: "info", load_customers: 0, pages: plan::Pages::Programs };
        let topology = plan::make(folder.path(), wishes).unwrap().topology;
        files::write(&topology).unwrap();
        Self { topology, _folder: folder }
    }

    fn inbox(&self, beginning: Beginning) -> Inbox {
        let acquirer = self.topology.acquirers[0].id.parse().unwrap();
        let member = directory(&self.topology).unwrap().acquirer(&acquirer).unwrap().clone();
        Inbox::new(self.topology.merchants[0].id.parse().unwrap(), member, beginning)
    }

    fn event(&self, position: u32, state: OrderState) -> OrderEvent {
        OrderEvent {
            position,
            order: OrderId::from_random([1; 16]),
            merchant: self.topology.merchants[0].id.parse().unwrap(),
            reference: "cart-1".parse().unwrap(),
            order_digest: Digest::of(b"order"),
            occurred_at: SystemTime::now(),
            state,
            authorization: None,
            amount: money(100).unwrap(),
        }
    }

    /// The event under the acquirer's signature.
    fn sign(&self, event: &OrderEvent) -> pb::Signed {
        self.sign_with(&self.topology.acquirers[0].signing, event)
    }

    fn sign_with(&self, keys: &KeyPair, event: &OrderEvent) -> pb::Signed {
        let (certificate, key) = (std::fs::read(&keys.certificate).unwrap(), std::fs::read(&keys.key).unwrap());
        let signer = Signer::from_pem(&certificate, &key).unwrap();
        let body = event.to_pb().encode_to_vec();
        let signature = signer.sign(pb::OrderEvent::NAME, &body);
        pb::Signed {
            body: body.into(),
            key_id: signer.key_id().to_string(),
            signature: Bytes::copy_from_slice(&signature),
        }
    }
}

#[tokio::test]
async fn events_are_taken_once_and_in_order() {
    let paper = Paper::new();
    let inbox = paper.inbox(Beginning::FirstOrder);
    let (first, second) = (paper.event(1, OrderState::Open), paper.event(2, OrderState::Approved));
    assert_eq!(inbox.take(paper.sign(&second)), Err(Refused::Gap(1)));
    assert_eq!(inbox.take(paper.sign(&first)), Ok(Taken::New));
    assert_eq!(inbox.take(paper.sign(&first)), Ok(Taken::Again));
    let other = OrderEvent { state: OrderState::Cancelled, ..first.clone() };
    assert_eq!(inbox.take(paper.sign(&other)), Err(Refused::Contradiction));
    let waiting = tokio::spawn({
        let (inbox, order) = (inbox.clone(), first.order.clone());
        async move { inbox.paid(&order, Duration::from_secs(30)).await }
    });
    assert_eq!(inbox.take(paper.sign(&second)), Ok(Taken::New));
    assert_eq!(waiting.await.unwrap().map(|event| event.position), Some(2));
    assert_eq!(inbox.of(&first.order).len(), 2);
}

#[tokio::test]
async fn what_does_not_come_is_not_waited_for_for_ever() {
    let inbox = Paper::new().inbox(Beginning::FirstOrder);
    assert!(inbox.paid(&OrderId::from_random([1; 16]), Duration::from_millis(1)).await.is_none());
}

#[test]
fn a_shop_that_was_restarted_begins_where_its_acquirer_is() {
    let paper = Paper::new();
    let inbox = paper.inbox(Beginning::Resumed);
    assert_eq!(inbox.take(paper.sign(&paper.event(3, OrderState::Open))), Ok(Taken::New));
    assert_eq!(inbox.take(paper.sign(&paper.event(5, OrderState::Approved))), Err(Refused::Gap(4)));
}

#[test]
fn nobody_else_is_believed() {
    let paper = Paper::new();
    let inbox = paper.inbox(Beginning::FirstOrder);
    let event = paper.event(1, OrderState::Approved);
    let bank = paper.sign_with(&paper.topology.issuers[0].signing, &event);
    assert_eq!(inbox.take(bank), Err(Refused::Signature));
    let mut altered = paper.sign(&event);
    altered.body = paper.event(1, OrderState::Failed).to_pb().encode_to_vec().into();
    assert_eq!(inbox.take(altered), Err(Refused::Signature));
    let other = OrderEvent { merchant: paper.topology.merchants[1].id.parse().unwrap(), ..event };
    assert_eq!(inbox.take(paper.sign(&other)), Err(Refused::OtherMerchant));
    assert!(matches!(inbox.take(pb::Signed::default()), Err(Refused::Malformed(_))));
    assert!(inbox.of(&other.order).is_empty());
}
