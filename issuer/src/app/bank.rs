//! The bank as its app calls it: the very services of the device port, in this process.
//!
//! The app has no way in of its own. Each call carries the caller's address, so that every limit, every rule and
//! every entry of the audit trail is the same as for an app that comes over gRPC.

use std::sync::Arc;

use bytes::Bytes;
use mesh::{
    serve::RemoteAddr,
    status::{reason_of, violations_of},
};
use proto::{
    authorization::Factor,
    ids::ChargeId,
    pb::{self, card_selection_server::CardSelection, issuer_auth_server::IssuerAuth},
    reason::Reason,
};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    context::Context,
    service::{card_selection::CardSelectionService, issuer_auth::IssuerAuthService},
};

/// The bank.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    auth: IssuerAuthService,
    cards: CardSelectionService,
}

/// A charge as it changes, and why no more is seen of it.
pub(super) type Watched = <CardSelectionService as CardSelection>::WatchChargeStream;

/// What the bank refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why.
    pub(super) reason: Reason,
    /// Which factors would help, for [`Reason::FactorsInsufficient`].
    pub(super) any_of: Vec<Factor>,
    /// The customer's charge that stands in the way.
    pub(super) charge: Option<ChargeId>,
    /// The fields that are wrong, for [`Reason::InvalidField`].
    pub(super) fields: Vec<String>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let said = |key: &str| info.as_ref().and_then(|info| info.metadata.get(key).cloned());
        let all = [Factor::Knowledge, Factor::Possession, Factor::Passkey, Factor::Inherence];
        let any_of = said("any_of").unwrap_or_default();
        Self {
            reason: reason_of(&status).and_then(|reason| Reason::from_wire(&reason)).unwrap_or(Reason::Internal),
            any_of: all.into_iter().filter(|factor| any_of.split(',').any(|name| name == factor.as_wire())).collect(),
            charge: said("charge_id").and_then(|id| id.parse().ok()),
            fields: violations_of(&status).into_iter().map(|(path, _)| path).collect(),
        }
    }
}

impl Bank {
    /// The bank over this context.
    pub(super) fn new(ctx: &Arc<Context>) -> Self {
        Self { auth: IssuerAuthService::new(Arc::clone(ctx)), cards: CardSelectionService::new(Arc::clone(ctx)) }
    }

    /// Begins a sign-in, for an order or for none.
    pub(super) async fn start(
        &self,
        order: Option<pb::Signed>,
        from: RemoteAddr,
    ) -> Result<pb::StartAuthenticationResponse, Refused> {
        let request = pb::StartAuthenticationRequest { order, session_token: Bytes::new(), session_use: None };
        answer(self.auth.start_authentication(call(request, from)).await)
    }

    /// Begins to step a session up, or to add a credential in it.
    pub(super) async fn start_in(
        &self,
        session_token: Bytes,
        from: RemoteAddr,
    ) -> Result<pb::StartAuthenticationResponse, Refused> {
        let request = pb::StartAuthenticationRequest { order: None, session_token, session_use: None };
        answer(self.auth.start_authentication(call(request, from)).await)
    }

    pub(super) async fn verify(
        &self,
        challenge_id: String,
        proof: pb::verify_identity_request::Proof,
        from: RemoteAddr,
    ) -> Result<pb::VerifyIdentityResponse, Refused> {
        let request = pb::VerifyIdentityRequest { challenge_id, proof: Some(proof) };
        answer(self.auth.verify_identity(call(request, from)).await)
    }

    pub(super) async fn card_options(
        &self,
        session_token: Bytes,
        from: RemoteAddr,
    ) -> Result<Vec<pb::CardOption>, Refused> {
        let request = pb::ListCardOptionsRequest { session_token, session_use: None };
        Ok(answer(self.cards.list_card_options(call(request, from)).await)?.card_options)
    }

    pub(super) async fn submit(
        &self,
        request: pb::SubmitChargeRequest,
        from: RemoteAddr,
    ) -> Result<pb::Charge, Refused> {
        charge(answer(self.cards.submit_charge(call(request, from)).await)?.charge)
    }

    /// The customer's charge, or none where there is none of this id.
    pub(super) async fn charge(
        &self,
        session_token: Bytes,
        charge_id: &str,
        from: RemoteAddr,
    ) -> Result<Option<pb::Charge>, Refused> {
        let request = pb::GetChargeRequest { session_token, charge_id: charge_id.to_owned(), session_use: None };
        match answer(self.cards.get_charge(call(request, from)).await) {
            Ok(answer) => charge(answer.charge).map(Some),
            Err(refused) if refused.reason == Reason::ChargeNotFound => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    pub(super) async fn watch(
        &self,
        session_token: Bytes,
        charge_id: &str,
        from: RemoteAddr,
    ) -> Result<Watched, Refused> {
        let request = pb::WatchChargeRequest { session_token, charge_id: charge_id.to_owned(), session_use: None };
        answer(self.cards.watch_charge(call(request, from)).await)
    }

    pub(super) async fn credentials(
        &self,
        session_token: Bytes,
        from: RemoteAddr,
    ) -> Result<pb::ListCredentialsResponse, Refused> {
        let request = pb::ListCredentialsRequest { session_token, session_use: None };
        answer(self.auth.list_credentials(call(request, from)).await)
    }

    /// Binds a device; returns its id.
    pub(super) async fn bind(&self, request: pb::BindDeviceRequest, from: RemoteAddr) -> Result<String, Refused> {
        Ok(answer(self.auth.bind_device(call(request, from)).await)?.device_id)
    }

    pub(super) async fn unbind(
        &self,
        session_token: Bytes,
        device_id: String,
        from: RemoteAddr,
    ) -> Result<(), Refused> {
        let request = pb::UnbindDeviceRequest { session_token, device_id, session_use: None };
        answer(self.auth.unbind_device(call(request, from)).await).map(|_| ())
    }

    pub(super) async fn enroll(&self, request: pb::EnrollFeaturesRequest, from: RemoteAddr) -> Result<(), Refused> {
        answer(self.auth.enroll_features(call(request, from)).await).map(|_| ())
    }

    pub(super) async fn register(&self, request: pb::RegisterPasskeyRequest, from: RemoteAddr) -> Result<(), Refused> {
        answer(self.auth.register_passkey(call(request, from)).await).map(|_| ())
    }

    pub(super) async fn remove(
        &self,
        session_token: Bytes,
        credential_id: Bytes,
        from: RemoteAddr,
    ) -> Result<(), Refused> {
        let request = pb::RemovePasskeyRequest { session_token, credential_id, session_use: None };
        answer(self.auth.remove_passkey(call(request, from)).await).map(|_| ())
    }

    pub(super) async fn end(&self, session_token: Bytes, from: RemoteAddr) -> Result<(), Refused> {
        let request = pb::EndSessionRequest { session_token };
        answer(self.auth.end_session(call(request, from)).await).map(|_| ())
    }
}

fn call<T>(message: T, from: RemoteAddr) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(from);
    request
}

fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Refused> {
    Ok(result.map_err(Refused::from)?.into_inner())
}

fn charge(charge: Option<pb::Charge>) -> Result<pb::Charge, Refused> {
    charge.ok_or_else(|| Status::internal("an answer without a charge").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_helps_the_customer_is_read() {
        let refused = |error: Error| Refused::from(Status::from(error));
        let more = refused(Error::FactorsInsufficient(vec![Factor::Passkey, Factor::Possession]));
        assert_eq!(
            (more.reason, more.any_of),
            (Reason::FactorsInsufficient, vec![Factor::Possession, Factor::Passkey])
        );
        let own = ChargeId::from_random([7; 16]);
        let other = refused(Error::OrderAlreadyCharged(Some(own.clone())));
        assert_eq!((other.reason, other.charge), (Reason::OrderAlreadyCharged, Some(own)));
        assert_eq!(refused(Error::ChargeInProgress(None)).charge, None);
        let wrong = refused(Error::Invalid(proto::fields::Invalid::field("knowledge.national_id", "must be one")));
        assert_eq!(wrong.fields, ["knowledge.national_id"]);
        assert_eq!(Refused::from(Status::unknown("?")).reason, Reason::Internal);
    }
}
