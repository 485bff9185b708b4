//! `bankside.v1.Authorization`.

use std::sync::Arc;

use mesh::serve::MESSAGE_BYTES_MAX;
use proto::{
    authorization::{Carried, Question, Request as AuthorizationRequest, Route},
    fields::{Fields, Invalid},
    pb::{self, authorization_server, resolve_authorization_response::Outcome},
    require, time,
};
use tonic::{Request, Response, Status};

use super::{awaiting, caller_of};
use crate::{
    authorize::{Authorizer, Pending, Resolution},
    error::Error,
};

/// The service over an authorizer.
#[derive(Clone, Debug)]
pub struct AuthorizationService {
    authorizer: Arc<Authorizer>,
}

impl AuthorizationService {
    /// The service, ready to be mounted.
    #[must_use]
    pub fn server(authorizer: Arc<Authorizer>) -> authorization_server::AuthorizationServer<Self> {
        authorization_server::AuthorizationServer::new(Self { authorizer }).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl authorization_server::Authorization for AuthorizationService {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        let caller = caller_of(&request, self.authorizer.platform())?;
        let (route, request) = parse_request(request.into_inner()).map_err(Error::from)?;
        tracing::Span::current().record("order_id", tracing::field::display(&request.says.order.order.id));
        let result = self.authorizer.authorize(&caller, &route, request).await?;
        Ok(Response::new(pb::AuthorizeResponse {
            authorization_id: route.authorization.to_string(),
            result: Some(result.to_pb()),
        }))
    }

    async fn resolve_authorization(
        &self,
        request: Request<pb::ResolveAuthorizationRequest>,
    ) -> Result<Response<pb::ResolveAuthorizationResponse>, Status> {
        let caller = caller_of(&request, self.authorizer.platform())?;
        let (route, question) = parse_question(request.into_inner()).map_err(Error::from)?;
        let outcome = match self.authorizer.resolve(&caller, &route, &question).await? {
            Resolution::Result(result) => Outcome::Result(result.to_pb()),
            Resolution::Pending(Pending { retry_after, awaited, decided_by }) => {
                Outcome::Pending(pb::AuthorizationPending {
                    retry_after: Some(time::duration_to_pb(retry_after)),
                    awaiting: Some(awaiting(awaited)),
                    decided_by: Some(time::to_pb(decided_by)),
                })
            }
        };
        Ok(Response::new(pb::ResolveAuthorizationResponse {
            authorization_id: route.authorization.to_string(),
            outcome: Some(outcome),
        }))
    }
}

fn parse_request(pb: pb::AuthorizeRequest) -> Result<(Route, Carried<AuthorizationRequest>), Invalid> {
    let mut fields = Fields::new();
    let route = fields.message("route", pb.route, Route::parse);
    let request = fields.message("request", pb.request, Carried::<AuthorizationRequest>::parse);
    require!(fields; route, request);
    Ok((route, request))
}

fn parse_question(pb: pb::ResolveAuthorizationRequest) -> Result<(Route, Carried<Question>), Invalid> {
    let mut fields = Fields::new();
    let route = fields.message("route", pb.route, Route::parse);
    let request = fields.message("request", pb.request, Carried::<Question>::parse);
    require!(fields; route, request);
    Ok((route, request))
}
