//! What the platform publishes: directory entries, and orders. Only the operator's signature makes an entry,
//! and only its acquirer publishes an order.

use crate::{
    network::{OPERATOR, certificate, impostor, sign},
    roles::SHOP,
    wait::PATIENCE,
};
use bytes::Bytes;
use mesh::{
    channel::{MeshChannel, within},
    identity::Role,
    signing::Signer,
};
use prost::Message as _;
use proto::{
    directory::{BinRange, Entry, MemberStatus},
    order::SignedOrder,
    pb::{self, bank_directory_client::BankDirectoryClient, checkout_client::CheckoutClient},
};
use tonic::Status;

use super::{
    attempt::{Attempt, Counted},
    world::{AURORA, BOREALIS, HARBOR, MIRROR, STERLING, World},
};

/// Attempts on the directory. None of them changes it.
pub(crate) fn entries(world: &World) -> Vec<Attempt<'_>> {
    let operator = world.network.operator();
    let next = |id: &str, change: &dyn Fn(&mut Entry)| {
        let held = &world.entries[id];
        let mut entry = Entry { version: held.version + 1, ..held.clone() };
        change(&mut entry);
        entry
    };
    let put = move |signed: pb::Signed| async move { put(&world.operator(), signed).await };
    let by = |signer: &Signer, entry: &Entry| sign(signer, &entry.to_pb()).to_pb();
    let honest = next(AURORA, &|entry| entry.name_en = "Renamed".into());
    let mut altered = by(operator, &honest);
    altered.body = next(AURORA, &|entry| entry.limits.authorizations_per_second = 1).to_pb().encode_to_vec().into();
    let unsigned = pb::Signed { signature: Bytes::from(vec![0; 64]), ..by(operator, &honest) };
    let own_operator = by(&impostor(Role::Operator, OPERATOR), &honest);
    let theirs = certificate(&world.network.signer(Role::Issuer, BOREALIS));
    let overlap = next(AURORA, &|entry| entry.bin_ranges.push(BinRange::new(52_000_050, 52_000_060).unwrap()));
    let foreign_key = next(AURORA, &|entry| entry.signing_certificates = vec![theirs.clone()]);
    let old = next(AURORA, &|entry| (entry.version, entry.name_en) = (1, "Renamed".into()));
    let resumed = next(STERLING, &|entry| entry.status = MemberStatus::Active);
    let elsewhere = Counted::Elsewhere;
    let invalid = "SIGNATURE_INVALID";
    vec![
        Attempt::new(
            "an entry that the bank itself signed",
            invalid,
            elsewhere,
            put(by(&world.bank(AURORA).signer, &honest)),
        ),
        Attempt::new("an entry that another operator signed", invalid, elsewhere, put(own_operator)),
        Attempt::new("an entry that was altered after the signature", invalid, elsewhere, put(altered)),
        Attempt::new("an entry that nobody signed", invalid, elsewhere, put(unsigned)),
        Attempt::new("an entry with another bank's BINs", "BIN_RANGE_OVERLAP", elsewhere, put(by(operator, &overlap))),
        Attempt::new("an entry with another bank's key", "INVALID_FIELD", elsewhere, put(by(operator, &foreign_key))),
        Attempt::new(
            "an entry of the version that is held, with other content",
            "VERSION_NOT_INCREASED",
            elsewhere,
            put(by(operator, &old)),
        ),
        Attempt::new(
            "an entry that ends a suspension by itself",
            "STATUS_CHANGE_NOT_ALLOWED",
            elsewhere,
            put(by(operator, &resumed)),
        ),
        Attempt::new("a bank brings the operator's entry", "ROLE_NOT_ALLOWED", Counted::Table("members"), {
            let signed = by(operator, &honest);
            async move { self::put(&world.to_hub(Role::Issuer, AURORA), signed).await }
        }),
        Attempt::new("a bank reads the list of changes", "ROLE_NOT_ALLOWED", Counted::Table("members"), async {
            changes(&world.to_hub(Role::Issuer, AURORA)).await.map(|changes| changes.to_string())
        }),
    ]
}

/// Attempts to publish this order by others than its acquirer, or altered.
pub(crate) fn orders<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let publish = move |role: Role, id: &'static str, order: pb::Signed| async move {
        let mut checkout = CheckoutClient::new(world.to_hub(role, id));
        let request = pb::PublishOrderRequest { order: Some(order), ..Default::default() };
        checkout.publish_order(within(request, PATIENCE)).await.map(|_| "published".to_owned())
    };
    let mut says = pb::Order::decode(order.signed.body.clone()).unwrap();
    says.amount.as_mut().unwrap().minor_units = 1;
    let altered = pb::Signed { body: says.encode_to_vec().into(), ..order.signed.to_pb() };
    says.acquirer_id = MIRROR.into();
    let signed_by_mirror = sign(&world.network.signer(Role::Acquirer, MIRROR), &says).to_pb();
    let renamed = pb::Signed { body: says.encode_to_vec().into(), ..order.signed.to_pb() };
    let (elsewhere, members) = (Counted::Elsewhere, Counted::Table("members"));
    let signed = || order.signed.to_pb();
    vec![
        Attempt::new(
            "an acquirer publishes another acquirer's order",
            "ACQUIRER_MISMATCH",
            elsewhere,
            publish(Role::Acquirer, MIRROR, signed()),
        ),
        Attempt::new(
            "an acquirer publishes another acquirer's order as its own",
            "ORDER_SIGNATURE_INVALID",
            elsewhere,
            publish(Role::Acquirer, MIRROR, renamed),
        ),
        Attempt::new(
            "an acquirer publishes an order that another one signed",
            "ACQUIRER_MISMATCH",
            elsewhere,
            publish(Role::Acquirer, HARBOR, signed_by_mirror),
        ),
        Attempt::new(
            "an acquirer publishes an altered order",
            "ORDER_SIGNATURE_INVALID",
            elsewhere,
            publish(Role::Acquirer, HARBOR, altered),
        ),
        Attempt::new(
            "a shop publishes its order",
            "ROLE_NOT_ALLOWED",
            members,
            publish(Role::Merchant, SHOP, signed()),
        ),
        Attempt::new("a bank publishes an order", "ROLE_NOT_ALLOWED", members, publish(Role::Issuer, AURORA, signed())),
    ]
}

/// How many changes the directory has seen, by its operator's list.
pub(crate) async fn changes(by: &MeshChannel) -> Result<usize, Status> {
    let request = pb::ListChangesRequest { page_size: 100, page_token: String::new() };
    let changes = BankDirectoryClient::new(by.clone()).list_changes(within(request, PATIENCE)).await?;
    Ok(changes.into_inner().changes.len())
}

async fn put(by: &MeshChannel, entry: pb::Signed) -> Result<String, Status> {
    let request = pb::PutBankRequest { entry: Some(entry) };
    let put = BankDirectoryClient::new(by.clone()).put_bank(within(request, PATIENCE)).await;
    put.map(|_| "changed".to_owned())
}
