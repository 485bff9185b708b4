//! The attestation object: the envelope of a new credential's authenticator data (section 6.5.4).

use minicbor::Decoder;

use super::{
    ATTESTATION_OBJECT_BYTES_MAX, Refused,
    cbor::{Malformed, is_at_end, map_length, put_once, raw_map},
};

/// The authenticator data in an attestation object. What attests them is read past.
pub(super) fn authenticator_data(attestation_object: &[u8]) -> Result<&[u8], Refused> {
    if attestation_object.len() > ATTESTATION_OBJECT_BYTES_MAX {
        return Err(Refused::AttestationObject);
    }
    read(attestation_object).map_err(|_| Refused::AttestationObject)
}

fn read(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut cbor = Decoder::new(bytes);
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..map_length(&mut cbor)? {
        match cbor.str()? {
            "fmt" => put_once(&mut format, cbor.str()?)?,
            "attStmt" => put_once(&mut statement, raw_map(&mut cbor)?)?,
            "authData" => put_once(&mut data, cbor.bytes()?)?,
            _ => return Err(Malformed),
        }
    }
    match (format, statement, data, is_at_end(&cbor)) {
        (Some(_), Some(_), Some(data), true) => Ok(data),
        (_, _, _, _) => Err(Malformed),
    }
}
