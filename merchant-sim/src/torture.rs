//! A whole network under torment, on the real binaries over real sockets, and an auditor afterwards.
//!
//! Hundreds of cardholders pay, several of them the same order, with cards of every temper, and shops cancel
//! meanwhile, while a schedule that follows from a seed kills servers, stops them in their tracks, cuts, silences,
//! slows and resets the lines between them, fills their disks, and lets shops and the card network fail. Then
//! everything is healed, everybody gets the time that is published, the servers are stopped, and the auditor
//! reconciles every store, every trail, every shop's log, the card network's ledger, and everything that shops and
//! cardholders were told.
//!
//! What follows from the seed: which fault comes when and hits whom, and what each shop and cardholder wants to
//! do. What the operating system does with it differs from run to run, so that a seed brings back the torment,
//! and mostly, not always, what came of it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use mesh::clock::{Entropy as _, SystemEntropy};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::console::{Console, Style};
use crate::network::import;
use crate::role::Server;

mod auditor;
mod books;
mod chance;
mod diary;
mod disks;
mod evidence;
mod faults;
mod fleet;
mod follower;
mod ground;
mod links;
mod namespace;
mod payer;
mod people;
mod plant;
mod scenes;
mod settle;
mod shop;
mod tale;
mod world;

pub use shop::{ShopCommand, run as run_shop};

use auditor::awake::Noticed;
use auditor::{Finding, Sums};
use faults::{Schedule, Targets, tell_cards};
use fleet::{Fleet, Kind};
use follower::Follower;
use ground::Ground;
use links::Weather;
use people::CURRENCY;
use plant::Plant;
use scenes::Actor;
use settle::Settling;
use world::World;

/// How long payers go on waiting after everything was healed: the longest published time, twice over.
const PATIENCE: Duration = Duration::from_secs(300);

/// The life of the orders that nobody pays: the shortest that there is.
const LIFE: Duration = Duration::from_secs(60);

/// How many of those each shop makes.
const LEFT_TO_EXPIRE: usize = 2;

/// How long the card network may take to hear that it is well again, and the pause between two tries.
const HEAL_TIME: Duration = Duration::from_secs(30);
const HEAL_PAUSE: Duration = Duration::from_millis(100);

/// How many findings are shown.
const SHOWN_MAX: usize = 40;

/// Torment a whole network, and see that nothing was lost and nothing doubled
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// How long there are faults; healing, the ends of all orders and the audit come on top
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,
    /// Which faults and which payments; a random seed where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// How many cardholders pay at one time
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    payers: u32,
    /// Keep the folder with logs and stores, also where nothing is wrong
    #[arg(long)]
    keep: bool,
    /// Make this mistake in what the servers leave behind, which must be reported and fail the run
    #[arg(long, hide = true, value_name = "WHAT")]
    plant: Option<Plant>,
    /// Already in a mount namespace of its own, with this folder; for this program's own use
    #[arg(long, hide = true, value_name = "FOLDER")]
    inside: Option<PathBuf>,
}

/// Everything that runs.
struct Run<'a> {
    command: &'a Command,
    seed: u64,
    ground: Arc<Ground>,
    fleet: Arc<Fleet>,
    world: Arc<World>,
    followers: Vec<Follower>,
    left_to_expire: BTreeSet<String>,
    began: SystemTime,
    healed: Instant,
    console: &'a Console,
}

/// Runs the command, and says whether everything is as it must be.
///
/// # Errors
/// The network can't be started, a fault can't be made, or the books can't be opened.
pub async fn run(command: &Command, console: &Console) -> Result<bool> {
    if let Some(folder) = &command.inside {
        let gone = namespace::outside_is_gone();
        return tokio::select! {
            ended = run_in(command, folder, console) => ended,
            () = gone.cancelled() => bail!("the program that started this one is gone"),
        };
    }
    // What is made here is removed here, however the run inside ends.
    let folder = tempfile::Builder::new().prefix("bankside-torture-").tempdir().context("no folder to work in")?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(status) = namespace::run_inside(arguments, folder.path()).await? {
        // One that ended with a code has said why.
        ensure!(status.code().is_some(), "the run was ended from outside ({status})");
        return Ok(status.success());
    }
    // Whoever runs the gate must not believe that disks were filled which were not.
    let why = "no disk can be mounted here: that takes root, or user namespaces, and util-linux's unshare and mount";
    ensure!(std::env::var_os("CI").is_none(), "{why}");
    console.line("No disk can be mounted here: none is filled up, and files are limited in size instead.");
    run_in(command, folder.path(), console).await
}

async fn run_in(command: &Command, folder: &Path, console: &Console) -> Result<bool> {
    let seed = seed(command.seed)?;
    console.line(format!("The seed is {seed}; --seed {seed} brings the same torment again."));
    let begin = Instant::now();
    let outcome = torment(command, seed, folder, console).await;
    let is_sound = matches!(&outcome, Ok(verdict) if verdict.is_sound());
    if command.keep || !(is_sound || command.plant.is_some()) {
        let kept = keep(folder)?;
        console.line(format!("Logs, stores and what everybody was told are kept in {}", kept.display()));
    }
    let verdict = outcome.with_context(|| format!("seed {seed}"))?;
    verdict.show(command, seed, begin.elapsed(), console);
    Ok(is_sound)
}

/// What a run came to.
struct Verdict {
    sums: Sums,
    findings: Vec<Finding>,
    /// How many mistakes the auditor has noticed in copies of these books.
    noticed: Noticed,
    kills: usize,
    others: usize,
    after_disks: u64,
    silences: Vec<(String, u64)>,
}

async fn torment(command: &Command, seed: u64, folder: &Path, console: &Console) -> Result<Verdict> {
    let mut run = Run::start(command, seed, folder, console).await?;
    let keeper = tokio::spawn(Arc::clone(&run.fleet).keep());
    let counts = run.play().await?;
    let late = run.settle().await?;
    keeper.abort();
    let _ = keeper.await;
    console.working("stopping the servers");
    run.fleet.stop().await?;
    if let Some(plant) = command.plant {
        plant.make(&run.ground).await.with_context(|| format!("the mistake {plant:?} can't be made"))?;
    }
    console.working("auditing");
    let ended = SystemTime::now();
    let mut evidence = books::read(&run.ground, &run.world, &run.followers, (run.began, ended)).await?;
    let (wrongs, after_disks) = run.fleet.wrongs();
    evidence.offences.extend(wrongs);
    evidence.offences.extend(late);
    std::fs::write(folder.join("evidence.txt"), format!("{evidence:#?}"))?;
    let findings = auditor::audit(&evidence);
    let noticed = if findings.is_empty() { auditor::awake::prove(&evidence)? } else { Noticed::default() };
    console.done();
    let sums = auditor::sums(&evidence, &findings);
    let silences = run.world.silences().into_iter().collect();
    Ok(Verdict { sums, findings, noticed, kills: counts.0, others: counts.1, after_disks, silences })
}

impl<'a> Run<'a> {
    async fn start(command: &'a Command, seed: u64, folder: &Path, console: &'a Console) -> Result<Self> {
        console.working("making certificates and keys");
        let mut ground = Ground::make(folder).await?;
        let minutes = command.seconds.div_ceil(60);
        let fleet = Arc::new(Fleet::of(&ground, command.inside.is_some(), minutes)?);
        console.working("importing the customers");
        let mut imports = JoinSet::new();
        for issuer in ground.topology.issuers.clone() {
            imports.spawn(async move { import(&issuer).await });
        }
        while let Some(imported) = imports.join_next().await {
            imported.context("an import panicked")??;
        }
        ground.release_ports();
        console.working("starting the servers");
        for id in fleet.names_of(|kind| kind == Kind::Shop || kind == Kind::Server(Server::CardNetwork)) {
            fleet.start(&id)?;
        }
        // The others wait for the platform's directory, so that it comes first.
        fleet.start_ready(&ground, &ground.topology.platform.id).await?;
        let others = ground.topology.servers().into_iter().map(|(_, id, _)| id.to_owned());
        for id in others.filter(|id| *id != ground.topology.platform.id) {
            fleet.start_ready(&ground, &id).await?;
        }
        let world = Arc::new(World::of(&ground.seen)?);
        let followers = ground.seen.merchants.iter().map(|merchant| Follower::start(&ground.seen, merchant));
        let followers = followers.collect::<Result<_>>()?;
        let mut run = Self {
            command,
            seed,
            ground: Arc::new(ground),
            fleet,
            world,
            followers,
            left_to_expire: BTreeSet::new(),
            began: SystemTime::now(),
            healed: Instant::now(),
            console,
        };
        run.place_what_expires().await?;
        Ok(run)
    }

    /// Orders that nobody pays or cancels.
    async fn place_what_expires(&mut self) -> Result<()> {
        let world = Arc::clone(&self.world);
        let mut shops = Actor::new(&world, self.seed, usize::MAX - 1);
        for shop in 0..world.shops.len() {
            for _ in 0..LEFT_TO_EXPIRE {
                let placed = shops.place(shop, Some(LIFE)).await?.context("an order can't be made")?;
                self.left_to_expire.insert(placed.id);
            }
        }
        Ok(())
    }

    /// Lets everybody pay while the faults happen, and heals everything. Returns how many kills and other faults
    /// there were.
    async fn play(&mut self) -> Result<(usize, usize)> {
        let length = Duration::from_secs(self.command.seconds);
        let schedule = Schedule::of(self.seed, length, &Targets::of(&self.fleet, &self.ground));
        let counts = schedule.counts();
        let mut actors = JoinSet::new();
        for number in 0..usize::try_from(self.command.payers)? {
            let (world, seed) = (Arc::clone(&self.world), self.seed);
            actors.spawn(async move { Actor::new(&world, seed, number).play().await });
        }
        let faults = schedule.carry_out(&self.fleet, &self.ground, self.console);
        let closing = self.world.closing.clone();
        let enough = async {
            tokio::time::sleep(length).await;
            closing.cancel();
        };
        let (done, ()) = tokio::join!(faults, enough);
        done?;
        self.heal().await?;
        self.healed = Instant::now();
        self.console.working("waiting for the payments under way");
        let all = async {
            while let Some(ended) = actors.join_next().await {
                ended.context("a payer panicked")??;
            }
            Ok::<_, anyhow::Error>(())
        };
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(ended) => ended?,
            Err(_) => self.fleet.note("payers still waited long after everything was healed".to_owned()),
        }
        Ok(counts)
    }

    async fn heal(&self) -> Result<()> {
        self.ground.links.iter().for_each(|link| link.set(Weather::Clear));
        self.fleet.heal()?;
        let begin = Instant::now();
        // It may just be starting.
        while let Err(error) = tell_cards(&self.ground, Vec::new()).await {
            ensure!(begin.elapsed() < HEAL_TIME, "the card network can't be healed: {error:#}");
            tokio::time::sleep(HEAL_PAUSE).await;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<Vec<String>> {
        let settling = Settling {
            world: &self.world,
            seen: &self.ground.seen,
            followers: &self.followers,
            left_to_expire: &self.left_to_expire,
            healed: self.healed,
        };
        let patience = tokio::time::timeout(PATIENCE, settling.wait(self.console)).await;
        self.world.give_up.cancel();
        patience.unwrap_or_else(|_| Ok(vec!["not everything came to its end".to_owned()]))
    }
}

impl Verdict {
    fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Shows what is wrong, what the outside noticed of the faults, and the line that sums it up.
    fn show(&self, command: &Command, seed: u64, took: Duration, console: &Console) {
        for finding in self.findings.iter().take(SHOWN_MAX) {
            console.line(console.paint(Style::Bad, &finding.to_string()));
        }
        if self.findings.len() > SHOWN_MAX {
            console.line(format!("… and {} more", self.findings.len() - SHOWN_MAX));
        }
        let silences: Vec<String> = self.silences.iter().map(|(what, count)| format!("{what} {count}")).collect();
        console.line(format!("Calls that had to be made again: {}", silences.join(", ")));
        let Sums { charges, events, taken, spent, standing, .. } = self.sums;
        console.line(format!(
            "In minor units of {CURRENCY}: the shops have taken {taken}, the banks' accounts have spent {spent}, and \
             {standing} stand at the card network"
        ));
        // Where something is wrong with the books, the auditor has shown that it is awake.
        let Noticed { made, known } = self.noticed;
        let awake = if self.is_sound() {
            format!("; {made} of {known} kinds of mistakes were put into copies of these books, and noticed")
        } else {
            String::new()
        };
        console.line(format!(
            "{charges} charges and {events} events were compared{awake}; {} starts after a fault of a disk; {} s in \
             all; seed {seed}",
            self.after_disks,
            took.as_secs()
        ));
        console.line(self.summary(command.seconds));
    }

    /// The last line.
    fn summary(&self, seconds: u64) -> String {
        let Sums { payments, approved, declined, cancelled, expired, abandoned, reconciled, lost, doubled, .. } =
            self.sums;
        let otherwise = self.findings.len() - lost - doubled;
        let otherwise = if otherwise > 0 { format!(", {otherwise} otherwise wrong") } else { String::new() };
        format!(
            "torture: {seconds} s, {} kills, {} other faults, {payments} payments ({approved} approved, {declined} \
             declined, {cancelled} cancelled, {expired} expired, {abandoned} abandoned), {reconciled} reconciled, \
             {lost} lost, {doubled} doubled{otherwise}",
            self.kills, self.others
        )
    }
}

/// The seed that was asked for, or a random one.
fn seed(wished: Option<u64>) -> Result<u64> {
    if let Some(seed) = wished {
        return Ok(seed);
    }
    let mut bytes = [0; 4];
    SystemEntropy::new().fill(&mut bytes).context("no random seed")?;
    Ok(u32::from_be_bytes(bytes).into())
}

/// Copies everything to where it outlives this run and its disks.
fn keep(folder: &Path) -> Result<PathBuf> {
    let kept =
        tempfile::Builder::new().prefix("bankside-torture-kept-").tempdir().context("no folder to keep it in")?;
    books::copy_folder(folder, kept.path())?;
    Ok(kept.keep())
}
