//! Keys that the peer is asked to verify.

use std::collections::VecDeque;
use std::time::Instant;

use super::answered_pair;
use crate::dialback::{Packet, PacketKind};
use crate::server::{MAX_PAIRS, Verification};

/// Questions without answer, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Questions(VecDeque<Question>);

#[derive(Debug)]
struct Question {
    verification: Verification,
    deadline: Instant,
    is_sent: bool,
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a question, unless there are too many.
    pub(super) fn push(&mut self, verification: Verification, deadline: Instant) -> bool {
        let has_room = self.0.len() < MAX_PAIRS;
        if has_room {
            self.0.push_back(Question { verification, deadline, is_sent: false });
        }
        has_room
    }

    /// The packets to send for questions that are not asked yet.
    pub(super) fn unsent(&mut self) -> impl Iterator<Item = Packet> {
        self.0.iter_mut().filter(|question| !question.is_sent).map(|question| {
            question.is_sent = true;
            let Verification { pair, id, key } = &question.verification;
            // XEP-0220 §2.1.2: from the domain that was called, to the one that called.
            Packet::ask(PacketKind::Verify, pair.to.as_str(), pair.from.as_str(), Some(id), key)
        })
    }

    /// Takes out the question that was asked and that this packet answers, by both domains and id.
    pub(super) fn settle(&mut self, answer: &Packet) -> Option<Verification> {
        let pair = answered_pair(answer)?.inverse();
        let id = answer.id.as_deref()?;
        let at = self.0.iter().position(|question| {
            question.is_sent && question.verification.pair == pair && question.verification.id.as_str() == id
        })?;
        self.0.remove(at).map(|question| question.verification)
    }

    pub(super) fn overdue(&mut self, now: Instant) -> Option<Verification> {
        self.0.pop_front_if(|question| question.deadline <= now).map(|question| question.verification)
    }

    /// Takes out all.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Verification> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|question| question.verification)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.front().map(|question| question.deadline)
    }
}
