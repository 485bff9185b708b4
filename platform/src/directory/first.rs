//! The first directory: members that come from a file and not by a call.

use std::{collections::BTreeSet, sync::Arc};

use mesh::{
    directory::{DIRECTORY_FILE_BYTES_MAX, DirectoryError, EntryVerifier, Member},
    store::limits,
};
use prost::Message as _;
use proto::{fields::Invalid, pb};

use super::{CHANGED_BY_FILE, Register, TRIES_MAX};
use crate::{domain::change::check_endpoint, error::Error, repository::Outcome};

/// As many entries as one transition can hold beside the record about the whole.
const GROUP: usize = limits::WRITES_MAX - 1;

/// Why the first directory can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// The file is no directory, or an entry in it doesn't count.
    #[error(transparent)]
    Refused(#[from] DirectoryError),
    /// A member can't be connected to.
    #[error("the entry of {member} does not count: {invalid}")]
    Entry {
        /// Whose entry.
        member: String,
        /// The field.
        invalid: Invalid,
    },
    /// It couldn't be kept.
    #[error("the first directory was not kept: {0}")]
    NotKept(Box<Error>),
}

impl From<Error> for FirstError {
    fn from(error: Error) -> Self {
        Self::NotKept(Box::new(error))
    }
}

impl Register {
    /// Adds the members of a directory file that the store doesn't know yet; about the others the store
    /// knows better. The file may bring operator's certificates of its own, which then verify what they
    /// have signed but no later change. Returns how many members were added.
    ///
    /// Each group of entries is one transition, so that a platform that is stopped in between goes on at
    /// its next start.
    ///
    /// # Errors
    /// [`FirstError`]; groups that were committed before stay.
    pub async fn add_first(&self, file: &[u8]) -> Result<usize, FirstError> {
        let mut stored = self.stored.lock().await;
        let offered = self.first_members(&mut stored, file)?;
        let mut added = 0;
        for _ in 0..TRIES_MAX {
            self.catch_up(&mut stored).await?;
            let current = self.current();
            let is_new = |member: &&Arc<Member>| current.directory().member(&member.entry().member).is_none();
            let newcomers: Vec<Arc<Member>> = offered.iter().filter(is_new).cloned().collect();
            // Judged as a whole before any of it is kept.
            current.directory().with(newcomers.iter().cloned())?;
            if self.keep_all(&mut stored, &newcomers, &mut added).await? {
                self.catch_up(&mut stored).await?;
                return Ok(added);
            }
        }
        Err(Error::Contended.into())
    }

    fn first_members(&self, stored: &mut EntryVerifier, file: &[u8]) -> Result<Vec<Arc<Member>>, FirstError> {
        if file.len() > DIRECTORY_FILE_BYTES_MAX {
            return Err(DirectoryError::TooLarge.into());
        }
        let file = pb::DirectoryFile::decode(file).map_err(|_| DirectoryError::NotADirectory)?;
        for der in &file.operator_certificates {
            stored.trust_operator(der)?;
        }
        let members = file.entries.into_iter().map(|entry| stored.member(entry)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        for member in &members {
            if !seen.insert(&member.entry().member) {
                return Err(DirectoryError::Twice(member.entry().member.clone()).into());
            }
            check_endpoint(&member.entry().endpoint)
                .map_err(|invalid| FirstError::Entry { member: member.entry().member.to_string(), invalid })?;
        }
        Ok(members.into_iter().map(Arc::new).collect())
    }

    /// Keeps the newcomers group by group; `false` where another replica changed the directory meanwhile.
    async fn keep_all(
        &self,
        stored: &mut EntryVerifier,
        newcomers: &[Arc<Member>],
        added: &mut usize,
    ) -> Result<bool, Error> {
        for group in newcomers.chunks(GROUP) {
            for member in group {
                self.add_operator(stored, member.signed().key_id.as_str()).await?;
            }
            let members: Vec<&Member> = group.iter().map(AsRef::as_ref).collect();
            let (changes, _) = self.changes(&members, CHANGED_BY_FILE).await?;
            if self.repository.commit(changes).await? != Outcome::Committed {
                return Ok(false);
            }
            *added += group.len();
        }
        Ok(true)
    }
}
