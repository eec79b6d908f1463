//! The store in memory: for tests, with faults, losses and pauses on request.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::Mutex;

use super::open::{OpenError, open};
use crate::api::{Batch, Completion, EngineError, Record, Store, StoreError, Urgency};
use crate::core::{Core, Kind, Request, Results, Unwritten, tell};
use crate::engine::{Engine as _, MemoryEngine, Space};
use crate::key::{Fence, Shard, Table, Version, engine_key};
use crate::seal::SealKey;
use crate::survey::Opened;

/// A store without a disk. Commits complete within the call, unless they are [held](Self::hold).
pub struct MemoryStore {
    core: Core<MemoryEngine>,
    state: Mutex<State>,
    key: Option<SealKey>,
}

#[derive(Default)]
struct State {
    held: Option<Vec<Request>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_key(None)
    }

    /// An empty store whose values are sealed.
    pub fn with_key(key: Option<SealKey>) -> Self {
        Self::from_engine(MemoryEngine::default(), key).expect("an empty store has nothing to refuse").0
    }

    /// What a start finds after a crash at this moment; batches that are held are lost.
    pub fn reopen(&self) -> Result<(Self, Opened), OpenError> {
        Self::from_engine(self.core.engine.copy(), self.key.clone())
    }

    fn from_engine(engine: MemoryEngine, key: Option<SealKey>) -> Result<(Self, Opened), OpenError> {
        let (core, opened) = open(engine, key.as_ref(), None, false, &AtomicU64::default())?;
        Ok((Self { core, state: Mutex::default(), key }, opened))
    }

    /// Keeps what is committed from here on waiting, as a slow disk does.
    pub fn hold(&self) {
        self.state.lock().held.get_or_insert_default();
    }

    /// Writes what waits, and goes on without waiting.
    pub fn release(&self) {
        let (results, written) = {
            let mut state = self.state.lock();
            let held = state.held.take().unwrap_or_default();
            self.core.write(held)
        };
        Self::tell(results, written);
    }

    /// Lets every later write fail, as a broken disk does, until [`mend`](Self::mend).
    pub fn fail(&self) {
        self.core.engine.fail();
    }

    /// Lets writes succeed again.
    pub fn mend(&self) {
        // It fails only without any free space.
        let _ = self.core.engine.reopen();
    }

    /// Sets what the disk has free, in octets; below the usual reserve only essential batches are taken.
    pub fn set_free(&self, octets: u64) {
        self.core.engine.set_free(octets);
    }

    /// Flips a bit in the middle of a stored record; returns whether it was there.
    pub fn flip(&self, shard: Shard, table: Table, key: &[u8]) -> bool {
        self.core.engine.tamper(Space::Table(table), &engine_key(shard, key), |octets| {
            let middle = octets.len() / 2;
            octets.get_mut(middle).into_iter().for_each(|octet| *octet ^= 0x10);
        })
    }

    /// Removes a record behind the store's back; returns whether it was there.
    pub fn lose(&self, shard: Shard, table: Table, key: &[u8]) -> bool {
        self.core.engine.lose(Space::Table(table), &engine_key(shard, key))
    }

    fn admit(&self, batch: &mut Batch) -> Result<(), StoreError> {
        match self.shortage().filter(|_| !batch.essential) {
            Some(shortage) => Err(shortage),
            None => self.core.prepare(batch),
        }
    }

    fn shortage(&self) -> Option<StoreError> {
        let (free, reserve) = (self.core.engine.free()?, super::fjall::DISK_RESERVE);
        (free < reserve).then_some(StoreError::DiskReserve { free, reserve })
    }

    fn push(&self, request: Request) {
        let (results, written) = {
            let mut state = self.state.lock();
            if let Some(held) = &mut state.held {
                held.push(request);
                return;
            }
            self.core.write(vec![request])
        };
        // Outside of the lock: a completion may commit again.
        Self::tell(results, written);
    }

    fn tell(results: Results, written: Result<(), Unwritten>) {
        tell(results, written.err().map(|unwritten| unwritten.error).as_ref());
    }
}

impl Store for MemoryStore {
    fn commit(&self, mut batch: Batch, _urgency: Urgency, done: Completion) {
        match self.admit(&mut batch) {
            Ok(()) => self.push(Request { kind: Kind::Write(batch), done }),
            Err(error) => done.call(Err(error)),
        }
    }

    fn get(&self, shard: Shard, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError> {
        self.core.get(shard, table, key)
    }

    fn scan(
        &self,
        shard: Shard,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Record)>, StoreError> {
        self.core.scan(shard, table, prefix, after, limit)
    }

    fn acquire(&self, shard: Shard, fence: Fence) -> Result<(), StoreError> {
        let (sender, result) = std::sync::mpsc::sync_channel(1);
        let done = Completion::new(move |outcome| drop(sender.send(outcome)));
        self.push(Request { kind: Kind::Acquire(shard, fence), done });
        // A held acquisition would wait for release() on this same thread.
        result.try_recv().unwrap_or(Err(StoreError::Busy)).map(drop)
    }

    fn failure(&self) -> Option<StoreError> {
        self.core.engine.is_failing().then(|| EngineError::Injected.into())
    }

    fn refuses(&self) -> Option<StoreError> {
        self.failure().or_else(|| self.shortage())
    }

    fn position(&self, shard: Shard) -> (Fence, Version) {
        self.core.position(shard)
    }
}
