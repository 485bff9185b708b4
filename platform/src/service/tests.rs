//! The directory's RPCs as their callers see them: every refusal with its code, reason and field.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use mesh::{
    identity::Role,
    status::{reason_of, violations_of},
};
use proto::{
    directory::{Entry, MemberRole, MemberStatus},
    pb::bank_directory_server::BankDirectory,
};
use std::time::Duration;
use tonic::{Code, Request, Status};

use super::*;
use crate::{
    context::Context,
    domain::checkout::Health,
    testing::{Network, money, next, sign},
};

mod watch;

struct Desk {
    network: Network,
    context: Arc<Context>,
    service: BankDirectoryService,
}

impl Desk {
    async fn new() -> Self {
        let network = Network::new();
        let first = [
            network.bank("bank-a", &[(40_000_000, 40_000_099)]),
            network.bank("bank-b", &[(52_000_000, 52_000_099), (35_301_100, 35_301_199)]),
            network.acquirer("acq-1"),
        ];
        let context = network.platform(&first).await;
        let service = BankDirectoryService::new(Arc::clone(&context));
        Self { network, context, service }
    }

    fn held(&self, member: &str) -> Entry {
        self.context.directory.current().member(&member.parse().unwrap()).unwrap().entry().clone()
    }

    fn by_operator<T>(&self, message: T) -> Request<T> {
        self.network.request(Role::Operator, "ops", message)
    }

    async fn put(&self, entry: pb::Signed) -> Result<u64, Status> {
        let request = self.by_operator(pb::PutBankRequest { entry: Some(entry) });
        Ok(self.service.put_bank(request).await?.into_inner().directory_version)
    }

    async fn suspend(&self, entry: &Entry) -> Result<u64, Status> {
        let entry = Some(self.network.sign(entry));
        let answer = self.service.suspend_bank(self.by_operator(pb::SuspendBankRequest { entry })).await?;
        Ok(answer.into_inner().directory_version)
    }

    async fn resume(&self, entry: &Entry) -> Result<u64, Status> {
        let entry = Some(self.network.sign(entry));
        let answer = self.service.resume_bank(self.by_operator(pb::ResumeBankRequest { entry })).await?;
        Ok(answer.into_inner().directory_version)
    }

    async fn remove(&self, entry: &Entry) -> Result<u64, Status> {
        let entry = Some(self.network.sign(entry));
        let answer = self.service.remove_bank(self.by_operator(pb::RemoveBankRequest { entry })).await?;
        Ok(answer.into_inner().directory_version)
    }
}

use proto::pb;

fn assert_refused(status: &Status, code: Code, reason: &str, path: Option<&str>) {
    assert_eq!((status.code(), reason_of(status).as_deref()), (code, Some(reason)), "{status:?}");
    let paths: Vec<String> = violations_of(status).into_iter().map(|(path, _)| path).collect();
    match path {
        Some(path) => assert!(paths.iter().any(|found| found == path), "{path} is not in {paths:?}"),
        None => assert!(paths.is_empty(), "{paths:?}"),
    }
}

type Change = fn(&Network, &mut Entry);

#[tokio::test]
async fn a_wrong_field_of_an_entry_is_refused_by_its_path() {
    let desk = Desk::new().await;
    let foreign = Network::new();
    let foreign_key = Bytes::copy_from_slice(foreign.signer(Role::Issuer, "bank-a").certificate_der());
    let cases: [(&str, Change); 13] = [
        ("entry.body.endpoint", |_, e| e.endpoint = "https://bank-a.example".parse().unwrap()),
        ("entry.body.endpoint", |_, e| e.endpoint = "http://localhost:8443".parse().unwrap()),
        ("entry.body.role", |network, e| {
            *e = Entry { version: e.version, ..network.acquirer("bank-a") };
        }),
        ("entry.body.signed_at", |network, e| e.signed_at = network.now() + Duration::from_secs(61)),
        ("entry.body.signed_at", |network, e| e.signed_at = network.now() - Duration::from_secs(1)),
        ("entry.body.name_en", |_, e| e.name_en = String::new()),
        ("entry.body.logo_svg", |_, e| e.logo_svg = "<svg><script/></svg>".to_owned()),
        ("entry.body.bin_ranges", |_, e| e.bin_ranges.clear()),
        ("entry.body.limits.amount_max", |_, e| e.limits.amount_max.clear()),
        ("entry.body.limits.authorizations_per_second", |_, e| e.limits.authorizations_per_second = 0),
        ("entry.body.signing_certificates", |_, e| e.signing_certificates.clear()),
        ("entry.body.signing_certificates[0]", |network, e| {
            let other = network.signer(Role::Issuer, "bank-b");
            e.signing_certificates = vec![Bytes::copy_from_slice(other.certificate_der())];
        }),
        ("entry.body.signing_certificates[1]", |_, e| {
            e.signing_certificates.push(Bytes::from_static(b"no certificate"))
        }),
    ];
    let before = desk.context.register.current().version();
    for (path, change) in cases {
        let mut entry = next(&desk.held("bank-a"), |_| ());
        change(&desk.network, &mut entry);
        let refused = desk.put(desk.network.sign(&entry)).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD", Some(path));
    }
    let foreign = next(&desk.held("bank-a"), |entry| entry.signing_certificates = vec![foreign_key]);
    let refused = desk.put(desk.network.sign(&foreign)).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD", Some("entry.body.signing_certificates[0]"));
    let missing = desk.service.put_bank(desk.by_operator(pb::PutBankRequest { entry: None })).await.unwrap_err();
    assert_refused(&missing, Code::InvalidArgument, "INVALID_FIELD", Some("entry"));
    assert_eq!(desk.context.register.current().version(), before, "nothing was changed");
}

#[tokio::test]
async fn an_old_signature_is_refused_and_a_newest_certificate_must_be_in_force() {
    let desk = Desk::new().await;
    let stale = next(&desk.held("bank-a"), |entry| entry.name_en = "Bank A".to_owned());
    let stale = desk.network.sign(&stale);
    desk.network.clock.advance(Duration::from_secs(8 * 24 * 3600));
    let refused = desk.put(stale).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD", Some("entry.body.signed_at"));
    // A year later the member's certificate is over; the operator has a new one.
    desk.network.clock.advance(Duration::from_secs(360 * 24 * 3600));
    let operator = desk.network.another_signer(Role::Operator, "ops");
    let now = desk.network.now();
    let entry = next(&desk.held("bank-a"), |entry| entry.signed_at = now);
    let refused = desk.put(sign(&operator, &entry.to_pb())).await.unwrap_err();
    assert_refused(&refused, Code::Unauthenticated, "SIGNATURE_INVALID", None);
    let verdict = crate::domain::change::judge(
        crate::domain::change::ChangeKind::Put,
        desk.context.directory.current().member(&"bank-a".parse().unwrap()).unwrap(),
        &desk.context.directory.current(),
        now,
    );
    assert!(verdict.unwrap_err().to_string().contains("signing_certificates[0]"));
}

#[tokio::test]
async fn only_the_operators_signature_counts() {
    let desk = Desk::new().await;
    let entry = next(&desk.held("bank-a"), |entry| entry.name_en = "Thief".to_owned());
    let foreign = Network::new();
    let mut altered = desk.network.sign(&desk.held("bank-a"));
    altered.body = prost::Message::encode_to_vec(&entry.to_pb()).into();
    let renamed_key = pb::Signed { key_id: desk.network.operator.key_id().to_string(), ..foreign.sign(&entry) };
    for entry in [
        sign(&desk.network.signer(Role::Issuer, "bank-a"), &entry.to_pb()),
        sign(&desk.network.signer(Role::Platform, "hub"), &entry.to_pb()),
        foreign.sign(&entry),
        renamed_key,
        altered,
    ] {
        assert_refused(&desk.put(entry).await.unwrap_err(), Code::Unauthenticated, "SIGNATURE_INVALID", None);
    }
}

#[tokio::test]
async fn a_bin_has_one_owner() {
    let desk = Desk::new().await;
    let range = |first, last| proto::directory::BinRange::new(first, last).unwrap();
    let greedy = next(&desk.held("bank-a"), |entry| {
        entry.bin_ranges.extend([range(60_000_000, 60_000_001), range(35_301_199, 35_301_250)])
    });
    let refused = desk.put(desk.network.sign(&greedy)).await.unwrap_err();
    assert_refused(&refused, Code::AlreadyExists, "BIN_RANGE_OVERLAP", Some("entry.body.bin_ranges[2]"));
    assert!(refused.message().contains("bank-b"), "{refused}");
    // A bank may rearrange its own, a suspended bank keeps its own, and one that has left gives them up.
    let own = next(&desk.held("bank-a"), |entry| entry.bin_ranges = vec![range(40_000_050, 40_000_149)]);
    desk.put(desk.network.sign(&own)).await.unwrap();
    let taker = desk.network.bank("bank-c", &[(52_000_000, 52_000_000)]);
    for status in [MemberStatus::Active, MemberStatus::Suspended] {
        if status == MemberStatus::Suspended {
            desk.suspend(&next(&desk.held("bank-b"), |entry| entry.status = status)).await.unwrap();
        }
        let refused = desk.put(desk.network.sign(&taker)).await.unwrap_err();
        assert_refused(&refused, Code::AlreadyExists, "BIN_RANGE_OVERLAP", Some("entry.body.bin_ranges[0]"));
    }
    desk.remove(&next(&desk.held("bank-b"), |entry| entry.status = MemberStatus::Removed)).await.unwrap();
    desk.put(desk.network.sign(&taker)).await.unwrap();
    let owner = desk.context.directory.current().owner_of(proto::card::Bin(52_000_000)).unwrap().entry().member.clone();
    assert_eq!(owner.as_str(), "bank-c");
}

#[tokio::test]
async fn a_status_changes_by_its_own_call_and_nothing_else_with_it() {
    let desk = Desk::new().await;
    let to = |status| next(&desk.held("bank-a"), |entry| entry.status = status);
    let refused = |result: Result<u64, Status>| {
        let path = Some("entry.body.status");
        assert_refused(&result.unwrap_err(), Code::FailedPrecondition, "STATUS_CHANGE_NOT_ALLOWED", path);
    };
    let unknown = desk.network.bank("bank-z", &[(60_000_000, 60_000_000)]);
    let unknown = desk.suspend(&unknown).await.unwrap_err();
    assert_refused(&unknown, Code::NotFound, "BANK_NOT_FOUND", None);

    refused(desk.put(desk.network.sign(&to(MemberStatus::Suspended))).await);
    refused(desk.resume(&to(MemberStatus::Active)).await);
    let renamed = Entry { name_en: "Other".to_owned(), ..to(MemberStatus::Suspended) };
    let status = desk.suspend(&renamed).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", Some("entry.body.name_en"));
    let raised = next(&desk.held("bank-a"), |entry| {
        entry.status = MemberStatus::Suspended;
        entry.limits.amount_max = vec![money(9_000_000)];
    });
    let status = desk.suspend(&raised).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", Some("entry.body.limits"));

    desk.suspend(&to(MemberStatus::Suspended)).await.unwrap();
    refused(desk.suspend(&to(MemberStatus::Suspended)).await);
    desk.put(desk.network.sign(&next(&desk.held("bank-a"), |entry| entry.name_en = "A".to_owned()))).await.unwrap();
    desk.resume(&to(MemberStatus::Active)).await.unwrap();
    desk.remove(&to(MemberStatus::Removed)).await.unwrap();
    for status in [MemberStatus::Active, MemberStatus::Suspended, MemberStatus::Removed] {
        refused(desk.put(desk.network.sign(&to(status))).await);
        refused(desk.resume(&to(status)).await);
        refused(desk.suspend(&to(status)).await);
        refused(desk.remove(&to(status)).await);
    }
    let low = Entry { version: 1, ..to(MemberStatus::Active) };
    let status = desk.put(desk.network.sign(&low)).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "VERSION_NOT_INCREASED", Some("entry.body.version"));
}

#[tokio::test]
async fn banks_are_listed_page_by_page_with_status_and_health() {
    let desk = Desk::new().await;
    desk.suspend(&next(&desk.held("bank-b"), |entry| entry.status = MemberStatus::Suspended)).await.unwrap();
    let bank_a = "bank-a".parse().unwrap();
    desk.context.health.keep([&bank_a]);
    desk.context.health.note(&bank_a, Health::Unreachable);
    let list = async |page_size, page_token: String| {
        desk.service
            .list_banks(Request::new(pb::ListBanksRequest { page_size, page_token }))
            .await
            .map(tonic::Response::into_inner)
    };
    let first = list(1, String::new()).await.unwrap();
    assert_eq!(first.banks[0].bank_id, "bank-a");
    assert_eq!(first.banks[0].health(), pb::BankHealth::Unreachable);
    let second = list(1, first.next_page_token).await.unwrap();
    assert_eq!(second.banks[0].bank_id, "bank-b");
    assert_eq!(second.banks[0].status(), pb::MemberStatus::Suspended);
    assert_eq!(second.next_page_token, "", "acquirers are no banks to pick");
    for (size, token, path) in [(51, "", "page_size"), (1, "Bank A", "page_token")] {
        let refused = list(size, token.to_owned()).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD", Some(path));
    }
}

#[tokio::test]
async fn a_page_of_large_logos_stays_within_a_message() {
    let network = Network::new();
    let logo = format!("<svg>{}</svg>", "x".repeat(1_000));
    let banks: Vec<Entry> = (0..70)
        .map(|i| Entry {
            logo_svg: logo.clone(),
            ..network.bank(&format!("bank-{i:02}"), &[(40_000_000 + i, 40_000_000 + i)])
        })
        .collect();
    let context = network.platform(&banks).await;
    let service = BankDirectoryService::new(Arc::clone(&context));
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = service.list_banks(Request::new(pb::ListBanksRequest { page_size: 50, page_token })).await.unwrap();
        let page = page.into_inner();
        assert!(prost::Message::encoded_len(&page) <= mesh::serve::MESSAGE_BYTES_MAX);
        seen.extend(page.banks.into_iter().map(|bank| bank.bank_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, banks.iter().map(|bank| bank.member.to_string()).collect::<Vec<_>>());

    // The picker has no pages: there the logos give way.
    use proto::pb::checkout_server::Checkout as _;
    let order = Entry { role: MemberRole::Acquirer, ..network.acquirer("acq-1") };
    let request = pb::PutBankRequest { entry: Some(network.sign(&order)) };
    service.put_bank(network.request(Role::Operator, "ops", request)).await.unwrap();
    let checkouts = CheckoutService::new(Arc::clone(&context));
    let request =
        pb::PublishOrderRequest { order: Some(network.order("acq-1", 1).signed.to_pb()), ..Default::default() };
    let published =
        checkouts.publish_order(network.request(Role::Acquirer, "acq-1", request)).await.unwrap().into_inner();
    let request = pb::GetCheckoutRequest { checkout_id: published.checkout_id };
    let checkout = checkouts.get_checkout(Request::new(request)).await.unwrap().into_inner();
    assert!(prost::Message::encoded_len(&checkout) <= mesh::serve::MESSAGE_BYTES_MAX);
    assert_eq!(checkout.bank_options.len(), 70);
    assert!(checkout.bank_options.iter().all(|option| option.logo_svg.is_empty()));
}

#[tokio::test]
async fn the_change_log_is_listed_page_by_page() {
    let desk = Desk::new().await;
    let list = async |page_token: String| {
        let request = pb::ListChangesRequest { page_size: 2, page_token };
        desk.service.list_changes(desk.by_operator(request)).await.unwrap().into_inner()
    };
    let first = list(String::new()).await;
    let second = list(first.next_page_token).await;
    let versions: Vec<u64> =
        first.changes.iter().chain(&second.changes).map(|change| change.directory_version).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(second.next_page_token, "");
}
