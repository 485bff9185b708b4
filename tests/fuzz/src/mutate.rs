//! Damage to bytes.

use fastrand::Rng;

/// Bytes that parsers stumble over: lengths and tags at their bounds, huge numbers, halves of characters.
const AWKWARD: [&[u8]; 14] = [
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff; 8],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xc3, 0x28],
    &[0xf0, 0x9f],
    &[0xed, 0xa0, 0x80],
    b"\0",
    b"-1",
    b"999999999999999999999999999999",
];
/// How much longer an input may become.
const GROWTH_MAX: usize = 4096;

/// The bytes with one to eight changes, or untouched once in sixteen times.
pub(crate) fn damaged(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if rng.u8(..16) == 0 {
        return bytes;
    }
    let longest = bytes.len() + GROWTH_MAX;
    for _ in 0..rng.usize(1..=8) {
        change(&mut bytes, rng);
        bytes.truncate(longest);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = if bytes.is_empty() { 0 } else { rng.usize(..bytes.len()) };
    match rng.u8(..8) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.u8(..8),
        1 if !bytes.is_empty() => bytes[at] = rng.u8(..),
        2 if !bytes.is_empty() => {
            bytes.remove(at);
        }
        3 => bytes.truncate(at),
        4 => {
            let awkward = AWKWARD[rng.usize(..AWKWARD.len())];
            bytes.splice(at..at, awkward.iter().copied());
        }
        5 if !bytes.is_empty() => {
            // A part of it once more, somewhere else.
            let end = rng.usize(at..=bytes.len().min(at + 64));
            let part = bytes[at..end].to_vec();
            let to = rng.usize(..=bytes.len());
            bytes.splice(to..to, part);
        }
        6 if !bytes.is_empty() => {
            let end = rng.usize(at..=bytes.len());
            bytes.drain(at..end);
        }
        _ => bytes.insert(at, rng.u8(..)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_damages_alike_and_every_kind_of_change_happens() {
        let damage = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..500).map(|_| damaged(b"some bytes that are long enough", &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(damage(7), damage(7));
        assert_ne!(damage(7), damage(8));
        let lengths: Vec<usize> = damage(7).iter().map(Vec::len).collect();
        assert!(lengths.iter().any(|length| *length < 31) && lengths.iter().any(|length| *length > 31));
        assert!(damage(7).iter().any(|bytes| bytes == b"some bytes that are long enough"));
    }

    #[test]
    fn nothing_is_too_short_to_be_damaged() {
        let mut rng = Rng::with_seed(1);
        (0..500).for_each(|_| drop(damaged(b"", &mut rng)));
    }
}
