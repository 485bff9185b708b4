//! The live connections, so that one can be ended when its peer is no longer welcome.

use crate::identity::Peer;
use rustls_pki_types::CertificateDer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// A registry of live connections. Clones share one registry.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    live: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: Arc<Peer>,
    chain: Vec<CertificateDer<'static>>,
    end: CancellationToken,
}

impl Connections {
    /// Ends every live connection whose peer matches, at once and without waiting for its calls.
    /// Returns how many there were.
    pub fn close_where(&self, mut unwelcome: impl FnMut(&Peer) -> bool) -> usize {
        self.close(|entry| unwelcome(&entry.peer))
    }

    /// Ends the live connections whose peer's certificate is not valid any more at `now`.
    pub fn close_expired(&self, now: SystemTime) -> usize {
        self.close(|entry| entry.peer.not_after < now)
    }

    /// How many connections of verified peers are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().live.len()
    }

    /// Whether no verified peer is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn close_chains(&self, mut refused: impl FnMut(&[CertificateDer<'static>]) -> bool) -> usize {
        self.close(|entry| refused(&entry.chain))
    }

    /// Adds a connection; it is removed when the registration is dropped. `end` is cancelled to end
    /// it. After registering, the caller must judge the chain again if the identity changed since its
    /// handshake began.
    pub(crate) fn register(
        &self,
        peer: Arc<Peer>,
        chain: Vec<CertificateDer<'static>>,
        end: CancellationToken,
    ) -> Registration {
        let mut table = self.lock();
        let key = table.next;
        table.next += 1;
        table.live.insert(key, Entry { peer, chain, end });
        Registration { key, connections: self.clone() }
    }

    fn close(&self, mut matches: impl FnMut(&Entry) -> bool) -> usize {
        let table = self.lock();
        let mut closed = 0;
        for entry in table.live.values() {
            if !entry.end.is_cancelled() && matches(entry) {
                entry.end.cancel();
                closed += 1;
            }
        }
        closed
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is consistent after every statement above, so a panic elsewhere can't spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection in the registry for as long as it lives.
#[derive(Debug)]
pub struct Registration {
    key: u64,
    connections: Connections,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().live.remove(&self.key);
    }
}
