//! Who may call what on the device port.
//!
//! Devices show no certificate: every row is open to whoever the port lets in, and what a caller may do
//! follows from the session that it carries.

use mesh::access::{AccessTable, Rule};

/// The rows of the device port.
#[must_use]
pub fn devices() -> AccessTable {
    AccessTable::new([
        Rule::anyone("/bankside.v1.IssuerAuth/StartAuthentication"),
        Rule::anyone("/bankside.v1.IssuerAuth/VerifyIdentity"),
        Rule::anyone("/bankside.v1.IssuerAuth/BindDevice"),
        Rule::anyone("/bankside.v1.IssuerAuth/UnbindDevice"),
        Rule::anyone("/bankside.v1.IssuerAuth/EndSession"),
        Rule::anyone("/bankside.v1.CardSelection/ListCardOptions"),
        Rule::anyone("/bankside.v1.CardSelection/SubmitCharge"),
        Rule::anyone("/bankside.v1.CardSelection/GetCharge"),
        Rule::anyone("/bankside.v1.CardSelection/WatchCharge").stream(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_its_row() {
        let differences = devices().differences(proto::FILE_DESCRIPTOR_SET).expect("the contracts decode");
        assert_eq!(differences, Vec::<String>::new());
    }
}
