//! The gRPC edges. Each parses a message once, calls what does the work, and answers.

pub mod card_selection;
pub mod issuer_auth;
pub mod issuer_operations;
