//! Who may call what.
//!
//! Each port has one [`AccessTable`]: a row per RPC. It is judged before a handler runs and before a
//! byte of the message is read:
//!
//! - no row: the RPC doesn't exist here, `UNIMPLEMENTED`, even if a service with it is mounted;
//! - a row for other roles: `PERMISSION_DENIED` with the reason `ROLE_NOT_ALLOWED`;
//! - a row for roles and a caller without a verified certificate: `UNAUTHENTICATED`.
//!
//! Two services are open to every caller that the port lets in and need no rows: gRPC health, which
//! tells only whether the server takes calls, and server reflection, which tells what the published
//! `.proto` files tell and exists only where the configuration turns it on.

use crate::identity::{Peer, Role, SpiffeId};
use crate::status::Refusal;
use prost::Message as _;
use proto::reason::Reason;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tonic::{Code, Status};

const OPEN_SERVICES: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Who may make a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Members in one of these roles, by their certificate.
    Roles(BTreeSet<Role>),
    /// One member alone, by its certificate: a server's own people.
    Exactly(SpiffeId),
    /// Whoever the port lets in: every device on a device port, every member on a mutual one.
    Anyone,
}

/// One row: an RPC, its callers and its kind.
#[derive(Clone, Debug)]
pub struct Rule {
    path: &'static str,
    callers: Callers,
    stream: bool,
}

impl Rule {
    /// A row for members in some roles. The path is `/package.Service/Method`.
    #[must_use]
    pub fn roles(path: &'static str, roles: &[Role]) -> Self {
        Self { path, callers: Callers::Roles(roles.iter().copied().collect()), stream: false }
    }

    /// A row for one member alone.
    #[must_use]
    pub fn exactly(path: &'static str, id: SpiffeId) -> Self {
        Self { path, callers: Callers::Exactly(id), stream: false }
    }

    /// A row for whoever the port lets in.
    #[must_use]
    pub fn anyone(path: &'static str) -> Self {
        Self { path, callers: Callers::Anyone, stream: false }
    }

    /// Marks an RPC whose answer is a stream that goes on: it is counted apart from short calls, has
    /// no deadline but its caller's, and is ended with `UNAVAILABLE` when the server drains.
    #[must_use]
    pub fn stream(mut self) -> Self {
        self.stream = true;
        self
    }

    /// The RPC's path.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Whether the answer is a stream that goes on.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream
    }
}

/// All rows of one port.
#[derive(Clone, Debug)]
pub struct AccessTable {
    rows: HashMap<&'static str, Rule>,
}

/// A call that may go on to its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) rpc: &'static str,
    pub(crate) kind: CallKind,
}

/// How a call is counted and limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Short,
    Stream,
    /// Health and reflection: never shed, so that a busy server still looks alive.
    Open,
}

impl AccessTable {
    /// A table of these rows.
    ///
    /// # Panics
    /// Where two rows name one RPC: which of them decided would depend on their order alone.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = Rule>) -> Self {
        let mut table = HashMap::new();
        for rule in rows {
            let path = rule.path;
            assert!(table.insert(path, rule).is_none(), "two rows for {path}");
        }
        Self { rows: table }
    }

    /// The rows, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = &Rule> {
        self.rows.values()
    }

    /// The names of the services that have rows, as health and reflection list them.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&'static str> {
        let names = self.rows.keys().filter_map(|path| {
            let (service, _) = path.strip_prefix('/')?.split_once('/')?;
            Some(service)
        });
        names.collect()
    }

    /// The RPCs of this table's services that have no row, by an encoded `FileDescriptorSet`, and the
    /// rows that name no RPC. A role's test asks for it, so that a new RPC or a typing error is
    /// noticed.
    ///
    /// # Errors
    /// The descriptor set doesn't decode.
    pub fn differences(&self, descriptors: &[u8]) -> Result<Vec<String>, prost::DecodeError> {
        let set = prost_types::FileDescriptorSet::decode(descriptors)?;
        let services = self.services();
        let mut known = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                if services.contains(name.as_str()) {
                    let paths = service.method.iter().map(|method| format!("/{name}/{}", method.name()));
                    known.extend(paths);
                }
            }
        }
        let rows: BTreeSet<String> = self.rows.keys().map(|path| (*path).to_owned()).collect();
        Ok(known.symmetric_difference(&rows).cloned().collect())
    }

    pub(crate) fn judge(&self, path: &str, peer: Option<&Peer>) -> Result<Admitted, Refusal> {
        if let Some(service) = OPEN_SERVICES.into_iter().find(|service| path.starts_with(service)) {
            return Ok(Admitted { rpc: service, kind: CallKind::Open });
        }
        let Some(rule) = self.rows.get(path) else {
            return Err(Refusal::new(Code::Unimplemented, Reason::RpcUnknown, "this port has no such RPC"));
        };
        let caller = match &rule.callers {
            Callers::Anyone => None,
            Callers::Roles(roles) => {
                let id = &peer.ok_or_else(unauthenticated)?.id;
                (!roles.contains(&id.role())).then(|| format!("the role {}", id.role()))
            }
            Callers::Exactly(allowed) => {
                let id = &peer.ok_or_else(unauthenticated)?.id;
                (id != allowed).then(|| id.to_string())
            }
        };
        if let Some(caller) = caller {
            let sentence = format!("{caller} may not call {}", rule.path);
            return Err(Refusal::new(Code::PermissionDenied, Reason::RoleNotAllowed, sentence));
        }
        Ok(Admitted { rpc: rule.path, kind: if rule.stream { CallKind::Stream } else { CallKind::Short } })
    }
}

/// The verified caller of a request, in a handler behind a mutual port.
///
/// # Errors
/// `UNAUTHENTICATED` with the reason `CERTIFICATE_MISSING`, where the request came without a certificate.
#[allow(clippy::result_large_err)] // tonic's handlers return a Status by value, and this is for them.
pub fn peer_of<T>(request: &tonic::Request<T>) -> Result<Arc<Peer>, Status> {
    request.extensions().get::<Arc<Peer>>().map(Arc::clone).ok_or_else(|| unauthenticated().into_status())
}

fn unauthenticated() -> Refusal {
    Refusal::new(Code::Unauthenticated, Reason::CertificateMissing, "this RPC is for members, by their certificate")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::identity::{CertificateSerial, Fingerprint};
    use std::time::UNIX_EPOCH;

    const CREATE: &str = "/bankside.v1.OrderService/CreateOrder";
    const WATCH: &str = "/bankside.v1.OrderService/WatchOrders";
    const LIST: &str = "/bankside.v1.BankDirectory/ListBanks";

    fn table() -> AccessTable {
        AccessTable::new([
            Rule::roles(CREATE, &[Role::Merchant, Role::Operator]),
            Rule::roles(WATCH, &[Role::Merchant]).stream(),
            Rule::anyone(LIST),
        ])
    }

    fn peer(role: &str) -> Peer {
        Peer {
            id: format!("spiffe://pay.example/{role}/member-1").parse().unwrap(),
            fingerprint: Fingerprint::of(b"certificate"),
            not_after: UNIX_EPOCH,
            serial: CertificateSerial::from_bytes(&[1]),
            remote_addr: "127.0.0.1:1".parse().unwrap(),
        }
    }

    #[test]
    fn every_role_is_judged_by_its_row() {
        let cases = [
            (CREATE, Some("merchant"), Ok(CallKind::Short)),
            (CREATE, Some("operator"), Ok(CallKind::Short)),
            (CREATE, Some("issuer"), Err(Code::PermissionDenied)),
            (CREATE, None, Err(Code::Unauthenticated)),
            (WATCH, Some("merchant"), Ok(CallKind::Stream)),
            (WATCH, Some("operator"), Err(Code::PermissionDenied)),
            (LIST, Some("platform"), Ok(CallKind::Short)),
            (LIST, None, Ok(CallKind::Short)),
            ("/grpc.health.v1.Health/Check", None, Ok(CallKind::Open)),
            ("/bankside.v1.OrderService/", Some("merchant"), Err(Code::Unimplemented)),
            ("/other/Method", Some("merchant"), Err(Code::Unimplemented)),
            ("", None, Err(Code::Unimplemented)),
        ];
        for (path, role, expected) in cases {
            let peer = role.map(peer);
            let verdict = table().judge(path, peer.as_ref());
            assert_eq!(
                verdict.map(|admitted| admitted.kind).map_err(|refusal| refusal.code()),
                expected,
                "{path} by {role:?}"
            );
        }
    }

    #[test]
    fn a_server_s_own_people_are_its_own_certificate() {
        let own = peer("issuer");
        let table = AccessTable::new([Rule::exactly(CREATE, own.id.clone())]);
        assert!(table.judge(CREATE, Some(&own)).is_ok());
        let another = Peer { id: "spiffe://pay.example/issuer/member-2".parse().unwrap(), ..peer("issuer") };
        for other in [another, peer("operator"), peer("acquirer")] {
            assert_eq!(table.judge(CREATE, Some(&other)).unwrap_err().code(), Code::PermissionDenied);
        }
        assert_eq!(table.judge(CREATE, None).unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    #[should_panic(expected = "two rows for /bankside.v1.BankDirectory/ListBanks")]
    fn an_rpc_has_one_row() {
        let _ = AccessTable::new([Rule::roles(LIST, &[Role::Operator]), Rule::anyone(LIST)]);
    }

    #[test]
    fn differences_name_both_missing_rows_and_rows_without_an_rpc() {
        let descriptors =
            prost_types::FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap().encode_to_vec();
        let table = AccessTable::new([
            Rule::anyone("/grpc.health.v1.Health/Check"),
            Rule::anyone("/grpc.health.v1.Health/Chekc"),
        ]);
        let differences = table.differences(&descriptors).unwrap();
        assert!(differences.contains(&"/grpc.health.v1.Health/Chekc".to_owned()));
        assert!(differences.contains(&"/grpc.health.v1.Health/Watch".to_owned()));
        assert!(!differences.contains(&"/grpc.health.v1.Health/Check".to_owned()));
    }
}
