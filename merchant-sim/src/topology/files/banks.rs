//! The banks, as the operator describes them before the directory is signed.

use std::path::PathBuf;

use proto::money::MINOR_UNITS_MAX;
use serde::Serialize;

use crate::sample::{CURRENCY, DOLLARS};
use crate::topology::{Amount, Topology};

/// More than two cores ever reach, so that a benchmark measures the servers and not this number.
const AUTHORIZATIONS_PER_SECOND: u32 = 100_000;

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
        app_link: issuer.app_link.clone(),
        endpoint: issuer.endpoint.clone(),
        bin_ranges: issuer.bin_ranges.clone(),
        signing_certificates: vec![issuer.signing.certificate.clone()],
        limits: limits(issuer.amount_max.clone()),
    });
    File { bank: acquirers.chain(issuers).collect() }
}
