//! The component's end.

use std::time::Instant;

use strict_xml::{Element, SharedStr};

use super::link::Link;
use super::{LinkConfig, NotOpen, Output, Secret, handshake_digest};
use crate::ns;
use crate::stream::{Incoming, Phase, StreamCondition, StreamError, StreamHeader};

/// Which component to be.
#[derive(Debug, Clone)]
pub struct ComponentConfig {
    /// The component's domain.
    pub domain: String,
    /// The secret shared with the server.
    pub secret: Secret,
    /// Times and limits.
    pub link: LinkConfig,
}

/// A component that connects to its server (XEP-0114 §3).
///
/// Performs no I/O and reads no clock. After every `handle_*` call and every command, drain
/// [`poll_output`](Self::poll_output), then re-arm from [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct ComponentStream {
    secret: Secret,
    link: Link,
    handshake_sent: bool,
}

impl ComponentStream {
    /// Begins on a fresh connection; the header is the first output.
    pub fn new(config: ComponentConfig, now: Instant) -> Self {
        let mut link = Link::new(config.link, now);
        // XEP-0114 §3: `to` is the component's own name.
        let header = StreamHeader { to: Some(SharedStr::from(config.domain)), ..StreamHeader::default() };
        link.send_header(&header, now);
        Self { secret: config.secret, link, handshake_sent: false }
    }

    /// Whether stanzas may be sent.
    pub fn is_open(&self) -> bool {
        self.link.phase() == Phase::Open
    }

    /// Takes octets from the peer.
    pub fn handle_bytes(&mut self, octets: &[u8], now: Instant) {
        self.link.push(octets);
        while let Some(incoming) = self.link.next(now) {
            match incoming {
                Incoming::Header(header) => self.handle_header(&header, now),
                Incoming::Element(element) => self.handle_element(element, now),
                Incoming::Excess(tag) => self.link.excess(tag, now),
                Incoming::Close => self.link.peer_closed(),
            }
        }
    }

    /// The connection ended.
    pub fn handle_eof(&mut self) {
        self.link.handle_eof();
    }

    /// The time asked for by [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
    }

    /// Sends a stanza.
    pub fn send(&mut self, stanza: &Element, now: Instant) -> Result<(), NotOpen> {
        self.link.send(stanza, now)
    }

    /// Sends stanzas already written, as by [`encode`](crate::stanza::encode).
    pub fn send_encoded(&mut self, stanzas: &[u8], now: Instant) -> Result<(), NotOpen> {
        self.link.send_encoded(stanzas, now)
    }

    /// Ends the stream in order; what the peer still sends is yielded.
    pub fn close(&mut self, now: Instant) {
        self.link.close(now);
    }

    /// What is to be done next; `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.link.poll_output()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    fn handle_header(&mut self, header: &StreamHeader, now: Instant) {
        let Some(id) = header.id.as_deref().filter(|id| !id.is_empty()) else {
            // COMPAT Prosody 0.12: before the error that says what is wrong it sends a header with an empty id
            return;
        };
        let digest = handshake_digest(id, &self.secret);
        self.link.send_raw(format!("<handshake>{digest}</handshake>").as_bytes(), now);
        self.handshake_sent = true;
    }

    fn handle_element(&mut self, element: Element, now: Instant) {
        if StreamError::is_error(&element) {
            return self.link.peer_error(StreamError::read(&element));
        }
        match self.link.phase() {
            // XEP-0114 §3: the server accepts with an empty handshake.
            Phase::Opening if self.handshake_sent && element.is("handshake", ns::COMPONENT_ACCEPT) => {
                self.link.opened()
            }
            Phase::Opening if !self.handshake_sent => {
                let error = StreamError::new(StreamCondition::BadFormat).with_text("stream header without id");
                self.link.refuse(error, now);
            }
            // RFC 6120 §13.12: nothing else before authentication.
            Phase::Opening => self.link.refuse(StreamCondition::NotAuthorized.into(), now),
            Phase::Open | Phase::Closing => self.link.stanza(element, now),
            Phase::Closed => {}
        }
    }
}
