//! The paces of hops on disk (DESIGN A5): what a hop took before a restart is what it is given twice of afterwards.

use crate::core::Core;
use crate::pace::Paces;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Batch, Completion, Shard, Store, Table, Timestamp, Urgency};

/// Where they lie, in the first shard.
const KEY: &[u8] = b"paces\0";
/// Between writes while they change: what a crash loses of them costs a slower start.
const EVERY: Duration = Duration::from_secs(10);

/// What was written last, and when.
#[derive(Debug, Default)]
pub(crate) struct PaceBook(Mutex<(Timestamp, BTreeMap<Box<str>, u32>)>);

impl PaceBook {
    /// What an earlier process wrote. Waits for the disk.
    pub(crate) fn open(store: &dyn Store) -> Paces {
        let record = Shard::new(0).and_then(|shard| store.get(shard, Table::State, KEY).ok().flatten());
        Paces::restore(record.and_then(|record| rmp_serde::from_slice(&record.value).ok()).unwrap_or_default())
    }
}

impl Core {
    /// Writes the paces if it is time and they have changed, or if this process ends. Returns at once.
    pub(crate) fn keep_paces(&self, ends: bool) {
        let now = self.timestamp();
        let mut book = self.pace_book.0.lock();
        if !self.storage.ledger.keeps() || (now.since(book.0) < EVERY && !ends) {
            return;
        }
        book.0 = now;
        let most = self.paces.most();
        if most == book.1 {
            return;
        }
        let (Some(shard), Ok(value)) = (Shard::new(0), rmp_serde::to_vec(&most)) else { return };
        book.1 = most;
        let store = self.storage.ledger.store();
        let mut batch = Batch::new(shard, store.position(shard).0);
        batch.put(Table::State, KEY, value);
        let done = Completion::new(|result| {
            if let Err(error) = result {
                tracing::warn!(%error, "what the next hops take is not stored");
            }
        });
        store.commit(batch, if ends { Urgency::Urgent } else { Urgency::WriteBehind }, done);
    }
}
