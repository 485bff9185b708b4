//! The `bankside.v1` contracts: the generated code, and the domain types that it is parsed into.
//!
//! [`pb`] is generated from `bankside/v1/*.proto` and used at the edges alone. Everything behind an
//! edge works with the types of the other modules, which can only hold what is valid: a message is
//! parsed once, by the `parse` function of its type, and what is wrong with it is reported field by
//! field ([`fields::Invalid`]).
//!
//! This crate knows the shapes and their rules. It holds no keys, opens no sockets and reads no clock.

pub mod authorization;
pub mod card;
pub mod confirmation;
pub mod device;
pub mod digest;
pub mod directory;
pub mod event;
pub mod fields;
pub mod ids;
pub mod link;
pub mod money;
pub mod order;
pub mod reason;
mod redact;
pub mod signed;
pub mod time;

/// The messages, clients and servers exactly as the contracts define them.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::wildcard_enum_match_arm, unreachable_pub)]
pub mod pb {
    tonic::include_proto!("bankside.v1");
}

/// The contracts as an encoded `FileDescriptorSet`, comments included, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bankside.v1.binpb"));
