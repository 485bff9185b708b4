//! Who is there beside the servers: the shops, and banks that are out of service.

use serde::{Deserialize, Serialize};

use super::KeyPair;

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
    /// What its acquirer demands of the banks' identity verification for payments to its category.
    pub demand: Option<Demand>,
    /// Its TLS certificate, for calls and for its own server.
    pub tls: KeyPair,
}

/// What an acquirer demands of a bank's identity verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// So many of the three kinds of proof.
    pub kinds: u32,
    /// Whether a bound device must have signed a consent.
    pub consent: bool,
}

/// A bank in the directory that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspendedBank {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name_en: String,
    /// Its name in Traditional Chinese.
    pub name_zh_tw: String,
    /// The BINs of its cards.
    pub bin_ranges: Vec<String>,
    /// Its signing certificate.
    pub signing: KeyPair,
}
