//! Where a connection is worked on.

use super::pipeline::Pipeline;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// The runtime that accepts, or one of the threads of [`Workers`](super::Workers), with the steps that
/// its connections go through: their limits are that thread's share, so that nothing is shared.
pub(super) struct Station {
    pub(super) pipeline: Pipeline,
    /// `None` where it is the runtime that accepts.
    thread: Option<Handle>,
    connections: Arc<AtomicUsize>,
}

impl Station {
    pub(super) fn new(pipeline: Pipeline, thread: Option<Handle>) -> Self {
        Self { pipeline, thread, connections: Arc::default() }
    }

    /// The one with the fewest connections. Members keep few connections for long, so that leaving it
    /// to chance could leave one thread with all of them.
    pub(super) fn least_busy(stations: &[Self]) -> Option<&Self> {
        stations.iter().min_by_key(|station| station.connections.load(Ordering::Relaxed))
    }

    /// Where its tasks run.
    pub(super) fn runtime(&self) -> Handle {
        self.thread.clone().unwrap_or_else(Handle::current)
    }

    /// Counts a connection until the place is dropped.
    pub(super) fn place(&self) -> Place {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(&self.connections))
    }

    /// Takes the socket from the runtime that accepted it.
    pub(super) fn detach(&self, stream: TcpStream) -> io::Result<Socket> {
        match &self.thread {
            Some(_) => stream.into_std().map(Socket::Detached),
            None => Ok(Socket::Attached(stream)),
        }
    }
}

/// A socket on its way to where it is worked on.
pub(super) enum Socket {
    Attached(TcpStream),
    Detached(std::net::TcpStream),
}

impl Socket {
    /// Gives it to the runtime that this is called on.
    pub(super) fn attach(self) -> io::Result<TcpStream> {
        match self {
            Self::Attached(stream) => Ok(stream),
            Self::Detached(stream) => TcpStream::from_std(stream),
        }
    }
}

/// One connection's place at a station.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
