//! Compiles the contracts without protoc: protox parses them, tonic-prost-build generates the code.

use std::{env, error::Error, fs, path::PathBuf};

/// The contracts, relative to this crate.
const FILES: [&str; 12] = [
    "bankside/v1/acquirer_operations.proto",
    "bankside/v1/authorization.proto",
    "bankside/v1/bank_directory.proto",
    "bankside/v1/card_network.proto",
    "bankside/v1/card_selection.proto",
    "bankside/v1/checkout.proto",
    "bankside/v1/errors.proto",
    "bankside/v1/issuer_auth.proto",
    "bankside/v1/issuer_operations.proto",
    "bankside/v1/merchant_notification.proto",
    "bankside/v1/order_service.proto",
    "bankside/v1/types.proto",
];

/// Messages with a secret in a field of their own. Their `Debug` is written by hand in `redact.rs`,
/// so that no log line or panic can print the secret.
const SECRET_MESSAGES: [&str; 21] = [
    "CardData",
    "KnowledgeProof",
    "InherenceProof",
    "PossessionProof",
    "PasskeyProof",
    "Session",
    "BindDeviceRequest",
    "UnbindDeviceRequest",
    "EndSessionRequest",
    "ListCardOptionsRequest",
    "SubmitChargeRequest",
    "GetChargeRequest",
    "WatchChargeRequest",
    "RedeemCodeRequest",
    "SelectBankResponse",
    "StartAuthenticationRequest",
    "EnrollFeaturesRequest",
    "RegisterPasskeyRequest",
    "RemovePasskeyRequest",
    "ListCredentialsRequest",
    "IssueActivationCodeResponse",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The descriptor set keeps the comments, so that reflection alone teaches an integrator.
    fs::write(out.join("bankside.v1.binpb"), prost::Message::encode_to_vec(&descriptors))?;

    let prost = tonic_prost_build::configure().bytes(".bankside.v1").emit_rerun_if_changed(false);
    let prost = prost.skip_debug(SECRET_MESSAGES.map(|name| format!(".bankside.v1.{name}")));
    prost.compile_fds(descriptors)?;
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
