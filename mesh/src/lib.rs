//! What every role of Bankside shares: who a peer is, how servers listen and clients connect, how
//! bytes are signed and sealed, where state is kept, and how a process starts, reports and stops.
//!
//! The modules fall into four groups:
//!
//! - **Identity and trust:** [`identity`], [`directory`], [`signing`], [`sealing`], [`secret`], [`tls`].
//! - **Speaking:** [`serve`], [`channel`], [`access`], [`status`], [`web`].
//! - **Remembering:** [`store`].
//! - **Being a process:** [`boot`], [`config`], [`telemetry`], [`admin`], [`operate`], [`clock`].

pub mod access;
pub mod admin;
pub mod audit;
pub mod boot;
pub mod channel;
pub mod clock;
pub mod config;
mod cork;
pub mod directory;
pub mod identity;
pub mod operate;
pub mod sealing;
pub mod secret;
pub mod serve;
pub mod signing;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod web;
