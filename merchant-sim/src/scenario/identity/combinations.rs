//! Every combination of factors that the banks' policies allow, and for each rule one that is not enough.

use anyhow::Result;
use proto::authorization::Factor::{self, Inherence, Knowledge, Passkey, Possession};
use proto::authorization::kinds;

use super::{Visitor, names, paid, together};
use crate::sample::policies::{AURORA_SMALL_MAX, AURORA_SMALL_SUM_MAX};
use crate::scenario::stage::Stage;

/// The shops of the scenario: books, and tea, which counts as food.
const BOOKS: usize = 0;
const TEA: usize = 1;

/// A payment that a policy judges.
struct Row {
    what: &'static str,
    shop: usize,
    minor_units: i64,
    factors: &'static [Factor],
    expected: &'static str,
}

const APPROVED: &str = "APPROVED";

/// The second bank's rules, one after the other; see [`crate::sample::policies`].
const BASALT: [Row; 14] = [
    row("up to 1,000", BOOKS, 100_000, &[Knowledge], APPROVED),
    row("up to 1,000", BOOKS, 100_000, &[Possession], APPROVED),
    row("up to 1,000", BOOKS, 100_000, &[Passkey], APPROVED),
    row("up to 1,000", BOOKS, 100_000, &[Inherence], "FACTORS_INSUFFICIENT, any of KNOWLEDGE,POSSESSION,PASSKEY"),
    row("food up to 2,000", TEA, 200_000, &[Knowledge], APPROVED),
    row("food up to 2,000", TEA, 200_000, &[Inherence], "FACTORS_INSUFFICIENT, any of KNOWLEDGE,POSSESSION,PASSKEY"),
    row("books for as much", BOOKS, 200_000, &[Knowledge], "FACTORS_INSUFFICIENT, any of POSSESSION,PASSKEY,INHERENCE"),
    row("up to 3,000 by a device", BOOKS, 300_000, &[Possession], APPROVED),
    row("up to 10,000", BOOKS, 1_000_000, &[Knowledge, Possession], APPROVED),
    row("up to 10,000", BOOKS, 1_000_000, &[Possession, Inherence], APPROVED),
    row("up to 10,000", BOOKS, 1_000_000, &[Passkey], APPROVED),
    row("up to 10,000", BOOKS, 1_000_000, &[Knowledge, Inherence], "FACTORS_INSUFFICIENT, any of POSSESSION,PASSKEY"),
    row("above", BOOKS, 1_500_000, &[Knowledge, Possession, Inherence], APPROVED),
    row("above", BOOKS, 1_500_000, &[Possession, Inherence], "FACTORS_INSUFFICIENT, any of KNOWLEDGE,PASSKEY"),
];

const fn row(
    what: &'static str,
    shop: usize,
    minor_units: i64,
    factors: &'static [Factor],
    expected: &'static str,
) -> Row {
    Row { what, shop, minor_units, factors, expected }
}

/// The first bank: two of three kinds, apart from small payments.
pub(super) async fn two_of_three(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    for factor in [Knowledge, Possession, Inherence, Passkey] {
        let got = visitor.pay(stage, BOOKS, AURORA_SMALL_MAX, &[factor]).await?;
        stage.check(&format!("small, with {} alone", together(&[factor])), APPROVED, &got);
    }
    for factors in subsets() {
        let expected = if kinds(&factors) >= 2 {
            APPROVED.to_owned()
        } else {
            let rest = [Knowledge, Possession, Passkey, Inherence].into_iter().filter(|f| !factors.contains(f));
            format!("FACTORS_INSUFFICIENT, any of {}", names(&rest.collect::<Vec<_>>()))
        };
        let got = visitor.pay(stage, BOOKS, AURORA_SMALL_MAX + 1, &factors).await?;
        note(stage, &format!("one cent more, with {}", together(&factors)), &expected, &got);
    }
    Ok(())
}

/// Small payments in a row are small only up to a sum.
pub(super) async fn small_sums(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let strong = visitor.pay(stage, BOOKS, AURORA_SMALL_MAX, &[Knowledge, Possession]).await?;
    stage.check("a payment with two kinds, from which small ones are counted", APPROVED, &strong);
    let in_a_row = AURORA_SMALL_SUM_MAX / AURORA_SMALL_MAX;
    let mut approved = 0;
    for _ in 0..in_a_row {
        approved += i64::from(visitor.pay(stage, BOOKS, AURORA_SMALL_MAX, &[Knowledge]).await? == APPROVED);
    }
    let name = format!("{in_a_row} small payments in a row with a password alone");
    stage.check(&name, &in_a_row.to_string(), &approved.to_string());
    let mut visit = visitor.visit(stage, BOOKS, AURORA_SMALL_MAX, &[Knowledge]).await?;
    let mut charge = visitor.charge(&visit).await?;
    let got = paid(&visitor.app(), charge.clone()).await;
    stage.refusal("the next one", "FACTORS_INSUFFICIENT, any of POSSESSION,PASSKEY,INHERENCE", &got);
    let (token, digest) = (visit.token()?, visit.placed.signed.digest);
    visit.reached.session = Some(visitor.wallet.step_up(&token, Inherence, Some(&digest)).await?);
    visitor.sign(&mut charge, &visit)?;
    stage.check("the same, stepped up with features", APPROVED, &paid(&visitor.app(), charge).await);
    let after = visitor.pay(stage, BOOKS, AURORA_SMALL_MAX, &[Knowledge]).await?;
    stage.check("the one after that, with a password alone", APPROVED, &after);
    Ok(())
}

/// The second bank: a table by amount, merchant category and device.
pub(super) async fn table(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    for Row { what, shop, minor_units, factors, expected } in &BASALT {
        let got = visitor.pay(stage, *shop, *minor_units, factors).await?;
        note(stage, &format!("{what}, with {}", together(factors)), expected, &got);
    }
    // The last rule wants a consent, also where no device proved itself.
    let visit = visitor.visit(stage, BOOKS, 1_500_000, &[Knowledge, Passkey]).await?;
    let mut charge = visitor.charge(&visit).await?;
    let got = paid(&visitor.app(), charge.clone()).await;
    stage.refusal("above, with knowledge + passkey and no consent", "CONSENT_REQUIRED", &got);
    charge.consent = Some(visitor.wallet.consent(&charge, &visit.placed.signed, visit.reached.challenge)?);
    let got = paid(&visitor.app(), charge).await;
    stage.check("above, with knowledge + passkey and the device's consent", APPROVED, &got);
    Ok(())
}

/// The third bank: any one factor.
pub(super) async fn any_one(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    for factor in [Knowledge, Possession, Inherence, Passkey] {
        let got = visitor.pay(stage, BOOKS, 4_000_000, &[factor]).await?;
        stage.check(&format!("40,000.00 with {} alone", together(&[factor])), APPROVED, &got);
    }
    Ok(())
}

fn note(stage: &mut Stage<'_>, name: &str, expected: &str, got: &str) {
    if expected == APPROVED {
        stage.check(name, expected, got);
    } else {
        stage.refusal(name, expected, got);
    }
}

/// Every set of factors but the empty one, the smaller ones first.
fn subsets() -> Vec<Vec<Factor>> {
    let factors = [Knowledge, Possession, Inherence, Passkey];
    let of = |bits: usize| factors.into_iter().enumerate().filter(move |(n, _)| bits & (1 << n) != 0).map(|(_, f)| f);
    let mut sets: Vec<Vec<Factor>> = (1..16).map(|bits| of(bits).collect()).collect();
    sets.sort_by_key(Vec::len);
    sets
}
