//! What the audit trail says of devices, codes and features.

use super::{
    devices::{CODE, Phone, pair},
    *,
};
use crate::audit;

/// The bodies of the entries that wait for the trail, as text where they are text.
async fn told(bank: &Bank) -> Vec<String> {
    let events = bank.store.events(audit::topic(), mesh::store::Seq::default(), 1000).await.unwrap();
    events.iter().map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect()
}

fn says(entry: &str, words: &[&str]) -> bool {
    words.iter().all(|word| entry.contains(word))
}

#[tokio::test]
async fn every_act_upon_a_device_is_told_with_whose_it_is_and_without_a_secret() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let device = phone.id.as_str();
    bank.bind_by_code(&pair(2), CODE, HERE).await.unwrap_err();
    bank.bind_by_code(&pair(2), "0000-0000-0000", HERE).await.unwrap_err();
    bank.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    bank.bind_by_code(&pair(1), CODE, HERE).await.unwrap_err();
    let (session, strong) = bank.strong(&phone).await;
    super::inherence::enroll(&bank, &phone, &strong).await;
    let before = told(&bank).await.len();
    super::inherence::try_as_somebody_else(&bank, &phone).await.unwrap_err();
    bank.desk().unbind_device(&strong, &phone.id, Some(HERE)).await.unwrap();
    bank.use_session(session.token.expose()).await.unwrap_err();

    let entries = told(&bank).await;
    let expected: [&[&str]; 10] = [
        &["device_bound", "192.0.2.1", "customer-1", device, "done"],
        &["activation_code_used", "192.0.2.1", "customer-1", device, "done"],
        &["activation_code_used", "192.0.2.1", "customer-1", "refused", "code_is_used"],
        &["activation_code_used", "192.0.2.1", "unknown", "refused", "unknown_code"],
        &["activation_code_used", "192.0.2.1", "customer-1", "refused", "code_is_over"],
        &["features_enrolled", "192.0.2.1", "customer-1", device, "session", "done"],
        &["identity_tried", "inherence", "customer-1", device],
        &["identity_refused", "inherence", "not_verified"],
        &["device_unbound", "192.0.2.1", "customer-1", device, "session", "done"],
        &["session_refused", "customer-1", device, "session", "device_unbound"],
    ];
    let mut rest = entries.iter();
    for words in expected {
        assert!(rest.any(|entry| says(entry, words)), "{words:?} in this order in {entries:#?}");
    }
    assert_eq!(entries.len(), before + 4, "each act once");
    let all = entries.concat();
    for secret in [CODE, "7K3M9PQR10TV", "0000-0000", PASSWORD, USER_CODE, NATIONAL_ID] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_key_of_another_customer_and_the_last_try_of_features_are_told() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    bank.give_code(&super::devices::other_customer(), "8K3M-9PQR-10TV").await;
    bank.bind_by_code(&phone.pair, "8K3M-9PQR-10TV", HERE).await.unwrap_err();
    let (_, strong) = bank.strong(&phone).await;
    super::inherence::enroll(&bank, &phone, &strong).await;
    for _ in 0..6 {
        super::inherence::try_as_somebody_else(&bank, &phone).await.unwrap_err();
    }
    let entries = told(&bank).await;
    let count = |words: &[&str]| entries.iter().filter(|entry| says(entry, words)).count();
    assert_eq!(count(&["device_bound", "customer-2", "refused", "key_of_another_customer"]), 1);
    assert_eq!(count(&["identity_tried", "inherence", "done"]), 5);
    assert_eq!(count(&["features_locked", "inherence", "unless_this_try_succeeds"]), 1);
    assert_eq!(count(&["identity_tried", "inherence", "locked"]), 1);
}
