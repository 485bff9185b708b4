//! What was decided, and the result that says so.

use std::{fmt, str::FromStr, time::SystemTime};

use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{AcquirerId, AuthorizationId, IssuerId},
    money::Money,
    pb, require, time,
};

/// A card network's approval code: six characters of 0-9 and A-Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApprovalCode([u8; 6]);

/// A text that is no approval code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be six characters of 0-9 and A-Z")]
pub struct NotAnApprovalCode;

impl FromStr for ApprovalCode {
    type Err = NotAnApprovalCode;

    fn from_str(text: &str) -> Result<Self, NotAnApprovalCode> {
        let code: [u8; 6] = text.as_bytes().try_into().map_err(|_| NotAnApprovalCode)?;
        let fits = code.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if fits { Ok(Self(code)) } else { Err(NotAnApprovalCode) }
    }
}

impl fmt::Display for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{}", char::from(*b)))
    }
}

impl fmt::Debug for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The shop will be paid.
    Approved(ApprovalCode),
    /// This authorization will never be approved.
    Declined(DeclineReason),
}

impl Decision {
    /// Whether it is an approval.
    #[must_use]
    pub const fn is_approved(self) -> bool {
        matches!(self, Self::Approved(_))
    }

    /// The decision as the three fields of a message.
    #[must_use]
    pub fn to_pb(self) -> (pb::Decision, pb::DeclineReason, String) {
        match self {
            Self::Approved(code) => (pb::Decision::Approved, pb::DeclineReason::Unspecified, code.to_string()),
            Self::Declined(reason) => (pb::Decision::Declined, reason.to_pb(), String::new()),
        }
    }

    /// A decision from the three fields of a message.
    ///
    /// # Errors
    /// The fields that are wrong or do not fit each other.
    pub fn parse(decision: i32, reason: i32, code: &str) -> Result<Self, Invalid> {
        let reason = DeclineReason::parse(reason)?;
        match (pb::Decision::try_from(decision).unwrap_or_default(), reason) {
            (pb::Decision::Approved, None) => code
                .parse()
                .map(Self::Approved)
                .map_err(|error: NotAnApprovalCode| Invalid::field("approval_code", error.to_string())),
            (pb::Decision::Declined, Some(reason)) if code.is_empty() => Ok(Self::Declined(reason)),
            (pb::Decision::Declined, Some(_)) => Err(Invalid::field("approval_code", "must be empty beside a decline")),
            (pb::Decision::Approved, Some(_)) => {
                Err(Invalid::field("decline_reason", "must be unspecified beside an approval"))
            }
            (pb::Decision::Declined, None) => Err(Invalid::field("decline_reason", "must be set beside a decline")),
            (pb::Decision::Unspecified, _) => Err(Invalid::field("decision", "must be approved or declined")),
        }
    }
}

macro_rules! decline_reasons {
    ($($name:ident => $doc:literal),+ $(,)?) => {
        /// Why a request was declined. The contracts' `DeclineReason` says more about each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DeclineReason {
            $(#[doc = $doc] $name,)+
        }

        impl DeclineReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason as a message's number.
            #[must_use]
            pub const fn to_pb(self) -> pb::DeclineReason {
                match self {
                    $(Self::$name => pb::DeclineReason::$name,)+
                }
            }

            /// A received reason; `None` for "unspecified".
            ///
            /// # Errors
            /// A number that these contracts do not know.
            pub fn parse(number: i32) -> Result<Option<Self>, Invalid> {
                let pb = pb::DeclineReason::try_from(number).map_err(|_| Invalid::field("decline_reason", "is not known here"))?;
                Ok(match pb {
                    pb::DeclineReason::Unspecified => None,
                    $(pb::DeclineReason::$name => Some(Self::$name),)+
                })
            }
        }
    };
}

decline_reasons! {
    OrderBusy => "Another authorization of the order is under way.",
    OrderAlreadyApproved => "The order is paid.",
    OrderExpired => "The order's time is over.",
    OrderCancelled => "The shop cancelled the order.",
    OrderFailed => "The order's attempts are used up.",
    OrderUnknown => "The acquirer keeps no such order.",
    OrderAltered => "The order is not the one that the acquirer signed.",
    AmountMismatch => "The amount is not the order's.",
    CardUnreadable => "The sealed card does not open.",
    CardInvalid => "The card number is no card number.",
    CardExpired => "The card has expired.",
    BinNotOfIssuer => "The card belongs to another issuer.",
    MerchantLimit => "The merchant may not take so much.",
    DoNotHonor => "The card network declines without saying why.",
    InsufficientFunds => "The card network sees not enough funds.",
    LostCard => "The card is reported lost.",
    StolenCard => "The card is reported stolen.",
    SuspectedFraud => "The card network suspects fraud.",
    CvvMismatch => "The card verification value is wrong.",
    NetworkUnavailable => "The card network gave no answer in time.",
    NeverReceived => "The request had not arrived when its result was asked for.",
    AuthenticationInsufficient => "The acquirer's policy demands stronger identity verification.",
    DeviceNotConfirmed => "Nothing shows that the payment comes from the device that opened the payment page.",
}

/// A result, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationResult {
    /// The authorization that this decides.
    pub authorization: AuthorizationId,
    /// The issuer that asked.
    pub issuer: IssuerId,
    /// The acquirer that decided.
    pub acquirer: AcquirerId,
    /// The request.
    pub request_digest: Digest,
    /// Its order.
    pub order_digest: Digest,
    /// Its amount.
    pub amount: Money,
    /// What was decided.
    pub decision: Decision,
    /// When it was decided and signed.
    pub decided_at: SystemTime,
}

impl AuthorizationResult {
    /// A decoded result.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::AuthorizationResult) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let authorization = fields.text("authorization_id", &pb.authorization_id);
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let request_digest = fields.bytes("request_digest", &pb.request_digest).map(Digest::from_bytes);
        let order_digest = fields.bytes("order_digest", &pb.order_digest).map(Digest::from_bytes);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let decision = fields.nested("", Decision::parse(pb.decision, pb.decline_reason, &pb.approval_code));
        let decided_at = fields.message("decided_at", pb.decided_at, time::parse);
        require!(fields; authorization, issuer, acquirer, request_digest, order_digest, amount, decision, decided_at);
        Ok(Self { authorization, issuer, acquirer, request_digest, order_digest, amount, decision, decided_at })
    }

    /// The result as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::AuthorizationResult {
        let (decision, decline_reason, approval_code) = self.decision.to_pb();
        pb::AuthorizationResult {
            authorization_id: self.authorization.to_string(),
            issuer_id: self.issuer.to_string(),
            acquirer_id: self.acquirer.to_string(),
            request_digest: self.request_digest.to_bytes(),
            order_digest: self.order_digest.to_bytes(),
            amount: Some(self.amount.to_pb()),
            decision: decision.into(),
            decline_reason: decline_reason.into(),
            approval_code,
            decided_at: Some(time::to_pb(self.decided_at)),
        }
    }
}
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_decision_and_its_fields_must_fit() {
        let approved = pb::Decision::Approved.into();
        let declined = pb::Decision::Declined.into();
        let lost = pb::DeclineReason::LostCard.into();
        assert_eq!(Decision::parse(approved, 0, "A1B2C3"), Ok(Decision::Approved("A1B2C3".parse().unwrap())));
        assert_eq!(Decision::parse(declined, lost, ""), Ok(Decision::Declined(DeclineReason::LostCard)));
        for (decision, reason, code, path) in [
            (0, 0, "", "decision"),
            (7, 0, "", "decision"),
            (approved, 0, "", "approval_code"),
            (approved, 0, "a1b2c3", "approval_code"),
            (approved, lost, "A1B2C3", "decline_reason"),
            (declined, 0, "", "decline_reason"),
            (declined, 9999, "", "decline_reason"),
            (declined, lost, "A1B2C3", "approval_code"),
        ] {
            assert_eq!(Decision::parse(decision, reason, code).unwrap_err().violations[0].path, path);
        }
    }

    #[test]
    fn every_reason_survives_the_wire() {
        for reason in DeclineReason::ALL {
            assert_eq!(DeclineReason::parse(reason.to_pb().into()), Ok(Some(*reason)));
        }
    }
}
