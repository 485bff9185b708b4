//! What can be done, and how it can come out. The names are the trail's, and stay.

macro_rules! acts {
    ($($(#[$doc:meta])+ $act:ident = $name:literal,)+) => {
        /// What was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Act {
            $($(#[$doc])+ $act,)+
        }

        impl Act {
            /// Every act.
            pub const ALL: &[Self] = &[$(Self::$act,)+];

            /// Its name in the trail, which never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$act => $name,)+
                }
            }
        }
    };
}

acts! {
    /// A proof was brought; said before it is judged, so that a try is told even if the process dies over it.
    IdentityTried = "identity_tried",
    /// A factor was proved.
    IdentityProved = "identity_proved",
    /// A proof was refused.
    IdentityRefused = "identity_refused",
    /// Passwords of a customer are refused for a while.
    PasswordLocked = "password_locked",
    /// Features of a device are refused for a while.
    FeaturesLocked = "features_locked",
    /// A session was given out.
    SessionBegun = "session_begun",
    /// A session got one more factor.
    SessionSteppedUp = "session_stepped_up",
    /// A session was ended before its time.
    SessionEnded = "session_ended",
    /// A session was not accepted, for example from another device.
    SessionRefused = "session_refused",
    /// A device was bound to a customer.
    DeviceBound = "device_bound",
    /// A device is bound no more.
    DeviceUnbound = "device_unbound",
    /// A passkey was registered.
    PasskeyRegistered = "passkey_registered",
    /// A passkey was removed.
    PasskeyRemoved = "passkey_removed",
    /// A template of biometric features was stored.
    FeaturesEnrolled = "features_enrolled",
    /// An activation code was used up.
    ActivationCodeUsed = "activation_code_used",
    /// A customer's cards were shown, without their numbers.
    CardsListed = "cards_listed",
    /// A charge was taken, and its funds are held.
    ChargeSubmitted = "charge_submitted",
    /// A charge was not taken.
    ChargeRefused = "charge_refused",
    /// A card's data was taken out of the vault for an authorization request.
    CardOpened = "card_opened",
    /// A signed consent was verified and kept.
    ConsentKept = "consent_kept",
    /// A charge has ended.
    ChargeEnded = "charge_ended",
    /// The acquirer was asked about a charge at an operator's request.
    ChargeInquired = "charge_inquired",
    /// A signed result was taken from an operator.
    ResultImported = "result_imported",
    /// An activation code was drawn, and the customer's former one is void.
    ActivationCodeIssued = "activation_code_issued",
    /// Passwords of a customer are accepted again before their time.
    PasswordUnlocked = "password_unlocked",
    /// A customer's record or credentials were loaded from a file.
    CustomerImported = "customer_imported",
    /// An account, with its limit or balance, was loaded from a file.
    AccountImported = "account_imported",
    /// A card was loaded from a file.
    CardImported = "card_imported",
    /// The issuer began to serve, with this version of the vault's key.
    IssuerStarted = "issuer_started",
    /// The issuer has stopped.
    IssuerStopped = "issuer_stopped",
    /// The vault's keys were changed while the issuer serves: this version seals from now on.
    VaultKeyTaken = "vault_key_taken",
    /// The vault's records were wrapped with a newer key.
    VaultRotated = "vault_rotated",
    /// Records were removed after their period.
    RecordsRemoved = "records_removed",
    /// A record of the vault could not be opened.
    VaultRecordDamaged = "vault_record_damaged",
}

/// How an act came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, for this reason: a word of this program, never of a caller.
    Refused(&'static str),
    /// A charge was approved.
    Approved,
    /// A charge was declined, for this reason of the contracts.
    Declined(&'static str),
    /// A charge was given up before anything of it was sent.
    Abandoned,
}

impl Outcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Approved => "approved",
            Self::Declined(_) => "declined",
            Self::Abandoned => "abandoned",
        }
    }

    pub(super) const fn why(self) -> Option<&'static str> {
        match self {
            Self::Refused(why) | Self::Declined(why) => Some(why),
            Self::Done | Self::Approved | Self::Abandoned => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_act_has_a_plain_name_of_its_own() {
        let names: HashSet<&str> = Act::ALL.iter().map(|act| act.as_str()).collect();
        assert_eq!(names.len(), Act::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!name.starts_with("trail_"), "{name} would be the trail's own");
        }
    }
}
