//! `IssuerOperations`: what the bank's own people do.

use std::{sync::Arc, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use mesh::operate;
use proto::{
    authorization::SIGNED_NOTE_BYTES_MAX,
    fields::{Fields, Invalid},
    ids::ChargeId,
    pb::{self, issuer_operations_server::IssuerOperations},
    require,
    signed::Signed,
    time,
};
use tonic::{Request, Response, Status};

use super::card_selection::charge_pb;
use crate::{
    charges::Charge,
    context::Context,
    domain::{charge::State, ids::CustomerId},
    error::Error,
    operations,
};

/// The service.
#[derive(Clone, Debug)]
pub struct IssuerOperationsService {
    ctx: Arc<Context>,
    activation_code_life: Duration,
}

impl IssuerOperationsService {
    /// Serves from this context. A code that it draws binds a device for so long.
    #[must_use]
    pub fn new(ctx: Arc<Context>, activation_code_life: Duration) -> Self {
        Self { ctx, activation_code_life }
    }
}

#[tonic::async_trait]
impl IssuerOperations for IssuerOperationsService {
    async fn list_unknown_charges(
        &self,
        request: Request<pb::ListUnknownChargesRequest>,
    ) -> Result<Response<pb::ListUnknownChargesResponse>, Status> {
        let request = request.into_inner();
        let page = operate::page(request.page_size, &request.page_token).map_err(Error::from)?;
        let found = operations::unknown_charges(&self.ctx, request.parked, page).await?;
        Ok(Response::new(pb::ListUnknownChargesResponse {
            charges: found.charges.iter().map(|charge| unknown_pb(&self.ctx, charge)).collect(),
            next_page_token: found.next.map(|next| BASE64URL_NOPAD.encode(next.as_bytes())).unwrap_or_default(),
        }))
    }

    async fn resolve_charge(
        &self,
        request: Request<pb::ResolveChargeRequest>,
    ) -> Result<Response<pb::ResolveChargeResponse>, Status> {
        let request = request.into_inner();
        let (customer, charge) = parse_charge(&request.customer_id, &request.charge_id).map_err(Error::from)?;
        let charge = operations::resolve(&self.ctx, &customer, &charge).await?;
        Ok(Response::new(pb::ResolveChargeResponse { charge: Some(charge_pb(&self.ctx, &charge)) }))
    }

    async fn import_result(
        &self,
        request: Request<pb::ImportResultRequest>,
    ) -> Result<Response<pb::ImportResultResponse>, Status> {
        let request = request.into_inner();
        let (customer, charge, result) = parse_import(request).map_err(Error::from)?;
        let charge = operations::import_result(&self.ctx, &customer, &charge, &result).await?;
        Ok(Response::new(pb::ImportResultResponse { charge: Some(charge_pb(&self.ctx, &charge)) }))
    }

    async fn issue_activation_code(
        &self,
        request: Request<pb::IssueActivationCodeRequest>,
    ) -> Result<Response<pb::IssueActivationCodeResponse>, Status> {
        let customer = parse_customer(&request.into_inner().customer_id)?;
        let (code, ends_at) =
            operations::issue_activation_code(&self.ctx, &customer, self.activation_code_life).await?;
        Ok(Response::new(pb::IssueActivationCodeResponse {
            activation_code: code.expose().to_owned(),
            expires_at: Some(time::to_pb(ends_at)),
        }))
    }

    async fn unlock_passwords(
        &self,
        request: Request<pb::UnlockPasswordsRequest>,
    ) -> Result<Response<pb::UnlockPasswordsResponse>, Status> {
        let customer = parse_customer(&request.into_inner().customer_id)?;
        operations::unlock_passwords(&self.ctx, &customer).await?;
        Ok(Response::new(pb::UnlockPasswordsResponse {}))
    }
}

fn parse_customer(customer_id: &str) -> Result<CustomerId, Error> {
    customer_id.parse().map_err(|error| Invalid::field("customer_id", format!("{error}")).into())
}

fn parse_charge(customer_id: &str, charge_id: &str) -> Result<(CustomerId, ChargeId), Invalid> {
    let mut fields = Fields::new();
    let customer = fields.text::<CustomerId>("customer_id", customer_id);
    let charge = fields.text::<ChargeId>("charge_id", charge_id);
    require!(fields; customer, charge);
    Ok((customer, charge))
}

fn parse_import(request: pb::ImportResultRequest) -> Result<(CustomerId, ChargeId, Signed), Invalid> {
    let mut fields = Fields::new();
    let customer = fields.text::<CustomerId>("customer_id", &request.customer_id);
    let charge = fields.text::<ChargeId>("charge_id", &request.charge_id);
    let result = fields.message("result", request.result, |result| Signed::parse(result, SIGNED_NOTE_BYTES_MAX));
    require!(fields; customer, charge, result);
    Ok((customer, charge, result))
}

fn unknown_pb(ctx: &Context, charge: &Charge) -> pb::UnknownCharge {
    let questions = match charge.state {
        State::Unknown { questions, .. } => questions,
        State::Held | State::Sent(_) | State::Approved { .. } | State::Declined { .. } | State::Abandoned => 0,
    };
    pb::UnknownCharge {
        customer_id: charge.customer.to_string(),
        charge: Some(charge_pb(ctx, charge)),
        acquirer_id: charge.order.order.acquirer.to_string(),
        parked: charge.is_parked(),
        questions,
    }
}
