//! Activation codes in the file.

use mesh::clock::Clock as _;

use super::*;
use crate::records::{ActivationCode, INDEX_ACTIVATION_BY_CODE, time_of};

const CODE: &str = "7K3M-9PQR-10TV";

impl Bank {
    async fn code(&self, customer: &str) -> Option<ActivationCode> {
        let at = ActivationCode::at(&customer.parse().unwrap());
        self.repository.load(&at).await.unwrap().map(|stored| stored.value)
    }

    async fn customer_of(&self, code: &str) -> Option<String> {
        let tag = self.lookup.activation_code(&code.parse().unwrap());
        let range = KeyRange::exactly(tag.as_bytes().as_slice());
        let found = self.repository.page(INDEX_ACTIVATION_BY_CODE, range, PageRequest::first(2)).await.unwrap();
        found.items.into_iter().next().map(|stored: crate::repository::Stored<ActivationCode>| stored.value.customer_id)
    }
}

fn with_code_of_second(code: &str) -> String {
    SAMPLE.replace("user_code = \"chih-hao\"", &format!("user_code = \"chih-hao\"\nactivation_code = \"{code}\""))
}

#[tokio::test]
async fn a_code_is_found_by_its_hash_and_ends_after_its_life() {
    let bank = Bank::open().await;
    let before = bank.clock.now();
    bank.load(SAMPLE).await.unwrap();
    let code = bank.code("customer-1").await.unwrap();
    assert_eq!(bank.customer_of("7k3m 9pqr iotv").await.as_deref(), Some("customer-1"));
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    assert!((before + week..=bank.clock.now() + week).contains(&time_of(code.ends_at_ms)));
    assert_eq!((code.device_id.as_str(), bank.code("customer-2").await), ("", None));
}

#[tokio::test]
async fn loading_again_neither_prolongs_nor_revives_a_code_and_another_takes_its_place() {
    let bank = Bank::open().await;
    bank.load(SAMPLE).await.unwrap();
    let at = ActivationCode::at(&customer("customer-1"));
    let stored = bank.repository.load(&at).await.unwrap().unwrap();
    let used = ActivationCode { device_id: "dev".into(), ends_at_ms: 1, ..stored.value.clone() };
    let done = bank.repository.commit(Changes::new().replace(stored.version, &used)).await.unwrap();
    assert_eq!(done, Outcome::Committed);
    assert_eq!(bank.load(SAMPLE).await.unwrap().customers.unchanged, 2);
    assert_eq!(bank.load(&SAMPLE.replace("林美玲", "林美美")).await.unwrap().customers.updated, 1);
    let without = SAMPLE.replace(&format!("activation_code = \"{CODE}\""), "");
    bank.load(&without).await.unwrap();
    assert_eq!(bank.code("customer-1").await.unwrap(), used);

    let report = bank.load(&SAMPLE.replace(CODE, "8K3M-9PQR-10TV")).await.unwrap();
    assert_eq!((report.customers.updated, report.customers.unchanged), (1, 1));
    assert_eq!(bank.customer_of("8K3M-9PQR-10TV").await.as_deref(), Some("customer-1"));
    assert_eq!((bank.customer_of(CODE).await, bank.code("customer-1").await.unwrap().device_id), (None, String::new()));
}

#[tokio::test]
async fn a_code_is_one_customers_and_is_never_repeated() {
    let cases = [
        (SAMPLE.replace(CODE, "7K3M-9PQR-1"), "customers[0].activation_code"),
        (SAMPLE.replace(CODE, "7K3M-9PQR-10TU"), "customers[0].activation_code"),
        (with_code_of_second("7k3m 9pqr iotv"), "customers[1].activation_code"),
    ];
    let bank = Bank::open().await;
    for (text, path) in cases {
        let error = bank.load(&text).await.unwrap_err();
        assert!(!format!("{error} {error:?}").to_uppercase().contains("7K3M"), "{error}");
        let Error::Invalid(invalid) = error else { panic!("{error}") };
        assert_eq!(invalid.violations.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>(), [path]);
    }
    bank.load(SAMPLE).await.unwrap();
    let Err(Error::Invalid(invalid)) = bank.load(&with_code_of_second(CODE).replacen(CODE, "9K3M-9PQR-10TV", 1)).await
    else {
        panic!("it is the code of the first customer in the store")
    };
    assert_eq!(invalid.violations[0].path, "customers[1].activation_code");
}
