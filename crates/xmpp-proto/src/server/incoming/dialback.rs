//! Keys, their verdicts, and questions to the authoritative server (XEP-0220 §2.2).

use std::time::Instant;

use strict_xml::{Element, SharedStr};

use super::IncomingStream;
use crate::dialback::{Content, DialbackCondition, Packet, PacketKind};
use crate::jid::Domain;
use crate::server::{MAX_KEY_BYTES, MAX_PENDING, Output, Pair, Proof, Verdict, Verification};
use crate::stream::StreamCondition;

impl IncomingStream {
    /// The authoritative server has judged a key of this stream; a verdict that nobody waits for is dropped.
    pub fn handle_verdict(&mut self, pair: &Pair, verdict: Verdict, now: Instant) {
        if self.is_closed() || !self.link.receiving.settle(pair) {
            return;
        }
        let is_first = self.link.receiving.is_empty() && self.link.receiving.pending() == 0;
        let content = match verdict {
            Verdict::Valid => Content::Valid,
            // XEP-0220 §2.2.1: a stream that carries others is spared.
            Verdict::Invalid if is_first => Content::Invalid,
            Verdict::Invalid => Content::Error(DialbackCondition::Forbidden),
            Verdict::Failed(condition) => Content::Error(condition),
        };
        let ends = content == Content::Invalid;
        let is_valid = content == Content::Valid;
        self.answer_result(pair, content, now);
        if is_valid {
            self.prove(pair.clone(), Proof::Dialback);
        }
        if ends {
            self.link.close(now);
        }
    }

    pub(super) fn handle_packet(&mut self, element: &Element, now: Instant) {
        let Ok(packet) = Packet::read(element) else {
            return self.link.wire.refuse(StreamCondition::ImproperAddressing.into(), now);
        };
        match (packet.kind, &packet.content) {
            (PacketKind::Result, Content::Key(key)) => self.handle_key(&packet, key, now),
            (PacketKind::Verify, Content::Key(key)) => self.link.answer_verify(&packet, key, now),
            // XEP-0220 §3.1: nothing was asked on this stream (XEP-0288 §2.2: keys least of all), so nothing is answered.
            (PacketKind::Result | PacketKind::Verify, _) => {}
        }
    }

    fn handle_key(&mut self, packet: &Packet, key: &SharedStr, now: Instant) {
        match self.judge_key(packet, key) {
            Ok(Judged::Proven(pair)) => {
                self.link.send_packet(&packet.answer(Content::Valid), now);
                if !self.link.receiving.is_proven(&pair) {
                    self.prove(pair, Proof::Certificate);
                }
            }
            Ok(Judged::Pending) => {}
            Ok(Judged::Ask(pair)) => {
                self.link.receiving.await_verdict(pair.clone(), now + self.link.config.times.dialback);
                let question = Verification { pair, id: self.id.clone(), key: key.clone() };
                self.link.events.push_back(Output::Verify(question));
            }
            Err(condition) => self.link.send_packet(&packet.answer(Content::Error(condition)), now),
        }
    }

    fn judge_key(&self, packet: &Packet, key: &str) -> Result<Judged, DialbackCondition> {
        let config = &self.link.config;
        // XEP-0220 §2.2.1: a domain that is not ours is no stream error.
        let to = Domain::parse(&packet.to).ok().filter(|to| config.hosts.contains(to));
        let to = to.ok_or(DialbackCondition::ItemNotFound)?;
        let from = Domain::parse(&packet.from).map_err(|_| DialbackCondition::NotAcceptable)?;
        if config.hosts.contains(&from) || key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(DialbackCondition::NotAcceptable);
        }
        if self.link.tls.is_none() && config.policy_for(Some(&from)).require_tls {
            return Err(DialbackCondition::PolicyViolation);
        }
        let is_certified = self.link.certified(&from);
        let has_dialback = config.dialback_with(Some(&from)).is_some();
        let pair = Pair { from, to };
        if self.link.receiving.is_proven(&pair) {
            return Ok(Judged::Proven(pair));
        }
        if self.link.receiving.is_pending(&pair) {
            return Ok(Judged::Pending);
        }
        if self.link.receiving.is_full() {
            return Err(DialbackCondition::ResourceConstraint);
        }
        match (is_certified, has_dialback) {
            // XEP-0344 §2: what the certificate proves needs no calling back.
            (true, _) => Ok(Judged::Proven(pair)),
            (false, true) if self.link.receiving.pending() >= MAX_PENDING => Err(DialbackCondition::ResourceConstraint),
            (false, true) => Ok(Judged::Ask(pair)),
            (false, false) => Err(DialbackCondition::NotAuthorized),
        }
    }

    pub(super) fn answer_result(&mut self, pair: &Pair, content: Content, now: Instant) {
        let question = Packet::ask(PacketKind::Result, pair.from.as_str(), pair.to.as_str(), None, "");
        self.link.send_packet(&question.answer(content), now);
    }
}

/// What is to be done about a key.
enum Judged {
    /// The pair is proven without it.
    Proven(Pair),
    /// It is being verified.
    Pending,
    /// Its server is to be asked.
    Ask(Pair),
}
