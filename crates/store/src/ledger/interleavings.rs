//! Claims and ends through all interleavings of those who ask for them and the thread that writes (loom).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use impp_model::{Cause, Failure, Proof, Side};
use loom::thread::JoinHandle;

use super::testkit::{NOW, entry, key, recall};
use super::{Class, Conclusion, End, Ledger, LedgerError, Limits, Pair, Seen, Seq, State, Totals};
use crate::api::{Batch, Committed, Completion, Expect, Record, Store, StoreError, Urgency};
use crate::key::{Fence, Shard, Table, Version};
use crate::sync::{Mutex, model, spawn};

/// A store that writes when it is told to, and holds every expectation to its word.
#[derive(Default)]
struct Disk {
    queue: Mutex<VecDeque<(Batch, Completion)>>,
    stored: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    records: BTreeMap<(usize, Vec<u8>), Record>,
    last: Version,
}

impl Disk {
    /// Writes what waits by now; what its completions add waits for the next turn. Returns whether there was anything.
    fn write(&self) -> bool {
        let waiting = std::mem::take(&mut *self.queue.lock());
        let any = !waiting.is_empty();
        for (batch, done) in waiting {
            let committed = self.stored.lock().apply(batch);
            done.call(Ok(committed));
        }
        any
    }

    fn write_all(&self) {
        while self.write() {}
    }

    fn len(&self, table: Table) -> usize {
        self.stored.lock().records.keys().filter(|(other, _)| *other == table.index()).count()
    }
}

impl Stored {
    fn apply(&mut self, batch: Batch) -> Committed {
        for operation in batch.operations {
            let place = (operation.table.index(), operation.key);
            let there = self.records.get(&place).map(|record| record.version);
            match operation.expect {
                Expect::Anything => {}
                Expect::Absent | Expect::Sure(None) => assert_eq!(there, None, "{place:?}"),
                Expect::Version(version) | Expect::Sure(Some(version)) => assert_eq!(there, Some(version), "{place:?}"),
            }
            self.last = Version(self.last.0 + 1);
            match operation.value {
                Some(value) => drop(self.records.insert(place, Record { version: self.last, value: value.into() })),
                None => drop(self.records.remove(&place)),
            }
        }
        Committed { last: self.last }
    }
}

impl Store for Disk {
    fn commit(&self, batch: Batch, _: Urgency, done: Completion) {
        self.queue.lock().push_back((batch, done));
    }

    fn get(&self, _: Shard, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError> {
        Ok(self.stored.lock().records.get(&(table.index(), key.to_vec())).cloned())
    }

    fn scan(
        &self,
        _: Shard,
        _: Table,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<(Bytes, Record)>, StoreError> {
        // Asked at the start alone, of an empty disk.
        Ok(Vec::new())
    }

    fn acquire(&self, _: Shard, _: Fence) -> Result<(), StoreError> {
        Ok(())
    }

    fn failure(&self) -> Option<StoreError> {
        None
    }

    fn refuses(&self) -> Option<StoreError> {
        None
    }

    fn position(&self, _: Shard) -> (Fence, Version) {
        Default::default()
    }
}

/// A ledger of one shard on its disk.
#[derive(Clone)]
struct Rig {
    disk: Arc<Disk>,
    ledger: Arc<Ledger>,
    /// What was told of ends.
    told: Arc<Mutex<Vec<Seq>>>,
}

impl Rig {
    fn new() -> Self {
        let disk = Arc::new(Disk::default());
        let (ledger, _) = Ledger::open(disk.clone(), [shard()], Limits::default(), NOW).unwrap();
        Self { disk, ledger, told: Arc::default() }
    }

    /// The entry of one pair; pairs of other numbers are others of the same shard.
    fn append(&self, pair: usize, class: Class) -> Seq {
        let entry = super::Entry { class, once: Some(key(&pair.to_string())), ..entries().swap_remove(pair) };
        self.ledger.append(&entry, Urgency::Urgent, |result| assert!(result.is_ok())).unwrap()
    }

    /// That of one which is stored and claimed for a try.
    fn claimed(&self, pairs: usize) -> Vec<Seq> {
        let entries: Vec<_> = (0..pairs).map(|pair| self.append(pair, Class::Spool)).collect();
        self.disk.write_all();
        self.ledger.claim_all(entries.clone(), |_, result| drop(result.unwrap()));
        self.disk.write_all();
        entries
    }

    fn settle(&self, seq: Seq, end: End) -> Result<(), LedgerError> {
        let told = self.told.clone();
        let done = move |result: Result<_, _>| {
            result.unwrap();
            told.lock().push(seq);
        };
        self.ledger.settle(seq, end, NOW, Urgency::WriteBehind, done)
    }

    fn spawn(&self, act: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let rig = self.clone();
        spawn(move || act(&rig))
    }

    /// The thread that writes: twice what is there.
    fn writer(&self) -> JoinHandle<()> {
        self.spawn(|rig| {
            rig.disk.write();
            rig.disk.write();
        })
    }

    /// All has ended, all were told once, and nothing is left on the disk but what answers repeats.
    fn check_over(&self, ended: &[Seq], totals: Totals) {
        self.disk.write_all();
        let mut told = self.told.lock().clone();
        told.sort();
        assert_eq!(told, ended);
        assert_eq!(self.ledger.totals(), totals);
        assert_eq!((self.disk.len(Table::Ledger), self.disk.len(Table::Progress)), (0, 0));
        assert_eq!(self.ledger.entries(), 0);
    }
}

fn entries() -> Vec<super::Entry> {
    let of = |number| entry(super::testkit::ROMEO, &format!("juliet{number}@xmpp.example"));
    (0..).map(of).filter(|entry| Pair::of(&entry.operation).shard() == shard()).take(2).collect()
}

fn shard() -> Shard {
    Shard::new(0).unwrap()
}

fn delivered(count: u64) -> Totals {
    Totals { delivered: count, ..Totals::default() }
}

#[test]
fn ends_of_one_claim_record_that_come_together_are_each_told_once_and_leave_nothing() {
    model(|| {
        let rig = Rig::new();
        let entries = rig.claimed(2);
        let (first, second) = (entries[0], entries[1]);
        let other = rig.spawn(move |rig| rig.settle(second, End::Delivered(Proof::Recipient)).unwrap());
        let writer = rig.writer();
        rig.settle(first, End::Delivered(Proof::Recipient)).unwrap();
        other.join().unwrap();
        writer.join().unwrap();
        rig.check_over(&entries, delivered(2));
    });
}

#[test]
fn of_a_try_and_an_operator_who_deletes_one_gets_the_entry() {
    model(|| {
        let rig = Rig::new();
        let seq = rig.append(0, Class::Spool);
        rig.disk.write_all();
        let claims = Arc::new(Mutex::new(0));
        let count = claims.clone();
        let worker = rig.spawn(move |rig| {
            let claimed = rig.ledger.claim(seq, move |result| {
                result.unwrap();
                *count.lock() += 1;
            });
            assert!(
                claimed.is_ok() || matches!(claimed, Err(LedgerError::WrongState { .. } | LedgerError::Unknown(_)))
            );
        });
        let writer = rig.writer();
        let deleted = rig.ledger.take(seq).is_ok();
        if deleted {
            rig.settle(seq, End::Failed(Box::new(Failure::new(Side::Ours, Cause::Withdrawn)))).unwrap();
        }
        worker.join().unwrap();
        writer.join().unwrap();
        rig.disk.write_all();
        assert_eq!(*claims.lock(), usize::from(!deleted));
        if deleted {
            rig.check_over(&[seq], Totals { failed: 1, ..Totals::default() });
        } else {
            assert_eq!(rig.ledger.item(seq).unwrap().state, State::Claimed);
            assert_eq!((rig.disk.len(Table::Ledger), rig.disk.len(Table::Progress)), (1, 1));
        }
    });
}

/// Of the next claim the disk keeps the record, which says that the try may have arrived, whoever came first to be written.
#[test]
fn a_try_that_failed_is_claimed_again_while_it_is_being_written() {
    model(|| {
        let rig = Rig::new();
        let seq = rig.claimed(1)[0];
        let writer = rig.writer();
        let claim = move |rig: &Rig| rig.ledger.claim(seq, |result| assert_eq!(result.unwrap().attempts, 2)).is_ok();
        let quick = rig.spawn(move |rig| assert!(claim(rig) || rig.ledger.item(seq).is_ok()));
        rig.ledger.postpone(seq, NOW, false, None).unwrap();
        quick.join().unwrap();
        claim(&rig);
        writer.join().unwrap();
        rig.disk.write_all();
        assert_eq!(rig.ledger.item(seq).unwrap().state, State::Claimed);
        assert_eq!(rig.disk.len(Table::Progress), 2, "its progress, and the claim");
        rig.settle(seq, End::Delivered(Proof::Recipient)).unwrap();
        rig.check_over(&[seq], delivered(1));
    });
}

#[test]
fn what_is_delivered_before_its_journal_is_written_leaves_nothing() {
    model(|| {
        let rig = Rig::new();
        let writer = rig.writer();
        let seq = rig.append(0, Class::Journal);
        rig.settle(seq, End::Delivered(Proof::Recipient)).unwrap();
        writer.join().unwrap();
        rig.check_over(&[seq], delivered(1));
    });
}

#[test]
fn a_repeat_that_comes_while_the_first_ends_is_never_new() {
    model(|| {
        let rig = Rig::new();
        let seq = rig.claimed(1)[0];
        let repeat = rig.spawn(|rig| assert_ne!(rig.ledger.enter(key("0"), NOW), Seen::New));
        let writer = rig.writer();
        rig.settle(seq, End::Delivered(Proof::Recipient)).unwrap();
        repeat.join().unwrap();
        writer.join().unwrap();
        rig.check_over(&[seq], delivered(1));
        assert_eq!(rig.ledger.enter(key("0"), NOW), Seen::Done(End::Delivered(Proof::Recipient)));
    });
}

#[test]
fn of_two_late_errors_about_one_message_one_is_told() {
    model(|| {
        let rig = Rig::new();
        let seq = rig.claimed(1)[0];
        let late = key("late");
        let recall = Some((late, recall(1, super::testkit::ROMEO)));
        let conclusion = Conclusion { recall, ..End::Delivered(Proof::Server).into() };
        rig.ledger.settle(seq, conclusion, NOW, Urgency::WriteBehind, |result| assert!(result.is_ok())).unwrap();
        let found = Arc::new(Mutex::new(0));
        let look = move |rig: &Rig, found: &Mutex<usize>| {
            *found.lock() += usize::from(rig.ledger.recall(late, NOW, |_| true).is_some());
        };
        let (writer, counted) = (rig.writer(), found.clone());
        let other = rig.spawn(move |rig| look(rig, &counted));
        look(&rig, &found);
        other.join().unwrap();
        writer.join().unwrap();
        rig.disk.write_all();
        // Before the end was written neither found it.
        look(&rig, &found);
        assert_eq!(*found.lock(), 1);
        rig.disk.write_all();
        assert_eq!(rig.disk.len(Table::Window), 2, "the end, and that its recall was taken");
    });
}
