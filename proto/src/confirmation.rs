//! That a payment comes from the device that opened the payment page.
//!
//! The bank's app makes a state and leads the device's browser with it to the order's `device_check_url`
//! ([`check_address`]). The acquirer sends the browser back to the bank's app link with a token
//! ([`returned_link`]). Both together are the confirmation, which travels in the charge request and in the
//! authorization request.

use std::fmt;

use bytes::Bytes;

use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::IssuerId,
    link::WebAddress,
    pb, require,
};

/// The longest token.
pub const DEVICE_TOKEN_BYTES_MAX: usize = 128;
/// What stands before the token in the fragment of the app link.
pub const DEVICE_TOKEN_KEY: &str = "d=";

/// A state and the token that the acquirer gave for it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceConfirmation {
    /// The app's random bytes.
    pub state: [u8; 32],
    /// The acquirer's token, 1 to [`DEVICE_TOKEN_BYTES_MAX`] bytes.
    pub token: Bytes,
}

impl DeviceConfirmation {
    /// A received confirmation.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::DeviceConfirmation) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let state = fields.bytes("state", &pb.state);
        let fits = (1..=DEVICE_TOKEN_BYTES_MAX).contains(&pb.token.len());
        fields.check("token", fits, "must be 1 to 128 bytes");
        require!(fields; state);
        Ok(Self { state, token: pb.token })
    }

    /// A confirmation that may be absent, from the field `device_confirmation` of a message.
    pub fn parse_optional(fields: &mut Fields, pb: Option<pb::DeviceConfirmation>) -> Option<Option<Self>> {
        match pb {
            None => Some(None),
            Some(pb) => fields.nested("device_confirmation", Self::parse(pb)).map(Some),
        }
    }

    /// The confirmation as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::DeviceConfirmation {
        pb::DeviceConfirmation { state: Bytes::copy_from_slice(&self.state), token: self.token.clone() }
    }

    /// What stands for the state in the token.
    #[must_use]
    pub fn state_digest(&self) -> Digest {
        Digest::of(&self.state)
    }
}

impl fmt::Debug for DeviceConfirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceConfirmation(***)")
    }
}

/// Where an app leads the browser of its device.
#[must_use]
pub fn check_address(device_check_url: &WebAddress, bank: &IssuerId, state: &[u8; 32]) -> String {
    format!("{device_check_url}?bank={bank}&state={}", data_encoding::BASE64URL_NOPAD.encode(state))
}

/// The state in the query of such an address; none for a text that is not one.
#[must_use]
pub fn parse_state(text: &str) -> Option<[u8; 32]> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Where the acquirer leads the browser afterwards: the bank's app link, with the token where no server sees it.
#[must_use]
pub fn returned_link(app_link: &str, token: &[u8]) -> String {
    format!("{app_link}#{DEVICE_TOKEN_KEY}{}", data_encoding::BASE64URL_NOPAD.encode(token))
}

/// The token in the text behind [`DEVICE_TOKEN_KEY`]; none for a text that is not one.
#[must_use]
pub fn parse_token(text: &str) -> Option<Bytes> {
    let token = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    (1..=DEVICE_TOKEN_BYTES_MAX).contains(&token.len()).then(|| token.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn state_and_token_are_read_back_from_their_addresses() {
        let state = [251; 32];
        let address = check_address(&"https://pay.example/c".parse().unwrap(), &"bank-a".parse().unwrap(), &state);
        let text = address.strip_prefix("https://pay.example/c?bank=bank-a&state=").unwrap();
        assert_eq!((text.len(), parse_state(text)), (43, Some(state)));
        let link = returned_link("https://app.example/pay", &[255, 1]);
        let text = link.strip_prefix("https://app.example/pay#d=").unwrap();
        assert_eq!(parse_token(text).as_deref(), Some(&[255, 1][..]));
        for wrong in ["", "AAAA=", "a b", &"A".repeat(42), &"A".repeat(44)] {
            assert_eq!(parse_state(wrong), None, "{wrong}");
        }
        assert_eq!(parse_token(""), None);
        assert_eq!(parse_token(&"A".repeat(172)), None);
    }

    #[test]
    fn a_malformed_confirmation_is_named_and_a_good_one_is_never_printed() {
        let good = DeviceConfirmation { state: [7; 32], token: Bytes::from_static(b"token") };
        assert_eq!(DeviceConfirmation::parse(good.to_pb()), Ok(good.clone()));
        assert_eq!(format!("{good:?}"), "DeviceConfirmation(***)");
        let mut fields = Fields::new();
        let wrong = pb::DeviceConfirmation { state: Bytes::new(), token: vec![0; 129].into() };
        assert_eq!(DeviceConfirmation::parse_optional(&mut fields, Some(wrong)), None);
        let paths: Vec<String> = fields.finish().unwrap_err().violations.into_iter().map(|v| v.path).collect();
        assert_eq!(paths, ["device_confirmation.state", "device_confirmation.token"]);
    }
}
