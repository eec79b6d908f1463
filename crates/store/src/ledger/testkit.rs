//! Entries and recalls for tests.

use std::time::Duration;

use bytes::Bytes;
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Receipts};

use super::{Class, Entry, Near, OnceKey, Origin, Recall, Timestamp};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(super) const ROMEO: &str = "romeo@sip.example";
pub(super) const JULIET: &str = "juliet@xmpp.example";

fn end(address: &str) -> Endpoint {
    Endpoint::bare(address.parse().unwrap())
}

/// A message that waits in the spool.
pub(crate) fn entry(source: &str, destination: &str) -> Entry {
    Entry {
        trace: 7,
        operation: Operation::Message(Box::new(MessageOperation {
            source: end(source),
            destination: end(destination),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "t".into(),
            message: InstantMessage::new(Content::text("hi")),
        })),
        origin: Origin::Peer,
        near: Near { instance: "sip".into(), reply: Bytes::new() },
        hop: None,
        class: Class::Spool,
        created: NOW,
        expires: NOW.after(Duration::from_secs(3600)),
        warn: None,
        next_try: NOW,
        attempts: 0,
        uncertain: false,
        once: None,
    }
}

/// A message to Juliet that a server took.
pub(super) fn recall(trace: u64, source: &str) -> Recall {
    Recall {
        trace,
        near: "sip".into(),
        source: end(source),
        destination: end(JULIET),
        message_id: None,
        trans_id: "t".into(),
        created: NOW,
        receipts: Receipts::default(),
        return_path: None,
    }
}

/// The id of one of Romeo's messages.
pub(super) fn key(id: &str) -> OnceKey {
    OnceKey::new(&ROMEO.parse().unwrap(), id)
}
