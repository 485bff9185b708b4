//! Small payments, which a bank lets one kind of proof pay: a few of them, up to a sum, until the customer has
//! paid by two.

use proto::{authorization::Factor, order::SignedOrder};
use tokio::task::JoinSet;
use tonic::Status;

use super::{holder::Session, world::Bank};
use crate::attacks::{Attack, in_a_word};

const FEW: &str = "FACTORS_INSUFFICIENT";
/// The most that is small, in minor units.
pub(crate) const SMALL_MAX: i64 = 100_000;
/// The most that may add up.
pub(crate) const SUM_MAX: i64 = 300_000;
/// The most small payments in a row.
pub(crate) const COUNT_MAX: usize = 5;
/// Payments at once.
const AT_ONCE: usize = 24;

/// All of them: each with a customer of its own, because what a customer paid counts for the next attack.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    vec![
        bank.attack("pays a small amount and a cent by one kind", FEW, async {
            let (session, order) = begun(bank, 0, SMALL_MAX + 1).await;
            let paid = session.holder.wire.submit(session.charge().await).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack(
            format!("pays {AT_ONCE} amounts at once of which three fill the sum"),
            format!("3 APPROVED, {} {FEW}", AT_ONCE - 3),
            async { at_once(bank, 1, SMALL_MAX).await },
        ),
        bank.attack(
            format!("pays {AT_ONCE} amounts at once of which five are as many as may be"),
            format!("{COUNT_MAX} APPROVED, {} {FEW}", AT_ONCE - COUNT_MAX),
            async { at_once(bank, 2, 100).await },
        ),
        bank.attack("pays one amount more after the sum is filled", FEW, async {
            let (session, order) = begun(bank, 1, 100).await;
            let paid = session.holder.wire.submit(session.charge().await).await;
            bank.is_untouched(&order).await;
            paid
        }),
    ]
}

/// After a restart.
pub(crate) fn after_restart(bank: &Bank) -> Vec<Attack<'_>> {
    vec![
        bank.attack("pays one small amount more after a restart", FEW, async {
            let (session, order) = begun(bank, 2, 100).await;
            let paid = session.holder.wire.submit(session.charge().await).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.control("a strong payment begins a new sum", "APPROVED, then APPROVED", async {
            let order = bank.site.shop.place(100).await;
            let session = bank.holders[1].strong(Some(&order)).await;
            let strong = bank.pays(&session, session.charge().await).await?;
            let (session, _) = begun(bank, 1, 100).await;
            Ok(format!("{strong}, then {}", bank.pays(&session, session.charge().await).await?))
        }),
    ]
}

/// A session that a password alone proved, for an order over this amount.
async fn begun(bank: &Bank, customer: usize, amount: i64) -> (Session<'_>, SignedOrder) {
    let order = bank.site.shop.place(amount).await;
    (bank.holders[customer].sign_in(Some(&order), &[Factor::Knowledge]).await, order)
}

/// Pays orders at once, each in a session of its own.
async fn at_once(bank: &Bank, customer: usize, amount: i64) -> Result<String, Status> {
    let mut begun_all = Vec::new();
    for _ in 0..AT_ONCE {
        let (session, _) = begun(bank, customer, amount).await;
        begun_all.push((session.charge().await, session));
    }
    let mut submitting = JoinSet::new();
    for (place, (request, _)) in begun_all.iter().enumerate() {
        let (wire, request) = (bank.another_wire(), request.clone());
        submitting.spawn(async move { (place, wire.submit(request).await) });
    }
    let mut answers = Vec::new();
    for (place, submitted) in submitting.join_all().await {
        let (request, session) = &begun_all[place];
        answers.push(match submitted {
            Ok(_) => bank.ends(session, &request.charge_id).await,
            Err(refused) => in_a_word(Err(refused)),
        });
    }
    Ok(super::counted(answers))
}
