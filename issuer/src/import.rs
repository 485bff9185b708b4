//! Loads customers, accounts and cards from a file; run while the server is stopped, which holds the store.
//!
//! The file is TOML; `customers.sample.toml` shows every field with its meaning. It is checked as a
//! whole, also against what is stored already, before anything is written. What is wrong is told by path,
//! such as `customers[2].cards[0].pan`, and never by its contents.
//!
//! Loading the same file twice changes nothing. Customers and accounts are found again by their ids, a
//! card by customer and number: it keeps its card option id. What is not in the file stays as it is.
//! Limits and balances of existing accounts change only when that is asked for, and holds never: they
//! belong to charges under way. After a crash in the middle, load the file again.

use std::{path::Path, time::Duration};

use mesh::{
    clock::{Clock, Entropy},
    directory::Directory,
    sealing::at_rest::Vault,
};
use proto::{fields::Invalid, ids::IssuerId};
use zeroize::Zeroizing;

use crate::{
    auth::{PasswordError, Passwords},
    repository::{self, Repository},
    vault::{AtRestError, LookupKeys, VerificationProfile},
};

mod file;
mod plan;
mod write;

/// The largest file, which is read as a whole: some hundred thousand customers.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an import works with.
#[derive(Debug)]
pub struct Means<'a> {
    /// Where to write.
    pub repository: &'a Repository,
    /// Encrypts cards and password hashes.
    pub vault: &'a Vault,
    /// Finds customers and cards.
    pub lookup: &'a LookupKeys,
    /// Hashes passwords.
    pub passwords: &'a Passwords,
    /// Makes card option ids.
    pub entropy: &'a dyn Entropy,
    /// Tells the audit trail when it was.
    pub clock: &'a dyn Clock,
    /// Whether card verification values may be stored.
    pub card_verification: VerificationProfile,
    /// How long an activation code can be used from now on.
    pub activation_code_life: Duration,
    /// The directory, to check that every card's BIN is this issuer's; `None` leaves that out.
    pub bins: Option<(&'a Directory, &'a IssuerId)>,
}

/// What is asked for beyond the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Existing accounts get the file's limits and balances, and what was spent of a credit line is
    /// forgotten.
    pub overwrite_funds: bool,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Customers, with their credentials.
    pub customers: Tally,
    /// Accounts.
    pub accounts: Tally,
    /// Cards.
    pub cards: Tally,
    /// Existing accounts whose limit or balance differs from the file's and was left alone.
    pub funds_kept: usize,
}

/// How many of a kind were made, changed or left as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Made.
    pub created: usize,
    /// Changed.
    pub updated: usize,
    /// Left as they were.
    pub unchanged: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} created, {} updated, {} unchanged", self.created, self.updated, self.unchanged)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "customers: {}; accounts: {}; cards: {}", self.customers, self.accounts, self.cards)?;
        match self.funds_kept {
            0 => Ok(()),
            kept => write!(f, "; {kept} existing limits or balances differ from the file and were kept"),
        }
    }
}

/// Why a file was not loaded. It never holds anything of the file but names and places.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// The file is too large.
    #[error("the file is larger than 64 MiB; split it")]
    TooLarge,
    /// The file is no TOML, or not of this shape. Nothing was written.
    #[error("line {line}: {problem}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Fields can't be used. Nothing was written.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// Passwords can't be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The vault doesn't work, or a stored record is not one of its own.
    #[error(transparent)]
    Vault(#[from] AtRestError),
    /// There are no random bytes.
    #[error(transparent)]
    Entropy(#[from] mesh::clock::EntropyFailed),
    /// The store failed; load the file again when it works.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// Somebody else writes to the store.
    #[error("the store changed meanwhile; stop the server and load the file again")]
    Contended,
}

/// Loads a file.
///
/// # Errors
/// [`Error`]; up to [`Error::Invalid`] nothing was written.
pub async fn from_file(means: &Means<'_>, path: &Path, options: Options) -> Result<Report, Error> {
    let unreadable = |error: std::io::Error| Error::Unreadable(error.kind());
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    from_text(means, &text, options).await
}

/// Loads the text of a file.
///
/// # Errors
/// As [`from_file`].
pub async fn from_text(means: &Means<'_>, text: &str, options: Options) -> Result<Report, Error> {
    let customers = plan::check(file::parse(text)?, means, options).await?;
    let mut report = Report::default();
    for customer in customers {
        write::customer(means, customer, options, &mut report).await?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
