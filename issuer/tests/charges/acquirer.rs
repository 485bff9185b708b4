//! An acquirer for the tests: it signs orders and results with a real key, opens the sealed card, and
//! keeps what it has decided, as the real one does.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use issuer::{
    client::{Answer, AuthorizationClient, Call, Unanswered},
    records,
    repository::Repository,
};
use mesh::{
    clock::{Clock, ManualClock},
    sealing::SealingKey,
    signing::{Signer, SigningCertificate},
};
use prost::Message;
use proto::{
    authorization::{
        AuthorizationResult, Carried, Decision, DeclineReason, Question, Request, SEALED_CARD_INFO,
        SIGNED_REQUEST_BYTES_MAX, sealed_card_aad,
    },
    card::CardData,
    digest::Digest,
    ids::{AcquirerId, AuthorizationId, OrderId},
    money::Money,
    order::{Merchant, Order, SignedOrder},
    pb,
    signed::{Signed, SignedBody},
};
use tokio::sync::Notify;

/// What the acquirer does with the next call.
pub(super) enum Reply {
    /// Approves and says so.
    Approve,
    /// Declines and says so.
    Decline(DeclineReason),
    /// Approves, and the answer comes too late to be heard.
    ApproveUnheard,
    /// Approves, and the connection is lost before the answer is through.
    ApproveAndBreak,
    /// Never receives the request.
    Fail(Unanswered),
    /// Neither decides nor answers, for ever.
    Silence,
    /// Decides when told, and answers then.
    Wait(Arc<Notify>, Decision),
    /// Is still deciding.
    Pending(Duration),
    /// Says when told that it is still deciding.
    PendingWhenTold(Arc<Notify>, Duration),
    /// Brings the caller's task down with it.
    Panic,
    /// Answers this, whatever was asked.
    Say(Signed),
    /// Answers a result of its own making from the honest one.
    Forge(Box<dyn FnOnce(AuthorizationResult) -> Signed + Send>),
}

pub(super) struct Acquirer {
    pub id: AcquirerId,
    pub signer: Signer,
    pub sealing: SealingKey,
    /// What verifies the issuer's signatures.
    pub issuer: SigningCertificate,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    answers: VecDeque<Reply>,
    decided: HashMap<AuthorizationId, Signed>,
    /// Every request that arrived, with its opened card.
    received: Vec<(Request, CardData)>,
    questions: Vec<Question>,
    orders: u8,
}

impl Acquirer {
    pub(super) fn new(id: &str, signer: Signer, issuer: SigningCertificate, clock: Arc<ManualClock>) -> Self {
        let (id, state) = (id.parse().unwrap(), Mutex::default());
        Self { id, signer, sealing: SealingKey::generate(), issuer, clock, state }
    }

    /// A fresh signed order of 15 minutes.
    pub(super) fn order(&self, code: &str, units: i64) -> SignedOrder {
        self.order_with(code, units, |_| {})
    }

    pub(super) fn order_with(&self, code: &str, units: i64, change: impl FnOnce(&mut Order)) -> SignedOrder {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.orders += 1;
            state.orders
        };
        let now = self.clock.now();
        let mut order = Order {
            id: OrderId::from_random([number; 16]),
            acquirer: self.id.clone(),
            merchant: Merchant {
                id: "bookshop".parse().unwrap(),
                display_name: "Bookshop".into(),
                domain: "books.example".into(),
                category: "5942".parse().unwrap(),
            },
            amount: Money::new(code.parse().unwrap(), units).unwrap(),
            lines_digest: Digest::of(b"lines"),
            created_at: now,
            expires_at: now + Duration::from_secs(900),
            return_url: "https://books.example/thanks".parse().unwrap(),
            sealing_key: *self.sealing.public().as_bytes(),
            delivery_hint: String::new(),
            device_check_url: None,
        };
        change(&mut order);
        SignedOrder::parse(sign(&self.signer, &order.to_pb()).to_pb()).unwrap()
    }

    /// What it does with the next authorization request; without one it approves.
    pub(super) fn then(&self, reply: Reply) {
        self.state.lock().unwrap().replies.push_back(reply);
    }

    /// What it does with the next question; without one it answers truthfully.
    pub(super) fn then_answer(&self, reply: Reply) {
        self.state.lock().unwrap().answers.push_back(reply);
    }

    pub(super) fn received(&self) -> Vec<(Request, CardData)> {
        self.state.lock().unwrap().received.clone()
    }

    pub(super) fn questions(&self) -> Vec<Question> {
        self.state.lock().unwrap().questions.clone()
    }

    pub(super) fn decided(&self, id: &AuthorizationId) -> Option<Signed> {
        self.state.lock().unwrap().decided.get(id).cloned()
    }

    /// Whether it has approved this authorization.
    pub(super) fn has_approved(&self, id: &AuthorizationId) -> bool {
        let Some(signed) = self.decided(id) else { return false };
        Carried::<AuthorizationResult>::parse(signed.to_pb()).unwrap().says.decision.is_approved()
    }

    /// Checks everything that a real acquirer checks before it looks at the order.
    fn receive(&self, call: &Call) -> Request {
        let signed = Carried::<Request>::parse(call.signed.to_pb()).unwrap();
        assert!(call.signed.to_pb().encoded_len() <= SIGNED_REQUEST_BYTES_MAX);
        let request = signed.says;
        assert!(request.agrees_with(&call.route), "the outside says the same as the inside");
        let verified = self.issuer.verify(
            pb::AuthorizationRequest::NAME,
            &call.signed.body,
            &call.signed.signature,
            request.signed_at,
        );
        assert_eq!(verified, Ok(()));
        assert_eq!(request.amount, request.order.order.amount);
        let aad = sealed_card_aad(&request.order.digest, &request.id);
        let opened = self.sealing.open(SEALED_CARD_INFO, &aad, &request.sealed_card).expect("the card opens");
        let card = CardData::decode(&opened).unwrap();
        self.state.lock().unwrap().received.push((request.clone(), card));
        request
    }

    fn honest(&self, request: &Request, request_digest: Digest, decision: Decision) -> AuthorizationResult {
        AuthorizationResult {
            authorization: request.id.clone(),
            issuer: request.issuer.clone(),
            acquirer: self.id.clone(),
            request_digest,
            order_digest: request.order.digest,
            amount: request.amount,
            decision,
            decided_at: self.clock.now(),
        }
    }

    fn decide(&self, result: &AuthorizationResult) -> Signed {
        let signed = sign(&self.signer, &result.to_pb());
        let mut state = self.state.lock().unwrap();
        state.decided.entry(result.authorization.clone()).or_insert(signed).clone()
    }

    async fn authorize(&self, call: &Call) -> Result<Signed, Unanswered> {
        let reply = self.state.lock().unwrap().replies.pop_front().unwrap_or(Reply::Approve);
        if let Reply::Fail(error) = reply {
            return Err(error);
        }
        let request = self.receive(call);
        if let Some(signed) = self.decided(&request.id) {
            return Ok(signed);
        }
        let result = |decision| self.honest(&request, call.signed.digest(), decision);
        match reply {
            Reply::Approve => Ok(self.decide(&result(approved()))),
            Reply::Decline(reason) => Ok(self.decide(&result(Decision::Declined(reason)))),
            Reply::ApproveUnheard => {
                self.decide(&result(approved()));
                Err(Unanswered::TooLate)
            }
            Reply::ApproveAndBreak => {
                self.decide(&result(approved()));
                Err(Unanswered::Connection("reset".into()))
            }
            Reply::Wait(told, decision) => {
                told.notified().await;
                Ok(self.decide(&result(decision)))
            }
            Reply::Say(signed) => Ok(signed),
            Reply::Forge(forge) => Ok(forge(result(approved()))),
            Reply::Silence | Reply::Pending(_) | Reply::PendingWhenTold(..) => std::future::pending().await,
            Reply::Panic => panic!("a mistake in the sending task"),
            Reply::Fail(error) => Err(error),
        }
    }

    async fn resolve(&self, call: &Call) -> Result<Answer, Unanswered> {
        let question = Carried::<Question>::parse(call.signed.to_pb()).unwrap().says;
        assert!(question.agrees_with(&call.route));
        let signature = &call.signed.signature;
        let verified = self.issuer.verify(pb::ResolveRequest::NAME, &call.signed.body, signature, question.signed_at);
        assert_eq!(verified, Ok(()));
        let reply = {
            let mut state = self.state.lock().unwrap();
            state.questions.push(question.clone());
            state.answers.pop_front()
        };
        let result = |decision| AuthorizationResult {
            authorization: question.authorization.clone(),
            issuer: question.issuer.clone(),
            acquirer: self.id.clone(),
            request_digest: question.request_digest,
            order_digest: question.order_digest,
            amount: question.amount,
            decision,
            decided_at: self.clock.now(),
        };
        match reply {
            // The truth: what was decided, or a tombstone.
            None => Ok(Answer::Result(self.decide(&result(Decision::Declined(DeclineReason::NeverReceived))))),
            Some(Reply::Approve | Reply::ApproveUnheard | Reply::ApproveAndBreak) => {
                Ok(Answer::Result(self.decide(&result(approved()))))
            }
            Some(Reply::Decline(reason)) => Ok(Answer::Result(self.decide(&result(Decision::Declined(reason))))),
            Some(Reply::Fail(error)) => Err(error),
            Some(Reply::Silence) => std::future::pending().await,
            Some(Reply::Wait(told, decision)) => {
                told.notified().await;
                Ok(Answer::Result(self.decide(&result(decision))))
            }
            Some(Reply::Pending(retry_after)) => Ok(Answer::Pending { retry_after }),
            Some(Reply::PendingWhenTold(told, retry_after)) => {
                told.notified().await;
                Ok(Answer::Pending { retry_after })
            }
            Some(Reply::Panic) => panic!("a mistake in the asking task"),
            Some(Reply::Say(signed)) => Ok(Answer::Result(signed)),
            Some(Reply::Forge(forge)) => Ok(Answer::Result(forge(result(approved())))),
        }
    }
}

pub(super) fn approved() -> Decision {
    Decision::Approved("A1B2C3".parse().unwrap())
}

pub(super) fn sign<M: SignedBody>(signer: &Signer, message: &M) -> Signed {
    let body = message.encode_to_vec();
    let signature = signer.sign(M::NAME, &body);
    Signed { body: body.into(), key_id: signer.key_id().to_string().parse().unwrap(), signature }
}

/// What the next hop is, and what passes it.
#[derive(Default)]
pub(super) struct Hop {
    /// Whether it is a platform.
    pub relays: AtomicBool,
    /// The requests, as they left.
    pub requests: Mutex<Vec<pb::AuthorizeRequest>>,
    /// The tickets beside the questions.
    pub tickets_of_questions: Mutex<Vec<bytes::Bytes>>,
}

/// The way to the tests' acquirers. Before anything arrives there it looks into the store: a request
/// must be durably there, exactly as it is sent.
pub(super) struct Network {
    pub acquirers: Vec<Arc<Acquirer>>,
    pub hop: Arc<Hop>,
    pub durable: Repository,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    fn to(&self, call: &Call) -> &Arc<Acquirer> {
        self.acquirers.iter().find(|acquirer| acquirer.id == call.route.acquirer).expect("an acquirer of the tests")
    }
}

#[async_trait]
impl AuthorizationClient for Network {
    async fn authorize(&self, request: &Call, _: Duration) -> Result<Signed, Unanswered> {
        let stored = self.durable.load(&records::Request::at(&request.route.authorization)).await.unwrap();
        let stored = stored.expect("a request is stored before it leaves").value;
        assert_eq!(stored.bytes, request.to_authorize().encode_to_vec());
        self.hop.requests.lock().unwrap().push(request.to_authorize());
        self.to(request).authorize(request).await
    }

    async fn resolve(&self, question: &Call, _: Duration) -> Result<Answer, Unanswered> {
        self.hop.tickets_of_questions.lock().unwrap().push(question.route.ticket.clone());
        self.to(question).resolve(question).await
    }

    fn needs_ticket(&self) -> bool {
        self.hop.relays.load(Ordering::Relaxed)
    }
}

/// A time of day in November 2026 for all tests.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400)
}
