//! A network as it stands on one machine: who is there, at which port, with which files and secrets.
//!
//! The same description drives the commands of this program and, as `sandbox.json`, scripts in any
//! language; `SANDBOX.md` documents it field by field. All paths in it are absolute.

pub mod files;
mod members;
mod people;
pub mod plan;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use certs::files::{Access, read_text, replace};
use serde::{Deserialize, Serialize};

use crate::role::Server;

pub use members::{Demand, Merchant, SuspendedBank};
pub use people::{Account, AccountKind, Card, Customer};

/// Changes whenever a program that reads `sandbox.json` would have to.
pub const FORMAT: u32 = 4;

/// A whole network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// [`FORMAT`].
    pub format: u32,
    /// The network's name in every SPIFFE id.
    pub trust_domain: String,
    /// The folder that everything lies in.
    pub folder: PathBuf,
    /// The certificate of the network's authority, PEM.
    pub authority: PathBuf,
    /// The authority's revocation list, PEM.
    pub revocations: PathBuf,
    /// The signed bank directory, a serialised `bankside.v1.DirectoryFile`.
    pub directory: PathBuf,
    /// Whether the servers offer gRPC reflection.
    pub reflection: bool,
    /// What the servers log: a level, or directives as `tracing-subscriber` reads them.
    pub log_filter: String,
    /// The network's operator, who runs no server.
    pub operator: Operator,
    /// The platform.
    pub platform: Platform,
    /// The acquirers.
    pub acquirers: Vec<Acquirer>,
    /// The issuers.
    pub issuers: Vec<Issuer>,
    /// Banks that the operator has suspended, which run no server.
    pub suspended_banks: Vec<SuspendedBank>,
    /// The shops.
    pub merchants: Vec<Merchant>,
    /// The demo shops' pages, plain HTTP; none where nobody looks at pages.
    pub storefront: Option<String>,
    /// Parties that exist to be refused.
    pub outsiders: Outsiders,
    /// What the acquirer's simulated card network does with which card.
    pub test_cards: Vec<TestCard>,
}

/// A certificate and its private key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, PKCS #8.
    pub key: PathBuf,
}

/// The operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its id.
    pub id: String,
    /// For calls.
    pub tls: KeyPair,
    /// For signing directory entries.
    pub signing: KeyPair,
}

/// The files of one server's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFiles {
    /// Its configuration.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// Its keys: of a bank those that its stored secrets are wrapped under, of the platform those of its
    /// tickets.
    pub keys: PathBuf,
}

/// The platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name_en: String,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: String,
    /// Its gRPC port for members, mutual TLS: `https://localhost:PORT`.
    pub endpoint: String,
    /// Its gRPC port for devices, server TLS.
    pub devices: String,
    /// Its pages, with the bank picker: HTTPS, or in a sandbox plain HTTP on a name of loopback.
    pub pages: String,
    /// Its numbers, plain HTTP: `http://127.0.0.1:PORT/metrics`.
    pub metrics: String,
    /// Its TLS certificate.
    pub tls: KeyPair,
    /// Its signing certificate.
    pub signing: KeyPair,
    /// Its process's files.
    pub files: ServerFiles,
}

/// Where an issuer sends its authorization requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextHop {
    /// To the acquirer of each order.
    Acquirer,
    /// To the platform, which relays.
    Platform,
}

/// Which proofs an issuer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Two of three kinds, small payments apart.
    Psd2,
    /// A table by amount and merchant category.
    Table,
    /// Any one factor.
    Any,
    /// Two of three kinds to be let in at all; no bank of the sample has it.
    Strict,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Its currency.
    pub currency: String,
    /// How much, in minor units.
    pub minor_units: i64,
}

/// One acquirer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquirer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name_en: String,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: String,
    /// Its gRPC port for members, mutual TLS: `https://localhost:PORT`.
    pub endpoint: String,
    /// Its payment pages: HTTPS, or in a sandbox plain HTTP on a name of loopback.
    pub pages: String,
    /// Its gRPC port for its own people (`acquirer operate`), mutual TLS: `https://localhost:PORT`.
    pub operations: String,
    /// Whether it is a member of the platform, which offers every bank. If not, its shops' customers pay with
    /// banks that call it directly.
    pub at_platform: bool,
    /// What its QR codes' links begin with.
    pub app_link: String,
    /// From more than these amounts on, one for each currency, the browser that opened the payment page must
    /// pay.
    pub same_device_above: Vec<Amount>,
    /// Its TLS certificate.
    pub tls: KeyPair,
    /// Its signing certificate.
    pub signing: KeyPair,
    /// Its process's files.
    pub files: ServerFiles,
}

/// One issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name_en: String,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: String,
    /// Its app link.
    pub app_link: String,
    /// Its app's pages, plain HTTP on a name of loopback; none where it serves no app.
    pub app: Option<String>,
    /// Its gRPC port for devices, server TLS: `https://localhost:PORT`.
    pub endpoint: String,
    /// The BINs of its cards.
    pub bin_ranges: Vec<String>,
    /// Where it sends its authorization requests.
    pub next_hop: NextHop,
    /// The largest payment, for each currency that its customers may pay in; the directory says so.
    pub amount_max: Vec<Amount>,
    /// Which proofs it asks for; `SANDBOX.md` says what each name stands for.
    pub policy: Policy,
    /// Where its passkeys are good.
    pub passkeys: Passkeys,
    /// How many values a feature vector has.
    pub feature_count: u32,
    /// How many records of its vault move to a new key in a second.
    pub vault_rotation_rate: u32,
    /// How many failed proofs from one address it bears in ten minutes.
    pub source_failures_max: u32,
    /// Its TLS certificate.
    pub tls: KeyPair,
    /// Its signing certificate.
    pub signing: KeyPair,
    /// Its process's files.
    pub files: ServerFiles,
    /// The file from which its customers are imported.
    pub customers_file: PathBuf,
    /// The customers to try things with.
    pub customers: Vec<Customer>,
    /// Customers with one card and a large credit line each, for load.
    pub load_customers: Vec<Customer>,
}

/// Where a bank's passkeys are good (W3C Web Authentication Level 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passkeys {
    /// The relying party's id.
    pub relying_party_id: String,
    /// The origin that the client data must name.
    pub origin: String,
}

/// Parties that exist to be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outsiders {
    /// A shop with a certificate of the network that no acquirer knows.
    pub unlisted_merchant: KeyPair,
    /// A bank with certificates of the network that the directory doesn't name.
    pub unlisted_issuer: KeyPair,
    /// Its signing certificate.
    pub unlisted_issuer_signing: KeyPair,
    /// The certificate of an authority that nobody trusts.
    pub authority: PathBuf,
    /// A certificate that names the first shop, issued by that authority.
    pub foreign_merchant: KeyPair,
}

/// What the simulated card network does with a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCard {
    /// The number.
    pub pan: String,
    /// What it does.
    pub behaviour: String,
    /// The decline reason, where it declines.
    pub declined_for: Option<String>,
}

impl Policy {
    /// Whether a session that a device proved is accepted from that device alone. A bank that serves an app accepts
    /// its sessions from every device: a browser loads a page without a device's signature.
    #[must_use]
    pub const fn binds_sessions(self, serves_app: bool) -> bool {
        matches!(self, Self::Any) && !serves_app
    }
}

impl Topology {
    /// Reads a description, with an error that says what to do.
    ///
    /// # Errors
    /// The file can't be read, or isn't a description in this format.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let topology: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a description of a sandbox", path.display()))?;
        ensure!(
            topology.format == FORMAT,
            "{} has format {}, this program reads {FORMAT}: make a new sandbox",
            path.display(),
            topology.format
        );
        Ok(topology)
    }

    /// Writes the description, readable by its owner alone, since it holds passwords.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a description is always JSON")?;
        Ok(replace(path, format!("{text}\n").as_bytes(), Access::Owner)?)
    }

    /// The acquirer of a shop.
    ///
    /// # Errors
    /// There is none with that id.
    pub fn acquirer_of(&self, merchant: &Merchant) -> Result<&Acquirer> {
        let acquirer = self.acquirers.iter().find(|acquirer| acquirer.id == merchant.acquirer);
        acquirer.with_context(|| format!("{} names the unknown acquirer {}", merchant.id, merchant.acquirer))
    }
}

impl Topology {
    /// Every server with its id and files, in the order in which they are started.
    #[must_use]
    pub fn servers(&self) -> Vec<(Server, &str, &ServerFiles)> {
        let platform = (Server::Platform, self.platform.id.as_str(), &self.platform.files);
        let acquirers = self.acquirers.iter().map(|a| (Server::Acquirer, a.id.as_str(), &a.files));
        let issuers = self.issuers.iter().map(|i| (Server::Issuer, i.id.as_str(), &i.files));
        std::iter::once(platform).chain(acquirers).chain(issuers).collect()
    }

    /// An issuer by its id.
    ///
    /// # Errors
    /// There is none with that id.
    pub fn issuer(&self, id: &str) -> Result<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == id).with_context(|| format!("there is no issuer {id}"))
    }
}
