//! The platform's rules: pure functions over what they are given.

pub mod change;
pub mod checkout;
