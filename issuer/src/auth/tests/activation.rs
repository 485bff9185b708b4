//! Activation codes.

use super::{
    devices::{CODE, Phone, pair},
    *,
};
use crate::records::DevicesOfCustomer;

const WRONG_CODE: &str = "0000-0000-0000";

async fn with_code() -> Bank {
    let bank = Bank::open().await;
    bank.give_code(&bank.customer, CODE).await;
    bank
}

#[tokio::test]
async fn a_code_binds_one_device_and_a_lost_answer_is_given_again() {
    let bank = with_code().await;
    let device = bank.bind_by_code(&pair(1), CODE, HERE).await.unwrap();
    assert_eq!(bank.device(&device).await.unwrap().customer_id, bank.customer.to_string());
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    for bank in [&bank, &restarted] {
        assert_eq!(bank.bind_by_code(&pair(1), "7k3m9pqrIOtv", HERE).await.unwrap(), device);
        assert!(matches!(bank.bind_by_code(&pair(2), CODE, HERE).await, Err(Error::ActivationCodeInvalid)));
    }
    // A device that was forgotten does not come back by its used code.
    let session = bank.sign_in().await.unwrap();
    bank.desk().unbind_device(&session.signed_in, &device, None).await.unwrap();
    assert!(matches!(bank.bind_by_code(&pair(1), CODE, HERE).await, Err(Error::ActivationCodeInvalid)));
}

#[tokio::test]
async fn a_code_has_an_end_also_for_an_answer_that_was_lost() {
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let bank = with_code().await;
    bank.clock.advance(week);
    assert!(matches!(bank.bind_by_code(&pair(1), CODE, HERE).await, Err(Error::ActivationCodeInvalid)));

    let bank = with_code().await;
    bank.clock.advance(week - Duration::from_millis(1));
    bank.bind_by_code(&pair(1), CODE, HERE).await.unwrap();
    bank.bind_by_code(&pair(1), CODE, HERE).await.unwrap();
    bank.clock.advance(Duration::from_millis(1));
    assert!(matches!(bank.bind_by_code(&pair(1), CODE, HERE).await, Err(Error::ActivationCodeInvalid)));
}

#[tokio::test]
async fn a_new_code_takes_the_old_ones_place_and_may_bind_a_device_that_is_bound() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    bank.give_code(&bank.customer, "8K3M-9PQR-10TV").await;
    assert!(matches!(bank.bind_by_code(&phone.pair, CODE, HERE).await, Err(Error::ActivationCodeInvalid)));
    assert_eq!(bank.bind_by_code(&phone.pair, "8K3M-9PQR-10TV", HERE).await.unwrap(), phone.id);
    // It is used up by that.
    let used = bank.bind_by_code(&pair(2), "8K3M-9PQR-10TV", HERE).await;
    assert!(matches!(used, Err(Error::ActivationCodeInvalid)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_use_a_code_at_once_one_gets_it() {
    for _ in 0..10 {
        let bank = Arc::new(with_code().await);
        let replica = Arc::new(Bank::over(Arc::clone(&bank.store), bank.clock.now()).await);
        let binding: Vec<_> = (1..=8)
            .map(|seed| {
                let bank = Arc::clone(if seed % 2 == 0 { &bank } else { &replica });
                tokio::spawn(async move { bank.bind_by_code(&pair(seed), CODE, HERE).await })
            })
            .collect();
        let mut bound = Vec::new();
        for one in binding {
            match one.await.unwrap() {
                Ok(device) => bound.push(device.to_string()),
                Err(error) => assert!(matches!(error, Error::ActivationCodeInvalid), "{error}"),
            }
        }
        let list = bank.repository.load(&DevicesOfCustomer::at(&bank.customer)).await.unwrap().unwrap();
        assert_eq!((bound.len(), &list.value.device_ids), (1, &bound));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_request_twice_at_once_is_one_device() {
    for _ in 0..10 {
        let bank = Arc::new(with_code().await);
        let twice = [Arc::clone(&bank), Arc::clone(&bank)]
            .map(|bank| tokio::spawn(async move { bank.bind_by_code(&pair(1), CODE, HERE).await }));
        let [one, other] = twice;
        assert_eq!(one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn wrong_codes_count_against_the_place_also_across_a_restart() {
    let mut bank = with_code().await;
    bank.limits.source_failures_max = 3;
    for _ in 0..3 {
        assert!(matches!(bank.bind_by_code(&pair(1), WRONG_CODE, HERE).await, Err(Error::ActivationCodeInvalid)));
    }
    let mut restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.limits.source_failures_max = 3;
    for bank in [&bank, &restarted] {
        // The right one, too: whoever is limited learns nothing.
        assert!(matches!(bank.bind_by_code(&pair(1), CODE, HERE).await, Err(Error::RateLimited(_))));
    }
    // Proofs of the same place share the count.
    assert!(matches!(restarted.sign_in().await, Err(Error::RateLimited(_))));
    let elsewhere = "192.0.2.77".parse().unwrap();
    restarted.bind_by_code(&pair(1), CODE, elsewhere).await.unwrap();
}

#[tokio::test]
async fn a_code_binds_no_more_devices_than_there_may_be_and_is_not_used_up_by_that() {
    let mut bank = Bank::open().await;
    let limits = crate::config::DeviceLimits { devices_max: 1, ..Default::default() };
    bank.auth = bank.auth.with_devices(DeviceRules::new(limits, Default::default()));
    let phone = Phone::bound(&bank, 1).await;
    bank.give_code(&bank.customer, "8K3M-9PQR-10TV").await;
    let refused = bank.bind_by_code(&pair(2), "8K3M-9PQR-10TV", HERE).await;
    assert!(matches!(refused, Err(Error::CredentialsMax)));
    let session = bank.sign_in().await.unwrap();
    bank.desk().unbind_device(&session.signed_in, &phone.id, None).await.unwrap();
    bank.bind_by_code(&pair(2), "8K3M-9PQR-10TV", HERE).await.unwrap();
}
