//! One authorization request: it arrives once, and it has one result for ever.

use std::{fmt, str::FromStr, time::SystemTime};

use proto::{
    event::Outcome,
    ids::{AuthorizationId, IssuerId},
    signed::Signed,
};

/// What names an authorization: its id is unique at its issuer alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    /// The issuer that asks.
    pub issuer: IssuerId,
    /// The issuer's id.
    pub authorization: AuthorizationId,
}

impl AttemptId {
    /// Whether an outcome is this authorization's.
    #[must_use]
    pub fn is_of(&self, outcome: &Outcome) -> bool {
        self.issuer == outcome.issuer && self.authorization == outcome.authorization
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.issuer, self.authorization)
    }
}

/// A text that names no authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an issuer's id, \"/\" and an authorization id")]
pub struct NotAnAttemptId;

impl FromStr for AttemptId {
    type Err = NotAnAttemptId;

    fn from_str(text: &str) -> Result<Self, NotAnAttemptId> {
        let (issuer, authorization) = text.split_once('/').ok_or(NotAnAttemptId)?;
        Ok(Self {
            issuer: issuer.parse().map_err(|_| NotAnAttemptId)?,
            authorization: authorization.parse().map_err(|_| NotAnAttemptId)?,
        })
    }
}

/// Where an authorization stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The card network is being asked, or was when the process ended. Leads to `Decided`.
    Deciding {
        /// Since when.
        since: SystemTime,
        /// When the card network's time is over.
        deadline: SystemTime,
    },
    /// The signed result, which never changes. Final.
    Decided(Signed),
}

/// The result exists already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authorization is decided")]
pub struct Decided(pub Signed);

impl State {
    /// Takes the result.
    ///
    /// # Errors
    /// [`Decided`], with the result that exists.
    pub fn decide(self, result: Signed) -> Result<Self, Decided> {
        match self {
            Self::Deciding { .. } => Ok(Self::Decided(result)),
            Self::Decided(earlier) => Err(Decided(earlier)),
        }
    }

    /// The result, if there is one.
    #[must_use]
    pub const fn result(&self) -> Option<&Signed> {
        match self {
            Self::Deciding { .. } => None,
            Self::Decided(result) => Some(result),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::UNIX_EPOCH;

    use bytes::Bytes;

    use super::*;

    fn signed(body: &'static [u8]) -> Signed {
        Signed { body: Bytes::from_static(body), key_id: "0".repeat(32).parse().unwrap(), signature: [1; 64] }
    }

    #[test]
    fn the_first_result_stays() {
        let deciding = State::Deciding { since: UNIX_EPOCH, deadline: UNIX_EPOCH };
        assert_eq!(deciding.result(), None);
        let decided = deciding.decide(signed(b"first")).unwrap();
        assert_eq!(decided.result(), Some(&signed(b"first")));
        assert_eq!(decided.decide(signed(b"second")), Err(Decided(signed(b"first"))));
    }

    #[test]
    fn the_name_is_read_back() {
        let id = AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "bank-a", "bank-a/x", "/aut_aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(bad.parse::<AttemptId>(), Err(NotAnAttemptId), "{bad}");
        }
    }
}
