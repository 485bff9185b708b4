//! What runs at each party: the real code of the roles, and what stands around it.

pub mod acquirer;
pub mod card_network;
pub mod issuer;
pub mod phone;
pub mod platform;
pub mod shop;
