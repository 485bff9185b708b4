//! From a published order to the ticket: who gets it, when, and how often.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mesh::{identity::Role, store::Store};
use proto::directory::{Entry, MemberStatus};

use super::*;
use crate::{
    config::CheckoutLimits,
    domain::{change::ChangeKind, checkout::Health},
    tasks,
    testing::{Network, next, sign, store},
    ticket::TicketFault,
};

const NONCE: [u8; 16] = [1; 16];

struct Desk {
    network: Network,
    store: Arc<dyn Store>,
    context: Arc<Context>,
}

impl Desk {
    async fn new() -> Self {
        let (network, store) = (Network::new(), store());
        let members = [
            network.bank("bank-a", &[(40_000_000, 40_000_099)]),
            network.bank("bank-b", &[(52_000_000, 52_000_099)]),
            network.acquirer("acq-1"),
        ];
        let context = network.platform_over(&store, &members).await;
        Self { network, store, context }
    }

    async fn publish(&self, order: &SignedOrder) -> Result<Checkout, Error> {
        publish(&self.context, &"acq-1".parse().unwrap(), order.clone(), None).await
    }

    /// A fresh checkout, and the code of a bank's app link.
    async fn picked(&self, number: u8, bank: &str) -> (Checkout, String) {
        let checkout = self.publish(&self.network.order("acq-1", number)).await.unwrap();
        let code = self.pick(&checkout, bank).await.unwrap();
        (checkout, code)
    }

    async fn pick(&self, checkout: &Checkout, bank: &str) -> Result<String, Error> {
        let app = pick(&self.context, checkout.id.as_str(), bank).await?;
        let (link, code) = app.link.split_once("#c=").unwrap();
        assert_eq!(link, format!("https://app.{bank}.example/pay"));
        Ok(code.to_owned())
    }

    async fn set_status(&self, member: &str, status: MemberStatus) {
        let entry = self.context.directory.current().member(&member.parse().unwrap()).unwrap().entry().clone();
        let entry: Entry = next(&entry, |entry| entry.status = status);
        let kind = match status {
            MemberStatus::Active => ChangeKind::Resume,
            MemberStatus::Suspended => ChangeKind::Suspend,
            MemberStatus::Removed => ChangeKind::Remove,
        };
        let by = self.network.peer(Role::Operator, "ops").id;
        self.context.register.change(kind, self.network.sign(&entry), &by).await.unwrap();
    }

    fn verify(&self, ticketed: &Ticketed, bank: &str, order: &SignedOrder) -> Result<(), TicketFault> {
        self.context.tickets.verify(&ticketed.ticket, &bank.parse().unwrap(), &order.digest, self.network.now())
    }
}

/// What went wrong, without asking for the debug form of a secret.
fn fault<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_order_has_one_checkout_however_often_it_is_published() {
    let desk = Desk::new().await;
    let (one, other) = (desk.network.order("acq-1", 1), desk.network.order("acq-1", 2));
    let first = desk.publish(&one).await.unwrap();
    assert_eq!(desk.publish(&one).await.unwrap().id, first.id);
    assert_ne!(desk.publish(&other).await.unwrap().id, first.id);
    assert_eq!(find(&desk.context, first.id.as_str()).await.unwrap().order, one);
    // The same after a restart, and for callers at the same moment.
    let context = desk.network.platform_over(&desk.store, &[]).await;
    assert_eq!(publish(&context, &"acq-1".parse().unwrap(), one, None).await.unwrap().id, first.id);
    let third = desk.network.order("acq-1", 3);
    let (a, b) = tokio::join!(desk.publish(&third), desk.publish(&third));
    assert_eq!(a.unwrap().id, b.unwrap().id);
}

#[tokio::test]
async fn only_the_acquirer_publishes_its_own_signed_order() {
    let desk = Desk::new().await;
    let order = desk.network.order("acq-1", 1);
    let by = async |caller: &str, order: SignedOrder| {
        fault(publish(&desk.context, &caller.parse().unwrap(), order, None).await)
    };
    assert!(matches!(by("acq-2", order.clone()).await, Error::AcquirerMismatch));
    assert!(matches!(by("acq-2", desk.network.order("acq-2", 1)).await, Error::MemberUnknown));
    // Signed by somebody else, by an unlisted key of the acquirer's, or altered.
    for signer in [desk.network.signer(Role::Issuer, "bank-a"), desk.network.another_signer(Role::Acquirer, "acq-1")] {
        let forged = SignedOrder::parse(sign(&signer, &order.order.to_pb())).unwrap();
        assert!(matches!(by("acq-1", forged).await, Error::OrderSignature(OrderSignature::Wrong(_))));
    }
    let mut dearer = order.order.to_pb();
    dearer.amount.as_mut().unwrap().minor_units += 1;
    let altered = pb::Signed { body: prost::Message::encode_to_vec(&dearer).into(), ..order.signed.to_pb() };
    let altered = SignedOrder::parse(altered).unwrap();
    assert!(matches!(by("acq-1", altered).await, Error::OrderSignature(OrderSignature::Wrong(_))));
    let early = desk.network.order_at("acq-1", 2, desk.network.now() + Duration::from_secs(61));
    assert!(matches!(by("acq-1", early).await, Error::OrderSignature(OrderSignature::FromFuture)));
    desk.set_status("acq-1", MemberStatus::Suspended).await;
    assert!(matches!(by("acq-1", order).await, Error::MemberSuspended));
}

#[tokio::test]
async fn a_checkout_ends_a_minute_after_its_order() {
    let desk = Desk::new().await;
    let order = desk.network.order("acq-1", 1);
    let checkout = desk.publish(&order).await.unwrap();
    desk.network.clock.advance(Duration::from_secs(15 * 60 + 60));
    let code = desk.pick(&checkout, "bank-a").await.unwrap();
    redeem(&desk.context, &code, &NONCE).await.map(|_| ()).unwrap();
    desk.network.clock.advance(Duration::from_millis(1));
    assert!(matches!(fault(find(&desk.context, checkout.id.as_str()).await), Error::CheckoutExpired));
    assert!(matches!(fault(desk.pick(&checkout, "bank-a").await), Error::CheckoutExpired));
    assert!(matches!(fault(redeem(&desk.context, &code, &NONCE).await), Error::CodeNotFound));
    assert!(matches!(fault(desk.publish(&order).await), Error::OrderExpired));
    assert!(matches!(fault(pick_with_order(&desk.context, &order, "bank-a")), Error::OrderExpired));
    for unknown in ["cko_aaaaaaaaaaaaaaaaaaaaaaaaaa", "", "../etc"] {
        assert!(matches!(fault(find(&desk.context, unknown).await), Error::CheckoutNotFound), "{unknown}");
    }
}

#[tokio::test]
async fn a_code_is_for_one_device_and_gives_it_the_same_answer_again() {
    let desk = Desk::new().await;
    let (checkout, code) = desk.picked(1, "bank-a").await;
    let first = redeem(&desk.context, &code, &NONCE).await.ok().unwrap();
    assert_eq!(first.order, checkout.order.signed.to_pb());
    assert_eq!(desk.verify(&first, "bank-a", &checkout.order), Ok(()));
    assert_eq!(desk.verify(&first, "bank-b", &checkout.order), Err(TicketFault::OtherBank));
    let again = redeem(&desk.context, &code, &NONCE).await.ok().unwrap();
    assert_eq!((again.ticket, again.order, again.expires_at), (first.ticket, first.order, first.expires_at));
    assert!(matches!(fault(redeem(&desk.context, &code, &[2; 16]).await), Error::CodeNotFound));
    let lower = code.to_ascii_lowercase();
    for unknown in ["", "A", lower.as_str(), &"A".repeat(32), &"A".repeat(1_000)] {
        assert!(matches!(fault(redeem(&desk.context, unknown, &NONCE).await), Error::CodeNotFound));
    }
    // After a restart the same device still gets the same answer, and no other gets any.
    let context = desk.network.platform_over(&desk.store, &[]).await;
    assert!(redeem(&context, &code, &NONCE).await.is_ok());
    assert!(matches!(fault(redeem(&context, &code, &[2; 16]).await), Error::CodeNotFound));
}

#[tokio::test]
async fn of_two_devices_at_the_same_moment_one_gets_the_ticket() {
    let desk = Desk::new().await;
    for number in 0..20 {
        let (_, code) = desk.picked(number, "bank-a").await;
        let (one, two) = tokio::join!(redeem(&desk.context, &code, &[1; 16]), redeem(&desk.context, &code, &[2; 16]));
        assert_ne!(one.is_ok(), two.is_ok());
    }
}

#[tokio::test]
async fn a_code_is_void_after_its_time() {
    let desk = Desk::new().await;
    let (_, code) = desk.picked(1, "bank-a").await;
    desk.network.clock.advance(CheckoutLimits::default().code_life.get());
    assert!(redeem(&desk.context, &code, &NONCE).await.is_ok());
    desk.network.clock.advance(Duration::from_millis(1));
    assert!(matches!(fault(redeem(&desk.context, &code, &NONCE).await), Error::CodeNotFound));
}

#[tokio::test]
async fn picking_again_keeps_the_last_codes_and_no_more() {
    let desk = Desk::new().await;
    let (checkout, first) = desk.picked(1, "bank-a").await;
    let mut codes = vec![(first, "bank-a")];
    for i in 0..CODES_MAX {
        let bank = if i % 2 == 0 { "bank-b" } else { "bank-a" };
        codes.push((desk.pick(&checkout, bank).await.unwrap(), bank));
    }
    assert!(matches!(fault(redeem(&desk.context, &codes[0].0, &NONCE).await), Error::CodeNotFound));
    for (code, bank) in &codes[1..] {
        let ticketed = redeem(&desk.context, code, &NONCE).await.ok().unwrap();
        assert_eq!(desk.verify(&ticketed, bank, &checkout.order), Ok(()));
    }
}

#[tokio::test]
async fn a_bank_that_is_paused_or_silent_is_shown_and_cannot_be_picked() {
    let desk = Desk::new().await;
    let order = desk.network.order("acq-1", 1);
    let checkout = desk.publish(&order).await.unwrap();
    desk.set_status("bank-a", MemberStatus::Suspended).await;
    let bank_b = "bank-b".parse().unwrap();
    desk.context.health.keep([&bank_b]);
    desk.context.health.note(&bank_b, Health::Unreachable);
    let shown: Vec<_> = bank_options(&desk.context)
        .into_iter()
        .map(|option| (option.bank.entry().member.to_string(), option.availability))
        .collect();
    let expected = [("bank-a".to_owned(), Availability::Suspended), ("bank-b".to_owned(), Availability::Unreachable)];
    assert_eq!(shown, expected);
    for bank in ["bank-a", "bank-b"] {
        assert!(matches!(fault(desk.pick(&checkout, bank).await), Error::BankUnavailable), "{bank}");
        assert!(matches!(fault(pick_with_order(&desk.context, &order, bank)), Error::BankUnavailable), "{bank}");
    }
    for unknown in ["bank-z", "acq-1", "", "Bank A"] {
        assert!(matches!(fault(desk.pick(&checkout, unknown).await), Error::BankNotFound), "{unknown}");
    }
    desk.context.health.note(&bank_b, Health::Healthy);
    desk.pick(&checkout, "bank-b").await.unwrap();
    desk.set_status("bank-a", MemberStatus::Removed).await;
    assert_eq!(bank_options(&desk.context).len(), 1);
    assert!(matches!(fault(desk.pick(&checkout, "bank-a").await), Error::BankNotFound));
}

#[tokio::test]
async fn a_bank_with_the_order_itself_gets_its_ticket_without_a_checkout() {
    let desk = Desk::new().await;
    let order = desk.network.order("acq-1", 1);
    let ticketed = pick_with_order(&desk.context, &order, "bank-b").ok().unwrap();
    assert_eq!(desk.verify(&ticketed, "bank-b", &order), Ok(()));
    assert_eq!(desk.verify(&ticketed, "bank-a", &order), Err(TicketFault::OtherBank));
    assert_eq!(desk.verify(&ticketed, "bank-b", &desk.network.order("acq-1", 2)), Err(TicketFault::OtherOrder));
    assert_eq!(ticketed.expires_at, order.order.expires_at + Duration::from_secs(60));
    let foreign = fault(pick_with_order(&desk.context, &desk.network.order("acq-9", 1), "bank-b"));
    assert!(matches!(foreign, Error::OrderSignature(OrderSignature::AcquirerUnknown)));
    let forged = SignedOrder::parse(sign(&desk.network.signer(Role::Issuer, "bank-b"), &order.order.to_pb())).unwrap();
    assert!(matches!(fault(pick_with_order(&desk.context, &forged, "bank-b")), Error::OrderSignature(_)));
    desk.set_status("acq-1", MemberStatus::Suspended).await;
    assert!(matches!(fault(pick_with_order(&desk.context, &order, "bank-b")), Error::AcquirerSuspended));
}

#[tokio::test]
async fn what_has_ended_is_forgotten_after_a_while() {
    let desk = Desk::new().await;
    let (checkout, code) = desk.picked(1, "bank-a").await;
    let key = Digest::of(code.as_bytes()).to_bytes();
    desk.network.clock.advance(Duration::from_secs(20 * 60));
    let (young, _) = desk.picked(2, "bank-a").await;
    tasks::clean_up_once(&desk.context).await.unwrap();
    assert!(matches!(fault(find(&desk.context, checkout.id.as_str()).await), Error::CheckoutExpired));
    desk.network.clock.advance(Duration::from_secs(56 * 60));
    tasks::clean_up_once(&desk.context).await.unwrap();
    assert!(matches!(fault(find(&desk.context, checkout.id.as_str()).await), Error::CheckoutNotFound));
    assert!(matches!(fault(find(&desk.context, young.id.as_str()).await), Error::CheckoutExpired));
    assert!(desk.context.repository.load::<CodeRecord>(&key).await.unwrap().is_none());
    assert_eq!(desk.store.answer(&publication_key(&checkout.order.digest)).await.unwrap(), None);
    assert!(desk.store.answer(&publication_key(&young.order.digest)).await.unwrap().is_some());
}
