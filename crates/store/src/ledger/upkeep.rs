//! What is asked of the ledger and done from time to time: lists, counts, totals, checkpoints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use impp_model::Address;

use super::deliver::log_failure;
use super::index::{Crowded, Item, State};
use super::passing;
use super::recall::StoredTaken;
use super::totals::{Checkpoint, Totals};
use super::{Class, Ledger, LedgerError, OnceKey, Pair, Seq, TOTALS_KEY, Timestamp, encode};
use crate::api::{Batch, Completion, Expect, MAX_OPERATIONS, Urgency, commit_and_wait};
use crate::key::{Fence, Shard, Table};

/// Between checkpoints of the totals (DESIGN A5).
const CHECKPOINT: Duration = Duration::from_secs(1);
/// Ends that one checkpoint forgets: more than come in within a second.
const SWEEP: usize = 100_000;

/// When the totals were last stored.
pub(super) struct Upkeep {
    home: Option<(Shard, Fence)>,
    stored: Totals,
    last: Timestamp,
    /// Whether nobody serves, and the last who did ended in order.
    ended: bool,
    /// Whether it was told that the ledger is full.
    told_full: bool,
    /// The hops of which it was told that they have their share.
    told_hops: BTreeSet<Option<Arc<str>>>,
}

impl Upkeep {
    pub(super) fn new(home: Option<(Shard, Fence)>, stored: Totals, ended: bool) -> Self {
        let stored = Totals { pending: 0, ..stored };
        Self { home, stored, last: Timestamp(0), ended, told_full: false, told_hops: BTreeSet::new() }
    }

    fn batch(&self, totals: Totals, now: Timestamp) -> Option<Batch> {
        let (shard, fence) = self.home?;
        let record = encode(&Checkpoint { at: now, totals, ended: self.ended }).ok()?;
        let mut batch = Batch::new(shard, fence).essential();
        batch.put(Table::Totals, TOTALS_KEY, record);
        Some(batch)
    }
}

impl Upkeep {
    /// Says once that the ledger is full, and once that it is not.
    fn tell_room(&mut self, is_full: bool, entries: usize, octets: u64) {
        match (std::mem::replace(&mut self.told_full, is_full), is_full) {
            (false, true) => tracing::warn!(
                entries,
                octets,
                "the ledger is full: what would have to be stored is refused until more of it has ended; its bounds are \
                 gateway.limits.messages and gateway.limits.octets"
            ),
            (true, false) => {
                tracing::warn!(entries, octets, "the ledger has room again; it takes what is new");
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Says once of each hop that nothing more is taken for it, until the ledger is half empty.
    fn tell_hops(&mut self, is_half_full: bool, crowded: Vec<Crowded>) {
        if !is_half_full {
            self.told_hops.clear();
        }
        for Crowded { hop, entries, octets } in crowded {
            if self.told_hops.insert(hop.clone()) {
                tracing::warn!(
                    hop = hop.as_deref().unwrap_or("none known"),
                    entries,
                    octets,
                    "as much waits for this hop as there is room left for all others: what would have to be stored for it is \
                     refused until more of it has ended; the bounds are gateway.limits.messages and gateway.limits.octets"
                );
            }
        }
    }
}

/// How many entries there are, and where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All entries.
    pub entries: usize,
    /// Their octets, as [`Limits::octets`](super::Limits::octets) counts them.
    pub octets: u64,
    /// Pairs with an entry.
    pub pairs: usize,
    /// Messages in the window of repeats.
    pub window: usize,
    /// Ends forgotten early for want of room in the window.
    pub window_evicted: u64,
}

impl Ledger {
    /// At most `limit` entries to try at `now`, each the first of its pair: of each hop the longest due first, hops in turn.
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<Item> {
        self.due_if(now, limit, |_| true)
    }

    /// The same, of those whose hops `admit` lets pass: asked once for each that is given, and no more once it refuses a hop.
    pub fn due_if(&self, now: Timestamp, limit: usize, admit: impl FnMut(Option<&str>) -> bool) -> Vec<Item> {
        self.index.lock().due(now, limit, admit).map(|(seq, slot)| Item::new(seq, slot, None)).collect()
    }

    /// When [`due`](Self::due), [`take_expired`](Self::take_expired) or [`take_warnings`](Self::take_warnings) next have
    /// something; in the past when they have it.
    pub fn next(&self) -> Option<Timestamp> {
        self.index.lock().next()
    }

    /// A hop has returned: the first of each pair that waits for it is due now. Without a hop: of every pair. Returns how many.
    pub fn wake(&self, hop: Option<&str>, now: Timestamp) -> usize {
        self.index.lock().wake(hop, now)
    }

    /// A link has returned: the gateway's own words that found no way are due now. Returns how many.
    pub fn wake_words(&self, now: Timestamp) -> usize {
        self.index.lock().wake_words(now)
    }

    /// An addressee has returned: what was tried in vain is due now. Returns how many.
    pub fn wake_for(&self, addressee: &Address, now: Timestamp) -> usize {
        self.index.lock().wake_for(Pair::to(addressee), now)
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.index.lock().len()
    }

    /// How long the entry of a hop that has been due for the longest has been so.
    pub fn lag(&self, hop: &str, now: Timestamp) -> Duration {
        self.index.lock().lag(hop, now)
    }

    /// How many entries of a pair there are, and whether one of them is in the spool: then a new message of the pair must
    /// follow it there, to keep the order.
    pub fn pair(&self, pair: Pair) -> (usize, bool) {
        self.index.lock().pair(pair)
    }

    /// At most `limit` waiting entries of a pair, oldest first.
    pub fn waiting_of(&self, pair: Pair, limit: usize) -> Vec<Seq> {
        self.index.lock().waiting_of(pair, limit)
    }

    /// Whether anything can be kept at all; else the ledger only counts.
    pub fn keeps(&self) -> bool {
        self.limits.records > 0
    }

    /// Why nothing new is taken at present: the store refuses, or the ledger is full, until there is some room again.
    pub fn refuses(&self) -> Option<LedgerError> {
        let full = || self.is_full.load(Relaxed).then(|| self.index.lock().full());
        self.store.refuses().map(LedgerError::from).or_else(full)
    }

    /// Why nothing more is taken for a hop at present: as much waits for it as there is room left for all others.
    pub fn refuses_for(&self, hop: &str) -> Option<LedgerError> {
        self.is_half_full.load(Relaxed).then(|| self.index.lock().refuses_for(hop)).flatten()
    }

    /// The hops that nothing more is taken for and that hold a twentieth of the bounds, the one with the most entries first.
    pub fn crowded(&self) -> Vec<Crowded> {
        if self.is_half_full.load(Relaxed) { self.index.lock().crowded() } else { Vec::new() }
    }

    /// At most `limit` entries in the order of their numbers, those after `after`.
    pub fn list(&self, after: Option<Seq>, limit: usize) -> Vec<Item> {
        let index = self.index.lock();
        index.iter(after).take(limit).map(|(seq, slot)| index.item(seq, slot)).collect()
    }

    /// One entry, without its content.
    pub fn item(&self, seq: Seq) -> Result<Item, LedgerError> {
        let index = self.index.lock();
        index.get(seq).map(|slot| index.item(seq, slot))
    }

    /// Makes a waiting entry due at once; those of its pair before it are not overtaken.
    pub fn retry(&self, seq: Seq, now: Timestamp) -> Result<(), LedgerError> {
        let mut index = self.index.lock();
        let state = index.get(seq)?.state;
        if state != State::Waiting {
            return Err(LedgerError::WrongState { seq, state });
        }
        index.change(seq, |slot| slot.progress.next_try = slot.progress.next_try.min(now))
    }

    /// The totals, of one moment.
    pub fn totals(&self) -> Totals {
        self.index.lock().totals
    }

    /// A late error came for a delivered message.
    pub fn count_reversed(&self) {
        self.index.lock().totals.reversed += 1;
    }

    /// The sender of a failed or expired message could not be told.
    pub fn count_untold(&self) {
        self.index.lock().totals.untold += 1;
    }

    /// How many entries there are.
    pub fn counts(&self) -> Counts {
        let (entries, octets, pairs) = {
            let index = self.index.lock();
            (index.len(), index.octets, index.pair_count())
        };
        let window = self.window.lock();
        Counts { entries, octets, pairs, window: window.len(), window_evicted: window.evicted }
    }

    /// Entries that are under way or on their way to the disk, spool and journal.
    pub fn under_way(&self) -> (usize, usize) {
        let index = self.index.lock();
        let busy =
            |class| index.iter(None).filter(|(_, s)| s.state != State::Waiting && s.progress.class == class).count();
        (busy(Class::Spool), busy(Class::Journal))
    }

    /// A process begins to serve: from here on the run counts as broken off unless it [ends](Self::end). Returns whether
    /// the one before it ended in order, or there was none. Waits for the disk.
    pub fn begin(&self, now: Timestamp) -> bool {
        let mut upkeep = self.upkeep.lock();
        let ended = std::mem::replace(&mut upkeep.ended, false);
        if let Some(batch) = upkeep.batch(upkeep.stored, now) {
            log_failure(commit_and_wait(&*self.store, batch).map(drop));
        }
        ended
    }

    /// The process ends in order: all it held has ended, and those who waited have heard. Returns at once.
    pub fn end(self: &Arc<Self>, now: Timestamp) {
        self.upkeep.lock().ended = true;
        self.checkpoint(now, true);
    }

    /// Stores the totals if a second has passed since the last time, and forgets what has left the window. Call it about once
    /// a second, and with `force` before the process ends. Returns at once.
    pub fn checkpoint(self: &Arc<Self>, now: Timestamp, force: bool) {
        let mut upkeep = self.upkeep.lock();
        if now.since(upkeep.last) < CHECKPOINT && !force {
            return;
        }
        upkeep.last = now;
        let (totals, entries, octets, crowded) = {
            let index = self.index.lock();
            (Totals { pending: 0, ..index.totals }, index.len(), index.octets, index.crowded())
        };
        upkeep.tell_room(self.is_full.load(Relaxed), entries, octets);
        upkeep.tell_hops(self.is_half_full.load(Relaxed), crowded);
        // While something waits, the time itself is worth knowing: a start sees by it that the clock was set back.
        if (totals != upkeep.stored || entries > 0 || force)
            && let Some(batch) = upkeep.batch(totals, now)
        {
            upkeep.stored = totals;
            let urgency = if force { Urgency::Urgent } else { Urgency::WriteBehind };
            self.store.commit(batch, urgency, Completion::new(|result| log_failure(result.map(drop))));
        }
        drop(upkeep);
        self.sweep(now);
    }

    /// Notes that a recall was taken, until its time would be over.
    pub(super) fn note_taken(&self, shard: Shard, key: OnceKey, until: Timestamp) {
        let (Ok(batch), Ok(value)) = (self.batch(shard), encode(&StoredTaken { until })) else { return };
        let mut batch = batch.essential();
        batch.put(Table::Window, key.recall_key(), value);
        self.store.commit(batch, Urgency::WriteBehind, Completion::new(|result| log_failure(result.map(drop))));
        let (key, expect) = (key.recall_key(), Expect::Anything);
        self.passing.lock().push(passing::Record { until, shard, key, expect, weight: 0 });
    }

    fn sweep(&self, now: Timestamp) {
        self.recalls.lock().sweep(now);
        self.window.lock().sweep(now);
        let mut gone = self.passing.lock().sweep(now, self.limits.window.outcomes, SWEEP);
        gone.sort_by_key(|record| record.shard);
        for same in gone.chunk_by(|a, b| a.shard == b.shard).flat_map(|same| same.chunks(MAX_OPERATIONS)) {
            let Some(Ok(batch)) = same.first().map(|first| self.batch(first.shard)) else { continue };
            let mut batch = batch.essential();
            same.iter().for_each(|record| batch.delete_if(Table::Window, record.key.as_slice(), record.expect));
            self.store.commit(batch, Urgency::WriteBehind, Completion::new(|result| log_failure(result.map(drop))));
        }
    }
}
