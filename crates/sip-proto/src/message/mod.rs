//! Messages: one buffer, an index of spans, and typed views made on demand.

mod access;
mod error;
mod parse;
mod salvage;
mod verify;

pub use access::{Header, KeyHeaders};
pub use error::ParseError;
pub use salvage::Salvage;

pub(crate) use parse::{Head, content_length_of_broken};

use bytes::Bytes;

use crate::{header_id::HeaderId, method::Method, status::StatusCode};

/// A request or a response whose structure is sound (RFC 3261 §7).
///
/// Header values are not judged yet; [`Message::verify`] does that. Cloning shares the buffer.
#[derive(Debug, Clone)]
pub struct Message {
    octets: Bytes,
    start: StartLine,
    headers: Vec<HeaderSpan>,
    body: Span,
}

/// Octets `start..end` of the buffer; its size fits, for head and body are bounded far below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: offset(start), end: offset(end) }
    }

    const fn start(self) -> usize {
        self.start as usize
    }

    const fn end(self) -> usize {
        self.end as usize
    }

    fn of(self, octets: &[u8]) -> &[u8] {
        octets.get(self.start()..self.end()).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
enum StartLine {
    Request { method: Method, uri: Span, version: Span },
    Response { status: StatusCode, reason: Span, version: Span },
}

#[derive(Debug, Clone, Copy)]
struct HeaderSpan {
    id: HeaderId,
    name: Span,
    value: Span,
}

impl Message {
    /// Parses one message that is all there: a datagram, or what a stream framer cut out.
    ///
    /// RFC 3261 §18.3: octets behind Content-Length are left out; without it the body reaches to the end. Empty lines in
    /// front are skipped (§7.5).
    pub fn parse(octets: Bytes) -> Result<Self, ParseError> {
        Head::parse(&octets)?.with_body(octets)
    }
}
