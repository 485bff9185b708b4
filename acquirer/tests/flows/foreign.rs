//! The card network has another payment under an id of ours: its money is not ours to claim or to take back.

use std::{sync::Arc, time::Duration};

use acquirer::{
    authorize::{Authorizer, Recovery},
    network::{AuthorizationNetwork as _, Behaviour, Inquiry, NetworkRequest, Sale, SimulatedNetwork},
    records::KeptOrder,
};
use mesh::{
    clock::Clock as _,
    store::{Store, memory::MemoryStore},
    telemetry::Metrics,
};
use proto::{authorization::DeclineReason, card::CardData, event::OrderState};

use super::{
    authorize::reversals,
    bank::{Bank, Sent, approved, declined, twd},
    cuts::{card_that, drive},
    network::{Answer, CODE},
    probe::{CutLine, Fuse, Probe},
};

#[tokio::test]
async fn another_s_payment_under_the_same_id_is_neither_believed_nor_taken_back() {
    let mut bank = Bank::new();
    let metrics = Metrics::new();
    let network = Arc::clone(&bank.network) as _;
    bank.authorizer = Authorizer::counted(Arc::clone(&bank.context), network, &metrics);
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.knows(request.network_id(), Inquiry::Approved(CODE.parse().unwrap()));
    bank.network.next([Answer::OtherContent]);
    let result = bank.authorize(&request).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
    assert_eq!((bank.network.inquired(), reversals(&bank).await), (vec![], 0));
    assert!(metrics.exposition().contains("\nacquirer_network_other_content_total 1\n"), "{}", metrics.exposition());

    // The order goes on, and nothing of it ever reaches the other payment.
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0);
    assert_eq!(bank.restarted().authorizer.recover(Recovery::Everything).await.unwrap(), 0);
    let again = bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap();
    assert!(approved(&again));
    assert_eq!(bank.network.reversed(), []);
    let shown = bank.authorize(&request).await.unwrap();
    assert_eq!(shown.signed, result.signed, "the decline stays as it was signed");
}

/// The answer that named the other payment never arrives: what is left is the question.
#[tokio::test]
async fn another_s_payment_under_the_same_id_is_not_believed_where_only_an_inquiry_tells_of_it() {
    let other_amount = |sale: Sale| Sale { amount: twd(700), ..sale };
    let other_shop = |sale: Sale| Sale { merchant: "shop-lamps".parse().unwrap(), ..sale };
    for (other, answer) in [
        (&other_amount as &dyn Fn(Sale) -> Sale, Answer::Silent),
        (&other_shop, Answer::Silent),
        (&other_amount, Answer::Unreachable),
    ] {
        let mut bank = Bank::new();
        let metrics = Metrics::new();
        bank.authorizer = Authorizer::counted(Arc::clone(&bank.context), Arc::clone(&bank.network) as _, &metrics);
        let order = bank.order("R-1", 100).await;
        let request = bank.a.request(&order, 1, bank.clock.now());
        bank.network.has_sold(request.network_id(), other(request.sale()));
        bank.network.next([answer]);
        let call = bank.spawn(&request);
        bank.network.asked_times(1).await;
        if matches!(answer, Answer::Silent) {
            bank.advance_a_sleeper(Duration::from_secs(5)).await;
        }
        call.await.unwrap().unwrap();
        is_neither_believed_nor_taken_back(&bank, &order, &request).await;
        let numbers = metrics.exposition();
        assert!(numbers.contains("\nacquirer_network_other_content_total 1\n"), "{numbers}");
    }
}

/// Neither the answer nor the question tells of the other payment: what is left is the reversal, and it ends there.
#[tokio::test]
async fn another_s_payment_under_the_same_id_is_not_taken_back_by_a_reversal() {
    let mut bank = Bank::new();
    let metrics = Metrics::new();
    bank.authorizer = Authorizer::counted(Arc::clone(&bank.context), Arc::clone(&bank.network) as _, &metrics);
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::Unreachable]);
    let result = bank.authorize(&request).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
    assert_eq!(reversals(&bank).await, 1);

    bank.network.has_sold(request.network_id(), Sale { amount: twd(700), ..request.sale() });
    assert_eq!(bank.restarted().authorizer.send_reversals().await.unwrap(), 0, "nothing was acknowledged");
    assert_eq!((bank.network.reversed(), reversals(&bank).await), (vec![], 0));
}

/// Whichever step of the process is its last, the other payment keeps its money, and ours is not taken for it.
#[tokio::test]
async fn another_s_payment_under_the_same_id_survives_a_crash_at_every_step() {
    for steps in 0.. {
        let (store, ledger): (Arc<dyn Store>, Arc<dyn Store>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let made_with = Bank::over(Arc::clone(&store));
        let order = made_with.order("R-1", 100).await;
        let fuse = Fuse::new(steps);
        let mut bank = made_with.restarted_over(Probe::new(Arc::clone(&store), Arc::clone(&fuse)));
        let network = Arc::new(SimulatedNetwork::new(ledger, bank.context.clock.clone()));
        let line = CutLine::new(Arc::clone(&network) as _, Arc::clone(&fuse));
        bank.authorizer = Authorizer::new(Arc::clone(&bank.context), Arc::new(line));
        let card = card_that(Behaviour::Approve);
        let sent = bank.a.request_with(&order, 1, bank.clock.now(), &card, |_| {});
        let other = Sale { amount: twd(700), ..sent.sale() };
        let (id, Sale { amount, merchant }) = (sent.network_id(), other.clone());
        let card = CardData::parse(card).unwrap();
        network.authorize(NetworkRequest { id, card, amount, merchant }).await.unwrap();

        let paying = bank.spawn(&sent);
        drive(&bank, || fuse.is_burnt() || paying.is_finished()).await;
        let mut next = bank.restarted_over(store);
        next.authorizer = Authorizer::new(Arc::clone(&next.context), Arc::clone(&network) as _);
        next.authorizer.recover(Recovery::Everything).await.unwrap();
        assert_eq!((reversals(&next).await, next.state(&order).await.name()), (0, OrderState::Open), "{steps}");
        let kept = network.inquire(&sent.network_id(), &other).await.unwrap();
        assert!(matches!(kept, Inquiry::Approved(_)), "after {steps} steps: {kept:?}");
        if !fuse.is_burnt() {
            assert!(steps > 3, "the intent, the network and the outcome take steps");
            return;
        }
    }
}

async fn is_neither_believed_nor_taken_back(bank: &Bank, order: &KeptOrder, request: &Sent) {
    let result = bank.authorize(request).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
    assert_eq!((bank.network.inquired().len(), reversals(bank).await), (1, 0));
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0);
    assert_eq!(bank.network.reversed(), []);
    assert_eq!(bank.state(order).await.name(), OrderState::Open);
}
