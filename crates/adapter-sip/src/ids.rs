//! The identifiers of a request this gateway sends: a pure function of the message, where its sender gave it an id.
//!
//! A message that a crash makes us send twice then carries the same Call-ID, From tag, CSeq and branch, by which the far
//! side can tell the copy (DESIGN A5). Within one life of the process no two requests have the same ones: clients use ids
//! again, and the far side would take the second message for a copy of the first.

use adapter_api::TraceId;
use impp_model::{DispositionOperation, MessageId, MessageOperation};
use sha2::{Digest, Sha256};
use std::collections::{HashSet, VecDeque};
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
    /// Those of a message whose sender calls it `id`, the same however often they are made; each edition has others.
    pub fn of_message(operation: &MessageOperation, id: &MessageId, edition: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        let (source, inbox, message) = (&operation.source, &operation.destination.address, &operation.message);
        let device = source.device.as_ref().map_or("", |device| device.as_str());
        let subject = message.subjects.first().map_or("", |subject| subject.text.as_str());
        let ends =
            [source.address.local(), source.address.domain().as_str(), device, inbox.local(), inbox.domain().as_str()];
        for field in
            ends.iter().chain(&[id.as_str(), subject]).map(|field| field.as_bytes()).chain([&*message.content.octets])
        {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        if edition > 0 {
            hash.update(edition.to_be_bytes());
        }
        Self { seed: hash.finalize().into() }
    }

    /// Those of a message whose sender named none; `random` must be.
    pub fn random(random: [u8; 32]) -> Self {
        Self { seed: random }
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
        let mut branch = String::with_capacity(7 + 32);
        branch.push_str("z9hG4bK");
        push_hex(&mut branch, digest.get(..16).unwrap_or_default());
        branch
    }
}

const SIGNAL_DOMAIN: &[u8] = b"interlingua sip signal 1";
const BRANCH_DOMAIN: &[u8] = b"interlingua sip branch 1";

/// The identifiers this process has used lately.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    used: HashSet<[u8; 32]>,
    order: VecDeque<(Instant, [u8; 32])>,
}

/// Which try of a message it is, as the hub says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    pub(crate) trace: TraceId,
    pub(crate) repeat: bool,
    pub(crate) edition: u32,
}

/// RFC 3261 §17.2.2, Timer J, counted from the last retransmission: how long the far side remembers a request.
const REMEMBERED: Duration = Duration::from_secs(64);

/// Entries kept: 4,000 messages with an id a second for that long.
const MAX_RECENT: usize = 262_144;

impl Recent {
    /// The identifiers for a delivery: those of its message's id, or of its trace where there is none, unless another message
    /// had them a moment ago. A repeat has those of the try that may have arrived.
    pub(crate) fn ids(&mut self, operation: &MessageOperation, of: Try, now: Instant) -> RequestIds {
        let fresh = || RequestIds::random(rand::random());
        let Try { trace, repeat, edition } = of;
        let id = operation.message.id.clone().unwrap_or_else(|| MessageId::from(format!("trace {trace}").as_str()));
        let ids = RequestIds::of_message(operation, &id, edition);
        while self.order.len() >= MAX_RECENT || self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, seed)) = self.order.pop_front() {
                self.used.remove(&seed);
            }
        }
        if !self.used.insert(ids.seed) {
            return if repeat { ids } else { fresh() };
        }
        self.order.push_back((now + REMEMBERED, ids.seed));
        ids
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    push_hex(&mut text, octets);
    text
}

fn push_hex(text: &mut String, octets: &[u8]) {
    for octet in octets {
        for nibble in [octet >> 4, octet & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Content, Endpoint, InstantMessage, MaxForwards};

    fn message(from: &str, id: &str, text: &str) -> MessageOperation {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        let mut message = InstantMessage::new(Content::text(text));
        message.id = Some(MessageId::from(id));
        let (source, destination) = (end(from), end("juliet@example.com"));
        MessageOperation { source, destination, max_forwards: MaxForwards(70), trans_id: "t".into(), message }
    }

    fn ids(operation: &MessageOperation) -> RequestIds {
        RequestIds::of_message(operation, operation.message.id.as_ref().unwrap(), 0)
    }

    // checks: SIP-007, SIP-044, IM-007
    #[test]
    fn the_same_message_always_has_the_same_ids_and_another_has_others() {
        let first = ids(&message("romeo@example.net", "a b;c", "hi"));
        assert_eq!(first, ids(&message("romeo@example.net", "a b;c", "hi")));
        assert_ne!(first, ids(&message("romeo@example.net", "a b;d", "hi")));
        assert_ne!(first, ids(&message("paris@example.net", "a b;c", "hi")));
        assert_ne!(first, ids(&message("romeo@example.net", "a b;c", "ho")));
        assert_eq!((first.from_tag().len(), first.call_id().len(), first.branch(0).len()), (16, 32, 39));
        assert!(first.branch(0).starts_with("z9hG4bK") && first.branch(0) != first.branch(1));
    }

    // checks: SIP-007, IM-009
    #[test]
    fn an_id_used_again_gives_other_identifiers_while_the_far_side_remembers() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let operation = message("romeo@example.net", "1", "hi");
        let (first_try, repeat) = (of(0, false), of(0, true));
        let first = recent.ids(&operation, first_try, now);
        assert_eq!(first, ids(&operation));
        assert_ne!(recent.ids(&operation, first_try, now + REMEMBERED / 2), first);
        assert_eq!(recent.ids(&operation, repeat, now + REMEMBERED / 2), first);
        assert_eq!(recent.ids(&operation, first_try, now + REMEMBERED), first);
        assert_eq!(recent.order.len(), recent.used.len());
    }

    fn of(edition: u32, repeat: bool) -> Try {
        Try { trace: TraceId(7), repeat, edition }
    }

    // checks: SIP-007
    #[test]
    fn a_repeat_has_the_ids_of_the_try_that_may_have_arrived_even_in_another_process() {
        let now = Instant::now();
        let mut nameless = message("romeo@example.net", "1", "hi");
        nameless.message.id = None;
        for operation in [message("romeo@example.net", "1", "hi"), nameless] {
            let (mut before, mut after) = (Recent::default(), Recent::default());
            let refused = before.ids(&operation, of(0, false), now);
            let unknown = before.ids(&operation, of(1, false), now);
            assert_ne!(refused, unknown, "a new request after a final answer");
            assert_eq!(after.ids(&operation, of(1, true), now), unknown);
        }
    }
}
