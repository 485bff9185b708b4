//! Who may call what.

use mesh::{
    access::{AccessTable, Rule},
    identity::Role,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_rpc_of_the_two_services_has_a_row() {
        let differences = table().differences(proto::FILE_DESCRIPTOR_SET).unwrap();
        assert_eq!(differences, Vec::<String>::new());
        assert_eq!(table().services().len(), 2);
    }
}
