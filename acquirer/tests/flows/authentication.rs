//! What the acquirer demands of the issuers' identity verification.

use std::sync::Arc;

use acquirer::{
    config::AuthenticationConfig,
    records::{Attempt, KeptOrder},
};
use mesh::{clock::Clock as _, store::memory::MemoryStore};
use proto::{
    authorization::{
        DeclineReason,
        Factor::{self, Inherence, Knowledge, Passkey, Possession},
    },
    digest::Digest,
    event::OrderState,
};

use super::bank::{Bank, PAN, Sent, approved, card, declined, new_order, shop};

/// Shops of this category are 5942; amounts are in minor units of TWD.
const RULES: &str = r#"
[[rules]]
amount_up_to = [{ currency = "TWD", minor_units = 100 }]
kinds = 1
[[rules]]
amount_up_to = [{ currency = "TWD", minor_units = 1000 }]
category_codes = ["5942"]
kinds = 2
[[rules]]
kinds = 2
consent = true
"#;

fn demanding(rules: &str) -> Bank {
    let config: AuthenticationConfig = toml::from_str(rules).unwrap();
    Bank::demanding(config.policy().unwrap(), Arc::new(MemoryStore::new()))
}

fn request(bank: &Bank, order: &KeptOrder, number: u8, factors: &[Factor], consent: Option<Digest>) -> Sent {
    bank.a.request_with(order, number, bank.clock.now(), &card(PAN), |request| {
        request.factors = factors.to_vec();
        request.consent_digest = consent;
    })
}

async fn attempt(bank: &Bank, sent: &Sent) -> Attempt {
    let says = &sent.request.says;
    let id = acquirer::domain::attempt::AttemptId { issuer: says.issuer.clone(), authorization: says.id.clone() };
    bank.context.repository.load::<Attempt>(&Attempt::key_of(&id)).await.unwrap().unwrap().entity
}

#[tokio::test]
async fn each_amount_has_its_demand() {
    let consent = Some(Digest::of(b"a consent"));
    let cases: [(i64, &[Factor], Option<Digest>, bool); 12] = [
        (100, &[], None, false),
        (100, &[Knowledge], None, true),
        (100, &[Inherence], None, true),
        (101, &[Knowledge], None, false),
        (101, &[Knowledge], consent, false),
        (101, &[Knowledge, Possession], None, true),
        (1_000, &[Passkey], None, true),
        (1_001, &[Passkey], None, false),
        (1_001, &[Possession], consent, false),
        (1_001, &[Passkey], consent, true),
        (1_001, &[Knowledge, Inherence, Possession], None, false),
        (1_001, &[Inherence, Possession], consent, true),
    ];
    for (units, factors, consent, suffices) in cases {
        let bank = demanding(RULES);
        let order = bank.order("R-1", units).await;
        let sent = request(&bank, &order, 1, factors, consent);
        let result = bank.authorize(&sent).await.unwrap();
        let expected = (!suffices).then_some(DeclineReason::AuthenticationInsufficient);
        assert_eq!(declined(&result), expected, "{units} by {factors:?} and {consent:?}");
        assert_eq!(bank.network.asked().len(), usize::from(suffices));
        let kept = attempt(&bank, &sent).await;
        assert_eq!((kept.factors.as_slice(), kept.consent_digest), (factors, consent), "it is recorded either way");
    }
}

#[tokio::test]
async fn a_decline_counts_and_a_stronger_charge_of_the_same_order_is_approved() {
    let bank = demanding(RULES);
    let order = bank.order("R-1", 500).await;
    let weak = request(&bank, &order, 1, &[Knowledge], None);
    let refused = bank.authorize(&weak).await.unwrap();
    assert_eq!(declined(&refused), Some(DeclineReason::AuthenticationInsufficient));
    let state = bank.state(&order).await;
    assert_eq!((state.name(), state.course().declines), (OrderState::Open, 1), "a counted decline");
    let strong = bank.authorize(&request(&bank, &order, 2, &[Knowledge, Possession], None)).await.unwrap();
    assert!(approved(&strong));
    assert_eq!(bank.restarted().authorize(&weak).await.unwrap().signed, refused.signed, "final for its id");
    let states: Vec<_> = bank.events(&shop()).await.iter().map(|event| event.state).collect();
    assert_eq!(states, [OrderState::Open, OrderState::Approved], "the shop hears of both");
}

#[tokio::test]
async fn five_weak_charges_use_the_order_up() {
    let bank = demanding(RULES);
    let order = bank.order("R-1", 500).await;
    for number in 1..=5 {
        bank.authorize(&request(&bank, &order, number, &[], None)).await.unwrap();
    }
    let strong = bank.authorize(&request(&bank, &order, 6, &[Passkey], None)).await.unwrap();
    assert_eq!(declined(&strong), Some(DeclineReason::OrderFailed));
}

#[tokio::test]
async fn the_card_of_a_weak_charge_stays_sealed() {
    let bank = demanding(RULES);
    let order = bank.order("R-1", 500).await;
    let unreadable = |number, factors: &[Factor]| {
        let factors = factors.to_vec();
        bank.a.request_with(&order, number, bank.clock.now(), &card(PAN), |request| {
            request.factors = factors;
            request.sealed_card = vec![1; 100].into();
        })
    };
    let weak = bank.authorize(&unreadable(1, &[Knowledge])).await.unwrap();
    assert_eq!(declined(&weak), Some(DeclineReason::AuthenticationInsufficient), "nobody tried to open the card");
    let strong = bank.authorize(&unreadable(2, &[Passkey])).await.unwrap();
    assert_eq!(declined(&strong), Some(DeclineReason::CardUnreadable));
}

#[tokio::test]
async fn without_rules_the_issuer_decides_alone() {
    let bank = Bank::new();
    let order = bank.orders.create(&shop(), &new_order("R-1", 99_999)).await.unwrap().order;
    assert!(approved(&bank.authorize(&request(&bank, &order, 1, &[], None)).await.unwrap()));
}
