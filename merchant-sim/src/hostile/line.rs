//! A connection to a server of `Authorization`, under any certificate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh::channel::{MeshChannel, device_channel, within};
use mesh::identity::Role;
use mesh::tls::{ExpectedServer, TlsIdentity};
use proto::authorization::{AuthorizationResult, Carried, Decision};
use proto::pb;
use proto::pb::authorization_client::AuthorizationClient;
use proto::pb::resolve_authorization_response::Outcome;
use tonic::Status;

use crate::shop::identity;
use crate::topology::{KeyPair, Topology};

/// As long as an issuer waits.
const CALL_TIME: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Clone, Debug)]
pub struct Line {
    client: AuthorizationClient<MeshChannel>,
}

impl Line {
    /// To the platform, under this certificate.
    ///
    /// # Errors
    /// The files can't be used.
    pub fn to_platform(topology: &Topology, own: &KeyPair) -> Result<Self> {
        Ok(Self::over(platform_channel(topology, identity(topology, own)?)?))
    }

    /// To the first acquirer, under this certificate.
    ///
    /// # Errors
    /// The files can't be used.
    pub fn to_acquirer(topology: &Topology, own: &KeyPair) -> Result<Self> {
        let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
        Self::to(&acquirer.endpoint, Role::Acquirer, &acquirer.id, identity(topology, own)?)
    }

    /// To this server of this member's, under this identity.
    ///
    /// # Errors
    /// The address can't be used.
    pub fn to(endpoint: &str, role: Role, id: &str, own: Arc<TlsIdentity>) -> Result<Self> {
        Ok(Self::over(MeshChannel::new(endpoint, own, ExpectedServer::member(role, id.parse()?))?))
    }

    /// To this address, without a certificate, as a device.
    ///
    /// # Errors
    /// The address or the authority's file can't be used.
    pub fn of_device(topology: &Topology, endpoint: &str) -> Result<Self> {
        Ok(Self::over(device_channel(endpoint, &topology.authority)?))
    }

    fn over(channel: MeshChannel) -> Self {
        Self { client: AuthorizationClient::new(channel) }
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// The server's status.
    pub async fn authorize(&self, request: pb::AuthorizeRequest) -> Result<pb::AuthorizeResponse, Status> {
        Ok(self.client.clone().authorize(within(request, CALL_TIME)).await?.into_inner())
    }

    /// Sends a question as it is, and takes the signed result out of the answer.
    ///
    /// # Errors
    /// The server's status; `DATA_LOSS` where there is no result yet.
    pub async fn resolve(&self, question: pb::ResolveAuthorizationRequest) -> Result<pb::AuthorizeResponse, Status> {
        let answer = self.client.clone().resolve_authorization(within(question, CALL_TIME)).await?.into_inner();
        match answer.outcome {
            Some(Outcome::Result(result)) => {
                Ok(pb::AuthorizeResponse { authorization_id: answer.authorization_id, result: Some(result) })
            }
            Some(Outcome::Pending(_)) | None => Err(Status::data_loss("no result yet")),
        }
    }
}

/// A connection to the platform's port for members.
///
/// # Errors
/// The address can't be used.
pub fn platform_channel(topology: &Topology, own: Arc<TlsIdentity>) -> Result<MeshChannel> {
    let expected = ExpectedServer::member(Role::Platform, topology.platform.id.parse()?);
    Ok(MeshChannel::new(&topology.platform.endpoint, own, expected)?)
}

/// What a signed result says: "APPROVED", or the decline reason.
///
/// # Errors
/// There is none, or it breaks the contracts.
pub fn verdict(answer: &pb::AuthorizeResponse) -> Result<String> {
    let result = answer.result.clone().context("an answer without a result")?;
    let result = Carried::<AuthorizationResult>::parse(result).context("the result")?;
    Ok(match result.says.decision {
        Decision::Approved(_) => "APPROVED".to_owned(),
        Decision::Declined(reason) => {
            let name = reason.to_pb().as_str_name();
            name.strip_prefix("DECLINE_REASON_").unwrap_or(name).to_owned()
        }
    })
}
