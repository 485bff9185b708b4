//! Counting the data, and the calls that are taken back, in what HTTP/2 carries (RFC 9113, section 4.1).

/// A frame's head: three bytes of length, one of type, one of flags, four of the stream.
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;

/// What a client says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Follows the frames of one direction. What isn't well-formed is counted wrongly, and ends the connection.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    filled: usize,
    left: u64,
    is_data: bool,
    begin: Begin,
}

/// What comes before the frames.
#[derive(Clone, Copy, Debug)]
enum Begin {
    /// The client's first words, of which so many are left.
    Preface(usize),
    /// Ours, of which there are none: HTTP/1.1 begins with a letter, and HTTP/2 with settings, whose length has
    /// two leading zeros.
    Server,
    Http1,
    Over,
}

/// What there was in some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Bytes of data.
    pub(super) data: u64,
    /// Streams that were ended before their time.
    pub(super) resets: u64,
}

impl Frames {
    pub(super) fn of_the_server() -> Self {
        Self::after(Begin::Server)
    }

    pub(super) fn of_the_client() -> Self {
        Self::after(Begin::Preface(PREFACE.len()))
    }

    fn after(begin: Begin) -> Self {
        Self { head: [0; HEAD_BYTES], filled: 0, left: 0, is_data: false, begin }
    }

    /// Whether what was sent so far is HTTP/1.1.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self.begin, Begin::Http1)
    }

    /// What there is in these bytes; nothing on HTTP/1.1.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Counted {
        let mut counted = Counted::default();
        let mut bytes = self.skip_begin(bytes);
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.fill_head(bytes, &mut counted);
                continue;
            }
            let count = self.left.min(bytes.len() as u64);
            self.left -= count;
            if self.is_data {
                counted.data += count;
            }
            bytes = bytes.get(usize::try_from(count).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        counted
    }

    /// The bytes that belong to frames.
    fn skip_begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(first) = bytes.first() else { return bytes };
        match self.begin {
            Begin::Over => bytes,
            Begin::Http1 => &[],
            Begin::Server => {
                self.begin = if *first == b'H' { Begin::Http1 } else { Begin::Over };
                self.skip_begin(bytes)
            }
            Begin::Preface(left) => {
                let (said, rest) = bytes.split_at(left.min(bytes.len()));
                self.begin = if !PREFACE[PREFACE.len() - left..].starts_with(said) {
                    Begin::Http1
                } else if said.len() == left {
                    Begin::Over
                } else {
                    Begin::Preface(left - said.len())
                };
                self.skip_begin(rest)
            }
        }
    }

    /// Takes bytes of a frame's head, and returns the rest.
    fn fill_head<'a>(&mut self, bytes: &'a [u8], counted: &mut Counted) -> &'a [u8] {
        let count = bytes.len().min(HEAD_BYTES - self.filled);
        let (taken, rest) = bytes.split_at(count);
        self.head[self.filled..self.filled + count].copy_from_slice(taken);
        self.filled += count;
        if self.filled == HEAD_BYTES {
            let [a, b, c, kind, ..] = self.head;
            (self.left, self.is_data, self.filled) = (u64::from(u32::from_be_bytes([0, a, b, c])), kind == DATA, 0);
            counted.resets += u64::from(kind == RST_STREAM);
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

    fn sum(mut frames: Frames, bytes: &[u8], piece: usize) -> Counted {
        bytes
            .chunks(piece)
            .map(|bytes| frames.count(bytes))
            .fold(Counted::default(), |all, one| Counted { data: all.data + one.data, resets: all.resets + one.resets })
    }

    #[test]
    fn everything_is_counted_however_it_is_cut() {
        let sent = [
            frame(4, &[]),
            frame(1, &[7; 300]),
            frame(DATA, &[0; 70_000]),
            frame(RST_STREAM, &[0, 0, 0, 8]),
            frame(8, &[0; 4]),
            frame(DATA, b"x"),
        ];
        let sent = sent.concat();
        let expected = Counted { data: 70_001, resets: 1 };
        for piece in [1, 2, 9, 10, 1_000, sent.len()] {
            assert_eq!(sum(Frames::of_the_server(), &sent, piece), expected, "{piece}");
            let heard = [PREFACE, &sent].concat();
            assert_eq!(sum(Frames::of_the_client(), &heard, piece), expected, "{piece}");
        }
    }

    #[test]
    fn http1_has_no_frames() {
        let data = frame(DATA, b"xyz");
        for piece in [1, 3, 1_000] {
            let sent = [b"HTTP/1.1 200 OK\r\n\r\n", &data[..]].concat();
            assert_eq!(sum(Frames::of_the_server(), &sent, piece), Counted::default());
            let heard = [b"PROPFIND / HTTP/1.1\r\n\r\n", &data[..]].concat();
            assert_eq!(sum(Frames::of_the_client(), &heard, piece), Counted::default());
        }
    }
}
