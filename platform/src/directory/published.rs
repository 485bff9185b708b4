//! The directory as members see it at one moment: entries, versions and the head, all of one piece.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use mesh::{
    directory::{Directory, Member},
    signing::SigningCertificate,
};
use proto::{ids::MemberId, pb};

use super::head_of;
use crate::{error::Error, keys::Seal};

/// A moment of the directory. Whoever follows the directory takes from here what it hasn't seen, so
/// that nothing is queued for a slow reader but the latest state of each member.
#[derive(Debug)]
pub struct Published {
    directory: Arc<Directory>,
    version: u64,
    /// Which member changed with which version; one place for each member, its latest.
    by_version: BTreeMap<u64, MemberId>,
    by_member: BTreeMap<MemberId, u64>,
    /// The operator's certificates by key id, in DER form.
    operators: BTreeMap<String, Bytes>,
    head: pb::HeadRenewed,
}

impl Published {
    pub(super) fn of(
        directory: Arc<Directory>,
        by_version: BTreeMap<u64, MemberId>,
        operators: BTreeMap<String, Bytes>,
        version: u64,
        seal: &Seal,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let by_member = by_version.iter().map(|(version, member)| (member.clone(), *version)).collect();
        let (directory, head) = with_head(&directory, version, seal, now)?;
        Ok(Self { directory, version, by_version, by_member, operators, head })
    }

    /// The next moment, after these members have changed with these versions.
    pub(super) fn changed(
        &self,
        directory: Directory,
        versions: Vec<(u64, MemberId)>,
        operators: &[SigningCertificate],
        seal: &Seal,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let (mut by_version, mut by_member) = (self.by_version.clone(), self.by_member.clone());
        for (version, member) in versions {
            if let Some(former) = by_member.insert(member.clone(), version) {
                by_version.remove(&former);
            }
            by_version.insert(version, member);
        }
        let version = by_version.last_key_value().map_or(self.version, |(version, _)| *version);
        let certificate = |operator: &SigningCertificate| Bytes::copy_from_slice(operator.der());
        let operators =
            operators.iter().map(|operator| (operator.key_id().to_string(), certificate(operator))).collect();
        let (directory, head) = with_head(&directory, version, seal, now)?;
        Ok(Self { directory, version, by_version, by_member, operators, head })
    }

    /// The same moment under a fresh head.
    pub(super) fn renewed(&self, seal: &Seal, now: SystemTime) -> Result<Self, Error> {
        let (directory, head) = with_head(&self.directory, self.version, seal, now)?;
        Ok(Self {
            directory,
            version: self.version,
            by_version: self.by_version.clone(),
            by_member: self.by_member.clone(),
            operators: self.operators.clone(),
            head,
        })
    }

    /// The entries.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The directory's version; zero before the first change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The signed head.
    #[must_use]
    pub const fn head(&self) -> &pb::HeadRenewed {
        &self.head
    }

    /// The directory's version that brought exactly this entry, where it is in force.
    #[must_use]
    pub fn version_of(&self, offered: &Member) -> Option<u64> {
        let id = &offered.entry().member;
        let held = self.directory.member(id)?;
        if held.signed() == offered.signed() { self.by_member.get(id).copied() } else { None }
    }

    /// The entries that changed after a version, in the order of their versions, each in its latest form.
    pub fn changed_after(&self, version: u64) -> impl Iterator<Item = pb::EntryChanged> + '_ {
        let later = (std::ops::Bound::Excluded(version), std::ops::Bound::Unbounded);
        self.by_version.range(later).filter_map(|(version, member)| {
            let signed = self.directory.member(member)?.signed().to_pb();
            let operator_certificate = self.operators.get(&signed.key_id).cloned().unwrap_or_default();
            Some(pb::EntryChanged { entry: Some(signed), operator_certificate, directory_version: *version })
        })
    }
}

/// Signs the head, and puts it into the directory as members do.
fn with_head(
    directory: &Directory,
    version: u64,
    seal: &Seal,
    now: SystemTime,
) -> Result<(Arc<Directory>, pb::HeadRenewed), Error> {
    let head = head_of(directory, version, now)?;
    let signed = seal.sign(&head.to_pb());
    let same = directory.with::<Member>([]).and_then(|same| same.with_head(head)).map_err(Error::StoredDirectory)?;
    Ok((Arc::new(same), pb::HeadRenewed { head: Some(signed), platform_certificate: seal.certificate() }))
}
