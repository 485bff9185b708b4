//! The second half of an authorization: the card network is asked, and the outcome committed.

use proto::authorization::{Decision, DeclineReason};

use super::{
    Authorizer, network_id, outcome,
    result::{self, Subject},
};
use crate::{
    domain::{attempt::AttemptId, merchant::Day, order::Event},
    error::Error,
    network::{Inquiry, NetworkDecision, NetworkError, NetworkRequest, Sale},
    orders::{COMMIT_TRIES_MAX, DayMove, Step},
    records::{Attempt, KeptOrder, MerchantDay, Reversal},
    repository::{Changes, Loaded, Outcome},
};

/// How often an outcome is decided again when somebody else changed its order. Its worker alone knows what
/// the card network said, and the order waits for it. So it outlasts whoever it conflicts with:
/// those, among them any number of requests for a busy order, give up after [`COMMIT_TRIES_MAX`].
const OUTCOME_TRIES_MAX: u32 = 32 * COMMIT_TRIES_MAX;

/// What the card network came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has decided.
    Decided(Decision),
    /// It stayed silent: whatever it may decide later must be reversed.
    Silent,
    /// It has another payment under this id. What was asked for was not charged, and a reversal would take back
    /// the other one.
    Foreign,
}

impl Verdict {
    const fn decision(self) -> Decision {
        match self {
            Self::Decided(decision) => decision,
            Self::Silent | Self::Foreign => Decision::Declined(DeclineReason::NetworkUnavailable),
        }
    }
}

impl Authorizer {
    /// Asks the card network within its deadline and commits what it says. The card goes with the
    /// question, and its memory is overwritten when the question ends.
    pub(super) async fn ask_and_settle(&self, id: &AttemptId, question: NetworkRequest) -> Result<(), Error> {
        let sale = question.sale();
        let deadline = self.context.clock.sleep(self.context.limits.network_deadline.get());
        let answer = tokio::select! {
            answer = self.network.authorize(question) => Some(answer),
            () = deadline => None,
        };
        let verdict = match answer {
            Some(Ok(NetworkDecision::Approved(code))) => Verdict::Decided(Decision::Approved(code)),
            Some(Ok(NetworkDecision::Declined(reason))) => Verdict::Decided(Decision::Declined(reason)),
            Some(Err(error @ NetworkError::OtherContent)) => {
                self.tell_of_another(id, &error);
                Verdict::Foreign
            }
            Some(Err(error @ NetworkError::Unreachable(_))) => {
                tracing::warn!(attempt = %id, %error, "no answer from the card network");
                self.inquire(id, &sale).await
            }
            None => {
                tracing::warn!(attempt = %id, "the card network is silent");
                self.inquire(id, &sale).await
            }
        };
        self.settle(id, verdict).await
    }

    /// Settles an authorization whose answer was lost. It inquires and never asks again, because asking
    /// needs the card, which is not kept.
    pub(super) async fn settle_by_inquiry(&self, id: &AttemptId) -> Result<(), Error> {
        let Some((attempt, order)) = self.under_way(id).await? else { return Ok(()) };
        let sale = Sale { amount: attempt.entity.amount, merchant: order.entity.merchant().clone() };
        let verdict = self.inquire(id, &sale).await;
        self.settle(id, verdict).await
    }

    async fn inquire(&self, id: &AttemptId, sale: &Sale) -> Verdict {
        let network_id = network_id(id);
        let deadline = self.context.clock.sleep(self.context.limits.network_inquiry_deadline.get());
        let answer = tokio::select! {
            answer = self.network.inquire(&network_id, sale) => Some(answer),
            () = deadline => None,
        };
        match answer {
            Some(Ok(Inquiry::Approved(code))) => Verdict::Decided(Decision::Approved(code)),
            Some(Ok(Inquiry::Declined(reason))) => Verdict::Decided(Decision::Declined(reason)),
            Some(Ok(Inquiry::Unknown)) | None => Verdict::Silent,
            Some(Err(error @ NetworkError::OtherContent)) => {
                self.tell_of_another(id, &error);
                Verdict::Foreign
            }
            Some(Err(error @ NetworkError::Unreachable(_))) => {
                tracing::warn!(attempt = %id, %error, "no answer to an inquiry");
                Verdict::Silent
            }
        }
    }

    /// The card network's word about this id is about another payment.
    pub(super) fn tell_of_another(&self, id: &AttemptId, error: &NetworkError) {
        self.other_content.increment();
        tracing::error!(
            attempt = %id, %error,
            "nothing is reversed, because that would take back the other payment; find out who else asks \
             the card network under this acquirer's id, or whether this store is an old copy"
        );
    }

    /// An authorization without a result, and the order that waits for it; none where a result is on record.
    async fn under_way(&self, id: &AttemptId) -> Result<Option<(Loaded<Attempt>, Loaded<KeptOrder>)>, Error> {
        let Some(attempt) = self.attempt(id).await? else {
            return Err(Error::Inconsistent("an authorization under way is not on record"));
        };
        if attempt.entity.state.result().is_some() {
            return Ok(None);
        }
        let order = attempt.entity.order.as_ref();
        let order = order.ok_or(Error::Inconsistent("an authorization under way has no order"))?;
        match self.context.repository.load::<KeptOrder>(order.as_str().as_bytes()).await? {
            Some(order) => Ok(Some((attempt, order))),
            None => Err(Error::Inconsistent("the order of an authorization under way is not kept")),
        }
    }

    /// Commits the outcome: result, order, event, notification, total, and the reversal of a silent
    /// network, all in one. Where a result is on record already, that one stands.
    async fn settle(&self, id: &AttemptId, verdict: Verdict) -> Result<(), Error> {
        for _ in 0..OUTCOME_TRIES_MAX {
            let Some((mut attempt, order)) = self.under_way(id).await? else { return Ok(()) };
            let order_id = order.entity.id().clone();
            let now = self.context.clock.now();
            let decision = verdict.decision();
            let mut step = Step::of(&self.context, order, now);
            step.apply(Event::Settle(outcome(id, decision)))
                .map_err(|_| Error::Inconsistent("an order does not wait for its authorization"))?;
            let done = step.finish()?;
            let result = result::sign(&self.context, &Subject::of(&attempt.entity), decision, now);
            let state = attempt.entity.state.clone().decide(result);
            attempt.entity.state = state.map_err(|_| Error::Inconsistent("an authorization under way is decided"))?;
            let mut changes = done.changes.update(&attempt);
            if verdict == Verdict::Silent {
                changes = changes.create(&Reversal { attempt: id.clone(), since: now, due: now, tries: 0 });
            }
            // The lane is held over the commit, as every writer of the day's total holds it.
            let lane = match done.day {
                Some(DayMove::GiveBack(_)) => self.context.merchants.lane(done.order.merchant()).await,
                Some(DayMove::TakeUp(_)) | None => None,
            };
            if let Some(DayMove::GiveBack(day)) = done.day {
                changes = self.give_back(changes, &done.order, day).await?;
            }
            let committed = self.context.repository.commit(changes).await?;
            drop(lane);
            match committed {
                Outcome::Committed(_) => {
                    tracing::info!(attempt = %id, order = %order_id, decision = ?decision, "decided");
                    if verdict == Verdict::Silent {
                        self.context.reversals.notify_one();
                    }
                    return Ok(());
                }
                Outcome::Stale | Outcome::Duplicate(_) => {}
            }
        }
        Err(Error::Contended)
    }

    /// Adds the day's total without this order's amount. A total that can't be right is logged and left
    /// as it is: an outcome must never wait for a sum.
    async fn give_back(&self, changes: Changes, order: &KeptOrder, day: Day) -> Result<Changes, Error> {
        let key = MerchantDay::key_of(order.merchant(), day);
        let record: Option<Loaded<MerchantDay>> = self.context.repository.load(&key).await?;
        let given_back = record.and_then(|mut record| {
            record.entity.totals.give_back(order.signed.order.amount).ok()?;
            Some(record)
        });
        match given_back {
            Some(record) => Ok(changes.update(&record)),
            None => {
                tracing::error!(order = %order.id(), "a merchant's day holds less than was taken up in it");
                Ok(changes)
            }
        }
    }
}
