//! Writing what the servers read: configurations, the bank directory, the customers.

mod acquirer_file;
mod banks;
mod customers_file;
mod issuer_file;
mod platform_file;
mod policy_table;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use certs::directory::{earlier, entries_from_toml, sign};
use certs::files::{Access, read, replace};
use mesh::signing::Signer;
use prost::Message as _;
use serde::Serialize;

use super::{Acquirer, Issuer, KeyPair, ServerFiles, Topology};
use crate::network::port;
use crate::pki::Pki;

/// Writes every file anew. Keys and certificates stay as they are; the revocation list is renewed, and
/// the directory keeps the signatures of the entries that haven't changed.
///
/// # Errors
/// A file can't be read or written, or the directory can't be signed.
pub fn write(topology: &Topology) -> Result<()> {
    let now = SystemTime::now();
    Pki::open(&topology.folder, now)?;
    Pki::open(&topology.folder.join("outsiders"), now)?;
    sign_directory(topology, now)?;
    write_toml(&topology.platform.files.config, &platform_file::describe(topology)?)?;
    topology.acquirers.iter().try_for_each(|acquirer| write_acquirer(topology, acquirer))?;
    topology.issuers.iter().try_for_each(|issuer| write_issuer(topology, issuer))
}

/// Writes what one acquirer reads.
///
/// # Errors
/// A file can't be written.
pub fn write_acquirer(topology: &Topology, acquirer: &Acquirer) -> Result<()> {
    write_toml(&acquirer.files.config, &acquirer_file::describe(topology, acquirer)?)
}

/// Writes what one issuer reads, its customers included.
///
/// # Errors
/// A file can't be written.
pub fn write_issuer(topology: &Topology, issuer: &Issuer) -> Result<()> {
    write_toml(&issuer.files.config, &issuer_file::to_serve(topology, issuer)?)?;
    write_toml(&import_config(issuer), &issuer_file::to_import(topology, issuer)?)?;
    customers_file::write(issuer)
}

/// Where a member keeps its copy of the platform's directory.
#[must_use]
pub fn directory_copy(files: &ServerFiles) -> PathBuf {
    files.config.with_file_name("directory.copy")
}

/// The configuration with which a bank's customers are imported: the import runs before the platform, so
/// that it takes the directory from the operator's file.
#[must_use]
pub fn import_config(issuer: &Issuer) -> PathBuf {
    issuer.files.config.with_file_name("import.toml")
}

/// The tables that several servers' files share.
#[derive(Serialize)]
struct Address {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
}

#[derive(Serialize)]
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    authority: PathBuf,
    revocations: PathBuf,
}

#[derive(Serialize)]
struct Store {
    folder: PathBuf,
}

#[derive(Serialize)]
struct Vault {
    keys: PathBuf,
}

#[derive(Serialize)]
struct Directory {
    file: PathBuf,
}

/// A member's part in the platform's network.
#[derive(Serialize)]
struct Membership {
    id: String,
    endpoint: String,
    directory_copy: PathBuf,
    first_directory_wait: &'static str,
}

#[derive(Serialize)]
struct Telemetry {
    filter: String,
    format: &'static str,
}

/// What the servers log: in a form that people read, since people read a sandbox's logs.
fn telemetry(topology: &Topology) -> Telemetry {
    Telemetry { filter: topology.log_filter.clone(), format: "human" }
}

/// A member without any directory waits for the platform's, so that it serves nobody before it has one.
fn membership(topology: &Topology, files: &ServerFiles) -> Membership {
    Membership {
        id: topology.platform.id.clone(),
        endpoint: topology.platform.endpoint.clone(),
        directory_copy: directory_copy(files),
        first_directory_wait: "60s",
    }
}

fn listen(endpoint: &str) -> Result<Address> {
    Ok(Address { address: format!("127.0.0.1:{}", port(endpoint)?), tls: None })
}

/// As [`listen`], over TLS only where the pages' address says so.
fn listen_for_pages(pages: &str) -> Result<Address> {
    let tls = pages.starts_with("http://").then_some("none");
    Ok(Address { tls, ..listen(pages)? })
}

fn tls(topology: &Topology, files: &KeyPair) -> Tls {
    Tls {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        authority: topology.authority.clone(),
        revocations: topology.revocations.clone(),
    }
}

fn write_toml(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = toml::to_string(value).with_context(|| format!("cannot describe {}", path.display()))?;
    let text = format!("# Written by merchant-sim at every start; changes are lost.\n\n{text}");
    Ok(replace(path, text.as_bytes(), Access::Owner)?)
}

fn sign_directory(topology: &Topology, now: SystemTime) -> Result<()> {
    let description = topology.folder.join("banks.toml");
    banks::write_logos(&topology.folder)?;
    write_toml(&description, &banks::describe(topology))?;
    let signing = &topology.operator.signing;
    let signer = Signer::from_pem(&read(&signing.certificate)?, &read(&signing.key)?)?;
    let file = sign(entries_from_toml(&description)?, &signer, earlier(&topology.directory)?.as_ref(), now)?;
    Ok(replace(&topology.directory, &file.encode_to_vec(), Access::Everybody)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use acquirer::config::AcquirerConfig;
    use issuer::config::IssuerConfig;
    use mesh::config::load;
    use platform::config::PlatformConfig;

    use super::*;
    use crate::topology::plan;

    #[test]
    fn the_servers_accept_what_is_written_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let wishes =
            plan::Wishes { reflection: true, log_filter: "info", load_customers: 2, pages: plan::Pages::Programs };
        let topology = plan::make(folder.path(), wishes).unwrap().topology;
        write(&topology).unwrap();
        for acquirer in &topology.acquirers {
            let config: AcquirerConfig = load(&acquirer.files.config).unwrap();
            assert_eq!(config.merchants.len(), topology.merchants.len());
        }
        for issuer in &topology.issuers {
            for file in [&issuer.files.config, &import_config(issuer)] {
                let config: IssuerConfig = load(file).unwrap();
                assert_eq!(config.issuer_id.as_str(), issuer.id);
            }
        }
        let config: PlatformConfig = load(&topology.platform.files.config).unwrap();
        assert_eq!(config.platform.as_str(), topology.platform.id);
        let banks = topology.acquirers.len() + topology.issuers.len();
        assert_eq!(crate::shop::directory(&topology).unwrap().len(), banks);
        let signed = std::fs::read(&topology.directory).unwrap();
        write(&topology).unwrap();
        assert_eq!(std::fs::read(&topology.directory).unwrap(), signed, "an unchanged directory keeps its signatures");
    }
}
