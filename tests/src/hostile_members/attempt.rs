//! One hostile act: what is answered, which of the platform's numbers move, and that nothing else does.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use proto::{order::SignedOrder, pb};
use tonic::Status;

use super::world::World;
use crate::attacks::{Attack, Tried, in_a_word};

/// Something that a member does, or somebody who is none.
pub(crate) struct Attempt<'a> {
    name: &'static str,
    /// The reason of the refusal, or the decision in a word.
    expected: &'static str,
    counted: Counted,
    /// An order that changes by it.
    changes: Option<&'a SignedOrder>,
    is_control: bool,
    act: Pin<Box<dyn Future<Output = Result<String, Status>> + Send + 'a>>,
}

/// Which of the platform's numbers goes up by one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    /// The relay's number of refusals for the reason that is answered.
    Relay,
    /// The refusals of the acquirer's that the relay handed back.
    Acquirer,
    /// The answers of the acquirer's that the relay handed back.
    Answer,
    /// The access table's number of refusals on this port.
    Table(&'static str),
    /// None of the relay's: the directory, the checkouts or the acquirer itself were called.
    Elsewhere,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        name: &'static str,
        expected: &'static str,
        counted: Counted,
        act: impl Future<Output = Result<String, Status>> + Send + 'a,
    ) -> Self {
        Self { name, expected, counted, changes: None, is_control: false, act: Box::pin(act) }
    }

    /// The same, which changes this order: a decline of which its shop hears is counted on it.
    pub(crate) fn counts_on(self, order: &'a SignedOrder) -> Self {
        Self { changes: Some(order), ..self }
    }

    /// The same as an honest act.
    pub(crate) fn honest(self) -> Self {
        Self { is_control: true, ..self }
    }

    /// Does it, and compares everything before and after.
    pub(crate) async fn play(self, world: &World) -> Tried {
        let (name, expected, is_control) = (self.name, self.expected, self.is_control);
        let act = self.act(world);
        let attack = if is_control { Attack::control(name, expected, act) } else { Attack::new(name, expected, act) };
        attack.play().await
    }

    async fn act(self, world: &World) -> String {
        let Self { expected, counted, changes, act, .. } = self;
        let (numbers, orders) = (world.numbers(), world.shop.look_at_all().await);
        let got = in_a_word(act.await);
        if got != expected {
            return got;
        }
        let series = counted.series(expected);
        assert_eq!(moved(&numbers, &world.numbers()), series.into_iter().map(|one| (one, 1)).collect());
        for (before, after) in orders.iter().zip(world.shop.look_at_all().await) {
            if changes.is_some_and(|order| order.order.id.as_str() == after.order_id) {
                check_decline(before, &after, expected);
            } else {
                assert_eq!(*before, after, "an order has changed");
            }
        }
        got
    }
}

impl Counted {
    fn series(self, reason: &str) -> Option<String> {
        match self {
            Self::Relay => Some(format!("bankside_relay_refused_total{{reason=\"{reason}\"}}")),
            Self::Acquirer => Some("bankside_relay_acquirer_refusals_total".into()),
            Self::Answer => Some("bankside_relay_answered_total".into()),
            Self::Table(port) => Some(format!("bankside_requests_refused_total{{port=\"{port}\"}}")),
            Self::Elsewhere => None,
        }
    }
}

/// The order is as open as before, with one decline more.
fn check_decline(before: &pb::OrderSummary, after: &pb::OrderSummary, reason: &str) {
    let last = after.last_authorization.clone().unwrap();
    assert!(last.decline_reason().as_str_name().ends_with(reason), "{last:?}");
    let expected = pb::OrderSummary {
        attempts: before.attempts + 1,
        last_authorization: after.last_authorization.clone(),
        ..before.clone()
    };
    assert_eq!(*after, expected);
}

fn moved(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let change = |(series, value): (&String, &u64)| {
        let by = value - before.get(series).copied().unwrap_or(0);
        (by > 0).then(|| (series.clone(), by))
    };
    after.iter().filter_map(change).collect()
}
