//! `Debug` for the messages that carry a secret: it names the message and prints none of it.

use std::fmt;

use crate::pb;

macro_rules! redact {
    ($($message:ident),+ $(,)?) => {
        $(impl fmt::Debug for pb::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), " { [redacted] }"))
            }
        })+
    };
}

redact!(
    BindDeviceRequest,
    CardData,
    EndSessionRequest,
    EnrollFeaturesRequest,
    GetChargeRequest,
    IssueActivationCodeResponse,
    InherenceProof,
    KnowledgeProof,
    ListCardOptionsRequest,
    ListCredentialsRequest,
    PasskeyProof,
    PossessionProof,
    RedeemCodeRequest,
    RegisterPasskeyRequest,
    RemovePasskeyRequest,
    SelectBankResponse,
    Session,
    StartAuthenticationRequest,
    SubmitChargeRequest,
    UnbindDeviceRequest,
    WatchChargeRequest,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed_even_deep_inside_a_message() {
        let request = pb::VerifyIdentityRequest {
            challenge_id: "c".into(),
            proof: Some(pb::verify_identity_request::Proof::Knowledge(pb::KnowledgeProof {
                national_id: "A123456789".into(),
                user_code: "mei-lin".into(),
                password: "correct horse".into(),
            })),
        };
        let printed = format!("{request:?}");
        assert!(printed.contains("[redacted]"), "{printed}");
        for secret in ["A123456789", "mei-lin", "correct horse"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
