//! `WatchBanks`: one task for each stream takes from what is published whatever its member hasn't seen.
//!
//! Nothing is queued but what the transport takes next: a member that reads slowly gets each entry in its
//! latest form, and one that doesn't read at all is cut off. A member that is suspended gets the entry
//! that says so, and then its stream ends.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use mesh::identity::Role;
use proto::{
    directory::{MemberRole, MemberStatus},
    ids::MemberId,
    pb::{self, watch_banks_response::Update},
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use crate::{context::Context, directory::Published, domain::checkout::Health, error::Error};

/// Updates between the task and the transport. At 4 KiB each this is what a slow reader costs.
const BUFFER: usize = 16;
/// How long the transport may take to make room for one update. Below the 5 seconds within which a
/// suspended member's stream must have ended.
const READER_PATIENCE: Duration = Duration::from_secs(4);

/// The stream as tonic reads it. Dropping it ends the task behind it.
#[derive(Debug)]
pub struct Updates {
    updates: mpsc::Receiver<pb::WatchBanksResponse>,
    end: Arc<Mutex<Option<Error>>>,
}

/// Opens a member's stream.
///
/// # Errors
/// [`Error::MemberUnknown`] and [`Error::MemberSuspended`].
pub(super) fn open(context: &Arc<Context>, member: MemberId, role: Role, after: u64) -> Result<Updates, Error> {
    let role = match role {
        Role::Issuer => MemberRole::Issuer,
        Role::Acquirer => MemberRole::Acquirer,
        Role::Platform | Role::Merchant | Role::Operator => return Err(Error::MemberUnknown),
    };
    let reader = Reader { member, role };
    reader.judge(&context.register.current())?;
    let (sender, updates) = mpsc::channel(BUFFER);
    let end = Arc::new(Mutex::new(None));
    let (context, ending) = (Arc::clone(context), Arc::clone(&end));
    tokio::spawn(async move {
        let ended = serve(&context, &reader, &sender, after).await;
        if let Err(error) = ended {
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        // The reader sees the end only after the reason is in place.
        drop(sender);
    });
    Ok(Updates { updates, end })
}

impl Stream for Updates {
    type Item = Result<pb::WatchBanksResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_recv(cx).map(|update| match update {
            Some(update) => Some(Ok(update)),
            None => self.end.lock().unwrap_or_else(PoisonError::into_inner).take().map(|error| Err(error.into())),
        })
    }
}

/// Whose stream it is.
struct Reader {
    member: MemberId,
    role: MemberRole,
}

impl Reader {
    /// Whether the member may read on.
    fn judge(&self, published: &Published) -> Result<(), Error> {
        let member = published.directory().member(&self.member).filter(|member| member.entry().role == self.role);
        match member.map(|member| member.entry().status) {
            None => Err(Error::MemberUnknown),
            Some(MemberStatus::Suspended | MemberStatus::Removed) => Err(Error::MemberSuspended),
            Some(MemberStatus::Active) => Ok(()),
        }
    }
}

/// Sends until the member may read no more or goes away. `Ok` where nobody is there to hear of the end.
async fn serve(
    context: &Context,
    reader: &Reader,
    sender: &mpsc::Sender<pb::WatchBanksResponse>,
    mut seen: u64,
) -> Result<(), Error> {
    let out = Out { context, sender };
    // Subscribed before the first look, so that no change falls in between.
    let mut published = context.register.subscribe();
    let mut health = context.health.subscribe();
    let mut is_healths_turn = true;
    loop {
        let current = Arc::clone(&published.borrow_and_update());
        for entry in current.changed_after(seen) {
            out.send(Update::Entry(entry)).await?;
        }
        seen = seen.max(current.version());
        out.send(Update::Head(current.head().clone())).await?;
        reader.judge(&current)?;
        if std::mem::take(&mut is_healths_turn) {
            out.send_all_health().await?;
        }
        loop {
            tokio::select! {
                changed = published.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Err(Error::Stopping),
                },
                changed = health.recv() => match changed {
                    Ok((bank, health)) => out.send_health(&bank, health).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => out.send_all_health().await?,
                    Err(broadcast::error::RecvError::Closed) => return Err(Error::Stopping),
                },
                () = sender.closed() => return Ok(()),
                () = context.stop.cancelled() => return Err(Error::Stopping),
            }
        }
    }
}

/// The way to the transport.
struct Out<'a> {
    context: &'a Context,
    sender: &'a mpsc::Sender<pb::WatchBanksResponse>,
}

impl Out<'_> {
    async fn send(&self, update: Update) -> Result<(), Error> {
        let update = pb::WatchBanksResponse { update: Some(update) };
        let patience = self.context.clock.sleep(READER_PATIENCE);
        tokio::select! {
            biased;
            // A reader that has gone away hears nothing, so that it doesn't matter what it is told.
            sent = self.sender.send(update) => sent.map_err(|_| Error::Stopping),
            () = patience => Err(Error::SlowReader),
        }
    }

    async fn send_health(&self, bank: &MemberId, health: Health) -> Result<(), Error> {
        self.send(Update::Health(pb::HealthChanged { bank_id: bank.to_string(), health: health.to_pb().into() })).await
    }

    async fn send_all_health(&self) -> Result<(), Error> {
        for (bank, health) in self.context.health.known() {
            self.send_health(&bank, health).await?;
        }
        Ok(())
    }
}
