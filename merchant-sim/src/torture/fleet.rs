//! The processes of a run: started, killed, stopped in their tracks, and started again; and watched, since none of
//! them may end by itself without a reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::diary;
use super::disks::Disk;
use super::ground::{CARD_NETWORK, DESCRIPTION, Ground};
use super::shop::Mood;
use crate::network::start_alone;
use crate::process::Process;
use crate::role::{self, Server};
use crate::topology::{Merchant, ServerFiles};

/// How often the processes are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// The pause before a process that ended by itself is started again, so that one that can't start takes
/// no whole core.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// For how long a fault excuses that a process ends by itself, after it is over.
const EXCUSED_AFTERWARDS: Duration = Duration::from_secs(5);

/// How long a process may take to stop when it is asked to.
const STOP_TIME: Duration = Duration::from_secs(25);

/// All processes. Dropping them kills them.
#[derive(Debug)]
pub(super) struct Fleet {
    members: BTreeMap<String, Member>,
    wrongs: Mutex<Vec<String>>,
    restarts: Mutex<u64>,
}

/// What kind of process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A server of the network, which keeps data on a disk.
    Server(Server),
    /// A shop's server.
    Shop,
}

#[derive(Debug)]
struct Member {
    kind: Kind,
    command: Recipe,
    log: PathBuf,
    /// The data folder's disk; of servers alone.
    disk: Option<Disk>,
    data: PathBuf,
    slot: Mutex<Slot>,
}

/// How a process is started.
#[derive(Clone, Debug)]
enum Recipe {
    Role(Server, PathBuf),
    Shop { topology: PathBuf, id: String, log: PathBuf },
}

#[derive(Debug, Default)]
struct Slot {
    process: Option<Process>,
    /// Whether it is meant to run.
    is_wanted: bool,
    is_paused: bool,
    /// How many faults are under way that excuse it if it ends by itself.
    excuses: u32,
    /// Until when the last of them still does.
    excused_until: Option<Instant>,
    /// Whether it was stopped in its tracks while it was excused, so that it may end by itself once it goes on.
    is_owed_excuse: bool,
    /// When it is started again at the earliest.
    not_before: Option<Instant>,
}

/// A reason for which a process may end by itself.
#[derive(Debug)]
pub(super) struct Excuse<'a> {
    slot: &'a Mutex<Slot>,
}

impl Drop for Excuse<'_> {
    fn drop(&mut self) {
        let mut slot = lock(self.slot);
        slot.excuses -= 1;
        slot.is_owed_excuse |= slot.is_paused;
        slot.excused_until = Some(Instant::now() + EXCUSED_AFTERWARDS);
    }
}

impl Slot {
    fn is_excused(&self) -> bool {
        self.excuses > 0 || self.excused_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Fleet {
    /// Every process of a network, none of them started, each server with a disk.
    ///
    /// # Errors
    /// A disk can't be made.
    pub(super) fn of(ground: &Ground, may_mount: bool, minutes: u64) -> Result<Self> {
        let mut members = BTreeMap::new();
        let mut server = |kind: Server, id: &str, config: &Path, log: &Path, data: &Path| -> Result<()> {
            let member = Member {
                kind: Kind::Server(kind),
                command: Recipe::Role(kind, config.to_owned()),
                log: log.to_owned(),
                disk: Some(Disk::make(data, may_mount, minutes)?),
                data: data.to_owned(),
                slot: Mutex::default(),
            };
            members.insert(id.to_owned(), member);
            Ok(())
        };
        for (kind, id, ServerFiles { config, log, data, .. }) in ground.topology.servers() {
            server(kind, id, config, log, data)?;
        }
        let cards = &ground.card_network;
        server(Server::CardNetwork, CARD_NETWORK, &cards.config, &cards.log, &cards.data)?;
        let folder = &ground.topology.folder;
        for merchant in &ground.topology.merchants {
            let log = shop_log(folder, merchant);
            let member = Member {
                kind: Kind::Shop,
                command: Recipe::Shop { topology: folder.join(DESCRIPTION), id: merchant.id.clone(), log: log.clone() },
                log: folder.join("logs").join(format!("{}.log", merchant.id)),
                disk: None,
                data: log,
                slot: Mutex::default(),
            };
            members.insert(merchant.id.clone(), member);
        }
        Ok(Self { members, wrongs: Mutex::default(), restarts: Mutex::default() })
    }

    /// Everybody's name.
    pub(super) fn names(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// The names of one kind.
    pub(super) fn names_of(&self, is: impl Fn(Kind) -> bool) -> Vec<String> {
        self.members.iter().filter(|(_, member)| is(member.kind)).map(|(name, _)| name.clone()).collect()
    }

    /// Starts a server for the first time and waits until it serves.
    ///
    /// # Errors
    /// It does not become ready.
    pub(super) async fn start_ready(&self, ground: &Ground, id: &str) -> Result<()> {
        let topology = &ground.topology;
        let place = topology.servers().into_iter().find(|(_, own, _)| *own == id);
        let (server, _, files) = place.with_context(|| format!("there is no server {id}"))?;
        let process = start_alone(topology, server, id, files).await?;
        let mut slot = self.slot(id)?;
        (slot.process, slot.is_wanted) = (Some(process), true);
        Ok(())
    }

    /// Starts a process, or starts it again.
    ///
    /// # Errors
    /// It can't be started.
    pub(super) fn start(&self, id: &str) -> Result<()> {
        let member = self.member(id)?;
        let mut slot = lock(&member.slot);
        slot.is_wanted = true;
        if slot.process.is_none() {
            slot.process = Some(member.spawn(id)?);
        }
        Ok(())
    }

    /// Kills a process where it stands; it stays down until it is started.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn kill(&self, id: &str) -> Result<()> {
        let mut slot = self.slot(id)?;
        slot.is_wanted = false;
        slot.is_paused = false;
        if let Some(mut process) = slot.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Stops a process in its tracks (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn pause(&self, id: &str, pause: bool) -> Result<()> {
        let mut slot = self.slot(id)?;
        slot.is_paused = pause;
        if pause {
            slot.is_owed_excuse |= slot.is_excused();
        } else if std::mem::take(&mut slot.is_owed_excuse) {
            slot.excused_until = Some(Instant::now() + EXCUSED_AFTERWARDS);
        }
        if let Some(process) = &slot.process
            && let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw)
        {
            // It is not reaped yet, so its id can't be anybody else's; it may have ended, and then this fails.
            let _ = kill_process_group(pid, if pause { Signal::STOP } else { Signal::CONT });
        }
        Ok(())
    }

    /// Lets a process end by itself until what is returned is dropped, and for a while afterwards.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn excuse(&self, id: &str) -> Result<Excuse<'_>> {
        let slot = &self.member(id)?.slot;
        lock(slot).excuses += 1;
        Ok(Excuse { slot })
    }

    /// A server's disk and its data folder.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn disk(&self, id: &str) -> Result<(&Disk, &Path)> {
        let member = self.member(id)?;
        let disk = member.disk.as_ref().with_context(|| format!("{id} has no disk"))?;
        Ok((disk, &member.data))
    }

    /// The id of a running process.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn pid(&self, id: &str) -> Result<Option<u32>> {
        Ok(self.slot(id)?.process.as_ref().map(Process::id))
    }

    /// Changes what a shop does with the events that it hears.
    ///
    /// # Errors
    /// It can't be told.
    pub(super) fn set_mood(&self, id: &str, mood: Mood) -> Result<()> {
        mood.write(&self.member(id)?.data)
    }

    /// Looks after the processes for ever: whoever ended by itself is started again, and noted where it had no
    /// excuse.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            for (id, member) in &self.members {
                if let Err(error) = self.look(id, member) {
                    self.note(format!("{id} could not be started again: {error:#}"));
                }
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Heals everybody: emptied disks, nobody paused, everybody running.
    ///
    /// # Errors
    /// Somebody can't be started.
    pub(super) fn heal(&self) -> Result<()> {
        for (id, member) in &self.members {
            if let Some(disk) = &member.disk {
                disk.empty()?;
            }
            match member.kind {
                Kind::Shop => self.set_mood(id, Mood::Well)?,
                Kind::Server(_) => {}
            }
            self.pause(id, false)?;
            self.start(id)?;
        }
        Ok(())
    }

    /// Asks everybody to stop, the issuers first and the shops last, as somebody does who wants no questions left.
    ///
    /// # Errors
    /// The operating system can't say how one ended.
    pub(super) async fn stop(&self) -> Result<()> {
        let order = |kind: Kind| match kind {
            Kind::Server(Server::Issuer) => 0,
            Kind::Server(Server::Platform) => 1,
            Kind::Server(Server::Acquirer) => 2,
            Kind::Server(Server::CardNetwork) => 3,
            Kind::Shop => 4,
        };
        let mut members: Vec<(&String, &Member)> = self.members.iter().collect();
        members.sort_by_key(|(_, member)| order(member.kind));
        for (id, member) in members {
            let process = {
                let mut slot = lock(&member.slot);
                slot.is_wanted = false;
                slot.process.take()
            };
            let Some(mut process) = process else { continue };
            let status = process.stop(STOP_TIME).await?;
            if !status.success() {
                self.note(format!("{id} was asked to stop and ended with {status}\n{}", process.log_tail()));
            }
        }
        Ok(())
    }

    /// What went wrong with the processes so far, and how often one was started again after a fault of its disk.
    pub(super) fn wrongs(&self) -> (Vec<String>, u64) {
        (lock(&self.wrongs).clone(), *lock(&self.restarts))
    }

    /// Notes something that is wrong by itself.
    pub(super) fn note(&self, wrong: String) {
        lock(&self.wrongs).push(wrong);
    }

    fn look(&self, id: &str, member: &Member) -> Result<()> {
        let mut slot = lock(&member.slot);
        let now = Instant::now();
        if !slot.is_wanted || slot.not_before.is_some_and(|time| time > now) {
            return Ok(());
        }
        match &mut slot.process {
            None => {}
            Some(process) => {
                let Some(status) = process.ended()? else { return Ok(()) };
                let tail = process.log_tail();
                slot.process = None;
                if !slot.is_excused() {
                    self.note(format!("{id} ended by itself ({status}, noticed at {})\n{tail}", diary::now()));
                } else {
                    *lock(&self.restarts) += 1;
                }
                slot.not_before = Some(now + RESTART_PAUSE);
                return Ok(());
            }
        }
        slot.process = Some(member.spawn(id)?);
        if slot.is_paused {
            drop(slot);
            self.pause(id, true)?;
        }
        Ok(())
    }

    fn member(&self, id: &str) -> Result<&Member> {
        self.members.get(id).with_context(|| format!("there is no process {id}"))
    }

    fn slot(&self, id: &str) -> Result<MutexGuard<'_, Slot>> {
        Ok(lock(&self.member(id)?.slot))
    }
}

impl Member {
    fn spawn(&self, id: &str) -> Result<Process> {
        let command = match &self.command {
            Recipe::Role(server, config) => role::command(*server, config)?,
            Recipe::Shop { topology, id, log } => {
                let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
                command.args(["torture-shop", "--shop", id, "--topology"]).arg(topology).arg("--log").arg(log);
                command
            }
        };
        let process = Process::spawn(id, command, &self.log)?;
        ensure!(process.id() > 1, "the operating system gave no process id");
        Ok(process)
    }
}

/// Where a shop keeps what it heard.
pub(super) fn shop_log(folder: &Path, merchant: &Merchant) -> PathBuf {
    folder.join(format!("{}.events", merchant.id))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
