//! The bank directory in memory: who is a member, verified once, looked up often.
//!
//! Every entry is signed by the operator, and every signing certificate in it must be that member's
//! own. What comes out of [`EntryVerifier::member`] has passed both, so that a look-up needs no more
//! checks than the member's status.
//!
//! A [`Directory`] never changes; [`Directory::with`] makes the next one, which shares with the former
//! whatever the change doesn't touch. [`follow`] keeps a member's copy in step with the platform.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

use prost::Message;
use proto::{
    card::Bin,
    digest::Digest,
    directory::{BinRange, Head, MemberRole, entries_digest},
    ids::{AcquirerId, IssuerId, MemberId},
    pb,
};

use crate::{identity::TrustDomain, signing::SigningTrust};
use bins::Bins;

mod bins;
mod fault;
pub mod follow;
mod handle;
mod member;
mod standing;

pub use fault::{CertificateFault, DirectoryError, EntryFault, SignatureError};
pub use handle::{DirectoryHandle, Freshness, HEAD_AGE_MAX};
pub use member::{EntryVerifier, Member, OPERATOR_CERTIFICATES_MAX};
pub use standing::{Standing, StandingError};

/// The largest directory file: ten thousand banks at the largest entry.
pub const DIRECTORY_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most members that a directory takes, those that have left included; what a directory file of
/// the largest size holds at a usual entry of one KiB.
pub const MEMBERS_MAX: usize = 65_536;

/// A verified directory. Immutable: a change makes a new one, see [`DirectoryHandle`].
///
/// Members are numbered in the order in which they joined, and keep their numbers, because an entry
/// never leaves. Everything else refers to them by number.
#[derive(Default)]
pub struct Directory {
    members: Vec<Arc<Member>>,
    numbers: Arc<HashMap<MemberId, u32>>,
    /// The numbers in ascending order of the members' ids.
    order: Arc<Vec<u32>>,
    bins: Arc<Bins>,
    head: Option<Head>,
    digest: OnceLock<Digest>,
}

impl Directory {
    /// Reads a `bankside.v1.DirectoryFile` and verifies every entry in it, and the platform's head
    /// where the file is a copy of a platform's directory.
    ///
    /// # Errors
    /// [`DirectoryError`], which names the entry.
    pub fn from_file(bytes: &[u8], trust: &SigningTrust, domain: &TrustDomain) -> Result<Self, DirectoryError> {
        follow::read_file(bytes, trust, domain).map(|(_, directory, _)| directory)
    }

    /// A directory of these members, with the platform's verified head where the copy came from it.
    ///
    /// # Errors
    /// [`DirectoryError::Twice`] and [`DirectoryError::Overlap`]; [`DirectoryError::HeadMismatch`] where
    /// the head speaks of other entries.
    pub fn new(members: impl IntoIterator<Item = Member>, head: Option<Head>) -> Result<Self, DirectoryError> {
        let members: Vec<Member> = members.into_iter().collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = members.iter().find(|member| !seen.insert(&member.entry.member)) {
            return Err(DirectoryError::Twice(twice.entry.member.clone()));
        }
        let directory = Self::default().with(members)?;
        match head {
            Some(head) => directory.with_head(head),
            None => Ok(directory),
        }
    }

    /// The directory after these entries were added or changed. It has no head, because the former
    /// one doesn't speak of them.
    ///
    /// The tables are copied as far as the change touches them: for a new status the list of members
    /// alone, for other BINs the table of BINs too, for a new member also the table of names. That is
    /// well below the cost of the digest, which every change must pay.
    ///
    /// # Errors
    /// [`DirectoryError::Older`], [`DirectoryError::HasLeft`], [`DirectoryError::Overlap`] and
    /// [`DirectoryError::ManyMembers`].
    pub fn with<M: Into<Arc<Member>>>(&self, changes: impl IntoIterator<Item = M>) -> Result<Self, DirectoryError> {
        let mut next = Self {
            members: self.members.clone(),
            numbers: Arc::clone(&self.numbers),
            order: Arc::clone(&self.order),
            bins: Arc::clone(&self.bins),
            head: None,
            digest: self.digest.clone(),
        };
        let mut with_other_bins = BTreeSet::new();
        for member in changes {
            let member: Arc<Member> = member.into();
            next.digest = OnceLock::new();
            let known = next.numbers.get(&member.entry.member).copied();
            match known.and_then(|number| Some((number, next.members.get_mut(usize::try_from(number).ok()?)?))) {
                Some((number, held)) => {
                    member.check_follows(held)?;
                    if member.bins_in_force() != held.bins_in_force() {
                        with_other_bins.insert(number);
                    }
                    *held = member;
                }
                None => {
                    with_other_bins.insert(next.join(member)?);
                }
            }
        }
        next.sort_those_who_joined(self.members.len());
        if !with_other_bins.is_empty() {
            next.bins = Arc::new(next.bins.replaced(&with_other_bins, &next.members)?);
        }
        Ok(next)
    }

    /// The same directory with the platform's verified head.
    ///
    /// # Errors
    /// [`DirectoryError::HeadMismatch`] where the head speaks of other entries.
    pub fn with_head(mut self, head: Head) -> Result<Self, DirectoryError> {
        let count_agrees = usize::try_from(head.entry_count).is_ok_and(|count| count == self.members.len());
        if !count_agrees || head.entries_digest != self.digest() {
            return Err(DirectoryError::HeadMismatch);
        }
        self.head = Some(head);
        Ok(self)
    }

    /// An issuer's entry, whatever its status.
    #[must_use]
    pub fn issuer(&self, id: &IssuerId) -> Option<&Arc<Member>> {
        self.member(&id.into()).filter(|member| member.entry.role == MemberRole::Issuer)
    }

    /// An acquirer's entry, whatever its status.
    #[must_use]
    pub fn acquirer(&self, id: &AcquirerId) -> Option<&Arc<Member>> {
        self.member(&id.into()).filter(|member| member.entry.role == MemberRole::Acquirer)
    }

    /// A member's entry, whatever its role and status.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<&Arc<Member>> {
        self.numbered(*self.numbers.get(id)?)
    }

    /// Whose cards begin with this BIN.
    #[must_use]
    pub fn owner_of(&self, bin: Bin) -> Option<&Arc<Member>> {
        self.numbered(self.bins.owner_of(bin)?)
    }

    /// A member other than `claimant` that holds some of these BINs.
    #[must_use]
    pub fn other_owner_within(&self, range: BinRange, claimant: &MemberId) -> Option<&Arc<Member>> {
        let owners = self.bins.owners_within(range).filter_map(|number| self.numbered(number));
        owners.into_iter().find(|owner| owner.entry.member != *claimant)
    }

    /// All entries, in ascending order of member id.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.order.iter().filter_map(|number| self.numbered(*number))
    }

    /// The entries whose member ids come after this one, in ascending order.
    pub fn members_after(&self, id: &MemberId) -> impl Iterator<Item = &Arc<Member>> {
        let is_before = |number: &u32| self.numbered(*number).is_some_and(|member| member.entry.member <= *id);
        let first = self.order.partition_point(is_before);
        self.order.iter().skip(first).filter_map(|number| self.numbered(*number))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many BIN ranges there are.
    #[must_use]
    pub fn bin_ranges(&self) -> usize {
        self.bins.len()
    }

    /// The platform's head, where the copy came from a platform.
    #[must_use]
    pub const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The digest that a head names for these entries; computed when it is first asked for.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| entries_digest(self.members().map(|member| &member.digest)))
    }

    fn numbered(&self, number: u32) -> Option<&Arc<Member>> {
        self.members.get(usize::try_from(number).ok()?)
    }

    fn join(&mut self, member: Arc<Member>) -> Result<u32, DirectoryError> {
        let number = u32::try_from(self.members.len()).map_err(|_| DirectoryError::ManyMembers)?;
        if self.members.len() == MEMBERS_MAX {
            return Err(DirectoryError::ManyMembers);
        }
        // The first of several who join at once copies the table; for the others it is ours alone.
        Arc::make_mut(&mut self.numbers).insert(member.entry.member.clone(), number);
        self.members.push(member);
        Ok(number)
    }

    fn sort_those_who_joined(&mut self, before: usize) {
        if self.members.len() == before {
            return;
        }
        let mut order = self.order.as_ref().clone();
        order.extend((before..self.members.len()).filter_map(|number| u32::try_from(number).ok()));
        order.sort_by(|a, b| {
            let id = |number| self.numbered(number).map(|member| &member.entry.member);
            id(*a).cmp(&id(*b))
        });
        self.order = Arc::new(order);
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("members", &self.members.len())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// A directory file's message, within its limits.
fn decode_file(bytes: &[u8]) -> Result<pb::DirectoryFile, DirectoryError> {
    if bytes.len() > DIRECTORY_FILE_BYTES_MAX {
        return Err(DirectoryError::TooLarge);
    }
    pb::DirectoryFile::decode(bytes).map_err(|_| DirectoryError::NotADirectory)
}

#[cfg(test)]
mod tests;
