//! A client that writes HTTP/2 frame by frame (RFC 9113, section 4), because a good one refuses to do
//! what is tried here.

use crate::service::{Network, Running, acquirer, soon};
use rustls_pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The setting of the window that each stream begins with.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection of the merchant's.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
}

impl Raw {
    /// Connects and says hello with these settings, each a number and a value.
    pub(crate) async fn connect(network: &Network, running: &Running, settings: &[(u16, u32)]) -> Self {
        Self::connect_from(network, running, "127.0.0.1", settings).await
    }

    /// As [`Raw::connect`], from that address of this machine's.
    pub(crate) async fn connect_from(
        network: &Network,
        running: &Running,
        from: &str,
        settings: &[(u16, u32)],
    ) -> Self {
        let config = network.merchant_identity.client_config(&acquirer()).expect("a member");
        // A small buffer is full soon, where it isn't read.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a size");
        socket.bind(format!("{from}:0").parse().expect("an address")).expect("an address of this machine's");
        let stream = socket.connect(running.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let mut raw = Self { stream: soon("a handshake", connecting).await.expect("TLS") };
        let settings = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let settings: Vec<u8> = settings.collect();
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await.expect("a hello");
        raw
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next frame; none once the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(id), payload })
    }

    /// Waits for the frame that fits.
    pub(crate) async fn find(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        let finding = async {
            loop {
                let frame = self.next().await.unwrap_or_else(|| panic!("the connection ended before {what}"));
                if fits(&frame) {
                    return frame;
                }
            }
        };
        soon(what, finding).await
    }

    /// Reads until the connection ends, and returns the code of the server's farewell, if it said one.
    pub(crate) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        let reading = async {
            while let Some(frame) = self.next().await {
                if frame.kind == GOAWAY {
                    code = frame.payload.get(4..8).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
                }
            }
        };
        soon("the end of the connection", reading).await;
        code
    }

    /// Sends these bytes again and again, reading or not, until the server has ended the connection; and
    /// returns how many it took.
    pub(crate) async fn flood(self, bytes: &[u8], reads: bool) -> usize {
        let (mut reader, mut writer) = tokio::io::split(self.stream);
        let mut sent = 0;
        let flooding = async {
            while writer.write_all(bytes).await.is_ok() && writer.flush().await.is_ok() {
                sent += bytes.len();
                assert!(sent < 64 * 1024 * 1024, "the server takes everything");
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            let mut unread = vec![0; 64 * 1024];
            while reads && matches!(reader.read(&mut unread).await, Ok(count) if count > 0) {}
            std::future::pending::<()>().await;
        };
        soon("the end of the flood", async {
            tokio::select! {
                () = flooding => {}
                () = reading => {}
            }
        })
        .await;
        sent
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a call, each field written out (RFC 7541, section 6.2.2).
pub(crate) fn head(path: &str, timeout: Option<&str>) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let timeout = timeout.map(|timeout| ("grpc-timeout", timeout));
    fields.into_iter().chain(timeout).flat_map(|(name, value)| field(name, value)).collect()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    [&[0][..], &text(name), &text(value)].concat()
}

/// A whole call with a text for a message.
pub(crate) fn request(stream: u32, path: &str, timeout: Option<&str>, text: &str) -> Vec<u8> {
    let message = prost::Message::encode_to_vec(&text.to_owned());
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let body = [&[0][..], &length, &message].concat();
    let pieces: Vec<&[u8]> = body.chunks(16_384).collect();
    let last = pieces.len() - 1;
    let data = pieces.iter().enumerate().map(|(at, piece)| {
        let flags = if at == last { END_STREAM } else { 0 };
        frame(DATA, flags, stream, piece)
    });
    let head = frame(HEADERS, END_HEADERS, stream, &head(path, timeout));
    std::iter::once(head).chain(data).flatten().collect()
}

/// The odd numbers that a client's streams have.
pub(crate) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}
