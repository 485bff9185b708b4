//! A shop's server as a process of its own: it writes every event down before it acknowledges it, survives being
//! killed, and can be told to be unwell.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use certs::files::{Access, replace};
use clap::Args;
use data_encoding::BASE64;
use mesh::access::{AccessTable, Rule};
use mesh::identity::Role;
use mesh::serve::{MESSAGE_BYTES_MAX, Server};
use mesh::tls::ServerTls;
use prost::Message as _;
use proto::pb;
use proto::pb::merchant_notification_server::{MerchantNotification, MerchantNotificationServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::interrupt::Interrupt;
use crate::network::port;
use crate::shop::inbox::{Beginning, Inbox};
use crate::shop::{directory, identity};
use crate::topology::Topology;

/// Runs one shop's server; for this program's own use.
#[derive(Debug, Args)]
pub struct ShopCommand {
    /// The network.
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    /// Which shop.
    #[arg(long, value_name = "ID")]
    shop: String,
    /// Where events are written down.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
}

/// What a shop does with the events that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Takes them and says so.
    Well,
    /// Takes none and says that it is not available.
    Refuses,
    /// Takes none and says nothing.
    Hangs,
    /// Takes them and doesn't say so.
    Forgets,
    /// Takes its time.
    Slow,
}

/// How long a slow shop takes.
const SLOW: Duration = Duration::from_millis(400);

/// Longer than anybody waits for an answer.
const FOR_EVER: Duration = Duration::from_secs(3_600);

impl Mood {
    /// All that are not well.
    pub(super) const UNWELL: [Self; 4] = [Self::Refuses, Self::Hangs, Self::Forgets, Self::Slow];

    /// Tells a shop, by the file beside its log.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) fn write(self, log: &Path) -> Result<()> {
        Ok(replace(&mood_file(log), self.name().as_bytes(), Access::Owner)?)
    }

    /// What it is called in a list of faults.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Refuses => "refuses",
            Self::Hangs => "hangs",
            Self::Forgets => "forgets",
            Self::Slow => "slow",
        }
    }

    fn of(log: &Path) -> Self {
        let name = fs::read_to_string(mood_file(log)).unwrap_or_default();
        Self::UNWELL.into_iter().find(|mood| mood.name() == name).unwrap_or(Self::Well)
    }
}

fn mood_file(log: &Path) -> PathBuf {
    log.with_extension("mood")
}

/// Serves until it is interrupted or standard input closes.
///
/// # Errors
/// A file can't be used, or the port is taken.
pub async fn run(command: &ShopCommand, interrupt: &mut Interrupt) -> Result<()> {
    let topology = Topology::load(&command.topology)?;
    let merchant = topology.merchants.iter().find(|merchant| merchant.id == command.shop);
    let merchant = merchant.with_context(|| format!("there is no shop {}", command.shop))?;
    let directory = directory(&topology)?;
    let acquirer = directory.acquirer(&merchant.acquirer.parse()?).context("the shop's acquirer is not listed")?;
    let inbox = Inbox::new(merchant.id.parse()?, acquirer.clone(), Beginning::FirstOrder);
    for event in read_log(&command.log)? {
        inbox.take(event).context("the shop's own log does not hold together")?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&command.log)?;
    let receiver = Receiver { inbox, log: Arc::new(Mutex::new(log)), path: command.log.clone() };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&merchant.notifications)?));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let table =
        AccessTable::new([Rule::roles("/bankside.v1.MerchantNotification/NotifyOrderEvent", &[Role::Acquirer])]);
    let service = MerchantNotificationServer::new(receiver).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let tls = ServerTls::mutual(identity(&topology, &merchant.tls)?)?;
    let server = Server::grpc("notifications", listener, tls, table, tonic::service::Routes::new(service));
    let stop = CancellationToken::new();
    let closed = stop.clone();
    std::thread::spawn(move || {
        let mut unused = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut unused);
        closed.cancel();
    });
    tokio::select! {
        _ = server.serve(stop.clone()) => {}
        // What hangs on purpose is not waited for.
        () = interrupt.wait() => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// The events of a log, in the order in which they arrived. A last line that was not finished is cut off.
///
/// # Errors
/// The log can't be read.
pub(super) fn read_log(log: &Path) -> Result<Vec<pb::Signed>> {
    let mut bytes = match fs::read(log) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", log.display())),
    };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    if end < bytes.len() {
        bytes.truncate(end);
        File::options().write(true).open(log)?.set_len(u64::try_from(end)?)?;
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line| Ok(pb::Signed::decode(Bytes::from(BASE64.decode(line)?))?);
    lines.map(read).collect()
}

#[derive(Debug)]
struct Receiver {
    inbox: Inbox,
    log: Arc<Mutex<File>>,
    path: PathBuf,
}

impl Receiver {
    /// Takes an event and writes it down, durably, before anybody hears that it was taken. Repeats are written
    /// down too: the auditor wants to see what came.
    fn take(&self, event: pb::Signed) -> Result<(), Status> {
        let line = format!("{}\n", BASE64.encode(&event.encode_to_vec()));
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.inbox.take(event).map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        let written = log.write_all(line.as_bytes()).and_then(|()| log.sync_data());
        if let Err(error) = written {
            // What was taken is in memory alone. The next process takes it anew.
            tracing::error!(%error, "the shop can't write its log");
            std::process::exit(1);
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl MerchantNotification for Receiver {
    async fn notify_order_event(
        &self,
        request: Request<pb::NotifyOrderEventRequest>,
    ) -> Result<Response<pb::NotifyOrderEventResponse>, Status> {
        let event = request.into_inner().event.ok_or_else(|| Status::invalid_argument("no event"))?;
        match Mood::of(&self.path) {
            Mood::Well => self.take(event)?,
            Mood::Refuses => return Err(Status::unavailable("this shop is closed")),
            Mood::Hangs => tokio::time::sleep(FOR_EVER).await,
            Mood::Forgets => {
                self.take(event)?;
                tokio::time::sleep(FOR_EVER).await;
            }
            Mood::Slow => {
                tokio::time::sleep(SLOW).await;
                self.take(event)?;
            }
        }
        Ok(Response::new(pb::NotifyOrderEventResponse {}))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn event(text: &'static str) -> pb::Signed {
        pb::Signed { body: Bytes::from_static(text.as_bytes()), ..pb::Signed::default() }
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("shop.events");
        assert_eq!(read_log(&log).unwrap(), []);
        let line = |text| format!("{}\n", BASE64.encode(&event(text).encode_to_vec()));
        let whole = format!("{}{}", line("one"), line("two"));
        fs::write(&log, format!("{whole}{}", &line("three")[..5])).unwrap();
        assert_eq!(read_log(&log).unwrap(), [event("one"), event("two")]);
        assert_eq!(fs::read_to_string(&log).unwrap(), whole);
    }

    #[test]
    fn a_mood_is_read_where_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("shop.events");
        assert_eq!(Mood::of(&log), Mood::Well);
        for mood in Mood::UNWELL {
            mood.write(&log).unwrap();
            assert_eq!(Mood::of(&log), mood);
        }
        Mood::Well.write(&log).unwrap();
        assert_eq!(Mood::of(&log), Mood::Well);
    }
}
