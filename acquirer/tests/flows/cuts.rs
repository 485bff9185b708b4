//! The process is cut off after every single step of a payment; the next one brings it to its end, and at the
//! end the card network holds no approval that belongs to no approved order.

use std::{sync::Arc, time::Duration};

use acquirer::{
    authorize::{Authorizer, Recovery},
    domain::order::State,
    network::{AuthorizationNetwork as _, Behaviour, Inquiry, LATE_AFTER, SimulatedNetwork, test_cards},
    orders::Cancelling,
};
use mesh::{
    clock::Clock as _,
    store::{Store, memory::MemoryStore},
};
use proto::{
    authorization::{AuthorizationResult, Carried, DeclineReason},
    pb,
};

use super::{
    authorize::reversals,
    bank::{Bank, Sent, approved, shop},
    probe::{CutLine, Fuse, Probe},
};

/// More steps than any of these payments takes.
const STEPS_MAX: u32 = 60;

pub(crate) fn card_that(behaviour: Behaviour) -> pb::CardData {
    let card = test_cards().iter().find(|card| card.behaviour() == behaviour).unwrap();
    let (pan, cvv) = (card.pan().expose().to_owned(), card.cvv().expose().to_owned());
    pb::CardData { pan, expiry_month: 12, expiry_year: 2031, cvv }
}

/// Lets everything that can go on go on, and then the clock, until `done`.
pub(crate) async fn drive(bank: &Bank, mut done: impl FnMut() -> bool) {
    for _ in 0..120 {
        for _ in 0..200 {
            if done() {
                return;
            }
            tokio::task::yield_now().await;
        }
        bank.clock.advance(Duration::from_secs(1));
    }
    panic!("it comes to no end");
}

/// What one payment leaves behind.
struct Left {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Store>,
    sent: Sent,
    order: acquirer::records::KeptOrder,
    reached: bool,
    answer: Option<bytes::Bytes>,
    cancelled: Option<Cancelling>,
    bank: Bank,
}

/// Runs a payment until it is over or the fuse is burnt.
async fn pay(behaviour: Behaviour, cancels: bool, fuse: &Arc<Fuse>) -> Left {
    let (store, ledger): (Arc<dyn Store>, Arc<dyn Store>) =
        (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    // Making the order is no part of it.
    let made_with = Bank::over(Arc::clone(&store));
    let order = made_with.order("R-1", 100).await;
    let mut bank = made_with.restarted_over(Probe::new(Arc::clone(&store), Arc::clone(fuse)));
    let network = SimulatedNetwork::new(Arc::clone(&ledger), bank.context.clock.clone());
    let line = CutLine::new(Arc::new(network), Arc::clone(fuse));
    let asked = line.asked();
    bank.authorizer = Authorizer::new(Arc::clone(&bank.context), Arc::new(line));
    let sent = bank.a.request_with(&order, 1, bank.clock.now(), &card_that(behaviour), |_| {});
    let paying = bank.spawn(&sent);
    let orders = bank.orders.clone();
    let id = order.id().clone();
    let cancelling = cancels.then(|| tokio::spawn(async move { orders.cancel(&shop(), &id).await.unwrap().0 }));
    let is_over = || paying.is_finished() && cancelling.as_ref().is_none_or(|task| task.is_finished());
    drive(&bank, || fuse.is_burnt() || is_over()).await;
    // What has not been answered by now never is.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let answer = match paying.is_finished() {
        true => Some(paying.await.unwrap().unwrap().body),
        false => None,
    };
    let cancelled = match cancelling {
        Some(task) if task.is_finished() => Some(task.await.unwrap()),
        Some(_) | None => None,
    };
    let reached = !asked.lock().unwrap().is_empty();
    Left { store, ledger, sent, order, reached, answer, cancelled, bank }
}

/// The next process does what it does at its start, and the issuer asks what became of its request.
async fn finish(left: Left, context: &str) {
    let mut bank = left.bank.restarted_over(Arc::clone(&left.store));
    let network = Arc::new(SimulatedNetwork::new(Arc::clone(&left.ledger), bank.context.clock.clone()));
    bank.authorizer = Authorizer::new(Arc::clone(&bank.context), Arc::clone(&network) as _);
    bank.authorizer.recover(Recovery::Everything).await.unwrap();
    while bank.authorizer.send_reversals().await.unwrap() > 0 {}
    assert_eq!(reversals(&bank).await, 0, "{context}");
    let question = bank.question(&left.sent);
    let acquirer::authorize::Resolution::Result(result) = bank.resolve(&bank.a, question).await.unwrap() else {
        panic!("{context}: nothing is pending after a recovery");
    };
    if let Some(answer) = &left.answer {
        assert_eq!(result.body, *answer, "{context}: what was answered is found again");
    }
    let result = Carried::<AuthorizationResult>::parse(result.to_pb()).unwrap();
    bank.check(&left.sent, &result);

    // Long after everything that a late network might still do.
    bank.clock.advance(LATE_AFTER + Duration::from_secs(3_600));
    let state = bank.state(&left.order).await;
    let held = network.inquire(&left.sent.network_id(), &left.sent.sale()).await.unwrap();
    match (&state, approved(&result)) {
        (State::Approved(_), true) => assert!(matches!(held, Inquiry::Approved(_)), "{context}: {held:?}"),
        (State::Expired(_) | State::Cancelled(_), false) => match held {
            Inquiry::Approved(code) => panic!("{context}: {code} stands for no order"),
            Inquiry::Declined(_) => {}
            Inquiry::Unknown => assert!(!left.reached, "{context}: an approval may stand that nobody tells of"),
        },
        (state, approved) => panic!("{context}: {state:?}, approved: {approved}"),
    }
    match left.cancelled {
        Some(Cancelling::Cancelled) => assert!(matches!(state, State::Cancelled(_)), "{context}: {state:?}"),
        Some(Cancelling::TooLate) => assert!(matches!(state, State::Approved(_)), "{context}: {state:?}"),
        Some(Cancelling::Pending) => assert!(matches!(state, State::Approved(_) | State::Cancelled(_)), "{context}"),
        Some(Cancelling::AlreadyExpired | Cancelling::AlreadyFailed) => panic!("{context}: {:?}", left.cancelled),
        None => {}
    }
}

#[tokio::test]
async fn a_crash_after_any_step_leaves_no_approval_without_an_order() {
    let mut cuts = 0;
    for behaviour in [
        Behaviour::Approve,
        Behaviour::Decline(DeclineReason::LostCard),
        Behaviour::Slow,
        Behaviour::Silent,
        Behaviour::Late,
    ] {
        for cancels in [false, true] {
            let mut steps = 0;
            loop {
                let fuse = Fuse::new(steps);
                let left = pay(behaviour, cancels, &fuse).await;
                let is_over = !fuse.is_burnt();
                finish(left, &format!("{behaviour:?}, cancelling: {cancels}, cut off after {steps} steps")).await;
                if is_over {
                    break;
                }
                steps += 1;
                cuts += 1;
                assert!(steps < STEPS_MAX, "{behaviour:?} comes to no end");
            }
            assert!(steps >= 6, "{behaviour:?} was cut at {steps} steps alone");
        }
    }
    assert!(cuts >= 90, "{cuts} cuts alone");
}

#[tokio::test]
async fn a_reversal_that_fails_in_an_unforeseen_way_keeps_none_of_the_others() {
    use super::network::Answer;

    let mut bank = Bank::new();
    bank.network.next([Answer::Unreachable; 40]);
    for number in 0..40 {
        let order = bank.order(&format!("R-{number}"), 1).await;
        bank.authorize(&bank.a.request(&order, number, bank.clock.now())).await.unwrap();
    }
    let line = CutLine::new(Arc::clone(&bank.network) as _, Fuse::new(u32::MAX)).panicking(1);
    bank.authorizer = Authorizer::new(Arc::clone(&bank.context), Arc::new(line));
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 39, "all but the one");
    assert_eq!((bank.authorizer.send_reversals().await.unwrap(), reversals(&bank).await), (1, 0), "and then that");
}
