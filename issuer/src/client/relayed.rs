//! By way of a platform: one connection for every acquirer.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use mesh::{
    channel::{self, MeshChannel},
    config::MembershipConfig,
    directory::follow::channel_to,
    tls::TlsIdentity,
};
use proto::{pb::authorization_client::AuthorizationClient as Stub, signed::Signed};

use super::{Answer, AuthorizationClient, Call, Unanswered, authorize, limited, resolve};

/// The way by a platform, which finds the acquirer by the call's route. It is trusted with nothing: what
/// comes back counts by the acquirer's signature alone.
pub struct RelayedClient {
    stub: Stub<MeshChannel>,
}

impl RelayedClient {
    /// A client of this platform that shows this identity. Nothing is connected yet.
    ///
    /// # Errors
    /// [`channel::Error`].
    pub fn new(platform: &MembershipConfig, identity: Arc<TlsIdentity>) -> Result<Self, channel::Error> {
        Ok(Self { stub: limited(channel_to(platform, identity)?) })
    }
}

impl fmt::Debug for RelayedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayedClient")
    }
}

#[async_trait]
impl AuthorizationClient for RelayedClient {
    async fn authorize(&self, request: &Call, wait: Duration) -> Result<Signed, Unanswered> {
        authorize(self.stub.clone(), request, wait).await
    }

    async fn resolve(&self, question: &Call, wait: Duration) -> Result<Answer, Unanswered> {
        resolve(self.stub.clone(), question, wait).await
    }

    fn needs_ticket(&self) -> bool {
        true
    }
}
