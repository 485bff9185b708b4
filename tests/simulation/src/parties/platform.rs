//! The platform's relay: the real rules, and a hop of wire to the acquirer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use platform::relay::Gate;
use proto::authorization::Route;
use tonic::Status;

use crate::{
    party::Party,
    pki::{Pki, peer},
    serve::until_open,
    wire::{Broken, Message, Reply, call},
    world::World,
};

/// The longest wait for an acquirer, as the relay's default is.
const ACQUIRER_WAIT: Duration = Duration::from_secs(8);

/// Starts the platform's process.
pub fn start(world: &Arc<World>) {
    let gate = Gate::new(world.directory(), Arc::clone(&Pki::get().tickets), world.clock(Party::Platform));
    world.roles(|roles| roles.platform = Some(Arc::new(gate)));
}

/// One call at the platform's port.
pub async fn serve(world: &Arc<World>, from: Party, about: u64, message: Message) -> Reply {
    let gate = until_open(world, Party::Platform, || world.roles(|roles| roles.platform.clone())).await;
    let judged = match &message {
        Message::Authorize(bytes) => gate.authorize(&peer(from), bytes.clone()),
        Message::Resolve(bytes) => gate.resolve(&peer(from), bytes.clone()),
        Message::Create(_)
        | Message::Cancel(_)
        | Message::Watch(_)
        | Message::Notify(_)
        | Message::Submit(_)
        | Message::Look(..)
        | Message::CardAuthorize(_)
        | Message::CardInquire(..)
        | Message::CardReverse(..) => Err(Status::unimplemented("not served here")),
    };
    let answered = match judged {
        Ok(route) => forward(world, about, message, &route).await,
        Err(status) => Err(status),
    };
    match answered {
        Ok(bytes) => Reply::Bytes(bytes),
        Err(status) => Reply::Status(Box::new(status)),
    }
}

async fn forward(world: &Arc<World>, about: u64, message: Message, route: &Route) -> Result<Bytes, Status> {
    let clock = world.clock(Party::Platform);
    let answered = tokio::select! {
        biased;
        answered = call(world, Party::Platform, Party::Acquirer, about, message) => answered,
        () = clock.sleep(ACQUIRER_WAIT) => return Err(Gate::too_late()),
    };
    match answered {
        Ok(Reply::Bytes(bytes)) => {
            Gate::check_answer(bytes.clone(), &route.authorization)?;
            Ok(bytes)
        }
        Ok(Reply::Status(status)) => Err(*status),
        Ok(_) | Err(Broken) => Err(Gate::unreachable()),
    }
}
