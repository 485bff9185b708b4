//! What goes on beside the calls: putting right what nobody works on any more, and the questions about
//! unknown charges.

pub mod recovery;
pub mod resolve;
