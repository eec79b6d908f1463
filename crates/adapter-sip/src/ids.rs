//! The identifiers of a request this gateway sends: a pure function of the message.
//!
//! A message that is sent twice, as after a crash, carries the same Call-ID, From tag, CSeq and branch, by which the far
//! side can tell the copy (DESIGN A5). No two messages have the same ones at the same time: clients use ids again, and the
//! far side would take the second message for a copy of the first.

use impp_model::{DispositionOperation, MessageId, MessageOperation, TransId, hex};
use sha2::{Digest, Sha256};
use sip_proto::header::MAGIC_COOKIE;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::time::{Duration, Instant};

/// What distinguishes one request from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    seed: [u8; 32],
}

/// Separates these hashes from all others that are made of the same text.
const DOMAIN: &[u8] = b"interlingua sip request 1";

/// The first sequence number: each MESSAGE outside a dialog has its own From tag (RFC 3261 §8.1.1.5).
pub const CSEQ: u32 = 1;

impl RequestIds {
    /// Those of a message, the same however often they are made; each edition has others.
    pub fn of_message(operation: &MessageOperation, edition: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(edition.to_be_bytes());
        let (source, inbox, message) = (&operation.source, &operation.destination.address, &operation.message);
        let device = source.device.as_ref().map_or("", |device| device.as_str());
        let subject = message.subjects.first().map_or("", |subject| subject.text.as_str());
        let ends =
            [source.address.local(), source.address.domain().as_str(), device, inbox.local(), inbox.domain().as_str()];
        let id = operation.carried_id();
        for field in ends.iter().chain(&[&id, subject]).map(|field| field.as_bytes()).chain([&*message.content.octets])
        {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        Self { seed: hash.finalize().into() }
    }

    /// Those of a request that is no message and is sent once; `random` must be.
    pub fn random(random: [u8; 32]) -> Self {
        Self { seed: random }
    }

    /// Others for a message whose own are in use by an earlier one of the same id and text.
    fn of_transaction(&self, trans_id: &TransId) -> Self {
        let hash = Sha256::new_with_prefix(TWIN_DOMAIN).chain_update(self.seed).chain_update(trans_id.as_str());
        Self { seed: hash.finalize().into() }
    }

    /// Those of a request about a message: the same for the same report, so that its copy can be told.
    pub fn of_word(word: &DispositionOperation) -> Self {
        let (source, destination) = (&word.source.address, &word.destination.address);
        let id = word.message_id.as_ref().map_or("", MessageId::as_str);
        let fields = [source.local(), source.domain().as_str(), destination.local(), destination.domain().as_str(), id];
        Self::of_fields(&fields, word.disposition.label())
    }

    /// Those of a request that no other is a copy of; `random` must be.
    pub fn of_status(random: u128) -> Self {
        Self::of_fields(&[&format!("{random:032x}")], "status")
    }

    fn of_fields(fields: &[&str], kind: &str) -> Self {
        let mut hash = Sha256::new_with_prefix(SIGNAL_DOMAIN);
        for field in fields.iter().chain(&[kind]) {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        Self { seed: hash.finalize().into() }
    }

    /// RFC 3261 §19.3: 64 bits, enough to be unique beside the Call-ID.
    pub fn from_tag(&self) -> String {
        hex(self.seed.get(..8).unwrap_or_default())
    }

    /// RFC 3261 §8.1.1.4: a Call-ID for a message that belongs to no conversation.
    pub fn call_id(&self) -> String {
        hex(self.seed.get(8..24).unwrap_or_default())
    }

    /// RFC 3261 §8.1.1.7: the branch of the try at the `attempt`th server, counted from 0.
    pub fn branch(&self, attempt: u32) -> String {
        let hash =
            Sha256::new().chain_update(BRANCH_DOMAIN).chain_update(self.seed).chain_update(attempt.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        [MAGIC_COOKIE, &hex(digest.get(..16).unwrap_or_default())].concat()
    }
}

const SIGNAL_DOMAIN: &[u8] = b"interlingua sip signal 1";
const TWIN_DOMAIN: &[u8] = b"interlingua sip twin 1";
const BRANCH_DOMAIN: &[u8] = b"interlingua sip branch 1";

/// The identifiers this process has used lately, and for which transaction of the near side.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    used: HashMap<[u8; 32], TransId>,
    order: VecDeque<(Instant, [u8; 32])>,
    /// Those that a server has refused though it may have sent them on, and until when it remembers that.
    refused: HashMap<[u8; 32], Instant>,
    refusals: VecDeque<(Instant, [u8; 32])>,
}

/// RFC 3261 §17.2.2, Timer J, counted from the last retransmission: how long the far side remembers a request.
const REMEMBERED: Duration = Duration::from_secs(64);

/// Entries kept: 4,000 messages a second for that long.
const MAX_RECENT: usize = 262_144;

impl Recent {
    /// The identifiers for a message: the same for a repeat of it, others for another message of the same id and text.
    pub(crate) fn ids(&mut self, operation: &MessageOperation, edition: u32, now: Instant) -> RequestIds {
        while self.order.len() >= MAX_RECENT || self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, seed)) = self.order.pop_front() {
                self.used.remove(&seed);
            }
        }
        let ids = RequestIds::of_message(operation, edition);
        match self.used.entry(ids.seed) {
            Entry::Occupied(user) if *user.get() != operation.trans_id => ids.of_transaction(&operation.trans_id),
            Entry::Occupied(_) => ids,
            Entry::Vacant(place) => {
                place.insert(operation.trans_id.clone());
                self.order.push_back((now + REMEMBERED, ids.seed));
                ids
            }
        }
    }

    /// A server has refused these, and may have sent them on.
    pub(crate) fn note_refused(&mut self, ids: &RequestIds, now: Instant) {
        while self.refusals.len() >= MAX_RECENT || self.refusals.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((until, seed)) = self.refusals.pop_front()
                && self.refused.get(&seed) == Some(&until)
            {
                self.refused.remove(&seed);
            }
        }
        self.refused.insert(ids.seed, now + REMEMBERED);
        self.refusals.push_back((now + REMEMBERED, ids.seed));
    }

    /// Whether a server that knows these may know them from a try that it has refused.
    pub(crate) fn is_refused(&self, ids: &RequestIds, now: Instant) -> bool {
        self.refused.get(&ids.seed).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Content, Endpoint, InstantMessage, MaxForwards};

    fn message(from: &str, id: &str, text: &str) -> MessageOperation {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        let mut message = InstantMessage::new(Content::text(text));
        message.id = Some(id.into());
        let (source, destination) = (end(from), end("juliet@example.com"));
        MessageOperation { source, destination, max_forwards: MaxForwards(70), trans_id: "t".into(), message }
    }

    // checks: SIP-007, SIP-044, IM-007
    #[test]
    fn the_same_message_always_has_the_same_ids_and_another_has_others() {
        let first = RequestIds::of_message(&message("romeo@example.net", "a b;c", "hi"), 0);
        assert_eq!(first, RequestIds::of_message(&message("romeo@example.net", "a b;c", "hi"), 0));
        assert_ne!(first, RequestIds::of_message(&message("romeo@example.net", "a b;d", "hi"), 0));
        assert_ne!(first, RequestIds::of_message(&message("paris@example.net", "a b;c", "hi"), 0));
        assert_ne!(first, RequestIds::of_message(&message("romeo@example.net", "a b;c", "ho"), 0));
        assert_eq!((first.from_tag().len(), first.call_id().len(), first.branch(0).len()), (16, 32, 39));
        assert!(first.branch(0).starts_with("z9hG4bK") && first.branch(0) != first.branch(1));
    }

    // checks: SIP-007, IM-009
    #[test]
    fn an_id_used_again_gives_other_identifiers_while_the_far_side_remembers() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let operation = message("romeo@example.net", "1", "hi");
        let twin = MessageOperation { trans_id: "u".into(), ..operation.clone() };
        let (first, half) = (recent.ids(&operation, 0, now), now + REMEMBERED / 2);
        assert_eq!(first, RequestIds::of_message(&operation, 0));
        let other = recent.ids(&twin, 0, half);
        assert_ne!(other, first);
        // What was answered and is sent anew must not look like a copy.
        assert_ne!(recent.ids(&operation, 1, half), first);
        // Whatever the try, and whether or not the one before it arrived.
        assert_eq!((recent.ids(&operation, 0, half), recent.ids(&twin, 0, half)), (first.clone(), other));
        assert_eq!(recent.ids(&twin, 0, now + REMEMBERED), first);
        assert_eq!(recent.order.len(), recent.used.len());
    }

    // checks: SIP-007
    #[test]
    fn a_message_without_an_id_has_those_of_its_transaction() {
        let nameless = |trans_id: &str| {
            let mut operation = message("romeo@example.net", "1", "hi");
            (operation.message.id, operation.trans_id) = (None, trans_id.into());
            RequestIds::of_message(&operation, 0)
        };
        assert_eq!(nameless("z9hG4bK1"), nameless("z9hG4bK1"));
        assert_ne!(nameless("z9hG4bK1"), nameless("z9hG4bK2"));
    }
}
