//! The port on which the network is told to fail.

use std::sync::Arc;

use mesh::status::Refusal;
use proto::fields::Violation;
use proto::pb;
use tonic::{Request, Response, Status};

use super::faults::{Fault, Faults};

/// `bankside.v1.CardNetworkSimulation`.
#[derive(Debug)]
pub(super) struct Control {
    faults: Arc<Faults>,
}

impl Control {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        Self { faults }
    }
}

#[tonic::async_trait]
impl pb::card_network_simulation_server::CardNetworkSimulation for Control {
    async fn set_faults(
        &self,
        request: Request<pb::SetFaultsRequest>,
    ) -> Result<Response<pb::SetFaultsResponse>, Status> {
        let faults = Fault::parse_all(request.into_inner().faults).map_err(|invalid| {
            Refusal::fields(invalid.violations.into_iter().map(|Violation { path, description }| (path, description)))
        })?;
        tracing::info!(faults = ?faults, "told to fail");
        self.faults.set(faults);
        Ok(Response::new(pb::SetFaultsResponse {}))
    }

    async fn get_faults(&self, _: Request<pb::GetFaultsRequest>) -> Result<Response<pb::GetFaultsResponse>, Status> {
        let faults = self.faults.in_force().iter().map(Fault::to_pb).collect();
        Ok(Response::new(pb::GetFaultsResponse { faults }))
    }
}
