//! Saying in words what a certificate, key, revocation list or directory is, and what is wrong with it.
//!
//! Files that are inspected together are judged together: a leaf against the authorities among them, a
//! key against the certificates, a certificate against the revocation lists. Keys are never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use zeroize::Zeroize;

use crate::directory::Directory;
use crate::files::{self, FileError};

mod certificate;
mod crl;
mod dates;
mod directory;
mod key;

/// What was found in a file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file; with several things in it, also the number of this one.
    pub source: String,
    /// What it is, in one sentence.
    pub what: String,
    /// What it says, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// What is wrong with it, or soon will be, and what to do.
    pub warnings: Vec<String>,
}

impl Report {
    fn new(source: String, what: impl Into<String>) -> Self {
        Self { source, what: what.into(), facts: Vec::new(), warnings: Vec::new() }
    }

    fn fact(&mut self, name: &'static str, value: impl fmt::Display) {
        self.facts.push((name, value.to_string()));
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {}", self.source, self.what)?;
        for (name, value) in &self.facts {
            writeln!(f, "  {name:<16}{value}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  WARNING: {warning}")?;
        }
        Ok(())
    }
}

/// Inspects files, together. What is no file of this network gets a report that says so.
///
/// # Errors
/// [`FileError`] where one cannot be read.
pub fn inspect(paths: &[PathBuf], now: SystemTime) -> Result<Vec<Report>, FileError> {
    let mut items = Vec::new();
    for path in paths {
        items.extend(items_of(path)?);
    }
    let context = Context::of(&items, now);
    Ok(items.iter().map(|item| report(item, &context)).collect())
}

/// One thing in a file.
struct Item {
    path: PathBuf,
    source: String,
    thing: Thing,
}

enum Thing {
    Certificate(CertificateDer<'static>),
    Key(PublicHalf),
    Crl(Vec<u8>),
    Directory(Box<Directory>),
    Unknown(String),
}

/// What may be known of a private key.
struct PublicHalf {
    algorithm: &'static str,
    public_key: Vec<u8>,
}

/// What the things are judged against.
struct Context<'a> {
    now: SystemTime,
    authorities: Vec<X509Certificate<'a>>,
    certificates: Vec<X509Certificate<'a>>,
    crls: Vec<CertificateRevocationList<'a>>,
}

impl<'a> Context<'a> {
    fn of(items: &'a [Item], now: SystemTime) -> Self {
        let mut context = Self { now, authorities: Vec::new(), certificates: Vec::new(), crls: Vec::new() };
        for item in items {
            match &item.thing {
                Thing::Certificate(der) => {
                    if let Ok((_, certificate)) = X509Certificate::from_der(der) {
                        if certificate.is_ca() {
                            context.authorities.push(certificate.clone());
                        }
                        context.certificates.push(certificate);
                    }
                }
                Thing::Crl(der) => context.crls.extend(CertificateRevocationList::from_der(der).map(|(_, list)| list)),
                Thing::Key(_) | Thing::Directory(_) | Thing::Unknown(_) => {}
            }
        }
        context
    }
}

fn report(item: &Item, context: &Context<'_>) -> Report {
    let source = item.source.clone();
    match &item.thing {
        Thing::Certificate(der) => certificate::report(source, der, context),
        Thing::Key(key) => key::report(source, &item.path, key, context),
        Thing::Crl(der) => crl::report(source, der, context),
        Thing::Directory(directory) => directory::report(source, directory, context),
        Thing::Unknown(why) => {
            let mut report = Report::new(source, "Not a file of this network.");
            report.warn(why.clone());
            report
        }
    }
}

/// Everything in a file, which may hold several PEM sections.
fn items_of(path: &Path) -> Result<Vec<Item>, FileError> {
    let bytes = files::read(path)?;
    let file = path.display().to_string();
    let mut things = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        things.push(match section {
            Ok((kind, der)) => pem_thing(kind, der),
            Err(e) => Thing::Unknown(format!("A PEM section cannot be read: {e}.")),
        });
    }
    if things.is_empty() {
        things.push(binary_thing(&file, &bytes));
    }
    let several = things.len() > 1;
    let source = |index: usize| if several { format!("{file} (no. {})", index + 1) } else { file.clone() };
    let item = |(index, thing)| Item { path: path.to_owned(), source: source(index), thing };
    Ok(things.into_iter().enumerate().map(item).collect())
}

fn pem_thing(kind: SectionKind, mut der: Vec<u8>) -> Thing {
    if kind == SectionKind::Certificate {
        Thing::Certificate(der.into())
    } else if kind == SectionKind::Crl {
        Thing::Crl(der)
    } else if kind == SectionKind::PrivateKey {
        key_thing(PrivatePkcs8KeyDer::from(der))
    } else {
        der.zeroize();
        Thing::Unknown(format!("A PEM section of the kind {kind:?} has no use here."))
    }
}

fn key_thing(mut der: PrivatePkcs8KeyDer<'static>) -> Thing {
    let key = KeyPair::try_from(&der);
    der.zeroize();
    let Ok(mut key) = key else {
        return Thing::Unknown("The private key is of a kind that the network does not use.".to_owned());
    };
    let public_key = key.public_key_raw().to_vec();
    let algorithm = if key.algorithm() == &PKCS_ED25519 {
        "Ed25519"
    } else if key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
        "ECDSA P-256"
    } else {
        "another kind"
    };
    key.zeroize();
    Thing::Key(PublicHalf { algorithm, public_key })
}

fn binary_thing(file: &str, bytes: &[u8]) -> Thing {
    if X509Certificate::from_der(bytes).is_ok() {
        return Thing::Certificate(CertificateDer::from(bytes.to_vec()));
    }
    if CertificateRevocationList::from_der(bytes).is_ok() {
        return Thing::Crl(bytes.to_vec());
    }
    match Directory::parse(file, bytes) {
        Ok(directory) => Thing::Directory(Box::new(directory)),
        Err(_) => Thing::Unknown("It is no PEM text, certificate, key, revocation list or bank directory.".to_owned()),
    }
}

#[cfg(test)]
mod tests;
