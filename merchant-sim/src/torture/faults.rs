//! What happens to the network: a schedule that follows from the seed, and its carrying out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acquirer::network::plain_line;
use anyhow::{Context as _, Result};
use proto::pb;
use proto::pb::card_network_fault::What;
use proto::pb::card_network_simulation_client::CardNetworkSimulationClient;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::chance::Chance;
use super::diary::Diary;
use super::disks::{Fullness, limit_files, unlimit_files};
use super::fleet::{Fleet, Kind};
use super::ground::{CARD_NETWORK, Ground};
use super::links::{Way, Weather};
use super::shop::Mood;
use crate::console::Console;

/// The shortest and the longest time from one fault to the next.
const GAP: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(800));
/// The first fault comes after this.
const LEAD: Duration = Duration::from_millis(500);
/// How long a killed process stays down.
const DOWN: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(1_500));
/// A fault that everybody's deadlines outlast.
const SHORT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
/// One that outlasts the longest of them, the issuer's wait for a result, which is 10 s.
const LONG: (Duration, Duration) = (Duration::from_secs(11), Duration::from_secs(14));
/// How long a disk is full, and how long files may not grow.
const FULL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// How long a shop is unwell. It is short, because the acquirer waits twice as long as that once it is well again.
const UNWELL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7));
/// How long telling the card network may take.
const TELL_TIME: Duration = Duration::from_secs(1);
/// The pause before it is told again.
const TELL_PAUSE: Duration = Duration::from_millis(100);

/// One fault.
#[derive(Clone, Debug, PartialEq)]
enum Fault {
    Kill { who: String, down: Duration },
    Pause { who: String, time: Duration },
    Weather { link: String, weather: Weather, time: Duration },
    Reset { link: String },
    Fill { who: String, fullness: Fullness, time: Duration },
    Limit { who: String, time: Duration },
    Mood { shop: String, mood: Mood, time: Duration },
    Cards { fault: pb::CardNetworkFault, time: Duration },
}

/// All faults of a run, each with its moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule(Vec<(Duration, Fault)>);

/// Whom a schedule may hit.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// Every process.
    pub(super) processes: Vec<String>,
    /// Those with a disk.
    pub(super) servers: Vec<String>,
    /// The shops.
    pub(super) shops: Vec<String>,
    /// The lines.
    pub(super) links: Vec<String>,
    /// Whether the disks can be filled.
    pub(super) disks: bool,
}

impl Schedule {
    /// The schedule of a seed.
    pub(super) fn of(seed: u64, length: Duration, targets: &Targets) -> Self {
        let mut chance = Chance::of_part(seed, 0);
        let mut moment = LEAD;
        let mut faults = Vec::new();
        while moment < length {
            // Whatever it is, it ends with the run.
            let left = length - moment;
            faults.extend(fault(&mut chance, targets, left).map(|fault| (moment, fault)));
            moment += chance.between(GAP.0, GAP.1);
        }
        Self(faults)
    }

    /// How many kills and how many other faults there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        let kills = self.0.iter().filter(|(_, fault)| matches!(fault, Fault::Kill { .. })).count();
        (kills, self.0.len() - kills)
    }

    /// Carries all of them out, and returns when the last one is over.
    ///
    /// # Errors
    /// A fault can't be made. A fault that is never made would prove nothing.
    pub(super) async fn carry_out(self, fleet: &Arc<Fleet>, ground: &Arc<Ground>, console: &Console) -> Result<()> {
        let begin = Instant::now();
        let mut under_way = JoinSet::new();
        let diary = Arc::new(Diary::open(&ground.topology.folder)?);
        for (moment, fault) in self.0 {
            tokio::time::sleep_until(begin + moment).await;
            console.working(format!("{:.1} s: {fault}", moment.as_secs_f64()));
            let (fleet, ground, diary) = (Arc::clone(fleet), Arc::clone(ground), Arc::clone(&diary));
            under_way.spawn(async move {
                let what = fault.to_string();
                diary.note(&format!("begins: {what}"))?;
                fault.happen(&fleet, &ground).await.with_context(|| format!("the fault \"{what}\""))?;
                diary.note(&format!("is over: {what}"))
            });
        }
        while let Some(over) = under_way.join_next().await {
            over.context("a fault panicked")??;
        }
        Ok(())
    }
}

fn fault(chance: &mut Chance, targets: &Targets, left: Duration) -> Option<Fault> {
    let time =
        |chance: &mut Chance, (shortest, longest): (Duration, Duration)| chance.between(shortest, longest).min(left);
    Some(match chance.below(100) {
        0..36 => {
            let who = chance.pick(&targets.processes)?.clone();
            Fault::Kill { who, down: time(chance, DOWN) }
        }
        36..46 => {
            let who = chance.pick(&targets.processes)?.clone();
            Fault::Pause { who, time: some_time(chance, left) }
        }
        46..66 => {
            let link = chance.pick(&targets.links)?.clone();
            let weather = match chance.below(10) {
                0..3 => Weather::Cut,
                3..5 => Weather::Silent(Way::There),
                5..7 => Weather::Silent(Way::Back),
                7 => Weather::Silent(Way::Both),
                _ => Weather::Slow(chance.between(Duration::from_millis(20), Duration::from_millis(600))),
            };
            Fault::Weather { link, weather, time: some_time(chance, left) }
        }
        66..74 => Fault::Reset { link: chance.pick(&targets.links)?.clone() },
        74..81 if targets.disks => {
            let fullness = if chance.percent(50) { Fullness::Nearly } else { Fullness::Entirely };
            Fault::Fill { who: chance.pick(&targets.servers)?.clone(), fullness, time: time(chance, FULL) }
        }
        74..84 => Fault::Limit { who: chance.pick(&targets.servers)?.clone(), time: time(chance, FULL) },
        84..91 => {
            let mood = *chance.pick(&Mood::UNWELL)?;
            Fault::Mood { shop: chance.pick(&targets.shops)?.clone(), mood, time: time(chance, UNWELL) }
        }
        _ => Fault::Cards { fault: cards(chance), time: time(chance, FULL) },
    })
}

/// Mostly a short time, now and then one that outlasts every deadline.
fn some_time(chance: &mut Chance, left: Duration) -> Duration {
    let (shortest, longest) = if chance.percent(20) { LONG } else { SHORT };
    chance.between(shortest, longest).min(left)
}

/// One way in which a card network fails.
fn cards(chance: &mut Chance) -> pb::CardNetworkFault {
    let later = |chance: &mut Chance| prost_types::Duration {
        seconds: i64::try_from(chance.below(8)).unwrap_or_default(),
        nanos: 300_000_000,
    };
    let failure = |failure: pb::CardNetworkFailure| What::Failure(failure.into());
    let what = match chance.below(11) {
        0 => What::ArrivesAfter(later(chance)),
        1 => What::DecidesAfter(later(chance)),
        2 => What::AnswersAfter(later(chance)),
        3 => failure(pb::CardNetworkFailure::Lost),
        4 => failure(pb::CardNetworkFailure::Silent),
        5 => failure(pb::CardNetworkFailure::Unavailable),
        6 | 7 => failure(pb::CardNetworkFailure::Twice),
        8 => failure(pb::CardNetworkFailure::DiesBefore),
        9 => failure(pb::CardNetworkFailure::DiesAfter),
        _ => What::Declines(pb::DeclineReason::DoNotHonor.into()),
    };
    let calls = match chance.below(4) {
        0 => Vec::new(),
        1 => vec![pb::CardNetworkCall::Inquire.into(), pb::CardNetworkCall::Reverse.into()],
        _ => vec![pb::CardNetworkCall::Authorize.into()],
    };
    let times = u32::try_from(1 + chance.below(6)).unwrap_or(1);
    pb::CardNetworkFault { calls, times, what: Some(what), ..pb::CardNetworkFault::default() }
}

impl Fault {
    /// Happens, and is over.
    async fn happen(self, fleet: &Fleet, ground: &Ground) -> Result<()> {
        match self {
            Self::Kill { who, down } => {
                fleet.kill(&who)?;
                tokio::time::sleep(down).await;
                fleet.start(&who)
            }
            Self::Pause { who, time } => {
                fleet.pause(&who, true)?;
                tokio::time::sleep(time).await;
                fleet.pause(&who, false)
            }
            Self::Weather { link, weather, time } => {
                let link = ground.link(&link).context("there is no such line")?;
                link.set(weather);
                tokio::time::sleep(time).await;
                link.set(Weather::Clear);
                Ok(())
            }
            Self::Reset { link } => {
                ground.link(&link).context("there is no such line")?.reset();
                Ok(())
            }
            Self::Fill { who, fullness, time } => {
                let _excuse = fleet.excuse(&who)?;
                let disk = fleet.disk(&who)?.0.clone();
                let full = disk.clone();
                tokio::task::spawn_blocking(move || full.fill(fullness)).await.context("filling a disk panicked")??;
                tokio::time::sleep(time).await;
                tokio::task::spawn_blocking(move || disk.empty()).await.context("emptying a disk panicked")?
            }
            Self::Limit { who, time } => {
                let _excuse = fleet.excuse(&who)?;
                let data = fleet.disk(&who)?.1.to_owned();
                // One that is just down, or has no store yet, can't be limited.
                if let Some(pid) = fleet.pid(&who)?
                    && limit_files(pid, &data).is_ok()
                {
                    tokio::time::sleep(time).await;
                    // A process that died of it has taken it along.
                    if fleet.pid(&who)? == Some(pid) {
                        unlimit_files(pid)?;
                    }
                }
                Ok(())
            }
            Self::Mood { shop, mood, time } => {
                fleet.set_mood(&shop, mood)?;
                tokio::time::sleep(time).await;
                fleet.set_mood(&shop, Mood::Well)
            }
            Self::Cards { fault, time } => {
                // It may be told to die, and does so with the next call.
                let _excuse = fleet.excuse(CARD_NETWORK)?;
                // One that is just down can't be told.
                let _ = tell_cards(ground, vec![fault]).await;
                tokio::time::sleep(time).await;
                // It may be down or stopped in its tracks; then it hears later that it is well again.
                let deadline = Instant::now() + LONG.1;
                while tell_cards(ground, Vec::new()).await.is_err() && Instant::now() < deadline {
                    tokio::time::sleep(TELL_PAUSE).await;
                }
                Ok(())
            }
        }
    }
}

/// Tells the card network how to fail from now on.
///
/// # Errors
/// It can't be reached.
pub(super) async fn tell_cards(ground: &Ground, faults: Vec<pb::CardNetworkFault>) -> Result<()> {
    let address = format!("http://127.0.0.1:{}", ground.card_network.control);
    let telling = async {
        let mut client = CardNetworkSimulationClient::new(plain_line(&address)?);
        client.set_faults(pb::SetFaultsRequest { faults }).await?;
        Ok(())
    };
    tokio::time::timeout(TELL_TIME, telling).await.context("the card network's control is silent")?
}

impl Targets {
    /// Everybody in a network.
    pub(super) fn of(fleet: &Fleet, ground: &Ground) -> Self {
        let servers = fleet.names_of(|kind| matches!(kind, Kind::Server(_)));
        let disks = servers.iter().any(|id| fleet.disk(id).is_ok_and(|(disk, _)| disk.can_be_filled()));
        Self {
            processes: fleet.names(),
            shops: fleet.names_of(|kind| kind == Kind::Shop),
            links: ground.links.iter().map(|link| link.name().to_owned()).collect(),
            servers,
            disks,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { who, down } => write!(f, "{who} is killed, and down for {} ms", down.as_millis()),
            Self::Pause { who, time } => write!(f, "{who} is stopped for {} ms", time.as_millis()),
            Self::Weather { link, weather, time } => write!(f, "{link} is {weather:?} for {} ms", time.as_millis()),
            Self::Reset { link } => write!(f, "{link} is reset"),
            Self::Fill { who, fullness, time } => {
                write!(f, "the disk of {who} is full ({fullness:?}) for {} ms", time.as_millis())
            }
            Self::Limit { who, time } => write!(f, "the files of {who} may not grow for {} ms", time.as_millis()),
            Self::Mood { shop, mood, time } => write!(f, "{shop} {} for {} ms", mood.name(), time.as_millis()),
            Self::Cards { fault, time } => {
                write!(f, "the card network fails for {} ms: {:?}", time.as_millis(), fault.what)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Targets {
            processes: names(&["bank", "shop"]),
            servers: names(&["bank"]),
            shops: names(&["shop"]),
            links: names(&["shop to bank"]),
            disks: true,
        }
    }

    #[test]
    fn a_seed_gives_one_schedule_with_every_kind_of_fault() {
        let length = Duration::from_secs(600);
        let schedule = Schedule::of(7, length, &targets());
        assert_eq!(schedule, Schedule::of(7, length, &targets()));
        assert_ne!(schedule, Schedule::of(8, length, &targets()));
        let kinds: std::collections::BTreeSet<u8> = schedule
            .0
            .iter()
            .map(|(_, fault)| match fault {
                Fault::Kill { .. } => 0,
                Fault::Pause { .. } => 1,
                Fault::Weather { .. } => 2,
                Fault::Reset { .. } => 3,
                Fault::Fill { .. } => 4,
                Fault::Limit { .. } => 5,
                Fault::Mood { .. } => 6,
                Fault::Cards { .. } => 7,
            })
            .collect();
        assert_eq!(kinds.len(), 8);
    }

    #[test]
    fn every_fault_ends_with_the_run_and_some_outlast_every_deadline() {
        let length = Duration::from_secs(120);
        let schedule = Schedule::of(3, length, &targets());
        let times: Vec<(Duration, Duration)> = schedule
            .0
            .iter()
            .filter_map(|(moment, fault)| match fault {
                Fault::Pause { time, .. } | Fault::Weather { time, .. } => Some((*moment, *time)),
                Fault::Kill { .. }
                | Fault::Reset { .. }
                | Fault::Fill { .. }
                | Fault::Limit { .. }
                | Fault::Mood { .. }
                | Fault::Cards { .. } => None,
            })
            .collect();
        assert!(times.iter().all(|(moment, time)| *moment + *time <= length));
        assert!(times.iter().any(|(_, time)| *time > Duration::from_secs(10)));
    }

    #[test]
    fn where_no_disk_can_be_filled_files_are_limited_instead() {
        let schedule = Schedule::of(7, Duration::from_secs(600), &Targets { disks: false, ..targets() });
        assert!(!schedule.0.iter().any(|(_, fault)| matches!(fault, Fault::Fill { .. })));
        assert!(schedule.0.iter().any(|(_, fault)| matches!(fault, Fault::Limit { .. })));
    }
}
