//! The audit trail: who did what to which card, order or session.
//!
//! What is done and what is said about it become durable together: [`crate::repository::Changes::audit`]
//! puts an [`Entry`] as an event into the very transition that it tells of. [`crate::tasks::audit`] carries
//! the events, in their order, into the hash-chained files of [`mesh::audit`].
//!
//! An entry never holds a secret. Its parts are ids, digests, and words of this program: no national id,
//! code, password, token, card number or features. A customer goes by the bank's own id, a session by the
//! first sixteen digits of its token's digest.

use std::{net::IpAddr, sync::OnceLock, time::SystemTime};

use bytes::Bytes;
use mesh::store::Topic;
use prost::Message as _;
use proto::{
    authorization::Factor,
    digest::Digest,
    ids::{CardOptionId, ChargeId, DeviceId},
};

use crate::{
    domain::ids::{AccountId, CustomerId},
    records::millis_of,
    repository::{self, Changes, Repository},
    vault::RecordName,
};

mod act;
mod caller;
mod carry;
mod event;
mod head;
mod restart;
mod standing;

pub use act::{Act, Outcome};
pub use caller::refuse;
pub use carry::{Audit, CarryError, OpenError, Resumed};
pub use restart::{RestartError, Restarted, restart};
pub use standing::Standing;

use event::Event;

/// How many hexadecimal digits of a token's digest name a session: 64 bits, which tell sessions apart and
/// help nobody to a token.
const SESSION_DIGITS: usize = 16;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A caller, by the address that the connection came from.
    Source(IpAddr),
    /// The bank's operator, by a command.
    Operator,
    /// The issuer by itself.
    Issuer,
}

/// One act, as the trail will tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an entry is in the trail once it was committed"]
pub struct Entry {
    event: Event,
}

impl Entry {
    /// An act of the issuer itself at this time, of which nothing more is known yet.
    pub fn new(now: SystemTime, act: Act) -> Self {
        let event = Event::new(millis_of(now));
        Self { event: event.with("act", act.as_str()).with("actor", "issuer") }
    }

    /// Who did it.
    pub fn by(self, actor: Actor) -> Self {
        match actor {
            // An IPv4 caller on an IPv6 port is the same caller.
            Actor::Source(address) => self.with("actor", address.to_canonical().to_string()),
            Actor::Operator => self.with("actor", "operator"),
            Actor::Issuer => self.with("actor", "issuer"),
        }
    }

    /// Whose identity, card, session or charge it is about.
    pub fn customer(self, customer: &CustomerId) -> Self {
        self.with("customer", customer.as_str())
    }

    /// Somebody whom the bank doesn't know was named. The trail says no more than that: what a stranger
    /// typed may be somebody's secret.
    pub fn unknown_customer(self) -> Self {
        self.with("customer", "unknown")
    }

    /// The session, by the SHA-256 of its token.
    pub fn session(self, token_digest: &Digest) -> Self {
        self.with("session", &token_digest.to_string()[..SESSION_DIGITS])
    }

    /// The account.
    pub fn account(self, account: &AccountId) -> Self {
        self.with("account", account.as_str())
    }

    /// The card.
    pub fn card(self, card: &CardOptionId) -> Self {
        self.with("card", card.as_str())
    }

    /// The order, by its digest.
    pub fn order(self, digest: &Digest) -> Self {
        self.with("order", digest.to_string())
    }

    /// The charge.
    pub fn charge(self, charge: &ChargeId) -> Self {
        self.with("charge", charge.as_str())
    }

    /// The bound device.
    pub fn device(self, device: &DeviceId) -> Self {
        self.with("device", device.as_str())
    }

    /// The sign-in: the first sixteen digits of its challenge's digest.
    pub fn challenge(self, challenge: &[u8; 32]) -> Self {
        self.with("challenge", &Digest::of(challenge).to_string()[..SESSION_DIGITS])
    }

    /// The factor that was tried or proved.
    pub fn factor(self, factor: Factor) -> Self {
        let name = match factor {
            Factor::Knowledge => "knowledge",
            Factor::Inherence => "inherence",
            Factor::Possession => "possession",
            Factor::Passkey => "passkey",
        };
        self.with("factor", name)
    }

    /// The digest of what is kept as evidence, such as a signed consent.
    pub fn evidence(self, digest: &Digest) -> Self {
        self.with("evidence", digest.to_string())
    }

    /// The kind of records that it is about, by this program's name for it.
    pub fn record_kind(self, kind: &'static str) -> Self {
        self.with("record", kind)
    }

    /// The record of the vault that it is about.
    pub fn record(self, name: &RecordName) -> Self {
        self.with("record", name.to_string())
    }

    /// The version of the key-encryption key.
    pub fn key_version(self, version: u32) -> Self {
        self.with("key_version", version.to_string())
    }

    /// How many records it was done to.
    pub fn count(self, records: u64) -> Self {
        self.with("count", records.to_string())
    }

    /// How it came out.
    pub fn outcome(self, outcome: Outcome) -> Self {
        let entry = self.with("outcome", outcome.name());
        match outcome.why() {
            Some(why) => entry.with("why", why),
            None => entry,
        }
    }

    fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        Self { event: self.event.with(name, value) }
    }

    /// The event's body. Far below the store's limit: every part is a short id, digest or word.
    pub(crate) fn to_bytes(&self) -> Bytes {
        self.event.encode_to_vec().into()
    }
}

/// The stream in which entries wait for the trail.
pub(crate) fn topic() -> &'static Topic {
    static TOPIC: OnceLock<Topic> = OnceLock::new();
    TOPIC.get_or_init(|| Topic::new("audit").expect("invariant: a short word without NUL is a topic's name"))
}

/// Commits an entry that goes with no change of a record, and returns when it is durable.
///
/// # Errors
/// The store's failure.
pub async fn note(repository: &Repository, entry: &Entry) -> Result<(), repository::Error> {
    // Nothing is expected of any record, so that there is nothing to load again. An embedded store always
    // knows what became of a change; of another the entry may be there all the same, and once is what counts.
    let _outcome = repository.commit(Changes::new().audit(entry)).await?;
    Ok(())
}
