//! The banks, as the operator describes them before the directory is signed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use certs::files::{Access, make_folder, replace};
use proto::money::MINOR_UNITS_MAX;
use serde::Serialize;

use crate::sample::{CURRENCY, DOLLARS, ISSUERS, SUSPENDED_BANK};
use crate::topology::{Amount, Topology};

/// More than two cores ever reach, so that a benchmark measures the servers and not this number.
const AUTHORIZATIONS_PER_SECOND: u32 = 100_000;

/// The folder of the banks' logos.
const LOGOS: &str = "logos";

#[derive(Serialize)]
pub(super) struct File {
    bank: Vec<Bank>,
}

#[derive(Serialize)]
struct Bank {
    id: String,
    role: &'static str,
    version: u64,
    status: &'static str,
    name_zh_tw: String,
    name_en: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_file: Option<PathBuf>,
    app_link: String,
    endpoint: String,
    bin_ranges: Vec<String>,
    signing_certificates: Vec<PathBuf>,
    limits: Limits,
}

#[derive(Serialize)]
struct Limits {
    authorizations_per_second: u32,
    amount_max: Vec<Amount>,
}

pub(super) fn describe(topology: &Topology) -> File {
    let limits = |amount_max: Vec<Amount>| Limits { authorizations_per_second: AUTHORIZATIONS_PER_SECOND, amount_max };
    let any = |currency: &str| Amount { currency: currency.to_owned(), minor_units: MINOR_UNITS_MAX };
    let acquirers = topology.acquirers.iter().map(|acquirer| Bank {
        id: acquirer.id.clone(),
        role: "acquirer",
        version: 1,
        status: "active",
        name_zh_tw: acquirer.name_zh_tw.clone(),
        name_en: acquirer.name_en.clone(),
        logo_file: None,
        app_link: String::new(),
        endpoint: acquirer.endpoint.clone(),
        bin_ranges: Vec::new(),
        signing_certificates: vec![acquirer.signing.certificate.clone()],
        limits: limits(vec![any(CURRENCY), any(DOLLARS)]),
    });
    let issuers = topology.issuers.iter().map(|issuer| Bank {
        id: issuer.id.clone(),
        role: "issuer",
        version: 1,
        status: "active",
        name_zh_tw: issuer.name_zh_tw.clone(),
        name_en: issuer.name_en.clone(),
        logo_file: logo(&issuer.id).map(|_| logo_file(&topology.folder, &issuer.id)),
        app_link: issuer.app_link.clone(),
        endpoint: issuer.endpoint.clone(),
        bin_ranges: issuer.bin_ranges.clone(),
        signing_certificates: vec![issuer.signing.certificate.clone()],
        limits: limits(issuer.amount_max.clone()),
    });
    // Nobody calls a suspended bank: its addresses only have to be ones.
    let suspended = topology.suspended_banks.iter().map(|bank| Bank {
        id: bank.id.clone(),
        role: "issuer",
        version: 1,
        status: "suspended",
        name_zh_tw: bank.name_zh_tw.clone(),
        name_en: bank.name_en.clone(),
        logo_file: logo(&bank.id).map(|_| logo_file(&topology.folder, &bank.id)),
        app_link: format!("https://{}.example/pay", bank.id),
        endpoint: format!("https://{}.example:8443", bank.id),
        bin_ranges: bank.bin_ranges.clone(),
        signing_certificates: vec![bank.signing.certificate.clone()],
        limits: limits(vec![any(CURRENCY)]),
    });
    File { bank: acquirers.chain(issuers).chain(suspended).collect() }
}

/// Writes the banks' logos to where the description names them.
pub(super) fn write_logos(folder: &Path) -> Result<()> {
    make_folder(&folder.join(LOGOS))?;
    for id in ISSUERS.iter().map(|issuer| issuer.id).chain([SUSPENDED_BANK.id]) {
        if let Some(svg) = logo(id) {
            replace(&logo_file(folder, id), svg.as_bytes(), Access::Everybody)?;
        }
    }
    Ok(())
}

fn logo_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(LOGOS).join(format!("{id}.svg"))
}

/// A bank's logo, drawn for this sample.
fn logo(id: &str) -> Option<&'static str> {
    match id {
        "bank-aurora" => Some(include_str!("../../../logos/bank-aurora.svg")),
        "bank-basalt" => Some(include_str!("../../../logos/bank-basalt.svg")),
        "bank-nimbus" => Some(include_str!("../../../logos/bank-nimbus.svg")),
        "bank-tern" => Some(include_str!("../../../logos/bank-tern.svg")),
        _ => None,
    }
}
