//! Counting the data in what HTTP/2 sends (RFC 9113, section 4.1).

/// A frame's head: three bytes of length, one of type, one of flags, four of the stream.
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;

/// Follows the frames of one direction. It sees our own side's bytes alone, which are well-formed.
#[derive(Debug, Default)]
pub(super) struct DataFrames {
    head: [u8; HEAD_BYTES],
    filled: usize,
    left: u64,
    is_data: bool,
    /// HTTP/1.1 begins with a letter, an HTTP/2 server with settings, whose length has two leading zeros.
    is_http1: Option<bool>,
}

impl DataFrames {
    /// How many of these bytes are data; none on HTTP/1.1.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let Some(first) = bytes.first() else { return 0 };
        if *self.is_http1.get_or_insert(*first == b'H') {
            return 0;
        }
        let mut data = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.fill_head(bytes);
                continue;
            }
            let count = self.left.min(bytes.len() as u64);
            self.left -= count;
            if self.is_data {
                data += count;
            }
            bytes = bytes.get(usize::try_from(count).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        data
    }

    /// Takes bytes of a frame's head, and returns the rest.
    fn fill_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = bytes.len().min(HEAD_BYTES - self.filled);
        let (taken, rest) = bytes.split_at(count);
        self.head[self.filled..self.filled + count].copy_from_slice(taken);
        self.filled += count;
        if self.filled == HEAD_BYTES {
            let [a, b, c, kind, ..] = self.head;
            (self.left, self.is_data, self.filled) = (u64::from(u32::from_be_bytes([0, a, b, c])), kind == DATA, 0);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn data_is_counted_however_it_is_cut() {
        let sent =
            [frame(4, &[]), frame(1, &[7; 300]), frame(DATA, &[0; 70_000]), frame(8, &[0; 4]), frame(DATA, b"x")];
        let sent = sent.concat();
        for piece in [1, 2, 9, 10, 1_000, sent.len()] {
            let mut frames = DataFrames::default();
            assert_eq!(sent.chunks(piece).map(|bytes| frames.count(bytes)).sum::<u64>(), 70_001, "{piece}");
        }
    }

    #[test]
    fn http1_has_no_frames() {
        let mut frames = DataFrames::default();
        assert_eq!(frames.count(b"HTTP/1.1 200 OK\r\n\r\n") + frames.count(&frame(DATA, b"xyz")), 0);
    }
}
