//! Payments as a shop and an issuer make them, and the comparison of both books at the end.

use std::time::{Duration, SystemTime};

use acquirer::network::{Behaviour, test_cards};
use mesh::channel::{MeshChannel, within};
use mesh::sealing::SealingPublicKey;
use prost::Message as _;
use proto::authorization::{
    AuthorizationResult, Carried, Decision, DeclineReason, Factor, Question, Request, Route, SEALED_CARD_INFO,
    sealed_card_aad,
};
use proto::ids::AuthorizationId;
use proto::order::SignedOrder;
use proto::pb::authorization_client::AuthorizationClient;
use proto::pb::resolve_authorization_response::Outcome;
use proto::pb::{self, CardNetworkState};
use proto::signed::SignedBody;
use tokio::task::JoinHandle;

use super::site::{PATIENCE, Site, until};

const CALL_TIME: Duration = Duration::from_secs(10);

/// A payment that was sent.
pub(super) struct Payment {
    pub(super) amount: i64,
    pub(super) order: SignedOrder,
    route: Route,
    request: pb::Signed,
    question: Question,
    bank: AuthorizationClient<MeshChannel>,
    /// The call until it was waited for; it may fail where somebody was killed.
    call: Option<JoinHandle<Option<pb::Signed>>>,
    answered: Option<pb::Signed>,
}

impl Site {
    /// Makes an order over this amount and sends its authorization.
    pub(super) async fn pay(&self, amount: i64, behaviour: Behaviour) -> Payment {
        let price = Some(pb::Money { currency_code: "TWD".into(), minor_units: amount });
        let wish = pb::CreateOrderRequest {
            merchant_reference: format!("R-{amount}"),
            amount: price.clone(),
            lines: vec![pb::OrderLine { description: "A book".into(), quantity: 1, unit_price: price }],
            return_url: "https://books.example/checkout/1".into(),
            expires_after: None,
            delivery_hint: String::new(),
        };
        let made = self.orders().create_order(within(wish, CALL_TIME)).await.unwrap().into_inner();
        let order = SignedOrder::parse(made.signed_order.unwrap()).unwrap();
        let mut random = [0; 16];
        random[..8].copy_from_slice(&amount.to_be_bytes());
        let id = AuthorizationId::from_random(random);
        let card = test_cards().iter().find(|card| card.behaviour() == behaviour).unwrap();
        let plain = pb::CardData {
            pan: card.pan().expose().into(),
            expiry_month: 12,
            expiry_year: 2031,
            cvv: card.cvv().expose().into(),
        };
        let public = SealingPublicKey::from_bytes(&order.order.sealing_key).unwrap();
        let sealed =
            public.seal(SEALED_CARD_INFO, &sealed_card_aad(&order.digest, &id), &plain.encode_to_vec()).unwrap();
        let request = Request {
            id,
            issuer: "bank-a".parse().unwrap(),
            acquirer: "acquirer-one".parse().unwrap(),
            amount: order.order.amount,
            order: order.clone(),
            sealed_card: sealed.into(),
            signed_at: SystemTime::now(),
            factors: vec![Factor::Knowledge],
            consent_digest: None,
            device_confirmation: None,
        };
        let route = Route {
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            authorization: request.id.clone(),
            order_digest: order.digest,
            amount: request.amount,
            ticket: bytes::Bytes::new(),
        };
        let signed = self.sign(&request.to_pb());
        let question = Question {
            authorization: request.id.clone(),
            issuer: request.issuer.clone(),
            acquirer: request.acquirer.clone(),
            request_digest: Carried::<Request>::parse(signed.clone()).unwrap().signed.digest(),
            order_digest: order.digest,
            amount: request.amount,
            request_signed_at: proto::time::parse(proto::time::to_pb(request.signed_at)).unwrap(),
            signed_at: SystemTime::now(),
        };
        let bank = AuthorizationClient::new(self.acquirer_channel("bank-a"));
        let message = pb::AuthorizeRequest { route: Some(route.to_pb()), request: Some(signed.clone()) };
        let mut client = bank.clone();
        let call = Some(tokio::spawn(async move {
            let answer = client.authorize(within(message, CALL_TIME)).await.ok()?;
            answer.into_inner().result
        }));
        Payment { amount, order, route, request: signed, question, bank, call, answered: None }
    }

    fn sign<M: SignedBody>(&self, message: &M) -> pb::Signed {
        let body = message.encode_to_vec();
        pb::Signed {
            key_id: self.bank.key_id().to_string(),
            signature: self.bank.sign(M::NAME, &body).to_vec().into(),
            body: body.into(),
        }
    }

    /// The one result of a payment, asked for until it is there.
    pub(super) async fn result(&self, payment: &mut Payment) -> Decision {
        // Asked before the request has arrived, the acquirer would decline it for ever.
        if let Some(call) = payment.call.take() {
            payment.answered = tokio::time::timeout(PATIENCE, call).await.expect("the call ends").unwrap();
        }
        let mut found = None;
        until("a result", async || {
            let question = self.sign(&Question { signed_at: SystemTime::now(), ..payment.question.clone() }.to_pb());
            let ask = pb::ResolveAuthorizationRequest { route: Some(payment.route.to_pb()), request: Some(question) };
            let answer = payment.bank.resolve_authorization(within(ask, CALL_TIME)).await;
            if let Ok(answer) = answer
                && let Some(Outcome::Result(result)) = answer.into_inner().outcome
            {
                found = Some(result);
            }
            found.is_some()
        })
        .await;
        let found = found.unwrap();
        if let Some(answered) = &payment.answered {
            assert_eq!(*answered, found, "what was answered is found again, byte for byte");
        }
        // And the same bytes again get the same result.
        let again = pb::AuthorizeRequest { route: Some(payment.route.to_pb()), request: Some(payment.request.clone()) };
        let again = payment.bank.authorize(within(again, CALL_TIME)).await.unwrap().into_inner().result;
        assert_eq!(again.as_ref(), Some(&found));
        Carried::<AuthorizationResult>::parse(found).unwrap().says.decision
    }

    /// Waits until no approval stands at the card network that belongs to no approved order, and checks every
    /// payment in both books.
    pub(super) async fn reconcile(&self, payments: &mut [Payment]) {
        let mut decisions = Vec::new();
        for payment in payments.iter_mut() {
            decisions.push(self.result(payment).await);
        }
        let approved: Vec<i64> = payments
            .iter()
            .zip(&decisions)
            .filter(|(_, decision)| decision.is_approved())
            .map(|(payment, _)| payment.amount)
            .collect();
        until("the agreement of both books", async || {
            let ledger = self.ledger().await;
            let standing = ledger
                .iter()
                .filter(|entry| matches!(entry.state(), CardNetworkState::Approved | CardNetworkState::Pending));
            let mut standing: Vec<i64> = standing.map(|entry| entry.amount.as_ref().unwrap().minor_units).collect();
            standing.sort_unstable();
            standing == approved
        })
        .await;
        for (payment, decision) in payments.iter().zip(&decisions) {
            let order = Some(pb::get_order_request::Order::OrderId(payment.order.order.id.to_string()));
            let order = self.orders().get_order(within(pb::GetOrderRequest { order }, CALL_TIME)).await.unwrap();
            let order = order.into_inner().order.unwrap();
            let expected = if decision.is_approved() { pb::OrderState::Approved } else { pb::OrderState::Open };
            assert_eq!(order.state(), expected, "{}", payment.amount);
            let entry = self.entry(payment).await;
            if let (Decision::Approved(code), Some(entry)) = (decision, &entry) {
                assert_eq!((entry.approval_code.as_str(), entry.requests > 0), (code.to_string().as_str(), true));
            }
            assert!(entry.is_some() || !decision.is_approved(), "{}", payment.amount);
        }
    }

    /// What the card network holds of a payment.
    pub(super) async fn entry(&self, payment: &Payment) -> Option<pb::CardNetworkAuthorization> {
        let name = payment.route.authorization.to_string();
        let ledger = self.ledger().await;
        ledger.into_iter().find(|entry| entry.id.as_ref().is_some_and(|id| id.authorization_id == name))
    }
}

pub(super) fn unavailable() -> Decision {
    Decision::Declined(DeclineReason::NetworkUnavailable)
}
