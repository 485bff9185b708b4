//! The wrong proofs whose answers are timed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh::status::reason_of;
use proto::device::possession_bytes;
use proto::ids::{ChallengeId, DeviceId};
use proto::pb::verify_identity_request::Proof;

use crate::device::app::Challenge;
use crate::device::authenticators::{Algorithm, BoundDevice, SoftDevice, SoftPasskey};
use crate::device::{BankApp, Credentials, Wallet};
use crate::network::Network;
use crate::sample::customers::{LOCKED_OUT_PLACE, VERIFIED_PLACE};
use crate::sample::{ANY_FACTOR, national_id};

/// Failed passwords before a lock, as the contracts' limits have it.
const TRIES_BEFORE_LOCK: usize = 5;

/// What every wrong proof gets, and what the control gets.
const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
const NOT_FOUND: &str = "CHALLENGE_NOT_FOUND";

/// What a caller gets who has too many challenges open, and the pause before the next try.
const TOO_MANY: &str = "RATE_LIMIT";
const AGAIN: Duration = Duration::from_secs(1);

/// How many proofs may fail under one challenge.
const PROOFS_OF_CHALLENGE: u32 = 5;

/// A kind of wrong proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The right customer, the wrong password.
    WrongPassword,
    /// A national id that the bank doesn't know.
    UnknownCustomer,
    /// The right customer and password, the wrong user code.
    WrongUserCode,
    /// Everything right, for a customer whose passwords are locked.
    LockedCustomer,
    /// A device that the bank knows, under another key.
    WrongDeviceKey,
    /// A device that the bank doesn't know.
    UnknownDevice,
    /// A passkey that the bank knows, under another key.
    WrongPasskeyKey,
    /// A passkey that the bank doesn't know.
    UnknownPasskey,
    /// A wrong password under a challenge that was never given: no work is done for it.
    NoChallenge,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 9] = [
        Self::WrongPassword,
        Self::UnknownCustomer,
        Self::WrongUserCode,
        Self::LockedCustomer,
        Self::WrongDeviceKey,
        Self::UnknownDevice,
        Self::WrongPasskeyKey,
        Self::UnknownPasskey,
        Self::NoChallenge,
    ];

    /// The kinds of which no two may be told apart.
    pub(super) const GROUPS: [&[Self]; 3] = [
        &[Self::WrongPassword, Self::UnknownCustomer, Self::WrongUserCode, Self::LockedCustomer],
        &[Self::WrongDeviceKey, Self::UnknownDevice],
        &[Self::WrongPasskeyKey, Self::UnknownPasskey],
    ];

    /// Two that must be.
    pub(super) const CONTROL: (Self, Self) = (Self::WrongPassword, Self::NoChallenge);

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::UnknownCustomer => "unknown national id",
            Self::WrongUserCode => "wrong user code",
            Self::LockedCustomer => "locked customer",
            Self::WrongDeviceKey => "known device, wrong signature",
            Self::UnknownDevice => "unknown device",
            Self::WrongPasskeyKey => "known passkey, wrong signature",
            Self::UnknownPasskey => "unknown passkey",
            Self::NoChallenge => "no such challenge",
        }
    }
}

/// Who sends them, from one connection.
pub(super) struct Prober {
    app: BankApp,
    typed: Credentials,
    locked: Credentials,
    known_device: BoundDevice,
    unknown_device: BoundDevice,
    known_passkey: SoftPasskey,
    unknown_passkey: SoftPasskey,
    /// The challenge in use, and how many proofs were tried under it.
    challenge: Option<(Challenge, u32)>,
}

impl Prober {
    /// Binds a device, registers a passkey, and locks a customer out, at the bank where one factor is
    /// enough.
    pub(super) async fn set_up(network: &Network) -> Result<Self> {
        let issuer = network.topology.issuer(ANY_FACTOR)?;
        let app = BankApp::of(issuer, &network.topology.authority)?.noting(&network.secrets);
        let customer = |place: usize| issuer.customers.get(place).context("the bank has too few customers");
        let mut wallet = Wallet::of(customer(VERIFIED_PLACE)?, &app, &network.secrets);
        wallet.equip(Algorithm::Es256, &issuer.passkeys).await?;
        let locked = Credentials::from(customer(LOCKED_OUT_PLACE)?);
        let wrong = Credentials { password: reversed(&locked.password), ..locked.clone() };
        for _ in 0..TRIES_BEFORE_LOCK {
            // What they lead to is what the lock is for, and is checked with each answer below.
            let _ = app.sign_in(None, &wrong).await;
        }
        let device = wallet.device.as_ref().context("no device is bound")?;
        let passkey = wallet.passkey.as_ref().context("no passkey is registered")?;
        let other_passkey = || wallet.new_passkey(Algorithm::Es256, &issuer.passkeys);
        Ok(Self {
            typed: wallet.typed.clone(),
            locked,
            known_device: SoftDevice::generate()?.bound_as(device.id().clone()),
            unknown_device: SoftDevice::generate()?.bound_as(DeviceId::from_random([3; 16])),
            known_passkey: other_passkey()?.pretending(passkey.credential_id().clone()),
            unknown_passkey: other_passkey()?,
            challenge: None,
            app,
        })
    }

    /// Takes back what the last round's wrong passwords have counted.
    pub(super) async fn refresh(&self) -> Result<()> {
        self.app.sign_in(None, &self.typed).await.context("the right sign-in")?;
        Ok(())
    }

    /// The time of one answer.
    pub(super) async fn time(&mut self, kind: Kind) -> Result<Duration> {
        let given = self.challenge().await?;
        let proof = self.proof(kind, &given)?;
        let (challenge, expected) = match kind {
            Kind::NoChallenge => (Challenge { id: ChallengeId::from_random([9; 16]).to_string(), ..given }, NOT_FOUND),
            Kind::WrongPassword
            | Kind::UnknownCustomer
            | Kind::WrongUserCode
            | Kind::LockedCustomer
            | Kind::WrongDeviceKey
            | Kind::UnknownDevice
            | Kind::WrongPasskeyKey
            | Kind::UnknownPasskey => (given, REFUSED),
        };
        let begin = Instant::now();
        let answer = self.app.prove(&challenge, proof).await;
        let time = begin.elapsed();
        let reason = answer.err().and_then(|status| reason_of(&status));
        ensure!(reason.as_deref() == Some(expected), "it was answered with {reason:?} instead of {expected}");
        Ok(time)
    }

    /// A challenge under which proofs are left. An address may have a thousand open at one time, and a failed
    /// one stays open for minutes, so that none is given away; where all are used up nevertheless, time helps.
    async fn challenge(&mut self) -> Result<Challenge> {
        if let Some((challenge, tried)) = &mut self.challenge
            && *tried < PROOFS_OF_CHALLENGE
        {
            *tried += 1;
            return Ok(challenge.clone());
        }
        let challenge = loop {
            match self.app.start(None).await {
                Err(status) if reason_of(&status).as_deref() == Some(TOO_MANY) => tokio::time::sleep(AGAIN).await,
                answer => break answer.context("StartAuthentication")?,
            }
        };
        self.challenge = Some((challenge.clone(), 1));
        Ok(challenge)
    }

    fn proof(&mut self, kind: Kind, challenge: &Challenge) -> Result<Proof> {
        let typed = |change: fn(&mut Credentials)| {
            let mut typed = self.typed.clone();
            change(&mut typed);
            typed.proof()
        };
        let signed = possession_bytes(&challenge.bytes, None);
        Ok(match kind {
            Kind::WrongPassword | Kind::NoChallenge => typed(|typed| typed.password = reversed(&typed.password)),
            Kind::UnknownCustomer => typed(|typed| typed.national_id = national_id::nth(UNKNOWN)),
            Kind::WrongUserCode => typed(|typed| typed.user_code = reversed(&typed.user_code)),
            Kind::LockedCustomer => self.locked.proof(),
            Kind::WrongDeviceKey => Proof::Possession(self.known_device.possession_signing(&signed)),
            Kind::UnknownDevice => Proof::Possession(self.unknown_device.possession_signing(&signed)),
            Kind::WrongPasskeyKey => Proof::Passkey(self.known_passkey.proof(&challenge.bytes)?),
            Kind::UnknownPasskey => Proof::Passkey(self.unknown_passkey.proof(&challenge.bytes)?),
        })
    }
}

/// As long as the right one, so that not even the request's length differs.
fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// The running number of a national id that no sample customer has.
const UNKNOWN: u32 = 999;
