//! The gRPC edges: a message is parsed, the domain does its work, the answer is written.

mod acquirer_operations;
mod authorization;
mod orders;
mod watch;

pub use acquirer_operations::OperationsService;
pub use authorization::AuthorizationService;
pub use orders::OrdersService;

use mesh::{
    access::peer_of,
    identity::{MemberId, Peer, Role},
};
use proto::{ids::MerchantId, pb, time};
use tonic::{Request, Status};

use crate::{
    bounds::{Awaited, Party},
    domain::authorization::{Caller, Refusal},
    error::Error,
};

/// The merchant whose certificate calls.
#[allow(clippy::result_large_err, reason = "tonic's handlers return a Status by value, and this is for them")]
fn merchant_of<T>(request: &Request<T>) -> Result<MerchantId, Status> {
    let peer = peer_of(request)?;
    member(&peer).ok_or(Error::MerchantUnknown).map_err(Status::from)
}

/// The issuer or platform whose certificate calls. Of all platforms only `platform` speaks for others.
#[allow(clippy::result_large_err, reason = "tonic's handlers return a Status by value, and this is for them")]
fn caller_of<T>(request: &Request<T>, platform: Option<&MemberId>) -> Result<Caller, Status> {
    let peer = peer_of(request)?;
    let caller = match peer.id.role() {
        Role::Issuer => member(&peer).map(Caller::Issuer),
        Role::Platform if Some(peer.id.member()) == platform => Some(Caller::Platform),
        Role::Platform => None,
        // The access table lets none of these in.
        Role::Acquirer | Role::Merchant | Role::Operator => None,
    };
    caller.ok_or(Error::Refused(Refusal::IssuerMismatch)).map_err(Status::from)
}

/// Who owes the next message, as a message.
fn awaiting(awaited: Awaited) -> pb::Awaiting {
    let party = match awaited.party {
        Party::Cardholder => pb::AwaitedParty::Cardholder,
        Party::CardNetwork => pb::AwaitedParty::CardNetwork,
        Party::Acquirer => pb::AwaitedParty::Acquirer,
    };
    pb::Awaiting { party: party.into(), by: Some(time::to_pb(awaited.by)) }
}

/// A member's id in the form of the contracts, which have the same rule for it.
fn member<T: std::str::FromStr>(peer: &Peer) -> Option<T> {
    peer.id.member().as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{sync::Arc, time::UNIX_EPOCH};

    use mesh::{
        identity::{CertificateSerial, Fingerprint},
        status::reason_of,
    };

    use super::*;

    #[test]
    fn an_issuer_speaks_for_itself_and_one_platform_for_all() {
        let hub = "hub".parse().unwrap();
        let bank = Caller::Issuer("bank-a".parse().unwrap());
        for (role, member, platform, expected) in [
            ("issuer", "bank-a", Some(&hub), Some(bank.clone())),
            ("issuer", "bank-a", None, Some(bank)),
            ("issuer", "hub", Some(&hub), Some(Caller::Issuer("hub".parse().unwrap()))),
            ("platform", "hub", Some(&hub), Some(Caller::Platform)),
            ("platform", "hub-two", Some(&hub), None),
            ("platform", "hub", None, None),
            ("merchant", "hub", Some(&hub), None),
            ("operator", "hub", Some(&hub), None),
            ("acquirer", "hub", Some(&hub), None),
        ] {
            let mut request = Request::new(());
            request.extensions_mut().insert(Arc::new(Peer {
                id: format!("spiffe://pay.example/{role}/{member}").parse().unwrap(),
                fingerprint: Fingerprint::of(b"certificate"),
                not_after: UNIX_EPOCH,
                serial: CertificateSerial::from_bytes(&[1]),
                remote_addr: "127.0.0.1:1".parse().unwrap(),
            }));
            match (caller_of(&request, platform), expected) {
                (Ok(caller), Some(expected)) => assert_eq!(caller, expected, "{role}/{member}"),
                (Err(status), None) => assert_eq!(reason_of(&status).as_deref(), Some("ISSUER_MISMATCH")),
                (found, expected) => panic!("{role}/{member}: {found:?} and {expected:?}"),
            }
        }
    }
}
