//! What a bank's books say once the bank has stopped.

use std::{path::Path, sync::Arc};

use mesh::store::{
    Index, KeyRange, PageRequest, Store,
    sled::{Options, SledStore},
};

use crate::network::Network;

/// The store of a role that has stopped; `owner` as `<role>/<id>`.
pub(crate) fn open(folder: &Path, owner: &str) -> Arc<dyn Store> {
    Arc::new(SledStore::open(folder, Options::new(owner)).unwrap())
}

/// Nothing stands under this index.
pub(crate) async fn is_empty(store: &Arc<dyn Store>, index: Index, what: &str) {
    let page = store.scan(index, KeyRange::all(), PageRequest::first(10)).await.unwrap();
    assert!(page.items.is_empty(), "{what} are left");
}

/// At this bank no charge is under way, on none of the first so many customers' accounts anything is held, and
/// each of them has spent as much as this says.
pub(crate) async fn check_accounts(network: &Network, issuer: &str, customers: u32, spent: impl Fn(u32) -> i64) {
    let store = open(&network.path(format!("{issuer}-data")), &format!("issuer/{issuer}"));
    is_empty(&store, issuer::records::INDEX_CHARGE_OPEN, "open charges").await;
    is_empty(&store, issuer::records::INDEX_CHARGE_DUE, "charges to ask about").await;
    is_empty(&store, issuer::records::INDEX_CHARGE_PARKED, "parked charges").await;
    let repository = issuer::repository::Repository::new(Arc::clone(&store));
    for number in 0..customers {
        let key = issuer::records::Account::at(&format!("credit-{number}").parse().unwrap());
        let account = repository.load(&key).await.unwrap().unwrap().value;
        assert_eq!((account.held, account.spent), (0, spent(number)), "{issuer}, customer {number}");
    }
    store.close().await;
}

/// How many tries of a customer's password this bank has refused under the lock, without a look at what was
/// typed.
pub(crate) async fn tries_refused(network: &Network, issuer: &str, customer: u32) -> u32 {
    let store = open(&network.path(format!("{issuer}-data")), &format!("issuer/{issuer}"));
    let repository = issuer::repository::Repository::new(Arc::clone(&store));
    let key = issuer::records::Lockout::named(&format!("customer-{customer}"));
    let stored = repository.load(&key).await.unwrap();
    store.close().await;
    stored.map_or(0, |stored| stored.value.refused)
}
