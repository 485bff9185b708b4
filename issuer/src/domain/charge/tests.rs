//! Every state meets every event, and random lives keep the rules about holds.
#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use proto::money::Money;

use super::*;
use crate::domain::account::{Account, Funds};

const SCHEDULE: Schedule = Schedule {
    first: Duration::from_millis(200),
    max: Duration::from_secs(30),
    park_after: Duration::from_secs(86_400),
};

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis)
}

fn sent() -> Sent {
    Sent { request_digest: Digest::of(b"request"), signed_at: at(0) }
}

fn approve(code: &str) -> Event {
    Event::Decide(Decision::Approved(code.parse().unwrap()))
}

fn decline(reason: DeclineReason) -> Event {
    Event::Decide(Decision::Declined(reason))
}

fn asked() -> Event {
    Event::AskedInVain { wait_at_least: Duration::ZERO, jitter: u16::MAX }
}

fn states() -> [State; 7] {
    [
        State::Held,
        State::Sent(sent()),
        State::Unknown { sent: sent(), questions: 0, next: Inquiry::At(at(200)) },
        State::Unknown { sent: sent(), questions: 9, next: Inquiry::Parked },
        State::Approved { sent: sent(), code: "A1B2C3".parse().unwrap() },
        State::Declined { sent: sent(), reason: DeclineReason::DoNotHonor },
        State::Abandoned,
    ]
}

fn events() -> [Event; 8] {
    [
        Event::Send(sent()),
        Event::Abandon,
        Event::Lose,
        asked(),
        approve("A1B2C3"),
        decline(DeclineReason::DoNotHonor),
        decline(DeclineReason::LostCard),
        Event::Restart,
    ]
}

/// One letter for each outcome: the state that it leads to, or why it is rejected.
fn letter(outcome: Result<(State, Vec<Effect>), Rejected>) -> char {
    match outcome {
        Ok((State::Held, _)) => 'H',
        Ok((State::Sent(_), _)) => 'S',
        Ok((State::Unknown { .. }, _)) => 'U',
        Ok((State::Approved { .. }, _)) => 'A',
        Ok((State::Declined { .. }, _)) => 'D',
        Ok((State::Abandoned, _)) => 'X',
        Err(Rejected::OutOfTurn) => '-',
        Err(Rejected::AlreadySo) => '=',
        Err(Rejected::Contradiction) => '!',
    }
}

#[test]
fn every_state_meets_every_event() {
    // Columns: send, abandon, lose, asked in vain, approve, decline, decline otherwise, restart.
    let table = [
        "SX-----X", // held
        "--U-ADDU", // sent
        "---UADD-", // unknown, to be asked
        "----ADDU", // unknown, parked
        "----=!!-", // approved
        "----!=!-", // declined
        "----!!!-", // abandoned
    ];
    for (state, expected) in states().into_iter().zip(table) {
        let met: String = events().map(|event| letter(state.apply(event, &SCHEDULE, at(1)))).iter().collect();
        assert_eq!(met, expected, "{state:?}");
    }
}

#[test]
fn effects_come_exactly_with_the_change_that_needs_them() {
    use Effect::{ConfirmHold, FreeClaim, KeepClaim, ReleaseHold, RemoveRequest, StoreRequest};
    for state in states() {
        for event in events() {
            let Ok((next, effects)) = state.apply(event, &SCHEDULE, at(1)) else { continue };
            let expected = match next {
                State::Sent(_) => vec![StoreRequest],
                State::Approved { .. } => vec![ConfirmHold, KeepClaim, RemoveRequest],
                State::Declined { .. } => vec![ReleaseHold, FreeClaim, RemoveRequest],
                State::Abandoned => vec![ReleaseHold, FreeClaim],
                State::Held | State::Unknown { .. } => vec![],
            };
            assert_eq!(effects, expected, "{state:?} {event:?}");
        }
    }
}

#[test]
fn questions_double_up_to_the_longest_wait() {
    let (mut state, mut now) = (State::Sent(sent()), at(10_000));
    let mut waits = Vec::new();
    let mut take = |event, now| {
        state = state.apply(event, &SCHEDULE, now).unwrap().0;
        let State::Unknown { next: Inquiry::At(next), .. } = state else { panic!("{state:?}") };
        next
    };
    let mut next = take(Event::Lose, now);
    for _ in 0..10 {
        waits.push(next.duration_since(now).unwrap().as_millis());
        now = next;
        next = take(asked(), now);
    }
    assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
}

#[test]
fn a_charge_is_parked_after_a_day_and_still_takes_a_result() {
    let unknown = State::Unknown { sent: sent(), questions: 3, next: Inquiry::At(at(0)) };
    let day = 86_400_000;
    let (almost, _) = unknown.apply(asked(), &SCHEDULE, at(day - 1)).unwrap();
    assert!(matches!(almost, State::Unknown { next: Inquiry::At(_), .. }));
    let (parked, _) = almost.apply(asked(), &SCHEDULE, at(day)).unwrap();
    assert_eq!(parked, State::Unknown { sent: sent(), questions: 5, next: Inquiry::Parked });
    assert!(matches!(parked.apply(approve("A1B2C3"), &SCHEDULE, at(day)), Ok((State::Approved { .. }, _))));
}

#[test]
fn the_acquirer_can_ask_for_patience_but_not_for_silence() {
    let unknown = State::Unknown { sent: sent(), questions: 0, next: Inquiry::At(at(0)) };
    for (asked_for, given) in [(5, 5), (30, 30), (86_400, 30)] {
        let event = Event::AskedInVain { wait_at_least: Duration::from_secs(asked_for), jitter: 0 };
        let (state, _) = unknown.apply(event, &SCHEDULE, at(0)).unwrap();
        assert!(
            matches!(state, State::Unknown { next: Inquiry::At(next), .. } if next == at(given * 1_000)),
            "{state:?}"
        );
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Send(sent())),
        Just(Event::Abandon),
        Just(Event::Lose),
        (0u64..100_000, any::<u16>())
            .prop_map(|(ms, jitter)| Event::AskedInVain { wait_at_least: Duration::from_millis(ms), jitter }),
        Just(approve("A1B2C3")),
        Just(decline(DeclineReason::DoNotHonor)),
        Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn spread_lies_between_half_and_all(questions in 0u32..40, jitter: u16, now in 0u64..1_000_000) {
        let full = SCHEDULE.first.saturating_mul(2u32.saturating_pow(questions)).min(SCHEDULE.max);
        let Inquiry::At(next) = SCHEDULE.next(sent(), questions, Duration::ZERO, jitter, at(now)) else {
            panic!("parked before its day was over");
        };
        let wait = next.duration_since(at(now)).unwrap();
        prop_assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
    }

    /// Many charges on one account, events in any order: the account holds exactly what the live
    /// charges hold, each hold ends exactly once, and it is spent if and only if its charge was approved.
    #[test]
    fn holds_equal_the_live_charges(
        amounts in prop::collection::vec(1i64..100, 1..8),
        steps in prop::collection::vec((0usize..8, any_event(), 0u64..100_000_000), 0..120),
    ) {
        let twd = |units| Money::new("TWD".parse().unwrap(), units).unwrap();
        let total: i64 = amounts.iter().sum();
        let mut account = Account::new(Funds::Debit { balance: twd(total) }, twd(0)).unwrap();
        let mut charges: Vec<(State, i64)> = Vec::new();
        for units in amounts {
            account = account.hold(twd(units)).unwrap();
            charges.push((State::Held, units));
        }
        let mut now = 0;
        for (which, event, later) in steps {
            now += later;
            let count = charges.len();
            let (state, units) = &mut charges[which % count];
            let Ok((next, effects)) = state.apply(event, &SCHEDULE, at(now)) else { continue };
            prop_assert!(!state.is_final(), "a final charge changed");
            for effect in effects {
                match effect {
                    Effect::ConfirmHold => account = account.confirm(twd(*units)).unwrap(),
                    Effect::ReleaseHold => account = account.release(twd(*units)).unwrap(),
                    Effect::KeepClaim | Effect::FreeClaim | Effect::StoreRequest | Effect::RemoveRequest => {}
                }
            }
            *state = next;
            let sum = |pick: fn(State) -> bool| -> i64 {
                charges.iter().filter(|(state, _)| pick(*state)).map(|(_, units)| units).sum()
            };
            prop_assert_eq!(account.held().minor_units(), sum(|state| !state.is_final()));
            let spent = sum(|state| matches!(state, State::Approved { .. }));
            prop_assert_eq!(account.available().minor_units(), total - spent - account.held().minor_units());
        }
    }

    #[test]
    fn what_was_sent_is_never_abandoned_or_sent_again(events in prop::collection::vec(any_event(), 0..40)) {
        let (mut state, mut sends) = (State::Held, 0);
        for event in events {
            let Ok((next, effects)) = state.apply(event, &SCHEDULE, at(0)) else { continue };
            sends += effects.iter().filter(|effect| **effect == Effect::StoreRequest).count();
            prop_assert!(sends <= 1);
            prop_assert!(state.sent().is_none() || next.sent() == state.sent());
            state = next;
        }
    }
}
