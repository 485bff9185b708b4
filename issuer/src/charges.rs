//! The charge, from its submission to its end.
//!
//! - `submit`: the hold, the charge and the order's claim are committed together, then the caller has its
//!   answer and the sending goes on in a task of its own.
//! - `send`: the request is signed and committed before its first byte leaves; while the customer waits, the
//!   same bytes go out again where a connection failed.
//! - `settle`: a verified result ends the charge and its hold in one transition.
//! - `inquire`: one question about a charge whose result is not known.
//! - `watch`: a charge as it changes.

mod advance;
mod bells;
mod bounds;
mod consent;
mod demand;
mod inquire;
mod numbers;
mod request;
mod result;
mod send;
mod settle;
mod stored;
mod submit;
mod watch;

pub use bells::Bells;
pub use bounds::{Awaited, Party, final_within};
pub use inquire::inquire;
pub use numbers::Numbers;
pub use result::Untrusted;
pub use settle::{Settled, bring_result};
pub use stored::Charge;
pub use submit::{Submission, submit};
pub use watch::watch;

pub(crate) use advance::{Advanced, With, account, advance};
pub(crate) use demand::stored_tally;

use proto::ids::ChargeId;

use crate::{context::Context, domain::ids::CustomerId, error::Error, records};

/// A customer's charge.
///
/// # Errors
/// [`Error::ChargeNotFound`], also for another customer's charge; or the store's failure.
pub async fn load(ctx: &Context, customer: &CustomerId, charge: &ChargeId) -> Result<Charge, Error> {
    let stored = ctx.repository.load(&records::Charge::at(customer, charge)).await?;
    Ok(Charge::from_record(&stored.ok_or(Error::ChargeNotFound)?.value)?)
}
