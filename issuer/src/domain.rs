//! The issuer's rules. Nothing in here reads a clock, draws a random number or does I/O: times and
//! fresh ids come in as arguments.

pub mod account;
pub mod card;
pub mod charge;
pub mod ids;
pub mod lockout;
pub mod national_id;
pub mod result;
pub mod session;
