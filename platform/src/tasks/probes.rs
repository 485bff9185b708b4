//! Asking every bank's device port whether it takes calls.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh::channel::{MeshChannel, device_channel, within};
use proto::{
    directory::{MemberRole, MemberStatus},
    ids::MemberId,
    link::WebAddress,
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{config::HealthLimits, context::Context, domain::checkout::Health};

/// How a bank is asked.
#[tonic::async_trait]
pub trait Probe: Send + Sync + fmt::Debug + 'static {
    /// Whether the server at this endpoint says that it takes calls. Comes back within the time that a
    /// bank may take to answer.
    async fn answers(&self, endpoint: &WebAddress) -> bool;

    /// Lets go of what is held for endpoints that are not among these.
    fn keep(&self, endpoints: &BTreeSet<&str>);
}

/// Asks the gRPC health service over server TLS, as a device would reach it, on one connection for
/// each bank that stays open.
#[derive(Debug)]
pub struct TlsProbe {
    authority: PathBuf,
    answer: Duration,
    channels: Mutex<HashMap<String, MeshChannel>>,
}

impl TlsProbe {
    /// Trusts the servers under these authorities, and waits so long for an answer.
    #[must_use]
    pub fn new(authority: PathBuf, answer: Duration) -> Self {
        Self { authority, answer, channels: Mutex::default() }
    }

    fn channel(&self, endpoint: &WebAddress) -> Option<MeshChannel> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(endpoint.as_str()) {
            return Some(channel.clone());
        }
        match device_channel(endpoint.as_str(), &self.authority) {
            Ok(channel) => {
                channels.insert(endpoint.to_string(), channel.clone());
                Some(channel)
            }
            Err(error) => {
                tracing::warn!(%endpoint, %error, "a bank cannot be probed");
                None
            }
        }
    }
}

#[tonic::async_trait]
impl Probe for TlsProbe {
    async fn answers(&self, endpoint: &WebAddress) -> bool {
        let Some(channel) = self.channel(endpoint) else { return false };
        let question = within(HealthCheckRequest::default(), self.answer);
        match HealthClient::new(channel).check(question).await {
            Ok(answer) => answer.into_inner().status() == ServingStatus::Serving,
            Err(status) => {
                tracing::debug!(%endpoint, %status, "a bank does not answer");
                false
            }
        }
    }

    fn keep(&self, endpoints: &BTreeSet<&str>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|endpoint, _| endpoints.contains(endpoint.as_str()));
    }
}

/// Probes all banks round after round and notes what it finds on the board.
#[derive(Debug)]
pub struct Prober {
    context: Arc<Context>,
    probe: Arc<dyn Probe>,
    limits: HealthLimits,
    /// Failures in a row.
    failures: HashMap<MemberId, u32>,
}

impl Prober {
    /// A prober of all banks in the directory.
    #[must_use]
    pub fn new(context: Arc<Context>, probe: Arc<dyn Probe>, limits: HealthLimits) -> Self {
        Self { context, probe, limits, failures: HashMap::new() }
    }

    /// Probes until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.context.clock.sleep(self.limits.interval.get()) => {}
            }
        }
    }

    /// Asks every bank once.
    pub(crate) async fn round(&mut self) {
        let directory = self.context.directory.current();
        let may_return = |status| match status {
            MemberStatus::Active | MemberStatus::Suspended => true,
            MemberStatus::Removed => false,
        };
        let banks: Vec<(MemberId, WebAddress)> = directory
            .members()
            .map(|member| member.entry())
            .filter(|entry| entry.role == MemberRole::Issuer && may_return(entry.status))
            .map(|entry| (entry.member.clone(), entry.endpoint.clone()))
            .collect();
        self.context.health.keep(banks.iter().map(|(bank, _)| bank));
        self.probe.keep(&banks.iter().map(|(_, endpoint)| endpoint.as_str()).collect());
        self.failures.retain(|bank, _| directory.member(bank).is_some());
        let places = Arc::new(Semaphore::new(self.limits.concurrency));
        let mut asked = JoinSet::new();
        for (bank, endpoint) in banks {
            // The semaphore is never closed, so that a place always comes.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            while let Some(Ok((bank, answers))) = asked.try_join_next() {
                self.note(&bank, answers);
            }
            let probe = Arc::clone(&self.probe);
            asked.spawn(async move {
                let answers = probe.answers(&endpoint).await;
                drop(place);
                (bank, answers)
            });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok((bank, answers)) = answered {
                self.note(&bank, answers);
            }
        }
    }

    fn note(&mut self, bank: &MemberId, answers: bool) {
        if answers {
            self.failures.remove(bank);
            self.context.health.note(bank, Health::Healthy);
            return;
        }
        let failures = self.failures.entry(bank.clone()).or_default();
        *failures = failures.saturating_add(1);
        if *failures >= self.limits.failures {
            self.context.health.note(bank, Health::Unreachable);
        }
    }
}

#[cfg(test)]
mod tests;
