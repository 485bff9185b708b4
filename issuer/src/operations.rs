//! What the bank's own people do to a running issuer: look after charges whose result is not known, hand out
//! activation codes, end locks. Everything that changes something is in the audit trail.

use std::time::{Duration, SystemTime};

use mesh::{
    secret::SecretString,
    store::{Cursor, KeyRange, PageRequest},
};
use proto::{ids::ChargeId, signed::Signed};

use crate::{
    audit::{self, Act, Actor, Entry, Outcome as Told},
    charges::{self, Advanced, Charge, Settled, With, advance},
    context::Context,
    domain::{
        activation_code::{self, ActivationCode},
        charge::Event,
        ids::CustomerId,
    },
    error::Error,
    records::{self, Customer, INDEX_CHARGE_DUE, INDEX_CHARGE_PARKED, Lockout, millis_of},
    repository::{Changes, Outcome},
};

/// How often a change is decided anew because others changed the same records.
const CONTENTION_TRIES_MAX: usize = 64;

/// Charges whose result is not known, and where to go on.
#[derive(Debug)]
pub struct UnknownCharges {
    /// One page of them.
    pub charges: Vec<Charge>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

/// Lists the charges that are asked about, or those that are parked.
///
/// # Errors
/// The store's failure, and a damaged record.
pub async fn unknown_charges(ctx: &Context, parked: bool, page: PageRequest) -> Result<UnknownCharges, Error> {
    let index = if parked { INDEX_CHARGE_PARKED } else { INDEX_CHARGE_DUE };
    let found = ctx.repository.page::<records::Charge>(index, KeyRange::all(), page).await?;
    let charges = found.items.iter().map(|stored| Charge::from_record(&stored.value)).collect::<Result<_, _>>()?;
    Ok(UnknownCharges { charges, next: found.next })
}

/// Asks the acquirer about one charge now, also about a parked one, and returns it as it is then. One whose
/// result is known stays as it is.
///
/// # Errors
/// [`Error::ChargeNotFound`], and the store's failure.
pub async fn resolve(ctx: &Context, customer: &CustomerId, charge: &ChargeId) -> Result<Charge, Error> {
    let known = charges::load(ctx, customer, charge).await?;
    let told = entry(ctx, Act::ChargeInquired, customer).charge(charge).order(&known.order.digest);
    audit::note(&ctx.repository, &told.outcome(Told::Done)).await?;
    if known.is_parked() {
        // Takes it up again; the questions go on by themselves from here, whatever this one brings.
        match advance(ctx, customer, charge, Event::Restart, With::Nothing).await? {
            Advanced::To(charge) | Advanced::Rejected(_, charge) => charges::inquire(ctx, &charge).await?,
        }
        ctx.bells.inquiry().notify_one();
    } else {
        charges::inquire(ctx, &known).await?;
    }
    charges::load(ctx, customer, charge).await
}

/// Takes a signed result that came by another way.
///
/// # Errors
/// [`Error::ChargeNotFound`], [`Error::Invalid`] where the result is not believed, and the store's failure.
pub async fn import_result(
    ctx: &Context,
    customer: &CustomerId,
    charge: &ChargeId,
    result: &Signed,
) -> Result<Charge, Error> {
    let known = charges::load(ctx, customer, charge).await?;
    let told = entry(ctx, Act::ResultImported, customer).charge(charge).order(&known.order.digest);
    let told = told.evidence(&result.digest());
    // Said before it is judged, so that the operator's hand shows even if the process dies over it.
    audit::note(&ctx.repository, &told).await?;
    match charges::bring_result(ctx, customer, charge, result).await? {
        Settled::Final(charge) => Ok(*charge),
        Settled::Untrusted(untrusted) => {
            audit::note(&ctx.repository, &told.outcome(Told::Refused("untrusted"))).await?;
            Err(proto::fields::Invalid::field("result", untrusted.to_string()).into())
        }
    }
}

/// Draws a new activation code that binds a device within `life`; the customer's former one is void from then on.
///
/// # Errors
/// [`Error::CustomerNotFound`], and failures inside.
pub async fn issue_activation_code(
    ctx: &Context,
    customer: &CustomerId,
    life: Duration,
) -> Result<(SecretString, SystemTime), Error> {
    known(ctx, customer).await?;
    let mut random = zeroize::Zeroizing::new([0; activation_code::DRAWN_BYTES]);
    ctx.entropy.fill(random.as_mut_slice())?;
    let text = activation_code::draw(&random);
    let code: ActivationCode =
        text.expose().parse().map_err(|error| Error::internal("drawing an activation code", error))?;
    let ends_at = ctx.clock.now() + life;
    let record = records::ActivationCode {
        customer_id: customer.to_string(),
        code_hash: bytes::Bytes::copy_from_slice(ctx.lookup.activation_code(&code).as_bytes()),
        ends_at_ms: millis_of(ends_at),
        device_id: String::new(),
    };
    let told = entry(ctx, Act::ActivationCodeIssued, customer).outcome(Told::Done);
    for _ in 0..CONTENTION_TRIES_MAX {
        let stored = ctx.repository.load(&records::ActivationCode::at(customer)).await?;
        let changes = match stored {
            Some(stored) => Changes::new().replace(stored.version, &record),
            None => Changes::new().create(&record),
        };
        match ctx.repository.commit(changes.audit(&told)).await? {
            Outcome::Committed => return Ok((text, ends_at)),
            Outcome::Reload => {}
        }
    }
    Err(Error::Contended)
}

/// Ends the lock of a customer's passwords.
///
/// # Errors
/// [`Error::CustomerNotFound`], and the store's failure.
pub async fn unlock_passwords(ctx: &Context, customer: &CustomerId) -> Result<(), Error> {
    known(ctx, customer).await?;
    let told = entry(ctx, Act::PasswordUnlocked, customer).outcome(Told::Done);
    for _ in 0..CONTENTION_TRIES_MAX {
        let Some(stored) = ctx.repository.load(&Lockout::named(customer.as_str())).await? else { return Ok(()) };
        let fresh = Lockout { begun: 0, locked_until_ms: 0, refused: 0, ..stored.value };
        match ctx.repository.commit(Changes::new().replace(stored.version, &fresh).audit(&told)).await? {
            Outcome::Committed => return Ok(()),
            Outcome::Reload => {}
        }
    }
    Err(Error::Contended)
}

async fn known(ctx: &Context, customer: &CustomerId) -> Result<(), Error> {
    ctx.repository.load(&Customer::at(customer)).await?.map(|_| ()).ok_or(Error::CustomerNotFound)
}

fn entry(ctx: &Context, act: Act, customer: &CustomerId) -> Entry {
    Entry::new(ctx.clock.now(), act).by(Actor::Operator).customer(customer)
}
