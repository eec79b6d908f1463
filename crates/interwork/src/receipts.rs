//! Which messages somebody wants word about, and what has been told (RFC 5438 §7.2, DESIGN A5).
//!
//! Each asker's message is kept under sender, addressee and id until every report it asked for was made, at most
//! [`KEEP`]; on disk, too, so that a report after a restart still finds its way. Nobody's messages push out those of others:
//! of one sender there are [`MAX_OF_ONE`], and of [`MAX_ASKED`] in all the domain that has most makes room.

use crate::core::Core;
use crate::waiting::{Owner, Waiting};
use adapter_api::{Carries, Settle, Settlement, Token};
use impp_model::{
    Address, Cause, DateTime, Device, DispositionOperation, Domain, Failure, MessageId, MessageOperation, Operation,
    Outcome, Receipts, Report, ReturnPath, Side,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use store::{Batch, Completion, Fence, OnceKey, Pair, Recall, Shard, Store, Table, Timestamp, Urgency};

/// Messages that somebody waits for word about; some 300 octets each.
const MAX_ASKED: usize = 65_536;
/// Those of one sender: more than a person writes within the time in which others read.
const MAX_OF_ONE: usize = 1_024;
/// CMP-026: how long word about a message can come; people read on Monday what came on Friday.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// Earlier messages of a conversation that one word can speak of.
const MAX_EARLIER: usize = 64;
/// What the keys on disk begin with.
const PREFIX: &[u8] = b"receipt\0";
/// Records read at once at a start.
const PAGE: usize = 1024;

/// The messages that somebody waits for word about.
pub(crate) struct Asked {
    store: Arc<dyn Store>,
    table: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// By age: the number is given when a message is taken in, and grows.
    entries: BTreeMap<u64, Entry>,
    names: HashMap<(Pair, MessageId), u64>,
    /// The numbers of one conversation's messages, in their order.
    pairs: HashMap<Pair, BTreeSet<u64>>,
    /// Those of one sender, and of all senders of one domain.
    shares: HashMap<Share, BTreeSet<u64>>,
    /// The domains by how many they have.
    largest: BTreeSet<(usize, Domain)>,
    next: u64,
}

/// Who has messages in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Share {
    Sender(u128),
    Domain(Domain),
}

/// What is kept of one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    pair: u128,
    id: MessageId,
    device: Option<Device>,
    wanted: Receipts,
    told: Vec<Report>,
    sent: DateTime,
    at: Timestamp,
    return_path: Option<ReturnPath>,
    /// Its sender as a hash, which names nobody, and the sender's domain; none in records of earlier versions.
    #[serde(default)]
    sender: Option<(u128, Domain)>,
}

impl Asked {
    /// What an earlier process left. Waits for the disk.
    pub(crate) fn open(store: Arc<dyn Store>, now: Timestamp) -> Self {
        let mut found: Vec<(u64, Entry)> = Vec::new();
        for shard in Shard::all() {
            let mut after = None;
            while let Ok(page) = store.scan(shard, Table::State, PREFIX, after.as_deref(), PAGE) {
                let Some((last, _)) = page.last() else { break };
                after = Some(last.to_vec());
                found.extend(
                    page.iter().filter_map(|(key, record)| {
                        Some((number_of(key)?, rmp_serde::from_slice(&record.value).ok()?))
                    }),
                );
            }
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        let mut table = Book::default();
        for (number, entry) in found {
            table.next = number + 1;
            table.insert(number, entry);
        }
        let asked = Self { store, table: Mutex::new(table) };
        asked.forget_old(now);
        asked
    }

    /// Notes a message whose sender wants word and can be told by its id.
    pub(crate) fn note(&self, message: &MessageOperation, now: Timestamp) {
        let (Some(id), true) = (&message.message.id, message.message.receipts.any()) else { return };
        let Some(sent) = message.message.sent.clone().or_else(|| date_time(now)) else { return };
        let pair = Pair::new(&message.source.address, &message.destination.address);
        let entry = Entry {
            pair: pair.to_bits(),
            id: id.clone(),
            device: message.source.device.clone(),
            wanted: message.message.receipts,
            told: Vec::new(),
            sent,
            at: now,
            return_path: message.message.return_path.clone(),
            sender: Some((
                Pair::new(&message.source.address, &message.source.address).to_bits(),
                message.source.address.domain().clone(),
            )),
        };
        self.forget_old(now);
        let mut table = self.table.lock();
        // The same id again is another message of a client that counts from one: the later is meant.
        if let Some(old) = table.names.get(&(pair, id.clone())).copied() {
            self.erase(table.remove(old));
        }
        if let Some(oldest) = table.in_the_way_of(&entry) {
            self.erase(table.remove(oldest));
        }
        let number = table.next;
        table.next += 1;
        self.write(number, &entry);
        table.insert(number, entry);
    }

    /// The word that may be passed on, completed from the messages it is about.
    ///
    /// Nothing for a message that nobody waits for word about, of a kind that was not asked for or was made before.
    pub(crate) fn word(&self, word: &DispositionOperation, now: Timestamp) -> Vec<DispositionOperation> {
        let Some(id) = &word.message_id else { return Vec::new() };
        self.forget_old(now);
        // The message went the other way.
        let pair = Pair::new(&word.destination.address, &word.source.address);
        let mut table = self.table.lock();
        let Some(meant) = table.names.get(&(pair, id.clone())).copied() else { return Vec::new() };
        let mut numbers = vec![meant];
        if word.and_earlier {
            let earlier = table.pairs.get(&pair).into_iter().flat_map(|numbers| numbers.range(..meant));
            numbers.extend(earlier.rev().take(MAX_EARLIER));
            numbers.sort_unstable();
        }
        numbers.into_iter().filter_map(|number| self.tell(&mut table, number, word)).collect()
    }

    /// A message has failed, and its sender knows or is told by the hub itself: nothing more is to be said of it.
    // RFC 5438 §7.2.1: never "delivered" after "failed". IMDN-007: no "failed" after a refusal.
    pub(crate) fn forget(&self, source: &Address, destination: &Address, id: Option<&MessageId>) {
        let Some(id) = id else { return };
        let mut table = self.table.lock();
        let name = (Pair::new(source, destination), id.clone());
        if let Some(number) = table.names.get(&name).copied() {
            self.erase(table.remove(number));
        }
    }

    fn tell(&self, table: &mut Book, number: u64, word: &DispositionOperation) -> Option<DispositionOperation> {
        let entry = table.entries.get(&number)?;
        let report = word.disposition.report();
        // RFC 5438 §7.2.1: only what was asked for, and each kind once; never "delivered" after "failed".
        if !entry.wanted.wants(&word.disposition) || entry.told.contains(&report) {
            return None;
        }
        let mut complete = word.clone();
        complete.message_id = Some(entry.id.clone());
        complete.destination.device = entry.device.clone();
        complete.accepted = entry.sent.clone();
        complete.return_path = entry.return_path.clone();
        complete.and_earlier = false;
        self.close(table, number, report);
        Some(complete)
    }

    /// Notes a report as made; a message of which nothing more is wanted is forgotten.
    fn close(&self, table: &mut Book, number: u64, report: Report) {
        let Some(entry) = table.entries.get_mut(&number) else { return };
        if !entry.told.contains(&report) {
            entry.told.push(report);
        }
        if entry.is_done() {
            self.erase(table.remove(number));
        } else {
            let entry = entry.clone();
            self.write(number, &entry);
        }
    }

    fn forget_old(&self, now: Timestamp) {
        let mut table = self.table.lock();
        while let Some((number, entry)) = table.entries.first_key_value() {
            if now.since(entry.at) <= KEEP {
                break;
            }
            let number = *number;
            self.erase(table.remove(number));
        }
    }

    /// Behind the next group commit: a report whose record a crash took is dropped, as RFC 5438 §7.1.3 allows.
    fn write(&self, number: u64, entry: &Entry) {
        let Ok(value) = rmp_serde::to_vec_named(entry) else { return };
        self.commit(entry.pair, |batch| batch.put(Table::State, key_of(number), value));
    }

    fn erase(&self, entry: Option<(u64, Entry)>) {
        if let Some((number, entry)) = entry {
            self.commit(entry.pair, |batch| batch.delete(Table::State, key_of(number)));
        }
    }

    fn commit(&self, pair: u128, change: impl FnOnce(&mut Batch)) {
        let shard = Pair::from_bits(pair).shard();
        let fence: Fence = self.store.position(shard).0;
        let mut batch = Batch::new(shard, fence);
        change(&mut batch);
        let done = Completion::new(|result| {
            if let Err(error) = result {
                tracing::warn!(%error, "who waits for a receipt is not stored");
            }
        });
        self.store.commit(batch, Urgency::WriteBehind, done);
    }
}

impl Entry {
    fn is_done(&self) -> bool {
        let Receipts { delivery, display, failure, processing } = self.wanted;
        let open = |report, wanted: bool| wanted && !self.told.contains(&report);
        !open(Report::Delivery, delivery || failure)
            && !open(Report::Display, display)
            && !open(Report::Processing, processing)
    }
}

impl Book {
    /// The message that has to go before one more is taken in.
    fn in_the_way_of(&self, entry: &Entry) -> Option<u64> {
        let numbers_of = |share: Share| self.shares.get(&share);
        let own = entry.sender.as_ref().and_then(|(sender, _)| numbers_of(Share::Sender(*sender)));
        if let Some(own) = own.filter(|own| own.len() >= MAX_OF_ONE) {
            return own.first().copied();
        }
        if self.entries.len() < MAX_ASKED {
            return None;
        }
        let most = self.largest.last().and_then(|(_, domain)| numbers_of(Share::Domain(domain.clone()))?.first());
        most.or_else(|| self.entries.keys().next()).copied()
    }

    /// Changes what a message's sender and his domain have.
    fn share(&mut self, sender: Option<&(u128, Domain)>, change: impl Fn(&mut BTreeSet<u64>)) {
        let Some((sender, domain)) = sender else { return };
        for share in [Share::Sender(*sender), Share::Domain(domain.clone())] {
            let numbers = self.shares.entry(share.clone()).or_default();
            let before = numbers.len();
            change(numbers);
            let after = numbers.len();
            if after == 0 {
                self.shares.remove(&share);
            }
            if let Share::Domain(domain) = share {
                self.largest.remove(&(before, domain.clone()));
                self.largest.extend((after > 0).then_some((after, domain)));
            }
        }
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        self.share(entry.sender.as_ref(), |numbers| {
            numbers.insert(number);
        });
        let pair = Pair::from_bits(entry.pair);
        self.names.insert((pair, entry.id.clone()), number);
        self.pairs.entry(pair).or_default().insert(number);
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<(u64, Entry)> {
        let entry = self.entries.remove(&number)?;
        self.share(entry.sender.as_ref(), |numbers| {
            numbers.remove(&number);
        });
        let pair = Pair::from_bits(entry.pair);
        self.names.remove(&(pair, entry.id.clone()));
        if let Some(numbers) = self.pairs.get_mut(&pair) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.pairs.remove(&pair);
            }
        }
        Some((number, entry))
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("messages", &self.table.lock().entries.len()).finish_non_exhaustive()
    }
}

fn key_of(number: u64) -> Vec<u8> {
    [PREFIX, &number.to_be_bytes()].concat()
}

fn number_of(key: &[u8]) -> Option<u64> {
    key.strip_prefix(PREFIX)?.try_into().ok().map(u64::from_be_bytes)
}

fn date_time(at: Timestamp) -> Option<DateTime> {
    DateTime::from_epoch(i64::try_from(at.0 / 1000).ok()?, 0)
}

impl Core {
    /// Passes on what a peer says about messages, as far as their senders asked for it.
    pub(crate) fn pass_on(&self, waiting: Waiting) {
        let operation = waiting.operation.clone();
        let Operation::Disposition(word) = &*operation else { return self.route(waiting) };
        if word.disposition.failure().is_none() {
            self.confirm(word);
        }
        let words = self.asked.word(word, self.timestamp());
        if words.is_empty() && word.disposition.failure().is_some() {
            return self.refuse(waiting, Failure::new(Side::Near, Cause::NotFound).with_text("about no message"));
        }
        let Waiting { trace, near, peer, owner, since, once, repeat, .. } = waiting;
        if words.is_empty() {
            // CMP-026: nobody waits for it. Its sender has done right, and hears nothing else.
            self.counters.loss(&near, "disposition", Carries::Dropped);
            self.end_trace(trace, "not asked for", &Outcome::HandedOver, Some(&operation));
            if let Owner::Sender(settle) = owner {
                settle.settle(Outcome::HandedOver);
            }
            return;
        }
        let others = std::iter::repeat_with(|| Owner::Sender(Settle::new(Arc::new(Nobody), 0)));
        for (word, owner) in words.into_iter().zip(std::iter::once(owner).chain(others)) {
            let operation = Arc::new(Operation::Disposition(Box::new(word)));
            let (near, peer) = (near.clone(), peer.clone());
            self.route(Waiting { trace, operation, near, peer, owner, since, once, repeat });
        }
    }

    /// The addressee itself has the message: an error that comes after that is about something else.
    fn confirm(&self, word: &DispositionOperation) {
        let Some(id) = &word.message_id else { return };
        let key = OnceKey::new(&word.destination.address, id.as_str());
        let is_meant = |about: &Recall| about.destination.address == word.source.address;
        self.storage.ledger.recall(key, self.timestamp(), is_meant);
    }

    /// Why the chosen adapter must not be given an operation that its kind allows.
    pub(crate) fn unfit(&self, to: usize, operation: &Operation) -> Option<Failure> {
        let Operation::Message(message) = operation else { return None };
        let sealed = message.message.sealed.as_ref()?;
        let seals = &self.candidates.get(to)?.capabilities.seals;
        // CMP-070, CMP-073: only between ends that both know the scheme.
        (!seals.iter().any(|scheme| **scheme == *sealed.scheme)).then(|| sealed.refusal())
    }
}

/// For operations that the hub makes of another one.
struct Nobody;

impl Settlement for Nobody {
    fn settled(&self, _: Token, _: Outcome) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Content, Disposition, Endpoint, InstantMessage, MaxForwards};
    use store::MemoryStore;

    fn end(text: &str) -> Endpoint {
        Endpoint::bare(text.parse().unwrap())
    }

    fn message(id: &str, receipts: Receipts) -> MessageOperation {
        MessageOperation {
            source: end("romeo@sip.example"),
            destination: end("juliet@xmpp.example"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "t".into(),
            message: InstantMessage {
                id: Some(id.into()),
                receipts,
                return_path: Some(ReturnPath(bytes::Bytes::from_static(b"back"))),
                ..InstantMessage::new(Content::text("hi"))
            },
        }
    }

    fn word(id: &str, disposition: Disposition, and_earlier: bool) -> DispositionOperation {
        DispositionOperation {
            source: end("juliet@xmpp.example"),
            destination: end("romeo@sip.example"),
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id.into()),
            trans_id: "w".into(),
            accepted: DateTime::from_epoch(0, 0).unwrap(),
            disposition,
            and_earlier,
            return_path: None,
        }
    }

    const BOTH: Receipts = Receipts { delivery: true, display: true, failure: false, processing: false };
    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    fn asked() -> (Arc<MemoryStore>, Asked) {
        let store = Arc::new(MemoryStore::new());
        (store.clone(), Asked::open(store, NOW))
    }

    // checks: IMDN-003, CMP-022, CMP-026
    #[test]
    fn rfc5438_s7_2_1_each_kind_that_was_asked_for_passes_once() {
        let (_, asked) = asked();
        asked.note(&message("m1", BOTH), NOW);
        asked.note(&message("m2", Receipts::default()), NOW);
        let passed = asked.word(&word("m1", Disposition::Delivered, false), NOW);
        assert_eq!(passed.len(), 1);
        let complete = &passed[0];
        assert_eq!(complete.accepted.epoch_seconds(), 1_795_348_800);
        assert_eq!(complete.return_path, Some(ReturnPath(bytes::Bytes::from_static(b"back"))));
        assert_eq!(asked.word(&word("m1", Disposition::Delivered, false), NOW), []);
        assert_eq!(asked.word(&word("m1", Disposition::Processed, false), NOW), []);
        assert_eq!(asked.word(&word("m2", Disposition::Delivered, false), NOW), []);
        assert_eq!(
            asked.word(&word("m3", Disposition::Delivered, false), NOW),
            [],
            "late reports without an entry are dropped"
        );
        assert_eq!(asked.word(&word("m1", Disposition::Displayed, false), NOW).len(), 1);
        let table = asked.table.lock();
        assert!(
            table.entries.is_empty() && table.pairs.is_empty() && table.shares.is_empty() && table.largest.is_empty()
        );
    }

    // checks: CMP-022, XEX-003
    #[test]
    fn xep0333_a_marker_speaks_of_the_messages_before_it() {
        let (_, asked) = asked();
        for id in ["m1", "m2", "m3"] {
            asked.note(&message(id, BOTH), NOW);
        }
        let ids = |passed: Vec<DispositionOperation>| {
            passed.into_iter().filter_map(|word| Some(word.message_id?.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(ids(asked.word(&word("m2", Disposition::Displayed, true), NOW)), ["m1", "m2"]);
        assert_eq!(ids(asked.word(&word("m3", Disposition::Displayed, true), NOW)), ["m3"]);
    }

    // checks: CMP-026, IMDN-003
    #[test]
    fn what_is_waited_for_survives_a_restart_and_ends_with_time() {
        let (store, first) = asked();
        first.note(&message("m1", BOTH), NOW);
        first.note(&message("m2", BOTH), NOW);
        assert_eq!(first.word(&word("m1", Disposition::Delivered, false), NOW).len(), 1);
        let second = Asked::open(store.clone(), NOW);
        assert_eq!(second.word(&word("m1", Disposition::Delivered, false), NOW), []);
        assert_eq!(second.word(&word("m1", Disposition::Displayed, false), NOW).len(), 1);
        let later = Timestamp(NOW.0 + 8 * 24 * 3_600_000);
        assert_eq!(second.word(&word("m2", Disposition::Delivered, false), later), []);
        assert!(second.table.lock().entries.is_empty());
        let third = Asked::open(store, later);
        assert!(third.table.lock().entries.is_empty());
    }

    fn note_from(asked: &Asked, source: &str, id: usize) {
        asked.note(&MessageOperation { source: end(source), ..message(&id.to_string(), BOTH) }, NOW);
    }

    fn is_known(asked: &Asked, source: &str, id: usize) -> bool {
        let pair = Pair::new(&end(source).address, &end("juliet@xmpp.example").address);
        asked.table.lock().names.contains_key(&(pair, id.to_string().into()))
    }

    #[test]
    fn one_sender_pushes_out_his_own_and_one_domain_its_own() {
        let (store, asked) = asked();
        note_from(&asked, "mercutio@sip.example", 0);
        for number in 0..=MAX_OF_ONE {
            note_from(&asked, "romeo@sip.example", number);
        }
        assert_eq!(asked.table.lock().entries.len(), MAX_OF_ONE + 1);
        assert!(is_known(&asked, "mercutio@sip.example", 0) && !is_known(&asked, "romeo@sip.example", 0));
        assert!(is_known(&asked, "romeo@sip.example", 1));
        // The same after a restart.
        drop(asked);
        let asked = Asked::open(store, NOW);
        note_from(&asked, "romeo@sip.example", MAX_OF_ONE + 1);
        assert!(!is_known(&asked, "romeo@sip.example", 1) && is_known(&asked, "romeo@sip.example", 2));
        let others = |number: usize| format!("user{}@mass.example", number % 1_000);
        for number in 0..MAX_ASKED {
            note_from(&asked, &others(number), number);
        }
        assert_eq!(asked.table.lock().entries.len(), MAX_ASKED);
        assert!(is_known(&asked, "mercutio@sip.example", 0) && is_known(&asked, "romeo@sip.example", 2));
        assert!(!is_known(&asked, &others(0), 0) && is_known(&asked, &others(MAX_ASKED - 1), MAX_ASKED - 1));
        let table = asked.table.lock();
        assert_eq!(table.largest.iter().map(|(count, _)| count).sum::<usize>(), MAX_ASKED);
        assert_eq!(table.largest.len(), 2);
    }

    // checks: IMDN-003
    #[test]
    fn rfc5438_s7_2_1_never_delivered_after_failed() {
        let (_, asked) = asked();
        asked.note(&message("m1", BOTH), NOW);
        asked.forget(&end("romeo@sip.example").address, &end("juliet@xmpp.example").address, Some(&"m1".into()));
        assert_eq!(asked.word(&word("m1", Disposition::Delivered, false), NOW), []);
    }
}
