//! What was delivered by a server's word: how to tell its sender should an error come after all (DESIGN A5).

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;
use impp_model::{Address, Device, Domain, Endpoint, MessageId, Receipts, ReturnPath, TransId};
use serde::{Deserialize, Serialize};

use super::{OnceKey, Timestamp};
use crate::key::Shard;

/// Recalls kept; beyond, the oldest eighth goes first. Some 150 octets each, and at 150 messages a second all of ten minutes.
const MAX_RECALLS: usize = 100_000;
/// Octets in which they are written down; beyond, the oldest eighth goes first.
const MAX_OCTETS: usize = 24 << 20;
/// So great a part of them goes at once.
const BOXES: usize = 8;
/// Recalls of so long a time go at once: an eighth of the usual time that one is kept.
const SPAN: Duration = Duration::from_secs(75);

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

/// The recalls of this process, and those stored by the one before: written down in boxes that are forgotten as a whole, for
/// many are noted and hardly one is ever asked for.
#[derive(Default)]
pub(super) struct Recalls {
    /// The oldest in front; the last one is being filled.
    boxes: VecDeque<Noted>,
    count: usize,
    octets: usize,
}

/// Recalls that were noted one after the other.
struct Noted {
    /// When the first of them is forgotten, and when all are.
    first: Timestamp,
    until: Timestamp,
    octets: Vec<u8>,
    places: HashTable<Place>,
}

/// Where a recall is written down.
struct Place {
    key: [u8; 16],
    at: u32,
}

/// How a recall is written down, without the names of its fields.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    until: Timestamp,
    stored: Option<Shard>,
    trace: u64,
    near: &'a str,
    #[serde(borrow)]
    source: End<'a>,
    #[serde(borrow)]
    destination: End<'a>,
    message_id: Option<&'a str>,
    trans_id: &'a str,
    created: Timestamp,
    receipts: Receipts,
    return_path: Option<ReturnPath>,
}

/// An end of a message: local part, domain, device.
type End<'a> = (&'a str, &'a str, Option<&'a str>);

impl<'a> Written<'a> {
    fn of(recall: &'a Recall, until: Timestamp, stored: Option<Shard>) -> Self {
        Self {
            until,
            stored,
            trace: recall.trace,
            near: &recall.near,
            source: end(&recall.source),
            destination: end(&recall.destination),
            message_id: recall.message_id.as_ref().map(MessageId::as_str),
            trans_id: recall.trans_id.as_str(),
            created: recall.created,
            receipts: recall.receipts,
            return_path: recall.return_path.clone(),
        }
    }

    fn read(&self) -> Option<Known> {
        let recall = Recall {
            trace: self.trace,
            near: self.near.into(),
            source: endpoint(self.source)?,
            destination: endpoint(self.destination)?,
            message_id: self.message_id.map(Into::into),
            trans_id: self.trans_id.into(),
            created: self.created,
            receipts: self.receipts,
            return_path: self.return_path.clone(),
        };
        Some(Known { recall, until: self.until, stored: self.stored })
    }
}

fn end(end: &Endpoint) -> End<'_> {
    (end.address.local(), end.address.domain().as_str(), end.device.as_ref().map(Device::as_str))
}

fn endpoint((local, domain, device): End<'_>) -> Option<Endpoint> {
    let address = Address::new(local, Domain::parse_host(domain).ok()?).ok()?;
    Some(Endpoint { address, device: device.map(Device::new).transpose().ok()? })
}

impl Noted {
    fn new(until: Timestamp) -> Self {
        Self { first: until, until, octets: Vec::new(), places: HashTable::new() }
    }

    fn is_full(&self, until: Timestamp) -> bool {
        self.places.len() >= MAX_RECALLS / BOXES
            || self.octets.len() >= MAX_OCTETS / BOXES
            || until.since(self.first) >= SPAN
    }

    fn at(&self, place: &Place) -> Option<Written<'_>> {
        rmp_serde::from_slice(self.octets.get(usize::try_from(place.at).ok()?..)?).ok()
    }
}

impl Recalls {
    pub(super) fn insert(&mut self, key: OnceKey, recall: &Recall, until: Timestamp, stored: Option<Shard>) {
        if self.boxes.back().is_none_or(|last| last.is_full(until)) {
            self.boxes.push_back(Noted::new(until));
        }
        let Some(last) = self.boxes.back_mut() else { return };
        // A box is closed long before its octets are more than that counts.
        let at = u32::try_from(last.octets.len()).unwrap_or(u32::MAX);
        let written = rmp_serde::encode::write(&mut last.octets, &Written::of(recall, until, stored));
        self.octets = (self.octets + last.octets.len()).saturating_sub(usize::try_from(at).unwrap_or_default());
        if written.is_err() {
            // Only a writer that fails can be the cause, and a vector does not.
            return;
        }
        last.until = last.until.max(until);
        let place = Place { key: key.key(), at };
        last.places.insert_unique(key.hash(), place, |place| OnceKey::of_octets(place.key).hash());
        self.count += 1;
    }

    /// Takes one out while its time lasts.
    pub(super) fn take(
        &mut self,
        key: OnceKey,
        now: Timestamp,
        is_meant: impl FnOnce(&Recall) -> bool,
    ) -> Option<Known> {
        // Of several the latest: a later message of the same id.
        let known = self.boxes.iter().rev().find_map(|noted| {
            let place = noted.places.find(key.hash(), |place| place.key == key.key())?;
            noted.at(place)?.read()
        })?;
        if now >= known.until || !is_meant(&known.recall) {
            return None;
        }
        self.remove(key);
        Some(known)
    }

    /// Forgets one that was taken.
    pub(super) fn remove(&mut self, key: OnceKey) {
        for noted in &mut self.boxes {
            while let Ok(place) = noted.places.find_entry(key.hash(), |place| place.key == key.key()) {
                place.remove();
                self.count -= 1;
            }
        }
    }

    /// Forgets the boxes that are over time or over the bounds.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        while let Some(gone) = self
            .boxes
            .front()
            .filter(|oldest| oldest.until <= now || self.count > MAX_RECALLS || self.octets > MAX_OCTETS)
        {
            self.count -= gone.places.len();
            self.octets -= gone.octets.len();
            self.boxes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{ROMEO, key, recall};
    use super::*;
    use bytes::Bytes;

    #[test]
    fn one_is_taken_once_in_its_time_and_the_bound_holds() {
        let mut recalls = Recalls::default();
        recalls.insert(key("1"), &recall(1, ROMEO), Timestamp(10), None);
        recalls.insert(key("2"), &recall(2, ROMEO), Timestamp(20), Shard::new(3));
        assert!(recalls.take(key("1"), Timestamp(10), |_| true).is_none());
        assert!(recalls.take(key("2"), Timestamp(10), |_| false).is_none());
        let known = Known { recall: recall(2, ROMEO), until: Timestamp(20), stored: Shard::new(3) };
        assert_eq!(recalls.take(key("2"), Timestamp(10), |_| true), Some(known));
        assert!(recalls.take(key("2"), Timestamp(10), |_| true).is_none());
        recalls.insert(key("2"), &recall(3, ROMEO), Timestamp(30), Shard::new(3));
        recalls.sweep(Timestamp(29));
        assert_eq!(recalls.count, 2);
        recalls.sweep(Timestamp(30));
        assert_eq!((recalls.count, recalls.octets), (0, 0));
    }

    #[test]
    fn a_recall_is_read_as_it_was_noted_and_the_latest_of_an_id_is_meant() {
        let mut recalls = Recalls::default();
        let plain = recall(1, ROMEO);
        let full = Recall {
            source: Endpoint { device: Some(Device::new("phone").unwrap()), ..plain.source.clone() },
            message_id: Some("id".into()),
            receipts: Receipts { display: true, ..Receipts::default() },
            return_path: Some(ReturnPath(Bytes::from_static(b"back\xff"))),
            ..recall(2, ROMEO)
        };
        recalls.insert(key("1"), &plain, Timestamp(100), None);
        recalls.insert(key("1"), &full, Timestamp(200_000), None);
        let known = Known { recall: full, until: Timestamp(200_000), stored: None };
        assert_eq!((recalls.boxes.len(), recalls.take(key("1"), Timestamp(1), |_| true)), (2, Some(known)));
        assert!(recalls.take(key("1"), Timestamp(1), |_| true).is_none(), "the older one is of another message");
        recalls.insert(key("3"), &plain, Timestamp(200_000), None);
        recalls.remove(key("3"));
        assert!(recalls.take(key("3"), Timestamp(1), |_| true).is_none());
    }

    #[test]
    fn the_bounds_hold_in_number_and_in_octets() {
        let mut recalls = Recalls::default();
        for number in 0..=MAX_RECALLS {
            recalls.insert(key(&number.to_string()), &recall(4, ROMEO), Timestamp(99), None);
        }
        let tables: usize =
            recalls.boxes.iter().map(|noted| noted.places.allocation_size() + noted.octets.capacity()).sum();
        println!("{} octets a recall", tables / MAX_RECALLS);
        assert!(tables / MAX_RECALLS <= 200, "{tables}");
        recalls.sweep(Timestamp(40));
        assert_eq!(recalls.count, MAX_RECALLS + 1 - MAX_RECALLS / BOXES);
        assert!(recalls.take(key("0"), Timestamp(40), |_| true).is_none());
        let long = Recall { near: "x".repeat(MAX_OCTETS / 20).into(), ..recall(5, ROMEO) };
        for number in 0..40 {
            recalls.insert(key(&number.to_string()), &long, Timestamp(99), None);
        }
        recalls.sweep(Timestamp(40));
        assert!(recalls.octets <= MAX_OCTETS && recalls.count > 10, "{}", recalls.octets);
    }
}
