//! What was delivered by a server's word: how to tell its sender should an error come after all (DESIGN A5).

use std::collections::VecDeque;

use impp_model::{Endpoint, MessageId, Receipts, ReturnPath, TransId};
use serde::{Deserialize, Serialize};

use super::hashing::DigestMap;
use super::{OnceKey, Timestamp};
use crate::key::Shard;

/// Recalls kept; beyond, the oldest goes first. Some 300 octets each, and at 150 messages a second all of ten minutes.
const MAX_RECALLS: usize = 100_000;

/// A message whose sender would be told of a late error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The message's trace.
    pub trace: u64,
    /// The instance that it came in through.
    pub near: Box<str>,
    /// Its sender.
    pub source: Endpoint,
    /// Its addressee.
    pub destination: Endpoint,
    /// Its id as its sender gave it.
    pub message_id: Option<MessageId>,
    /// The transaction it came in.
    pub trans_id: TransId,
    /// When the gateway took it.
    pub created: Timestamp,
    /// Which reports its sender wants.
    pub receipts: Receipts,
    /// What the adapter it came by wants back with every word about it.
    pub return_path: Option<ReturnPath>,
}

/// A recall as format 1 stored it, in a record of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredRecall {
    pub(crate) recall: Recall,
    pub(super) until: Timestamp,
}

/// In the place of such a record: that a recall was taken, wherever it is stored.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct StoredTaken {
    pub(super) until: Timestamp,
}

/// What is remembered of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) recall: Recall,
    pub(super) until: Timestamp,
    /// In which shard it is stored.
    pub(super) stored: Option<Shard>,
}

/// The recalls of this process, and those stored by the one before.
#[derive(Default)]
pub(super) struct Recalls {
    known: DigestMap<OnceKey, Known>,
    order: VecDeque<(Timestamp, OnceKey)>,
}

impl Recalls {
    pub(super) fn insert(&mut self, key: OnceKey, recall: Recall, until: Timestamp, stored: Option<Shard>) {
        self.known.insert(key, Known { recall, until, stored });
        self.order.push_back((until, key));
    }

    /// Takes one out while its time lasts.
    pub(super) fn take(
        &mut self,
        key: OnceKey,
        now: Timestamp,
        is_meant: impl FnOnce(&Recall) -> bool,
    ) -> Option<Known> {
        self.known.get(&key).filter(|known| now < known.until && is_meant(&known.recall))?;
        self.known.remove(&key)
    }

    /// Forgets one that was taken by an earlier process.
    pub(super) fn remove(&mut self, key: OnceKey) {
        self.known.remove(&key);
    }

    /// Forgets what is over time or over the bound.
    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) {
        for _ in 0..limit {
            let over = self.order.len() > MAX_RECALLS;
            let Some((noted, key)) = self.order.pop_front_if(|(until, _)| over || *until <= now) else { break };
            // A later message of the same id has a place of its own.
            if self.known.get(&key).is_some_and(|known| known.until == noted) {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{ROMEO, key, recall};
    use super::*;

    #[test]
    fn one_is_taken_once_in_its_time_and_the_bound_holds() {
        let mut recalls = Recalls::default();
        recalls.insert(key("1"), recall(1, ROMEO), Timestamp(10), None);
        recalls.insert(key("2"), recall(2, ROMEO), Timestamp(20), Shard::new(3));
        assert!(recalls.take(key("1"), Timestamp(10), |_| true).is_none());
        assert!(recalls.take(key("2"), Timestamp(10), |_| false).is_none());
        let known = Known { recall: recall(2, ROMEO), until: Timestamp(20), stored: Shard::new(3) };
        assert_eq!(recalls.take(key("2"), Timestamp(10), |_| true), Some(known));
        assert!(recalls.take(key("2"), Timestamp(10), |_| true).is_none());
        recalls.insert(key("2"), recall(3, ROMEO), Timestamp(30), Shard::new(3));
        recalls.sweep(Timestamp(20), 10);
        assert_eq!(recalls.known.len(), 1, "the older place is not the newer's");
        recalls.sweep(Timestamp(30), 10);
        assert_eq!(recalls.known.len(), 0);
        for number in 0..=MAX_RECALLS {
            recalls.insert(key(&number.to_string()), recall(4, ROMEO), Timestamp(99), None);
        }
        recalls.sweep(Timestamp(40), 10);
        assert_eq!((recalls.known.len(), recalls.order.len()), (MAX_RECALLS, MAX_RECALLS));
    }
}
