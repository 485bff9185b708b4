//! What is durable, in the few bytes that a model of millions of states can afford, and to and from the
//! domain's own types. Like the records of a store: a state is loaded, changed by the domain, and saved.
//!
//! The conversions take everything apart without `..`, so that a field that the domain gains is a compile
//! error here. What they leave out is the same in every state: the deadline, the times at which an
//! attempt began, and the count and the times of a bank's questions, which only space them.

mod charge;
mod order;
mod verdict;

pub use charge::{Account, Charge, Claim};
pub use order::{Attempt, Order, OrderName, Underway, attempt_id, decided, outcome, result};
pub use verdict::{Decided, Verdict};
