//! A message at its receiver.

use std::sync::Arc;

use crate::{
    parties::{acquirer, card_network, issuer, platform, shop},
    party::Party,
    wire::{Message, Reply},
    world::World,
};

/// Handles a message on the receiver's process. One that the receiver does not serve is never answered.
pub async fn serve(world: &Arc<World>, from: Party, to: Party, about: u64, message: Message) -> Reply {
    match to {
        Party::Acquirer => acquirer::serve(world, from, message).await,
        Party::Platform => platform::serve(world, from, about, message).await,
        Party::North | Party::South => issuer::serve(world, to, message).await,
        Party::CardNetwork => card_network::serve(world, message).await,
        Party::Books | Party::Tea => shop::serve(world, to, message),
        Party::Phones => std::future::pending().await,
    }
}

/// Waits until a process that has just been started is open for calls.
pub async fn until_open<T>(world: &Arc<World>, party: Party, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(open) = look() {
            return open;
        }
        world.clock(party).sleep(std::time::Duration::from_millis(5)).await;
    }
}
