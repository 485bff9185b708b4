//! What goes on beside the calls: putting right what nobody works on any more, the questions about unknown
//! charges, the rotation of the vault's keys, and the removal of what was kept for its period.

pub mod audit;
pub mod recovery;
pub mod resolve;
pub mod retention;
pub mod rotation;
