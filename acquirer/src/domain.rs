//! What the acquirer decides, as pure functions: no clock, no randomness, no store, no network.
//!
//! - [`order`]: the course of an order and what each step makes necessary.
//! - [`attempt`]: one authorization request, from its arrival to its one result.
//! - [`authorization`]: the checks of a request, in their order.
//! - [`authentication`]: what is demanded of the issuer's identity verification.
//! - [`merchant`]: what a merchant may take, in one order and in one day.
//! - [`same_device`]: which payments must come from the device that opened the payment page.
//! - [`retention`]: how long what is finished is kept.

pub mod attempt;
pub mod authentication;
pub mod authorization;
pub mod merchant;
pub mod order;
pub mod retention;
pub mod same_device;
