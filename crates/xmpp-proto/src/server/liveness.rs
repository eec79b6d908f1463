//! Signs of life (RFC 6120 §4.6).

use std::time::Instant;

use strict_xml::Element;

use super::Pair;
use crate::ns;
use crate::stanza::{Iq, IqType};

/// When something last happened on a stream, and what was asked to see whether the peer is there.
#[derive(Debug)]
pub(super) struct Liveness {
    /// Octets from the peer.
    pub(super) heard: Instant,
    /// A stanza, either way.
    pub(super) stanza: Instant,
    ping: Option<Ping>,
    pings: u64,
}

#[derive(Debug, Clone)]
struct Ping {
    number: u64,
    /// Who was asked.
    pair: Pair,
    at: Instant,
}

/// What makes a ping's id, so that the answer is recognised.
const ID_PREFIX: &str = "keepalive-";

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, stanza: now, ping: None, pings: 0 }
    }

    /// When the outstanding ping was sent.
    pub(super) fn pinged_at(&self) -> Option<Instant> {
        self.ping.as_ref().map(|ping| ping.at)
    }

    /// XEP-0199 §4.1: asks the peer's domain for a sign of life.
    pub(super) fn ping(&mut self, pair: Pair, now: Instant) -> Element {
        self.pings += 1;
        let id = format!("{ID_PREFIX}{}", self.pings);
        let iq = Iq::request(IqType::Get, id, Element::new("ping", ns::PING))
            .with_from(pair.from.to_string())
            .with_to(pair.to.to_string());
        self.ping = Some(Ping { number: self.pings, pair, at: now });
        iq.into_element()
    }

    /// Whether the stanza answers the ping: a result or an error, both prove life (XEP-0199 §4.1).
    pub(super) fn take_answer(&mut self, stanza: &Element) -> bool {
        let Some(Ping { number, pair, .. }) = &self.ping else { return false };
        let is_answer = stanza.name.as_str() == "iq"
            && matches!(stanza.attr("type"), Some("result" | "error"))
            && stanza.attr("from") == Some(pair.to.as_str())
            && stanza.attr("to") == Some(pair.from.as_str())
            && stanza.attr("id").and_then(|id| id.strip_prefix(ID_PREFIX)) == Some(number.to_string().as_str());
        if is_answer {
            self.ping = None;
        }
        is_answer
    }
}
