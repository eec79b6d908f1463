//! Asking to send, asking for verdicts, and what comes back (XEP-0220 §2.1).

use std::sync::Arc;
use std::time::Instant;

use strict_xml::Element;

use super::{AuthorizeError, OutgoingStream, Purpose, State, answered_pair};
use crate::dialback::{Content, DialbackCondition, Packet, PacketKind, dialback_key};
use crate::jid::Domain;
use crate::ns;
use crate::server::{Flow, Output, Pair, Proof, Refusal, Verdict, Verification};
use crate::stream::{Phase, StreamCondition};

impl OutgoingStream {
    /// Asks to send stanzas of a further pair, by dialback; `Proven` or `Refused` tells the result.
    ///
    /// XEP-0220 §2.6: `pair.to` must resolve to the address and port that this connection goes to.
    pub fn authorize(&mut self, pair: Pair, now: Instant) -> Result<(), AuthorizeError> {
        if self.state != State::Ready || self.link.wire.phase() != Phase::Open || self.purpose != Purpose::Stanzas {
            return Err(AuthorizeError::NotOpen);
        }
        if self.link.sending.is_proven(&pair) || self.link.sending.is_pending(&pair) {
            return Ok(());
        }
        if pair.to != self.pair.to && !self.features.dialback_errors {
            return Err(AuthorizeError::NoErrors);
        }
        let policy = self.link.config.policy_for(Some(&pair.to));
        let is_clear = self.link.tls.is_none() && policy.require_tls;
        if is_clear || (!policy.dialback && !self.link.certified(&pair.to)) {
            return Err(AuthorizeError::Unproven);
        }
        if self.link.sending.is_full() {
            return Err(AuthorizeError::Full);
        }
        if self.ask(pair, now) { Ok(()) } else { Err(AuthorizeError::NoDialback) }
    }

    /// Asks the peer, as the authoritative server of `question.pair.from`, whether a key is right; `Verified` tells.
    pub fn verify(&mut self, question: Verification, now: Instant) {
        let deadline = now + self.link.config.times.dialback;
        if !self.takes_questions() || !self.questions.push(question.clone(), deadline) {
            let verdict = Verdict::Failed(DialbackCondition::RemoteServerTimeout);
            return self.link.events.push_back(Output::Verified { question, verdict });
        }
        self.ask_questions(now);
    }

    /// Sends the key of a pair, if peer and policy allow dialback.
    pub(super) fn ask(&mut self, pair: Pair, now: Instant) -> bool {
        let config = Arc::clone(&self.link.config);
        let Some(secret) = config.dialback_with(Some(&pair.to)).filter(|_| self.peer_has_dialback()) else {
            return false;
        };
        let (from, to) = (pair.from.as_str(), pair.to.as_str());
        // XEP-0220 §2.1.1.
        let key = dialback_key(secret, to, from, &self.id);
        self.link.send_packet(&Packet::ask(PacketKind::Result, from, to, None, &key), now);
        self.link.sending.await_verdict(pair, now + config.times.dialback);
        true
    }

    /// XEP-0220 §2.4: by the header's declaration or by the feature.
    fn peer_has_dialback(&self) -> bool {
        self.features.dialback_errors || self.link.wire.peer_declares(ns::DIALBACK)
    }

    pub(super) fn handle_packet(&mut self, element: &Element, now: Instant) {
        let Ok(packet) = Packet::read(element) else {
            return self.link.wire.refuse(StreamCondition::ImproperAddressing.into(), now);
        };
        match (packet.kind, &packet.content) {
            (PacketKind::Verify, Content::Key(key)) => self.link.answer_verify(&packet, key, now),
            (PacketKind::Result, Content::Key(_)) => self.answer_result(&packet, now),
            (PacketKind::Verify, content) => {
                // XEP-0220 §3.1: only what was asked here is answered here.
                if let Some(question) = self.questions.settle(&packet) {
                    self.verified(question, verdict(content), now);
                }
            }
            (PacketKind::Result, content) => {
                let Some(pair) = answered_pair(&packet).filter(|pair| self.link.sending.settle(pair)) else { return };
                match content {
                    Content::Valid => self.authorized(pair, now),
                    Content::Invalid => self.refused(pair, Refusal::Invalid, now),
                    Content::Error(condition) => self.refused(pair, Refusal::Dialback(*condition), now),
                    Content::Key(_) => {}
                }
            }
        }
    }

    /// The peer accepts our stanzas of the pair.
    fn authorized(&mut self, pair: Pair, now: Instant) {
        if self.state == State::Dialback && pair == self.pair {
            return self.manage(now);
        }
        let proof = self.proof(&pair.to);
        if self.link.bidi {
            // XEP-0288 §2.2: the inverse of any pair used in a dialback request.
            self.link.prove(Flow::Receiving, pair.inverse(), proof);
        }
        self.link.prove(Flow::Sending, pair, proof);
    }

    pub(super) fn refused(&mut self, pair: Pair, reason: Refusal, now: Instant) {
        let is_first = self.state == State::Dialback && pair == self.pair;
        self.link.events.push_back(Output::Refused { pair, reason });
        self.is_refused |= is_first;
        self.close_if_done(now);
    }

    /// The peer, as the receiver of a stream that goes both ways, wants to send for a further domain.
    // DEVIATES XEP-0288 §2.2: nothing is verified by calling back here, for the peer itself chose the id that the key
    // is for. XEP-0220 §2.5: it is asked to open a connection of its own.
    fn answer_result(&mut self, packet: &Packet, now: Instant) {
        let content = match self.judge_result(packet) {
            Ok(pair) => {
                self.link.prove(Flow::Receiving, pair, Proof::Certificate);
                Content::Valid
            }
            Err(condition) => Content::Error(condition),
        };
        self.link.send_packet(&packet.answer(content), now);
    }

    fn judge_result(&self, packet: &Packet) -> Result<Pair, DialbackCondition> {
        let config = &self.link.config;
        let to = Domain::parse(&packet.to).ok().filter(|to| config.hosts.contains(to));
        let to = to.ok_or(DialbackCondition::ItemNotFound)?;
        let from = Domain::parse(&packet.from).map_err(|_| DialbackCondition::NotAcceptable)?;
        let is_proven = self.link.bidi && self.state == State::Ready && self.link.certified(&from);
        if config.hosts.contains(&from) || !is_proven || self.link.receiving.is_full() {
            return Err(DialbackCondition::ResourceConstraint);
        }
        Ok(Pair { from, to })
    }

    /// Sends what waits for the stream to be fit for it: protected, and between negotiations.
    pub(super) fn ask_questions(&mut self, now: Instant) {
        if !matches!(self.state, State::Dialback | State::Management | State::Ready) {
            return;
        }
        if !self.peer_has_dialback() {
            let verdict = Verdict::Failed(DialbackCondition::RemoteServerNotFound);
            let unanswerable = self.questions.take();
            self.link.events.extend(unanswerable.map(|question| Output::Verified { question, verdict }));
            return self.close_if_done(now);
        }
        for packet in self.questions.unsent() {
            self.link.send_packet(&packet, now);
        }
    }

    pub(super) fn verified(&mut self, question: Verification, verdict: Verdict, now: Instant) {
        self.link.events.push_back(Output::Verified { question, verdict });
        self.close_if_done(now);
    }

    fn close_if_done(&mut self, now: Instant) {
        let is_wanted = self.purpose == Purpose::Stanzas && !self.is_refused;
        if !is_wanted && self.questions.is_empty() {
            self.link.close(now);
        }
    }
}

fn verdict(content: &Content) -> Verdict {
    match content {
        Content::Valid => Verdict::Valid,
        Content::Invalid => Verdict::Invalid,
        // XEP-0220 §2.5: any error of the authoritative server becomes this one.
        Content::Error(_) | Content::Key(_) => Verdict::Failed(DialbackCondition::RemoteServerNotFound),
    }
}
