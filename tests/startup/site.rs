//! A role's files in a network of their own, good until a case spoils them.

use std::{collections::BTreeMap, ffi::OsString, fs, future::Future, net::SocketAddr, sync::Arc};

use acquirer::config::AcquirerConfig;
use issuer::config::IssuerConfig;
use mesh::{
    boot::{self, Context, Failure, Listeners, Prepared, RoleConfig},
    clock::{SystemClock, SystemEntropy},
    telemetry::Metrics,
};
use platform::config::PlatformConfig;
use proto::directory::Entry;
use tests::{
    network::Network,
    roles::{self, PLATFORM},
    wait::soon,
};
use tokio_util::sync::CancellationToken;

/// The three roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Acquirer,
    Issuer,
    Platform,
}

/// One role's files.
pub(crate) struct Site {
    pub(crate) kind: Kind,
    pub(crate) network: Network,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Acquirer, Self::Issuer, Self::Platform];

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer-one",
            Self::Issuer => "bank-aurora",
            Self::Platform => PLATFORM,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer",
            Self::Issuer => "issuer",
            Self::Platform => "platform",
        }
    }

    /// The field that names the signing certificate.
    pub(crate) const fn signing(self) -> &'static str {
        match self {
            Self::Acquirer | Self::Issuer => "signing.certificate",
            Self::Platform => "keys.signing_certificate",
        }
    }

    /// The first port in the configuration.
    pub(crate) const fn first_port(self) -> &'static str {
        match self {
            Self::Acquirer | Self::Platform => "listen.members",
            Self::Issuer => "listen.devices",
        }
    }
}

impl Site {
    /// Good files for this role, and a directory of an acquirer and an issuer.
    pub(crate) fn new(kind: Kind) -> Self {
        let network = Network::new();
        let acquirer = roles::acquirer(&network, Kind::Acquirer.id()) + roles::direct();
        let issuer = roles::issuer(&network, Kind::Issuer.id()) + roles::direct();
        let platform = roles::platform(&network);
        let site = Self { kind, network };
        site.network.write("directory.binpb", site.network.directory_file(&site.entries()));
        site.write_config(&match kind {
            Kind::Acquirer => acquirer,
            Kind::Issuer => issuer,
            Kind::Platform => platform,
        });
        site
    }

    pub(crate) fn entries(&self) -> [Entry; 2] {
        let at: SocketAddr = "127.0.0.1:7443".parse().unwrap();
        [
            self.network.acquirer_entry(Kind::Acquirer.id(), at),
            self.network.issuer_entry(Kind::Issuer.id(), at, &[(40_000_000, 40_000_099)]),
        ]
    }

    pub(crate) fn write_config(&self, text: &str) {
        self.network.write("role.toml", text);
    }

    /// Changes the configuration's text, which must then be another one.
    pub(crate) fn edit(&self, change: impl FnOnce(&str) -> String) {
        let text = fs::read_to_string(self.network.path("role.toml")).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "the case changes nothing");
        self.write_config(&changed);
    }

    /// The role's folder of certificates.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", self.kind.name(), self.kind.id())
    }

    /// Puts one file in the place of another.
    pub(crate) fn replace(&self, file: &str, by: &str) {
        fs::copy(self.network.path(by), self.network.path(file)).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.network.path(file)).unwrap();
    }

    /// Starts the role, which must fail.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> Failure {
        match self.kind {
            Kind::Acquirer => start::<AcquirerConfig, _>(self, arguments, None, acquirer::run).await.unwrap_err(),
            Kind::Issuer => start::<IssuerConfig, _>(self, arguments, None, issuer::run).await.unwrap_err(),
            Kind::Platform => start::<PlatformConfig, _>(self, arguments, None, platform::run).await.unwrap_err(),
        }
    }

    /// Starts the role, which must be ready to take calls; then it stops.
    pub(crate) async fn starts(&self) {
        let port = Some(self.kind.first_port());
        match self.kind {
            Kind::Acquirer => start::<AcquirerConfig, _>(self, &[], port, acquirer::run).await,
            Kind::Issuer => start::<IssuerConfig, _>(self, &[], port, issuer::run).await,
            Kind::Platform => start::<PlatformConfig, _>(self, &[], port, platform::run).await,
        }
        .unwrap();
    }
}

/// What the role's binary does, up to its end. With a port, the role is stopped once it serves there.
async fn start<C, F>(
    site: &Site,
    arguments: &[&str],
    ready_at: Option<&str>,
    run: impl FnOnce(C, Context) -> F,
) -> Result<(), Failure>
where
    C: RoleConfig,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let given = arguments.iter().map(OsString::from);
    let usual = ["--config".into(), site.network.path("role.toml").into_os_string()];
    let all = [OsString::from(site.kind.name())].into_iter();
    let all: Vec<_> = if arguments.is_empty() { all.chain(usual).collect() } else { all.chain(given).collect() };
    let config = match boot::prepare::<C>(site.kind.name(), all, &BTreeMap::new()) {
        Prepared::Run(config, _) => config,
        Prepared::Refused(failure) => return Err(failure),
        Prepared::Done(text) => panic!("the role only says: {text}"),
    };
    let stop = CancellationToken::new();
    let context = Context {
        listeners: Listeners::bind(&config.listeners()).await?,
        stop: stop.clone(),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy::new()),
        metrics: Metrics::new(),
    };
    let ready_at = ready_at.map(|port| context.listeners.address(port).unwrap());
    let role = tokio::spawn(run(config, context));
    if let Some(address) = ready_at {
        // The port is bound before; a handshake on it needs somebody who serves.
        let served = async {
            let channel =
                mesh::channel::device_channel(&format!("https://{address}"), &site.network.path("ca/ca.pem")).unwrap();
            let nothing = proto::pb::ListCardOptionsRequest::default();
            let mut client = proto::pb::card_selection_client::CardSelectionClient::new(channel);
            client.list_card_options(mesh::channel::within(nothing, tests::wait::PATIENCE)).await.unwrap_err()
        };
        soon("the first answer", served).await;
        stop.cancel();
    }
    soon("the role's end", role).await.unwrap()
}
