//! The ledger: what was accepted and has not ended, through any crash (DESIGN A5).
//!
//! An entry is appended, claimed for a try, postponed or settled. Its end and its removal are one commit, and so is a notice
//! to its sender. Entries of one (source, destination) pair go one after the other.

mod about;
mod claims;
mod deliver;
mod due;
mod ends;
mod entry;
mod hashing;
mod index;
#[cfg(test)]
mod interleavings;
mod passing;
mod recall;
mod recovery;
mod schedule;
#[cfg(test)]
pub(crate) mod testkit;
mod time;
mod totals;
mod upkeep;
mod window;

pub(crate) use about::{about, is_readable};
pub use deliver::{Claimed, Conclusion};
pub(crate) use ends::without_recalls;
pub(crate) use entry::decode;
pub use entry::{Class, End, Entry, Near, OnceKey, Origin, Pair, Seq};
pub use index::{Crowded, Item, State};
pub use recall::Recall;
pub use recovery::Recovered;
pub(crate) use recovery::walk;
pub use schedule::Schedule;
pub use time::{SteadyClock, Timestamp};
pub use totals::Totals;
pub use upkeep::Counts;
pub use window::{Seen, WindowLimits};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::api::{Batch, Committed, Completion, Expect, Store, StoreError, Urgency};
use crate::key::{Fence, Shard, Table};
use crate::sync::Mutex;
use ends::Lane;
use index::{Index, Slot};
use passing::Passing;
use recall::Recalls;
use window::Window;

/// Where the totals lie, in the ledger's first shard.
const TOTALS_KEY: &[u8] = b"totals";

/// The bounds of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries; with none the ledger only counts.
    pub records: usize,
    /// Octets of their records, with some 500 for each entry beside.
    pub octets: u64,
    /// Entries of a pair that wait behind one in the spool (DESIGN A5).
    pub behind: usize,
    /// The window of repeats.
    pub window: WindowLimits,
}

impl Default for Limits {
    /// Half a million entries (some 300 octets of memory each), 4 GiB of disk.
    fn default() -> Self {
        Self { records: 500_000, octets: 4 << 30, behind: 100, window: WindowLimits::default() }
    }
}

/// Why the ledger refuses something.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// No room: nothing was accepted, the sender may try again later.
    #[error("the ledger is full: {records} entries, {octets} octets")]
    Full {
        /// Entries.
        records: usize,
        /// Octets.
        octets: u64,
    },
    /// So much waits for its hop as room is left for all others: nothing was accepted, the sender may try again later.
    #[error("{records} entries with {octets} octets wait for this hop, as much as there is room left for all others")]
    HopFull {
        /// Entries of the hop.
        records: usize,
        /// Their octets.
        octets: u64,
    },
    /// This ledger only counts ([`Limits::records`] is zero): nothing was accepted.
    #[error("nothing is stored")]
    CountsOnly,
    /// Too many of the pair wait: nothing was accepted, the sender may try again later.
    #[error("{limit} messages of this pair wait already")]
    PairFull {
        /// [`Limits::behind`].
        limit: usize,
    },
    /// The pair's shard belongs to another owner.
    #[error("shard {0} belongs to another owner")]
    NotOwned(Shard),
    /// No such entry, perhaps not any longer.
    #[error("no entry {0}")]
    Unknown(Seq),
    /// The entry stands where this can't be done.
    #[error("entry {seq} is {}", state.label())]
    WrongState {
        /// The entry.
        seq: Seq,
        /// Where it stands.
        state: State,
    },
    /// An older entry of the pair comes first.
    #[error("entry {0} is not the first of its pair")]
    NotFirst(Seq),
    /// The entry can't be read. It counts as claimed: settle it as failed; its sender can't be told.
    #[error("entry {0} cannot be read")]
    Unreadable(Seq),
    /// The operation can't be written down.
    #[error("cannot encode the entry: {0}")]
    Encode(Arc<rmp_serde::encode::Error>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LedgerError {
    /// Whether the cause is a want of room or of a working disk: the sender may try again later.
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::HopFull { .. } | Self::PairFull { .. } | Self::Store(_))
    }
}

/// The ledger of the shards that this process owns. Cheap to share, never waits for the disk after it is open.
pub struct Ledger {
    store: Arc<dyn Store>,
    limits: Limits,
    /// By shard number; `None` where another owns the shard.
    fences: [Option<Fence>; Shard::COUNT as usize],
    index: Mutex<Index>,
    /// The index's own: whether a bound was reached, and whether half of one.
    is_full: Arc<AtomicBool>,
    is_half_full: Arc<AtomicBool>,
    window: Mutex<Window>,
    recalls: Mutex<Recalls>,
    /// Records of ended entries.
    passing: Mutex<Passing>,
    /// Ends on their way to the disk, by shard number.
    lanes: [Mutex<Lane>; Shard::COUNT as usize],
    upkeep: Mutex<upkeep::Upkeep>,
}

impl Ledger {
    /// Takes over the shards and reads what they hold. Waits for the disk.
    pub fn open(
        store: Arc<dyn Store>,
        shards: impl IntoIterator<Item = Shard>,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(Arc<Self>, Recovered), LedgerError> {
        let owned = acquire(&*store, shards)?;
        let mut fences = [None; Shard::COUNT as usize];
        for (shard, fence) in &owned {
            fences.get_mut(shard.index()).into_iter().for_each(|slot| *slot = Some(*fence));
        }
        let recovery::Recovery { index, window, recalls, passing, recovered, ended } =
            recovery::recover(&*store, &owned, &limits, now)?;
        let home = owned.first().copied();
        let upkeep = Mutex::new(upkeep::Upkeep::new(home, index.totals, ended));
        let (is_full, is_half_full) = (index.fullness(), index.half_fullness());
        let (index, window, recalls) = (Mutex::new(index), Mutex::new(window), Mutex::new(recalls));
        let (passing, lanes) = (Mutex::new(passing), Default::default());
        let ledger =
            Self { store, limits, fences, index, is_full, is_half_full, window, recalls, passing, lanes, upkeep };
        Ok((Arc::new(ledger), recovered))
    }

    /// What it is written to.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Takes an operation in. The number is given at once; the operation is accepted when `done` hears of it.
    ///
    /// After an error that is returned `done` is not called. Otherwise it is called once, perhaps before this returns, on the
    /// store's thread: it must be short and must not wait. An entry of the journal is under way from the start, and the bounds
    /// don't hold it back: ask [`refuses`](Self::refuses) before its message is sent on. One of the spool waits.
    pub fn append(
        self: &Arc<Self>,
        entry: &Entry,
        urgency: Urgency,
        done: impl FnOnce(Result<Seq, LedgerError>) + Send + 'static,
    ) -> Result<Seq, LedgerError> {
        let pair = Pair::of(&entry.operation);
        let record = encode_entry(entry)?;
        let mut batch = self.batch(pair.shard())?;
        // What is under way needs its record also while the disk is down to its reserve: new messages are refused by then.
        batch.essential = entry.class == Class::Journal;
        let seq = {
            let mut index = self.index.lock();
            index.admit(entry, pair, record.len() as u64)?;
            take_in(&mut index, pair.shard(), entry, record.len())
        };
        if let Some(once) = entry.once {
            self.window.lock().spooled(once, seq);
        }
        batch.put_if(Table::Ledger, seq.key(), Expect::Sure(None), record);
        let (ledger, once) = (Arc::clone(self), entry.once);
        let completion = Completion::new(move |result| done(ledger.appended(seq, once, result)));
        self.store.commit(batch, urgency, completion);
        Ok(seq)
    }

    fn appended(
        &self,
        seq: Seq,
        once: Option<OnceKey>,
        result: Result<Committed, StoreError>,
    ) -> Result<Seq, LedgerError> {
        match result {
            Ok(committed) => {
                self.index.lock().durable(seq, committed.last);
                Ok(seq)
            }
            Err(error) => {
                self.index.lock().remove(seq);
                if let Some(once) = once {
                    self.window.lock().unspooled(once, seq);
                }
                Err(error.into())
            }
        }
    }

    /// Looks a message up in the window of repeats; a new one is entered, to be [appended](Self::append),
    /// [ended](Self::end_held) or [withdrawn](Self::withdraw).
    pub fn enter(&self, key: OnceKey, now: Timestamp) -> Seen {
        self.window.lock().enter(key, now)
    }

    /// A message was not accepted: it may come again as new.
    pub fn withdraw(&self, key: OnceKey) {
        self.window.lock().withdraw(key);
    }

    /// A message that was held and never in the ledger has ended: it is accepted and settled in one step.
    pub fn end_held(&self, key: Option<OnceKey>, end: End, now: Timestamp) {
        self.index.lock().totals.count(&end);
        if let Some(key) = key {
            let mut window = self.window.lock();
            let until = window.until(now);
            window.done(key, &end, until);
        }
    }

    /// Remembers a message that ended delivered by its far side's server without ever having been in the ledger, under the id
    /// by which that side knows it.
    pub fn remember(&self, key: OnceKey, recall: Recall, now: Timestamp) {
        let until = self.window.lock().until(now);
        self.recalls.lock().insert(key, &recall, until, None);
    }

    /// Takes out what is remembered of a delivered message if it `is_meant`, for a late error about it: there is one at the
    /// most.
    pub fn recall(&self, key: OnceKey, now: Timestamp, is_meant: impl FnOnce(&Recall) -> bool) -> Option<Recall> {
        let known = self.recalls.lock().take(key, now, is_meant)?;
        if let Some(shard) = known.stored {
            self.note_taken(shard, key, known.until);
        }
        Some(known.recall)
    }

    fn batch(&self, shard: Shard) -> Result<Batch, LedgerError> {
        let fence = self.fences.get(shard.index()).copied().flatten().ok_or(LedgerError::NotOwned(shard))?;
        Ok(Batch::new(shard, fence))
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Takes over all of the shards with one commit, or a few: each waits on a thread of its own.
fn acquire(store: &dyn Store, shards: impl IntoIterator<Item = Shard>) -> Result<Vec<(Shard, Fence)>, LedgerError> {
    let wanted: Vec<_> = shards.into_iter().map(|shard| (shard, store.position(shard).0.next())).collect();
    std::thread::scope(|scope| {
        let take = |(shard, fence)| scope.spawn(move || store.acquire(shard, fence));
        let under_way: Vec<_> = wanted.iter().copied().map(take).collect();
        let taken = under_way.into_iter().map(|thread| thread.join().unwrap_or(Err(StoreError::Closed)));
        taken.collect::<Result<(), _>>()
    })?;
    Ok(wanted)
}

/// Gives an entry its number and takes it into the index.
fn take_in(index: &mut Index, shard: Shard, entry: &Entry, size: usize) -> Seq {
    let seq = Seq::new(shard, index.next_order);
    index.insert(seq, Slot::of(entry, size));
    seq
}

fn encode_entry(entry: &Entry) -> Result<Vec<u8>, LedgerError> {
    entry::encode(entry, entry::ENTRY_ROOM).map_err(|error| LedgerError::Encode(Arc::new(error)))
}

/// The octets of a record of another table, in the ledger's form.
pub(crate) fn encode_value<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    encode(value)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    entry::encode(value, entry::NOTE_ROOM).map_err(|error| LedgerError::Encode(Arc::new(error)))
}
