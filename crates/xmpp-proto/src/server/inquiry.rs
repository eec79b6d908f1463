//! What a server offers to one that connects, asked without proving anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use strict_xml::{Element, Limits, Scope, SharedStr, XmlWriter};

use super::features::Features;
use super::pairs::Pair;
use crate::ns;
use crate::stream::{End, Incoming, LinkError, StreamError, StreamHeader, Version, Wire, WireConfig};

/// What a server offers (RFC 6120 §4.3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offered {
    /// STARTTLS before TLS, or TLS from the start.
    pub tls: bool,
    /// SASL EXTERNAL: it takes the certificate that it was shown.
    pub external: bool,
    /// XEP-0220, by its feature or by its declaration in the header.
    pub dialback: bool,
    /// XEP-0288.
    pub bidi: bool,
    /// XEP-0198.
    pub management: bool,
}

/// What an [`Inquiry`] wants done or has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InquiryOutput {
    /// Octets for the server, to be written in this order.
    Send(Bytes),
    /// Begin TLS as client once all octets are written; then call `handle_tls`.
    StartTls,
    /// The answer; the stream is closed behind it.
    Offered(Offered),
    /// There is no answer.
    Failed(LinkError),
    /// Close the connection. Nothing follows.
    Closed,
}

/// A stream that only asks.
///
/// Performs no I/O and reads no clock. After every `handle_*` call, drain [`poll_output`](Self::poll_output), then re-arm from
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Inquiry {
    wire: Wire,
    header: StreamHeader,
    is_secure: bool,
    in_handshake: bool,
    events: VecDeque<InquiryOutput>,
}

/// From our end tag to the server's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Inquiry {
    /// Begins on a fresh connection to a server of `pair.to`, which may be under TLS already; the whole must end within `timeout`.
    pub fn new(pair: &Pair, is_secure: bool, timeout: Duration, now: Instant) -> Self {
        let mut declarations = Scope::new();
        declarations.declare("db", ns::DIALBACK);
        let wire = WireConfig {
            content_ns: ns::SERVER,
            declarations,
            limits: Limits::default(),
            open_timeout: timeout,
            close_timeout: CLOSE_TIMEOUT,
        };
        let header = StreamHeader {
            from: Some(SharedStr::copy(pair.from.as_str())),
            to: Some(SharedStr::copy(pair.to.as_str())),
            version: Some(Version::V1_0),
            ..StreamHeader::default()
        };
        let mut wire = Wire::new(wire, now);
        wire.send_header(&header, now);
        Self { wire, header, is_secure, in_handshake: false, events: VecDeque::new() }
    }

    /// Takes octets from the server.
    pub fn handle_bytes(&mut self, octets: &[u8], now: Instant) {
        self.wire.push(octets);
        while !self.in_handshake
            && let Some(incoming) = self.wire.next(now)
        {
            match incoming {
                Incoming::Element(element) => self.handle_element(&element, now),
                Incoming::Close => self.wire.peer_closed(),
                Incoming::Header(_) | Incoming::Excess(_) => {}
            }
        }
    }

    /// The TLS handshake is done.
    pub fn handle_tls(&mut self, now: Instant) {
        (self.is_secure, self.in_handshake) = (true, false);
        // RFC 6120 §5.4.3.3: what was said before counts no more.
        self.wire.forget();
        self.wire.send_header(&self.header, now);
    }

    /// The connection ended.
    pub fn handle_eof(&mut self) {
        self.wire.handle_eof();
    }

    /// The time asked for by [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wire.handle_timeout(now);
    }

    /// What is to be done next; `None` until the next call.
    pub fn poll_output(&mut self) -> Option<InquiryOutput> {
        let sent = self.wire.poll_send().map(InquiryOutput::Send);
        sent.or_else(|| self.events.pop_front()).or_else(|| {
            self.wire.poll_end().map(|end| match end {
                End::Failed(error) => InquiryOutput::Failed(error),
                End::Closed => InquiryOutput::Closed,
            })
        })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wire.deadline()
    }

    fn handle_element(&mut self, element: &Element, now: Instant) {
        if StreamError::is_error(element) {
            return self.wire.peer_error(StreamError::read(element));
        }
        match (element.name.as_str(), element.ns.as_str()) {
            ("features", ns::STREAMS) => self.handle_features(element, now),
            ("proceed", ns::TLS) if !self.is_secure => {
                self.in_handshake = true;
                self.events.push_back(InquiryOutput::StartTls);
            }
            _ => {}
        }
    }

    fn handle_features(&mut self, element: &Element, now: Instant) {
        let features = Features::read(element);
        if features.starttls.is_some() && !self.is_secure {
            let mut out = BytesMut::new();
            XmlWriter::new(&mut out).start("starttls").attr("xmlns", ns::TLS).end("starttls");
            return self.wire.send_raw(&out, now);
        }
        let named = element.child("dialback", ns::DIALBACK_FEATURE).is_some();
        self.events.push_back(InquiryOutput::Offered(Offered {
            tls: self.is_secure,
            external: features.external,
            dialback: named || self.wire.peer_declares(ns::DIALBACK),
            bidi: features.bidi,
            management: features.management,
        }));
        self.wire.close(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Domain;

    const HEADER: &[u8] =
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' id='1' from='b.example' to='a.example' version='1.0'>";

    #[allow(clippy::disallowed_methods, reason = "time is an argument; a test takes its origin once")]
    fn inquiry() -> (Inquiry, Instant) {
        let domain = |text: &str| Domain::parse(text).unwrap();
        let now = Instant::now();
        let pair = Pair { from: domain("a.example"), to: domain("b.example") };
        (Inquiry::new(&pair, false, Duration::from_secs(5), now), now)
    }

    fn outputs(inquiry: &mut Inquiry) -> Vec<InquiryOutput> {
        std::iter::from_fn(|| inquiry.poll_output())
            .filter(|output| !matches!(output, InquiryOutput::Send(_)))
            .collect()
    }

    #[test]
    fn rfc6120_s4_3_2_what_is_offered_behind_starttls_is_told() {
        let (mut inquiry, now) = inquiry();
        inquiry.handle_bytes(HEADER, now);
        inquiry.handle_bytes(
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>\
              <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            now,
        );
        assert_eq!(outputs(&mut inquiry), [InquiryOutput::StartTls]);
        inquiry.handle_tls(now);
        inquiry.handle_bytes(HEADER, now);
        inquiry.handle_bytes(
            b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
              </stream:features></stream:stream>",
            now,
        );
        let offered = Offered { tls: true, external: true, dialback: true, ..Offered::default() };
        assert_eq!(outputs(&mut inquiry), [InquiryOutput::Offered(offered), InquiryOutput::Closed]);
    }

    #[test]
    fn a_server_without_tls_and_one_that_ends_the_stream_are_told_apart() {
        let (mut clear, now) = inquiry();
        clear.handle_bytes(HEADER, now);
        clear.handle_bytes(b"<stream:features/>", now);
        let offered = Offered { dialback: true, ..Offered::default() };
        assert_eq!(outputs(&mut clear), [InquiryOutput::Offered(offered)]);
        let (mut refused, now) = inquiry();
        refused.handle_bytes(HEADER, now);
        refused.handle_bytes(
            b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
            now,
        );
        assert!(matches!(
            outputs(&mut refused)[..],
            [InquiryOutput::Failed(LinkError::Peer(_)), InquiryOutput::Closed]
        ));
    }
}
