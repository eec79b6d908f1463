//! Stream management (XEP-0198): counting, acknowledging, repeating; the streams that use it are in
//! [`server`](crate::server).

mod nonza; // XEP-0198 §3-§6

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use crate::barrier::Token;
pub use nonza::{MalformedNonza, Nonza};

/// Times and bounds of stream management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagementConfig {
    /// How long a broken stream may be resumed; none offers and asks no resumption.
    pub resume_for: Option<Duration>,
    /// How long a request for acknowledgement waits for stanzas to be settled.
    pub ack_delay: Duration,
    /// Stanzas sent and not acknowledged.
    pub max_unacked: usize,
    /// Octets of these.
    pub max_unacked_octets: usize,
}

impl ManagementConfig {
    /// Longer than a restart or a change of routes, shorter than the patience of people.
    pub const RESUME_FOR: Duration = Duration::from_secs(300);
    /// DESIGN A5: what is not settled by then is committed and acknowledged.
    pub const ACK_DELAY: Duration = Duration::from_millis(50);
    /// As many as wait for barriers on other links: two seconds' worth at 16,000 a second.
    pub const MAX_UNACKED: usize = crate::barrier::MAX_UNPROVEN;
    /// What one peer that never acknowledges may cost.
    pub const MAX_UNACKED_OCTETS: usize = 32 << 20;
}

impl Default for ManagementConfig {
    fn default() -> Self {
        Self {
            resume_for: Some(Self::RESUME_FOR),
            ack_delay: Self::ACK_DELAY,
            max_unacked: Self::MAX_UNACKED,
            max_unacked_octets: Self::MAX_UNACKED_OCTETS,
        }
    }
}

/// So many stanzas do not wait for the answer to an earlier request.
const REQUEST_BATCH: usize = 32;

/// Some peers say what they have handled only when asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a request may go unanswered: as long as other servers wait for a connection.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// The peer acknowledges more than it was sent (XEP-0198 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{h} stanzas acknowledged, {sent} sent")]
pub struct HandledTooHigh {
    /// What the peer says.
    pub h: u32,
    /// What it should be at most.
    pub sent: u32,
}

/// What is to be done about the peer's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckStep {
    /// Send `<a/>` with this count.
    Acknowledge(u32),
    /// Settle what is not: the peer has waited for `ack_delay`.
    Settle,
}

/// The two counters of one managed stream, over all connections that carry it.
///
/// Performs no I/O and reads no clock; the stream that owns it writes the elements.
#[derive(Debug)]
pub struct Management {
    config: ManagementConfig,
    /// Stanzas sent, and how many of them are acknowledged.
    sent: u64,
    acked: u64,
    queue: VecDeque<Unacked>,
    queued_octets: usize,
    /// When `<r/>` was sent, and what it covers.
    requested: Option<Requested>,
    /// When to ask about what the peer's answer left open.
    ask_at: Option<Instant>,
    /// Stanzas received, and how many of them are handled without gap.
    received: u64,
    handled: u64,
    /// Settled beyond the first that is not.
    settled: BTreeSet<u64>,
    /// Stanzas received before the connection broke: those up to here come again, and are known by their numbers.
    known: u64,
    owed: Option<Owed>,
}

#[derive(Debug)]
struct Unacked {
    token: Option<Token>,
    octets: Bytes,
}

#[derive(Debug, Clone, Copy)]
struct Requested {
    covers: u64,
    at: Instant,
}

/// An answer that the peer waits for.
#[derive(Debug, Clone, Copy)]
struct Owed {
    covers: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Until then everything may become settled by itself.
    Patient(Instant),
    /// The caller was asked to settle; at this time the answer falls short.
    Asked(Instant),
    /// Answered short: the rest follows unasked.
    Short,
}

impl Management {
    /// Both counters at zero (XEP-0198 §4).
    pub fn new(config: ManagementConfig) -> Self {
        Self {
            config,
            sent: 0,
            acked: 0,
            queue: VecDeque::new(),
            queued_octets: 0,
            requested: None,
            ask_at: None,
            received: 0,
            handled: 0,
            settled: BTreeSet::new(),
            known: 0,
            owed: None,
        }
    }

    /// Whether one more stanza may be sent.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.config.max_unacked && self.queued_octets < self.config.max_unacked_octets
    }

    /// Stanzas that are sent and not acknowledged, in order.
    pub fn unacked(&self) -> impl Iterator<Item = Token> {
        self.queue.iter().filter_map(|stanza| stanza.token)
    }

    /// Whether everything sent is acknowledged and everything received is handled.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.unhandled() == 0
    }

    /// Stanzas received and not handled.
    pub fn unhandled(&self) -> u64 {
        self.received.saturating_sub(self.handled)
    }

    /// XEP-0198 §4: what `<a/>` says; never more than came over this connection or was said when it took the stream over.
    pub fn h(&self) -> u32 {
        modulo(self.handled.min(self.received))
    }

    /// XEP-0198 §5: what `<resume/>` and `<resumed/>` say. What the peer sends next has the number behind it.
    pub fn handle_resuming(&mut self) -> u32 {
        self.received = self.handled;
        self.h()
    }

    /// Takes note of a stanza received; returns its number, for [`handle_settled`](Self::handle_settled).
    pub fn handle_received(&mut self) -> u64 {
        self.received += 1;
        self.received
    }

    /// Whether the stanza of this number was received before the connection broke, so that this is its repeat.
    pub fn is_known(&self, number: u64) -> bool {
        number <= self.known
    }

    /// A stanza's fate is ours: it was delivered, refused with an error, or is kept durably. In any order, and while the
    /// stream waits to be resumed, too.
    pub fn handle_settled(&mut self, number: u64) {
        if number <= self.handled || number > self.received.max(self.known) {
            return;
        }
        self.settled.insert(number);
        while self.settled.remove(&(self.handled + 1)) {
            self.handled += 1;
        }
    }

    /// The peer sent `<r/>`.
    pub fn handle_request(&mut self, now: Instant) {
        let stage = match self.owed.map(|owed| owed.stage) {
            Some(stage @ (Stage::Patient(_) | Stage::Asked(_))) => stage,
            Some(Stage::Short) | None => Stage::Patient(now + self.config.ack_delay),
        };
        self.owed = Some(Owed { covers: self.received, stage });
    }

    /// The peer says how many stanzas it has handled; yields those that this settles.
    pub fn handle_ack(&mut self, h: u32, now: Instant) -> Result<impl Iterator<Item = Token>, HandledTooHigh> {
        // XEP-0198 §4: counted modulo 2^32.
        let count = u64::from(h.wrapping_sub(modulo(self.acked)));
        if count > self.sent - self.acked {
            return Err(HandledTooHigh { h, sent: modulo(self.sent) });
        }
        self.acked += count;
        // What went out behind the request is asked about at once; an answer that falls short shows that the peer lives.
        let is_short = self.requested.take().is_none_or(|requested| requested.covers > self.acked);
        let ask_at = if is_short { now + ASK_AGAIN } else { now };
        self.ask_at = (self.acked < self.sent).then_some(ask_at);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.queue.len());
        self.queued_octets -= self.queue.iter().take(count).map(|stanza| stanza.octets.len()).sum::<usize>();
        Ok(self.queue.drain(..count).filter_map(|stanza| stanza.token))
    }

    /// Keeps a stanza that is sent until it is acknowledged; ask [`has_room`](Self::has_room) before.
    pub fn sent(&mut self, token: Option<Token>, octets: Bytes) {
        self.sent += 1;
        self.queued_octets += octets.len();
        self.queue.push_back(Unacked { token, octets });
    }

    /// The connection is gone: nobody waits for an answer, and the peer repeats what is not settled, under the numbers it
    /// had.
    pub fn pause(&mut self) {
        self.requested = None;
        self.ask_at = None;
        self.owed = None;
        self.known = self.known.max(self.received);
    }

    /// The stream goes on over a new connection: yields what is to be sent again, in order.
    pub fn resend(&self) -> impl Iterator<Item = &Bytes> {
        self.queue.iter().map(|stanza| &stanza.octets)
    }

    /// Whether to send `<r/>` behind what was sent; `is_probe` asks even when nothing is open.
    pub fn poll_request(&mut self, is_probe: bool, now: Instant) -> bool {
        let open = match self.requested {
            None => self.sent > self.acked || is_probe,
            Some(requested) => self.sent - requested.covers >= REQUEST_BATCH as u64,
        };
        if open {
            // Silence counts from the first request that is not answered.
            let at = self.requested.map_or(now, |requested| requested.at);
            self.requested = Some(Requested { covers: self.sent, at });
        }
        open
    }

    /// When to ask again about what the peer's answer left open.
    pub fn request_due(&self) -> Option<Instant> {
        self.ask_at.filter(|_| self.requested.is_none())
    }

    /// What the peer's request wants done.
    pub fn poll_ack(&mut self, now: Instant) -> Option<AckStep> {
        let owed = self.owed?;
        if self.handled >= owed.covers {
            self.owed = None;
            return Some(AckStep::Acknowledge(self.h()));
        }
        let (stage, step) = match owed.stage {
            Stage::Patient(until) if until <= now => (Stage::Asked(now + self.config.ack_delay), AckStep::Settle),
            // XEP-0198 §4: an answer is not withheld beyond a time.
            Stage::Asked(until) if until <= now => (Stage::Short, AckStep::Acknowledge(self.h())),
            Stage::Patient(_) | Stage::Asked(_) | Stage::Short => return None,
        };
        self.owed = Some(Owed { stage, ..owed });
        Some(step)
    }

    /// When [`poll_ack`](Self::poll_ack) has something without further stanzas.
    pub fn ack_due(&self) -> Option<Instant> {
        match self.owed?.stage {
            Stage::Patient(until) | Stage::Asked(until) => Some(until),
            Stage::Short => None,
        }
    }

    /// When the peer has not answered for too long.
    pub fn dead_at(&self) -> Option<Instant> {
        self.requested.map(|requested| requested.at + ACK_TIMEOUT)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the counter on the wire is the count modulo 2^32")]
const fn modulo(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
