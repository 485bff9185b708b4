//! The first commit of an authorization: a decline that needs no card network, or the intent to ask it.

use std::{sync::Arc, time::SystemTime};

use mesh::store::Version;
use proto::{
    authorization::{Carried, Decision, DeclineReason, Request},
    card::CardData,
    digest::Digest,
};
use tokio::sync::MutexGuard;

use super::{
    Authorizer, network_id, outcome,
    result::{self, Subject},
};
use crate::{
    domain::{
        attempt::{AttemptId, State},
        authorization::{OrderFinding, judge_card, judge_order},
        merchant::{Day, Totals},
        order::{Event, Rejected},
    },
    error::Error,
    network::NetworkRequest,
    orders::{COMMIT_TRIES_MAX, Step},
    records::{Attempt, KeptOrder, MerchantDay},
    repository::{Changes, Loaded, Outcome},
};

/// What the first commit left to do.
enum Opened {
    /// Nothing: the result is on record.
    Decided,
    /// The intent is committed; this is what to ask the card network.
    Begun(Box<NetworkRequest>),
    /// Somebody committed the intent and is gone, or is another process that is given until this time.
    Orphaned(SystemTime),
}

/// The merchant's day with this payment taken up, and the lane that is held until the commit.
struct Taken<'a> {
    day: Day,
    record: Loaded<MerchantDay>,
    _lane: Option<MutexGuard<'a, ()>>,
}

impl Authorizer {
    /// Works on a request until its result is durable. Runs on a task of its own.
    pub(super) async fn work(self: &Arc<Self>, request: &Carried<Request>, digest: Digest) -> Result<(), Error> {
        let id = AttemptId { issuer: request.says.issuer.clone(), authorization: request.says.id.clone() };
        match self.open(&id, request, digest).await? {
            Opened::Decided => Ok(()),
            Opened::Begun(question) => self.ask_and_settle(&id, *question).await,
            Opened::Orphaned(deadline) => {
                // Measured and not read off the clock, which may have been set back since.
                let left = deadline.duration_since(self.context.clock.now()).unwrap_or_default();
                self.context.clock.sleep(left.min(self.context.limits.network_deadline.get())).await;
                self.settle_by_inquiry(&id).await
            }
        }
    }

    async fn open(&self, id: &AttemptId, request: &Carried<Request>, digest: Digest) -> Result<Opened, Error> {
        // Opening depends on nothing that can change, so it is done once for all rounds.
        let mut card = None;
        for _ in 0..COMMIT_TRIES_MAX {
            if let Some(Loaded { entity: attempt, .. }) = self.attempt(id).await? {
                // Whether it is the same content is judged by the caller, which reads the record again.
                return Ok(match attempt.state {
                    State::Decided(_) => Opened::Decided,
                    State::Deciding { deadline, .. } => Opened::Orphaned(deadline),
                });
            }
            self.within_reach(request.says.signed_at)?;
            let order_id = request.says.order.order.id.as_str().as_bytes();
            let order = self.context.repository.load::<KeptOrder>(order_id).await?;
            let now = self.context.clock.now();
            let kept = order.as_ref().map(|order| (&order.entity.signed, &order.entity.state));
            let finding = judge_order(kept, &request.says.order, request.says.amount, now);
            let outcome = match (finding, order) {
                (OrderFinding::NotOurs(reason), _) => self.decline_unheard(id, request, digest, reason, now).await?,
                (_, None) => return Err(Error::Inconsistent("an order that is not kept was judged")),
                (OrderFinding::Lapsed, Some(order)) => {
                    let decline = outcome(id, Decision::Declined(DeclineReason::OrderExpired));
                    self.decline(request, digest, order, [Event::Expire, Event::Refuse(decline)], now).await?
                }
                (OrderFinding::Refused(reason), Some(order)) => {
                    let decline = outcome(id, Decision::Declined(reason));
                    self.decline(request, digest, order, [Event::Refuse(decline)], now).await?
                }
                (OrderFinding::Declined(reason), Some(order)) => {
                    let decline = outcome(id, Decision::Declined(reason));
                    self.decline(request, digest, order, [Event::Decline(decline)], now).await?
                }
                (OrderFinding::Payable, Some(order)) if !self.comes_from_its_device(&order.entity, request, now) => {
                    let decline = outcome(id, Decision::Declined(DeclineReason::DeviceNotConfirmed));
                    self.decline(request, digest, order, [Event::Dismiss(decline)], now).await?
                }
                (OrderFinding::Payable, Some(order)) => {
                    match self.begin(id, request, digest, order, &mut card, now).await? {
                        Begin::Asked(question) => return Ok(Opened::Begun(question)),
                        Begin::Answered(outcome) => outcome,
                    }
                }
            };
            match outcome {
                Outcome::Committed(_) => return Ok(Opened::Decided),
                Outcome::Stale | Outcome::Duplicate(_) => {}
            }
        }
        Err(Error::Contended)
    }

    /// Whether the payment comes from the device that opened the page, as far as this order asks for that.
    fn comes_from_its_device(&self, order: &KeptOrder, request: &Carried<Request>, now: SystemTime) -> bool {
        let Request { issuer, device_confirmation, .. } = &request.says;
        let holds = |confirmation| self.context.device_tokens.verify(confirmation, &order.signed.digest, issuer, now);
        order.signed.order.device_check_url.is_none() || device_confirmation.as_ref().is_some_and(holds)
    }

    /// Commits the intent to ask the card network, or the decline that the card or a limit demands.
    async fn begin(
        &self,
        id: &AttemptId,
        request: &Carried<Request>,
        digest: Digest,
        order: Loaded<KeptOrder>,
        card: &mut Option<Result<CardData, DeclineReason>>,
        now: SystemTime,
    ) -> Result<Begin, Error> {
        let (amount, category) = (request.says.amount, order.entity.signed.order.merchant.category);
        let demand = self.context.authentication.demand(amount, category);
        let verified = demand.judge(&request.says.factors, request.says.consent_digest.as_ref());
        // A card that can't pay stays sealed.
        if verified.is_ok() && card.is_none() {
            *card = Some(self.open_card(&order.entity, request)?);
        }
        let judged = match (verified, card.as_ref()) {
            (Err(reason), _) => Err(reason),
            (Ok(()), Some(Ok(opened))) => judge_card(opened, self.bin_is_of(opened, &id.issuer), now),
            (Ok(()), Some(Err(reason))) => Err(*reason),
            (Ok(()), None) => Err(DeclineReason::CardUnreadable),
        };
        let taken = match judged {
            Ok(()) => self.take_up(&order.entity, now).await?,
            Err(reason) => Err(reason),
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(reason) => {
                let decline = outcome(id, Decision::Declined(reason));
                return Ok(Begin::Answered(
                    self.decline(request, digest, order, [Event::Decline(decline)], now).await?,
                ));
            }
        };
        // The lane may have taken its time, and an order past its deadline must never start.
        let now = self.context.clock.now();
        if order.entity.state.has_lapsed(now) {
            return Ok(Begin::Answered(Outcome::Stale));
        }
        let merchant = order.entity.merchant().clone();
        let mut step = Step::of(&self.context, order, now);
        let taken_from = taken.as_ref().map(|taken| taken.day);
        step.apply(Event::Begin { attempt: id.clone(), taken_from }).map_err(misjudged)?;
        let deadline = now + self.context.limits.network_deadline.get();
        let attempt = Attempt::of_request(&request.says, digest, State::Deciding { since: now, deadline });
        let mut changes = step.finish()?.changes.create(&attempt);
        if let Some(taken) = &taken {
            changes = changes.update(&taken.record);
        }
        match self.context.repository.commit(changes).await? {
            Outcome::Committed(_) => {}
            stale @ (Outcome::Stale | Outcome::Duplicate(_)) => return Ok(Begin::Answered(stale)),
        }
        let Some(Ok(card)) = card.take() else {
            return Err(Error::Inconsistent("an authorization began without an opened card"));
        };
        let question = NetworkRequest { id: network_id(id), card, amount: request.says.amount, merchant };
        Ok(Begin::Asked(Box::new(question)))
    }

    /// Takes the order's amount up in the merchant's day, where it has a daily limit.
    async fn take_up(
        &self,
        order: &KeptOrder,
        now: SystemTime,
    ) -> Result<Result<Option<Taken<'_>>, DeclineReason>, Error> {
        let amount = order.signed.order.amount;
        let Some(profile) = self.context.merchants.find(order.merchant()) else {
            return Ok(Err(DeclineReason::MerchantLimit));
        };
        if !profile.terms.allow_order(amount) {
            return Ok(Err(DeclineReason::MerchantLimit));
        }
        let Some(max) = profile.terms.day_max(amount.currency()) else { return Ok(Ok(None)) };
        let lane = self.context.merchants.lane(order.merchant()).await;
        let day = Day::of(now);
        let key = MerchantDay::key_of(order.merchant(), day);
        let record = self.context.repository.load::<MerchantDay>(&key).await?;
        let mut record = record.unwrap_or_else(|| Loaded {
            version: Version::ABSENT,
            entity: MerchantDay { merchant: order.merchant().clone(), day, totals: Totals::default() },
        });
        if record.entity.totals.take_up(amount, max).is_err() {
            return Ok(Err(DeclineReason::MerchantLimit));
        }
        Ok(Ok(Some(Taken { day, record, _lane: lane })))
    }

    /// Commits a decline that the order takes part in.
    async fn decline(
        &self,
        request: &Carried<Request>,
        digest: Digest,
        order: Loaded<KeptOrder>,
        events: impl IntoIterator<Item = Event>,
        now: SystemTime,
    ) -> Result<Outcome, Error> {
        let mut step = Step::of(&self.context, order, now);
        let mut reason = None;
        for event in events {
            if let Event::Refuse(outcome) | Event::Decline(outcome) | Event::Dismiss(outcome) = &event {
                reason = Some(outcome.decision);
            }
            step.apply(event).map_err(misjudged)?;
        }
        let decision = reason.ok_or(Error::Inconsistent("a decline gave no reason"))?;
        tracing::info!(decision = ?decision, "declined without asking the card network");
        let attempt = self.declined_attempt(request, digest, decision, now);
        Ok(self.context.repository.commit(step.finish()?.changes.create(&attempt)).await?)
    }

    /// Commits a decline of which no shop is told, because the order is none of ours.
    async fn decline_unheard(
        &self,
        id: &AttemptId,
        request: &Carried<Request>,
        digest: Digest,
        reason: DeclineReason,
        now: SystemTime,
    ) -> Result<Outcome, Error> {
        tracing::info!(attempt = %id, reason = ?reason, "declined for an order that is not ours");
        let attempt = self.declined_attempt(request, digest, Decision::Declined(reason), now);
        Ok(self.context.repository.commit(Changes::new().create(&attempt)).await?)
    }

    fn declined_attempt(
        &self,
        request: &Carried<Request>,
        digest: Digest,
        decision: Decision,
        now: SystemTime,
    ) -> Attempt {
        // The state is replaced right below; a result can be signed only for an attempt that has a subject.
        let attempt = Attempt::of_request(&request.says, digest, State::Deciding { since: now, deadline: now });
        let result = result::sign(&self.context, &Subject::of(&attempt), decision, now);
        Attempt { state: State::Decided(result), ..attempt }
    }

    fn open_card(
        &self,
        order: &KeptOrder,
        request: &Carried<Request>,
    ) -> Result<Result<CardData, DeclineReason>, Error> {
        let wrapped = order.sealing_key.as_ref().ok_or(Error::Inconsistent("an open order has no sealing key"))?;
        let Request { id, sealed_card, .. } = &request.says;
        Ok(self.context.sealing_keys.open_card(order.id(), wrapped, &order.signed.digest, id, sealed_card)?)
    }
}

/// What became of the intent.
enum Begin {
    /// Committed; ask the card network this.
    Asked(Box<NetworkRequest>),
    /// There was none: a decline was committed instead, or somebody was faster.
    Answered(Outcome),
}

/// The order was judged at the same time from the same state, so its own rules can't differ.
fn misjudged(rejected: Rejected) -> Error {
    tracing::error!(%rejected, "an order rejects what it was judged to accept");
    Error::Inconsistent("an order rejects what it was judged to accept")
}
