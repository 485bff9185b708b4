//! Who may call what on the device port.
//!
//! Devices show no certificate: every row is open to whoever the port lets in, and what a caller may do
//! follows from the session that it carries.

use mesh::{
    access::{AccessTable, Rule},
    identity::SpiffeId,
};

/// The rows of the device port.
#[must_use]
pub fn devices() -> AccessTable {
    AccessTable::new([
        Rule::anyone("/bankside.v1.IssuerAuth/StartAuthentication"),
        Rule::anyone("/bankside.v1.IssuerAuth/VerifyIdentity"),
        Rule::anyone("/bankside.v1.IssuerAuth/BindDevice"),
        Rule::anyone("/bankside.v1.IssuerAuth/UnbindDevice"),
        Rule::anyone("/bankside.v1.IssuerAuth/EnrollFeatures"),
        Rule::anyone("/bankside.v1.IssuerAuth/RegisterPasskey"),
        Rule::anyone("/bankside.v1.IssuerAuth/RemovePasskey"),
        Rule::anyone("/bankside.v1.IssuerAuth/ListCredentials"),
        Rule::anyone("/bankside.v1.IssuerAuth/EndSession"),
        Rule::anyone("/bankside.v1.CardSelection/ListCardOptions"),
        Rule::anyone("/bankside.v1.CardSelection/SubmitCharge"),
        Rule::anyone("/bankside.v1.CardSelection/GetCharge"),
        Rule::anyone("/bankside.v1.CardSelection/WatchCharge").stream(),
    ])
}

/// The rows of the operations port: the bank's own people, who call with the bank's own certificate.
#[must_use]
pub fn operations(own: &SpiffeId) -> AccessTable {
    AccessTable::new(
        [
            "/bankside.v1.IssuerOperations/ListUnknownCharges",
            "/bankside.v1.IssuerOperations/ResolveCharge",
            "/bankside.v1.IssuerOperations/ImportResult",
            "/bankside.v1.IssuerOperations/IssueActivationCode",
            "/bankside.v1.IssuerOperations/UnlockPasswords",
        ]
        .map(|path| Rule::exactly(path, own.clone())),
    )
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
