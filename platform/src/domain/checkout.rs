//! The rules of a checkout: which banks can be picked, and until when what counts.

use std::time::{Duration, SystemTime};

use mesh::directory::Member;
use proto::{
    directory::{MemberRole, MemberStatus},
    order::Order,
    pb,
    time::CLOCK_SKEW_MAX,
};

/// How many codes of one checkout count at one time. Picking again keeps the earlier codes, because
/// their apps may be open already; a shopper who picks still more often loses the oldest.
pub const CODES_MAX: usize = 8;

/// Whether a bank's servers answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Nobody has asked yet. It counts as answering: a platform that has just started would offer
    /// nobody otherwise.
    #[default]
    Unknown,
    /// They answer.
    Healthy,
    /// They don't.
    Unreachable,
}

impl Health {
    /// The health as a message's number.
    #[must_use]
    pub const fn to_pb(self) -> pb::BankHealth {
        match self {
            Self::Unknown => pb::BankHealth::Unspecified,
            Self::Healthy => pb::BankHealth::Healthy,
            Self::Unreachable => pb::BankHealth::Unreachable,
        }
    }
}

/// Whether a bank can be picked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Available,
    /// The operator has suspended it.
    Suspended,
    /// Its servers don't answer.
    Unreachable,
}

impl Availability {
    /// Of a member; `None` where it is no bank that shoppers could ever pick: an acquirer, or an issuer
    /// that has left.
    #[must_use]
    pub fn of(member: &Member, health: Health) -> Option<Self> {
        let entry = member.entry();
        match (entry.role, entry.status, health) {
            (MemberRole::Acquirer, _, _) | (MemberRole::Issuer, MemberStatus::Removed, _) => None,
            (MemberRole::Issuer, MemberStatus::Suspended, _) => Some(Self::Suspended),
            (MemberRole::Issuer, MemberStatus::Active, Health::Unreachable) => Some(Self::Unreachable),
            (MemberRole::Issuer, MemberStatus::Active, Health::Unknown | Health::Healthy) => Some(Self::Available),
        }
    }

    /// Why it can't be picked, as a message's number.
    #[must_use]
    pub const fn to_pb(self) -> pb::BankUnavailableReason {
        match self {
            Self::Available => pb::BankUnavailableReason::Unspecified,
            Self::Suspended => pb::BankUnavailableReason::Suspended,
            Self::Unreachable => pb::BankUnavailableReason::Unreachable,
        }
    }
}

/// The last moment at which an order counts here. Only the acquirer's clock decides that an order has
/// expired, so that everybody else waits a little longer.
#[must_use]
pub fn order_end(order_expires_at: SystemTime) -> SystemTime {
    order_expires_at + CLOCK_SKEW_MAX
}

/// Whether an order has ended, by our clock.
#[must_use]
pub fn has_ended(order_expires_at: SystemTime, now: SystemTime) -> bool {
    now > order_end(order_expires_at)
}

/// Whether an order may have been made by now, by an honest clock.
#[must_use]
pub fn is_made(order: &Order, now: SystemTime) -> bool {
    order.created_at <= now + CLOCK_SKEW_MAX
}

/// Until when a code that is handed out now can be redeemed.
#[must_use]
pub fn code_end(order_expires_at: SystemTime, life: Duration, now: SystemTime) -> SystemTime {
    order_end(order_expires_at).min(now + life)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const AT: fn(u64) -> SystemTime = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);

    #[test]
    fn an_order_counts_a_minute_longer_than_at_its_acquirer() {
        assert!(!has_ended(AT(1_000), AT(1_060)));
        assert!(has_ended(AT(1_000), AT(1_061)));
    }

    #[test]
    fn a_code_never_outlives_its_order() {
        let life = Duration::from_secs(600);
        assert_eq!(code_end(AT(1_000), life, AT(100)), AT(700));
        assert_eq!(code_end(AT(1_000), life, AT(900)), AT(1_060));
    }
}
