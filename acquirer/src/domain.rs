//! What the acquirer decides, as pure functions: no clock, no randomness, no store, no network.
//!
//! - [`order`]: the course of an order and what each step makes necessary.
//! - [`attempt`]: one authorization request, from its arrival to its one result.
//! - [`authorization`]: the checks of a request, in their order.
//! - [`merchant`]: what a merchant may take, in one order and in one day.

pub mod attempt;
pub mod authorization;
pub mod merchant;
pub mod order;
