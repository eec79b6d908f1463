//! What both ends of a stream between servers have in common.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use strict_xml::{Element, Limits, Scope, SharedStr};

use super::liveness::Liveness;
use super::pairs::{Pair, Pairs, Passage, Proof};
use super::{Flow, NotSent, Output, PeerIdentity, Security, ServerConfig, StreamFailure, UNPROVEN_BYTES};
use crate::dialback::{Content, DialbackCondition, Packet, is_dialback_key};
use crate::jid::Domain;
use crate::management::{Management, Nonza, Token};
use crate::ns;
use crate::stream::{End, LinkError, Phase, StreamCondition, StreamError, Wire, WireConfig, is_stanza_name};

mod management; // XEP-0198
mod time; // RFC 6120 §4.6

/// One end without its part of the negotiation.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) config: Arc<ServerConfig>,
    pub(super) wire: Wire,
    pub(super) events: VecDeque<Output>,
    /// Who the peer is by TLS, once that is there.
    pub(super) tls: Option<PeerIdentity>,
    /// XEP-0288: the receiver may send, too.
    pub(super) bidi: bool,
    pub(super) sending: Pairs,
    pub(super) receiving: Pairs,
    pub(super) managed: Option<Managed>,
    /// Between `StartTls` and its answer no octets are ours.
    pub(super) in_handshake: bool,
    life: Liveness,
}

/// A stream under management.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) management: Management,
    /// Its name, if it may be resumed.
    pub(super) id: Option<SharedStr>,
    pub(super) resume_for: Duration,
}

impl Link {
    pub(super) fn new(config: Arc<ServerConfig>, security: Security, now: Instant) -> Self {
        let mut declarations = Scope::new();
        if config.dialback_secret.is_some() {
            // XEP-0220 §2.4.1.
            declarations.declare("db", ns::DIALBACK);
        }
        let wire = WireConfig {
            content_ns: ns::SERVER,
            declarations,
            limits: unproven(config.limits),
            open_timeout: config.times.open,
            close_timeout: config.times.close,
        };
        let mut wire = Wire::new(wire, now);
        wire.tolerate_excess();
        let tls = match security {
            Security::Plain => None,
            Security::Tls(identity) => Some(identity),
        };
        Self {
            config,
            wire,
            events: VecDeque::new(),
            tls,
            bidi: false,
            sending: Pairs::default(),
            receiving: Pairs::default(),
            managed: None,
            in_handshake: false,
            life: Liveness::new(now),
        }
    }

    pub(super) fn pairs(&self, flow: Flow) -> &Pairs {
        match flow {
            Flow::Sending => &self.sending,
            Flow::Receiving => &self.receiving,
        }
    }

    /// Whether the peer's certificate proves the domain.
    pub(super) fn certified(&self, domain: &Domain) -> bool {
        self.tls.as_ref().is_some_and(|identity| identity.proves(domain))
    }

    pub(super) fn push(&mut self, octets: &[u8], now: Instant) {
        if !self.in_handshake {
            self.life.heard = now;
            self.wire.push(octets);
        }
    }

    /// Hands the connection to TLS. RFC 6120 §5.4.3.3: what came in clear is forgotten.
    pub(super) fn start_tls(&mut self) {
        // Octets behind the last element in clear were put there for us to take them for protected ones.
        if self.wire.buffered() > 0 {
            return self.fail(StreamFailure::Tls);
        }
        self.wire.forget();
        self.in_handshake = true;
        self.events.push_back(Output::StartTls);
    }

    pub(super) fn handle_tls(&mut self, identity: PeerIdentity, now: Instant) {
        self.in_handshake = false;
        self.life.heard = now;
        self.tls = Some(identity);
    }

    /// Takes a first-level element that is nothing but perhaps a stanza.
    pub(super) fn stanza(&mut self, element: Element, now: Instant) {
        let Some((element, number)) = self.admit(element, now) else { return };
        if !self.life.take_answer(&element) {
            self.events.push_back(Output::Stanza { element, number });
        } else if let Some(number) = number {
            self.handle_settled(number, now);
        }
    }

    /// Takes the start tag of an element that exceeds a limit.
    pub(super) fn excess(&mut self, tag: Option<Element>, now: Instant) {
        match tag {
            Some(tag) => {
                let admitted = self.admit(tag, now);
                self.events.extend(admitted.map(|(element, number)| Output::Excess { element, number }));
            }
            None => self.wire.refuse(StreamCondition::PolicyViolation.into(), now),
        }
    }

    /// Checks a stanza and counts it; what may not pass ends the stream.
    fn admit(&mut self, mut element: Element, now: Instant) -> Option<(Element, Option<u64>)> {
        let checked = self.wire.check_stanza(&mut element).and_then(|()| self.check_addresses(&element));
        if let Err(condition) = checked {
            self.wire.refuse(condition.into(), now);
            return None;
        }
        self.life.stanza = now;
        let Some(managed) = &mut self.managed else { return Some((element, None)) };
        let number = managed.management.handle_received();
        // XEP-0198 §5: what is sent again has the number that it had; it was handed out before the stream broke.
        (!managed.management.is_known(number)).then_some((element, Some(number)))
    }

    fn check_addresses(&self, stanza: &Element) -> Result<(), StreamCondition> {
        // RFC 6120 §13.12: no stanza before authentication.
        if self.receiving.is_empty() {
            return Err(StreamCondition::NotAuthorized);
        }
        // RFC 6120 §8.1.1.2, §8.1.2.2: between servers both addresses are required.
        let (Some(from), Some(to)) = (stanza.attr("from"), stanza.attr("to")) else {
            return Err(StreamCondition::ImproperAddressing);
        };
        match self.receiving.passage(Domain::part_of(from), Domain::part_of(to)) {
            Passage::Open => Ok(()),
            Passage::WrongTo => Err(StreamCondition::HostUnknown),
            Passage::WrongFrom => Err(StreamCondition::InvalidFrom),
        }
    }

    /// Answers a `<db:verify/>` as the authoritative server.
    pub(super) fn answer_verify(&mut self, question: &Packet, key: &str, now: Instant) {
        let content = self.judge_verify(question, key).unwrap_or_else(Content::Error);
        self.send_packet(&question.answer(content), now);
    }

    fn judge_verify(&self, question: &Packet, key: &str) -> Result<Content, DialbackCondition> {
        let hosted = Domain::parse(&question.to).ok().filter(|to| self.config.hosts.contains(to));
        // XEP-0220 §2.2.2: a domain that is not ours is no stream error.
        let sender = hosted.ok_or(DialbackCondition::ItemNotFound)?;
        let receiver = Domain::parse(&question.from).map_err(|_| DialbackCondition::NotAcceptable)?;
        let secret = self.config.dialback_secret.as_ref().ok_or(DialbackCondition::NotAuthorized)?;
        if self.tls.is_none() && self.config.policy_for(Some(&receiver)).require_tls {
            return Err(DialbackCondition::PolicyViolation);
        }
        let id = question.id.as_deref().unwrap_or_default();
        let is_ours = is_dialback_key(secret, receiver.as_str(), sender.as_str(), id, key);
        Ok(if is_ours { Content::Valid } else { Content::Invalid })
    }

    pub(super) fn send(&mut self, stanza: &Element, token: Option<Token>, now: Instant) -> Result<(), NotSent> {
        if self.wire.phase() != Phase::Open {
            return Err(NotSent::NotOpen);
        }
        let domain = |name| stanza.attr(name).map(Domain::part_of).unwrap_or_default();
        if self.sending.passage(domain("from"), domain("to")) != Passage::Open {
            return Err(NotSent::Unproven);
        }
        if !self.has_room() {
            return Err(NotSent::Full);
        }
        self.life.stanza = now;
        let octets = self.wire.send(stanza, now);
        if let Some(managed) = &mut self.managed {
            managed.management.sent(token, Bytes::copy_from_slice(octets));
        }
        Ok(())
    }

    pub(super) fn send_encoded(
        &mut self,
        pair: &Pair,
        octets: &[u8],
        token: Option<Token>,
        now: Instant,
    ) -> Result<(), NotSent> {
        if self.wire.phase() != Phase::Open {
            return Err(NotSent::NotOpen);
        }
        if !self.sending.is_proven(pair) {
            return Err(NotSent::Unproven);
        }
        if !self.has_room() {
            return Err(NotSent::Full);
        }
        self.life.stanza = now;
        self.wire.send_raw(octets, now);
        if let Some(managed) = &mut self.managed {
            managed.management.sent(token, Bytes::copy_from_slice(octets));
        }
        Ok(())
    }

    /// Takes an element that comes while the peer's end tag is awaited: what is on the way is not lost.
    pub(super) fn late(&mut self, element: Element, now: Instant) {
        if is_stanza_name(&element.name) {
            self.stanza(element, now);
        } else if let Ok(nonza) = Nonza::read(&element) {
            self.handle_nonza(nonza, now);
        }
    }

    /// Tells the peer what is wrong, if it can be told, and ends the stream.
    pub(super) fn refuse(&mut self, error: StreamError, now: Instant) {
        if self.in_handshake {
            self.wire.fail_once(LinkError::Refused(error));
        } else {
            self.wire.refuse(error, now);
        }
    }

    /// RFC 6120 §4.4: begins the orderly end.
    pub(super) fn close(&mut self, now: Instant) {
        if self.wire.phase() == Phase::Open
            && let Some(managed) = &self.managed
        {
            // XEP-0198 §4: what is handled is said before the end.
            let h = managed.management.h();
            self.send_nonza(&Nonza::Ack { h }, now);
        }
        // Between two streams there is none to end.
        if self.in_handshake {
            return self.wire.peer_closed();
        }
        self.wire.close(now);
    }

    /// Ends the stream for a reason that has no stream error.
    pub(super) fn fail(&mut self, failure: StreamFailure) {
        if self.wire.phase() != Phase::Closed {
            self.events.push_back(Output::Failed(failure));
            self.wire.peer_closed();
        }
    }

    /// Stanzas of the pair may flow.
    pub(super) fn prove(&mut self, flow: Flow, pair: Pair, by: Proof) {
        match flow {
            Flow::Sending => self.sending.prove(pair.clone(), by),
            Flow::Receiving => self.receiving.prove(pair.clone(), by),
        }
        self.events.push_back(Output::Proven { pair, flow, by });
    }

    pub(super) fn opened(&mut self) {
        self.wire.opened(self.config.limits);
    }

    pub(super) fn send_packet(&mut self, packet: &Packet, now: Instant) {
        self.send_with(now, |out| packet.write(out));
    }

    pub(super) fn send_nonza(&mut self, nonza: &Nonza, now: Instant) {
        self.send_with(now, |out| nonza.write(out));
    }

    /// Sends an element of the negotiation.
    pub(super) fn send_with(&mut self, now: Instant, write: impl FnOnce(&mut BytesMut)) {
        let mut octets = BytesMut::new();
        write(&mut octets);
        self.wire.send_raw(&octets, now);
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        // One request goes behind all that is written together.
        if self.wire.has_output() {
            self.request_ack(false, self.wire.last_sent());
        }
        if let Some(octets) = self.wire.poll_send() {
            return Some(Output::Send(octets));
        }
        if self.wire.phase() == Phase::Closed {
            self.tell_lost();
        }
        self.events.pop_front().or_else(|| {
            self.wire.poll_end().map(|end| match end {
                End::Failed(error) => Output::Failed(StreamFailure::Link(error)),
                End::Closed => Output::Closed,
            })
        })
    }
}

/// Bounds for a peer that has proven nothing.
pub(super) fn unproven(limits: Limits) -> Limits {
    limits.with_bytes(UNPROVEN_BYTES)
}
