//! Who may call what, port by port.

use mesh::{
    access::{AccessTable, Rule},
    identity::Role,
};

/// The members' port. The relay judges by the directory what stands behind an issuer's certificate.
#[must_use]
pub fn members() -> AccessTable {
    AccessTable::new([
        Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Issuer]),
        Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Issuer]),
        Rule::anyone("/bankside.v1.BankDirectory/ListBanks"),
        Rule::roles("/bankside.v1.BankDirectory/WatchBanks", &[Role::Acquirer, Role::Issuer]).stream(),
        Rule::roles("/bankside.v1.BankDirectory/PutBank", &[Role::Operator]),
        Rule::roles("/bankside.v1.BankDirectory/SuspendBank", &[Role::Operator]),
        Rule::roles("/bankside.v1.BankDirectory/ResumeBank", &[Role::Operator]),
        Rule::roles("/bankside.v1.BankDirectory/RemoveBank", &[Role::Operator]),
        Rule::roles("/bankside.v1.BankDirectory/ListChanges", &[Role::Operator]),
        Rule::roles("/bankside.v1.Checkout/PublishOrder", &[Role::Acquirer]),
    ])
}

/// The devices' port: shoppers' browsers and banks' apps.
#[must_use]
pub fn devices() -> AccessTable {
    AccessTable::new([
        Rule::anyone("/bankside.v1.BankDirectory/ListBanks"),
        Rule::anyone("/bankside.v1.Checkout/GetCheckout"),
        Rule::anyone("/bankside.v1.Checkout/SelectBank"),
        Rule::anyone("/bankside.v1.Checkout/RedeemCode"),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rpc_of_our_services_has_a_row_on_one_port_or_both() {
        let (members, devices) = (members(), devices());
        let paths: BTreeSet<_> = members.rows().map(Rule::path).collect();
        let on_devices_alone = devices.rows().filter(|rule| !paths.contains(rule.path()));
        let all = AccessTable::new(members.rows().chain(on_devices_alone).cloned());
        assert_eq!(all.differences(proto::FILE_DESCRIPTOR_SET).unwrap(), Vec::<String>::new());
        let shared: Vec<_> = devices.rows().map(Rule::path).filter(|path| paths.contains(path)).collect();
        assert_eq!(shared, ["/bankside.v1.BankDirectory/ListBanks"]);
    }

    #[test]
    fn only_the_endless_rpc_is_a_stream() {
        let streams: Vec<_> =
            members().rows().chain(devices().rows()).filter(|rule| rule.is_stream()).map(Rule::path).collect();
        assert_eq!(streams, ["/bankside.v1.BankDirectory/WatchBanks"]);
    }
}
