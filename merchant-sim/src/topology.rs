//! A network as it stands on one machine: who is there, at which port, with which files and secrets.
//!
//! The same description drives the commands of this program and, as `sandbox.json`, scripts in any
//! language; `SANDBOX.md` documents it field by field. All paths in it are absolute.

pub mod files;
pub mod plan;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use certs::files::{Access, read_text, replace};
use serde::{Deserialize, Serialize};

use crate::role::Server;

/// Changes whenever a program that reads `sandbox.json` would have to.
pub const FORMAT: u32 = 2;

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
    /// The shops.
    pub merchants: Vec<Merchant>,
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
    /// Its HTTPS port with the bank picker.
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
    /// Its HTTPS port with the payment pages.
    pub pages: String,
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
    /// Its gRPC port for devices, server TLS: `https://localhost:PORT`.
    pub endpoint: String,
    /// The BINs of its cards.
    pub bin_ranges: Vec<String>,
    /// Where it sends its authorization requests.
    pub next_hop: NextHop,
    /// The largest payment, for each currency that its customers may pay in; the directory says so.
    pub amount_max: Vec<Amount>,
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

/// One cardholder. Invented, so that the secrets below may stand in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The bank's id of the customer.
    pub id: String,
    /// The name.
    pub name: String,
    /// What this one is good for.
    pub purpose: String,
    /// The national id.
    pub national_id: String,
    /// The user code.
    pub user_code: String,
    /// The password.
    pub password: String,
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// An account and the cards that draw on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The bank's id of the account.
    pub id: String,
    /// A credit line or a balance.
    pub kind: AccountKind,
    /// Its currency.
    pub currency: String,
    /// The credit line or the balance at the beginning, in minor units.
    pub minor_units: i64,
    /// Its cards.
    pub cards: Vec<Card>,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// A credit line.
    Credit,
    /// A balance.
    Debit,
}

/// A card with a test number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What the bank calls it; `ListCardOptions` shows it beside the last four digits.
    pub label: String,
    /// The test number.
    pub pan: String,
    /// Month of expiry.
    pub expiry_month: u32,
    /// Year of expiry.
    pub expiry_year: u32,
    /// The verification value.
    pub cvv: String,
    /// Whether the bank has blocked it.
    pub blocked: bool,
    /// What happens when it pays.
    pub behaviour: String,
}

/// One shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchant {
    /// Its id.
    pub id: String,
    /// The name that a cardholder sees.
    pub display_name: String,
    /// Its domain.
    pub domain: String,
    /// Its ISO 18245 category.
    pub category_code: String,
    /// Its acquirer's id.
    pub acquirer: String,
    /// Where its server takes notifications, mutual TLS: `https://localhost:PORT`.
    pub notifications: String,
    /// A return address on its allow-list.
    pub return_url: String,
    /// The currency that it may take.
    pub currency: String,
    /// What it may take in one order, in minor units.
    pub order_max: i64,
    /// What it may take in a day, in minor units.
    pub day_max: i64,
    /// Its TLS certificate, for calls and for its own server.
    pub tls: KeyPair,
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

impl Card {
    /// Finds this card among the options that the bank shows.
    #[must_use]
    pub fn among<'a>(&self, options: &'a [proto::pb::CardOption]) -> Option<&'a proto::pb::CardOption> {
        options.iter().find(|option| option.label == self.label && self.pan.ends_with(&option.last_four))
    }
}

impl Customer {
    /// All cards, whatever their account.
    pub fn cards(&self) -> impl Iterator<Item = &Card> {
        self.accounts.iter().flat_map(|account| &account.cards)
    }
}
