//! The authorization request, its route, the question about it, and its result.

use std::time::SystemTime;

use bytes::Bytes;

use crate::{
    confirmation::DeviceConfirmation,
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{AcquirerId, AuthorizationId, IssuerId},
    money::Money,
    order::SignedOrder,
    pb, require,
    signed::Signed,
    time,
};

mod question;
mod result;

pub use question::Question;
pub use result::{ApprovalCode, AuthorizationResult, Decision, DeclineReason, NotAnApprovalCode};

/// The largest signed authorization request.
pub const SIGNED_REQUEST_BYTES_MAX: usize = 3 * 1024;
/// The largest signed authorization result, question or order event; each holds ids, digests and a few numbers.
pub const SIGNED_NOTE_BYTES_MAX: usize = 1024;
/// The largest sealed card: the encapsulated key, the longest card data and the tag need under 128 bytes.
const SEALED_CARD_BYTES_MAX: usize = 256;
/// The largest ticket.
pub const TICKET_BYTES_MAX: usize = 512;

/// A factor that the cardholder proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Factor {
    /// National id, user code and password.
    Knowledge,
    /// Biometric features.
    Inherence,
    /// A bound device.
    Possession,
    /// A passkey.
    Passkey,
}

impl Factor {
    /// The factor as a message's number.
    #[must_use]
    pub const fn to_pb(self) -> pb::AuthenticationFactor {
        match self {
            Self::Knowledge => pb::AuthenticationFactor::Knowledge,
            Self::Inherence => pb::AuthenticationFactor::Inherence,
            Self::Possession => pb::AuthenticationFactor::Possession,
            Self::Passkey => pb::AuthenticationFactor::Passkey,
        }
    }

    /// The factor's name as it travels in texts, for example `KNOWLEDGE`.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        let name = self.to_pb().as_str_name();
        name.strip_prefix("AUTHENTICATION_FACTOR_").unwrap_or(name)
    }

    /// The factor with this number in a message; none for a number that is not one.
    #[must_use]
    pub fn parse(number: i32) -> Option<Self> {
        match pb::AuthenticationFactor::try_from(number).ok()? {
            pb::AuthenticationFactor::Unspecified => None,
            pb::AuthenticationFactor::Knowledge => Some(Self::Knowledge),
            pb::AuthenticationFactor::Inherence => Some(Self::Inherence),
            pb::AuthenticationFactor::Possession => Some(Self::Possession),
            pb::AuthenticationFactor::Passkey => Some(Self::Passkey),
        }
    }
}

/// How many of the three kinds (what the customer knows, is and has) these factors prove for certain.
///
/// A passkey proves that the customer has the authenticator, and by its user verification a second kind,
/// of which nobody is told whether it was a fingerprint or a PIN. It is therefore two kinds by itself,
/// and beside a password still two, because its second kind may have been knowledge, too.
#[must_use]
pub fn kinds(factors: &[Factor]) -> usize {
    let has = |factor| factors.contains(&factor);
    let certain = [has(Factor::Knowledge), has(Factor::Inherence), has(Factor::Possession) || has(Factor::Passkey)];
    let certain = certain.into_iter().filter(|proved| *proved).count();
    if has(Factor::Passkey) { certain.max(2) } else { certain }
}

/// What a relay may know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The issuer that asks.
    pub issuer: IssuerId,
    /// The acquirer to forward to.
    pub acquirer: AcquirerId,
    /// The authorization.
    pub authorization: AuthorizationId,
    /// The order.
    pub order_digest: Digest,
    /// The amount.
    pub amount: Money,
    /// The platform's ticket; empty in direct mode.
    pub ticket: Bytes,
}

impl Route {
    /// A received route.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::AuthorizationRoute) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let authorization = fields.text("authorization_id", &pb.authorization_id);
        let order_digest = fields.bytes("order_digest", &pb.order_digest).map(Digest::from_bytes);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        fields.check("ticket", pb.ticket.len() <= TICKET_BYTES_MAX, "must be at most 512 bytes");
        require!(fields; issuer, acquirer, authorization, order_digest, amount);
        Ok(Self { issuer, acquirer, authorization, order_digest, amount, ticket: pb.ticket })
    }

    /// The route as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::AuthorizationRoute {
        pb::AuthorizationRoute {
            issuer_id: self.issuer.to_string(),
            acquirer_id: self.acquirer.to_string(),
            authorization_id: self.authorization.to_string(),
            order_digest: self.order_digest.to_bytes(),
            amount: Some(self.amount.to_pb()),
            ticket: self.ticket.clone(),
        }
    }
}

/// An authorization request, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Made by the issuer, unique there for ever.
    pub id: AuthorizationId,
    /// The issuer that asks.
    pub issuer: IssuerId,
    /// The acquirer that is asked.
    pub acquirer: AcquirerId,
    /// The order, as the acquirer signed it; not verified by parsing.
    pub order: SignedOrder,
    /// What is to be authorized.
    pub amount: Money,
    /// The card, sealed to the order's key.
    pub sealed_card: Bytes,
    /// When the issuer signed.
    pub signed_at: SystemTime,
    /// What the cardholder proved.
    pub factors: Vec<Factor>,
    /// The cardholder's signed consent, if there is one.
    pub consent_digest: Option<Digest>,
    /// That the payment comes from the device that opened the payment page; not verified by parsing.
    pub device_confirmation: Option<DeviceConfirmation>,
}

impl Request {
    /// A decoded request.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::AuthorizationRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let id = fields.text("authorization_id", &pb.authorization_id);
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let order = fields.message("order", pb.order, SignedOrder::parse);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let card_fits = (1..=SEALED_CARD_BYTES_MAX).contains(&pb.sealed_card.len());
        fields.check("sealed_card", card_fits, "must be 1 to 256 bytes");
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        let factors: Option<Vec<Factor>> = pb.factors.iter().map(|number| Factor::parse(*number)).collect();
        let factors = factors.filter(|list| list.len() <= 4);
        fields.check("factors", factors.is_some(), "must be at most four known factors");
        let consent_digest = match pb.consent_digest.len() {
            0 => Some(None),
            _ => fields.bytes("consent_digest", &pb.consent_digest).map(|bytes| Some(Digest::from_bytes(bytes))),
        };
        let device_confirmation = DeviceConfirmation::parse_optional(&mut fields, pb.device_confirmation);
        require!(fields; id, issuer, acquirer, order, amount, signed_at, factors, consent_digest, device_confirmation);
        Ok(Self {
            id,
            issuer,
            acquirer,
            order,
            amount,
            sealed_card: pb.sealed_card,
            signed_at,
            factors,
            consent_digest,
            device_confirmation,
        })
    }

    /// The request as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::AuthorizationRequest {
        pb::AuthorizationRequest {
            authorization_id: self.id.to_string(),
            issuer_id: self.issuer.to_string(),
            acquirer_id: self.acquirer.to_string(),
            order: Some(self.order.signed.to_pb()),
            amount: Some(self.amount.to_pb()),
            sealed_card: self.sealed_card.clone(),
            signed_at: Some(time::to_pb(self.signed_at)),
            factors: self.factors.iter().map(|factor| factor.to_pb().into()).collect(),
            consent_digest: self.consent_digest.map(|digest| digest.to_bytes()).unwrap_or_default(),
            device_confirmation: self.device_confirmation.as_ref().map(DeviceConfirmation::to_pb),
        }
    }

    /// Whether a route says the same as this request.
    #[must_use]
    pub fn agrees_with(&self, route: &Route) -> bool {
        self.issuer == route.issuer
            && self.acquirer == route.acquirer
            && self.id == route.authorization
            && self.order.digest == route.order_digest
            && self.amount == route.amount
    }
}

/// The info of the card's HPKE seal.
pub const SEALED_CARD_INFO: &[u8] = b"bankside.v1/CardData";

/// The associated data of the card's HPKE seal, which ties the card to one order and one authorization.
#[must_use]
pub fn sealed_card_aad(order_digest: &Digest, authorization: &AuthorizationId) -> Vec<u8> {
    [order_digest.as_bytes().as_slice(), authorization.as_str().as_bytes()].concat()
}
/// Signed bytes as they came, with what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<T> {
    /// The bytes that were signed.
    pub signed: Signed,
    /// What they say; not verified by parsing.
    pub says: T,
}

impl Carried<Request> {
    /// A signed request as it arrived.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_REQUEST_BYTES_MAX)?;
        let says = Request::parse(signed.decode()?).map_err(|invalid| invalid.under("body"))?;
        Ok(Self { signed, says })
    }
}

impl Carried<Question> {
    /// A signed question as it arrived.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_NOTE_BYTES_MAX)?;
        let says = Question::parse(signed.decode()?).map_err(|invalid| invalid.under("body"))?;
        Ok(Self { signed, says })
    }
}

impl Carried<AuthorizationResult> {
    /// A signed result as it arrived.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_NOTE_BYTES_MAX)?;
        let says = AuthorizationResult::parse(signed.decode()?).map_err(|invalid| invalid.under("body"))?;
        Ok(Self { signed, says })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_for_certain() {
        use Factor::{Inherence, Knowledge, Passkey, Possession};
        let table: [(&[Factor], usize); 10] = [
            (&[], 0),
            (&[Knowledge], 1),
            (&[Possession], 1),
            (&[Passkey], 2),
            (&[Knowledge, Possession], 2),
            (&[Inherence, Possession], 2),
            (&[Passkey, Possession], 2),
            (&[Passkey, Knowledge], 2),
            (&[Passkey, Knowledge, Inherence], 3),
            (&[Knowledge, Inherence, Possession], 3),
        ];
        for (factors, count) in table {
            assert_eq!(kinds(factors), count, "{factors:?}");
        }
    }
}
