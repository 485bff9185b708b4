//! A server beside the network that believes in another platform: at another address, with a copy of the
//! directory that we write. It has the member's own certificates, its own store, and its own port.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use certs::files::{Access, read, replace};
use mesh::identity::Role;
use mesh::signing::Signer;
use prost::Message as _;
use proto::directory::Head;
use proto::pb;

use crate::device::BankApp;
use crate::hostile::bank::sign;
use crate::network::{import, start_alone};
use crate::pki::Pki;
use crate::process::Process;
use crate::process::ports;
use crate::role::Server;
use crate::sample::PLATFORM;
use crate::shop;
use crate::topology::{Acquirer, Issuer, KeyPair, ServerFiles, Topology, files, plan};

/// What stands in the file as the directory's version: the first load gave each member one.
const VERSION: u64 = 4;

/// How long a server may take to stop.
const STOP_TIME: Duration = Duration::from_secs(25);

/// How old the platform's signing certificate is that signs the heads here.
const KEY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The network as the branch sees it: with the member alone, and the platform at an address where ours is
/// not.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) topology: Arc<Topology>,
    server: Server,
    process: Option<Process>,
}

impl Branch {
    /// A branch of an issuer, with its customers imported; not started yet.
    pub(super) async fn of_issuer(topology: &Topology, issuer: &Issuer) -> Result<Self> {
        let ports = ports::reserve(2)?;
        let mut taken = ports.ports().into_iter().map(|port| format!("https://localhost:{port}"));
        let (endpoint, platform) = (taken.next().context("no port")?, taken.next().context("no port")?);
        let files = plan::server_files(&topology.folder, &format!("{}-branch", issuer.id))?;
        let customers_file = files.config.with_file_name("customers.toml");
        let signing = old_key(&topology.folder, &files)?;
        let branch = Issuer { endpoint, files, customers_file, ..issuer.clone() };
        let mut seen = Topology { issuers: vec![branch], ..topology.clone() };
        seen.platform.endpoint = platform;
        seen.platform.signing = signing;
        let issuer = seen.issuers.first().context("no branch")?;
        files::write_issuer(&seen, issuer)?;
        import(issuer).await?;
        Ok(Self { topology: Arc::new(seen), server: Server::Issuer, process: None })
    }

    /// A branch of an acquirer; not started yet.
    pub(super) fn of_acquirer(topology: &Topology, acquirer: &Acquirer) -> Result<Self> {
        let ports = ports::reserve(4)?;
        let mut taken = ports.ports().into_iter().map(|port| format!("https://localhost:{port}"));
        let mut port = || taken.next().context("no port");
        let files = plan::server_files(&topology.folder, &format!("{}-branch", acquirer.id))?;
        let signing = old_key(&topology.folder, &files)?;
        let branch = Acquirer { endpoint: port()?, pages: port()?, operations: port()?, files, ..acquirer.clone() };
        let mut seen = Topology { acquirers: vec![branch], ..topology.clone() };
        seen.platform.signing = signing;
        seen.platform.endpoint = port()?;
        files::write_acquirer(&seen, seen.acquirers.first().context("no branch")?)?;
        Ok(Self { topology: Arc::new(seen), server: Server::Acquirer, process: None })
    }

    /// Starts it with a copy of the directory that the platform vouched for at this time.
    pub(super) async fn start(&mut self, vouched_at: SystemTime) -> Result<()> {
        let topology = Arc::clone(&self.topology);
        let (id, files) = self.place()?;
        write_copy(&topology, files, vouched_at)?;
        self.process = Some(start_alone(&topology, self.server, id, files).await?);
        Ok(())
    }

    /// Stops it; what it has stored stays.
    pub(super) async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(STOP_TIME).await?;
        }
        Ok(())
    }

    /// Its app, where it is an issuer's.
    pub(super) fn app(&self) -> Result<BankApp> {
        let issuer = self.topology.issuers.first().context("no issuer")?;
        BankApp::of(issuer, &self.topology.authority)
    }

    fn place(&self) -> Result<(&str, &ServerFiles)> {
        let acquirer = self.topology.acquirers.first().map(|acquirer| (acquirer.id.as_str(), &acquirer.files));
        let issuer = self.topology.issuers.first().map(|issuer| (issuer.id.as_str(), &issuer.files));
        let place = match self.server {
            Server::Acquirer => acquirer,
            Server::Issuer => issuer,
            Server::Platform | Server::CardNetwork => None,
        };
        place.context("a branch of nobody")
    }
}

/// A signing certificate of the platform's that is older than any head which it signs here.
fn old_key(network: &Path, files: &ServerFiles) -> Result<KeyPair> {
    let own = files.config.with_file_name("platform");
    let now = SystemTime::now();
    Pki::open(network, now)?.signing_since(Role::Platform, PLATFORM.id, now - KEY_AGE, &own)
}

/// The operator's directory under a head with the platform's true signature, as a follower keeps it.
fn write_copy(topology: &Topology, files: &ServerFiles, signed_at: SystemTime) -> Result<()> {
    let directory = shop::directory(topology)?;
    let signing = &topology.platform.signing;
    let signer = Signer::from_pem(&read(&signing.certificate)?, &read(&signing.key)?)?;
    let entry_count = u32::try_from(directory.len()).context("too many members")?;
    let head = Head { directory_version: VERSION, entry_count, entries_digest: directory.digest(), signed_at }.to_pb();
    let mut file = pb::DirectoryFile::decode(read(&topology.directory)?.as_slice())?;
    file.head = Some(sign(&signer, &head));
    file.platform_certificates = vec![Bytes::copy_from_slice(signer.certificate_der())];
    Ok(replace(&files::directory_copy(files), &file.encode_to_vec(), Access::Owner)?)
}
