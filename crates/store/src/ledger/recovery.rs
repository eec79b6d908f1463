//! The ledger at a start: the index is made anew from what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::entry::{self, Progress, Stored};
use super::index::{Index, Slot, State};
use super::recall::{Recalls, StoredRecall};
use super::totals::Checkpoint;
use super::window::{StoredEnd, Window};
use super::{Class, Entry, LedgerError, Limits, OnceKey, Origin, Pair, Schedule, Seq, TOTALS_KEY, Timestamp};
use crate::api::{Batch, MAX_OPERATIONS, Record, Store, StoreError, commit_and_wait};
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
    let (mut found, mut ends, mut remembered) = (Vec::new(), Vec::new(), Vec::new());
    for (shard, fence) in shards {
        read_shard(store, *shard, *fence, &mut found, &mut recovered)?;
        walk(store, *shard, Table::Window, |key, record| {
            let read = OnceKey::from_key(key).zip(entry::decode::<StoredEnd>(&record.value).ok());
            ends.extend(read.map(|(key, end)| (*shard, record.version, key, end)));
            let read = OnceKey::from_recall_key(key).zip(entry::decode::<StoredRecall>(&record.value).ok());
            remembered.extend(read.map(|(key, recall)| (*shard, key, recall)));
        })?;
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
    // Under a clock that was ahead, times to try may be far off.
    let latest = recovered.clock_back.map_or(Timestamp::NEVER, |_| now.after(Schedule::default().cap));
    found.sort_unstable_by_key(|(seq, _)| *seq);
    let mut index = Index::new(totals, now.max(last_seen).0 << ORDERS_A_MILLISECOND);
    let mut window = Window::new(limits.window);
    // Before the entries: one that came again after it had failed is in the ledger.
    ends.sort_unstable_by_key(|(_, _, _, end)| end.until);
    recovered.outcomes = ends.len();
    for (shard, version, key, StoredEnd { end, until }) in ends {
        window.done(key, end, until, Some((shard, version)));
    }
    for (seq, mut slot) in found {
        slot.progress.next_try = slot.progress.next_try.min(latest);
        slot.once.into_iter().for_each(|once| window.spooled(once, seq));
        recovered.entries += 1;
        recovered.uncertain += usize::from(slot.progress.uncertain);
        index.totals.pending += u64::from(slot.counted);
        index.insert(seq, slot);
    }
    remembered.sort_unstable_by_key(|(_, _, recall)| recall.until);
    let mut recalls = Recalls::default();
    for (shard, key, StoredRecall { recall, until }) in remembered {
        recalls.insert(key, recall, until, Some(shard));
    }
    Ok(Recovery { index, window, recalls, recovered, ended })
}

fn read_shard(
    store: &dyn Store,
    shard: Shard,
    fence: Fence,
    found: &mut Vec<(Seq, Slot)>,
    recovered: &mut Recovered,
) -> Result<(), LedgerError> {
    let mut progress: BTreeMap<Seq, (Version, Option<Progress>)> = BTreeMap::new();
    let mut warned = BTreeSet::new();
    walk(store, shard, Table::Progress, |key, record| {
        progress.extend(Seq::from_key(key).map(|seq| (seq, (record.version, entry::decode(&record.value).ok()))));
        warned.extend(Seq::from_warned_key(key));
    })?;
    walk(store, shard, Table::Ledger, |key, record| {
        let seq = Seq::from_key(key);
        let stored = seq.and_then(|seq| progress.remove(&seq));
        let warned = seq.is_some_and(|seq| warned.remove(&seq));
        match seq.zip(entry::decode::<Entry>(&record.value).ok()) {
            Some((seq, entry)) => found.push((seq, slot(&entry, record, stored, warned))),
            None => recovered.unreadable += 1,
        }
    })?;
    // Progress without an entry is left when both were written at the same moment; it would stay for ever.
    let orphans = progress.keys().map(|seq| seq.key().to_vec()).chain(warned.into_iter().map(Seq::warned_key));
    remove_orphans(store, shard, fence, &orphans.collect::<Vec<_>>())
}

fn slot(entry: &Entry, record: &Record, progress: Option<(Version, Option<Progress>)>, warned: bool) -> Slot {
    let mut slot = Slot::of(entry, record.value.len());
    slot.stored = Stored::As(record.version);
    if let Some((version, progress)) = progress {
        slot.progress_stored = Stored::As(version);
        slot.progress = progress.unwrap_or(slot.progress);
    }
    slot.progress.class = Class::Spool;
    slot.uncertain_before = slot.progress.uncertain;
    slot.warned = warned;
    slot.warn = slot.warn.filter(|_| !warned);
    slot.counted = entry.origin == Origin::Peer;
    slot.state = State::Waiting;
    slot
}

impl Slot {
    /// The slot of an entry that is being appended.
    pub(super) fn of(entry: &Entry, size: usize) -> Self {
        Self {
            pair: Pair::of(&entry.operation),
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
