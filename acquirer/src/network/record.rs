//! What the simulated network remembers of an authorization. No card data is among it: the decision
//! stands for the card.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesh::store::{Kind, RecordId};
use prost::Message;
use proto::{
    authorization::{Decision, DeclineReason},
    money::Money,
    pb, time,
};

use super::{Inquiry, NetworkDecision, NetworkId, Sale};

/// The kind of the network's records, one per authorization.
pub(super) const KIND: Kind = Kind::new("network");

/// The reason of a reversed authorization. A network gives no better one.
const REVERSED: DeclineReason = DeclineReason::DoNotHonor;

/// An authorization as the network knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Decided. The decision is told from `tell_at` on; never, where there is no such time. Leads to
    /// `Reversed`.
    Decided {
        /// What was decided.
        decision: NetworkDecision,
        /// From when on the network says so.
        tell_at: Option<SystemTime>,
    },
    /// Cancelled, or forbidden before it was ever seen. Final.
    Reversed,
}

/// A record: the state, and what the authorization was for. A reversal of an authorization that was
/// never seen knows nothing of the latter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) asked: Option<Sale>,
    pub(super) state: State,
}

/// Stored bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network's record is damaged: {0}")]
pub(super) struct Damaged(&'static str);

pub(super) fn record_id(id: &NetworkId) -> RecordId {
    RecordId::new(KIND, id.to_string())
}

impl State {
    /// Whether the card is not charged and never will be, so that there is nothing to reverse.
    pub(super) fn is_no_approval(self) -> bool {
        match self {
            Self::Decided { decision: NetworkDecision::Approved(_), tell_at: _ } => false,
            Self::Decided { decision: NetworkDecision::Declined(_), tell_at: _ } | Self::Reversed => true,
        }
    }

    /// What an inquiry says at this time.
    pub(super) fn told_at(self, now: SystemTime) -> Inquiry {
        match self {
            Self::Decided { decision, tell_at: Some(at) } if at <= now => match decision {
                NetworkDecision::Approved(code) => Inquiry::Approved(code),
                NetworkDecision::Declined(reason) => Inquiry::Declined(reason),
            },
            Self::Decided { decision: _, tell_at: Some(_) | None } => Inquiry::Unknown,
            Self::Reversed => Inquiry::Declined(REVERSED),
        }
    }
}

impl Entry {
    /// Whether it may be about this sale. One that nothing but a reversal made is about any.
    pub(super) fn is_about(&self, sale: &Sale) -> bool {
        self.asked.as_ref().is_none_or(|asked| asked == sale)
    }

    pub(super) fn encode(&self) -> Bytes {
        let state = match self.state {
            State::Decided { decision, tell_at } => {
                let decision = match decision {
                    NetworkDecision::Approved(code) => Decision::Approved(code),
                    NetworkDecision::Declined(reason) => Decision::Declined(reason),
                };
                let (decision, decline_reason, approval_code) = decision.to_pb();
                stored::State::Decided(stored::Decided {
                    decision: decision.into(),
                    decline_reason: decline_reason.into(),
                    approval_code,
                    tell_at_ms: tell_at.map(time::unix_millis),
                })
            }
            State::Reversed => stored::State::Reversed(stored::Reversed {}),
        };
        let asked = self
            .asked
            .as_ref()
            .map(|asked| stored::Asked { amount: Some(asked.amount.to_pb()), merchant_id: asked.merchant.to_string() });
        stored::Entry { asked, state: Some(state) }.encode_to_vec().into()
    }

    pub(super) fn decode(body: Bytes) -> Result<Self, Damaged> {
        let stored = stored::Entry::decode(body).map_err(|_| Damaged("not a message"))?;
        let asked = stored.asked.map(stored::Asked::parse).transpose()?;
        let state = match stored.state.ok_or(Damaged("state"))? {
            stored::State::Decided(decided) => decided.parse()?,
            stored::State::Reversed(stored::Reversed {}) => State::Reversed,
        };
        Ok(Self { asked, state })
    }
}

impl stored::Asked {
    fn parse(self) -> Result<Sale, Damaged> {
        let amount: pb::Money = self.amount.ok_or(Damaged("amount"))?;
        Ok(Sale {
            amount: Money::parse(amount).map_err(|_| Damaged("amount"))?,
            merchant: self.merchant_id.parse().map_err(|_| Damaged("merchant_id"))?,
        })
    }
}

impl stored::Decided {
    fn parse(self) -> Result<State, Damaged> {
        let decision = Decision::parse(self.decision, self.decline_reason, &self.approval_code)
            .map_err(|_| Damaged("decision"))?;
        let decision = match decision {
            Decision::Approved(code) => NetworkDecision::Approved(code),
            Decision::Declined(reason) => NetworkDecision::Declined(reason),
        };
        let tell_at = self.tell_at_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
        Ok(State::Decided { decision, tell_at })
    }
}

/// The bytes of the store. A tag is never used for anything else.
mod stored {
    use proto::pb;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(super) asked: Option<Asked>,
        #[prost(oneof = "State", tags = "2, 3")]
        pub(super) state: Option<State>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Asked {
        #[prost(message, optional, tag = "1")]
        pub(super) amount: Option<pb::Money>,
        #[prost(string, tag = "2")]
        pub(super) merchant_id: String,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum State {
        #[prost(message, tag = "2")]
        Decided(Decided),
        #[prost(message, tag = "3")]
        Reversed(Reversed),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Decided {
        #[prost(int32, tag = "1")]
        pub(super) decision: i32,
        #[prost(int32, tag = "2")]
        pub(super) decline_reason: i32,
        #[prost(string, tag = "3")]
        pub(super) approval_code: String,
        #[prost(uint64, optional, tag = "4")]
        pub(super) tell_at_ms: Option<u64>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Reversed {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asked() -> Sale {
        Sale { amount: Money::new("TWD".parse().unwrap(), 129_900).unwrap(), merchant: "shop-lantern".parse().unwrap() }
    }

    #[test]
    fn every_entry_survives_the_store() {
        let approved = NetworkDecision::Approved("A1B2C3".parse().unwrap());
        let declined = NetworkDecision::Declined(DeclineReason::LostCard);
        let at = UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        for state in [
            State::Decided { decision: approved, tell_at: Some(at) },
            State::Decided { decision: approved, tell_at: None },
            State::Decided { decision: declined, tell_at: Some(at) },
            State::Reversed,
        ] {
            for asked in [None, Some(asked())] {
                let entry = Entry { asked, state };
                assert_eq!(Entry::decode(entry.encode()), Ok(entry));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_and_not_guessed_at() {
        assert_eq!(Entry::decode(Bytes::new()), Err(Damaged("state")));
        assert_eq!(Entry::decode(Bytes::from_static(&[0xff])), Err(Damaged("not a message")));
    }

    #[test]
    fn a_decision_is_told_from_its_time_on() {
        let decision = NetworkDecision::Declined(DeclineReason::LostCard);
        let at = UNIX_EPOCH + Duration::from_secs(8);
        let state = State::Decided { decision, tell_at: Some(at) };
        assert_eq!(state.told_at(at - Duration::from_millis(1)), Inquiry::Unknown);
        assert_eq!(state.told_at(at), Inquiry::Declined(DeclineReason::LostCard));
        let never = State::Decided { decision, tell_at: None };
        assert_eq!(never.told_at(at + Duration::from_secs(1_000_000)), Inquiry::Unknown);
    }
}
