//! Traces of what was in the ledger, for as long as an operator wants them: one record each, written when it has ended, with
//! those of its shard that came up meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::{Batch, Completion, MAX_OPERATIONS, Store, StoreError, Urgency};
use crate::key::{Shard, Table};
use crate::ledger::{Timestamp, decode, encode_value, walk};

/// How many traces are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceLimits {
    /// How long.
    pub keep: Duration,
    /// How many; beyond, the oldest goes first.
    pub records: usize,
}

impl Default for TraceLimits {
    /// A day, as long as a message lives; at some 600 octets each 60 MB of disk.
    fn default() -> Self {
        Self { keep: Duration::from_secs(24 * 3600), records: 100_000 }
    }
}

/// Traces of one commit.
const MAX_WRITTEN: usize = 256;
/// Traces of a shard that wait for the disk; beyond, they are lost.
const MAX_WAITING: usize = 4_096;

/// The stored traces.
pub struct TraceLog {
    writer: Arc<Writer>,
    limits: TraceLimits,
    /// By the time when they may go.
    order: Mutex<VecDeque<(Timestamp, u64)>>,
}

/// Writes them, of each shard one commit at a time.
struct Writer {
    store: Arc<dyn Store>,
    /// By shard number.
    lanes: [Mutex<Lane>; Shard::COUNT as usize],
}

/// The traces of one shard on their way to the disk.
#[derive(Default)]
struct Lane {
    waiting: Vec<(u64, Vec<u8>)>,
    under_way: bool,
}

impl Lane {
    /// What is to be written next, unless something is being written.
    fn next(&mut self) -> Option<Vec<(u64, Vec<u8>)>> {
        if self.under_way || self.waiting.is_empty() {
            return None;
        }
        self.under_way = true;
        let rest = self.waiting.split_off(self.waiting.len().min(MAX_WRITTEN));
        Some(std::mem::replace(&mut self.waiting, rest))
    }
}

impl Writer {
    fn put(self: &Arc<Self>, id: u64, value: Vec<u8>) {
        let shard = shard_of(id);
        let next = self.lane(shard, |lane| {
            if lane.waiting.len() < MAX_WAITING {
                lane.waiting.push((id, value));
            }
            lane.next()
        });
        self.write(shard, next.flatten());
    }

    fn write(self: &Arc<Self>, shard: Shard, traces: Option<Vec<(u64, Vec<u8>)>>) {
        let Some(traces) = traces else { return };
        let writer = Arc::clone(self);
        let fill = |batch: &mut Batch| {
            traces.into_iter().for_each(|(id, value)| batch.put(Table::Trace, id.to_be_bytes(), value));
        };
        self.commit(shard, fill, move || {
            let next = writer.lane(shard, |lane| {
                lane.under_way = false;
                lane.next()
            });
            writer.write(shard, next.flatten());
        });
    }

    fn delete(&self, shard: Shard, ids: &[u64]) {
        self.lane(shard, |lane| lane.waiting.retain(|(id, _)| !ids.contains(id)));
        self.commit(shard, |batch| ids.iter().for_each(|id| batch.delete(Table::Trace, id.to_be_bytes())), || {});
    }

    fn lane<T>(&self, shard: Shard, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        self.lanes.get(shard.index()).map(|lane| change(&mut lane.lock()))
    }

    fn commit(&self, shard: Shard, fill: impl FnOnce(&mut Batch), then: impl FnOnce() + Send + 'static) {
        let mut batch = Batch::new(shard, self.store.position(shard).0);
        fill(&mut batch);
        let done = move |result: Result<_, StoreError>| {
            if let Err(error) = result {
                tracing::debug!(%error, "traces are not stored");
            }
            then();
        };
        self.store.commit(batch, Urgency::WriteBehind, Completion::new(done));
    }
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    until: Timestamp,
    trace: T,
}

#[derive(Deserialize)]
struct OnlyUntil {
    until: Timestamp,
}

impl TraceLog {
    /// Finds what is stored. Waits for the disk.
    pub fn open(store: Arc<dyn Store>, limits: TraceLimits) -> Result<Self, StoreError> {
        let mut order = Vec::new();
        for shard in Shard::all() {
            walk(&*store, shard, Table::Trace, |key, record| {
                let stored = decode::<OnlyUntil>(&record.value).ok();
                order
                    .extend(<[u8; 8]>::try_from(key).ok().zip(stored).map(|(id, s)| (s.until, u64::from_be_bytes(id))));
            })?;
        }
        order.sort_unstable();
        let writer = Arc::new(Writer { store, lanes: Default::default() });
        Ok(Self { writer, limits, order: Mutex::new(order.into()) })
    }

    /// Writes one with the next groups; a crash before loses it.
    pub fn put(&self, id: u64, trace: &impl Serialize, now: Timestamp) {
        if self.limits.records == 0 {
            return;
        }
        let until = now.after(self.limits.keep);
        let Ok(value) = encode_value(&Stored { until, trace }) else { return };
        self.order.lock().push_back((until, id));
        self.writer.put(id, value);
    }

    /// Reads one. Waits for the disk.
    pub fn get<T: DeserializeOwned>(&self, id: u64) -> Option<T> {
        let record = self.writer.store.get(shard_of(id), Table::Trace, &id.to_be_bytes()).ok()??;
        decode::<Stored<T>>(&record.value).ok().map(|stored| stored.trace)
    }

    /// The newest that `is_meant`. Reads one after the other from the disk: for a person who asks.
    pub fn find<T: DeserializeOwned>(&self, is_meant: impl Fn(&T) -> bool) -> Option<T> {
        // Without the lock, which those who write want.
        let ids: Vec<u64> = self.order.lock().iter().rev().map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| self.get(id)).find(is_meant)
    }

    /// Deletes what is over its time or over the bound.
    pub fn sweep(&self, now: Timestamp) {
        let mut gone: Vec<Vec<u64>> = Shard::all().map(|_| Vec::new()).collect();
        let mut order = self.order.lock();
        for _ in 0..MAX_OPERATIONS {
            let over = order.len() > self.limits.records;
            let Some((_, id)) = order.pop_front_if(|(until, _)| over || *until <= now) else { break };
            gone.get_mut(shard_of(id).index()).into_iter().for_each(|ids| ids.push(id));
        }
        drop(order);
        for (shard, ids) in Shard::all().zip(gone).filter(|(_, ids)| !ids.is_empty()) {
            self.writer.delete(shard, &ids);
        }
    }
}

impl std::fmt::Debug for TraceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceLog").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn shard_of(id: u64) -> Shard {
    Shard::of_hash(u128::from(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn traces_survive_a_restart_and_go_in_their_time() {
        let limits = TraceLimits { keep: Duration::from_secs(1), records: 2 };
        let store = Arc::new(MemoryStore::new());
        let log = TraceLog::open(store.clone(), limits).unwrap();
        log.put(7, &"seven", Timestamp(1_000));
        log.put(8, &"eight", Timestamp(1_500));
        let log = TraceLog::open(Arc::new(store.reopen().unwrap().0), limits).unwrap();
        assert_eq!((log.get::<String>(7).as_deref(), log.get::<String>(9)), (Some("seven"), None));
        assert_eq!(log.find(|text: &String| text.contains('e')).as_deref(), Some("eight"), "the newest");
        log.sweep(Timestamp(2_000));
        assert_eq!((log.get::<String>(7), log.get::<String>(8).as_deref()), (None, Some("eight")));
        for id in 10..20 {
            log.put(id, &"x", Timestamp(1_600));
        }
        log.sweep(Timestamp(1_600));
        assert_eq!((log.get::<String>(17), log.get::<String>(18).as_deref()), (None, Some("x")));
    }
}
