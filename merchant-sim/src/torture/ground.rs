//! The network of a run: the sample's, with other cardholders, a card network of its own, and a line with a
//! temper between any two parties.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use certs::files::{Access, make_folder, replace};
use serde::Serialize;

use super::links::Link;
use super::people::{self, CURRENCY};
use crate::network::port;
use crate::process::ports::{self, Reserved};
use crate::topology::{Issuer, NextHop, Policy, Topology, files, plan};

/// What the servers log: what is wrong, and the heads of the audit trails, which the auditor wants to see again.
const LOG: &str = "warn,issuer::tasks::audit=info";

/// The card network's name among the processes.
pub(super) const CARD_NETWORK: &str = "card-network";

/// The file in which the shops' processes find the network.
pub(super) const DESCRIPTION: &str = "torture.json";

/// A network that can be tormented.
#[derive(Debug)]
pub(super) struct Ground {
    /// Where everybody really is.
    pub(super) topology: Topology,
    /// Where shops and devices find everybody: at the end of a line.
    pub(super) seen: Topology,
    /// The lines.
    pub(super) links: Vec<Link>,
    /// The card network.
    pub(super) card_network: CardNetwork,
    reserved: Option<Reserved>,
}

/// Where the card network is.
#[derive(Clone, Debug)]
pub(super) struct CardNetwork {
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
    /// Its ledger.
    pub(super) data: PathBuf,
    /// Where it is told to fail.
    pub(super) control: u16,
}

impl Ground {
    /// Makes a network in a folder, and writes everything that its processes read.
    ///
    /// # Errors
    /// The folder can't be used, or too few ports are free.
    pub(super) async fn make(folder: &Path) -> Result<Self> {
        let wishes =
            plan::Wishes { reflection: false, log_filter: LOG, load_customers: 0, pages: plan::Pages::Programs };
        let plan::Planned { mut topology, reserved } = plan::make(folder, wishes)?;
        let more = ports::reserve(2)?;
        topology.merchants.retain(|merchant| merchant.currency == CURRENCY);
        // Every shop takes a password, and every bank is content with one: what is tried here is not the proofs.
        topology.merchants.iter_mut().for_each(|merchant| merchant.demand = None);
        for (bank, issuer) in (0..).zip(&mut topology.issuers) {
            issuer.policy = Policy::Any;
            issuer.source_failures_max = u32::MAX;
            issuer.customers = people::of(issuer, bank)?;
        }
        let [line, control] = more.ports()[..] else { anyhow::bail!("two ports were asked for") };
        let card_network = card_network(&topology, line, control)?;
        let mut ground =
            Self { seen: topology.clone(), topology, links: Vec::new(), card_network, reserved: Some(reserved) };
        ground.write(line).await?;
        drop(more);
        Ok(ground)
    }

    /// Gives the ports up, right before the servers take them.
    pub(super) fn release_ports(&mut self) {
        self.reserved = None;
    }

    /// A line by its name.
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name() == name)
    }

    /// A new line; returns where it is called.
    async fn line(&mut self, from: &str, to: &str, at: &str) -> Result<String> {
        let link = Link::open(format!("{from} to {to}"), port(at)?).await?;
        let endpoint = link.endpoint();
        self.links.push(link);
        Ok(endpoint)
    }

    /// Opens the lines, and writes each server's files so that it finds the others at the end of one.
    async fn write(&mut self, card_network: u16) -> Result<()> {
        let real = self.topology.clone();
        let acquirer = real.acquirers.first().context("the network has no acquirer")?;
        // Whoever calls acquirers directly has the operator's file; the platform has it from the start, and hands
        // its own directory on. So the two see the acquirer at different lines.
        let mut directly = Vec::new();
        for issuer in real.issuers.iter().filter(|issuer| issuer.next_hop == NextHop::Acquirer) {
            let mut direct = real.clone();
            direct.directory = real.folder.join(format!("directory-{}.pb", issuer.id));
            direct.acquirers[0].endpoint = self.line(&issuer.id, &acquirer.id, &acquirer.endpoint).await?;
            files::write(&direct)?;
            directly.push((direct, issuer));
        }
        let mut hub = real.clone();
        hub.acquirers[0].endpoint = self.line(&real.platform.id, &acquirer.id, &acquirer.endpoint).await?;
        files::write(&hub)?;
        for (direct, issuer) in directly {
            files::write_issuer(&direct, issuer)?;
        }
        for issuer in real.issuers.iter().filter(|issuer| issuer.next_hop == NextHop::Platform) {
            let mut relayed = real.clone();
            relayed.platform.endpoint = self.line(&issuer.id, &real.platform.id, &real.platform.endpoint).await?;
            files::write_issuer(&relayed, issuer)?;
        }
        let mut own = real.clone();
        own.platform.endpoint = self.line(&acquirer.id, &real.platform.id, &real.platform.endpoint).await?;
        for (place, merchant) in real.merchants.iter().enumerate() {
            own.merchants[place].notifications = self.line(&acquirer.id, &merchant.id, &merchant.notifications).await?;
        }
        files::write_acquirer(&own, acquirer)?;
        let link = Link::open(format!("{} to {CARD_NETWORK}", acquirer.id), card_network).await?;
        let address = link.endpoint().replace("https://localhost", "http://127.0.0.1");
        self.links.push(link);
        let mut config = fs::OpenOptions::new().append(true).open(&acquirer.files.config)?;
        write!(config, "\n[card_network]\nkind = \"remote\"\naddress = \"{address}\"\n")?;
        self.outside().await?;
        self.seen.save(&real.folder.join(DESCRIPTION))
    }

    /// The lines of shops and devices.
    async fn outside(&mut self) -> Result<()> {
        let mut seen = self.topology.clone();
        seen.acquirers[0].endpoint = self.line("shops", &seen.acquirers[0].id, &seen.acquirers[0].endpoint).await?;
        seen.platform.devices = self.line("devices", &seen.platform.id, &seen.platform.devices).await?;
        for place in 0..seen.issuers.len() {
            let Issuer { id, endpoint, .. } = seen.issuers[place].clone();
            seen.issuers[place].endpoint = self.line("devices", &id, &endpoint).await?;
        }
        self.seen = seen;
        Ok(())
    }
}

#[derive(Serialize)]
struct CardNetworkFile {
    listen: Listen,
    store: Store,
    telemetry: Telemetry,
}

#[derive(Serialize)]
struct Listen {
    line: Address,
    control: Address,
}

#[derive(Serialize)]
struct Address {
    address: String,
}

#[derive(Serialize)]
struct Store {
    folder: PathBuf,
}

#[derive(Serialize)]
struct Telemetry {
    filter: &'static str,
    format: &'static str,
}

fn card_network(topology: &Topology, line: u16, control: u16) -> Result<CardNetwork> {
    let folder = topology.folder.join(CARD_NETWORK);
    make_folder(&folder)?;
    let at = |port: u16| Address { address: format!("127.0.0.1:{port}") };
    let data = folder.join("data");
    let file = CardNetworkFile {
        listen: Listen { line: at(line), control: at(control) },
        store: Store { folder: data.clone() },
        telemetry: Telemetry { filter: LOG, format: "human" },
    };
    let config = folder.join("config.toml");
    replace(&config, toml::to_string(&file)?.as_bytes(), Access::Owner)?;
    let log = topology.folder.join("logs").join(format!("{CARD_NETWORK}.log"));
    Ok(CardNetwork { config, log, data, control })
}
