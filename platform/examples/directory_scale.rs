//! Measures the bank directory with ten thousand banks and a hundred thousand BIN ranges: what a look-up
//! costs, how much memory it takes, and how long it takes to follow and to make one change.
//!
//! `cargo run --release -p platform --example directory_scale [BANKS]`

use std::{
    error::Error,
    hint::black_box,
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use mesh::{
    clock::{Clock, SystemClock},
    directory::{Directory, EntryVerifier, Member, follow::Replica},
    identity::{Role, TrustDomain},
    signing::{Signer, SigningTrust},
    store::memory::MemoryStore,
};
use platform::{
    directory::{Register, RegisterParts},
    domain::change::ChangeKind,
    keys::Seal,
    repository::Repository,
};
use prost::Message as _;
use proto::{
    card::Bin,
    directory::{BinRange, Entry, Limits, MemberRole, MemberStatus},
    ids::IssuerId,
    money::Money,
    pb::{self, watch_banks_response::Update},
    signed::SignedBody,
};

const BANKS: u32 = 10_000;
const RANGES_EACH: u32 = 10;
const LOOKUPS: u32 = 1_000_000;
const CHANGES: u32 = 50;

type Failed = Box<dyn Error + Send + Sync>;

struct Network {
    authority: Authority,
    domain: TrustDomain,
    operator: Signer,
    now: SystemTime,
}

impl Network {
    fn new() -> Result<Self, Failed> {
        let now = SystemClock::new().now();
        let domain: TrustDomain = "pay.example".parse()?;
        let authority = Authority::create(domain.clone(), "scale", AUTHORITY_LIFETIME, now)?;
        let operator = signer(&authority, Role::Operator, "ops", now)?;
        Ok(Self { authority, domain, operator, now })
    }

    fn trust(&self) -> Result<SigningTrust, Failed> {
        Ok(SigningTrust::new([self.authority.certificate().clone()])?)
    }

    /// A bank of ten ranges, none next to another of its own.
    fn bank(&self, number: u32, banks: u32) -> Result<Entry, Failed> {
        let id = format!("bank-{number:05}");
        let key = signer(&self.authority, Role::Issuer, &id, self.now)?;
        let width = 90_000_000 / (banks * RANGES_EACH);
        let range = |i: u32| {
            let first = 10_000_000 + (i * banks + number) * width;
            BinRange::new(first, first + width - 1)
        };
        Ok(Entry {
            member: id.parse()?,
            role: MemberRole::Issuer,
            version: 1,
            status: MemberStatus::Active,
            name_zh_tw: format!("第{number}銀行"),
            name_en: format!("Bank number {number}"),
            logo_svg: "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><path d='M0 8 4 0l4 8z'/></svg>"
                .to_owned(),
            app_link: Some(format!("https://app.{id}.example/pay").parse()?),
            endpoint: format!("https://{id}.example:8443").parse()?,
            bin_ranges: (0..RANGES_EACH).map(range).collect::<Result<_, _>>()?,
            signing_certificates: vec![Bytes::copy_from_slice(key.certificate_der())],
            limits: Limits {
                amount_max: vec![Money::new("TWD".parse()?, 5_000_000)?],
                authorizations_per_second: 1_000,
            },
            signed_at: self.now,
        })
    }

    fn sign(&self, entry: &Entry) -> pb::Signed {
        let body = entry.to_pb().encode_to_vec();
        pb::Signed {
            key_id: self.operator.key_id().to_string(),
            signature: self.operator.sign(pb::DirectoryEntry::NAME, &body).to_vec().into(),
            body: body.into(),
        }
    }
}

fn signer(authority: &Authority, role: Role, id: &str, now: SystemTime) -> Result<Signer, Failed> {
    let issued = authority.issue(&LeafRequest::signing(role, id.parse()?), now)?;
    Ok(Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes())?)
}

fn main() -> Result<(), Failed> {
    let banks = std::env::args().nth(1).map_or(Ok(BANKS), |text| text.parse())?;
    let network = Network::new()?;
    let entries = (0..banks).map(|number| network.bank(number, banks)).collect::<Result<Vec<_>, _>>()?;
    let signed: Vec<pb::Signed> = entries.iter().map(|entry| network.sign(entry)).collect();
    let bytes: usize = signed.iter().map(pb::Signed::encoded_len).sum();
    say(&format!(
        "{banks} banks, {} BIN ranges, {} bytes each as signed",
        banks * RANGES_EACH,
        bytes / signed.len().max(1)
    ))?;

    let directory = build(&network, &signed)?;
    look_up(&directory, banks)?;
    change(&network, &directory, &entries)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(keep_and_follow(&network, &entries, &signed))
}

fn build(network: &Network, signed: &[pb::Signed]) -> Result<Directory, Failed> {
    let verifier = EntryVerifier::new(network.trust()?, network.domain.clone(), &[network.operator.certificate_der()])?;
    let before = resident_kib();
    let begun = Instant::now();
    let members = signed.iter().map(|entry| verifier.member(entry.clone())).collect::<Result<Vec<Member>, _>>()?;
    let verified = begun.elapsed();
    let begun = Instant::now();
    let directory = Directory::new(members, None)?;
    let built = begun.elapsed();
    let after = resident_kib();
    say(&format!(
        "verify all entries         {:>12.1} ms ({:.1} us each)",
        millis(verified),
        micros(verified) / count(signed.len())
    ))?;
    say(&format!("build the tables           {:>12.1} ms", millis(built)))?;
    say(&format!("memory of the directory    {:>12.1} MiB", (after - before) / 1024.0))?;
    Ok(directory)
}

fn look_up(directory: &Directory, banks: u32) -> Result<(), Failed> {
    let ids: Vec<IssuerId> = (0..banks).map(|n| format!("bank-{n:05}").parse()).collect::<Result<_, _>>()?;
    // A multiplicative step visits everything in an order that no cache foresees.
    let place = |i: u32, of: u32| u64::from(i).wrapping_mul(2_654_435_761) % u64::from(of);
    let begun = Instant::now();
    let mut found = 0u32;
    for i in 0..LOOKUPS {
        let id = ids.get(usize::try_from(place(i, banks))?).ok_or("no id")?;
        found += u32::from(black_box(directory.issuer(id)).is_some_and(|member| member.is_active()));
    }
    report("find an issuer by id", begun.elapsed(), LOOKUPS, found == LOOKUPS)?;
    let begun = Instant::now();
    for i in 0..LOOKUPS {
        let bin = Bin(10_000_000 + u32::try_from(place(i, 90_000_000))?);
        found -= u32::from(black_box(directory.owner_of(bin)).is_some());
    }
    report("find the owner of a BIN", begun.elapsed(), LOOKUPS, found < LOOKUPS / 10)
}

fn change(network: &Network, directory: &Directory, entries: &[Entry]) -> Result<(), Failed> {
    let verifier = EntryVerifier::new(network.trust()?, network.domain.clone(), &[network.operator.certificate_der()])?;
    let last = entries.last().ok_or("no banks")?;
    let suspended = Entry { version: 2, status: MemberStatus::Suspended, ..last.clone() };
    let fewer = Entry { version: 2, bin_ranges: last.bin_ranges.iter().skip(1).copied().collect(), ..last.clone() };
    let mut newcomer = network.bank(u32::try_from(entries.len())?, u32::try_from(entries.len() + 1)?)?;
    newcomer.bin_ranges = vec![*last.bin_ranges.last().ok_or("no ranges")?];
    for (what, entry) in [("a status", &suspended), ("BIN ranges", &fewer)] {
        let mut took = Duration::ZERO;
        for _ in 0..CHANGES {
            let member = verifier.member(network.sign(entry))?;
            let begun = Instant::now();
            let next = directory.with([member])?;
            took += begun.elapsed();
            black_box(&next);
        }
        report(&format!("change {what}"), took, CHANGES, true)?;
    }
    let mut took = Duration::ZERO;
    for _ in 0..CHANGES {
        let freed = verifier.member(network.sign(&fewer_last(last)?))?;
        let room = directory.with([freed])?;
        let member = verifier.member(network.sign(&newcomer))?;
        let begun = Instant::now();
        let next = room.with([member])?;
        took += begun.elapsed();
        black_box(&next);
    }
    report("add a bank", took, CHANGES, true)?;
    let mut took = Duration::ZERO;
    for _ in 0..CHANGES {
        let next = directory.with([verifier.member(network.sign(&suspended))?])?;
        let begun = Instant::now();
        black_box(next.digest());
        took += begun.elapsed();
    }
    report("digest of all entries", took, CHANGES, true)
}

/// The last bank without its last range, which the newcomer gets.
fn fewer_last(last: &Entry) -> Result<Entry, Failed> {
    let (_, ranges) = last.bin_ranges.split_last().ok_or("no ranges")?;
    Ok(Entry { version: 2, bin_ranges: ranges.to_vec(), ..last.clone() })
}

/// The whole way: the operator's change at the platform, and a member's copy that follows it.
async fn keep_and_follow(network: &Network, entries: &[Entry], signed: &[pb::Signed]) -> Result<(), Failed> {
    let register = Register::open(RegisterParts {
        repository: Repository::new(Arc::new(MemoryStore::new())),
        trust: network.trust()?,
        domain: network.domain.clone(),
        operators: vec![Bytes::copy_from_slice(network.operator.certificate_der())],
        seal: Seal::new(signer(&network.authority, Role::Platform, "hub", network.now)?),
        clock: Arc::new(SystemClock::new()),
    })
    .await?;
    let file = pb::DirectoryFile {
        entries: signed.to_vec(),
        operator_certificates: vec![Bytes::copy_from_slice(network.operator.certificate_der())],
        ..Default::default()
    };
    let begun = Instant::now();
    register.add_first(&file.encode_to_vec()).await?;
    report("load the first directory", begun.elapsed(), 1, true)?;

    let mut replica = Replica::empty(network.trust()?, network.domain.clone());
    let begun = Instant::now();
    follow(&register, &mut replica)?;
    report("follow from nothing", begun.elapsed(), 1, true)?;
    let operator = network.operator.identity().clone();
    let (mut made, mut followed) = (Duration::ZERO, Duration::ZERO);
    for i in 0..CHANGES {
        let entry = entries.get(usize::try_from(i)?).ok_or("too few banks")?;
        let entry = network.sign(&Entry { version: 2, status: MemberStatus::Suspended, ..entry.clone() });
        let begun = Instant::now();
        register.change(ChangeKind::Suspend, entry, &operator).await?;
        made += begun.elapsed();
        let begun = Instant::now();
        follow(&register, &mut replica)?;
        followed += begun.elapsed();
    }
    report("make and publish one change", made, CHANGES, true)?;
    let agree = replica.directory().digest() == register.current().directory().digest();
    report("follow one change", followed, CHANGES, agree)
}

fn follow(register: &Register, replica: &mut Replica) -> Result<(), Failed> {
    let (published, now) = (register.current(), SystemClock::new().now());
    for entry in published.changed_after(replica.version()) {
        replica.apply(pb::WatchBanksResponse { update: Some(Update::Entry(entry)) }, now)?;
    }
    replica.apply(pb::WatchBanksResponse { update: Some(Update::Head(published.head().clone())) }, now)?;
    Ok(())
}

fn report(what: &str, took: Duration, times: u32, is_right: bool) -> Result<(), Failed> {
    if !is_right {
        return Err(format!("{what}: the answer is wrong").into());
    }
    say(&format!("{what:<27}{:>12.3} us", micros(took) / f64::from(times)))
}

fn say(line: &str) -> Result<(), Failed> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[allow(clippy::cast_precision_loss)] // A count of entries is far below 2^52.
fn count(number: usize) -> f64 {
    number as f64
}

/// The process's resident memory, as Linux tells it; zero elsewhere.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
