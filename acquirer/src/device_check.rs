//! Whether a payment comes from the device that opened its payment page.
//!
//! Somebody who passes a payment link on to a victim has opened the page in a browser of their own. For an
//! amount above the configured one the victim's bank therefore leads the victim's browser to the order's
//! `device_check_url` before it pays, and there it is another one than the page's. What the bank gets from the
//! right browser is a token, which [`DeviceTokens`] makes and verifies without a look-up.
//!
//! A token's bytes, in this order: the version (1), the expiry (milliseconds since 1970, 64 bits, big-endian),
//! and HMAC-SHA-256 (RFC 2104) over these two, the order's digest, the digest of the app's state, and the
//! issuer's id.

use std::{fmt, time::Duration, time::SystemTime};

use bytes::Bytes;
use mesh::sealing::at_rest::{Encrypted, KeyVersion, Vault, VaultError};
use proto::{confirmation::DeviceConfirmation, digest::Digest, ids::IssuerId, time::unix_millis};
use ring::hmac;
use zeroize::Zeroizing;

use crate::{
    error::Error,
    records::DeviceKey,
    repository::{Changes, Outcome, Repository},
};

/// How long a token counts: the way back into the app and a look at the amount, with a sign-in in between.
pub const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;
/// The key that makes the tags is derived from the secret with this text, so that nothing else that the same
/// secret might be used for one day can be taken for a token.
const CONTEXT: &[u8] = b"bankside.v1/device-check";
/// What ties the encrypted secret to its record.
const PLACE: &[u8] = b"device-check.secret";
/// How often the record of the secret is looked at while other processes make it at the same time.
const TRIES_MAX: usize = 8;

/// Makes and verifies tokens. Clones share nothing but the secret.
#[derive(Clone)]
pub struct DeviceTokens(hmac::Key);

impl DeviceTokens {
    /// Tokens under a secret of 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), CONTEXT);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Tokens under the secret that is kept, which is made where there is none. All processes over one store
    /// have the same, also while they start again one by one under a new key, under which it is wrapped anew. One
    /// that these keys don't open is replaced: the tokens of five minutes are lost.
    ///
    /// # Errors
    /// [`Error::Repository`], [`Error::Key`], [`Error::Entropy`].
    pub async fn load(
        repository: &Repository,
        vault: &Vault,
        random: impl Fn() -> Result<[u8; 32], Error>,
    ) -> Result<Self, Error> {
        for _ in 0..TRIES_MAX {
            let kept = repository.load::<DeviceKey>(DeviceKey::KEY).await?;
            let secret = match kept.as_ref().and_then(|kept| open(vault, &kept.entity)) {
                Some((secret, version)) if version == vault.current() => return Ok(Self::new(&secret)),
                Some((secret, _)) => secret,
                None => Zeroizing::new(random()?),
            };
            let encrypted = vault.encrypt(PLACE, secret.as_slice()).map_err(wrapped)?;
            let fresh = DeviceKey { encrypted: encrypted.to_bytes().into() };
            let changes = match kept {
                Some(mut kept) => {
                    kept.entity = fresh;
                    Changes::new().update(&kept)
                }
                None => Changes::new().create(&fresh),
            };
            match repository.commit(changes).await? {
                Outcome::Committed(_) => return Ok(Self::new(&secret)),
                Outcome::Stale | Outcome::Duplicate(_) => {}
            }
        }
        Err(Error::Contended)
    }

    /// A token for this order, this bank, and the app that made this state.
    #[must_use]
    pub fn issue(&self, order: &Digest, bank: &IssuerId, state: &Digest, now: SystemTime) -> Bytes {
        let mut token = Vec::with_capacity(HEAD_BYTES + 32);
        token.push(VERSION);
        token.extend(unix_millis(now + TOKEN_LIFE).to_be_bytes());
        let tag = hmac::sign(&self.0, &said(&token, order, bank, state));
        token.extend(tag.as_ref());
        token.into()
    }

    /// Whether a confirmation holds for this order and this bank.
    #[must_use]
    pub fn verify(&self, confirmation: &DeviceConfirmation, order: &Digest, bank: &IssuerId, now: SystemTime) -> bool {
        let Some((head, tag)) = confirmation.token.split_at_checked(HEAD_BYTES) else { return false };
        let Some((&[VERSION], expiry)) = head.split_first_chunk::<1>() else { return false };
        let said = said(head, order, bank, &confirmation.state_digest());
        let is_ours = hmac::verify(&self.0, &said, tag).is_ok();
        is_ours && expiry.try_into().is_ok_and(|expiry| unix_millis(now) <= u64::from_be_bytes(expiry))
    }
}

impl fmt::Debug for DeviceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTokens")
    }
}

/// The bank's id has several lengths and therefore comes last.
fn said(head: &[u8], order: &Digest, bank: &IssuerId, state: &Digest) -> Vec<u8> {
    [head, order.as_bytes(), state.as_bytes(), bank.as_str().as_bytes()].concat()
}

fn open(vault: &Vault, kept: &DeviceKey) -> Option<(Zeroizing<[u8; 32]>, KeyVersion)> {
    let encrypted = Encrypted::from_bytes(&kept.encrypted).ok()?;
    let opened = vault.decrypt(PLACE, &encrypted).ok()?;
    let secret: [u8; 32] = opened.as_slice().try_into().ok()?;
    Some((Zeroizing::new(secret), encrypted.key_version()))
}

fn wrapped(error: VaultError) -> Error {
    Error::Key(error.into())
}

#[cfg(test)]
mod tests;
