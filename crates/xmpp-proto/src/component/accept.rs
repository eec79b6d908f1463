//! The server's end.

use std::collections::BTreeMap;
use std::time::Instant;

use strict_xml::{Element, SharedStr};

use super::link::Link;
use super::{LinkConfig, NotOpen, Output, Secret, handshake_digest};
use crate::ns;
use crate::secret::same_digest;
use crate::stream::{Incoming, Phase, StreamCondition, StreamError, StreamHeader};

/// Which components to accept.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// Domain, in lower case, to secret.
    pub components: BTreeMap<String, Secret>,
    /// Times and limits.
    pub link: LinkConfig,
}

/// A server that accepts one component's connection (XEP-0114 §3).
///
/// Performs no I/O and reads no clock. After every `handle_*` call and every command, drain
/// [`poll_output`](Self::poll_output), then re-arm from [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct ComponentServer {
    components: BTreeMap<String, Secret>,
    stream_id: String,
    link: Link,
    /// The component's name, once its header has come.
    domain: Option<String>,
}

impl ComponentServer {
    /// Begins on a fresh connection. RFC 6120 §4.7.3: `stream_id` is unpredictable and never used twice.
    pub fn new(config: ServerConfig, stream_id: String, now: Instant) -> Self {
        let link = Link::new(config.link, now);
        Self { components: config.components, stream_id, link, domain: None }
    }

    /// The component's domain, once the stream is open.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref().filter(|_| self.link.phase() != Phase::Opening)
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

    /// Ends the stream with an error, such as `system-shutdown` or `conflict`.
    pub fn refuse(&mut self, error: StreamError, now: Instant) {
        if self.link.phase() != Phase::Closed {
            self.link.refuse(error, now);
        }
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
        let to = header.to.as_deref().map(str::to_ascii_lowercase);
        let answer = StreamHeader {
            from: header.to.clone(),
            id: Some(SharedStr::copy(&self.stream_id)),
            ..StreamHeader::default()
        };
        self.link.send_header(&answer, now);
        match to.filter(|to| self.components.contains_key(to)) {
            Some(domain) => self.domain = Some(domain),
            // XEP-0114 §3: a name that is not served here.
            None => self.link.refuse(StreamCondition::HostUnknown.into(), now),
        }
    }

    fn handle_element(&mut self, element: Element, now: Instant) {
        if StreamError::is_error(&element) {
            return self.link.peer_error(StreamError::read(&element));
        }
        match self.link.phase() {
            Phase::Opening => self.handle_handshake(&element, now),
            Phase::Open | Phase::Closing => match self.check_addresses(&element) {
                Ok(()) => self.link.stanza(element, now),
                Err(condition) => self.link.refuse(condition.into(), now),
            },
            Phase::Closed => {}
        }
    }

    fn handle_handshake(&mut self, element: &Element, now: Instant) {
        let secret = self.domain.as_ref().and_then(|domain| self.components.get(domain));
        let proven = secret.is_some_and(|secret| {
            element.is("handshake", ns::COMPONENT_ACCEPT)
                && same_digest(&handshake_digest(&self.stream_id, secret), element.text().trim())
        });
        if !proven {
            // XEP-0114 §3, RFC 6120 §13.12.
            return self.link.refuse(StreamCondition::NotAuthorized.into(), now);
        }
        self.link.send_raw(b"<handshake/>", now);
        self.link.opened();
    }

    /// XEP-0114 §3: both addresses, and no domain but the component's own.
    fn check_addresses(&self, stanza: &Element) -> Result<(), StreamCondition> {
        let (Some(from), Some(_)) = (stanza.attr("from"), stanza.attr("to")) else {
            return Err(StreamCondition::ImproperAddressing);
        };
        let bare = from.split_once('/').map_or(from, |(bare, _)| bare);
        let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
        match &self.domain {
            Some(own) if domain.eq_ignore_ascii_case(own) => Ok(()),
            Some(_) | None => Err(StreamCondition::InvalidFrom),
        }
    }
}
