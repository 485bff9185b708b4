//! The protocol of a payment as a model, checked exhaustively within small bounds.
//!
//! One order at one acquirer, up to two banks and four charges, a platform that keeps nothing, a card network
//! that is slow, silent or late, a shop that cancels and hears, and clocks. Processes crash between any two durable
//! steps and between a durable step and the message after it; messages are lost, late, repeated and overtaken.
//! Every order of events within a [`configuration`] is tried, and every moment is held against every
//! [`property`].
//!
//! What is decided is decided by the real `acquirer::domain` and `issuer::domain`: their states are loaded
//! from [`records`], changed by their own functions, and saved. What those functions are called from, which
//! steps are one commit and what leaves when, is in [`acquirer`], [`issuer`] and [`network`], each step named
//! by the function that takes it. A change of the domain changes the model; a change of the order of
//! commits and messages must be made here, too.
//!
//! Each [`mistake`] is something that somebody could get wrong. The model with one of them must fail.
//!
//! # What is drawn together
//!
//! - A step that reads, decides and commits by version is one step: one that meets another is taken anew.
//! - What only happens in memory is one with the commit that follows it. A crash between them takes what a
//!   crash before them would take.
//! - Messages are a set. A message that is never delivered is as good as lost, so that a loss costs nothing
//!   of a [`state::Budget`] unless it is to be seen; [`certainty`] is also asked for with everything lost.
//! - A call's answer is dropped as soon as the call has ended, and answers of one call and the same call made again are
//!   told apart by that alone.
//!
//! # What is left out
//!
//! Signatures, certificates and the sealed card, which are verified or refused before anything here begins;
//! tickets, rates and amounts at the platform, which only refuse; more than one order, so also merchants' daily limits
//! beyond what one order takes up; retention; clocks that differ by more than their minute; the store itself,
//! which is taken at its word; and a notification that is parked after three days.

pub mod acquirer;
pub mod action;
pub mod cast;
pub mod certainty;
pub mod choices;
pub mod cli;
pub mod configuration;
pub mod issuer;
pub mod mistake;
pub mod network;
pub mod property;
pub mod records;
pub mod run;
pub mod sight;
pub mod state;
pub mod story;
pub mod world;
