//! The line: messages from acquirers, and what becomes of them.
//!
//! The work of a message runs on a task of its own, so that it goes on when the caller has given up, as a
//! message that is on its way goes on. Only the waiting for the answer ends with the call.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use acquirer::network::{NetworkDecision, NetworkId, Ruling, rule};
use mesh::access::peer_of;
use mesh::clock::Clock;
use mesh::status::{self, Refusal};
use mesh::store::{Cursor, PageRequest};
use proto::authorization::Decision;
use proto::card::CardData;
use proto::fields::{Fields, Invalid, Violation};
use proto::ids::AcquirerId;
use proto::money::Money;
use proto::reason::Reason;
use proto::{pb, require, time};
use rustix::process::{Signal, getpid, kill_process};
use tonic::{Code, Request, Response, Status};

use super::faults::{Call, Faults, What};
use super::ledger::{Asked, Entry, Id, Ledger, LedgerError, Verdict};
use super::repeat::Twice;

const PAGE_SIZE_MAX: u32 = 100;

/// `bankside.v1.CardNetwork`.
#[derive(Debug)]
pub(super) struct Line {
    ledger: Ledger,
    faults: Arc<Faults>,
    clock: Arc<dyn Clock>,
    /// Whether the caller has shown a certificate.
    is_mutual: bool,
}

/// A message that has arrived.
#[derive(Clone, Debug)]
enum Work {
    Request { id: Id, asked: Asked, verdict: Verdict },
    Inquiry { id: Id, asked: Asked },
    Reversal { id: Id, asked: Asked },
}

/// What was worked out.
enum Done {
    Requested,
    Told(Option<Decision>),
    Reversed,
}

impl Line {
    pub(super) fn new(ledger: Ledger, faults: Arc<Faults>, clock: Arc<dyn Clock>, is_mutual: bool) -> Self {
        Self { ledger, faults, clock, is_mutual }
    }

    /// Works a message out, with whatever goes wrong meanwhile. Says also whether the answer comes twice.
    async fn work(&self, call: Call, mut work: Work) -> Result<(Done, bool), Status> {
        let (id, amount) = match &work {
            Work::Request { id, asked, verdict: _ } => (id, Some(asked.amount.minor_units())),
            Work::Inquiry { id, asked: _ } | Work::Reversal { id, asked: _ } => (id, None),
        };
        let Some(what) = self.faults.meet(call, &id.authorization, amount) else {
            return Ok((self.perform(work, Duration::ZERO).await?, false));
        };
        tracing::info!(authorization = %id.authorization, call = call.as_str_name(), ?what, "a fault");
        match what {
            What::ArrivesAfter(later) => Ok((self.perform(work, later).await?, false)),
            What::DecidesAfter(later) => {
                work.change(|verdict| Verdict { after: later, is_told: true, ..verdict });
                Ok((self.perform(work, Duration::ZERO).await?, false))
            }
            What::Declines(reason) => {
                let decision = Decision::Declined(reason);
                work.change(|_| Verdict { decision, after: Duration::ZERO, is_told: true });
                Ok((self.perform(work, Duration::ZERO).await?, false))
            }
            What::AnswersAfter(later) => {
                let done = self.perform(work, Duration::ZERO).await?;
                self.clock.sleep(later).await;
                Ok((done, false))
            }
            What::Silent => {
                self.perform(work, Duration::ZERO).await?;
                future::pending().await
            }
            What::Lost => future::pending().await,
            What::Unavailable => {
                Err(Refusal::new(Code::Unavailable, Reason::Unavailable, "told to be away").into_status())
            }
            What::Twice => {
                let again = work.clone();
                let (one, two) = tokio::join!(self.perform(work, Duration::ZERO), self.perform(again, Duration::ZERO));
                two?;
                Ok((one?, true))
            }
            What::DiesBefore => die().await,
            What::DiesAfter => {
                self.perform(work, Duration::ZERO).await?;
                die().await
            }
        }
    }

    async fn perform(&self, work: Work, later: Duration) -> Result<Done, Status> {
        let (ledger, clock) = (self.ledger.clone(), Arc::clone(&self.clock));
        let task = tokio::spawn(async move {
            clock.sleep(later).await;
            match &work {
                Work::Request { id, asked, verdict } => {
                    ledger.request(id, asked, *verdict).await.map(|()| Done::Requested)
                }
                Work::Inquiry { id, asked } => ledger.inquire(id, asked).await.map(Done::Told),
                Work::Reversal { id, asked } => ledger.reverse(id, asked).await.map(|()| Done::Reversed),
            }
        });
        task.await.map_err(|error| status::internal("working a message out", error))?.map_err(refused)
    }

    /// The id of a message, which must be the caller's own.
    #[allow(clippy::result_large_err, reason = "tonic's handlers return a Status by value, and this is for them")]
    fn own<T>(&self, request: &Request<T>, acquirer: &AcquirerId) -> Result<(), Status> {
        if self.is_mutual && peer_of(request)?.id.member().as_str() != acquirer.as_str() {
            let message = "an acquirer asks for its own authorizations alone";
            return Err(Refusal::new(Code::PermissionDenied, Reason::AcquirerMismatch, message).into_status());
        }
        Ok(())
    }
}

impl Work {
    fn change(&mut self, change: impl FnOnce(Verdict) -> Verdict) {
        if let Self::Request { id: _, asked: _, verdict } = self {
            *verdict = change(*verdict);
        }
    }
}

#[tonic::async_trait]
impl pb::card_network_server::CardNetwork for Line {
    async fn authorize(
        &self,
        request: Request<pb::CardNetworkAuthorizeRequest>,
    ) -> Result<Response<pb::CardNetworkAuthorizeResponse>, Status> {
        let named = parse_id(request.get_ref().id.clone()).map_err(invalid)?;
        self.own(&request, &named.acquirer)?;
        let message = request.into_inner();
        let echo = message.id.clone();
        let (card, asked) = parse_sale(message).map_err(invalid)?;
        let network_id = NetworkId { issuer: named.issuer.clone(), authorization: named.authorization.clone() };
        let verdict = verdict(rule(&network_id, &card, self.clock.now()));
        drop(card);
        let work = Work::Request { id: named.clone(), asked, verdict };
        let (_, twice) = self.work(Call::Authorize, work).await?;
        let decision = self.ledger.told(&named).await.map_err(refused)?;
        let answer = pb::CardNetworkAuthorizeResponse { id: echo, decision: Some(to_pb(decision)) };
        Ok(answered(answer, twice))
    }

    async fn inquire(&self, request: Request<pb::InquireRequest>) -> Result<Response<pb::InquireResponse>, Status> {
        let id = parse_id(request.get_ref().id.clone()).map_err(invalid)?;
        self.own(&request, &id.acquirer)?;
        let message = request.into_inner();
        let asked = parse_asked(message.amount, &message.merchant_id).map_err(invalid)?;
        let (done, twice) = self.work(Call::Inquire, Work::Inquiry { id, asked }).await?;
        let decision = match done {
            Done::Told(decision) => decision.map(to_pb),
            Done::Requested | Done::Reversed => None,
        };
        Ok(answered(pb::InquireResponse { id: message.id, decision }, twice))
    }

    async fn reverse(&self, request: Request<pb::ReverseRequest>) -> Result<Response<pb::ReverseResponse>, Status> {
        let id = parse_id(request.get_ref().id.clone()).map_err(invalid)?;
        self.own(&request, &id.acquirer)?;
        let message = request.into_inner();
        let asked = parse_asked(message.amount, &message.merchant_id).map_err(invalid)?;
        let (_, twice) = self.work(Call::Reverse, Work::Reversal { id, asked }).await?;
        Ok(answered(pb::ReverseResponse { id: message.id }, twice))
    }

    async fn list_authorizations(
        &self,
        request: Request<pb::ListAuthorizationsRequest>,
    ) -> Result<Response<pb::ListAuthorizationsResponse>, Status> {
        let (acquirer, page) = parse_page(request.get_ref()).map_err(invalid)?;
        self.own(&request, &acquirer)?;
        let (entries, next) = self.ledger.list(&acquirer, page).await.map_err(refused)?;
        let now = self.ledger.now();
        let authorizations = entries.into_iter().map(|(id, entry)| listed(&id, &entry, now)).collect();
        let next_page_token = next.map(|cursor| data_encoding::HEXLOWER.encode(cursor.as_bytes()));
        let next_page_token = next_page_token.unwrap_or_default();
        Ok(Response::new(pb::ListAuthorizationsResponse { authorizations, next_page_token }))
    }
}

/// As `kill -9` does it: nothing is finished, nothing is closed, nobody is told.
async fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    future::pending::<()>().await;
    unreachable!("the process is dead")
}

fn answered<T>(message: T, twice: bool) -> Response<T> {
    let mut response = Response::new(message);
    if twice {
        response.extensions_mut().insert(Twice);
    }
    response
}

fn verdict(ruling: Ruling) -> Verdict {
    let decision = match ruling.decision {
        NetworkDecision::Approved(code) => Decision::Approved(code),
        NetworkDecision::Declined(reason) => Decision::Declined(reason),
    };
    Verdict { decision, after: ruling.after.unwrap_or_default(), is_told: ruling.after.is_some() }
}

fn parse_id(pb: Option<pb::CardNetworkId>) -> Result<Id, Invalid> {
    let mut fields = Fields::new();
    let id = fields.message("id", pb, |pb: pb::CardNetworkId| {
        let mut fields = Fields::new();
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let authorization = fields.text("authorization_id", &pb.authorization_id);
        require!(fields; acquirer, issuer, authorization);
        Ok(Id { acquirer, issuer, authorization })
    });
    require!(fields; id);
    Ok(id)
}

fn parse_sale(pb: pb::CardNetworkAuthorizeRequest) -> Result<(CardData, Asked), Invalid> {
    let mut fields = Fields::new();
    let card = fields.message("card", pb.card, CardData::parse);
    let amount = fields.message("amount", pb.amount, Money::parse_positive);
    let merchant = fields.text("merchant_id", &pb.merchant_id);
    require!(fields; card, amount, merchant);
    Ok((card, Asked { amount, merchant }))
}

fn parse_asked(amount: Option<pb::Money>, merchant: &str) -> Result<Asked, Invalid> {
    let mut fields = Fields::new();
    let amount = fields.message("amount", amount, Money::parse_positive);
    let merchant = fields.text("merchant_id", merchant);
    require!(fields; amount, merchant);
    Ok(Asked { amount, merchant })
}

fn parse_page(pb: &pb::ListAuthorizationsRequest) -> Result<(AcquirerId, PageRequest), Invalid> {
    let mut fields = Fields::new();
    let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
    fields.check("page_size", pb.page_size <= PAGE_SIZE_MAX, "must be 1 to 100, or zero for 100");
    let limit = if pb.page_size == 0 { PAGE_SIZE_MAX } else { pb.page_size };
    let after = match pb.page_token.as_str() {
        "" => Some(None),
        text => {
            let place = data_encoding::HEXLOWER.decode(text.as_bytes());
            fields.result("page_token", place).map(|place| Some(Cursor::from_bytes(place)))
        }
    };
    let limit = fields.result("page_size", usize::try_from(limit));
    require!(fields; acquirer, after, limit);
    Ok((acquirer, PageRequest { after, limit }))
}

fn listed(id: &Id, entry: &Entry, now: std::time::SystemTime) -> pb::CardNetworkAuthorization {
    let (state, approval_code) = entry.state.at(now);
    pb::CardNetworkAuthorization {
        id: Some(pb::CardNetworkId {
            acquirer_id: id.acquirer.to_string(),
            issuer_id: id.issuer.to_string(),
            authorization_id: id.authorization.to_string(),
        }),
        state: state.into(),
        amount: entry.asked.as_ref().map(|asked| asked.amount.to_pb()),
        merchant_id: entry.asked.as_ref().map(|asked| asked.merchant.to_string()).unwrap_or_default(),
        approval_code,
        first_heard_at: Some(time::to_pb(entry.first_heard_at)),
        requests: entry.requests,
        reversals: entry.reversals,
    }
}

fn to_pb(decision: Decision) -> pb::CardNetworkDecision {
    let (decision, decline_reason, approval_code) = decision.to_pb();
    pb::CardNetworkDecision { decision: decision.into(), decline_reason: decline_reason.into(), approval_code }
}

fn invalid(invalid: Invalid) -> Status {
    Refusal::fields(invalid.violations.into_iter().map(|Violation { path, description }| (path, description))).into()
}

fn refused(error: LedgerError) -> Status {
    match error {
        LedgerError::OtherContent => {
            Refusal::new(Code::AlreadyExists, Reason::AuthorizationIdReused, error.to_string()).into()
        }
        LedgerError::Contended => Refusal::new(Code::Unavailable, Reason::Unavailable, error.to_string()).into(),
        LedgerError::Store(_) | LedgerError::Damaged => status::internal("using the ledger", error),
    }
}
