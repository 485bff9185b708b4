//! What every kind of credential has in common.

use std::net::IpAddr;

use async_trait::async_trait;
use proto::{authorization::Factor, ids::DeviceId};
use zeroize::Zeroizing;

use super::{Desk, challenges::SignIn, passwords::Turn};
use crate::{domain::ids::CustomerId, error::Error, repository::Changes};

/// A well-formed proof of one kind of credential, and how it is verified.
#[async_trait]
pub(super) trait Credential: Send {
    /// The factor that it proves.
    const FACTOR: Factor;

    /// Verifies the proof. Nothing that is durable changes but counts of tries; what else follows from a
    /// success is in [`Proved::after`], to be committed together with the session.
    ///
    /// # Errors
    /// [`Error::IdentityNotVerified`] for every wrong proof, after the same work whatever is wrong.
    async fn verify(self, desk: &Desk<'_>, attempt: Attempt<'_>) -> Result<Proved, Error>;
}

/// Under what a proof is made.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// The sign-in so far: its challenge, its order, and who it is if that is known.
    pub(super) sign_in: &'a SignIn,
    /// Where the caller is.
    pub(super) origin: IpAddr,
    /// The right to compute a password's hash; there for a proof that needs it.
    pub(super) turn: Option<Turn>,
}

/// A right proof.
#[derive(Debug)]
pub(super) struct Proved {
    /// Whose it is.
    pub(super) customer: CustomerId,
    /// The bound device that proved itself by it.
    pub(super) device: Option<DeviceId>,
    /// What changes because of it.
    pub(super) after: After,
}

/// What changes because of a right proof.
#[derive(Debug)]
pub(super) enum After {
    /// The tries under this name are forgotten, and the password's hash is replaced where its cost is another
    /// than the configured one.
    PasswordRight {
        /// Under which name the tries were counted.
        lockout_name: String,
        /// The new hash.
        renewed: Option<Zeroizing<String>>,
    },
    /// The device was there.
    DeviceUsed(DeviceId),
    /// The device measured these features, which can't be used again.
    FeaturesUsed {
        /// The device.
        device: DeviceId,
        /// What recognises them.
        tag: [u8; 32],
    },
    /// The passkey was used.
    PasskeyUsed {
        /// The credential's id.
        credential_id: bytes::Bytes,
        /// Its new counter.
        sign_count: u32,
    },
}

impl Desk<'_> {
    /// Adds what changes because of a right proof. Called anew for each try of a commit.
    pub(super) async fn settle(&self, changes: Changes, proved: &Proved) -> Result<Changes, Error> {
        match &proved.after {
            After::PasswordRight { lockout_name, renewed } => {
                self.settle_password(changes, &proved.customer, lockout_name, renewed.as_ref()).await
            }
            After::DeviceUsed(device) => self.settle_device(changes, device).await,
            After::FeaturesUsed { device, tag } => self.settle_features(changes, device, tag).await,
            After::PasskeyUsed { credential_id, sign_count } => {
                self.settle_passkey(changes, credential_id, *sign_count).await
            }
        }
    }
}
