//! The strict part of CBOR (RFC 8949) that authenticators and browsers write: lengths come first, and no
//! key stands twice in a map.

use minicbor::{Decoder, decode::Error};

/// Bytes that are not the CBOR that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<Error> for Malformed {
    fn from(_: Error) -> Self {
        Self
    }
}

/// Reads how many entries a map has, whose length comes first.
pub(super) fn map_length(cbor: &mut Decoder<'_>) -> Result<u64, Malformed> {
    cbor.map()?.ok_or(Malformed)
}

/// Puts a value where there is none yet: a second one is of a key that stands twice.
pub(super) fn put_once<T>(place: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

/// Reads past one map and returns it as it stands there.
pub(super) fn raw_map<'b>(cbor: &mut Decoder<'b>) -> Result<&'b [u8], Malformed> {
    let begin = cbor.position();
    map_length(&mut cbor.clone())?;
    cbor.skip()?;
    cbor.input().get(begin..cbor.position()).ok_or(Malformed)
}

/// Whether everything was read.
pub(super) fn is_at_end(cbor: &Decoder<'_>) -> bool {
    cbor.position() == cbor.input().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_past_as_one_piece() {
        // {1: [2, {}], "a": h'00'}, and one byte more.
        let bytes = [0xa2, 0x01, 0x82, 0x02, 0xa0, 0x61, b'a', 0x41, 0x00, 0xf6];
        let mut cbor = Decoder::new(&bytes);
        assert_eq!(raw_map(&mut cbor), Ok(&bytes[..9]));
        assert!(!is_at_end(&cbor));
    }

    #[test]
    fn what_is_no_map_with_its_length_first_is_refused() {
        // An indefinite map, a list, a map without its value, a length that nothing can have, nothing.
        for bad in
            [&[0xbf_u8, 0xff] as &[u8], &[0x80], &[0xa1, 0x01], &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255], &[]]
        {
            assert_eq!(raw_map(&mut Decoder::new(bad)), Err(Malformed), "{bad:02x?}");
        }
    }
}
