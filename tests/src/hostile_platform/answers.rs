//! Attacks on what comes back: every field of the result, its signature, results of other requests, results
//! that the platform made up, and silence.

use bytes::Bytes;
use mesh::status::Refusal;
use proto::{pb, reason::Reason};
use tonic::{Code, Status};

use super::{
    case::{
        Case,
        Play::{Answers, Hides, Invents, SwallowsAnswers, SwallowsRequests},
    },
    loot::Loot,
    messages::{Answered, Asked},
    world::BOREALIS,
};

/// Every attack on what comes back.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(altered());
    cases.extend(turned());
    cases.extend(played_again());
    cases.extend(made_up());
    cases.extend(withheld());
    cases
}

/// The acquirer has approved; the issuer believes no result of which any field was altered.
fn altered() -> [Case; 15] {
    let hides = |name, play| Case::hides_approval(name, Answers(play));
    [
        hides("alters the answer's authorization_id", |_, _, answered| {
            answered.authorization_id = proto::ids::AuthorizationId::from_random([9; 16]).to_string();
        }),
        hides("alters result.authorization_id", |_, _, answered| {
            answered
                .change(|says| says.authorization_id = proto::ids::AuthorizationId::from_random([9; 16]).to_string());
        }),
        hides("alters result.issuer_id", |_, _, answered| answered.change(|says| says.issuer_id = BOREALIS.into())),
        hides("alters result.acquirer_id", |_, _, answered| {
            answered.change(|says| says.acquirer_id = "acquirer-two".into());
        }),
        hides("alters result.request_digest", |_, _, answered| {
            answered.change(|says| says.request_digest = vec![7; 32].into());
        }),
        hides("alters result.order_digest", |_, _, answered| {
            answered.change(|says| says.order_digest = vec![7; 32].into());
        }),
        hides("alters result.amount", |_, _, answered| {
            answered.change(|says| says.amount.as_mut().unwrap().minor_units += 1);
        }),
        hides("alters result.approval_code", |_, _, answered| {
            answered.change(|says| says.approval_code = "ZZZZZZ".into());
        }),
        hides("alters result.decided_at", |_, _, answered| {
            answered.change(|says| says.decided_at.as_mut().unwrap().seconds += 1);
        }),
        hides("alters the result's signature", |_, _, answered| {
            answered.result.as_mut().unwrap().signature = Bytes::from(vec![1; 64]);
        }),
        hides("names its own key in the result", |loot, _, answered| {
            answered.result.as_mut().unwrap().key_id = loot.platform.key_id().to_string();
        }),
        hides("cuts the result short", |_, _, answered| {
            let body = &mut answered.result.as_mut().unwrap().body;
            body.truncate(body.len() / 2);
        }),
        hides("cuts the result's signature short", |_, _, answered| {
            answered.result.as_mut().unwrap().signature.truncate(63);
        }),
        hides("takes the result out", |_, _, answered| answered.result = None),
        hides("answers with the request in the result's place", |_, asked, answered| {
            answered.result = Some(asked.signed.clone());
        }),
    ]
}

/// An approval becomes no decline, and a decline no approval.
fn turned() -> [Case; 8] {
    [
        Case::hides_approval("turns an approval into a decline", Answers(|_, _, answered| answered.change(decline))),
        Case::hides_approval(
            "turns an approval into a decline and signs it",
            Answers(|loot, _, answered| answered.forge(&loot.platform, decline)),
        ),
        Case::hides_approval(
            "turns an approval into a decline, under its own authority",
            Answers(|loot, _, answered| answered.forge(&loot.impostor, decline)),
        ),
        Case::hides_approval(
            "turns an approval into a decline, with a retired key",
            Answers(|loot, _, answered| answered.forge(&loot.retired, decline)),
        ),
        Case::hides_decline("turns a decline into an approval", Answers(|_, _, answered| answered.change(approve))),
        Case::hides_decline(
            "turns a decline into an approval and signs it",
            Answers(|loot, _, answered| answered.forge(&loot.platform, approve)),
        ),
        Case::hides_decline(
            "turns a decline into an approval, under its own authority",
            Answers(|loot, _, answered| answered.forge(&loot.impostor, approve)),
        ),
        Case::hides_decline(
            "turns a decline into an approval, with a retired key",
            Answers(|loot, _, answered| answered.forge(&loot.retired, approve)),
        ),
    ]
}

/// A genuine result of another request answers nothing.
fn played_again() -> [Case; 6] {
    let (approval, decline) = (old_approval, old_decline);
    [
        Case::hides_approval("plays an old decline for a new approval", Hides(decline)),
        Case::hides_approval("plays an old approval for a new approval", Hides(approval)),
        Case::hides_decline("plays an old approval for a new decline", Hides(approval)),
        Case::hides_decline("plays an old decline for a new decline", Hides(decline)),
        Case::stops("plays an old approval and forwards nothing", Invents(approval), "nothing"),
        Case::stops("plays an old decline and forwards nothing", Invents(decline), "nothing"),
    ]
}

/// The acquirer never hears of the request.
fn made_up() -> [Case; 7] {
    let stops = |name, play| Case::stops(name, Invents(play), "nothing");
    [
        stops("makes an approval up", |loot, asked| made(asked, &loot.platform, pb::Decision::Approved)),
        stops("makes an approval up under its own authority", |loot, asked| {
            made(asked, &loot.impostor, pb::Decision::Approved)
        }),
        stops("makes an approval up with a retired key", |loot, asked| {
            made(asked, &loot.retired, pb::Decision::Approved)
        }),
        stops("makes a decline up", |loot, asked| made(asked, &loot.platform, pb::Decision::Declined)),
        stops("makes a decline up under its own authority", |loot, asked| {
            made(asked, &loot.impostor, pb::Decision::Declined)
        }),
        stops("makes a decline up with a retired key", |loot, asked| {
            made(asked, &loot.retired, pb::Decision::Declined)
        }),
        stops("makes a result up without a decision", |loot, asked| {
            made(asked, &loot.impostor, pb::Decision::Unspecified)
        }),
    ]
}

/// Refusals and silence say nothing about the outcome, however definite they sound.
fn withheld() -> [Case; 10] {
    let stops = |name, play| Case::stops(name, Invents(play), "nothing");
    [
        stops("answers UNAVAILABLE", |_, _| Err(Status::unavailable("no"))),
        stops("answers MEMBER_SUSPENDED", |_, _| refuse(Code::PermissionDenied, Reason::MemberSuspended)),
        stops("answers INVALID_FIELD", |_, _| refuse(Code::InvalidArgument, Reason::InvalidField)),
        stops("answers AUTHORIZATION_ID_REUSED", |_, _| refuse(Code::AlreadyExists, Reason::AuthorizationIdReused)),
        stops("answers OUTSIDE_RETENTION", |_, _| refuse(Code::FailedPrecondition, Reason::OutsideRetention)),
        Case::hides_approval(
            "forwards and answers MEMBER_SUSPENDED",
            Hides(|_, _| refuse(Code::PermissionDenied, Reason::MemberSuspended)),
        ),
        stops("answers PENDING for ever", |_, asked| Ok(Answered::later(asked, 100 * 365 * 24 * 3600))),
        Case::hides_approval(
            "forwards and answers PENDING for ever",
            Hides(|_, asked| Ok(Answered::later(asked, 100 * 365 * 24 * 3600))),
        ),
        Case::stops("drops every request", SwallowsRequests, "nothing"),
        Case::hides_approval("drops every answer", SwallowsAnswers),
    ]
}

fn decline(says: &mut pb::AuthorizationResult) {
    says.decision = pb::Decision::Declined.into();
    says.decline_reason = pb::DeclineReason::DoNotHonor.into();
    says.approval_code.clear();
}

fn approve(says: &mut pb::AuthorizationResult) {
    says.decision = pb::Decision::Approved.into();
    says.decline_reason = pb::DeclineReason::Unspecified.into();
    says.approval_code = "A1B2C3".into();
}

fn old_approval(loot: &Loot, asked: &Asked) -> Result<Answered, Status> {
    Ok(Answered::with(asked, loot.old_approval.get().unwrap().clone()))
}

fn old_decline(loot: &Loot, asked: &Asked) -> Result<Answered, Status> {
    Ok(Answered::with(asked, loot.old_decline.get().unwrap().clone()))
}

fn made(asked: &Asked, signer: &mesh::signing::Signer, decision: pb::Decision) -> Result<Answered, Status> {
    Ok(Answered::with(asked, Loot::made_up(asked, signer, decision)))
}

fn refuse(code: Code, reason: Reason) -> Result<Answered, Status> {
    Err(Refusal::new(code, reason, "no").into_status())
}
