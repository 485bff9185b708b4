//! The lines between the parties: small TCP proxies that can be cut, silenced, slowed down and broken.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How much is carried at once, in bytes.
const PIECE: usize = 16 * 1024;

/// How a line behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// It carries everything.
    Clear,
    /// Every connection is reset, and so is every new one.
    Cut,
    /// Connections stay, and nothing is carried this way; what was sent arrives when it is over.
    Silent(Way),
    /// Every piece takes this much longer.
    Slow(Duration),
}

/// Which way is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the caller to the server: requests don't arrive.
    There,
    /// From the server to the caller: answers don't arrive.
    Back,
    /// Both.
    Both,
}

#[derive(Clone, Copy, Debug)]
struct State {
    weather: Weather,
    /// Counts up to break every connection that was made before.
    breaks: u64,
}

/// One line. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Link {
    name: String,
    port: u16,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Link {
    /// A line to a port of this machine, at a port of its own.
    ///
    /// # Errors
    /// No port is free.
    pub(super) async fn open(name: impl Into<String>, to: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for a line")?;
        let port = listener.local_addr().context("a line without an address")?.port();
        let (state, follow) = watch::channel(State { weather: Weather::Clear, breaks: 0 });
        let task = tokio::spawn(serve(listener, SocketAddr::from((Ipv4Addr::LOCALHOST, to)), follow));
        Ok(Self { name: name.into(), port, state, task })
    }

    /// From whom to whom.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is called: `https://localhost:PORT`.
    pub(super) fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Changes how it behaves.
    pub(super) fn set(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// Resets every connection that there is.
    pub(super) fn reset(&self) {
        self.state.send_modify(|state| state.breaks += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept is the caller's loss; the next one may succeed.
        let Ok((caller, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(caller, to, state.clone()));
    }
}

/// Carries one connection until it ends or is reset.
async fn carry(mut caller: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let born = *state.borrow_and_update();
    let server = match born.weather {
        Weather::Cut => None,
        Weather::Clear | Weather::Silent(_) | Weather::Slow(_) => TcpStream::connect(to).await.ok(),
    };
    let Some(mut server) = server else { return reset(&caller) };
    // What is small must not wait for more.
    let _ = (caller.set_nodelay(true), server.set_nodelay(true));
    let broken = {
        let (from_caller, to_caller) = caller.split();
        let (from_server, to_server) = server.split();
        let there = pass(from_caller, to_server, Way::There, state.clone());
        let back = pass(from_server, to_caller, Way::Back, state.clone());
        let breaks = |state: &State| state.breaks != born.breaks || state.weather == Weather::Cut;
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.is_err(),
            _ = state.wait_for(breaks) => true,
        }
    };
    if broken {
        reset(&caller);
        reset(&server);
    }
}

/// Lets the end of this connection be a reset. Where that fails, it is an ordinary end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let slow = audible(way, &mut state).await;
        let count = tokio::select! {
            read = from.read(&mut piece) => read?,
            _ = state.changed() => continue,
        };
        if count == 0 {
            return to.shutdown().await;
        }
        if let Some(time) = slow {
            tokio::time::sleep(time).await;
        }
        // It may have fallen silent while nothing was read.
        audible(way, &mut state).await;
        to.write_all(piece.get(..count).unwrap_or_default()).await?;
    }
}

/// Waits until something is carried this way, and says how much longer it takes.
async fn audible(way: Way, state: &mut watch::Receiver<State>) -> Option<Duration> {
    loop {
        match state.borrow_and_update().weather {
            Weather::Silent(silent) if silent == way || silent == Way::Both => {}
            Weather::Slow(time) => return Some(time),
            Weather::Clear | Weather::Cut | Weather::Silent(_) => return None,
        }
        // The line itself lives longer than its connections.
        if state.changed().await.is_err() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A server that sends back whatever it gets, and a line to it.
    async fn echo() -> (Link, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let link = Link::open("a test to an echo", port).await.unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
        (link, at)
    }

    async fn answer(stream: &mut TcpStream) -> io::Result<[u8; 2]> {
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes).await.map(|_| bytes)
    }

    #[tokio::test]
    async fn a_clear_line_carries_both_ways_and_a_cut_one_resets() {
        let (link, at) = echo().await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"hi").await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap(), *b"hi");
        link.set(Weather::Cut);
        assert!(answer(&mut stream).await.is_err());
        // A new one is accepted by the kernel and reset at once.
        let mut next = TcpStream::connect(at).await.unwrap();
        assert!(answer(&mut next).await.is_err());
        link.set(Weather::Clear);
        let mut healed = TcpStream::connect(at).await.unwrap();
        healed.write_all(b"ok").await.unwrap();
        assert_eq!(answer(&mut healed).await.unwrap(), *b"ok");
    }

    #[tokio::test]
    async fn what_was_sent_into_silence_arrives_afterwards() {
        let (link, at) = echo().await;
        for way in [Way::There, Way::Back, Way::Both] {
            let mut stream = TcpStream::connect(at).await.unwrap();
            link.set(Weather::Silent(way));
            stream.write_all(b"hi").await.unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(50), answer(&mut stream)).await;
            assert!(waited.is_err(), "{way:?} is not silent");
            link.set(Weather::Clear);
            assert_eq!(answer(&mut stream).await.unwrap(), *b"hi");
        }
    }

    #[tokio::test]
    async fn a_reset_breaks_what_there_is_and_nothing_later() {
        let (link, at) = echo().await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"hi").await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap(), *b"hi");
        link.reset();
        assert!(answer(&mut stream).await.is_err());
        let mut next = TcpStream::connect(at).await.unwrap();
        next.write_all(b"ok").await.unwrap();
        assert_eq!(answer(&mut next).await.unwrap(), *b"ok");
    }
}
