//! What a hostile platform has got hold of by the time it attacks.

use std::{sync::OnceLock, time::SystemTime};

use crate::{
    network::{Network, impostor, sign},
    roles::PLATFORM,
};
use mesh::{identity::Role, sealing::SealingKey, signing::Signer};
use proto::{digest::Digest, pb};

use super::messages::Asked;

/// Keys and old messages.
pub(crate) struct Loot {
    /// The platform's own signing key, genuine.
    pub(crate) platform: Signer,
    /// A key of the acquirer's name, under an authority of the platform's own.
    pub(crate) impostor: Signer,
    /// A key of the issuer's name, likewise.
    pub(crate) issuer_impostor: Signer,
    /// A genuine key of the acquirer's that was stolen and retired: the directory has another one now.
    pub(crate) retired: Signer,
    /// A sealing key of its own, to put in the place of an order's.
    pub(crate) sealing: SealingKey,
    /// A genuine approval of another order, once there is one.
    pub(crate) old_approval: OnceLock<pb::Signed>,
    /// A genuine decline of another order, once there is one.
    pub(crate) old_decline: OnceLock<pb::Signed>,
    /// The genuine request that was approved.
    pub(crate) old_request: OnceLock<Asked>,
}

impl Loot {
    pub(crate) fn new(network: &Network, acquirer: &str, issuer: &str, retired: Signer) -> Self {
        Self {
            platform: network.signer(Role::Platform, PLATFORM),
            impostor: impostor(Role::Acquirer, acquirer),
            issuer_impostor: impostor(Role::Issuer, issuer),
            retired,
            sealing: SealingKey::generate(),
            old_approval: OnceLock::new(),
            old_decline: OnceLock::new(),
            old_request: OnceLock::new(),
        }
    }

    /// A made-up result that answers what was asked in every field, signed by one of these keys.
    pub(crate) fn made_up(asked: &Asked, signer: &Signer, decision: pb::Decision) -> pb::Signed {
        let request_digest = match asked.rpc {
            super::messages::Rpc::Authorize => Digest::of(&asked.signed.body).to_bytes(),
            super::messages::Rpc::Resolve => {
                let question: pb::ResolveRequest = prost::Message::decode(asked.signed.body.clone()).unwrap();
                question.request_digest
            }
        };
        let (decline_reason, approval_code) = match decision {
            pb::Decision::Declined => (pb::DeclineReason::DoNotHonor, ""),
            pb::Decision::Approved | pb::Decision::Unspecified => (pb::DeclineReason::Unspecified, "A1B2C3"),
        };
        let result = pb::AuthorizationResult {
            authorization_id: asked.route.authorization_id.clone(),
            issuer_id: asked.route.issuer_id.clone(),
            acquirer_id: asked.route.acquirer_id.clone(),
            request_digest,
            order_digest: asked.route.order_digest.clone(),
            amount: asked.route.amount.clone(),
            decision: decision.into(),
            decline_reason: decline_reason.into(),
            approval_code: approval_code.to_owned(),
            decided_at: Some(proto::time::to_pb(SystemTime::now())),
        };
        sign(signer, &result).to_pb()
    }
}
