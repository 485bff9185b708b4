//! The bank directory that the platform keeps: changed by the operator, followed by everybody.
//!
//! The store is the truth. A change is one transition that writes the member's entry, the record about
//! the whole, and the line in the change log; that record makes changes happen one after another, also
//! when several replicas share one store. What is in memory is always caught up from the store
//! ([`Register::catch_up`]), at the start and after each change, and then published together with a
//! fresh head. So there is one way in, and it verifies every entry again.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use mesh::{
    clock::Clock,
    directory::{Directory, DirectoryError, DirectoryHandle, EntryVerifier, Member},
    identity::{SpiffeId, TrustDomain},
    signing::SigningTrust,
    store::{KeyRange, PageRequest, Seq, Topic, Version, limits},
};
use prost::Message as _;
use proto::{directory::Head, ids::MemberId, pb, time};
use tokio::sync::{Mutex, watch};

use crate::{
    domain::change::{self, ChangeKind, ChangeRefused},
    error::Error,
    keys::Seal,
    records::{DirectoryRecord, EntryRecord, INDEX_ENTRY_BY_VERSION, INDEX_OPERATOR, OperatorRecord},
    repository::{Changes, Outcome, Repository},
};

mod first;
mod published;

pub use first::FirstError;
pub use published::Published;

/// Who changed what came with the first directory.
const CHANGED_BY_FILE: &str = "file";
/// How often a change is judged again after somebody else changed the directory first.
const TRIES_MAX: usize = 8;

/// What a register is made of.
#[derive(Debug)]
pub struct RegisterParts {
    /// Where the entries are kept.
    pub repository: Repository,
    /// The network's authorities.
    pub trust: SigningTrust,
    /// The network.
    pub domain: TrustDomain,
    /// The operator's certificates by which new entries are judged, in DER form.
    pub operators: Vec<Bytes>,
    /// Signs the heads.
    pub seal: Seal,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The bank directory, with the right to change it.
#[derive(Debug)]
pub struct Register {
    repository: Repository,
    seal: Seal,
    clock: Arc<dyn Clock>,
    /// Judges new entries: by the operator's certificates of the configuration.
    incoming: EntryVerifier,
    /// Judges stored entries: by every certificate that has signed one. Held for the whole of a change,
    /// so that changes queue here and don't meet in the store.
    stored: Mutex<EntryVerifier>,
    handle: Arc<DirectoryHandle>,
    published: watch::Sender<Arc<Published>>,
}

/// One page of the change log.
#[derive(Debug)]
pub struct ChangePage {
    /// The changes, the oldest first.
    pub changes: Vec<pb::DirectoryChange>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Seq>,
}

impl Register {
    /// Takes up the directory from the store and publishes it.
    ///
    /// # Errors
    /// [`Error::StoredDirectory`] where an entry or an operator's certificate doesn't count any more, for
    /// example because the network's authority is another one; the store's failures.
    pub async fn open(parts: RegisterParts) -> Result<Self, Error> {
        let RegisterParts { repository, trust, domain, operators, seal, clock } = parts;
        let incoming = EntryVerifier::new(trust, domain, &operators).map_err(Error::StoredDirectory)?;
        let nothing = Published::of(Arc::default(), BTreeMap::new(), BTreeMap::new(), 0, &seal, clock.now())?;
        let register = Self {
            stored: Mutex::new(incoming.clone()),
            incoming,
            handle: Arc::new(DirectoryHandle::followed(Directory::default())),
            published: watch::Sender::new(Arc::new(nothing)),
            repository,
            seal,
            clock,
        };
        {
            let mut stored = register.stored.lock().await;
            register.load_operators(&mut stored).await?;
            register.catch_up(&mut stored).await?;
            register.renew(&register.current())?;
        }
        Ok(register)
    }

    /// The directory for the relay, the pages and everybody else in this process.
    #[must_use]
    pub fn handle(&self) -> Arc<DirectoryHandle> {
        Arc::clone(&self.handle)
    }

    /// What members see now.
    #[must_use]
    pub fn current(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// Follows what members see.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Signs a fresh head over the same entries; also takes up what another replica changed.
    ///
    /// # Errors
    /// The store's failures, and [`Error::StoredDirectory`].
    pub async fn refresh(&self) -> Result<(), Error> {
        let mut stored = self.stored.lock().await;
        if !self.catch_up(&mut stored).await? {
            self.renew(&self.current())?;
        }
        Ok(())
    }

    /// Makes a change and returns the directory's version with it, once it is durable. The entry in
    /// force, offered once more by the same operator, changes nothing and gives the same answer, so that
    /// a change whose answer was lost can be repeated.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::EntrySignature`] and [`Error::Change`]; the store's failures.
    pub async fn change(&self, kind: ChangeKind, entry: pb::Signed, by: &SpiffeId) -> Result<u64, Error> {
        let mut stored = self.stored.lock().await;
        for _ in 0..TRIES_MAX {
            self.catch_up(&mut stored).await?;
            let offered = self.incoming.member(entry.clone()).map_err(incoming_fault)?;
            let current = self.current();
            if let Some(version) = current.version_of(&offered) {
                return Ok(version);
            }
            change::judge(kind, &offered, current.directory(), self.clock.now())?;
            self.add_operator(&mut stored, offered.signed().key_id.as_str()).await?;
            let (changes, version) = self.changes(&[&offered], &by.to_string()).await?;
            if self.repository.commit(changes).await? == Outcome::Committed {
                self.catch_up(&mut stored).await?;
                let entry = offered.entry();
                tracing::info!(version, member = %entry.member, entry_version = entry.version, status = ?entry.status, %by, ?kind, "the bank directory changed");
                return Ok(version);
            }
        }
        Err(Error::Contended)
    }

    /// A page of the change log after a place.
    ///
    /// # Errors
    /// The store's failures.
    pub async fn log(&self, after: Seq, page_size: usize) -> Result<ChangePage, Error> {
        // One more than asked for tells whether there is another page.
        let limit = (page_size + 1).min(limits::EVENTS_PAGE_MAX);
        let mut events = self.repository.events(&topic()?, after, limit).await?;
        let has_more = events.len() > page_size;
        events.truncate(page_size);
        let next = events.last().filter(|_| has_more).map(|event| event.seq);
        let changes = events.into_iter().map(|event| pb::DirectoryChange::decode(event.body)).collect::<Result<_, _>>();
        Ok(ChangePage {
            changes: changes.map_err(|_| Error::Inconsistent("a line of the change log is unreadable"))?,
            next,
        })
    }

    /// Reads what was changed since the version that is published, and publishes it with a fresh head.
    /// Returns whether there was anything.
    ///
    /// The scan goes upwards to the end: an entry that changes while it runs moves to a higher version and
    /// is met there, so that nothing below the highest version seen is missed.
    async fn catch_up(&self, stored: &mut EntryVerifier) -> Result<bool, Error> {
        let former = self.current();
        let range = KeyRange::starting_at((former.version() + 1).to_be_bytes());
        let mut changed = BTreeMap::new();
        let mut page = PageRequest::first(limits::PAGE_ITEMS_MAX);
        loop {
            let (entries, next) =
                self.repository.page::<EntryRecord>(INDEX_ENTRY_BY_VERSION, range.clone(), page).await?;
            for entry in entries {
                let version = entry.value.directory_version;
                let member = self.stored_member(stored, entry.value).await?;
                // A later meeting of the same member is of a higher version and counts.
                changed.insert(member.entry().member.clone(), (version, member));
            }
            match next {
                Some(cursor) => page = PageRequest::after(cursor, limits::PAGE_ITEMS_MAX),
                None => break,
            }
        }
        if changed.is_empty() {
            return Ok(false);
        }
        let versions: Vec<(u64, MemberId)> = changed.iter().map(|(id, (version, _))| (*version, id.clone())).collect();
        let members = changed.into_values().map(|(_, member)| member);
        let directory = former.directory().with(members).map_err(Error::StoredDirectory)?;
        let operators = stored.operators();
        self.publish(former.changed(directory, versions, operators, &self.seal, self.clock.now())?);
        Ok(true)
    }

    async fn stored_member(&self, stored: &mut EntryVerifier, record: EntryRecord) -> Result<Member, Error> {
        let entry = record.entry.ok_or(Error::Inconsistent("a stored entry is empty"))?;
        let is_known = stored.operators().iter().any(|operator| operator.key_id().to_string() == entry.key_id);
        if !is_known {
            // Another replica took an entry under a certificate that this one has not met.
            self.load_operators(stored).await?;
        }
        stored.member(entry).map_err(Error::StoredDirectory)
    }

    fn renew(&self, current: &Published) -> Result<(), Error> {
        self.publish(current.renewed(&self.seal, self.clock.now())?);
        Ok(())
    }

    fn publish(&self, next: Published) {
        let next = Arc::new(next);
        self.handle.publish(Arc::clone(next.directory()));
        self.published.send_replace(next);
    }

    /// The transition that puts these entries in force, and the directory's version after it.
    async fn changes(&self, members: &[&Member], by: &str) -> Result<(Changes, u64), Error> {
        let whole = self.repository.load::<DirectoryRecord>(DirectoryRecord::KEY).await?;
        let (expected, mut version) = whole.map_or((Version::ABSENT, 0), |whole| (whole.version, whole.value.version));
        let mut changes = Changes::new();
        for member in members {
            version += 1;
            let held = self.repository.load::<EntryRecord>(member.entry().member.as_str().as_bytes()).await?;
            let record = EntryRecord {
                member: member.entry().member.to_string(),
                entry: Some(member.signed().to_pb()),
                directory_version: version,
            };
            let line = log_line(member, version, by, self.clock.now());
            changes = changes
                .put(held.map_or(Version::ABSENT, |held| held.version), &record)
                .event(topic()?, line.encode_to_vec());
        }
        Ok((changes.put(expected, &DirectoryRecord { version }), version))
    }

    /// Keeps the operator's certificate that an entry names, before the entry itself: whoever reads the
    /// entry must be able to verify it.
    async fn add_operator(&self, stored: &mut EntryVerifier, key_id: &str) -> Result<(), Error> {
        if self.repository.load::<OperatorRecord>(key_id.as_bytes()).await?.is_some() {
            return Ok(());
        }
        let known = stored.operators().iter().find(|operator| operator.key_id().to_string() == key_id);
        let operator = known.ok_or(Error::Inconsistent("an entry was verified by a certificate that is not held"))?;
        let certificate = Bytes::copy_from_slice(operator.der());
        let record = OperatorRecord { key_id: key_id.to_owned(), certificate };
        // Where another replica was first, it wrote the same.
        let _ = self.repository.commit(Changes::new().put(Version::ABSENT, &record)).await?;
        Ok(())
    }

    async fn load_operators(&self, stored: &mut EntryVerifier) -> Result<(), Error> {
        let page = PageRequest::first(mesh::directory::OPERATOR_CERTIFICATES_MAX);
        let (operators, _) = self.repository.page::<OperatorRecord>(INDEX_OPERATOR, KeyRange::all(), page).await?;
        for operator in operators {
            stored.trust_operator(&operator.value.certificate).map_err(Error::StoredDirectory)?;
        }
        Ok(())
    }
}

fn topic() -> Result<Topic, Error> {
    Topic::new("directory").map_err(|_| Error::Inconsistent("the change log has no name"))
}

fn log_line(member: &Member, version: u64, by: &str, now: SystemTime) -> pb::DirectoryChange {
    let entry = member.entry();
    pb::DirectoryChange {
        directory_version: version,
        recorded_at: Some(time::to_pb(now)),
        changed_by: by.to_owned(),
        member_id: entry.member.to_string(),
        entry_version: entry.version,
        status: entry.status.to_pb().into(),
        entry_digest: member.digest().to_bytes(),
    }
}

/// What is wrong with an entry that was offered, as its sender sees it.
fn incoming_fault(error: DirectoryError) -> Error {
    use mesh::directory::EntryFault;

    match error {
        DirectoryError::Malformed(invalid) => Error::Invalid(invalid.under("entry")),
        DirectoryError::Entry { fault: EntryFault::Certificate(i, why), .. } => {
            let path = format!("signing_certificates[{i}]");
            ChangeRefused::Fields(proto::fields::Invalid::field(path, why.to_string())).into()
        }
        DirectoryError::Entry { fault: fault @ (EntryFault::OperatorUnknown | EntryFault::Signature(_)), .. } => {
            Error::EntrySignature(fault)
        }
        other @ (DirectoryError::NotADirectory
        | DirectoryError::TooLarge
        | DirectoryError::Operator(_)
        | DirectoryError::ManyOperators
        | DirectoryError::Twice(_)
        | DirectoryError::Overlap(..)
        | DirectoryError::Older { .. }
        | DirectoryError::HasLeft(_)
        | DirectoryError::HeadMismatch
        | DirectoryError::Platform(_)
        | DirectoryError::HeadSignature(_)
        | DirectoryError::HeadOlder { .. }
        | DirectoryError::HeadFromFuture
        | DirectoryError::ManyMembers) => Error::StoredDirectory(other),
    }
}

/// The head over a directory at a version.
fn head_of(directory: &Directory, version: u64, now: SystemTime) -> Result<Head, Error> {
    let entry_count =
        u32::try_from(directory.len()).map_err(|_| Error::StoredDirectory(DirectoryError::ManyMembers))?;
    Ok(Head { directory_version: version, entry_count, entries_digest: directory.digest(), signed_at: now })
}

#[cfg(test)]
mod tests;
