//! Traces of what was in the ledger, for as long as an operator wants them: one record each, written when it has ended.

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

/// The stored traces.
pub struct TraceLog {
    store: Arc<dyn Store>,
    limits: TraceLimits,
    /// By the time when they may go.
    order: Mutex<VecDeque<(Timestamp, u64)>>,
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
        Ok(Self { store, limits, order: Mutex::new(order.into()) })
    }

    /// Writes one with the next group; a crash before loses it.
    pub fn put(&self, id: u64, trace: &impl Serialize, now: Timestamp) {
        if self.limits.records == 0 {
            return;
        }
        let until = now.after(self.limits.keep);
        let Ok(value) = encode_value(&Stored { until, trace }) else { return };
        self.order.lock().push_back((until, id));
        self.commit(shard_of(id), |batch| batch.put(Table::Trace, id.to_be_bytes(), value));
    }

    /// Reads one. Waits for the disk.
    pub fn get<T: DeserializeOwned>(&self, id: u64) -> Option<T> {
        let record = self.store.get(shard_of(id), Table::Trace, &id.to_be_bytes()).ok()??;
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
            self.commit(shard, |batch| ids.iter().for_each(|id| batch.delete(Table::Trace, id.to_be_bytes())));
        }
    }

    fn commit(&self, shard: Shard, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new(shard, self.store.position(shard).0);
        fill(&mut batch);
        self.store.commit(
            batch,
            Urgency::WriteBehind,
            Completion::new(|result| {
                if let Err(error) = result {
                    tracing::debug!(%error, "a trace is not stored");
                }
            }),
        );
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
