//! The command line: `certs --help` tells what there is.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use mesh::identity::{CertificateSerial, Fingerprint, LeafCertificate, MemberId, Role, TrustDomain};
use mesh::signing::Signer;
use prost::Message;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::authority::{
    AUTHORITY_LIFETIME, Authority, Crl, DAY, HostName, Issued, LeafRequest, Purpose, Reason, parse_serial,
};
use crate::files::{self, Access};
use crate::{directory, inspect};

/// The exit code where something that was inspected deserves a warning.
const WARNINGS: u8 = 3;

/// The authority's list of what it has issued, in its folder.
const ISSUED_FILE: &str = "issued.tsv";

/// Makes certificates, revocation lists and directory files for a Bankside network, and explains them.
#[derive(Debug, Parser)]
#[command(name = "certs", version, after_help = "Key files are made with mode 0600 and never overwritten.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a network's authority: ca.pem, ca.key, an empty crl.pem and revoked.toml
    Authority {
        /// The network's name, as in spiffe://<trust domain>/<role>/<id>
        #[arg(long)]
        trust_domain: TrustDomain,
        /// What people call the authority
        #[arg(long, default_value = "Bankside pilot authority")]
        name: String,
        /// For how many days, at most 7300
        #[arg(long, default_value_t = days(AUTHORITY_LIFETIME))]
        days: u32,
        /// The folder for its files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a TLS server's certificate, with which it also calls others: server.pem, server.key
    Server {
        #[command(flatten)]
        leaf: Leaf,
        /// A DNS name at which clients call it; may be repeated
        #[arg(long, value_name = "NAME")]
        dns: Vec<HostName>,
        /// An IP address at which clients call it; may be repeated
        #[arg(long, value_name = "ADDRESS")]
        ip: Vec<IpAddr>,
    },
    /// Issue a TLS client's certificate: client.pem, client.key
    Client(Leaf),
    /// Issue a message signer's certificate: signing.pem, signing.key
    Signing(Leaf),
    /// Revoke a certificate and make the next revocation list
    Revoke {
        /// The authority's folder
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        #[command(flatten)]
        which: Which,
        /// Why
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
        /// Since when the key was not safe any more (RFC 3339); what it signed since doesn't count
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        unsafe_since: Option<SystemTime>,
    },
    /// Make the next revocation list, also where nothing is revoked: crl.pem in the authority's folder
    Crl {
        /// The authority's folder
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// For how many days it may be relied on, at most 90
        #[arg(long, default_value_t = days(Crl::LIFETIME))]
        days: u32,
    },
    /// Say in words what files hold and what is wrong with them; exit code 3 where something is
    ///
    /// Files that are named together are judged together: name ca.pem and crl.pem beside a certificate.
    Inspect {
        /// Certificates, keys, revocation lists, directories
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// The bank directory
    #[command(subcommand)]
    Directory(DirectoryCommand),
}

#[derive(Debug, Subcommand)]
enum DirectoryCommand {
    /// Sign a description of the banks; over an earlier file, unchanged entries keep their signatures
    Sign {
        /// The banks in TOML
        #[arg(long, value_name = "FILE")]
        entries: PathBuf,
        /// The operator's signing certificate
        #[arg(long, value_name = "FILE")]
        operator_cert: PathBuf,
        /// The operator's signing key
        #[arg(long, value_name = "FILE")]
        operator_key: PathBuf,
        /// The directory file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say in words what a directory file holds; its signatures are checked where --ca is given
    Show {
        /// The directory file
        file: PathBuf,
        /// The authority's certificate
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
}

/// What every leaf needs.
#[derive(Debug, Args)]
struct Leaf {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// acquirer, issuer, platform, merchant or operator
    #[arg(long)]
    role: Role,
    /// The member's id, 3 to 40 of a-z, 0-9 and -
    #[arg(long)]
    id: MemberId,
    /// For how many days; 90 for TLS (at most 398), 365 for signing (at most 730)
    #[arg(long)]
    days: Option<u32>,
    /// The folder for certificate and key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Its serial number in hexadecimal, as `certs inspect` shows it
    #[arg(long, value_name = "HEX", value_parser = parse_serial)]
    serial: Option<CertificateSerial>,
    /// The certificate's file
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// Runs the program with the process's arguments, clock and output.
pub fn run() -> ExitCode {
    match execute(Cli::parse(), SystemTime::now(), &mut io::stdout().lock()) {
        Ok(code) => code,
        // Somebody who reads only the head of the output has seen enough.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says, at the time `now`, and tells about it on `out`.
///
/// # Errors
/// Whatever went wrong, with the file, the field and what to do.
pub fn execute(cli: Cli, now: SystemTime, out: &mut dyn Write) -> Result<ExitCode> {
    match cli.command {
        Command::Authority { trust_domain, name, days, out: folder } => {
            let mut authority = Authority::create(trust_domain, &name, DAY * days, now)?;
            authority.save(&folder, now)?;
            writeln!(out, "The authority of {} is in {}.", authority.trust_domain(), folder.display())?;
            writeln!(
                out,
                "Its fingerprint, to be told to members: SHA-256 {}",
                Fingerprint::of(authority.certificate())
            )?;
            writeln!(out, "Keep ca.key off every server; hand out ca.pem and crl.pem.")?;
        }
        Command::Server { leaf, dns, ip } => {
            let names = dns.into_iter().chain(ip.into_iter().map(HostName::Ip)).collect();
            issue(&leaf, LeafRequest::server(leaf.role, leaf.id.clone(), names), now, out)?;
        }
        Command::Client(leaf) => issue(&leaf, LeafRequest::client(leaf.role, leaf.id.clone()), now, out)?,
        Command::Signing(leaf) => issue(&leaf, LeafRequest::signing(leaf.role, leaf.id.clone()), now, out)?,
        Command::Revoke { authority, which, reason, unsafe_since } => {
            revoke(&authority, which, reason, unsafe_since, now, out)?;
        }
        Command::Crl { authority: folder, days } => {
            let _lock = files::lock_folder(&folder)?;
            let crl = Authority::load(&folder)?.save_revocations(&folder, now, DAY * days)?;
            tell_crl(&folder, &crl, out)?;
        }
        Command::Inspect { files } => return tell_reports(&inspect::inspect(&files, now)?, out),
        Command::Directory(DirectoryCommand::Sign { entries, operator_cert, operator_key, out: file }) => {
            sign_directory(&entries, &operator_cert, &operator_key, &file, now, out)?;
        }
        Command::Directory(DirectoryCommand::Show { file, ca }) => {
            directory::earlier(&file)?.with_context(|| format!("{} does not exist", file.display()))?;
            let files: Vec<_> = [Some(file), ca].into_iter().flatten().collect();
            return tell_reports(&inspect::inspect(&files, now)?, out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn issue(leaf: &Leaf, request: LeafRequest, now: SystemTime, out: &mut dyn Write) -> Result<()> {
    request.purpose().vacant_paths(&leaf.out)?;
    let _lock = files::lock_folder(&leaf.authority)?;
    let authority = Authority::load(&leaf.authority)?;
    let request = match leaf.days {
        Some(days) => request.lasting(DAY * days),
        None => request,
    };
    let issued = authority.issue(&request, now)?;
    // The record goes first: a certificate that nobody knows of could not be revoked.
    record(&leaf.authority, &issued)?;
    let (certificate, key) = issued.save(&leaf.out)?;
    writeln!(out, "{} and {} are for {}.", certificate.display(), key.display(), issued.id)?;
    writeln!(out, "Valid until {}; serial {}.", rfc3339_text(issued.not_after)?, issued.serial)?;
    if issued.purpose == Purpose::Signing {
        writeln!(out, "Key id {}. Tell the operator, who puts the certificate into the directory.", issued.key_id())?;
    }
    Ok(())
}

/// Adds a line to the authority's list of what it has issued: date of the end, serial, purpose, id.
fn record(folder: &Path, issued: &Issued) -> Result<()> {
    let path = folder.join(ISSUED_FILE);
    let line = format!("{}\t{}\t{}\t{}\n", rfc3339_text(issued.not_after)?, issued.serial, issued.purpose, issued.id);
    let append = || {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    };
    append().with_context(|| format!("{} cannot be written", path.display()))
}

/// Whether that list names the serial number.
fn is_recorded(folder: &Path, serial: &CertificateSerial) -> Result<bool> {
    let path = folder.join(ISSUED_FILE);
    let wanted = serial.to_string();
    Ok(path.exists() && files::read_text(&path)?.lines().any(|line| line.split('\t').nth(1) == Some(&wanted)))
}

fn revoke(
    folder: &Path,
    which: Which,
    reason: Reason,
    unsafe_since: Option<SystemTime>,
    now: SystemTime,
    out: &mut dyn Write,
) -> Result<()> {
    let _lock = files::lock_folder(folder)?;
    let mut authority = Authority::load(folder)?;
    let serial = match (which.serial, which.certificate) {
        // A mistyped number would revoke nobody, and whoever typed it would feel safe.
        (Some(serial), _) if !is_recorded(folder, &serial)? => {
            bail!("{ISSUED_FILE} names no certificate {serial}; check the number, or name the file by --certificate")
        }
        (Some(serial), _) => serial,
        (None, Some(path)) => {
            let certificate = read_certificate(&path)?;
            if !authority.has_issued(&certificate) {
                bail!("{} was not issued by this authority; revoke it where it was", path.display());
            }
            LeafCertificate::parse(&certificate).with_context(|| path.display().to_string())?.serial
        }
        (None, None) => bail!("name the certificate by --serial or --certificate"),
    };
    authority.revoke(&serial, reason, unsafe_since, now)?;
    let crl = authority.save_revocations(folder, now, Crl::LIFETIME)?;
    writeln!(out, "Revoked: {serial}.")?;
    tell_crl(folder, &crl, out)
}

fn sign_directory(
    entries: &Path,
    operator_cert: &Path,
    operator_key: &Path,
    file: &Path,
    now: SystemTime,
    out: &mut dyn Write,
) -> Result<()> {
    if let Some(mode) = files::open_to_others(operator_key)? {
        bail!("{} has mode {mode:o}; make it readable by its owner alone (chmod 600)", operator_key.display());
    }
    let operator = Signer::from_pem(&files::read(operator_cert)?, &files::read(operator_key)?)
        .with_context(|| format!("{} with {}", operator_cert.display(), operator_key.display()))?;
    let earlier = directory::earlier(file)?;
    let described = directory::entries_from_toml(entries)?;
    let signed =
        directory::sign(described, &operator, earlier.as_ref(), now).with_context(|| entries.display().to_string())?;
    files::replace(file, &signed.encode_to_vec(), Access::Everybody)?;
    writeln!(out, "{} is signed, key id {}; entries: {}.", file.display(), operator.key_id(), signed.entries.len())?;
    Ok(())
}

fn tell_crl(folder: &Path, crl: &Crl, out: &mut dyn Write) -> Result<()> {
    let path = folder.join("crl.pem");
    let until = rfc3339_text(crl.next_update)?;
    writeln!(
        out,
        "{} is list no. {}, good until {until}; revoked certificates: {}.",
        path.display(),
        crl.number,
        crl.entries
    )?;
    writeln!(out, "Bring it to every server; they load it without a restart.")?;
    Ok(())
}

fn tell_reports(reports: &[inspect::Report], out: &mut dyn Write) -> Result<ExitCode> {
    for report in reports {
        writeln!(out, "{report}")?;
    }
    let clean = reports.iter().all(|report| report.warnings.is_empty());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(WARNINGS) })
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(&files::read(path)?)
        .with_context(|| format!("{} holds no PEM certificate", path.display()))
}

fn rfc3339(text: &str) -> Result<SystemTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .map_err(|_| format!("{text:?} is not a time such as 2026-11-24T08:00:00Z"))
}

fn rfc3339_text(time: SystemTime) -> Result<String> {
    Ok(OffsetDateTime::from(time).format(&Rfc3339)?)
}

fn days(time: Duration) -> u32 {
    u32::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
