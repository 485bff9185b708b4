//! The line to the card network.

use std::sync::Arc;

use mesh::{
    boot::Failure,
    channel::MeshChannel,
    identity::Role,
    tls::{ExpectedServer, TlsIdentity},
};
use tonic::transport::Channel;

use super::wrong;
use crate::{
    config::{AcquirerConfig, CardNetworkKind, LineTls},
    context::Context,
    network::{AuthorizationNetwork, LineTimes, Remote, SimulatedNetwork, plain_line},
};

/// How the card network is reached. Nothing is connected before the first call.
pub(super) enum Line {
    /// It is inside this process.
    Inside,
    /// It is on this machine.
    Plain(Channel),
    /// It is elsewhere.
    Mutual(MeshChannel, Arc<TlsIdentity>),
}

impl Line {
    /// The line that the configuration names.
    pub(super) fn open(config: &AcquirerConfig) -> Result<Self, Failure> {
        let network = &config.card_network;
        let address = network.address.as_deref().unwrap_or_default();
        match (network.kind, &network.tls) {
            (CardNetworkKind::Simulated, _) => Ok(Self::Inside),
            (CardNetworkKind::Remote, None) => {
                Ok(Self::Plain(plain_line(address).map_err(|error| wrong("card_network.address", &error))?))
            }
            (CardNetworkKind::Remote, Some(tls)) => {
                let identity = TlsIdentity::load(&tls.files(), tls.trust_domain.clone())
                    .map_err(|error| wrong("card_network.tls", &error))?;
                own_name(config, tls, &identity)?;
                let expected = ExpectedServer::member(Role::Platform, tls.member.clone());
                let channel = MeshChannel::new(address, Arc::clone(&identity), expected)
                    .map_err(|error| wrong("card_network.address", &error))?;
                Ok(Self::Mutual(channel, identity))
            }
        }
    }

    /// Our identity on the line, whose files are to be watched.
    pub(super) fn identity(&self) -> Option<Arc<TlsIdentity>> {
        match self {
            Self::Inside | Self::Plain(_) => None,
            Self::Mutual(_, identity) => Some(Arc::clone(identity)),
        }
    }

    /// The card network at its end.
    pub(super) fn network(self, config: &AcquirerConfig, context: &Context) -> Arc<dyn AuthorizationNetwork> {
        let acquirer = context.acquirer.clone();
        let times = LineTimes {
            authorize: config.limits.network_deadline.get(),
            inquire: config.limits.network_inquiry_deadline.get(),
        };
        match self {
            Self::Inside => {
                let store = Arc::clone(context.repository.store());
                Arc::new(SimulatedNetwork::new(store, Arc::clone(&context.clock)))
            }
            Self::Plain(channel) => Arc::new(Remote::new(acquirer, channel, times)),
            Self::Mutual(channel, _) => Arc::new(Remote::new(acquirer, channel, times)),
        }
    }
}

/// The card network knows us by this certificate, so it must be ours.
fn own_name(config: &AcquirerConfig, tls: &LineTls, identity: &TlsIdentity) -> Result<(), Failure> {
    let expected = format!("spiffe://{}/{}/{}", tls.trust_domain, Role::Acquirer, config.acquirer_id);
    let own = identity.own_id().map(|id| id.to_string());
    if own.as_deref() == Some(expected.as_str()) {
        return Ok(());
    }
    Err(wrong("card_network.tls.certificate", &format_args!("must be the one of {expected}")))
}
