//! Who takes part in the benchmark: an authority, the platform, one acquirer, one issuer that calls, and
//! as many other banks in the directory as are asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use certs::authority::{AUTHORITY_LIFETIME, Authority, HostName, Issued, LeafRequest};
use certs::directory;
use certs::files::{Access, write_new};
use mesh::config::TlsFiles;
use mesh::identity::{Role, TrustDomain};
use mesh::signing::Signer;
use mesh::tls::TlsIdentity;
use prost::Message as _;
use proto::pb;

use super::Directory;

pub(super) const PLATFORM: &str = "hub";
pub(super) const ACQUIRER: &str = "acq-bench";
/// The bank that calls: the first of the directory.
pub(super) const ISSUER: &str = "bank-00000";
pub(super) const TICKET_KEY_NUMBER: u8 = 1;
/// Good for a benchmark on the loopback address and for nothing else.
pub(super) const TICKET_KEY: [u8; 32] = [0x5a; 32];
pub(super) const TRUST_DOMAIN: &str = "bench.example";

/// The lowest BIN of the directory, and what lies between the beginnings of two ranges.
const BIN_FIRST: u32 = 10_000_000;
const BIN_STEP: u32 = 800;
/// BINs in one range.
const BIN_RANGE: u32 = 100;

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The authority and everybody's files.
#[derive(Debug)]
pub(super) struct Members {
    authority: Authority,
    operator: Signer,
    folder: PathBuf,
    now: SystemTime,
    pub(super) authority_certificate: PathBuf,
    pub(super) operator_certificate: PathBuf,
    pub(super) platform: Pair,
    pub(super) platform_signing: Pair,
    pub(super) ticket_keys: PathBuf,
    acquirer: Pair,
    issuer: Pair,
}

impl Members {
    /// Makes everything in a new folder.
    ///
    /// # Errors
    /// A file can't be written.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let now = SystemTime::now();
        let domain: TrustDomain = TRUST_DOMAIN.parse()?;
        let mut authority = Authority::create(domain, "Relay benchmark", AUTHORITY_LIFETIME, now)?;
        authority.save(&folder.join("authority"), now)?;
        let hosts: Vec<HostName> = vec!["localhost".parse()?, "127.0.0.1".parse()?];
        let save = |request: LeafRequest, name: &str| -> Result<(Issued, Pair)> {
            let issued = authority.issue(&request, now)?;
            let (certificate, key) = issued.save(&folder.join(name))?;
            Ok((issued, Pair { certificate, key }))
        };
        let (operator, operator_files) = save(LeafRequest::signing(Role::Operator, "op-bench".parse()?), "operator")?;
        let operator = Signer::from_pem(operator.certificate_pem().as_bytes(), operator.key_pem.as_bytes())?;
        let platform = LeafRequest::server(Role::Platform, PLATFORM.parse()?, hosts.clone());
        let (_, platform) = save(platform, "platform")?;
        let (_, platform_signing) = save(LeafRequest::signing(Role::Platform, PLATFORM.parse()?), "platform")?;
        let (_, acquirer) = save(LeafRequest::server(Role::Acquirer, ACQUIRER.parse()?, hosts), "acquirer")?;
        let (_, issuer) = save(LeafRequest::client(Role::Issuer, ISSUER.parse()?), "issuer")?;
        let ticket_keys = folder.join("ticket.keys");
        let line = format!("{TICKET_KEY_NUMBER}:{}\n", data_encoding::HEXLOWER.encode(&TICKET_KEY));
        write_new(&ticket_keys, line.as_bytes(), Access::Owner)?;
        Ok(Self {
            authority_certificate: folder.join("authority").join("ca.pem"),
            operator_certificate: operator_files.certificate,
            authority,
            operator,
            folder: folder.to_owned(),
            now,
            platform,
            platform_signing,
            ticket_keys,
            acquirer,
            issuer,
        })
    }

    /// The acquirer's certificate.
    ///
    /// # Errors
    /// Its files can't be read.
    pub(super) fn acquirer_identity(&self) -> Result<Arc<TlsIdentity>> {
        self.identity(&self.acquirer)
    }

    /// The calling issuer's certificate.
    ///
    /// # Errors
    /// Its files can't be read.
    pub(super) fn issuer_identity(&self) -> Result<Arc<TlsIdentity>> {
        self.identity(&self.issuer)
    }

    /// The platform's certificate and key in one file, as HAProxy wants them.
    ///
    /// # Errors
    /// A file can't be read or written.
    pub(super) fn platform_bundle(&self) -> Result<PathBuf> {
        let path = self.folder.join("platform-bundle.pem");
        let bundle = [fs::read(&self.platform.certificate)?, fs::read(&self.platform.key)?].concat();
        write_new(&path, &bundle, Access::Owner)?;
        Ok(path)
    }

    /// Writes a signed directory of this size, whose acquirer is at that port.
    ///
    /// # Errors
    /// The size is none, or the file can't be written.
    pub(super) fn write_directory(&self, size: Directory, acquirer_port: u16, path: &Path) -> Result<()> {
        ensure!(size.banks >= 1 && size.banks <= 10_000, "there can be 1 to 10,000 banks");
        let per_bank = size.bin_ranges.div_ceil(size.banks);
        ensure!((1..=10).contains(&per_bank), "there can be 1 to 10 BIN ranges for each bank");
        let mut entries = vec![self.entry(ACQUIRER, Role::Acquirer, acquirer_port, Vec::new())?];
        for bank in 0..size.banks {
            let ranges = (bank * per_bank..(bank + 1) * per_bank).take_while(|range| *range < size.bin_ranges);
            let ranges = ranges.map(|range| {
                let first = BIN_FIRST + range * BIN_STEP;
                pb::BinRange { first, last: first + BIN_RANGE - 1 }
            });
            entries.push(self.entry(&format!("bank-{bank:05}"), Role::Issuer, 1, ranges.collect())?);
        }
        let file = directory::sign(entries, &self.operator, None, self.now)?;
        fs::write(path, file.encode_to_vec()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn entry(&self, id: &str, role: Role, port: u16, bins: Vec<pb::BinRange>) -> Result<pb::DirectoryEntry> {
        let signing = self.authority.issue(&LeafRequest::signing(role, id.parse()?), self.now)?;
        let (pb_role, app_link) = if role == Role::Acquirer {
            (pb::MemberRole::Acquirer, String::new())
        } else {
            (pb::MemberRole::Issuer, format!("https://{id}.example/pay"))
        };
        let amount = pb::Money { currency_code: "TWD".to_owned(), minor_units: 100_000_000 };
        Ok(pb::DirectoryEntry {
            member_id: id.to_owned(),
            role: pb_role.into(),
            version: 1,
            status: pb::MemberStatus::Active.into(),
            name_zh_tw: format!("測試 {id}"),
            name_en: format!("Test {id}"),
            logo_svg: String::new(),
            app_link,
            endpoint: format!("https://localhost:{port}"),
            bin_ranges: bins,
            signing_certificates: vec![Bytes::copy_from_slice(&signing.certificate)],
            // The limit is checked and must not be what is measured.
            limits: Some(pb::MemberLimits { amount_max: vec![amount], authorizations_per_second: 100_000 }),
            signed_at: None,
        })
    }

    fn identity(&self, pair: &Pair) -> Result<Arc<TlsIdentity>> {
        let files = TlsFiles {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            authority: self.authority_certificate.clone(),
            revocations: None,
        };
        Ok(TlsIdentity::load(&files, TRUST_DOMAIN.parse()?)?)
    }
}
