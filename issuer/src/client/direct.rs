//! Without a platform: straight to each order's acquirer.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mesh::{
    channel::MeshChannel,
    directory::DirectoryHandle,
    identity::Role,
    tls::{ExpectedServer, TlsIdentity},
};
use proto::{ids::AcquirerId, pb::authorization_client::AuthorizationClient as Stub, signed::Signed};

use super::{Answer, AuthorizationClient, Call, Unanswered, authorize, limited, resolve};

/// The direct way: to each acquirer at the address that its directory entry names.
pub struct DirectClient {
    identity: Arc<TlsIdentity>,
    directory: Arc<DirectoryHandle>,
    channels: Mutex<HashMap<AcquirerId, Way>>,
}

/// A connection and the address that it was made for.
struct Way {
    endpoint: String,
    channel: MeshChannel,
}

impl DirectClient {
    /// A client that shows this identity.
    #[must_use]
    pub fn new(identity: Arc<TlsIdentity>, directory: Arc<DirectoryHandle>) -> Self {
        Self { identity, directory, channels: Mutex::new(HashMap::new()) }
    }

    /// The stub for an acquirer. Whoever answers must show that acquirer's certificate.
    fn stub(&self, acquirer: &AcquirerId) -> Result<Stub<MeshChannel>, Unanswered> {
        let directory = self.directory.current();
        let member = directory.acquirer(acquirer);
        let member = member.ok_or_else(|| Unanswered::NoWay("it is not in the bank directory".to_owned()))?;
        let endpoint = member.entry().endpoint.as_str();
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = channels.get(acquirer)
            && way.endpoint == endpoint
        {
            return Ok(limited(way.channel.clone()));
        }
        let no_way = |error: &dyn fmt::Display| Unanswered::NoWay(error.to_string());
        let named = acquirer.as_str().parse().map_err(|error| no_way(&error))?;
        let expected = ExpectedServer::member(Role::Acquirer, named);
        let channel =
            MeshChannel::new(endpoint, Arc::clone(&self.identity), expected).map_err(|error| no_way(&error))?;
        channels.insert(acquirer.clone(), Way { endpoint: endpoint.to_owned(), channel: channel.clone() });
        Ok(limited(channel))
    }
}

impl fmt::Debug for DirectClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectClient")
    }
}

#[async_trait]
impl AuthorizationClient for DirectClient {
    async fn authorize(&self, request: &Call, wait: Duration) -> Result<Signed, Unanswered> {
        authorize(self.stub(&request.route.acquirer)?, request, wait).await
    }

    async fn resolve(&self, question: &Call, wait: Duration) -> Result<Answer, Unanswered> {
        resolve(self.stub(&question.route.acquirer)?, question, wait).await
    }

    fn needs_ticket(&self) -> bool {
        false
    }
}
