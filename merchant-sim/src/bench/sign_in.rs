//! Sign-ins per second with each credential, and what one costs the bank.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mesh::status::reason_of;
use proto::authorization::Factor;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::figures::{Figures, Line, Phase};
use crate::console::{Console, Style, column};
use crate::device::authenticators::Algorithm;
use crate::device::{BankApp, Wallet};
use crate::network::{Network, server_pid};
use crate::process::cpu;
use crate::sample::ANY_FACTOR;

/// How many sign-ins with each credential are not counted.
const WARM_UP: u64 = 16;

/// The credentials, in the order in which they are measured.
const CREDENTIALS: [(Factor, &str); 4] = [
    (Factor::Knowledge, "knowledge"),
    (Factor::Possession, "possession"),
    (Factor::Inherence, "inherence"),
    (Factor::Passkey, "passkey"),
];

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Whether this program, and with it the bank that it starts, was built with optimisations.
    pub optimised_build: bool,
    /// The bank.
    pub issuer: String,
    /// How many signed in at one time.
    pub customers: u32,
    /// A line for each credential.
    pub credentials: Vec<Credential>,
}

/// One credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// The rate.
    pub sign_ins_per_second: f64,
    /// The bank's processor time for one sign-in, in milliseconds.
    pub issuer_cpu_ms: f64,
    /// The times of `StartAuthentication` and `VerifyIdentity` together.
    pub times: Line,
}

/// Measures the bank where one factor is enough, each credential for `time`.
///
/// # Errors
/// A customer can't be set up, or a sign-in fails.
pub async fn run(network: &Network, customers: u32, time: Duration, console: &Console) -> Result<Measured> {
    let issuer = network.topology.issuer(ANY_FACTOR)?;
    let mut wallets = Vec::new();
    for (customer, number) in issuer.load_customers.iter().zip(0..customers) {
        console.working(format!("customer {} of {customers} binds a device, a face and a passkey", number + 1));
        let app = BankApp::of(issuer, &network.topology.authority)?;
        let mut wallet = Wallet::of(customer, &app, &network.secrets);
        wallet.equip(Algorithm::Es256, &issuer.passkeys).await.with_context(|| customer.id.clone())?;
        wallets.push(wallet);
    }
    console.done();
    ensure!(u32::try_from(wallets.len()) == Ok(customers), "the bank has fewer than {customers} customers for load");
    let pid = server_pid(&issuer.files)?;
    let mut credentials = Vec::new();
    for (factor, name) in CREDENTIALS {
        console.working(format!("signing in with {name}"));
        let mut figures = Figures::new()?;
        wallets = drive(wallets, factor, Until::Count(WARM_UP), &mut figures).await?;
        let (mut figures, before, begin) = (Figures::new()?, cpu::used(pid)?, Instant::now());
        wallets = drive(wallets, factor, Until::Time(time), &mut figures).await?;
        let (took, spent) = (begin.elapsed(), cpu::used(pid)?.saturating_sub(before));
        let lines = figures.lines();
        let times = lines.into_iter().find(|line| line.phase == Phase::SignIn.name()).context("no sign-in ended")?;
        let count = Duration::from_secs(times.count).as_secs_f64();
        credentials.push(Credential {
            name: name.to_owned(),
            sign_ins_per_second: count / took.as_secs_f64(),
            issuer_cpu_ms: spent.as_secs_f64() * 1e3 / count,
            times,
        });
    }
    console.done();
    let optimised_build = !cfg!(debug_assertions);
    Ok(Measured { optimised_build, issuer: issuer.id.clone(), customers, credentials })
}

/// Shows what was measured.
pub fn show(measured: &Measured, console: &Console) {
    console.heading("Sign-ins with one credential");
    let head = format!(
        "{}{:>14}{:>18}{:>10}{:>10}",
        column("credential", 14),
        "per second",
        "bank's CPU, ms",
        "p50, ms",
        "p99, ms"
    );
    console.line(console.paint(Style::Faint, &head));
    for credential in &measured.credentials {
        console.line(format!(
            "{}{:>14.1}{:>18.3}{:>10.1}{:>10.1}",
            column(&credential.name, 14),
            credential.sign_ins_per_second,
            credential.issuer_cpu_ms,
            credential.times.p50_ms,
            credential.times.p99_ms,
        ));
    }
    if !measured.optimised_build {
        console.line("This is an unoptimised build; cargo run --release measures what the bank can do.");
    }
    let rate = |credential: &Credential| {
        let Credential { name, sign_ins_per_second, issuer_cpu_ms, .. } = credential;
        format!("{name} {sign_ins_per_second:.0}/s at {issuer_cpu_ms:.2} ms")
    };
    let rates: Vec<String> = measured.credentials.iter().map(rate).collect();
    console.line("");
    console.line(format!("sign-ins at {} by {} customers: {}", measured.issuer, measured.customers, rates.join(", ")));
}

/// When a part is over.
#[derive(Clone, Copy)]
enum Until {
    Count(u64),
    Time(Duration),
}

/// Lets every customer sign in again and again, and gives the wallets back.
async fn drive(wallets: Vec<Wallet>, factor: Factor, until: Until, figures: &mut Figures) -> Result<Vec<Wallet>> {
    let begun = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for mut wallet in wallets {
        let begun = Arc::clone(&begun);
        tasks.spawn(async move {
            let mut figures = Figures::new()?;
            loop {
                let over = match until {
                    Until::Count(count) => begun.fetch_add(1, Ordering::Relaxed) >= count,
                    Until::Time(time) => begin.elapsed() >= time,
                };
                if over {
                    return Ok::<_, anyhow::Error>((wallet, figures));
                }
                let start = Instant::now();
                match wallet.sign_in(None, &[factor]).await {
                    Ok(reached) if reached.session.is_some() => figures.record(Phase::SignIn, start.elapsed()),
                    Ok(_) => bail!("{factor:?} alone is not enough for a session"),
                    Err(status) => bail!("{factor:?}: {}", reason_of(&status).unwrap_or_else(|| status.to_string())),
                }
            }
        });
    }
    let mut back = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (wallet, own) = ended.context("a customer panicked")??;
        figures.add(&own)?;
        back.push(wallet);
    }
    Ok(back)
}
