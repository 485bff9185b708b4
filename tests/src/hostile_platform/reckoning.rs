//! The reckoning: when everything has stopped, what each bank keeps, what the acquirer keeps and what the
//! shop has heard must tell the same story.

use std::collections::HashMap;

use mesh::directory::Directory;
use proto::{ids::AcquirerId, pb, signed::Signed};

use super::world::{ACQUIRER, CUSTOMERS, Issuer, Paid, World};
use crate::{books, network::domain};

/// Stops everybody and compares the books.
pub(crate) async fn check(world: World) {
    check_events(&world).await;
    assert!(world.aurora.disbelieved() > 100, "the issuer counts what it doesn't believe");
    let World { network, shop, aurora, borealis, acquirer, ledger, serving, .. } = world;
    let ledger = ledger.into_inner().unwrap();
    assert!(ledger.len() > 80, "{} charges", ledger.len());
    for issuer in [aurora, borealis] {
        let Issuer { id, app, running, .. } = issuer;
        drop(app);
        running.stop().await;
        books::check_accounts(&network, id, CUSTOMERS, |customer| spent(&ledger, id, customer)).await;
    }
    drop((shop, serving));
    acquirer.stop().await;
    let store = books::open(&network.path(format!("{ACQUIRER}-data")), &format!("acquirer/{ACQUIRER}"));
    books::is_empty(&store, acquirer::records::ATTEMPTS_DECIDING, "authorizations under way").await;
    books::is_empty(&store, acquirer::records::REVERSALS_DUE, "reversals").await;
    store.close().await;
}

/// The shop has heard of every result that its acquirer gave for one of its orders and of no other: an
/// approval for each approved charge, a decline for each that the acquirer declined.
async fn check_events(world: &World) {
    let file = std::fs::read(world.network.path("directory.binpb")).unwrap();
    let directory = Directory::from_file(&file, &world.network.trust(), &domain()).unwrap();
    let acquirer = directory.acquirer(&ACQUIRER.parse::<AcquirerId>().unwrap()).unwrap();
    let mut heard = HashMap::new();
    for (signed, event) in world.shop.events().await {
        let at = proto::time::parse(event.occurred_at.unwrap()).unwrap();
        acquirer.verify::<pb::OrderEvent>(&Signed::parse(signed, 1024).unwrap(), at).unwrap();
        let outcome = event.authorization.unwrap();
        let before = heard.insert(outcome.authorization_id.clone(), (event.order_id, outcome));
        assert!(before.is_none(), "one event for one authorization");
    }
    for Paid { order, charge, .. } in world.ledger.lock().unwrap().iter() {
        let event = heard.remove(&charge.authorization_id);
        if charge.decline_reason() == pb::DeclineReason::NeverReceived {
            assert!(event.is_none(), "the shop heard of a request that never arrived: {event:?}");
            continue;
        }
        let (order_id, outcome) = event.expect("the shop has heard of the result");
        assert_eq!(order_id, order.order.id.to_string());
        let is_approved = outcome.decision() == pb::Decision::Approved;
        assert_eq!(is_approved, charge.state() == pb::ChargeState::Approved, "{outcome:?} for {charge:?}");
        assert_eq!(
            (outcome.decline_reason(), &outcome.approval_code),
            (charge.decline_reason(), &charge.approval_code)
        );
    }
    assert!(heard.is_empty(), "the shop has heard of results that no bank has asked for: {heard:?}");
    for order in world.shop.look_at_all().await {
        let charges = world.ledger.lock().unwrap().clone();
        let approved = charges.iter().filter(|paid| {
            paid.order.order.id.as_str() == order.order_id && paid.charge.state() == pb::ChargeState::Approved
        });
        assert_eq!(approved.count(), usize::from(order.state() == pb::OrderState::Approved), "{order:?}");
    }
}

/// What a customer has spent: what was approved.
fn spent(ledger: &[Paid], issuer: &str, customer: u32) -> i64 {
    let of_customer = ledger.iter().filter(|paid| paid.issuer == issuer && paid.customer == customer);
    let approved = of_customer.filter(|paid| paid.charge.state() == pb::ChargeState::Approved);
    approved.map(|paid| paid.order.order.amount.minor_units()).sum()
}
