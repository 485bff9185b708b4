//! An acquirer's configuration.

use anyhow::Result;
use serde::Serialize;

use super::{
    Address, Directory, Membership, Store, Telemetry, Tls, Vault, listen, listen_for_pages, membership, telemetry, tls,
};
use crate::topology::{Acquirer, Amount, Demand, KeyPair, Merchant, Topology};

#[derive(Serialize)]
pub(super) struct File {
    acquirer_id: String,
    trust_domain: String,
    reflection: bool,
    listen: Listen,
    tls: Tls,
    signing: KeyPair,
    vault: Vault,
    store: Store,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Directory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Membership>,
    page: Page,
    telemetry: Telemetry,
    authentication: Authentication,
    merchant: Vec<MerchantTable>,
}

#[derive(Serialize)]
struct Authentication {
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    category_codes: [String; 1],
    kinds: u32,
    consent: bool,
}

#[derive(Serialize)]
struct Listen {
    members: Address,
    page: Address,
    operations: Address,
}

#[derive(Serialize)]
struct Page {
    public_url: String,
    app_link: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_picker: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_device_above: Vec<Amount>,
}

#[derive(Serialize)]
struct MerchantTable {
    id: String,
    display_name: String,
    domain: String,
    category_code: String,
    return_urls: Vec<String>,
    notification_endpoint: String,
    currencies: Vec<Currency>,
}

#[derive(Serialize)]
struct Currency {
    code: String,
    order_max_minor_units: i64,
    day_max_minor_units: i64,
}

pub(super) fn describe(topology: &Topology, acquirer: &Acquirer) -> Result<File> {
    let merchants = topology.merchants.iter().filter(|merchant| merchant.acquirer == acquirer.id);
    let rules = merchants.clone().filter_map(|merchant| {
        let Demand { kinds, consent } = merchant.demand?;
        Some(Rule { category_codes: [merchant.category_code.clone()], kinds, consent })
    });
    Ok(File {
        acquirer_id: acquirer.id.clone(),
        trust_domain: topology.trust_domain.clone(),
        reflection: topology.reflection,
        listen: Listen {
            members: listen(&acquirer.endpoint)?,
            page: listen_for_pages(&acquirer.pages)?,
            operations: listen(&acquirer.operations)?,
        },
        tls: tls(topology, &acquirer.tls),
        signing: acquirer.signing.clone(),
        vault: Vault { keys: acquirer.files.keys.clone() },
        store: Store { folder: acquirer.files.data.clone() },
        directory: (!acquirer.at_platform).then(|| Directory { file: topology.directory.clone() }),
        platform: acquirer.at_platform.then(|| membership(topology, &acquirer.files)),
        page: Page {
            public_url: acquirer.pages.clone(),
            app_link: acquirer.app_link.clone(),
            bank_picker: acquirer.at_platform.then(|| topology.platform.pages.clone()),
            same_device_above: acquirer.same_device_above.clone(),
        },
        telemetry: telemetry(topology),
        authentication: Authentication { rules: rules.collect() },
        merchant: merchants.map(merchant_table).collect(),
    })
}

fn merchant_table(merchant: &Merchant) -> MerchantTable {
    MerchantTable {
        id: merchant.id.clone(),
        display_name: merchant.display_name.clone(),
        domain: merchant.domain.clone(),
        category_code: merchant.category_code.clone(),
        return_urls: vec![merchant.return_url.clone()],
        notification_endpoint: merchant.notifications.clone(),
        currencies: vec![Currency {
            code: merchant.currency.clone(),
            order_max_minor_units: merchant.order_max,
            day_max_minor_units: merchant.day_max,
        }],
    }
}
