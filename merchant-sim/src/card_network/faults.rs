//! What the network does wrong, on command.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::authorization::DeclineReason;
use proto::fields::{Fields, Invalid};
use proto::ids::AuthorizationId;
use proto::pb::{self, card_network_fault};
use proto::{require, time};

/// How many faults may be in force.
const FAULTS_MAX: usize = 100;

/// A call of the contract that can go wrong.
pub(super) use pb::CardNetworkCall as Call;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It arrives this much later.
    ArrivesAfter(Duration),
    /// A new authorization is decided this much later.
    DecidesAfter(Duration),
    /// Its answer leaves this much later.
    AnswersAfter(Duration),
    /// A new authorization is declined.
    Declines(DeclineReason),
    /// It never arrives.
    Lost,
    /// It is worked on, and never answered.
    Silent,
    /// It is refused.
    Unavailable,
    /// It is worked on twice and answered twice.
    Twice,
    /// The process dies before the work.
    DiesBefore,
    /// The process dies after the work.
    DiesAfter,
}

/// A fault: which calls it fits, how many, and what it does to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    calls: Vec<Call>,
    authorization: Option<AuthorizationId>,
    amount: Option<i64>,
    /// How many calls it still fits; none for no end.
    left: Option<u32>,
    what: What,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Replaces all of them.
    pub(super) fn set(&self, faults: Vec<Fault>) {
        *self.faults() = faults;
    }

    /// Those that are not used up.
    pub(super) fn in_force(&self) -> Vec<Fault> {
        self.faults().clone()
    }

    /// What happens to this call; the fault is used up by one.
    pub(super) fn meet(&self, call: Call, authorization: &AuthorizationId, amount: Option<i64>) -> Option<What> {
        let mut faults = self.faults();
        let place = faults.iter().position(|fault| fault.fits(call, authorization, amount))?;
        let fault = faults.get_mut(place)?;
        let what = fault.what;
        if let Some(left) = &mut fault.left {
            *left -= 1;
            if *left == 0 {
                faults.remove(place);
            }
        }
        Some(what)
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        // The list is whole between any two calls, and nothing panics in one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn fits(&self, call: Call, authorization: &AuthorizationId, amount: Option<i64>) -> bool {
        (self.calls.is_empty() || self.calls.contains(&call))
            && self.authorization.as_ref().is_none_or(|own| own == authorization)
            && self.amount.is_none_or(|own| amount == Some(own))
    }

    /// Received faults.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub(super) fn parse_all(faults: Vec<pb::CardNetworkFault>) -> Result<Vec<Self>, Invalid> {
        let mut fields = Fields::new();
        fields.check("faults", faults.len() <= FAULTS_MAX, "must be at most 100");
        let faults = faults.into_iter().take(FAULTS_MAX).enumerate();
        let faults: Option<Vec<Self>> =
            faults.map(|(place, fault)| fields.nested(&format!("faults[{place}]"), Self::parse(fault))).collect();
        require!(fields; faults);
        Ok(faults)
    }

    fn parse(pb: pb::CardNetworkFault) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let calls: Vec<Call> = pb.calls().filter(|call| *call != Call::Unspecified).collect();
        fields.check("calls", calls.len() == pb.calls.len(), "must be known calls");
        let authorization = match pb.authorization_id.as_str() {
            "" => Some(None),
            text => fields.text("authorization_id", text).map(Some),
        };
        fields.check("amount_minor_units", pb.amount_minor_units >= 0, "must not be negative");
        let what = match pb.what {
            Some(what) => fields.nested("", What::parse(what)),
            None => {
                fields.wrong("what", "must be set");
                None
            }
        };
        require!(fields; authorization, what);
        let (amount, left) = (pb.amount_minor_units, pb.times);
        Ok(Self {
            calls,
            authorization,
            amount: (amount > 0).then_some(amount),
            left: (left > 0).then_some(left),
            what,
        })
    }

    pub(super) fn to_pb(&self) -> pb::CardNetworkFault {
        pb::CardNetworkFault {
            calls: self.calls.iter().map(|call| (*call).into()).collect(),
            authorization_id: self.authorization.as_ref().map(ToString::to_string).unwrap_or_default(),
            amount_minor_units: self.amount.unwrap_or_default(),
            times: self.left.unwrap_or_default(),
            what: Some(self.what.to_pb()),
        }
    }
}

impl What {
    fn parse(what: card_network_fault::What) -> Result<Self, Invalid> {
        use card_network_fault::What as Pb;
        use pb::CardNetworkFailure as Failure;

        let nowhere = |field: &str| Invalid::field(field, "must be a known one");
        Ok(match what {
            Pb::ArrivesAfter(after) => Self::ArrivesAfter(time::parse_duration(after)?),
            Pb::DecidesAfter(after) => Self::DecidesAfter(time::parse_duration(after)?),
            Pb::AnswersAfter(after) => Self::AnswersAfter(time::parse_duration(after)?),
            Pb::Declines(reason) => Self::Declines(DeclineReason::parse(reason)?.ok_or_else(|| nowhere("declines"))?),
            Pb::Failure(failure) => match Failure::try_from(failure).map_err(|_| nowhere("failure"))? {
                Failure::Unspecified => return Err(nowhere("failure")),
                Failure::Lost => Self::Lost,
                Failure::Silent => Self::Silent,
                Failure::Unavailable => Self::Unavailable,
                Failure::Twice => Self::Twice,
                Failure::DiesBefore => Self::DiesBefore,
                Failure::DiesAfter => Self::DiesAfter,
            },
        })
    }

    fn to_pb(self) -> card_network_fault::What {
        use card_network_fault::What as Pb;
        use pb::CardNetworkFailure as Failure;

        match self {
            Self::ArrivesAfter(after) => Pb::ArrivesAfter(time::duration_to_pb(after)),
            Self::DecidesAfter(after) => Pb::DecidesAfter(time::duration_to_pb(after)),
            Self::AnswersAfter(after) => Pb::AnswersAfter(time::duration_to_pb(after)),
            Self::Declines(reason) => Pb::Declines(reason.to_pb().into()),
            Self::Lost => Pb::Failure(Failure::Lost.into()),
            Self::Silent => Pb::Failure(Failure::Silent.into()),
            Self::Unavailable => Pb::Failure(Failure::Unavailable.into()),
            Self::Twice => Pb::Failure(Failure::Twice.into()),
            Self::DiesBefore => Pb::Failure(Failure::DiesBefore.into()),
            Self::DiesAfter => Pb::Failure(Failure::DiesAfter.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fault(what: What) -> Fault {
        Fault { calls: Vec::new(), authorization: None, amount: None, left: None, what }
    }

    #[test]
    fn the_first_that_fits_decides_and_is_used_up() {
        let (one, two) = (AuthorizationId::from_random([1; 16]), AuthorizationId::from_random([2; 16]));
        let faults = Faults::default();
        assert_eq!(faults.meet(Call::Inquire, &one, None), None);
        faults.set(vec![
            Fault { authorization: Some(one.clone()), left: Some(1), ..fault(What::Lost) },
            Fault { amount: Some(500), ..fault(What::Twice) },
            Fault { calls: vec![Call::Reverse], ..fault(What::Silent) },
        ]);
        assert_eq!(faults.meet(Call::Authorize, &one, Some(500)), Some(What::Lost));
        assert_eq!(faults.meet(Call::Authorize, &one, Some(500)), Some(What::Twice), "the first is used up");
        assert_eq!(faults.meet(Call::Authorize, &two, Some(501)), None);
        assert_eq!(faults.meet(Call::Reverse, &two, None), Some(What::Silent));
        assert_eq!(faults.in_force().len(), 2);
    }

    #[test]
    fn every_fault_survives_the_wire() {
        let second = Duration::from_secs(1);
        for what in [
            What::ArrivesAfter(second),
            What::DecidesAfter(second),
            What::AnswersAfter(second),
            What::Declines(DeclineReason::LostCard),
            What::Lost,
            What::Silent,
            What::Unavailable,
            What::Twice,
            What::DiesBefore,
            What::DiesAfter,
        ] {
            let whole = Fault {
                calls: vec![Call::Authorize, Call::Reverse],
                authorization: Some(AuthorizationId::from_random([3; 16])),
                amount: Some(7),
                left: Some(2),
                what,
            };
            for fault in [fault(what), whole] {
                assert_eq!(Fault::parse_all(vec![fault.to_pb()]), Ok(vec![fault]));
            }
        }
        let wrong = pb::CardNetworkFault { calls: vec![77], amount_minor_units: -1, ..Default::default() };
        let paths = Fault::parse_all(vec![wrong]).unwrap_err().violations.into_iter().map(|wrong| wrong.path);
        let expected = ["faults[0].calls", "faults[0].amount_minor_units", "faults[0].what"];
        assert_eq!(paths.collect::<Vec<_>>(), expected);
    }
}
