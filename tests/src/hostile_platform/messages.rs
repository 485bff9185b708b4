//! Requests and questions on their way to the acquirer, and what comes back, in a form that is easy to
//! tamper with: both RPCs look the same.

use std::time::Duration;

use crate::network::sign;
use bytes::Bytes;
use prost::Message as _;
use proto::{
    pb::{self, resolve_authorization_response::Outcome},
    signed::SignedBody,
};

/// Which of the two RPCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    Authorize,
    Resolve,
}

/// A request or a question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) rpc: Rpc,
    pub(crate) route: pb::AuthorizationRoute,
    pub(crate) signed: pb::Signed,
}

/// What is answered to either.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) authorization_id: String,
    /// The signed result, where there is one.
    pub(crate) result: Option<pb::Signed>,
    /// "Ask again later", which only a question can be answered with.
    pub(crate) pending: Option<pb::AuthorizationPending>,
}

impl From<pb::AuthorizeRequest> for Asked {
    fn from(pb: pb::AuthorizeRequest) -> Self {
        Self { rpc: Rpc::Authorize, route: pb.route.unwrap(), signed: pb.request.unwrap() }
    }
}

impl From<pb::ResolveAuthorizationRequest> for Asked {
    fn from(pb: pb::ResolveAuthorizationRequest) -> Self {
        Self { rpc: Rpc::Resolve, route: pb.route.unwrap(), signed: pb.request.unwrap() }
    }
}

impl Asked {
    pub(crate) fn to_authorize(&self) -> pb::AuthorizeRequest {
        pb::AuthorizeRequest { route: Some(self.route.clone()), request: Some(self.signed.clone()) }
    }

    pub(crate) fn to_resolve(&self) -> pb::ResolveAuthorizationRequest {
        pb::ResolveAuthorizationRequest { route: Some(self.route.clone()), request: Some(self.signed.clone()) }
    }

    /// What the request says.
    pub(crate) fn request(&self) -> pb::AuthorizationRequest {
        pb::AuthorizationRequest::decode(self.signed.body.clone()).unwrap()
    }

    /// Changes what is inside the request, keeps the signature, and makes the route agree. Of a question
    /// it changes the amount, so that neither way is open.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut pb::AuthorizationRequest)) {
        match self.rpc {
            Rpc::Authorize => {
                let mut request = self.request();
                change(&mut request);
                self.replace(&request);
            }
            Rpc::Resolve => {
                let mut question = pb::ResolveRequest::decode(self.signed.body.clone()).unwrap();
                question.amount.as_mut().unwrap().minor_units += 1;
                self.route.amount.clone_from(&question.amount);
                self.signed.body = question.encode_to_vec().into();
            }
        }
    }

    /// Puts another request in, under the same signature, with a route that agrees with it.
    pub(crate) fn replace(&mut self, request: &pb::AuthorizationRequest) {
        self.route.authorization_id.clone_from(&request.authorization_id);
        self.route.issuer_id.clone_from(&request.issuer_id);
        self.route.acquirer_id.clone_from(&request.acquirer_id);
        self.route.amount.clone_from(&request.amount);
        let order = request.order.as_ref().map(|order| proto::digest::Digest::of(&order.body));
        self.route.order_digest = order.map(|digest| digest.to_bytes()).unwrap_or_default();
        self.signed.body = request.encode_to_vec().into();
    }

    /// Signs the body anew.
    pub(crate) fn sign_by(&mut self, signer: &mesh::signing::Signer) {
        let name = match self.rpc {
            Rpc::Authorize => pb::AuthorizationRequest::NAME,
            Rpc::Resolve => pb::ResolveRequest::NAME,
        };
        self.signed.key_id = signer.key_id().to_string();
        self.signed.signature = Bytes::copy_from_slice(&signer.sign(name, &self.signed.body));
    }
}

impl From<pb::AuthorizeResponse> for Answered {
    fn from(pb: pb::AuthorizeResponse) -> Self {
        Self { authorization_id: pb.authorization_id, result: pb.result, pending: None }
    }
}

impl From<pb::ResolveAuthorizationResponse> for Answered {
    fn from(pb: pb::ResolveAuthorizationResponse) -> Self {
        let (result, pending) = match pb.outcome {
            Some(Outcome::Result(result)) => (Some(result), None),
            Some(Outcome::Pending(pending)) => (None, Some(pending)),
            None => (None, None),
        };
        Self { authorization_id: pb.authorization_id, result, pending }
    }
}

impl Answered {
    /// An answer with this result.
    pub(crate) fn with(asked: &Asked, result: pb::Signed) -> Self {
        Self { authorization_id: asked.route.authorization_id.clone(), result: Some(result), pending: None }
    }

    /// "Ask again later."
    pub(crate) fn later(asked: &Asked, seconds: u64) -> Self {
        let retry_after = Some(proto::time::duration_to_pb(Duration::from_secs(seconds)));
        let pending = Some(pb::AuthorizationPending { retry_after, ..Default::default() });
        Self { authorization_id: asked.route.authorization_id.clone(), result: None, pending }
    }

    pub(crate) fn into_authorize(self) -> pb::AuthorizeResponse {
        pb::AuthorizeResponse { authorization_id: self.authorization_id, result: self.result }
    }

    pub(crate) fn into_resolve(self) -> pb::ResolveAuthorizationResponse {
        let outcome = self.result.map(Outcome::Result).or(self.pending.map(Outcome::Pending));
        pb::ResolveAuthorizationResponse { authorization_id: self.authorization_id, outcome }
    }

    pub(crate) fn to_bytes(&self, rpc: Rpc) -> Vec<u8> {
        match rpc {
            Rpc::Authorize => self.clone().into_authorize().encode_to_vec(),
            Rpc::Resolve => self.clone().into_resolve().encode_to_vec(),
        }
    }

    /// What the result says.
    pub(crate) fn says(&self) -> pb::AuthorizationResult {
        pb::AuthorizationResult::decode(self.result.as_ref().unwrap().body.clone()).unwrap()
    }

    /// Changes what the result says, and keeps the signature.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut pb::AuthorizationResult)) {
        if let Some(result) = &mut self.result {
            let mut says = pb::AuthorizationResult::decode(result.body.clone()).unwrap();
            change(&mut says);
            result.body = says.encode_to_vec().into();
        }
    }

    /// Changes what the result says, and signs it anew.
    pub(crate) fn forge(&mut self, signer: &mesh::signing::Signer, change: impl FnOnce(&mut pb::AuthorizationResult)) {
        self.change(change);
        if let Some(result) = &mut self.result {
            let says = pb::AuthorizationResult::decode(result.body.clone()).unwrap();
            *result = sign(signer, &says).to_pb();
        }
    }

    /// The decision, or that there is none.
    pub(crate) fn in_a_word(&self) -> String {
        if self.result.is_none() {
            return "PENDING".to_owned();
        }
        let says = self.says();
        match says.decision() {
            pb::Decision::Approved => "APPROVED".to_owned(),
            pb::Decision::Declined => short(says.decline_reason()).to_owned(),
            pb::Decision::Unspecified => "no decision".to_owned(),
        }
    }
}

/// A decline reason without its prefix.
pub(crate) fn short(reason: pb::DeclineReason) -> &'static str {
    reason.as_str_name().trim_start_matches("DECLINE_REASON_")
}
