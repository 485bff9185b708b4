//! The keys, certificates and the directory of the network. They are made once for all runs of the process: nothing
//! that is decided or printed depends on them.

use std::{
    sync::{Arc, LazyLock},
    time::UNIX_EPOCH,
};

use certs::authority::{AUTHORITY_LIFETIME, Authority, DAY, Issued, LeafRequest};
use mesh::{
    directory::Directory,
    identity::{CertificateSerial, Fingerprint, Peer, Role, TrustDomain},
    sealing::at_rest::{KeyEncryptionKey, KeyVersion, Vault},
    signing::{Signer, SigningTrust},
};
use platform::ticket::{TicketKey, TicketKeys};
use prost::Message as _;
use proto::pb;

use crate::{clock::start, party::Party};

const DOMAIN: &str = "pay.example";
/// What encrypts the parties' records.
const KEY: [u8; 32] = [7; 32];

/// The network of every run.
#[derive(Debug)]
pub struct Pki {
    /// The acquirer's signing key.
    pub acquirer: Signer,
    /// The issuers' signing keys, as in [`Party::ISSUERS`].
    pub issuers: [Signer; 2],
    /// Who is a member.
    pub directory: Arc<Directory>,
    /// What the platform makes tickets with.
    pub tickets: Arc<TicketKeys>,
}

impl Pki {
    /// The one network.
    #[must_use]
    pub fn get() -> &'static Self {
        static PKI: LazyLock<Pki> = LazyLock::new(Pki::make);
        &PKI
    }

    /// The signing key of an issuer.
    #[must_use]
    pub fn issuer(&self, party: Party) -> &Signer {
        if party == Party::North { &self.issuers[0] } else { &self.issuers[1] }
    }

    fn make() -> Self {
        let domain: TrustDomain = DOMAIN.parse().expect("invariant: a constant");
        let authority = Authority::create(domain.clone(), "Simulation", AUTHORITY_LIFETIME, start() - DAY);
        let authority = authority.expect("invariant: an authority can be made");
        let issued = |role, id: &str| {
            let request = LeafRequest::signing(role, id.parse().expect("invariant: a constant"));
            authority.issue(&request, start() - DAY).expect("invariant: a certificate can be issued")
        };
        let [acquirer, north, south] = [
            issued(Role::Acquirer, Party::Acquirer.id()),
            issued(Role::Issuer, Party::North.id()),
            issued(Role::Issuer, Party::South.id()),
        ];
        let operator = signer(&issued(Role::Operator, "operator-one"));
        let entries = vec![
            entry(Party::Acquirer, pb::MemberRole::Acquirer, &acquirer, None),
            entry(Party::North, pb::MemberRole::Issuer, &north, Some(bin_of(Party::North))),
            entry(Party::South, pb::MemberRole::Issuer, &south, Some(bin_of(Party::South))),
        ];
        let file = certs::directory::sign(entries, &operator, None, start() - DAY);
        let file = file.expect("invariant: the entries are right").encode_to_vec();
        let trust = SigningTrust::new([authority.certificate().clone()]).expect("invariant: an authority of ours");
        let directory = Directory::from_file(&file, &trust, &domain).expect("invariant: a directory of ours");
        Self {
            acquirer: signer(&acquirer),
            issuers: [signer(&north), signer(&south)],
            directory: Arc::new(directory),
            tickets: Arc::new(TicketKeys::new(TicketKey::new(1, &[9; 32]), None)),
        }
    }
}

/// What encrypts a party's records.
#[must_use]
pub fn vault() -> Vault {
    let key = KeyEncryptionKey::new(KeyVersion::new(1), &KEY).expect("invariant: 32 bytes");
    Vault::new([key]).expect("invariant: one key")
}

/// The first eight digits of an issuer's cards.
#[must_use]
pub const fn bin_of(party: Party) -> u32 {
    match party {
        Party::North => 40_000_000,
        Party::Acquirer
        | Party::Platform
        | Party::South
        | Party::CardNetwork
        | Party::Books
        | Party::Tea
        | Party::Phones => 52_000_000,
    }
}

/// A party as its certificate names it.
#[must_use]
pub fn peer(party: Party) -> Arc<Peer> {
    let role = match party {
        Party::Acquirer => "acquirer",
        Party::Platform => "platform",
        Party::North | Party::South => "issuer",
        Party::CardNetwork | Party::Books | Party::Tea | Party::Phones => "merchant",
    };
    Arc::new(Peer {
        id: format!("spiffe://{DOMAIN}/{role}/{party}").parse().expect("invariant: ids of ours"),
        fingerprint: Fingerprint::of(party.id().as_bytes()),
        not_after: UNIX_EPOCH,
        serial: CertificateSerial::from_bytes(&[1]),
        remote_addr: ([192, 0, 2, 1], 1).into(),
    })
}

fn signer(issued: &Issued) -> Signer {
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes())
        .expect("invariant: a certificate of ours")
}

fn entry(party: Party, role: pb::MemberRole, issued: &Issued, bin: Option<u32>) -> pb::DirectoryEntry {
    let most = pb::Money { currency_code: "TWD".to_owned(), minor_units: 100_000_000 };
    pb::DirectoryEntry {
        member_id: party.id().to_owned(),
        role: role.into(),
        version: 1,
        status: pb::MemberStatus::Active.into(),
        name_zh_tw: "銀行".to_owned(),
        name_en: "Bank".to_owned(),
        app_link: bin.map(|_| format!("https://app.{party}.example/pay")).unwrap_or_default(),
        endpoint: format!("https://{party}.example:443"),
        bin_ranges: bin.map(|first| pb::BinRange { first, last: first + 99 }).into_iter().collect(),
        signing_certificates: vec![bytes::Bytes::copy_from_slice(&issued.certificate)],
        limits: Some(pb::MemberLimits { amount_max: vec![most], authorizations_per_second: 100 }),
        ..Default::default()
    }
}
