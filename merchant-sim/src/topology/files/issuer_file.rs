//! An issuer's configuration.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::{
    Address, Directory, Membership, Store, Telemetry, Tls, listen, listen_for_pages, membership, policy_table,
    telemetry, tls,
};
use crate::topology::{Issuer, KeyPair, NextHop, Topology};

#[derive(Serialize)]
pub(super) struct File {
    issuer_id: String,
    trust_domain: String,
    reflection: bool,
    card_verification: &'static str,
    listen: Listen,
    tls: Tls,
    signing: KeyPair,
    vault: IssuerVault,
    auth: Auth,
    features: Features,
    policy: policy_table::Table,
    passkeys: Passkeys,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<App>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Directory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Membership>,
    store: Store,
    telemetry: Telemetry,
}

#[derive(Serialize)]
struct Listen {
    devices: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<Address>,
}

/// The bank's app.
#[derive(Serialize)]
struct App {
    public_url: String,
    demo_sensor: bool,
    platform: AppPlatform,
}

/// Where the app takes orders and tickets from.
#[derive(Serialize)]
struct AppPlatform {
    endpoint: String,
    authority: PathBuf,
}

#[derive(Serialize)]
struct IssuerVault {
    keys: PathBuf,
    rotation_rate: u32,
}

#[derive(Serialize)]
struct Auth {
    source_failures_max: u32,
}

#[derive(Serialize)]
struct Features {
    count: u32,
}

#[derive(Serialize)]
struct Passkeys {
    relying_party_id: String,
    origins: Vec<String>,
}

/// With which it serves: with the operator's directory where it calls acquirers directly, with the
/// platform's otherwise.
pub(super) fn to_serve(topology: &Topology, issuer: &Issuer) -> Result<File> {
    let file = to_import(topology, issuer)?;
    Ok(match issuer.next_hop {
        NextHop::Acquirer => file,
        NextHop::Platform => File { directory: None, platform: Some(membership(topology, &issuer.files)), ..file },
    })
}

fn app_platform(topology: &Topology) -> AppPlatform {
    AppPlatform { endpoint: topology.platform.devices.clone(), authority: topology.authority.clone() }
}

/// With which its customers are imported.
pub(super) fn to_import(topology: &Topology, issuer: &Issuer) -> Result<File> {
    Ok(File {
        issuer_id: issuer.id.clone(),
        trust_domain: topology.trust_domain.clone(),
        reflection: topology.reflection,
        // The cards are invented, so that their values may lie beside them.
        card_verification: "stored",
        listen: Listen {
            devices: listen(&issuer.endpoint)?,
            app: issuer.app.as_deref().map(listen_for_pages).transpose()?,
        },
        tls: tls(topology, &issuer.tls),
        signing: issuer.signing.clone(),
        vault: IssuerVault { keys: issuer.files.keys.clone(), rotation_rate: issuer.vault_rotation_rate },
        auth: Auth { source_failures_max: issuer.source_failures_max },
        features: Features { count: issuer.feature_count },
        policy: policy_table::describe(issuer.policy, issuer.app.is_some()),
        passkeys: Passkeys {
            relying_party_id: issuer.passkeys.relying_party_id.clone(),
            origins: vec![issuer.passkeys.origin.clone()],
        },
        // A browser has no sensor for features.
        app: issuer.app.clone().map(|public_url| App {
            public_url,
            demo_sensor: true,
            platform: app_platform(topology),
        }),
        directory: Some(Directory { file: topology.directory.clone() }),
        platform: None,
        store: Store { folder: issuer.files.data.clone() },
        telemetry: telemetry(topology),
    })
}
