//! `bankside.v1.CardSelection`: a signed-in cardholder picks a card and pays.

use std::{pin::Pin, sync::Arc};

use proto::{
    authorization::TICKET_BYTES_MAX,
    confirmation::DeviceConfirmation,
    device::{DeviceSigned, SIGNED_CONSENT_BYTES_MAX},
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{CardOptionId, ChargeId},
    order::SignedOrder,
    pb, require, time,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::{
    audit::{self, Act, Actor, Entry},
    auth::{self, SessionCall, SignedIn},
    cards::{self, CardOption, Kind},
    charges::{self, Awaited, Charge, Party, Submission},
    context::Context,
    domain::{
        card::Unusable,
        charge::{Inquiry, State},
    },
    error::Error,
};

/// The service.
#[derive(Clone, Debug)]
pub struct CardSelectionService {
    ctx: Arc<Context>,
}

impl CardSelectionService {
    /// The service over this context.
    #[must_use]
    pub fn new(ctx: Arc<Context>) -> Self {
        Self { ctx }
    }

    async fn signed_in(
        &self,
        token: &[u8],
        session_use: Option<pb::Signed>,
        rpc: &'static str,
        actor: Actor,
    ) -> Result<SignedIn, Error> {
        auth::session(&self.ctx, SessionCall::new(token, session_use, rpc).by_actor(actor)).await
    }

    fn shown(&self, charge: &Charge) -> pb::Charge {
        charge_pb(&self.ctx, charge)
    }

    /// What the audit trail says of an act of this session.
    fn told(&self, act: Act, actor: Actor, signed_in: &SignedIn) -> Entry {
        Entry::new(self.ctx.clock.now(), act).by(actor).customer(&signed_in.customer).session(&signed_in.id)
    }
}

#[tonic::async_trait]
impl pb::card_selection_server::CardSelection for CardSelectionService {
    async fn list_card_options(
        &self,
        request: Request<pb::ListCardOptionsRequest>,
    ) -> Result<Response<pb::ListCardOptionsResponse>, Status> {
        let actor = Actor::of(&request);
        let request = request.into_inner();
        let rpc = "CardSelection/ListCardOptions";
        let signed_in = self.signed_in(&request.session_token, request.session_use, rpc, actor).await?;
        let amount = signed_in.order.as_ref().map(|order| order.amount);
        let options = cards::options(&self.ctx, &signed_in.customer, amount).await?;
        let told = self.told(Act::CardsListed, actor, &signed_in).count(options.len() as u64);
        audit::note(&self.ctx.repository, &told).await.map_err(Error::from)?;
        let card_options = options.into_iter().map(card_option_pb).collect();
        Ok(Response::new(pb::ListCardOptionsResponse { card_options }))
    }

    async fn submit_charge(
        &self,
        request: Request<pb::SubmitChargeRequest>,
    ) -> Result<Response<pb::SubmitChargeResponse>, Status> {
        let actor = Actor::of(&request);
        let request = request.into_inner();
        let rpc = "CardSelection/SubmitCharge";
        let signed_in = self.signed_in(&request.session_token, request.session_use.clone(), rpc, actor).await?;
        let told = about(self.told(Act::ChargeRefused, actor, &signed_in), &request);
        let submitted = match parse_submission(request, signed_in, actor) {
            Ok(submission) => charges::submit(&self.ctx, submission).await,
            Err(error) => Err(error),
        };
        match submitted {
            Ok(charge) => Ok(Response::new(pb::SubmitChargeResponse { charge: Some(self.shown(&charge)) })),
            Err(error) => Err(audit::refuse(&self.ctx.repository, told, error).await),
        }
    }

    async fn get_charge(
        &self,
        request: Request<pb::GetChargeRequest>,
    ) -> Result<Response<pb::GetChargeResponse>, Status> {
        let actor = Actor::of(&request);
        let request = request.into_inner();
        let rpc = "CardSelection/GetCharge";
        let signed_in = self.signed_in(&request.session_token, request.session_use.clone(), rpc, actor).await?;
        let charge = charges::load(&self.ctx, &signed_in.customer, &parse_id(&request.charge_id)?).await?;
        Ok(Response::new(pb::GetChargeResponse { charge: Some(self.shown(&charge)) }))
    }

    type WatchChargeStream = Pin<Box<dyn Stream<Item = Result<pb::WatchChargeResponse, Status>> + Send>>;

    async fn watch_charge(
        &self,
        request: Request<pb::WatchChargeRequest>,
    ) -> Result<Response<Self::WatchChargeStream>, Status> {
        let actor = Actor::of(&request);
        let request = request.into_inner();
        let rpc = "CardSelection/WatchCharge";
        let signed_in = self.signed_in(&request.session_token, request.session_use.clone(), rpc, actor).await?;
        let charge = parse_id(&request.charge_id)?;
        let changes = charges::watch(&self.ctx, signed_in.customer, charge, signed_in.expires_at).await?;
        let service = self.clone();
        let shown = changes.map(move |charge| match charge {
            Ok(charge) => Ok(pb::WatchChargeResponse { charge: Some(service.shown(&charge)) }),
            Err(error) => Err(error.into()),
        });
        Ok(Response::new(Box::pin(shown)))
    }
}

/// Which card and charge a request names, as far as they are ids at all.
fn about(told: Entry, request: &pb::SubmitChargeRequest) -> Entry {
    let told = match request.card_option_id.parse() {
        Ok(card) => told.card(&card),
        Err(_) => told,
    };
    let told = match request.charge_id.parse() {
        Ok(charge) => told.charge(&charge),
        Err(_) => told,
    };
    match &request.order {
        Some(order) => told.order(&Digest::of(&order.body)),
        None => told,
    }
}

/// A charge request, for the session's own order alone.
fn parse_submission(request: pb::SubmitChargeRequest, signed_in: SignedIn, actor: Actor) -> Result<Submission, Error> {
    let mut fields = Fields::new();
    let charge = fields.text::<ChargeId>("charge_id", &request.charge_id);
    let order = fields.message("order", request.order, SignedOrder::parse);
    let card = fields.text::<CardOptionId>("card_option_id", &request.card_option_id);
    fields.check("ticket", request.ticket.len() <= TICKET_BYTES_MAX, "must be at most 512 bytes");
    let consent = request.consent.map(|consent| DeviceSigned::parse(consent, SIGNED_CONSENT_BYTES_MAX)).transpose();
    let consent = fields.nested("consent", consent);
    let device_confirmation = DeviceConfirmation::parse_optional(&mut fields, request.device_confirmation);
    let parts = || -> Result<_, Invalid> {
        require!(fields; charge, order, card, consent, device_confirmation);
        Ok((charge, order, card, consent, device_confirmation))
    };
    let (charge, order, card, consent, device_confirmation) = parts()?;
    let own = signed_in.order.as_ref().ok_or(Error::SessionCannotPay)?;
    if own.digest != order.digest {
        return Err(Error::SessionOfOtherOrder);
    }
    Ok(Submission {
        session: signed_in,
        charge,
        order,
        card,
        ticket: request.ticket,
        consent,
        device_confirmation,
        actor,
    })
}

fn parse_id(charge_id: &str) -> Result<ChargeId, Error> {
    let mut fields = Fields::new();
    let parsed = fields.text::<ChargeId>("charge_id", charge_id);
    match (fields.finish(), parsed) {
        (Ok(()), Some(id)) => Ok(id),
        (Err(invalid), _) => Err(invalid.into()),
        (Ok(()), None) => Err(Invalid::field("charge_id", "must be set").into()),
    }
}

fn card_option_pb(option: CardOption) -> pb::CardOption {
    let kind = match option.kind {
        Kind::Credit => pb::CardKind::Credit,
        Kind::Debit => pb::CardKind::Debit,
    };
    let unusable = match option.unusable {
        None => pb::CardUnusableReason::Unspecified,
        Some(Unusable::Expired) => pb::CardUnusableReason::Expired,
        Some(Unusable::Blocked) => pb::CardUnusableReason::Blocked,
        Some(Unusable::InsufficientFunds) => pb::CardUnusableReason::InsufficientFunds,
        Some(Unusable::OtherCurrency) => pb::CardUnusableReason::OtherCurrency,
    };
    pb::CardOption {
        card_option_id: option.id.to_string(),
        label: option.label,
        brand: option.brand,
        last_four: option.last_four,
        kind: kind.into(),
        expiry_month: u32::from(option.expiry.month()),
        expiry_year: u32::from(option.expiry.year()),
        available: Some(option.available.to_pb()),
        unusable_reason: unusable.into(),
    }
}

/// A charge as its customer sees it.
pub(super) fn charge_pb(ctx: &Context, charge: &Charge) -> pb::Charge {
    let state = match charge.state {
        State::Held => pb::ChargeState::Held,
        State::Sent(_) => pb::ChargeState::Sent,
        State::Unknown { .. } => pb::ChargeState::Unknown,
        State::Approved { .. } => pb::ChargeState::Approved,
        State::Declined { .. } => pb::ChargeState::Declined,
        State::Abandoned => pb::ChargeState::Abandoned,
    };
    let (mut decline_reason, mut approval_code, mut next_inquiry_at) = (None, String::new(), None);
    match charge.state {
        State::Approved { code, .. } => approval_code = code.to_string(),
        State::Declined { reason, .. } => decline_reason = Some(reason.to_pb()),
        State::Unknown { next: Inquiry::At(next), .. } => next_inquiry_at = Some(time::to_pb(next)),
        State::Held | State::Sent(_) | State::Unknown { next: Inquiry::Parked, .. } | State::Abandoned => {}
    }
    let order = &charge.order.order;
    let asked_at = ctx.bells.question_since(&charge.customer, &charge.id);
    pb::Charge {
        charge_id: charge.id.to_string(),
        order_id: order.id.to_string(),
        amount: Some(order.amount.to_pb()),
        payee: order.merchant.display_name.clone(),
        card_option_id: charge.card.to_string(),
        state: state.into(),
        decline_reason: decline_reason.unwrap_or(pb::DeclineReason::Unspecified).into(),
        approval_code,
        authorization_id: charge.authorization.to_string(),
        created_at: Some(time::to_pb(charge.created_at)),
        updated_at: Some(time::to_pb(charge.updated_at)),
        next_inquiry_at,
        awaiting: charge.awaited(&ctx.charge_limits, asked_at, ctx.clock.now()).map(awaiting_pb),
        final_by: charge.final_by(&ctx.charge_limits).map(time::to_pb),
    }
}

/// Who owes the next message, as a message.
fn awaiting_pb(awaited: Awaited) -> pb::Awaiting {
    let party = match awaited.party {
        Party::Acquirer => pb::AwaitedParty::Acquirer,
        Party::Issuer => pb::AwaitedParty::Issuer,
        Party::Operator => pb::AwaitedParty::IssuerOperator,
    };
    pb::Awaiting { party: party.into(), by: awaited.by.map(time::to_pb) }
}
