//! Every function that reads foreign bytes or text, with inputs that are nearly right.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::bail;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use fastrand::Rng;
use issuer::{domain::activation_code::ActivationCode, domain::national_id::NationalId, webauthn};
use merchant_sim::device::authenticators::{Algorithm, SoftPasskey};
use mesh::{
    identity::LeafCertificate,
    sealing::{
        SealingKey,
        at_rest::{Encrypted, KeyRing, Vault},
    },
};
use prost::Message as _;
use proto::{
    authorization::{AuthorizationResult, Carried, Question, Request, Route},
    card::{CardData, Pan},
    device::{Consent, DeviceSigned, SessionUse},
    directory::Entry,
    event::OrderEvent,
    ids::ChargeId,
    link::{self, WebAddress},
    order::{OrderLine, SignedOrder},
    pb,
};

use crate::{messages, mutate};

const PARTY: &str = "bank.example";
const ORIGIN: &str = "https://bank.example";
const CHALLENGE: [u8; 32] = [7; 32];

/// One function that reads foreign bytes.
pub(crate) struct Decoder {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Inputs that are right or nearly so.
    seed: Seed,
    /// Reads the bytes; whatever comes of it is fine, as long as it comes.
    pub(crate) decode: Decode,
}

/// Makes an input that is right or nearly so.
type Seed = Box<dyn Fn(&mut Rng) -> Vec<u8>>;
/// Reads bytes.
type Decode = Box<dyn Fn(&[u8])>;

/// Feeds the decoders in turn until the time is over. Returns how many inputs there were.
pub(crate) fn run(decoders: &[&Decoder], seed: u64, time: Duration) -> anyhow::Result<u64> {
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    let mut inputs = 0;
    while began.elapsed() < time {
        for decoder in decoders {
            let whole = (decoder.seed)(&mut rng);
            for _ in 0..16 {
                let input = mutate::damaged(&whole, &mut rng);
                inputs += 1;
                if panic::catch_unwind(AssertUnwindSafe(|| (decoder.decode)(&input))).is_err() {
                    let hex = HEXLOWER.encode(&input);
                    bail!("{} panicked; try it alone with --decoder {0} --input {hex}", decoder.name);
                }
            }
        }
    }
    Ok(inputs)
}

/// All of them.
pub(crate) fn all() -> Vec<Decoder> {
    let mut all = signed();
    all.extend(plain());
    all.extend(texts());
    all.extend(configurations());
    all.extend(passkeys());
    all.extend(at_rest());
    all
}

fn decoder(
    name: &'static str,
    seed: impl Fn(&mut Rng) -> Vec<u8> + 'static,
    decode: impl Fn(&[u8]) + 'static,
) -> Decoder {
    Decoder { name, seed: Box::new(seed), decode: Box::new(decode) }
}

/// What travels signed: the envelope is right, so that the body is looked at.
fn signed() -> Vec<Decoder> {
    fn enveloped(
        name: &'static str,
        body: &'static str,
        key_id: &'static str,
        parse: impl Fn(pb::Signed) + 'static,
    ) -> Decoder {
        let wrapped = move |bytes: &[u8]| {
            parse(pb::Signed {
                body: Bytes::copy_from_slice(bytes),
                key_id: key_id.to_owned(),
                signature: Bytes::from_static(&[1; 64]),
            });
        };
        decoder(name, move |rng| messages::message(body, rng), wrapped)
    }
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const DEVICE: &str = "dev_ffffffffffffffffffffffffff";
    vec![
        enveloped("order", "bankside.v1.Order", KEY, |signed| drop(SignedOrder::parse(signed))),
        enveloped("request", "bankside.v1.AuthorizationRequest", KEY, |signed| {
            drop(Carried::<Request>::parse(signed));
        }),
        enveloped("question", "bankside.v1.ResolveRequest", KEY, |signed| drop(Carried::<Question>::parse(signed))),
        enveloped("result", "bankside.v1.AuthorizationResult", KEY, |signed| {
            drop(Carried::<AuthorizationResult>::parse(signed));
        }),
        enveloped("event", "bankside.v1.OrderEvent", KEY, |signed| drop(Carried::<OrderEvent>::parse(signed))),
        enveloped("entry", "bankside.v1.DirectoryEntry", KEY, |signed| drop(Carried::<Entry>::parse(signed))),
        enveloped("consent", "bankside.v1.Consent", DEVICE, |signed| {
            drop(DeviceSigned::parse(signed, 512).and_then(|signed| Consent::parse(&signed)));
        }),
        enveloped("session-use", "bankside.v1.SessionUse", DEVICE, |signed| {
            drop(DeviceSigned::parse(signed, 512).and_then(|signed| SessionUse::parse(&signed)));
        }),
        decoder(
            "envelope",
            |rng| messages::message("bankside.v1.Signed", rng),
            |bytes| {
                if let Ok(signed) = pb::Signed::decode(bytes) {
                    drop(SignedOrder::parse(signed.clone()));
                    drop(DeviceSigned::parse(signed, 512));
                }
            },
        ),
    ]
}

fn plain() -> Vec<Decoder> {
    fn message<M: prost::Message + Default>(
        name: &'static str,
        kind: &'static str,
        parse: impl Fn(M) + 'static,
    ) -> Decoder {
        let decode = move |bytes: &[u8]| {
            if let Ok(message) = M::decode(bytes) {
                parse(message);
            }
        };
        decoder(name, move |rng| messages::message(kind, rng), decode)
    }
    vec![
        message("route", "bankside.v1.AuthorizationRoute", |route| drop(Route::parse(route))),
        message("order-line", "bankside.v1.OrderLine", |line| drop(OrderLine::parse(line))),
        message("create-order", "bankside.v1.CreateOrderRequest", |request| {
            drop(acquirer::orders::NewOrder::parse(request));
        }),
        message("inherence", "bankside.v1.InherenceProof", |proof| drop(issuer::auth::Inherence::parse(proof))),
        message("knowledge", "bankside.v1.KnowledgeProof", |proof| drop(issuer::auth::Knowledge::parse(proof))),
        decoder("card", |rng| messages::message("bankside.v1.CardData", rng), |bytes| drop(CardData::decode(bytes))),
        decoder(
            "directory-file",
            |rng| messages::message("bankside.v1.DirectoryFile", rng),
            |bytes| drop(certs::directory::Directory::parse("fuzz", bytes)),
        ),
    ]
}

/// What people type, scan or paste.
fn texts() -> Vec<Decoder> {
    fn text(name: &'static str, seeds: &'static [&'static str], parse: impl Fn(&str) + 'static) -> Decoder {
        let seed = move |rng: &mut Rng| seeds[rng.usize(..seeds.len())].as_bytes().to_vec();
        decoder(name, seed, move |bytes| parse(&String::from_utf8_lossy(bytes)))
    }
    vec![
        decoder(
            "payment-link",
            |rng| {
                let order = messages::message("bankside.v1.Signed", rng);
                let order = pb::Signed::decode(order.as_slice()).unwrap_or_default();
                let app = WebAddress::from_str("https://app.bank.example/");
                app.map(|app| link::payment_link(&app, &order).into_bytes()).unwrap_or_default()
            },
            |bytes| drop(link::parse_payment_link(&String::from_utf8_lossy(bytes))),
        ),
        text("web-address", &["https://books.example/checkout?a=b", "https://[::1]:8443/"], |text| {
            drop(WebAddress::from_str(text));
        }),
        text("national-id", &["A123456789", "F131104093"], |text| drop(NationalId::from_str(text))),
        text("activation-code", &["7K3M-9PQR-10TV", "7k3m 9pqr iotv"], |text| drop(ActivationCode::from_str(text))),
        text("card-number", &["4000000000000002", "3530111333300000"], |text| drop(Pan::from_str(text))),
        text("charge-id", &["chg_cccccccccccccccccccccccccc"], |text| drop(ChargeId::from_str(text))),
    ]
}

/// Configuration files: whatever is in them, a start says what is wrong.
fn configurations() -> Vec<Decoder> {
    fn sample<C: mesh::config::Config>(name: &'static str, text: &'static str) -> Decoder {
        let read = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            drop(mesh::config::parse::<C>(&text, Path::new("fuzz.toml"), Path::new("/nowhere")));
        };
        decoder(name, move |_| text.as_bytes().to_vec(), read)
    }
    vec![
        sample::<acquirer::config::AcquirerConfig>(
            "acquirer-config",
            include_str!("../../../acquirer/acquirer.sample.toml"),
        ),
        sample::<issuer::config::IssuerConfig>("issuer-config", include_str!("../../../issuer/issuer.sample.toml")),
        sample::<platform::config::PlatformConfig>(
            "platform-config",
            include_str!("../../../platform/platform.sample.toml"),
        ),
        decoder(
            "key-ring",
            |_| format!("# the vault's keys\n1:{}\n2:{}\n", "a5".repeat(32), "7f".repeat(32)).into_bytes(),
            |bytes| drop(KeyRing::parse(&String::from_utf8_lossy(bytes))),
        ),
    ]
}

/// What a browser brings: client data and the rest, apart by the length of the first.
fn passkeys() -> Vec<Decoder> {
    fn joined(client_data: &[u8], rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(client_data.len()).unwrap_or_default();
        [&length.to_be_bytes(), client_data, rest].concat()
    }
    fn parted(bytes: &[u8]) -> (&[u8], &[u8]) {
        let Some((length, rest)) = bytes.split_first_chunk() else { return (bytes, &[]) };
        rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()))
    }
    fn party() -> webauthn::RelyingParty {
        webauthn::RelyingParty::new(PARTY, vec![ORIGIN.to_owned()])
    }
    let of = |algorithm| {
        let mut passkey = SoftPasskey::generate(algorithm, PARTY, ORIGIN).expect("invariant: chance can be had");
        let ceremony = passkey.creation(&CHALLENGE);
        let made = passkey.register(&ceremony);
        let proof = passkey.proof(&CHALLENGE).expect("invariant: the passkey signs");
        let registration = joined(&made.client_data_json, &made.attestation_object);
        let registered = webauthn::register(&party(), &CHALLENGE, &made.client_data_json, &made.attestation_object);
        let (_, credential) = registered.expect("invariant: an unharmed registration is right");
        let assertion = joined(&proof.client_data_json, &proof.authenticator_data);
        (registration, assertion, proof.signature, credential)
    };
    let (es256, eddsa) = (of(Algorithm::Es256), of(Algorithm::EdDsa));
    let registrations = [es256.0.clone(), eddsa.0.clone()];
    let assertions = [(es256.1, es256.2, es256.3), (eddsa.1, eddsa.2, eddsa.3)];
    let seeds: Vec<Vec<u8>> = assertions.iter().map(|(bytes, _, _)| bytes.clone()).collect();
    vec![
        decoder(
            "passkey-registration",
            move |rng| registrations[rng.usize(..registrations.len())].clone(),
            |bytes| {
                let (client_data, attestation) = parted(bytes);
                drop(webauthn::register(&party(), &CHALLENGE, client_data, attestation));
            },
        ),
        decoder(
            "passkey-assertion",
            move |rng| seeds[rng.usize(..seeds.len())].clone(),
            move |bytes| {
                let (client_data_json, authenticator_data) = parted(bytes);
                for (_, signature, credential) in &assertions {
                    let assertion = webauthn::Assertion { authenticator_data, client_data_json, signature };
                    let _ = webauthn::verify(&party(), &CHALLENGE, Some(credential), assertion);
                }
            },
        ),
    ]
}

/// What comes back from a disk that others can write to, and certificates.
fn at_rest() -> Vec<Decoder> {
    let vault = || Vault::parse(&format!("1:{}", "a5".repeat(32))).expect("invariant: the key is one");
    let sealing = SealingKey::generate();
    let sealed = sealing.public().seal(b"info", b"aad", b"card").expect("invariant: a fresh key seals");
    vec![
        decoder(
            "sealed-record",
            move |_| vault().encrypt(b"place", b"contents").map(|sealed| sealed.to_bytes()).unwrap_or_default(),
            move |bytes| {
                if let Ok(record) = Encrypted::from_bytes(bytes) {
                    drop(vault().decrypt(b"place", &record));
                }
            },
        ),
        decoder("sealed-card", move |_| sealed.clone(), move |bytes| drop(sealing.open(b"info", b"aad", bytes))),
        decoder(
            "certificate",
            |rng| {
                // The beginning of a certificate, with chance behind it.
                let mut bytes = vec![0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xb0, 0xa0, 0x03, 0x02, 0x01, 0x02];
                bytes.extend((0..300).map(|_| rng.u8(..)));
                bytes
            },
            |bytes| drop(LeafCertificate::parse(bytes)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decoder_takes_hundreds_of_hostile_inputs() {
        let all = all();
        let names: std::collections::BTreeSet<_> = all.iter().map(|decoder| decoder.name).collect();
        assert_eq!(names.len(), all.len(), "each decoder has a name of its own");
        let mut rng = Rng::with_seed(2026);
        for decoder in &all {
            for _ in 0..20 {
                let whole = (decoder.seed)(&mut rng);
                (decoder.decode)(&whole);
                (0..16).for_each(|_| (decoder.decode)(&mutate::damaged(&whole, &mut rng)));
            }
        }
    }

    #[test]
    fn a_panic_is_caught_and_told_with_its_input() {
        let fragile =
            decoder("fragile", |_| b"abc".to_vec(), |bytes| assert!(!bytes.contains(&0xff), "a seeded mistake"));
        let told = run(&[&fragile], 1, Duration::from_secs(5)).map_err(|error| error.to_string());
        assert!(told.is_err_and(|text| text.starts_with("fragile panicked") && text.contains("ff")));
    }
}
