//! Changes of the directory that the operator did not sign, or that break its rules.

use anyhow::{Context as _, Result};

use super::Speaker;
use crate::operator::Operator;
use crate::scenario::relayed::BASALT;
use crate::scenario::stage::Stage;

pub(in crate::scenario) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let operator = Operator::of(topology)?;
    let basalt = Speaker::basalt(stage)?;
    let entry = operator.next_entry(topology, BASALT).await?;

    let by_bank = Operator::with(topology, &topology.operator.tls, &basalt.issuer.signing)?;
    let refused = operator.put(by_bank.signed(&entry)).await;
    stage.refused("an entry that the bank signed itself", "SIGNATURE_INVALID", refused);
    let by_platform = Operator::with(topology, &topology.operator.tls, &topology.platform.signing)?;
    let refused = operator.put(by_platform.signed(&entry)).await;
    stage.refused("an entry that the platform signed", "SIGNATURE_INVALID", refused);
    let mut signed = operator.signed(&entry);
    signed.signature = super::flipped(&signed.signature);
    stage.refused("an entry with one bit of its signature changed", "SIGNATURE_INVALID", operator.put(signed).await);
    let in_the_bank = Operator::with(topology, &basalt.issuer.tls, &topology.operator.signing)?;
    let refused = in_the_bank.put(operator.signed(&entry)).await;
    stage.refused("an entry that is good, brought by a bank", "ROLE_NOT_ALLOWED", refused);

    let mut old = entry.clone();
    old.version -= 1;
    // Another text, so that it isn't the entry in force offered once more.
    old.name_en.push_str(" Again");
    let refused = operator.put(operator.signed(&old)).await;
    stage.refused("an entry with the version in force", "VERSION_NOT_INCREASED", refused);
    let mut greedy = entry.clone();
    let other = stage.topology().issuers.first().context("the network has no issuer")?;
    let bin: u32 = other.bin_ranges.first().context("a bank without BINs")?.parse()?;
    greedy.bin_ranges.push(proto::pb::BinRange { first: bin * 100, last: bin * 100 + 99 });
    let refused = operator.put(operator.signed(&greedy)).await;
    stage.refused("an entry that takes another bank's BINs", "BIN_RANGE_OVERLAP", refused);
    let mut foreign = entry.clone();
    foreign.signing_certificates = vec![operator.certificate()];
    let refused = operator.put(operator.signed(&foreign)).await;
    stage.refused("an entry with a certificate that is not the bank's", "INVALID_FIELD", refused);
    let mut nowhere = entry;
    nowhere.endpoint = "https://basalt.example/api".to_owned();
    let refused = operator.put(operator.signed(&nowhere)).await;
    stage.refused("an entry whose endpoint is no address", "INVALID_FIELD", refused);

    let after = operator.next_entry(topology, BASALT).await?;
    stage.check("after all of it, the bank's next version", "2", &after.version.to_string());
    Ok(())
}
