#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use proto::{
    authorization::{Decision, DeclineReason},
    ids::AuthorizationId,
};

use super::*;

const DEADLINE: SystemTime = UNIX_EPOCH;

fn before() -> SystemTime {
    DEADLINE
}

fn after() -> SystemTime {
    DEADLINE + Duration::from_millis(1)
}

fn attempt(number: u8) -> AttemptId {
    AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([number; 16]) }
}

fn outcome(number: u8, decision: Decision) -> Outcome {
    let AttemptId { issuer, authorization } = attempt(number);
    Outcome { authorization, issuer, decision }
}

fn approved(number: u8) -> Outcome {
    outcome(number, Decision::Approved("A1B2C3".parse().unwrap()))
}

fn declined(number: u8) -> Outcome {
    outcome(number, Decision::Declined(DeclineReason::DoNotHonor))
}

fn course(declines: u32) -> Course {
    Course { expires_at: DEADLINE, declines, position: 7, last: None }
}

fn underway(cancel_requested: bool) -> Underway {
    Underway { attempt: attempt(1), cancel_requested, taken_from: Some(Day(3)) }
}

fn states() -> Vec<State> {
    vec![
        State::Open(course(0)),
        State::Authorizing(course(0), underway(false)),
        State::Approved(course(0)),
        State::Expired(course(0)),
        State::Failed(course(5)),
        State::Cancelled(course(0)),
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Begin { attempt: attempt(2), taken_from: Some(Day(4)) },
        Event::Settle(approved(1)),
        Event::Settle(declined(1)),
        Event::Settle(approved(2)),
        Event::Decline(declined(2)),
        Event::Decline(approved(2)),
        Event::Refuse(declined(2)),
        Event::Refuse(approved(2)),
        Event::Dismiss(declined(2)),
        Event::Dismiss(approved(2)),
        Event::Cancel,
        Event::Expire,
    ]
}

/// Where every pair of state and event leads, in the order of [`states`] and [`events`].
fn expected(lapsed: bool) -> Vec<Vec<Result<OrderState, Rejected>>> {
    use OrderState::{Approved, Authorizing, Cancelled, Expired, Failed, Open};
    use Rejected::{BeforeDeadline, Busy, Final, NotADecline, NotUnderway, NothingToRefuse, PastDeadline};

    let open = if lapsed {
        let late = || Err(PastDeadline);
        let settle = || Err(NotUnderway);
        let refuse = || Err(NothingToRefuse);
        let dismiss = late;
        vec![
            late(),
            settle(),
            settle(),
            settle(),
            late(),
            late(),
            refuse(),
            refuse(),
            dismiss(),
            dismiss(),
            late(),
            Ok(Expired),
        ]
    } else {
        vec![
            Ok(Authorizing),
            Err(NotUnderway),
            Err(NotUnderway),
            Err(NotUnderway),
            Ok(Open),
            Err(NotADecline),
            Err(NothingToRefuse),
            Err(NothingToRefuse),
            Ok(Open),
            Err(NotADecline),
            Ok(Cancelled),
            Err(BeforeDeadline),
        ]
    };
    let authorizing = vec![
        Err(Busy),
        Ok(Approved),
        Ok(if lapsed { Expired } else { Open }),
        Err(NotUnderway),
        Err(Busy),
        Err(Busy),
        Ok(Authorizing),
        Err(NotADecline),
        Err(Busy),
        Err(Busy),
        Ok(Authorizing),
        Err(Busy),
    ];
    let ended = |state| {
        let mut row = vec![Err(Final); 12];
        row[6] = Ok(state);
        row[7] = Err(NotADecline);
        row
    };
    vec![open, authorizing, ended(Approved), ended(Expired), ended(Failed), ended(Cancelled)]
}

#[test]
fn every_state_meets_every_event() {
    for (now, lapsed) in [(before(), false), (after(), true)] {
        for (state, row) in states().into_iter().zip(expected(lapsed)) {
            assert_eq!(row.len(), events().len());
            for (event, expected) in events().into_iter().zip(row) {
                let what = format!("{:?} and {event:?}, lapsed: {lapsed}", state.name());
                let applied = state.clone().apply(event, now);
                assert_eq!(applied.as_ref().map(|(next, _)| next.name()).map_err(|r| *r), expected, "{what}");
                if let Ok((next, effects)) = applied {
                    check_effects(&state, &next, &effects, &what);
                }
            }
        }
    }
}

/// What the effects of any step must be.
fn check_effects(state: &State, next: &State, effects: &[Effect], what: &str) {
    let positions: Vec<u32> = announcements(effects).map(|announcement| announcement.position).collect();
    let expected: Vec<u32> = (state.course().position + 1..=next.course().position).collect();
    assert_eq!(positions, expected, "{what}");
    assert!(announcements(effects).all(|announcement| announcement.state == next.name()), "{what}");
    let forgets = effects.contains(&Effect::ForgetSealingKey);
    assert_eq!(forgets, next.is_final() && !state.is_final(), "{what}");
}

fn announcements(effects: &[Effect]) -> impl Iterator<Item = &Announcement> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Announce(announcement) => Some(announcement),
        Effect::ForgetSealingKey | Effect::TakeUp(_) | Effect::GiveBack(_) => None,
    })
}

#[test]
fn an_approval_is_one_event_that_is_result_and_end() {
    let state = State::Authorizing(course(2), underway(true));
    let (next, effects) = state.apply(Event::Settle(approved(1)), after()).unwrap();
    let announcement = Announcement { position: 8, state: OrderState::Approved, authorization: Some(approved(1)) };
    assert_eq!(effects, [Effect::Announce(announcement), Effect::ForgetSealingKey]);
    assert_eq!(next, State::Approved(Course { position: 8, last: Some(approved(1)), ..course(2) }));
}

#[test]
fn a_decline_gives_the_amount_back_and_counts() {
    let state = State::Authorizing(course(2), underway(false));
    let (next, effects) = state.apply(Event::Settle(declined(1)), before()).unwrap();
    let announcement = Announcement { position: 8, state: OrderState::Open, authorization: Some(declined(1)) };
    assert_eq!(effects, [Effect::Announce(announcement), Effect::GiveBack(Day(3))]);
    assert_eq!(next, State::Open(Course { position: 8, last: Some(declined(1)), ..course(3) }));
}

#[test]
fn what_lacks_something_is_told_and_not_counted() {
    let (next, effects) = State::Open(course(4)).apply(Event::Dismiss(declined(2)), before()).unwrap();
    let announcement = Announcement { position: 8, state: OrderState::Open, authorization: Some(declined(2)) };
    assert_eq!(effects, [Effect::Announce(announcement)]);
    assert_eq!(next, State::Open(Course { position: 8, ..course(4) }), "nor is it the last result");
}

#[test]
fn a_cancel_is_remembered_for_the_authorization_under_way_and_no_other() {
    let begin = Event::Begin { attempt: attempt(1), taken_from: Some(Day(3)) };
    let (begun, effects) = State::Open(course(0)).apply(begin, before()).unwrap();
    assert_eq!(effects, [Effect::TakeUp(Day(3))]);
    assert_eq!(begun, State::Authorizing(course(0), underway(false)));
    assert!(!begun.cancel_requested());
    let (asked, effects) = begun.apply(Event::Cancel, before()).unwrap();
    assert_eq!(effects, [], "its shop has the answer and hears of the end");
    assert_eq!(asked, State::Authorizing(course(0), underway(true)));
    assert!(asked.cancel_requested());
}

#[test]
fn an_id_settles_for_its_own_issuer_alone() {
    let theirs = Outcome { issuer: "bank-b".parse().unwrap(), ..approved(1) };
    let state = State::Authorizing(course(0), underway(false));
    assert_eq!(state.apply(Event::Settle(theirs), before()), Err(Rejected::NotUnderway));
}

#[test]
fn without_a_position_nothing_is_announced_and_nothing_changes() {
    let last = Course { position: u32::MAX, ..course(0) };
    for (state, event) in [
        (State::Open(last.clone()), Event::Cancel),
        (State::Open(last.clone()), Event::Decline(declined(1))),
        (State::Authorizing(last.clone(), underway(false)), Event::Settle(approved(1))),
        (State::Approved(last), Event::Refuse(declined(1))),
    ] {
        assert_eq!(state.apply(event, before()), Err(Rejected::PositionsExhausted));
    }
}

#[test]
fn a_cancel_comes_before_the_last_attempt_and_that_before_the_deadline() {
    let settle = |declines, cancel, now| {
        let state = State::Authorizing(course(declines), underway(cancel));
        state.apply(Event::Settle(declined(1)), now).unwrap().0.name()
    };
    assert_eq!(settle(4, true, after()), OrderState::Cancelled);
    assert_eq!(settle(4, false, after()), OrderState::Failed);
    assert_eq!(settle(3, false, after()), OrderState::Expired);
    assert_eq!(settle(3, false, before()), OrderState::Open);
}

#[test]
fn the_fifth_decline_without_the_network_fails_too() {
    let (next, _) = State::Open(course(4)).apply(Event::Decline(declined(1)), before()).unwrap();
    assert_eq!(next.name(), OrderState::Failed);
}

#[test]
fn a_refusal_is_announced_and_changes_nothing_else() {
    let approved_order = State::Approved(Course { last: Some(approved(1)), ..course(1) });
    let (next, effects) = approved_order.apply(Event::Refuse(declined(2)), after()).unwrap();
    assert_eq!(next, State::Approved(Course { position: 8, last: Some(approved(1)), ..course(1) }));
    let announcement = Announcement { position: 8, state: OrderState::Approved, authorization: Some(declined(2)) };
    assert_eq!(effects, [Effect::Announce(announcement)]);
}

#[test]
fn the_deadline_itself_is_still_in_time() {
    assert!(!State::new(DEADLINE).has_lapsed(DEADLINE));
    assert!(State::new(DEADLINE).has_lapsed(after()));
    assert!(!State::Authorizing(course(0), underway(false)).has_lapsed(after()));
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = 1u8..4;
    prop_oneof![
        (number.clone(), any::<bool>())
            .prop_map(|(n, taken)| Event::Begin { attempt: attempt(n), taken_from: taken.then_some(Day(1)) }),
        (number.clone(), any::<bool>()).prop_map(|(n, yes)| Event::Settle(if yes { approved(n) } else { declined(n) })),
        number.clone().prop_map(|n| Event::Decline(declined(n))),
        number.clone().prop_map(|n| Event::Refuse(declined(n))),
        number.prop_map(|n| Event::Dismiss(declined(n))),
        Just(Event::Cancel),
        Just(Event::Expire),
    ]
}

proptest! {
    #[test]
    fn what_always_holds(steps in proptest::collection::vec((any_event(), 0u64..3), 1..60)) {
        let mut now = DEADLINE - Duration::from_millis(20);
        let mut state = State::new(DEADLINE);
        let (mut approvals, mut position, mut taken) = (0, 0, 0i32);
        let mut promised_cancel = false;
        for (event, later) in steps {
            now += Duration::from_millis(later);
            let before = state.clone();
            let is_cancel = event == Event::Cancel;
            let Ok((next, effects)) = state.clone().apply(event, now) else { continue };
            for announcement in announcements(&effects) {
                position += 1;
                prop_assert_eq!(announcement.position, position);
                let is_approval = announcement.authorization.as_ref().is_some_and(|a| a.decision.is_approved());
                prop_assert_eq!(is_approval, is_approval && next.name() == OrderState::Approved);
                approvals += u32::from(is_approval);
            }
            taken += effects.iter().map(|effect| match effect {
                Effect::TakeUp(_) => 1,
                Effect::GiveBack(_) => -1,
                Effect::Announce(_) | Effect::ForgetSealingKey => 0,
            }).sum::<i32>();
            if before.is_final() {
                prop_assert_eq!(next.name(), before.name());
                prop_assert_eq!(&next.course().last, &before.course().last);
            }
            promised_cancel |= is_cancel && matches!(next, State::Authorizing(..));
            state = next;
            prop_assert!(approvals <= 1);
            prop_assert!(state.course().declines <= DECLINES_MAX);
            prop_assert_eq!(approvals == 1, matches!(state, State::Approved(_)));
            prop_assert!((0..=1).contains(&taken));
            // The amount stays taken up by an approval, and while one is under way.
            if !matches!(state, State::Approved(_) | State::Authorizing(..)) {
                prop_assert_eq!(taken, 0);
            }
            if promised_cancel && !matches!(state, State::Authorizing(..)) {
                prop_assert!(matches!(state, State::Approved(_) | State::Cancelled(_)));
            }
        }
        prop_assert_eq!(state.course().position, position);
    }
}
