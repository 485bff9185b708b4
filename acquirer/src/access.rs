//! Who may call what.

use mesh::{
    access::{AccessTable, Rule},
    identity::{Role, SpiffeId},
};

/// The rows of the members' port.
#[must_use]
pub fn table() -> AccessTable {
    const MERCHANTS: &[Role] = &[Role::Merchant];
    const ISSUERS: &[Role] = &[Role::Issuer, Role::Platform];
    AccessTable::new([
        Rule::roles("/bankside.v1.OrderService/CreateOrder", MERCHANTS),
        Rule::roles("/bankside.v1.OrderService/GetOrder", MERCHANTS),
        Rule::roles("/bankside.v1.OrderService/ListOrders", MERCHANTS),
        Rule::roles("/bankside.v1.OrderService/CancelOrder", MERCHANTS),
        Rule::roles("/bankside.v1.OrderService/WatchOrders", MERCHANTS).stream(),
        Rule::roles("/bankside.v1.Authorization/Authorize", ISSUERS),
        Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", ISSUERS),
    ])
}

/// The rows of the operations port: the acquirer's own people, who call with its own certificate.
#[must_use]
pub fn operations(own: &SpiffeId) -> AccessTable {
    AccessTable::new(
        [
            "/bankside.v1.AcquirerOperations/ListParkedNotifications",
            "/bankside.v1.AcquirerOperations/ReplayNotifications",
        ]
        .map(|path| Rule::exactly(path, own.clone())),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_rpc_has_its_row() {
        let differences = table().differences(proto::FILE_DESCRIPTOR_SET).unwrap();
        assert_eq!(differences, Vec::<String>::new());
        assert_eq!(table().services().len(), 2);
        let own = "spiffe://pay.example/acquirer/acquirer-one".parse().unwrap();
        assert_eq!(operations(&own).differences(proto::FILE_DESCRIPTOR_SET).unwrap(), Vec::<String>::new());
    }
}
