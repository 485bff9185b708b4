//! The issuer's rules. Nothing in here reads a clock, draws a random number or does I/O: times and
//! fresh ids come in as arguments.

pub mod account;
pub mod activation_code;
pub mod card;
pub mod charge;
pub mod device_key;
pub mod ids;
pub mod lockout;
pub mod low_value;
pub mod national_id;
pub mod policy;
pub mod result;
pub mod retention;
pub mod session;
pub mod source;
