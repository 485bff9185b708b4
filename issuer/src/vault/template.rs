//! Features at rest, bound to their customer and the device that measured them.

use bytes::Bytes;
use mesh::sealing::at_rest::Vault;
use proto::ids::DeviceId;
use zeroize::Zeroizing;

use super::{AtRestError, Problem, fault, open, seal, sealed::Sealed};
use crate::{domain::ids::CustomerId, records::Template};

/// Encrypts the features that a customer's device enrolled.
///
/// # Errors
/// [`AtRestError`] where the vault can't work.
pub fn seal_template(
    vault: &Vault,
    customer: &CustomerId,
    device: &DeviceId,
    features: &[f32],
) -> Result<Vec<u8>, AtRestError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(size_of_val(features)));
    features.iter().for_each(|value| bytes.extend_from_slice(&value.to_be_bytes()));
    seal::<Template>(vault, device.as_str().as_bytes(), &place(customer.as_str(), device.as_str()), &bytes)
}

/// Decrypts the features that a customer's device enrolled.
///
/// # Errors
/// [`AtRestError`]; what was sealed for another customer or device does not open.
pub fn open_template(
    vault: &Vault,
    customer: &CustomerId,
    device: &DeviceId,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<f32>>, AtRestError> {
    let key = device.as_str().as_bytes();
    let plaintext = open::<Template>(vault, key, &place(customer.as_str(), device.as_str()), sealed)?;
    values(&plaintext).ok_or_else(|| fault::<Template>(key, Problem::NotReadable))
}

impl Sealed for Template {
    const NAME: &'static str = "template";

    fn sealed(&self) -> &Bytes {
        &self.sealed_features
    }

    fn set_sealed(&mut self, sealed: Bytes) {
        self.sealed_features = sealed;
    }

    fn place(&self) -> Option<Vec<u8>> {
        let (customer, device): (CustomerId, DeviceId) = (self.customer_id.parse().ok()?, self.device_id.parse().ok()?);
        Some(place(customer.as_str(), device.as_str()))
    }

    fn is_readable(plaintext: &[u8]) -> bool {
        values(plaintext).is_some()
    }
}

/// What features are bound to: customer id ‖ device id, behind a label and apart by a zero byte, which no id
/// contains.
fn place(customer: &str, device: &str) -> Vec<u8> {
    [b"bankside.issuer/template\0".as_slice(), customer.as_bytes(), b"\0", device.as_bytes()].concat()
}

/// The values, big-endian; none where they are no feature vector.
fn values(bytes: &[u8]) -> Option<Zeroizing<Vec<f32>>> {
    let (quads, rest) = bytes.as_chunks::<4>();
    if quads.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut values = Zeroizing::new(Vec::with_capacity(quads.len()));
    values.extend(quads.iter().map(|quad| f32::from_be_bytes(*quad)));
    values.iter().all(|value| value.is_finite()).then_some(values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::sealing::at_rest::{KeyEncryptionKey, KeyVersion, VaultError};

    use super::*;

    const FEATURES: [f32; 4] = [0.25, -1.5, 0.0, 1e-3];

    fn vault() -> Vault {
        Vault::new([KeyEncryptionKey::generate(KeyVersion::new(1)).unwrap().0]).unwrap()
    }

    fn device(number: u8) -> DeviceId {
        DeviceId::from_random([number; 16])
    }

    #[test]
    fn features_open_in_their_place_alone() {
        let (vault, lin, wu) = (vault(), "lin".parse().unwrap(), "wu".parse().unwrap());
        let sealed = seal_template(&vault, &lin, &device(1), &FEATURES).unwrap();
        assert_eq!(open_template(&vault, &lin, &device(1), &sealed).unwrap().as_slice(), FEATURES);
        let elsewhere = [
            open_template(&vault, &wu, &device(1), &sealed),
            open_template(&vault, &lin, &device(2), &sealed),
            open_template(&self::vault(), &lin, &device(1), &sealed),
        ];
        for opened in elsewhere {
            assert_eq!(opened.unwrap_err().problem, Problem::Vault(VaultError::Decrypt));
        }
    }

    #[test]
    fn what_is_no_vector_is_said_to_be_none() {
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 0, 1], &f32::NAN.to_be_bytes(), &f32::INFINITY.to_be_bytes()] {
            assert!(!Template::is_readable(bytes), "{bytes:?}");
        }
        assert!(Template::is_readable(&[0; 8]));
    }

    #[test]
    fn the_record_knows_its_place() {
        let (vault, lin) = (vault(), "lin".parse().unwrap());
        let sealed = seal_template(&vault, &lin, &device(1), &FEATURES).unwrap();
        let template = Template {
            device_id: device(1).to_string(),
            customer_id: lin.to_string(),
            sealed_features: sealed.into(),
            ..Template::default()
        };
        let at = template.place().unwrap();
        assert!(open::<Template>(&vault, b"", &at, &template.sealed_features).is_ok());
        assert!(Template { customer_id: String::new(), ..template }.place().is_none());
    }
}
