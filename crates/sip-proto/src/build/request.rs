use bytes::{BufMut, Bytes, BytesMut};

use super::{put_body, put_clean, put_header, put_number, put_pieces, put_texts};
use crate::{header_id::HeaderId, method::Method};

/// A request but for its topmost Via, so that one request can be tried at several servers
/// (RFC 3261 §8.1.1.7: each try has its own branch).
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    method: Method,
    uri: String,
    headers: BytesMut,
    /// The number, and where among the headers it stands.
    cseq: Option<(usize, u32)>,
    content_type: Option<String>,
    body: Bytes,
}

/// The Via that the sender of a request puts on top.
#[derive(Debug, Clone, Copy)]
pub struct TopVia<'a> {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub transport: &'a str,
    /// Host and optional port, IPv6 in brackets.
    pub sent_by: &'a str,
    /// With the magic cookie in front.
    pub branch: &'a str,
    /// RFC 3581 §3: ask for the answer to come back to the source port.
    pub rport: bool,
    /// RFC 5923 §5: offer the connection for requests backwards.
    pub alias: bool,
}

impl RequestBuilder {
    /// Begins a request; CR, LF, spaces and other controls in `uri` are left out.
    pub fn new(method: Method, uri: &str) -> Self {
        let clean = uri.bytes().all(|octet| octet.is_ascii_graphic());
        let uri = if clean { uri.to_owned() } else { uri.chars().filter(char::is_ascii_graphic).collect() };
        Self { method, uri, headers: BytesMut::with_capacity(512), cseq: None, content_type: None, body: Bytes::new() }
    }

    /// Adds a header behind those added before. Via below the top, From, To, Call-ID, CSeq and Max-Forwards are the
    /// caller's; Content-Type and Content-Length come with the body and are ignored here.
    #[must_use]
    pub fn header(self, id: HeaderId, value: &str) -> Self {
        self.header_of(id, &[value])
    }

    /// The same, its value in pieces.
    #[must_use]
    pub fn header_of(mut self, id: HeaderId, value: &[&str]) -> Self {
        if !matches!(id, HeaderId::ContentLength | HeaderId::ContentType | HeaderId::Other) {
            put_pieces(&mut self.headers, id.name(), value);
        }
        self
    }

    /// Adds a header whose name has no [`HeaderId`].
    #[must_use]
    pub fn header_named(mut self, name: &str, value: &str) -> Self {
        if HeaderId::of(name.as_bytes()) == HeaderId::Other {
            put_header(&mut self.headers, name, value.as_bytes());
        }
        self
    }

    /// Sets CSeq for this method (RFC 3261 §20.16); it keeps its place when it is set again.
    #[must_use]
    pub fn cseq(mut self, number: u32) -> Self {
        let place = self.cseq.map_or(self.headers.len(), |(place, _)| place);
        self.cseq = Some((place, number));
        self
    }

    /// The number in CSeq.
    pub fn cseq_number(&self) -> Option<u32> {
        self.cseq.map(|(_, number)| number)
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: Bytes) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = body;
        self
    }

    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it has such a header.
    pub fn has(&self, id: HeaderId) -> bool {
        let is_it = |line: &[u8]| line.strip_prefix(id.name().as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
        self.headers.as_ref().split(|octet| *octet == b'\n').any(is_it)
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The body.
    pub fn body_octets(&self) -> &[u8] {
        &self.body
    }

    /// Writes the request with this Via on top.
    pub fn encode(&self, via: &TopVia<'_>) -> Bytes {
        let mut out = BytesMut::with_capacity(256 + self.uri.len() + self.headers.len() + self.body.len());
        put_clean(&mut out, self.method.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.uri.as_bytes());
        out.put_slice(b" SIP/2.0\r\n");
        via.put(&mut out);
        let (place, number) = self.cseq.unzip();
        let (before, after) = self.headers.split_at_checked(place.unwrap_or(0)).unwrap_or((&self.headers, &[]));
        out.put_slice(before);
        if let Some(number) = number {
            put_texts(&mut out, &[HeaderId::CSeq.name(), ": "]);
            put_number(&mut out, number.into());
            put_texts(&mut out, &[" ", self.method.as_str(), "\r\n"]);
        }
        out.put_slice(after);
        put_body(&mut out, self.content_type.as_deref(), &self.body);
        out.freeze()
    }
}

impl TopVia<'_> {
    fn put(self, out: &mut BytesMut) {
        let Self { transport, sent_by, branch, .. } = self;
        let rport = if self.rport { ";rport" } else { "" };
        let alias = if self.alias { ";alias" } else { "" };
        let value = ["SIP/2.0/", transport, " ", sent_by, ";branch=", branch, rport, alias];
        put_pieces(out, HeaderId::Via.name(), &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    const VIA: TopVia<'_> =
        TopVia { transport: "TCP", sent_by: "gw.example:5060", branch: "z9hG4bKa1", rport: true, alias: true };

    // checks: SIP-007, SIP-008
    #[test]
    fn rfc3261_s8_1_1_a_built_request_verifies() {
        let request = RequestBuilder::new(Method::Message, "sip:romeo@example.net")
            .header(HeaderId::MaxForwards, "70")
            .header(HeaderId::From, "<sip:juliet@example.com>;tag=a1")
            .header(HeaderId::To, "<sip:romeo@example.net>")
            .header(HeaderId::CallId, "c1")
            .header(HeaderId::ContentLength, "7")
            .header_named("X-Trace", "t1")
            .header_named("Content-Length", "7")
            .cseq(1)
            .body("text/plain", Bytes::from_static(b"Art thou not Romeo?"));
        let message = Message::parse(request.encode(&VIA)).unwrap();
        let key = message.verify().unwrap();
        assert_eq!((key.via.branch(), key.via.rport(), key.via.alias()), (Some("z9hG4bKa1"), Some(None), true));
        assert_eq!(message.body(), b"Art thou not Romeo?");
        assert!(message.content_type().unwrap().unwrap().is("text", "plain"));
        assert_eq!(message.headers_named("x-trace").count(), 1);
    }

    // checks: SEC-003
    #[test]
    fn a_request_line_cannot_be_split() {
        let request = RequestBuilder::new(Method::Options, "sip:a@b SIP/2.0\r\nEvil: x").encode(&VIA);
        assert!(request.starts_with(b"OPTIONS sip:a@bSIP/2.0Evil:x SIP/2.0\r\nVia: SIP/2.0/TCP gw.example:5060;"));
    }
}
