//! The checks of an authorization request and of a question about one, in their order.
//!
//! [`admit`] says who may speak here at all: what it refuses is an error, nothing is recorded, and the
//! outcome stays open. Behind it every answer is a signed result: [`judge_order`] and [`judge_card`]
//! give the reasons to decline.

use std::time::{Duration, SystemTime};

use proto::{
    authorization::DeclineReason,
    card::CardData,
    ids::{AcquirerId, IssuerId},
    money::Money,
    order::SignedOrder,
    time::CLOCK_SKEW_MAX,
};

use super::order::State;

/// How long results are kept beyond their orders unless configured: longer than any charge stays open at an
/// issuer, so that no question about one ever comes too late.
pub const RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Who is on the line, by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An issuer, which speaks for itself alone.
    Issuer(IssuerId),
    /// A platform, which relays for issuers.
    Platform,
}

/// What the directory says of the issuer in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no such issuer.
    Unknown,
    /// It takes part.
    Active,
    /// It starts nothing new.
    Suspended,
    /// It has left.
    Removed,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A new authorization.
    Authorize,
    /// Certainty about one, which is never withheld from a member.
    Resolve,
}

/// What a request or question claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// What is asked for.
    pub purpose: Purpose,
    /// Whether the relay's view agrees with what is signed.
    pub route_agrees: bool,
    /// The issuer that signed.
    pub issuer: &'a IssuerId,
    /// The acquirer that is asked.
    pub acquirer: &'a AcquirerId,
    /// When this message was signed.
    pub signed_at: SystemTime,
    /// When the authorization request was signed; the same for the request itself.
    pub request_signed_at: SystemTime,
}

/// Why a caller is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Outside and inside differ.
    #[error("the route differs from what is signed")]
    RouteMismatch,
    /// Another acquirer is asked.
    #[error("the request is for another acquirer")]
    AcquirerMismatch,
    /// The caller may not speak for this issuer.
    #[error("the caller is not the request's issuer")]
    IssuerMismatch,
    /// The directory has no such issuer.
    #[error("the issuer is not in the bank directory")]
    MemberUnknown,
    /// The issuer may start nothing new.
    #[error("the issuer is suspended")]
    MemberSuspended,
    /// The signature does not count.
    #[error("the issuer's signature is not right")]
    SignatureInvalid,
    /// The signature is dated ahead.
    #[error("the request is signed more than 60 seconds ahead")]
    SignedAhead,
    /// The request is older than anything that is kept.
    #[error("the request was signed before the retention horizon")]
    OutsideRetention,
    /// The id stands for another request.
    #[error("the authorization id was used for another request")]
    AuthorizationIdReused,
}

/// Judges who speaks. `signature_counts` is asked only where everything before it holds, because it is the
/// expensive check.
///
/// # Errors
/// The first [`Refusal`] in the order of its variants.
pub fn admit(
    claim: &Claim<'_>,
    own: &AcquirerId,
    caller: &Caller,
    standing: Standing,
    signature_counts: impl FnOnce() -> bool,
    now: SystemTime,
) -> Result<(), Refusal> {
    if !claim.route_agrees {
        return Err(Refusal::RouteMismatch);
    }
    if claim.acquirer != own {
        return Err(Refusal::AcquirerMismatch);
    }
    match caller {
        Caller::Issuer(id) if id != claim.issuer => return Err(Refusal::IssuerMismatch),
        Caller::Issuer(_) | Caller::Platform => {}
    }
    match (standing, claim.purpose) {
        (Standing::Unknown, Purpose::Authorize | Purpose::Resolve) | (Standing::Removed, Purpose::Authorize) => {
            return Err(Refusal::MemberUnknown);
        }
        (Standing::Suspended, Purpose::Authorize) => return Err(Refusal::MemberSuspended),
        (Standing::Active, Purpose::Authorize | Purpose::Resolve)
        | (Standing::Suspended | Standing::Removed, Purpose::Resolve) => {}
    }
    if !signature_counts() {
        return Err(Refusal::SignatureInvalid);
    }
    let ahead = now + CLOCK_SKEW_MAX;
    if claim.signed_at > ahead || claim.request_signed_at > ahead {
        return Err(Refusal::SignedAhead);
    }
    Ok(())
}

/// Whether it can be said of a request that is not on record that it never was.
///
/// # Errors
/// [`Refusal::OutsideRetention`] for one that was signed before the horizon: its result may have been removed,
/// and a second one might contradict it.
pub fn within_reach(request_signed_at: SystemTime, horizon: SystemTime) -> Result<(), Refusal> {
    if request_signed_at < horizon { Err(Refusal::OutsideRetention) } else { Ok(()) }
}

/// What the order has to say to a new authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderFinding {
    /// It can be paid with this request, as far as the order is concerned.
    Payable,
    /// Its deadline has passed: it expires now, and then refuses.
    Lapsed,
    /// Where it stands is the reason to decline; its shop is told, nothing is counted.
    Refused(DeclineReason),
    /// The request is wrong; a counted decline.
    Declined(DeclineReason),
    /// The order is none that this acquirer keeps: a decline of which no shop is told.
    NotOurs(DeclineReason),
}

/// Judges a request by its order. `kept` is the order of that id as the acquirer keeps it.
#[must_use]
pub fn judge_order(
    kept: Option<(&SignedOrder, &State)>,
    presented: &SignedOrder,
    amount: Money,
    now: SystemTime,
) -> OrderFinding {
    let Some((signed, state)) = kept else { return OrderFinding::NotOurs(DeclineReason::OrderUnknown) };
    if signed.signed != presented.signed {
        return OrderFinding::NotOurs(DeclineReason::OrderAltered);
    }
    match state {
        State::Open(_) if state.has_lapsed(now) => OrderFinding::Lapsed,
        State::Open(_) if amount != signed.order.amount => OrderFinding::Declined(DeclineReason::AmountMismatch),
        State::Open(_) => OrderFinding::Payable,
        State::Authorizing(..) => OrderFinding::Refused(DeclineReason::OrderBusy),
        State::Approved(_) => OrderFinding::Refused(DeclineReason::OrderAlreadyApproved),
        State::Expired(_) => OrderFinding::Refused(DeclineReason::OrderExpired),
        State::Failed(_) => OrderFinding::Refused(DeclineReason::OrderFailed),
        State::Cancelled(_) => OrderFinding::Refused(DeclineReason::OrderCancelled),
    }
}

/// Judges an opened card. `bin_is_issuers` says whether its BIN belongs to the issuer that asks.
///
/// # Errors
/// The reason to decline.
pub fn judge_card(card: &CardData, bin_is_issuers: bool, now: SystemTime) -> Result<(), DeclineReason> {
    if card.expiry.is_over(now) {
        return Err(DeclineReason::CardExpired);
    }
    if !bin_is_issuers {
        return Err(DeclineReason::BinNotOfIssuer);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
