//! Certificates, signing keys, revocation lists and directory files for a Bankside network.
//!
//! This is the pilot network's authority: [`authority::Authority`] issues what `mesh` demands of a
//! certificate, [`inspect`] says in words what a file holds and what is wrong with it, and
//! [`directory`] turns a description of the banks into the signed directory file. A network in
//! production has its own authority, behind a hardware security module; what its certificates must
//! look like is written down here in code and in [`authority::Purpose`].
//!
//! Everything takes the time as an argument, so that tests can stand at any date.

pub mod authority;
pub mod cli;
pub mod directory;
pub mod files;
pub mod inspect;
