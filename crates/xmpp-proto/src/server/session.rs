//! A stream that outlives its connection.

use std::time::{Duration, Instant};

use strict_xml::SharedStr;

use super::pairs::{Pair, Pairs};
use crate::management::{Management, Token};

/// What is left of a managed stream when its connection breaks, to be resumed over another (XEP-0198 §5).
///
/// Kept by the caller until [`deadline`](Self::deadline); then what is [`unacked`](Self::unacked) is lost.
#[derive(Debug)]
pub struct Session {
    pub(super) id: SharedStr,
    pub(super) pair: Pair,
    pub(super) is_initiator: bool,
    pub(super) sending: Pairs,
    pub(super) receiving: Pairs,
    pub(super) bidi: bool,
    pub(super) management: Management,
    pub(super) resume_for: Duration,
    pub(super) broken_at: Instant,
}

impl Session {
    /// The session's name, given by the receiving server.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pair that must be proven again to resume: initiator's domain and receiver's.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Until when it may be resumed.
    pub fn deadline(&self) -> Instant {
        self.broken_at + self.resume_for
    }

    /// The fate of a stanza that came before the break is ours: the peer need not send it again.
    pub fn handle_settled(&mut self, number: u64) {
        self.management.handle_settled(number);
    }

    /// Stanzas sent and not acknowledged, in order.
    pub fn unacked(&self) -> impl Iterator<Item = Token> {
        self.management.unacked()
    }
}
