//! The ledger at a start: the index is made anew from what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::claims::{self, Number, StoredClaims};
use super::ends::{self, SingleEnd, StoredEnd, StoredEnds};
use super::entry::{self, Progress, Stored};
use super::index::{Index, Slot, State};
use super::passing::{self, Passing};
use super::recall::{Recall, Recalls, StoredRecall, StoredTaken};
use super::totals::Checkpoint;
use super::window::Window;
use super::{Class, End, Entry, LedgerError, Limits, OnceKey, Origin, Pair, Seq, TOTALS_KEY, Timestamp};
use crate::api::{Batch, Expect, MAX_OPERATIONS, Record, Store, StoreError, commit_and_wait};
use crate::key::{Fence, Shard, Table, Version};

/// Records read at a time.
const PAGE: usize = 1000;

/// The first number of a run is its time in units of 1/64 ms: greater than any given before, while fewer than 64,000 a second
/// are given, and below 2^48 until the year 2109. Only when it is not, a settled entry's number may come again.
const ORDERS_A_MILLISECOND: u32 = 6;

/// What a start found in the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Entries that wait.
    pub entries: usize,
    /// Those of them that may have reached the far side: their next try is flagged as a possible repeat.
    pub uncertain: usize,
    /// Outcomes in the window of repeats.
    pub outcomes: usize,
    /// Entries whose octets are sound and not understood; they stay stored and are not tried.
    pub unreadable: usize,
    /// How far the clock is behind that of the last run, if it is.
    pub clock_back: Option<Duration>,
}

/// What a start makes.
pub(super) struct Recovery {
    pub(super) index: Index,
    pub(super) window: Window,
    pub(super) recalls: Recalls,
    pub(super) passing: Passing,
    pub(super) recovered: Recovered,
    /// Whether the last process that served ended in order, or there was none.
    pub(super) ended: bool,
}

/// Reads all that the shards hold.
pub(super) fn recover(
    store: &dyn Store,
    shards: &[(Shard, Fence)],
    limits: &Limits,
    now: Timestamp,
) -> Result<Recovery, LedgerError> {
    let mut recovered = Recovered::default();
    let (mut found, mut remembered, mut claims) = (Vec::new(), Remembered::default(), Vec::new());
    for (shard, fence) in shards {
        read_shard(store, *shard, *fence, &mut found, &mut claims, &mut recovered)?;
        walk(store, *shard, Table::Window, |key, record| remembered.read(*shard, key, record))?;
    }
    let checkpoint = match shards.first() {
        Some((home, _)) => store.get(*home, Table::Totals, TOTALS_KEY)?,
        None => None,
    };
    let is_first = checkpoint.is_none();
    let checkpoint = checkpoint.and_then(|record| entry::decode::<Checkpoint>(&record.value).ok());
    let ended = is_first || checkpoint.is_some_and(|checkpoint| checkpoint.ended);
    let (last_seen, totals) = checkpoint.map(|checkpoint| (checkpoint.at, checkpoint.totals)).unwrap_or_default();
    recovered.clock_back = Some(last_seen.since(now)).filter(|back| !back.is_zero());
    found.sort_unstable_by_key(|(seq, _)| *seq);
    let mut index = Index::new(*limits, totals, now.max(last_seen).0 << ORDERS_A_MILLISECOND);
    let mut window = Window::new(limits.window);
    // Before the entries: one that came again after it had failed is in the ledger.
    let (recalls, passing) = remembered.into_memory(&mut window, &mut recovered);
    for (number, shard, version, tries) in claims {
        index.claims.add(number, shard, version, tries);
        index.next_order = index.next_order.max(number + 1);
    }
    for (seq, mut slot) in found {
        if recovered.clock_back.is_some() {
            slot.set_back(now);
        }
        slot.once.into_iter().for_each(|once| window.spooled(once, seq));
        recovered.entries += 1;
        recovered.uncertain += usize::from(slot.progress.uncertain);
        index.totals.pending += u64::from(slot.counted);
        index.insert(seq, slot);
    }
    Ok(Recovery { index, window, recalls, passing, recovered, ended })
}

/// What the window's table holds.
#[derive(Default)]
struct Remembered {
    ends: Vec<(Timestamp, OnceKey, End)>,
    recalls: Vec<(Timestamp, OnceKey, Recall, Shard)>,
    taken: Vec<OnceKey>,
    records: Vec<passing::Record>,
}

impl Remembered {
    fn read(&mut self, shard: Shard, key: &[u8], record: &Record) {
        let weight = self.ends.len();
        let until = if ends::is_key(key) {
            entry::decode::<StoredEnds>(&record.value).ok().map(|stored| {
                for StoredEnd { end, once, recall } in stored.ends {
                    self.ends.extend(once.map(|once| (stored.until, once, end)));
                    self.recalls.extend(recall.map(|(key, recall)| (stored.until, key, recall, shard)));
                }
                stored.until
            })
        } else {
            self.read_single(shard, key, record)
        };
        if let Some(until) = until {
            let (key, expect, weight) =
                (key.to_vec(), Expect::Sure(Some(record.version)), self.ends.len().saturating_sub(weight));
            self.records.push(passing::Record { until, shard, key, expect, weight });
        }
    }

    /// The records of format 1, each about one message; and that a recall was taken.
    fn read_single(&mut self, shard: Shard, key: &[u8], record: &Record) -> Option<Timestamp> {
        if let Some(key) = OnceKey::from_key(key) {
            let SingleEnd { end, until } = entry::decode(&record.value).ok()?;
            self.ends.push((until, key, end));
            return Some(until);
        }
        let key = OnceKey::from_recall_key(key)?;
        if let Ok(StoredRecall { recall, until }) = entry::decode(&record.value) {
            self.recalls.push((until, key, recall, shard));
            return Some(until);
        }
        let StoredTaken { until } = entry::decode(&record.value).ok()?;
        self.taken.push(key);
        Some(until)
    }

    fn into_memory(mut self, window: &mut Window, recovered: &mut Recovered) -> (Recalls, Passing) {
        self.ends.sort_unstable_by_key(|(until, ..)| *until);
        recovered.outcomes = self.ends.len();
        for (until, key, end) in self.ends {
            window.done(key, &end, until);
        }
        let mut recalls = Recalls::default();
        self.recalls.sort_unstable_by_key(|(until, ..)| *until);
        for (until, key, recall, shard) in self.recalls {
            recalls.insert(key, &recall, until, Some(shard));
        }
        self.taken.into_iter().for_each(|key| recalls.remove(key));
        let mut passing = Passing::default();
        self.records.sort_unstable_by_key(|record| record.until);
        self.records.into_iter().for_each(|record| passing.push(record));
        (recalls, passing)
    }
}

/// What the table of progress holds of a shard.
#[derive(Default)]
struct Known {
    progress: BTreeMap<Seq, (Version, Option<Progress>)>,
    /// Of each entry the latest.
    claims: BTreeMap<Seq, (Version, Progress, Number)>,
    warned: BTreeSet<Seq>,
    /// The tries of each record of claims that nothing later is known of.
    records: BTreeMap<Number, (Version, usize)>,
}

impl Known {
    fn read(&mut self, key: &[u8], record: &Record) {
        let version = record.version;
        self.progress.extend(Seq::from_key(key).map(|seq| (seq, (version, entry::decode(&record.value).ok()))));
        self.warned.extend(Seq::from_warned_key(key));
        if let Some(number) = claims::number(key) {
            self.records.insert(number, (version, 0));
            let stored = entry::decode::<StoredClaims>(&record.value).map(|stored| stored.claims).unwrap_or_default();
            for (seq, progress) in stored {
                let known = self.claims.entry(seq).or_insert((version, progress, number));
                if known.0 < version {
                    *known = (version, progress, number);
                }
            }
        }
    }

    /// Makes the slot of an entry.
    fn slot(&mut self, seq: Seq, entry: &Entry, record: &Record) -> Slot {
        let mut slot = Slot::of(entry, record.value.len());
        slot.stored = Stored::As(record.version);
        let stored = self.progress.remove(&seq);
        if let Some((version, progress)) = stored {
            slot.progress_stored = Stored::As(version);
            slot.progress = progress.unwrap_or(slot.progress);
        }
        let claim = self.claims.remove(&seq);
        if let Some((version, progress, number)) = claim
            && stored.is_none_or(|(postponed, _)| postponed < version)
        {
            slot.progress = progress;
            slot.claim = Some(number);
            self.records.entry(number).and_modify(|(_, tries)| *tries += 1);
        }
        slot.progress.class = Class::Spool;
        slot.uncertain_before = slot.progress.uncertain;
        slot.warned = self.warned.remove(&seq);
        slot.warn = slot.warn.filter(|_| !slot.warned);
        slot.counted = entry.origin == Origin::Peer;
        slot.state = State::Waiting;
        slot
    }

    /// The records that nothing needs: progress without an entry is left when both were written at the same moment, and claims
    /// whose tries have all ended; they would stay for ever.
    fn orphans(&self) -> Vec<Vec<u8>> {
        let progress = self.progress.keys().map(|seq| seq.key().to_vec());
        let warned = self.warned.iter().map(|seq| seq.warned_key());
        let claims = self.records.iter().filter(|(_, (_, tries))| *tries == 0);
        progress.chain(warned).chain(claims.map(|(number, _)| claims::key(*number))).collect()
    }
}

type OpenClaims = (Number, Shard, Version, usize);

fn read_shard(
    store: &dyn Store,
    shard: Shard,
    fence: Fence,
    found: &mut Vec<(Seq, Slot)>,
    claims: &mut Vec<OpenClaims>,
    recovered: &mut Recovered,
) -> Result<(), LedgerError> {
    let mut known = Known::default();
    walk(store, shard, Table::Progress, |key, record| known.read(key, record))?;
    walk(store, shard, Table::Ledger, |key, record| {
        let seq = Seq::from_key(key);
        match seq.zip(entry::decode::<Entry>(&record.value).ok()) {
            Some((seq, entry)) => found.push((seq, known.slot(seq, &entry, record))),
            None => {
                known.progress.retain(|other, _| Some(*other) != seq);
                recovered.unreadable += 1;
            }
        }
    })?;
    let open = known.records.iter().filter(|(_, (_, tries))| *tries > 0);
    claims.extend(open.map(|(number, (version, tries))| (*number, shard, *version, *tries)));
    remove_orphans(store, shard, fence, &known.orphans())
}

impl Slot {
    /// Makes times of a clock that was ahead those of one that is right: the entry is due, and has no more time than when it
    /// was taken in.
    fn set_back(&mut self, now: Timestamp) {
        let lifetime = self.expires.since(self.created);
        self.expires = self.expires.min(now.after(lifetime));
        self.created = self.created.min(now);
        self.progress.next_try = self.progress.next_try.min(now);
    }

    /// The slot of an entry that is being appended.
    pub(super) fn of(entry: &Entry, size: usize) -> Self {
        Self {
            pair: Pair::of(&entry.operation),
            to: Pair::to(&entry.operation.destination().address),
            trace: entry.trace,
            state: State::Appending,
            origin: entry.origin,
            once: entry.once,
            hop: entry.hop.as_deref().map(Into::into),
            created: entry.created,
            expires: entry.expires,
            warn: entry.warn,
            size: size as u64,
            progress: Progress::of(entry),
            stored: Stored::Unknown,
            progress_stored: Stored::No,
            claim: None,
            warned: false,
            // The last try that a journalled entry speaks of is under way: it may yet prove that nothing arrived.
            uncertain_before: entry.uncertain && (entry.class == Class::Spool || entry.attempts > 1),
            counted: false,
            overdue: false,
        }
    }
}

fn remove_orphans(store: &dyn Store, shard: Shard, fence: Fence, orphans: &[Vec<u8>]) -> Result<(), LedgerError> {
    for some in orphans.chunks(MAX_OPERATIONS) {
        let mut batch = Batch::new(shard, fence).essential();
        some.iter().for_each(|key| batch.delete(Table::Progress, key.as_slice()));
        commit_and_wait(store, batch)?;
    }
    Ok(())
}

/// Shows every record of a table of a shard, page by page.
pub(crate) fn walk(
    store: &dyn Store,
    shard: Shard,
    table: Table,
    mut look: impl FnMut(&[u8], &Record),
) -> Result<(), StoreError> {
    let mut after: Option<Bytes> = None;
    loop {
        let page = store.scan(shard, table, b"", after.as_deref(), PAGE)?;
        for (key, record) in &page {
            look(key, record);
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{JULIET, NOW, ROMEO, key, recall};
    use super::*;
    use crate::{DataDir, FjallStore, Ledger, MIGRATIONS, Options, Urgency};
    use impp_model::Proof;
    use std::sync::Arc;

    fn entry() -> Entry {
        super::super::testkit::entry(ROMEO, JULIET)
    }

    /// As format 1 has it: a message that was claimed twice, one that was delivered, one that could be reversed.
    fn write_format_1(root: &std::path::Path, until: Timestamp) -> Seq {
        let data_dir = DataDir::open_format(root, 1, MIGRATIONS).unwrap();
        let (store, _) = FjallStore::open(data_dir, &Options::default()).unwrap();
        let seq = Seq::new(Pair::of(&entry().operation).shard(), NOW.0 << ORDERS_A_MILLISECOND);
        let shard = seq.shard().unwrap();
        store.acquire(shard, Fence(1)).unwrap();
        let progress = Progress { attempts: 2, uncertain: true, edition: 1, ..Progress::of(&entry()) };
        let mut batch = Batch::new(shard, Fence(1));
        batch.put(Table::Ledger, seq.key(), entry::encode(&entry(), 0).unwrap());
        batch.put(Table::Progress, seq.key(), entry::encode(&progress, 0).unwrap());
        let ended = SingleEnd { end: End::Delivered(Proof::Server), until };
        batch.put(Table::Window, key("delivered").key(), entry::encode(&ended, 0).unwrap());
        let recall = StoredRecall { recall: recall(8, ROMEO), until };
        batch.put(Table::Window, key("reversible").recall_key(), entry::encode(&recall, 0).unwrap());
        commit_and_wait(&store, batch).unwrap();
        seq
    }

    #[test]
    fn a_ledger_of_format_1_is_read_and_its_records_go_in_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let until = NOW.after(Duration::from_secs(600));
        let seq = write_format_1(folder.path(), until);
        let data_dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(data_dir.migrated_from(), Some(1));
        assert!(folder.path().join("store.format-1").is_dir(), "the original stays");
        let (store, opened) = FjallStore::open(data_dir, &Options::default()).unwrap();
        assert!(opened.is_sound());
        let store = Arc::new(store);
        let (ledger, recovered) = Ledger::open(store.clone(), Shard::all(), Limits::default(), NOW).unwrap();
        assert_eq!((recovered.entries, recovered.uncertain, recovered.outcomes), (1, 1, 1));
        let (sender, claimed) = std::sync::mpsc::sync_channel(1);
        ledger.claim(seq, move |result| sender.send(result).unwrap()).unwrap();
        let claimed = claimed.recv().unwrap().unwrap();
        assert_eq!((claimed.attempts, claimed.edition, claimed.repeat), (3, 1, true));
        assert_eq!(ledger.enter(key("delivered"), NOW), crate::Seen::Done(End::Delivered(Proof::Server)));
        assert_eq!(ledger.recall(key("reversible"), NOW, |_| true), Some(recall(8, ROMEO)));
        let (sender, ended) = std::sync::mpsc::sync_channel(1);
        ledger.settle(seq, End::Expired, NOW, Urgency::Urgent, move |result| sender.send(result).unwrap()).unwrap();
        ended.recv().unwrap().unwrap();
        ledger.checkpoint(until, true);
        store.close();
        drop((ledger, store));
        let (store, _) = FjallStore::open(DataDir::open(folder.path()).unwrap(), &Options::default()).unwrap();
        for (shard, table) in
            Shard::all().flat_map(|shard| [Table::Ledger, Table::Progress, Table::Window].map(|table| (shard, table)))
        {
            assert_eq!(store.scan(shard, table, b"", None, 9).unwrap(), [], "{}", table.name());
        }
    }
}
