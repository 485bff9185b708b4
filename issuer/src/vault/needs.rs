//! Which keys the store needs, and whether a vault has them: asked before anything is opened at start, and
//! before new keys take the place of others.
//!
//! One record says which versions were ever in use. Beside each stands a fixed text that was sealed under it
//! when it came into use, so that another key under the same version is told from a damaged record.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh::{
    sealing::at_rest::{Encrypted, KeyVersion, Vault, VaultError},
    store::{
        Commit, KeyRange, Kind, Limit, PageRequest, Store, StoreError, Transition, Version, Write,
        limits::{PAGE_ITEMS_MAX, WRITES_MAX},
    },
};
use prost::Message;

use super::{
    before_index::Walk,
    sealed::{INDEX_KEY_VERSION, RecordName, SealedKind, version_of},
};
use crate::{
    audit::{self, Entry},
    records::{Entity, Key},
};

/// What is sealed under every key.
const CHECK_TEXT: &[u8] = b"bankside";

/// How many records are tried under a key whose check text doesn't open. One that opens proves the key.
const PROBES: usize = 16;

/// How often a change is made anew because somebody else was first.
const TRIES_MAX: usize = 16;

/// Why a vault's keys don't fit the store.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Records need a key that is not here.
    #[error(
        "key version {version} is missing, and {records} records need it, the first of them {first}; put its line \
         back until the log says that no record needs it"
    )]
    Missing {
        /// The key.
        version: KeyVersion,
        /// How many records need it.
        records: usize,
        /// One of them.
        first: RecordName,
    },
    /// A key is another one than the records were sealed under.
    #[error(
        "key version {version} is another key than the one that the store's records were sealed under; put the right \
         one back, and give a new key a new, higher version"
    )]
    OtherKey {
        /// The key.
        version: KeyVersion,
    },
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change breaks a limit of the store, which is a mistake in this program.
    #[error("a change was refused: {0}")]
    Refused(Limit),
    /// Others changed the same records all the time.
    #[error("the records of the vault changed too often meanwhile")]
    Contended,
}

impl Unfit {
    /// Whether the keys are to blame, and not the store.
    #[must_use]
    pub fn is_of_the_keys(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::OtherKey { .. } | Self::Keys(_) => true,
            Self::Store(_) | Self::Refused(_) | Self::Contended => false,
        }
    }
}

/// Makes sure that a vault can open what the store holds, and notes its keys as in use. Nothing is written
/// before every needed key is there and proved.
///
/// # Errors
/// [`Unfit`].
pub async fn admit(store: &dyn Store, vault: &Vault) -> Result<(), Unfit> {
    fits(store, vault).await?;
    if !is_indexed(store).await? {
        write_index(store).await?;
    }
    note(store, vault).await
}

/// Whether a vault has every key that the store needs. Writes nothing.
///
/// # Errors
/// [`Unfit`].
pub async fn fits(store: &dyn Store, vault: &Vault) -> Result<(), Unfit> {
    let (_, state) = load(store).await?;
    let here = vault.versions();
    let needed = if state.indexed { indexed(store).await? } else { before_index(store).await? };
    for (version, first) in needed {
        if here.contains(&version) {
            continue;
        }
        // A version that was never in use stands in a damaged record; no key would help.
        if state.indexed && !state.knows(version) {
            tracing::error!(record = %first, key_version = %version, "a record names a key that there never was");
            continue;
        }
        let records =
            if state.indexed { count(store, exactly(version)).await? } else { count_old(store, version).await? };
        return Err(Unfit::Missing { version, records, first });
    }
    for version in here {
        prove(store, vault, &state, version).await?;
    }
    Ok(())
}

/// The keys that records need, ascending, with the first record of each. It takes one look for each key,
/// however many records there are.
///
/// # Errors
/// The store's failure.
pub async fn indexed(store: &dyn Store) -> Result<BTreeMap<KeyVersion, RecordName>, StoreError> {
    let mut needed = BTreeMap::new();
    let mut from = Vec::new();
    loop {
        let page = store.scan(INDEX_KEY_VERSION, KeyRange::starting_at(from), PageRequest::first(1)).await?;
        let Some(item) = page.items.first() else { return Ok(needed) };
        // What names no key is behind all the others.
        let Some(version) = version_of(&item.index_key) else { return Ok(needed) };
        let what = SealedKind::of_record(&item.id).map_or("record of an unknown kind", SealedKind::what);
        needed.insert(version, RecordName::new(what, &item.id.key));
        from = (version.number() + 1).to_be_bytes().to_vec();
    }
}

/// How many records stand in a range of [`INDEX_KEY_VERSION`].
///
/// # Errors
/// The store's failure.
pub async fn count(store: &dyn Store, range: KeyRange) -> Result<usize, StoreError> {
    let mut records = 0;
    let mut page = PageRequest::first(PAGE_ITEMS_MAX);
    loop {
        let found = store.scan(INDEX_KEY_VERSION, range.clone(), page).await?;
        records += found.items.len();
        let Some(next) = found.next else { return Ok(records) };
        page = PageRequest::after(next, PAGE_ITEMS_MAX);
        tokio::task::yield_now().await;
    }
}

/// The records that need this key.
pub(crate) fn exactly(version: KeyVersion) -> KeyRange {
    KeyRange::exactly(version.number().to_be_bytes())
}

/// The records that need a key before this one.
pub(crate) fn before(version: KeyVersion) -> KeyRange {
    KeyRange::between(0u32.to_be_bytes(), version.number().to_be_bytes())
}

/// Whether every sealed record stands in the index.
pub(crate) async fn is_indexed(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(load(store).await?.1.indexed)
}

/// Refuses a key that is another one than the version says.
async fn prove(store: &dyn Store, vault: &Vault, state: &VaultState, version: KeyVersion) -> Result<(), Unfit> {
    if let Some(check) = state.check_of(version)
        && opens_check(vault, version, check)?
    {
        return Ok(());
    }
    // There is no text for it, or it is damaged itself: the records decide.
    let page = store.scan(INDEX_KEY_VERSION, exactly(version), PageRequest::first(PROBES)).await?;
    let mut tried = false;
    for item in page.items {
        let Some(line) = SealedKind::of_record(&item.id) else { continue };
        match line.open(vault, &item.id, item.record.body) {
            Ok(()) => return Ok(()),
            Err(problem) if problem.is_damage() => tried = true,
            Err(super::Problem::Vault(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    if tried { Err(Unfit::OtherKey { version }) } else { Ok(()) }
}

fn opens_check(vault: &Vault, version: KeyVersion, check: &[u8]) -> Result<bool, VaultError> {
    let Ok(sealed) = Encrypted::from_bytes(check) else { return Ok(false) };
    match vault.decrypt(&check_place(version), &sealed) {
        Ok(text) => Ok(text.as_slice() == CHECK_TEXT && sealed.key_version() == version),
        Err(error @ (VaultError::Unavailable(_) | VaultError::Random)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Notes the vault's keys as in use, with a check text for the one that encrypts from now on.
async fn note(store: &dyn Store, vault: &Vault) -> Result<(), Unfit> {
    for _ in 0..TRIES_MAX {
        let (read_at, mut state) = load(store).await?;
        let before = state.clone();
        let current = vault.current();
        state.indexed = true;
        // In a new store nothing ever moves to the first key.
        if state.versions.is_empty() {
            state.moved_to = current.number();
        }
        for version in vault.versions() {
            if !state.knows(version) {
                state.versions.push(KnownKey { version: version.number(), check: Bytes::new() });
            }
        }
        for known in &mut state.versions {
            if known.version == current.number() && !opens_check(vault, current, &known.check)? {
                known.check = vault.encrypt(&check_place(current), CHECK_TEXT)?.to_bytes().into();
            }
        }
        if state == before {
            return Ok(());
        }
        if change(store, read_at, &state, Transition::new()).await? {
            return Ok(());
        }
    }
    Err(Unfit::Contended)
}

/// Puts into the audit trail that every record that can move is under this key by now: once for each key,
/// whichever process comes to the end.
///
/// # Errors
/// [`Unfit`]; nothing was told then.
pub(crate) async fn tell_moved(store: &dyn Store, version: KeyVersion, told: &Entry) -> Result<(), Unfit> {
    for _ in 0..TRIES_MAX {
        let (read_at, mut state) = load(store).await?;
        if state.moved_to >= version.number() {
            return Ok(());
        }
        state.moved_to = version.number();
        let told = Transition::new().event(audit::topic().clone(), told.to_bytes());
        if change(store, read_at, &state, told).await? {
            return Ok(());
        }
    }
    Err(Unfit::Contended)
}

/// Stores the vault's record with what is committed along with it; false where it must be looked at again.
async fn change(store: &dyn Store, read_at: Version, state: &VaultState, with: Transition) -> Result<bool, Unfit> {
    match store.commit(with.put(state.key().record_id(), read_at, state.encode_to_vec(), Vec::new())).await {
        Commit::Committed { .. } => Ok(true),
        Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => Ok(false),
        Commit::Refused(limit) => Err(Unfit::Refused(limit)),
        Commit::Fatal(error) => Err(error.into()),
    }
}

fn check_place(version: KeyVersion) -> Vec<u8> {
    [b"bankside.issuer/key-check\0".as_slice(), &version.number().to_be_bytes()].concat()
}

async fn load(store: &dyn Store) -> Result<(Version, VaultState), StoreError> {
    let Some(record) = store.get(&VaultState::default().key().record_id()).await? else {
        return Ok((Version::ABSENT, VaultState::default()));
    };
    let state = VaultState::decode(record.body).unwrap_or_else(|_| {
        // All of it can be made again from the sealed records and the keys.
        tracing::error!("the record of the vault's keys is damaged; it is made again");
        VaultState::default()
    });
    Ok((record.version, state))
}

/// The keys that records of before the index need.
async fn before_index(store: &dyn Store) -> Result<BTreeMap<KeyVersion, RecordName>, StoreError> {
    let mut needed = indexed(store).await?;
    let mut walk = Walk::default();
    while let Some(found) = walk.next(store).await? {
        for (id, record) in found {
            let Some(line) = SealedKind::of_record(&id) else { continue };
            if let Some(version) = line.version(record.body) {
                needed.entry(version).or_insert_with(|| line.name(&id));
            }
        }
    }
    Ok(needed)
}

async fn count_old(store: &dyn Store, version: KeyVersion) -> Result<usize, StoreError> {
    let mut records = 0;
    let mut walk = Walk::default();
    while let Some(found) = walk.next(store).await? {
        let needs = |(id, record): &(_, mesh::store::Record)| {
            SealedKind::of_record(id).and_then(|line| line.version(record.body.clone())) == Some(version)
        };
        records += found.iter().filter(|found| needs(found)).count();
    }
    Ok(records)
}

/// Puts every record of before the index into it. What can't be read is left as it is, and logged.
async fn write_index(store: &dyn Store) -> Result<(), Unfit> {
    let mut walk = Walk::default();
    while let Some(found) = walk.next(store).await? {
        let mut writes = Vec::new();
        for (id, record) in found {
            let Some(line) = SealedKind::of_record(&id) else { continue };
            match line.index(&id, record) {
                Ok(write) => writes.push(write),
                Err(problem) => tracing::error!(record = %line.name(&id), %problem, "a sealed record is damaged"),
            }
        }
        for batch in writes.chunks(WRITES_MAX) {
            put(store, batch.to_vec()).await?;
        }
    }
    Ok(())
}

/// Nobody else works on the store yet, so that a conflict is a commit of our own whose answer was lost.
async fn put(store: &dyn Store, writes: Vec<Write>) -> Result<(), Unfit> {
    match store.commit(Transition { writes, ..Transition::new() }).await {
        Commit::Committed { .. } => Ok(()),
        Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => Err(Unfit::Contended),
        Commit::Refused(limit) => Err(Unfit::Refused(limit)),
        Commit::Fatal(error) => Err(error.into()),
    }
}

/// The one record about the vault as a whole.
#[derive(Clone, PartialEq, Message)]
struct VaultState {
    /// Whether every sealed record stands in the index.
    #[prost(bool, tag = "1")]
    indexed: bool,
    /// Every key that was ever in use.
    #[prost(message, repeated, tag = "2")]
    versions: Vec<KnownKey>,
    /// The newest key of which the audit trail says that the records have moved to it.
    #[prost(uint32, tag = "3")]
    moved_to: u32,
}

#[derive(Clone, PartialEq, Message)]
struct KnownKey {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// [`CHECK_TEXT`], sealed under it; empty where it never encrypted while this record was kept.
    #[prost(bytes = "bytes", tag = "2")]
    check: Bytes,
}

impl VaultState {
    fn knows(&self, version: KeyVersion) -> bool {
        self.versions.iter().any(|known| known.version == version.number())
    }

    fn check_of(&self, version: KeyVersion) -> Option<&Bytes> {
        let known = self.versions.iter().find(|known| known.version == version.number())?;
        (!known.check.is_empty()).then_some(&known.check)
    }
}

impl Entity for VaultState {
    const KIND: Kind = Kind::new("vault-state");

    fn key(&self) -> Key<Self> {
        Key::new("state")
    }
}
