//! Planning a network: a port for every server, a certificate for everybody, cards for the customers.

use std::path::Path;
use std::time::SystemTime;

use acquirer::network::{Behaviour, test_cards as network_cards};
use anyhow::{Context as _, Result};
use certs::files::make_folder;
use http::Uri;
use mesh::identity::{Role, TrustDomain};

use super::{
    Acquirer, Amount, FORMAT, Issuer, Merchant, Operator, Outsiders, Passkeys, Platform, ServerFiles, SuspendedBank,
    TestCard, Topology,
};
use crate::pki::{self, Pki};
use crate::process::ports::{self, Reserved};
use crate::sample::{self, customers};
use crate::storefront::{NAME as STOREFRONT_NAME, ORDER_PATH};

/// What differs from plan to plan.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Whether the servers offer gRPC reflection.
    pub reflection: bool,
    /// What the servers log.
    pub log_filter: &'static str,
    /// How many customers for load each bank has.
    pub load_customers: u32,
    /// For whom the pages are.
    pub pages: Pages,
}

/// For whom a network's pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// For programs that trust the network's authority: HTTPS on localhost. No bank serves an app.
    Programs,
    /// For people: plain HTTP, which a browser takes on loopback without a warning, each server under a name of
    /// its own below `localhost`, so that none reads another's cookies. Every bank serves its app, a second
    /// acquirer works without the platform, and the demo shops are open.
    People,
}

/// For members, devices, browsers, and its numbers.
const PLATFORM_PORTS: usize = 4;

/// For members, browsers, and its own people.
const ACQUIRER_PORTS: usize = 3;
/// All demo shops share one.
const STOREFRONT_PORTS: usize = 1;

/// A new network, whose ports are held for it until it starts.
#[derive(Debug)]
pub struct Planned {
    /// The network.
    pub topology: Topology,
    /// Its ports; to be dropped right before its servers take them.
    pub reserved: Reserved,
}

/// Plans a new network in an empty or new folder, and writes its certificates and keys.
///
/// # Errors
/// The folder holds a network already or can't be written, or too few ports are free.
pub fn make(folder: &Path, wishes: Wishes) -> Result<Planned> {
    make_folder(folder)?;
    let folder = folder.canonicalize().with_context(|| format!("cannot use the folder {}", folder.display()))?;
    let trust_domain: TrustDomain = sample::TRUST_DOMAIN.parse()?;
    let now = SystemTime::now();
    let pki = Pki::create(&folder, &trust_domain, now)?;
    let (direct_acquirers, direct_merchants): (&[sample::Acquirer], &[sample::Merchant]) = match wishes.pages {
        Pages::Programs => (&[], &[]),
        Pages::People => (&[sample::DIRECT_ACQUIRER], &[sample::DIRECT_MERCHANT]),
    };
    let sold_by = sample::MERCHANTS.len() + direct_merchants.len();
    let count = PLATFORM_PORTS
        + ACQUIRER_PORTS * (sample::ACQUIRERS.len() + direct_acquirers.len())
        + 2 * sample::ISSUERS.len()
        + sold_by
        + STOREFRONT_PORTS;
    let reserved = ports::reserve(count)?;
    let mut ports = Ports { left: reserved.ports(), pages: wishes.pages };
    make_folder(&folder.join("logs"))?;
    let foreign = Pki::create(&folder.join("outsiders"), &trust_domain, now)?;
    let platform = platform_place(&folder, &pki, &mut ports)?;
    let issuers = (0u32..).zip(sample::ISSUERS);
    let issuers = issuers.map(|(index, issuer)| issuer_place(&folder, &pki, &mut ports, issuer, index, wishes));
    let issuers = issuers.collect::<Result<Vec<_>>>()?;
    let app_link = &issuers.first().context("a network needs an issuer")?.app_link;
    let landing = match wishes.pages {
        Pages::Programs => app_link.clone(),
        Pages::People => format!("{}/pay", platform.pages),
    };
    let members = sample::ACQUIRERS.iter().map(|acquirer| (acquirer, true, &landing));
    let direct = direct_acquirers.iter().map(|acquirer| (acquirer, false, app_link));
    let acquirers = members.chain(direct).map(|(acquirer, at_platform, app_link)| {
        acquirer_place(&folder, &pki, &mut ports, acquirer, at_platform, app_link.clone())
    });
    let acquirers = acquirers.collect::<Result<Vec<_>>>()?;
    let storefront_port = ports.next()?;
    let suspended_banks = match wishes.pages {
        Pages::Programs => Vec::new(),
        Pages::People => vec![suspended_bank(&pki)?],
    };
    let at_first = sample::ACQUIRERS.first().context("the sample has no acquirer")?;
    let merchants = sample::MERCHANTS.iter().map(|merchant| (merchant, at_first));
    let merchants = merchants.chain(direct_merchants.iter().zip(direct_acquirers));
    let merchants = merchants
        .map(|(merchant, acquirer)| merchant_place(&pki, &mut ports, merchant, acquirer, storefront_port))
        .collect::<Result<Vec<_>>>()?;
    let topology = Topology {
        format: FORMAT,
        trust_domain: trust_domain.as_str().to_owned(),
        authority: pki.certificate(),
        revocations: pki.revocations(),
        directory: folder.join("directory.pb"),
        reflection: wishes.reflection,
        log_filter: wishes.log_filter.to_owned(),
        operator: operator(&pki)?,
        outsiders: outsiders(&pki, &foreign)?,
        folder,
        platform,
        acquirers,
        issuers,
        suspended_banks,
        merchants,
        storefront: match wishes.pages {
            Pages::Programs => None,
            Pages::People => Some(format!("http://{STOREFRONT_NAME}.localhost:{storefront_port}/")),
        },
        test_cards: test_cards(),
    };
    Ok(Planned { topology, reserved })
}

fn operator(pki: &Pki) -> Result<Operator> {
    Ok(Operator {
        id: sample::OPERATOR.to_owned(),
        tls: pki.client(Role::Operator, sample::OPERATOR)?,
        signing: pki.signing(Role::Operator, sample::OPERATOR)?,
    })
}

fn outsiders(pki: &Pki, foreign: &Pki) -> Result<Outsiders> {
    Ok(Outsiders {
        unlisted_merchant: pki.client(Role::Merchant, sample::UNLISTED_MERCHANT)?,
        unlisted_issuer: pki.client(Role::Issuer, sample::UNLISTED_ISSUER)?,
        unlisted_issuer_signing: pki.signing(Role::Issuer, sample::UNLISTED_ISSUER)?,
        authority: foreign.certificate(),
        foreign_merchant: foreign.client(Role::Merchant, sample::MERCHANTS.first().context("no shop")?.id)?,
    })
}

/// The acquirer's documented test cards, as this program writes them down.
#[must_use]
pub fn test_cards() -> Vec<TestCard> {
    network_cards()
        .iter()
        .map(|card| {
            let (behaviour, declined_for) = match card.behaviour() {
                Behaviour::Approve => ("approves", None),
                Behaviour::Decline(reason) => {
                    let name = reason.to_pb().as_str_name();
                    ("declines", Some(name.strip_prefix("DECLINE_REASON_").unwrap_or(name).to_owned()))
                }
                Behaviour::Slow => ("approves after 2 s", None),
                Behaviour::Silent => ("never answers", None),
                Behaviour::Late => ("answers too late", None),
            };
            TestCard { pan: card.pan().expose().to_owned(), behaviour: behaviour.to_owned(), declined_for }
        })
        .collect()
}

/// The ports that are left to be given out.
struct Ports {
    left: Vec<u16>,
    pages: Pages,
}

impl Ports {
    fn next(&mut self) -> Result<u16> {
        self.left.pop().context("fewer ports were looked for than there are servers")
    }

    fn address(&mut self) -> Result<String> {
        Ok(format!("https://localhost:{}", self.next()?))
    }

    /// The address of a server's pages.
    fn pages(&mut self, id: &str) -> Result<String> {
        match self.pages {
            Pages::Programs => self.address(),
            Pages::People => Ok(format!("http://{id}.localhost:{}", self.next()?)),
        }
    }
}

fn platform_place(folder: &Path, pki: &Pki, ports: &mut Ports) -> Result<Platform> {
    let platform = sample::PLATFORM;
    Ok(Platform {
        id: platform.id.to_owned(),
        name_en: platform.name_en.to_owned(),
        name_zh_tw: platform.name_zh_tw.to_owned(),
        endpoint: ports.address()?,
        devices: ports.address()?,
        pages: ports.pages(platform.id)?,
        metrics: format!("http://127.0.0.1:{}/metrics", ports.next()?),
        tls: pki.server(Role::Platform, platform.id)?,
        signing: pki.signing(Role::Platform, platform.id)?,
        files: server_files(folder, platform.id)?,
    })
}

fn acquirer_place(
    folder: &Path,
    pki: &Pki,
    ports: &mut Ports,
    acquirer: &sample::Acquirer,
    at_platform: bool,
    app_link: String,
) -> Result<Acquirer> {
    Ok(Acquirer {
        id: acquirer.id.to_owned(),
        name_en: acquirer.name_en.to_owned(),
        name_zh_tw: acquirer.name_zh_tw.to_owned(),
        endpoint: ports.address()?,
        pages: ports.pages(acquirer.id)?,
        operations: ports.address()?,
        at_platform,
        app_link,
        same_device_above: match ports.pages {
            Pages::Programs => Vec::new(),
            Pages::People => {
                vec![Amount { currency: sample::CURRENCY.to_owned(), minor_units: sample::SAME_DEVICE_ABOVE }]
            }
        },
        tls: pki.server(Role::Acquirer, acquirer.id)?,
        signing: pki.signing(Role::Acquirer, acquirer.id)?,
        files: server_files(folder, acquirer.id)?,
    })
}

fn issuer_place(
    folder: &Path,
    pki: &Pki,
    ports: &mut Ports,
    issuer: &sample::Issuer,
    index: u32,
    wishes: Wishes,
) -> Result<Issuer> {
    let own = |card: &TestCard| issuer.bin_ranges.iter().any(|bin| card.pan.starts_with(bin));
    let cards: Vec<TestCard> = test_cards().into_iter().filter(own).collect();
    let files = server_files(folder, issuer.id)?;
    let app = match wishes.pages {
        Pages::Programs => None,
        Pages::People => Some(ports.pages(issuer.id)?),
    };
    let app_link = app.as_ref().map_or_else(|| issuer.app_link.to_owned(), |app| format!("{app}/pay"));
    Ok(Issuer {
        id: issuer.id.to_owned(),
        name_en: issuer.name_en.to_owned(),
        name_zh_tw: issuer.name_zh_tw.to_owned(),
        passkeys: passkeys(&app_link)?,
        app_link,
        app,
        endpoint: ports.address()?,
        bin_ranges: issuer.bin_ranges.iter().map(|range| (*range).to_owned()).collect(),
        next_hop: issuer.next_hop,
        amount_max: issuer
            .amount_max
            .iter()
            .map(|(currency, minor_units)| Amount { currency: (*currency).to_owned(), minor_units: *minor_units })
            .collect(),
        policy: issuer.policy,
        feature_count: sample::FEATURE_COUNT,
        vault_rotation_rate: sample::VAULT_ROTATION_RATE,
        source_failures_max: sample::SOURCE_FAILURES_MAX,
        tls: pki.server(Role::Issuer, issuer.id)?,
        signing: pki.signing(Role::Issuer, issuer.id)?,
        customers_file: files.config.with_file_name("customers.toml"),
        files,
        customers: customers::of(issuer, index, &cards),
        load_customers: customers::for_load(issuer, index, wishes.load_customers),
    })
}

fn suspended_bank(pki: &Pki) -> Result<SuspendedBank> {
    let bank = sample::SUSPENDED_BANK;
    Ok(SuspendedBank {
        id: bank.id.to_owned(),
        name_en: bank.name_en.to_owned(),
        name_zh_tw: bank.name_zh_tw.to_owned(),
        bin_ranges: vec![bank.bin_range.to_owned()],
        signing: pki.signing(Role::Issuer, bank.id)?,
    })
}

/// A bank's passkeys are good on the pages of its app link.
fn passkeys(app_link: &str) -> Result<Passkeys> {
    let link: Uri = app_link.parse().with_context(|| format!("{app_link} is no address"))?;
    let scheme = link.scheme_str().with_context(|| format!("{app_link} has no scheme"))?;
    let authority = link.authority().with_context(|| format!("{app_link} has no host"))?;
    Ok(Passkeys { relying_party_id: authority.host().to_owned(), origin: format!("{scheme}://{authority}") })
}

fn merchant_place(
    pki: &Pki,
    ports: &mut Ports,
    merchant: &sample::Merchant,
    acquirer: &sample::Acquirer,
    storefront_port: u16,
) -> Result<Merchant> {
    // A demo shop's domain is the name under which a browser on this machine finds its pages.
    let (domain, return_url) = match ports.pages {
        Pages::Programs => (merchant.domain.to_owned(), merchant.return_url.to_owned()),
        Pages::People => {
            let domain = merchant.domain.replace(".example", ".localhost");
            let return_url = format!("http://{domain}:{storefront_port}{ORDER_PATH}");
            (domain, return_url)
        }
    };
    Ok(Merchant {
        id: merchant.id.to_owned(),
        display_name: merchant.display_name.to_owned(),
        domain,
        category_code: merchant.category_code.to_owned(),
        acquirer: acquirer.id.to_owned(),
        notifications: ports.address()?,
        return_url,
        currency: merchant.currency.to_owned(),
        order_max: merchant.order_max,
        day_max: merchant.day_max,
        demand: merchant.demand,
        tls: pki.server(Role::Merchant, merchant.id)?,
    })
}

/// A server's folder with its keys.
///
/// # Errors
/// There is one already, or a file can't be written.
pub fn server_files(folder: &Path, id: &str) -> Result<ServerFiles> {
    let own = folder.join(id);
    make_folder(&own)?;
    let files = ServerFiles {
        config: own.join("config.toml"),
        log: folder.join("logs").join(format!("{id}.log")),
        data: own.join("data"),
        keys: own.join("own.keys"),
    };
    pki::own_key(&files.keys)?;
    Ok(files)
}
