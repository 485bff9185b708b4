//! What a follower holds and how it judges what comes: no sockets, no disk, no clock.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use prost::Message as _;
use proto::{
    directory::Head,
    fields::Invalid,
    ids::MemberId,
    pb::{self, watch_banks_response::Update},
    signed::Signed,
    time::CLOCK_SKEW_MAX,
};

use super::super::{Directory, DirectoryError, EntryVerifier, MEMBERS_MAX, Member, decode_file};
use crate::{identity::TrustDomain, signing::SigningTrust};

/// A member's copy of the directory, and what has come since and waits for the next head.
#[derive(Clone, Debug)]
pub struct Replica {
    verifier: EntryVerifier,
    directory: Arc<Directory>,
    head: Option<SignedHead>,
    pending: HashMap<MemberId, Arc<Member>>,
}

/// The platform's head as it came, to be kept with the copy.
#[derive(Clone, Debug)]
pub(in crate::directory) struct SignedHead {
    signed: Signed,
    platform_certificate: Bytes,
}

/// A good copy, ready to be written down.
#[derive(Clone, Debug)]
pub struct Snapshot {
    directory: Arc<Directory>,
    operators: Vec<Bytes>,
    head: SignedHead,
}

impl Replica {
    /// A copy of nothing yet.
    #[must_use]
    pub fn empty(trust: SigningTrust, domain: TrustDomain) -> Self {
        let verifier = EntryVerifier::new::<&[u8]>(trust, domain, &[])
            .expect("invariant: without a certificate there is none to refuse");
        Self { verifier, directory: Arc::default(), head: None, pending: HashMap::new() }
    }

    /// Takes up a `bankside.v1.DirectoryFile` and verifies all of it, the head included where there is one.
    ///
    /// # Errors
    /// [`DirectoryError`], which names the entry.
    pub fn from_file(bytes: &[u8], trust: &SigningTrust, domain: &TrustDomain) -> Result<Self, DirectoryError> {
        let (verifier, directory, head) = read_file(bytes, trust, domain)?;
        Ok(Self { verifier, directory: Arc::new(directory), head, pending: HashMap::new() })
    }

    /// The copy in force.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The directory's version that the copy in force is of; zero where no platform has vouched for it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.directory.head().map_or(0, |head| head.directory_version)
    }

    /// The same copy as another trust sees it. A certificate that was revoked meanwhile then verifies
    /// nothing that was signed later.
    ///
    /// # Errors
    /// [`DirectoryError`] where something that is held has no chain to the network's authorities any more.
    pub fn judged_by(&self, trust: &SigningTrust) -> Result<Self, DirectoryError> {
        Self::from_file(&file_of(&self.directory, &self.operators(), self.head.as_ref()), trust, self.verifier.domain())
    }

    /// Takes up a directory file in place of nothing, under the trust that is in force.
    ///
    /// # Errors
    /// As for [`Replica::from_file`]; this copy stays as it was.
    pub(super) fn begin_with(&mut self, file: &[u8]) -> Result<(), DirectoryError> {
        *self = Self::from_file(file, self.verifier.trust(), self.verifier.domain())?;
        Ok(())
    }

    /// Drops the entries that no head has confirmed: they will come again.
    pub fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Judges one update. An entry waits for the head that confirms it; a head brings a new directory
    /// into force, which is returned; a bank's health changes nothing here.
    ///
    /// # Errors
    /// [`DirectoryError`]; the copy in force stays as it was, and the stream must be begun again.
    pub fn apply(
        &mut self,
        update: pb::WatchBanksResponse,
        now: SystemTime,
    ) -> Result<Option<Arc<Directory>>, DirectoryError> {
        match update.update {
            Some(Update::Entry(entry)) => self.take_entry(entry).map(|()| None),
            Some(Update::Head(head)) => self.take_head(head, now).map(Some),
            Some(Update::Health(_)) => Ok(None),
            // A kind of update that a later contract added.
            None => Ok(None),
        }
    }

    /// The copy in force as a message to be written down; none before the first head.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        Some(Snapshot { directory: Arc::clone(&self.directory), operators: self.operators(), head: self.head.clone()? })
    }

    fn operators(&self) -> Vec<Bytes> {
        self.verifier.operators().iter().map(|operator| Bytes::copy_from_slice(operator.der())).collect()
    }

    fn take_entry(&mut self, changed: pb::EntryChanged) -> Result<(), DirectoryError> {
        let entry = changed.entry.ok_or_else(|| Invalid::field("entry.entry", "must be set"))?;
        self.verifier.trust_operator(&changed.operator_certificate)?;
        let member = self.verifier.member(entry)?;
        let id = member.entry.member.clone();
        if let Some(held) = self.pending.get(&id).or_else(|| self.directory.member(&id)) {
            member.check_follows(held)?;
        }
        if self.pending.len() >= MEMBERS_MAX {
            return Err(DirectoryError::ManyMembers);
        }
        self.pending.insert(id, Arc::new(member));
        Ok(())
    }

    fn take_head(&mut self, renewed: pb::HeadRenewed, now: SystemTime) -> Result<Arc<Directory>, DirectoryError> {
        let head = renewed.head.ok_or_else(|| Invalid::field("head.head", "must be set"))?;
        let (signed, head) = self.verifier.head(head, &renewed.platform_certificate)?;
        self.check_time(&head, now)?;
        let next = Arc::new(self.directory.with(self.pending.drain().map(|(_, member)| member))?.with_head(head)?);
        self.directory = Arc::clone(&next);
        self.head = Some(SignedHead { signed, platform_certificate: renewed.platform_certificate });
        Ok(next)
    }

    /// A head must not take the copy back to an earlier version or an earlier moment.
    fn check_time(&self, head: &Head, now: SystemTime) -> Result<(), DirectoryError> {
        if head.signed_at > now + CLOCK_SKEW_MAX {
            return Err(DirectoryError::HeadFromFuture);
        }
        let Some(held) = self.directory.head() else { return Ok(()) };
        if (head.directory_version, head.signed_at) < (held.directory_version, held.signed_at) {
            let (held, offered) = (held.directory_version, head.directory_version);
            return Err(DirectoryError::HeadOlder { held, offered });
        }
        Ok(())
    }
}

impl Snapshot {
    /// The copy as a serialised `bankside.v1.DirectoryFile`.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file_of(&self.directory, &self.operators, Some(&self.head))
    }
}

fn file_of(directory: &Directory, operators: &[Bytes], head: Option<&SignedHead>) -> Vec<u8> {
    pb::DirectoryFile {
        entries: directory.members().map(|member| member.signed.to_pb()).collect(),
        operator_certificates: operators.to_vec(),
        head: head.map(|head| head.signed.to_pb()),
        platform_certificates: head.map(|head| head.platform_certificate.clone()).into_iter().collect(),
    }
    .encode_to_vec()
}

/// Reads and verifies a directory file. What verifies later entries and the head come beside it.
pub(in crate::directory) fn read_file(
    bytes: &[u8],
    trust: &SigningTrust,
    domain: &TrustDomain,
) -> Result<(EntryVerifier, Directory, Option<SignedHead>), DirectoryError> {
    let file = decode_file(bytes)?;
    let verifier = EntryVerifier::new(trust.clone(), domain.clone(), &file.operator_certificates)?;
    let members = file.entries.into_iter().map(|entry| verifier.member(entry)).collect::<Result<Vec<_>, _>>()?;
    let directory = Directory::new(members, None)?;
    let Some(head) = file.head else { return Ok((verifier, directory, None)) };
    let platform_certificate = file.platform_certificates.first().cloned().unwrap_or_default();
    let (signed, says) = verifier.head(head, &platform_certificate)?;
    Ok((verifier, directory.with_head(says)?, Some(SignedHead { signed, platform_certificate })))
}
