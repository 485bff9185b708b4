//! A token holds for one order, one bank, one app and five minutes.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::UNIX_EPOCH};

use mesh::{sealing::at_rest::KeyEncryptionKey, store::memory::MemoryStore};
use proptest::prelude::*;

use super::*;

const STATE: [u8; 32] = [5; 32];

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn bank() -> IssuerId {
    "bank-aurora".parse().unwrap()
}

fn confirmation(tokens: &DeviceTokens) -> DeviceConfirmation {
    let token = tokens.issue(&Digest::of(b"order"), &bank(), &Digest::of(&STATE), now());
    DeviceConfirmation { state: STATE, token }
}

#[test]
fn a_token_holds_for_its_order_bank_app_and_time() {
    let tokens = DeviceTokens::new(&[1; 32]);
    let good = confirmation(&tokens);
    assert!(good.token.len() <= proto::confirmation::DEVICE_TOKEN_BYTES_MAX);
    let order = Digest::of(b"order");
    let last = now() + TOKEN_LIFE;
    for (why, tokens, confirmation, order, bank, at, holds) in [
        ("itself", &tokens, good.clone(), order, bank(), now(), true),
        ("its last moment", &tokens, good.clone(), order, bank(), last, true),
        ("a moment later", &tokens, good.clone(), order, bank(), last + Duration::from_millis(1), false),
        ("another order", &tokens, good.clone(), Digest::of(b"other"), bank(), now(), false),
        ("another bank", &tokens, good.clone(), order, "bank-basalt".parse().unwrap(), now(), false),
        ("another app", &tokens, DeviceConfirmation { state: [6; 32], ..good.clone() }, order, bank(), now(), false),
        ("another secret", &DeviceTokens::new(&[2; 32]), good.clone(), order, bank(), now(), false),
    ] {
        assert_eq!(tokens.verify(&confirmation, &order, &bank, at), holds, "{why}");
    }
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    let tokens = DeviceTokens::new(&[1; 32]);
    let good = confirmation(&tokens);
    for bit in 0..good.token.len() * 8 {
        let mut token = good.token.to_vec();
        token[bit / 8] ^= 1 << (bit % 8);
        let forged = DeviceConfirmation { token: token.into(), ..good.clone() };
        assert!(!tokens.verify(&forged, &Digest::of(b"order"), &bank(), now()), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_token(token in proptest::collection::vec(any::<u8>(), 0..128)) {
        let forged = DeviceConfirmation { state: STATE, token: token.into() };
        prop_assert!(!DeviceTokens::new(&[1; 32]).verify(&forged, &Digest::of(b"order"), &bank(), now()));
    }
}

fn key(version: u32, byte: u8) -> KeyEncryptionKey {
    KeyEncryptionKey::new(KeyVersion::new(version), &[byte; 32]).unwrap()
}

#[tokio::test]
async fn the_secret_outlives_a_restart_and_a_new_key_and_no_key_that_is_lost() {
    let repository = Repository::new(Arc::new(MemoryStore::new()));
    let load = async |keys: Vec<KeyEncryptionKey>, random: u8| {
        DeviceTokens::load(&repository, &Vault::new(keys).unwrap(), || Ok([random; 32])).await.unwrap()
    };
    let good = confirmation(&load(vec![key(1, 7)], 1).await);
    let holds = |tokens: &DeviceTokens| tokens.verify(&good, &Digest::of(b"order"), &bank(), now());
    assert!(holds(&load(vec![key(1, 7)], 2).await), "found again");
    let kept = repository.load::<DeviceKey>(DeviceKey::KEY).await.unwrap().unwrap().entity;
    assert!(!kept.encrypted.windows(32).any(|bytes| bytes == [1; 32]), "never in the clear");
    let older = load(vec![key(1, 7)], 3).await;
    let newer = load(vec![key(1, 7), key(2, 8)], 3).await;
    assert!(holds(&older) && holds(&newer), "processes that start again one by one understand each other");
    assert!(holds(&load(vec![key(2, 8)], 3).await), "it was wrapped under the new key, and the old one may go");
    assert!(!holds(&load(vec![key(9, 9)], 4).await), "a key that is gone stops nothing");
}
