//! gRPC by hand: the bytes of protobuf, frames, and calls over HTTP/2 itself, so that a test may send
//! what no client's library would. Knows no message of the API.

use std::net::SocketAddr;

use h2::client::SendRequest;
use tonic::codegen::Bytes;
use tonic::{Code, Status};

/// Protobuf's number for a varint.
pub(super) const VARINT: u8 = 0;
/// Protobuf's number for eight bytes.
pub(super) const FIXED64: u8 = 1;
/// Protobuf's number for a length and so many bytes.
pub(super) const BYTES: u8 = 2;
/// Protobuf's number for four bytes.
pub(super) const FIXED32: u8 = 5;

pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A string, a message, or bytes.
pub(super) fn bytes_field(number: u32, payload: &[u8]) -> Vec<u8> {
    let key = varint(u64::from(number) << 3 | u64::from(BYTES));
    [key, varint(payload.len() as u64), payload.to_vec()].concat()
}

/// A number, an enumeration's value, or a boolean.
pub(super) fn varint_field(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3 | u64::from(VARINT)), varint(value)].concat()
}

pub(super) fn double_field(number: u32, value: f64) -> Vec<u8> {
    let key = varint(u64::from(number) << 3 | u64::from(FIXED64));
    [key, value.to_le_bytes().to_vec()].concat()
}

/// A field as it stands in a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) wire: u8,
    /// What follows key and length; empty for a varint.
    pub(super) payload: &'a [u8],
    /// The number of a varint.
    pub(super) value: u64,
    /// The whole, with its key.
    pub(super) whole: &'a [u8],
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// The fields of a message in their order; `None` if the bytes are none.
pub(super) fn fields(mut message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let (key, mut rest) = read_varint(message)?;
        let (number, wire) = (u32::try_from(key >> 3).ok()?, u8::try_from(key & 7).ok()?);
        let mut value = 0;
        let length = match wire {
            VARINT => {
                (value, rest) = read_varint(rest)?;
                0
            }
            FIXED64 => 8,
            BYTES => {
                let (length, after) = read_varint(rest)?;
                rest = after;
                usize::try_from(length).ok()?
            }
            FIXED32 => 4,
            _ => return None,
        };
        let (payload, rest) = rest.split_at_checked(length)?;
        let whole = &message[..message.len() - rest.len()];
        found.push(Field { number, wire, payload, value, whole });
        message = rest;
    }
    Some(found)
}

/// The message with this payload in the field at this path of numbers. Where a message on the way is
/// repeated, its last element is meant; what is not there is made.
pub(super) fn with_field(message: &[u8], path: &[u32], payload: &[u8]) -> Vec<u8> {
    let (&number, below) = path.split_first().expect("a path");
    let all = fields(message).expect("a well-formed message");
    let old = all.iter().rposition(|field| field.number == number && field.wire == BYTES);
    let new = match below {
        [] => bytes_field(number, payload),
        below => {
            let inner = old.map_or(&[][..], |at| all[at].payload);
            bytes_field(number, &with_field(inner, below, payload))
        }
    };
    let mut edited: Vec<&[u8]> = all.iter().map(|field| field.whole).collect();
    match old {
        Some(at) => edited[at] = &new,
        None => edited.push(&new),
    }
    edited.concat()
}

/// A message as it goes over the wire: not compressed, its length, its bytes.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// What came of a call: every message, and the status at the end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) status: Status,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Connection {
    client: SendRequest<Bytes>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
        let (client, connection) = builder.handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self { client }
    }

    /// Sends this body and reads the answer to its end. An error is one of HTTP/2: the connection or
    /// the stream broke.
    pub(super) async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, h2::Error> {
        let mut client = self.client.clone().ready().await?;
        let mut request = http::Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, mut sender) = client.send_request(request.body(()).unwrap(), false)?;
        sender.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            bytes.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().and_then(Status::from_header_map);
        let status = status.or_else(|| Status::from_header_map(&head.headers));
        let status = status.unwrap_or_else(|| Status::unknown("an answer without a status"));
        Ok(Answer { messages: unframed(&bytes), status })
    }

    /// Sends one message of a method.
    pub(super) async fn ask(&self, path: &str, message: &[u8]) -> Answer {
        self.call(path, &[], framed(message)).await.unwrap()
    }
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        self.status.code() == Code::Ok
    }
}

/// The messages of a body that has come whole.
pub(super) fn unframed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        assert_eq!(header[0], 0, "a compressed message, which nobody asked for");
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let (message, rest) = rest.split_at_checked(length).expect("a whole message");
        messages.push(message.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a header at the end");
    messages
}
