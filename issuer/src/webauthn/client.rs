//! Client data: what the browser says of the page that asked (section 5.8.1).

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{CLIENT_DATA_BYTES_MAX, Refused, RelyingParty};

/// A browser may begin with it, and whoever decodes UTF-8 drops it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// A new credential.
    Create,
    /// An assertion.
    Get,
}

impl Ceremony {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The members that are checked. All others are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData<'a> {
    #[serde(rename = "type", borrow)]
    ceremony: Cow<'a, str>,
    #[serde(borrow)]
    challenge: Cow<'a, str>,
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(default)]
    cross_origin: Option<bool>,
    #[serde(default, borrow)]
    top_origin: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    token_binding: Option<TokenBinding<'a>>,
}

#[derive(Debug, Deserialize)]
struct TokenBinding<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

impl<'a> ClientData<'a> {
    /// Received client data.
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, Refused> {
        if json.len() > CLIENT_DATA_BYTES_MAX {
            return Err(Refused::ClientData);
        }
        let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
        // A list of the members' values would be read like an object.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refused::ClientData);
        }
        serde_json::from_slice(json).map_err(|_| Refused::ClientData)
    }

    /// Whether they are of this ceremony of ours.
    pub(super) fn check(&self, ceremony: Ceremony, challenge: &[u8; 32], party: &RelyingParty) -> Result<(), Refused> {
        if self.ceremony != ceremony.as_str() {
            return Err(Refused::Type);
        }
        // Compared as text: the encoding of 32 bytes has one form, and the browser makes it.
        if self.challenge != BASE64URL_NOPAD.encode(challenge) {
            return Err(Refused::Challenge);
        }
        if !party.origins.iter().any(|origin| *origin == self.origin) {
            return Err(Refused::Origin);
        }
        if self.cross_origin.unwrap_or(false) || self.top_origin.is_some() {
            return Err(Refused::CrossOrigin);
        }
        match &self.token_binding {
            Some(binding) if binding.status == "present" => Err(Refused::TokenBinding),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CHALLENGE: [u8; 32] = [0xfb; 32];

    fn judge(json: &str) -> Result<(), Refused> {
        let party =
            RelyingParty::new("bank.example", vec!["https://bank.example".into(), "https://m.bank.example".into()]);
        ClientData::parse(json.as_bytes())?.check(Ceremony::Get, &CHALLENGE, &party)
    }

    fn good() -> String {
        format!(
            r#"{{"type":"webauthn.get","challenge":"{}","origin":"https://bank.example","crossOrigin":false}}"#,
            BASE64URL_NOPAD.encode(&CHALLENGE)
        )
    }

    #[test]
    fn what_browsers_write_is_accepted() {
        assert_eq!(judge(&good()), Ok(()));
        for (part, instead) in [
            (r#","crossOrigin":false"#, ""),
            (r#"false"#, r#"null"#),
            ("https://bank.example", "https://m.bank.example"),
            ("https://bank", r"https:\/\/bank"),
            ("}", r#","extra":[{"type":1}],"type2":"webauthn.create"}"#),
            ("}", r#","tokenBinding":{"status":"supported"}}"#),
            ("{", " \n{"),
            ("{", "\u{feff}{"),
        ] {
            assert_eq!(judge(&good().replacen(part, instead, 1)), Ok(()), "{instead}");
        }
    }

    #[test]
    fn each_member_is_checked_by_itself() {
        let other = BASE64URL_NOPAD.encode(&[0xfa; 32]);
        let (right, standard) = (BASE64URL_NOPAD.encode(&CHALLENGE), data_encoding::BASE64_NOPAD.encode(&CHALLENGE));
        for (part, instead, refused) in [
            ("webauthn.get", "webauthn.create", Refused::Type),
            ("webauthn.get", "webauthn.get ", Refused::Type),
            ("webauthn.get", "payment.get", Refused::Type),
            (right.as_str(), other.as_str(), Refused::Challenge),
            (right.as_str(), standard.as_str(), Refused::Challenge),
            (right.as_str(), &format!("{right}="), Refused::Challenge),
            (right.as_str(), &right[..42], Refused::Challenge),
            (right.as_str(), "", Refused::Challenge),
            ("https://bank.example", "http://bank.example", Refused::Origin),
            ("https://bank.example", "https://bank.example:8443", Refused::Origin),
            ("https://bank.example", "https://bank.example/", Refused::Origin),
            ("https://bank.example", "https://bank.example.evil.example", Refused::Origin),
            ("https://bank.example", "https://other.bank.example", Refused::Origin),
            ("https://bank.example", "null", Refused::Origin),
            ("false", "true", Refused::CrossOrigin),
            ("}", r#","topOrigin":"https://bank.example"}"#, Refused::CrossOrigin),
            ("}", r#","tokenBinding":{"status":"present","id":"AA"}}"#, Refused::TokenBinding),
        ] {
            assert_eq!(judge(&good().replacen(part, instead, 1)), Err(refused), "{instead}");
        }
    }

    #[test]
    fn what_is_no_client_data_is_refused() {
        let fields =
            format!(r#"["webauthn.get","{}","https://bank.example",false]"#, BASE64URL_NOPAD.encode(&CHALLENGE));
        let nested = format!("{}{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        let long = good().replacen('}', &format!(r#","extra":"{}"}}"#, "x".repeat(CLIENT_DATA_BYTES_MAX)), 1);
        let doubled = good().replacen('}', r#","origin":"https://bank.example"}"#, 1);
        let trailing = format!("{}{{}}", good());
        for bad in ["", "{}", "null", "\u{feff}\u{feff}{}", &fields, &nested, &long, &doubled, &trailing, &good()[1..]]
        {
            assert_eq!(judge(bad), Err(Refused::ClientData), "{bad}");
        }
        for member in ["type", "challenge", "origin"] {
            let missing = good().replacen(&format!("\"{member}\""), "\"other\"", 1);
            assert_eq!(judge(&missing), Err(Refused::ClientData), "{member}");
        }
        assert!(ClientData::parse(b"{\"type\":\"\xff\"}").is_err());
    }
}
