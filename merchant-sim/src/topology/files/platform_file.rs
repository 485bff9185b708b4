//! The platform's configuration.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::{Address, Store, Telemetry, Tls, listen, listen_for_pages, telemetry, tls};
use crate::topology::Topology;

/// How often the banks are asked whether they answer: so that a bank that was restarted can soon be
/// picked again.
const PROBE_INTERVAL: &str = "1s";

#[derive(Serialize)]
pub(super) struct File {
    platform: String,
    trust_domain: String,
    reflection: bool,
    listen: Listen,
    tls: Tls,
    keys: Keys,
    store: Store,
    directory: Directory,
    checkout: Checkout,
    health: Health,
    telemetry: Telemetry,
}

#[derive(Serialize)]
struct Listen {
    members: Address,
    devices: Address,
    pages: Address,
    admin: Address,
}

#[derive(Serialize)]
struct Keys {
    signing_certificate: PathBuf,
    signing_key: PathBuf,
    tickets: PathBuf,
}

#[derive(Serialize)]
struct Directory {
    operator_certificates: Vec<PathBuf>,
    first: PathBuf,
}

#[derive(Serialize)]
struct Checkout {
    public_url: String,
}

#[derive(Serialize)]
struct Health {
    interval: &'static str,
}

pub(super) fn describe(topology: &Topology) -> Result<File> {
    let platform = &topology.platform;
    Ok(File {
        platform: platform.id.clone(),
        trust_domain: topology.trust_domain.clone(),
        reflection: topology.reflection,
        listen: Listen {
            members: listen(&platform.endpoint)?,
            devices: listen(&platform.devices)?,
            pages: listen_for_pages(&platform.pages)?,
            admin: listen(&platform.metrics)?,
        },
        tls: tls(topology, &platform.tls),
        keys: Keys {
            signing_certificate: platform.signing.certificate.clone(),
            signing_key: platform.signing.key.clone(),
            tickets: platform.files.keys.clone(),
        },
        store: Store { folder: platform.files.data.clone() },
        directory: Directory {
            operator_certificates: vec![topology.operator.signing.certificate.clone()],
            first: topology.directory.clone(),
        },
        checkout: Checkout { public_url: platform.pages.clone() },
        health: Health { interval: PROBE_INTERVAL },
        telemetry: telemetry(topology),
    })
}
