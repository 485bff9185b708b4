//! What was decided, and on what.

use proto::authorization::{Decision, DeclineReason};

use crate::cast::cast;

/// What was decided. An approval carries the network's code, here the number of the authorization that
/// it was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Approved, with the code of this authorization.
    Approved(u8),
    /// Declined.
    Declined(DeclineReason),
}

impl Verdict {
    /// The verdict of a decision.
    #[must_use]
    pub fn of(decision: Decision) -> Self {
        match decision {
            Decision::Approved(code) => {
                let number = cast().codes.iter().position(|known| *known == code).unwrap_or(usize::from(u8::MAX));
                Self::Approved(u8::try_from(number).unwrap_or(u8::MAX))
            }
            Decision::Declined(reason) => Self::Declined(reason),
        }
    }

    /// The decision.
    #[must_use]
    pub fn decision(self) -> Decision {
        match self {
            Self::Approved(number) => Decision::Approved(cast().codes[usize::from(number)]),
            Self::Declined(reason) => Decision::Declined(reason),
        }
    }

    /// Whether it is an approval.
    #[must_use]
    pub const fn is_approved(self) -> bool {
        matches!(self, Self::Approved(_))
    }
}

/// An authorization and the verdict on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decided {
    /// The authorization.
    pub authorization: u8,
    /// The verdict.
    pub verdict: Verdict,
}
