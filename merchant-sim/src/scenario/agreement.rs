//! Everybody must say the same about a payment: the acquirer, the issuer, the shop, and the account.

use anyhow::{Context as _, Result};
use proto::authorization::Decision;
use proto::pb;

use super::stage::{SignedIn, Stage, short};
use crate::device::{BankApp, Paid};
use crate::network::OpenShop;

/// Compares what everybody says about an approved payment of the whole order.
pub(super) async fn agree(
    stage: &mut Stage<'_>,
    open: &OpenShop,
    app: &BankApp,
    signed_in: &SignedIn,
    paid: &Paid,
) -> Result<()> {
    let order = open.shop.order(signed_in.placed.id.as_str()).await.context("GetOrder")?;
    let known = order.last_authorization.clone().context("GetOrder shows no authorization")?;
    let events = open.inbox.of(&signed_in.placed.id);
    let told = events.iter().find_map(|event| event.authorization.clone()).context("no event with an authorization")?;
    let state = short(order.state().as_str_name(), "ORDER_STATE_");
    stage.check("the acquirer has the order approved", "APPROVED", &state);
    let id = &paid.charge.authorization_id;
    stage.check("acquirer and issuer name the same authorization", id, &known.authorization_id);
    stage.check("so does the shop's event", id, told.authorization.as_str());
    let code = &paid.charge.approval_code;
    stage.check("acquirer and issuer name the same approval code", code, &known.approval_code);
    let told_code = match told.decision {
        Decision::Approved(code) => code.to_string(),
        Decision::Declined(reason) => format!("declined: {reason:?}"),
    };
    stage.check("so does the shop's event", code, &told_code);
    stage.check("one event tells both the result and the order's end", "1", &events.len().to_string());
    let before = available(&signed_in.options, &paid.charge.card_option_id);
    let options = app.card_options(signed_in.token.clone()).await.context("ListCardOptions")?;
    let after = available(&options, &paid.charge.card_option_id);
    let amount = signed_in.placed.signed.order.amount.minor_units();
    stage.check("the account went down by the amount, once", &amount.to_string(), &(before - after).to_string());
    Ok(())
}

/// What a card's account has left, in minor units; -1 where the card isn't there.
pub(super) fn available(options: &[pb::CardOption], card_option_id: &str) -> i64 {
    let option = options.iter().find(|option| option.card_option_id == card_option_id);
    option.and_then(|option| option.available.as_ref()).map_or(-1, |money| money.minor_units)
}
