//! What every part of the platform works with.

use std::sync::Arc;

use mesh::{
    clock::{Clock, Entropy},
    directory::DirectoryHandle,
    identity::MemberId,
    telemetry::Metrics,
};
use proto::{ids::CheckoutId, link::WebAddress};
use tokio_util::sync::CancellationToken;

use crate::{
    config::CheckoutLimits, directory::Register, health::HealthBoard, repository::Repository, ticket::TicketKeys,
};

/// The platform's means. Built once at start and shared.
#[derive(Debug)]
pub struct Context {
    /// Our own id.
    pub platform: MemberId,
    /// The bank directory, with the right to change it.
    pub register: Register,
    /// The same directory, to look up in.
    pub directory: Arc<DirectoryHandle>,
    /// Which banks answer.
    pub health: Arc<HealthBoard>,
    /// Makes and verifies tickets.
    pub tickets: Arc<TicketKeys>,
    /// The records.
    pub repository: Repository,
    /// Where browsers reach the pages: an origin.
    pub public_url: WebAddress,
    /// Limits of checkouts.
    pub limits: CheckoutLimits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The process's numbers.
    pub metrics: Metrics,
    /// Cancelled when the role should drain.
    pub stop: CancellationToken,
}

impl Context {
    /// The address of a checkout's bank picker.
    #[must_use]
    pub fn checkout_url(&self, checkout: &CheckoutId) -> String {
        format!("{}/c/{checkout}", self.public_url.as_str().trim_end_matches('/'))
    }
}
