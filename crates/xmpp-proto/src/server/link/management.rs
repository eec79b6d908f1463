//! Counting, acknowledging, and what goes on over another connection (XEP-0198).

use std::time::Instant;

use strict_xml::Element;

use super::{Link, Managed};
use crate::management::{AckStep, HandledTooHigh, Nonza};
use crate::ns;
use crate::server::{Flow, Output, Pair, Proof, Refusal, Session};
use crate::stream::{Phase, StreamCondition, StreamError};

impl Link {
    pub(in crate::server) fn has_room(&self) -> bool {
        self.managed.as_ref().is_none_or(|managed| managed.management.has_room())
    }

    pub(in crate::server) fn unsettled(&self) -> u64 {
        self.managed.as_ref().map_or(0, |managed| managed.management.unhandled())
    }

    /// What both ends do about management; the rest is given back.
    pub(in crate::server) fn handle_nonza(&mut self, nonza: Nonza, now: Instant) -> Option<Nonza> {
        match (&mut self.managed, nonza) {
            (Some(managed), Nonza::Request) => {
                managed.management.handle_request(now);
                None
            }
            (Some(_), Nonza::Ack { h }) => {
                self.handle_ack(h, now);
                None
            }
            (Some(_) | None, other) => Some(other),
        }
    }

    /// Takes the peer's count; false when that ended the stream.
    pub(in crate::server) fn handle_ack(&mut self, h: u32, now: Instant) -> bool {
        let Some(managed) = &mut self.managed else { return true };
        let taken = managed.management.handle_ack(h, now).map(|tokens| self.events.extend(tokens.map(Output::Acked)));
        if let Err(error) = taken {
            self.wire.refuse(too_high(error), now);
            return false;
        }
        if self.ask_again_at().is_some_and(|at| at <= now) {
            self.request_ack(true, now);
        }
        true
    }

    pub(in crate::server) fn handle_settled(&mut self, number: u64, now: Instant) {
        if let Some(managed) = &mut self.managed {
            managed.management.handle_settled(number);
            self.acknowledge(now);
        }
    }

    /// Answers the peer's request for acknowledgement, if that is due.
    pub(in crate::server) fn acknowledge(&mut self, now: Instant) {
        while self.wire.phase() == Phase::Open
            && let Some(step) = self.managed.as_mut().and_then(|managed| managed.management.poll_ack(now))
        {
            match step {
                AckStep::Acknowledge(h) => self.send_nonza(&Nonza::Ack { h }, now),
                AckStep::Settle => self.events.push_back(Output::Settle),
            }
        }
    }

    pub(in crate::server) fn request_ack(&mut self, is_probe: bool, now: Instant) {
        let managed = self.managed.as_mut().filter(|_| self.wire.phase() == Phase::Open);
        if managed.is_some_and(|managed| managed.management.poll_request(is_probe, now)) {
            self.send_nonza(&Nonza::Request, now);
        }
    }

    /// Whether the peer's certificate proves all those again whom a certificate proved to the session: what was meant for them
    /// is for nobody whom dialback alone proves.
    pub(in crate::server) fn may_go_on(&self, session: &Session) -> bool {
        let by_certificate = |by| matches!(by, Proof::External | Proof::Certificate);
        session.sending.iter().all(|(pair, by)| !by_certificate(by) || self.certified(&pair.to))
    }

    /// Goes on with a session, once the peer has consented: `h` is its count.
    pub(in crate::server) fn adopt(&mut self, session: Session, h: u32, now: Instant) {
        self.bidi = session.bidi;
        let (sending, receiving) = (session.sending, session.receiving);
        let id = session.id;
        self.events.push_back(Output::Resumed { id: id.clone() });
        self.managed = Some(Managed { management: session.management, id: Some(id), resume_for: session.resume_for });
        for (pairs, flow) in [(&sending, Flow::Sending), (&receiving, Flow::Receiving)] {
            for (pair, by) in pairs.iter().filter(|(pair, _)| !self.pairs(flow).is_proven(pair)).collect::<Vec<_>>() {
                self.prove(flow, pair, by);
            }
        }
        // XEP-0198 §5: first what the peer has, then what it lacks.
        if self.handle_ack(h, now)
            && let Some(managed) = &mut self.managed
        {
            for octets in managed.management.resend() {
                self.wire.send_raw(octets, now);
            }
        }
    }

    /// What can go on over another connection: a broken stream's state, or a living one's, which then ends.
    pub(in crate::server) fn take_session(&mut self, pair: &Pair, is_initiator: bool, now: Instant) -> Option<Session> {
        if !self.is_resumable() {
            return None;
        }
        // XEP-0198 §5: the connection that was replaced is told.
        self.wire.refuse(StreamCondition::Conflict.into(), now);
        let Managed { mut management, id, resume_for } = self.managed.take()?;
        management.pause();
        Some(Session {
            id: id?,
            pair: pair.clone(),
            is_initiator,
            sending: std::mem::take(&mut self.sending),
            receiving: std::mem::take(&mut self.receiving),
            bidi: self.bidi,
            management,
            resume_for,
            broken_at: now,
        })
    }

    /// Whether the stream lives, or ended without any end having ended it.
    fn is_resumable(&self) -> bool {
        let is_named = self.managed.as_ref().is_some_and(|managed| managed.id.is_some());
        let is_unfinished = match self.wire.phase() {
            Phase::Opening | Phase::Open => true,
            // XEP-0198 §7: a stream that was closed is finished.
            Phase::Closing => false,
            Phase::Closed => self.wire.is_broken(),
        };
        is_named && is_unfinished
    }

    /// The stream is over: what waits for the peer waits in vain.
    pub(in crate::server) fn tell_lost(&mut self) {
        let pairs = self.sending.take_pending();
        self.events.extend(pairs.map(|pair| Output::Refused { pair, reason: Refusal::Ended }));
        if !self.is_resumable()
            && let Some(managed) = self.managed.take()
        {
            self.events.extend(managed.management.unacked().map(Output::Lost));
        }
    }
}

fn too_high(error: HandledTooHigh) -> StreamError {
    // XEP-0198 §6.
    let detail = Element::new("handled-count-too-high", ns::MANAGEMENT)
        .with_attr("h", error.h.to_string())
        .with_attr("send-count", error.sent.to_string());
    StreamError::new(StreamCondition::UndefinedCondition).with_application(detail)
}
