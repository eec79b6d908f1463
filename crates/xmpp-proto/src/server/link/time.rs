//! Timeouts: dead peers, idle streams, signs of life (RFC 6120 §4.6).

use std::time::Instant;

use super::Link;
use crate::server::Pair;
use crate::stream::{Phase, StreamCondition};

impl Link {
    /// Does what is due, apart from the negotiation.
    pub(in crate::server) fn handle_timeout(&mut self, now: Instant) {
        self.wire.handle_timeout(now);
        if self.wire.phase() != Phase::Open {
            return;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.dead_at()) {
            // RFC 6120 §4.6.2, §4.9.3.4.
            return self.wire.refuse(StreamCondition::ConnectionTimeout.into(), now);
        }
        if is_due(self.idle_at()) {
            return self.close(now);
        }
        if is_due(self.keepalive_at()) {
            self.probe(now);
        }
        if is_due(self.ask_again_at()) {
            self.request_ack(true, now);
        }
        self.acknowledge(now);
    }

    pub(in crate::server) fn poll_timeout(&self) -> Option<Instant> {
        let open = (self.wire.phase() == Phase::Open).then(|| {
            let ack = self.managed.as_ref().and_then(|managed| managed.management.ack_due());
            [self.dead_at(), self.idle_at(), self.keepalive_at(), self.ask_again_at(), ack]
        });
        let verdicts = [self.sending.next_deadline(), self.receiving.next_deadline()];
        let verdicts = verdicts.into_iter().filter(|_| self.wire.phase() != Phase::Closed);
        verdicts.chain(open.into_iter().flatten()).chain([self.wire.deadline()]).flatten().min()
    }

    fn dead_at(&self) -> Option<Instant> {
        match &self.managed {
            Some(managed) => managed.management.dead_at(),
            None => self.life.pinged_at().map(|at| at + self.config.times.answer),
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        let is_idle = self.sending.pending() == 0
            && self.receiving.pending() == 0
            && self.managed.as_ref().is_none_or(|managed| managed.management.is_idle());
        self.config.times.idle.filter(|_| is_idle).map(|idle| self.life.stanza + idle)
    }

    pub(in crate::server) fn ask_again_at(&self) -> Option<Instant> {
        self.managed.as_ref().and_then(|managed| managed.management.request_due())
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let keepalive = self.config.times.keepalive?;
        if self.is_answered() {
            let is_asked = self.dead_at().is_some();
            (!is_asked).then(|| self.life.heard + keepalive)
        } else {
            Some(self.wire.last_sent() + keepalive)
        }
    }

    /// Whether the peer's answers come by this stream.
    fn is_answered(&self) -> bool {
        self.managed.is_some() || self.ping_pair().is_some()
    }

    /// A pair that is proven both ways.
    fn ping_pair(&self) -> Option<Pair> {
        if self.receiving.is_empty() {
            return None;
        }
        self.sending.iter().map(|(pair, _)| pair).find(|pair| self.receiving.is_proven(&pair.inverse()))
    }

    /// Asks the peer for a sign of life, in a way that it answers on this stream, or shows it one.
    fn probe(&mut self, now: Instant) {
        if self.managed.is_some() {
            self.request_ack(true, now);
        } else if let Some(pair) = self.ping_pair() {
            let ping = self.life.ping(pair, now);
            self.wire.send(&ping, now);
        } else {
            // RFC 6120 §4.6.1: white space between stanzas.
            self.wire.send_raw(b" ", now);
        }
    }
}
