//! What every embedded store does with a group of batches: fences, expectations, versions, sums, one durable write.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::api::{Batch, Committed, Completion, Damage, EngineError, Expect, Operation, Record, StoreError};
use crate::engine::{Engine, Space, Write};
use crate::frame::{self, Header};
use crate::head::Head;
use crate::key::{Fence, Shard, Table, Version, engine_key, into_engine_key};
use crate::seal::Sealer;

/// The heads of all shards.
pub(crate) type Heads = [Head; Shard::COUNT as usize];

/// A batch on its way, its values sealed.
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) done: Completion,
}

/// What a request asks for.
pub(crate) enum Kind {
    /// Write a batch.
    Write(Batch),
    /// Give a shard to an owner.
    Acquire(Shard, Fence),
}

/// An engine, and what is known of its shards.
pub(crate) struct Core<E> {
    pub(crate) engine: E,
    pub(crate) sealer: Option<Sealer>,
    /// As they are on disk; replaced by [`Core::apply`] only.
    heads: Mutex<Heads>,
}

impl<E: Engine> Core<E> {
    pub(crate) fn new(engine: E, sealer: Option<Sealer>, heads: Heads) -> Self {
        Self { engine, sealer, heads: Mutex::new(heads) }
    }

    pub(crate) fn position(&self, shard: Shard) -> (Fence, Version) {
        self.heads.lock().get(shard.index()).map_or_else(Default::default, |head| (head.fence, Version(head.last)))
    }

    /// Refuses what is over the limits and seals the rest; done on the caller's thread.
    pub(crate) fn prepare(&self, batch: &mut Batch) -> Result<(), StoreError> {
        within("batch", batch.operations.len(), crate::api::MAX_OPERATIONS)?;
        for operation in &mut batch.operations {
            within("key", operation.key.len(), crate::api::MAX_KEY)?;
            let Some(value) = &mut operation.value else { continue };
            within("value", value.len(), crate::api::MAX_VALUE)?;
            if let Some(sealer) = &self.sealer {
                *value = sealer.seal(&seal_name(batch.shard, operation.table, &operation.key), value);
            }
        }
        Ok(())
    }

    /// Writes the requests that hold, in one durable step; the completions are to be called by [`tell`]. One caller at a time.
    pub(crate) fn write(&self, requests: Vec<Request>) -> (Results, Result<(), Unwritten>) {
        let mut stage = Stage::new(self);
        let results = requests.into_iter().map(|request| (request.done, stage.take(request.kind))).collect();
        (results, stage.finish())
    }

    /// Opens the engine again and writes the group that it failed to write: the same octets under the same keys, so that it
    /// does not matter whether they are there already.
    pub(crate) fn write_again(&self, group: &Group) -> Result<(), EngineError> {
        self.engine.reopen()?;
        self.look_for_losses(&group.heads)?;
        self.put(group)
    }

    /// Every shard must stand where it stood before the group or where the group leaves it.
    fn look_for_losses(&self, after: &Heads) -> Result<(), EngineError> {
        let before = *self.heads.lock();
        for ((shard, before), after) in Shard::all().zip(&before).zip(after) {
            let (space, key) = head_place(shard);
            let known = |octets: &[u8]| octets == before.encode() || octets == after.encode();
            if self.engine.read(space, &key, known)? != Some(true) {
                return Err(EngineError::Lost);
            }
        }
        Ok(())
    }

    fn put(&self, group: &Group) -> Result<(), EngineError> {
        self.engine.apply(&group.writes)?;
        self.engine.note_watermark(&group.heads.map(|head| head.last));
        *self.heads.lock() = group.heads;
        Ok(())
    }

    pub(crate) fn get(&self, shard: Shard, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError> {
        let whole = engine_key(shard, key);
        self.engine
            .read(Space::Table(table), &whole, |octets| self.open(shard, table, key, &whole, octets))?
            .transpose()
            .map_err(|damage| StoreError::Damaged { table, damage })
    }

    pub(crate) fn scan(
        &self,
        shard: Shard,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Record)>, StoreError> {
        let mut found = Vec::new();
        let mut damaged = None;
        let after = after.map(|after| engine_key(shard, after));
        self.engine.scan(Space::Table(table), &engine_key(shard, prefix), after.as_deref(), |whole, octets| {
            if found.len() >= limit {
                return ControlFlow::Break(());
            }
            let Some((_, key)) = crate::key::split_engine_key(whole) else { return ControlFlow::Continue(()) };
            match self.open(shard, table, key, whole, octets) {
                Ok(record) => found.push((Bytes::copy_from_slice(key), record)),
                Err(damage) => damaged = Some(StoreError::Damaged { table, damage }),
            }
            if damaged.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        damaged.map_or(Ok(found), Err)
    }

    /// Shows the value of every sound record of a table.
    pub(crate) fn each(&self, table: Table, mut look: impl FnMut(&[u8])) -> Result<(), EngineError> {
        self.engine.scan(Space::Table(table), b"", None, |whole, octets| {
            if let Some((shard, key)) = crate::key::split_engine_key(whole)
                && let Ok(record) = self.open(shard, table, key, whole, octets)
            {
                look(&record.value);
            }
            ControlFlow::Continue(())
        })
    }

    fn open(&self, shard: Shard, table: Table, key: &[u8], whole: &[u8], octets: &[u8]) -> Result<Record, Damage> {
        let (header, value) = frame::verify(whole, octets)?;
        let value = match (&self.sealer, header.sealed) {
            (_, false) => Bytes::copy_from_slice(value),
            (Some(sealer), true) => sealer.open(&seal_name(shard, table, key), value)?.into(),
            (None, true) => return Err(Damage::Seal),
        };
        Ok(Record { version: Version(header.version), value })
    }
}

/// What a group changes.
pub(crate) struct Group {
    writes: Vec<Write>,
    /// Where it leaves the shards.
    heads: Heads,
}

/// A group that was not written.
pub(crate) struct Unwritten {
    pub(crate) error: StoreError,
    /// What may be on the disk or not; `None` when nothing is.
    pub(crate) group: Option<Box<Group>>,
}

/// Completions and what they are to hear.
pub(crate) type Results = Vec<(Completion, Result<Committed, StoreError>)>;

/// Calls the completions; `error` is what became of the group as a whole.
pub(crate) fn tell(results: Results, error: Option<&StoreError>) {
    for (done, result) in results {
        match error {
            Some(error) if result.is_ok() => done.call(Err(error.clone())),
            Some(_) | None => done.call(result),
        }
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// What a value is sealed to: table and engine key, so that it opens nowhere else.
fn seal_name(shard: Shard, table: Table, key: &[u8]) -> Vec<u8> {
    let mut name = engine_key(shard, key);
    name.insert(0, table.index() as u8);
    name
}

/// A group on its way to the engine: what was there is seen through what the group changes.
struct Stage<'a, E> {
    core: &'a Core<E>,
    heads: Heads,
    changed: [bool; Shard::COUNT as usize],
    staged: BTreeMap<(Space, Vec<u8>), Staged>,
    /// The engine could not be read: nothing of the group can be written.
    broken: Option<StoreError>,
}

/// A record as the group leaves it.
struct Staged {
    version: Option<u64>,
    octets: Option<Vec<u8>>,
}

/// What a batch replaced among the staged records, in order.
type Undo = Vec<((Space, Vec<u8>), Option<Staged>)>;

impl<'a, E: Engine> Stage<'a, E> {
    fn new(core: &'a Core<E>) -> Self {
        let heads = *core.heads.lock();
        Self { core, heads, changed: [false; Shard::COUNT as usize], staged: BTreeMap::new(), broken: None }
    }

    fn take(&mut self, kind: Kind) -> Result<Committed, StoreError> {
        match kind {
            Kind::Write(batch) => self.batch(batch),
            Kind::Acquire(shard, fence) => self.acquire(shard, fence),
        }
    }

    fn acquire(&mut self, shard: Shard, fence: Fence) -> Result<Committed, StoreError> {
        let head = self.head(shard);
        if fence <= head.fence {
            return Err(StoreError::Fenced { shard, held: fence, current: head.fence });
        }
        head.fence = fence;
        let last = Version(head.last);
        self.change(shard);
        Ok(Committed { last })
    }

    fn batch(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let Batch { shard, fence, operations, .. } = batch;
        let before = *self.head(shard);
        if fence != before.fence {
            return Err(StoreError::Fenced { shard, held: fence, current: before.fence });
        }
        let may_conflict = operations.iter().any(|operation| operation.expect.may_conflict());
        let mut undo = may_conflict.then(Undo::new);
        for (change, operation) in operations.into_iter().enumerate() {
            if !self.operation(shard, operation, undo.as_mut()) {
                self.roll_back(undo.unwrap_or_default());
                *self.head(shard) = before;
                return Err(StoreError::Conflict { change });
            }
        }
        self.change(shard);
        Ok(Committed { last: Version(self.head(shard).last) })
    }

    /// Stages one change; returns whether what is there is as expected.
    fn operation(&mut self, shard: Shard, operation: Operation, undo: Option<&mut Undo>) -> bool {
        let place = (Space::Table(operation.table), into_engine_key(shard, operation.key));
        let there = match operation.expect {
            Expect::Sure(version) => version.map(|version| version.0),
            Expect::Anything | Expect::Absent | Expect::Version(_) => self.version(&place),
        };
        if !operation.expect.holds(there) {
            return false;
        }
        let staged = self.stage(shard, operation.table, there, &place.1, operation.value);
        match undo {
            Some(undo) => undo.push((place.clone(), self.staged.insert(place, staged))),
            None => drop(self.staged.insert(place, staged)),
        }
        true
    }

    fn stage(
        &mut self,
        shard: Shard,
        table: Table,
        there: Option<u64>,
        whole: &[u8],
        value: Option<Vec<u8>>,
    ) -> Staged {
        let sealed = self.core.sealer.is_some();
        let head = self.head(shard);
        head.last += 1;
        let octets = value.map(|value| frame::write(whole, sealed, head.last, value));
        let version = octets.is_some().then_some(head.last);
        if let Some(sum) = head.sum_mut(table) {
            there.into_iter().for_each(|there| sum.remove(there));
            version.into_iter().for_each(|version| sum.add(version));
        }
        Staged { version, octets }
    }

    /// The version of what is there, seen through what the group has staged.
    fn version(&mut self, place: &(Space, Vec<u8>)) -> Option<u64> {
        if let Some(staged) = self.staged.get(place) {
            return staged.version;
        }
        match self.core.engine.read(place.0, &place.1, |octets| Header::read(octets).map(|(header, _)| header.version))
        {
            // One whose header can't be read counts as absent; the sums show it at the next start.
            Ok(read) => read.and_then(Result::ok),
            Err(error) => {
                self.broken = Some(error.into());
                None
            }
        }
    }

    fn roll_back(&mut self, undo: Undo) {
        for (place, before) in undo.into_iter().rev() {
            match before {
                Some(before) => drop(self.staged.insert(place, before)),
                None => drop(self.staged.remove(&place)),
            }
        }
    }

    fn head(&mut self, shard: Shard) -> &mut Head {
        self.heads.get_mut(shard.index()).expect("a Shard is below COUNT")
    }

    fn change(&mut self, shard: Shard) {
        if let Some(changed) = self.changed.get_mut(shard.index()) {
            *changed = true;
        }
    }

    /// Makes it durable.
    fn finish(self) -> Result<(), Unwritten> {
        if let Some(error) = self.broken {
            return Err(Unwritten { error, group: None });
        }
        if !self.changed.contains(&true) {
            return Ok(());
        }
        let heads = Shard::all().zip(&self.heads).zip(self.changed).filter(|(_, changed)| *changed);
        let heads = heads.map(|((shard, head), _)| (head_place(shard), Some(head.encode())));
        let records = self.staged.into_iter().map(|(place, staged)| (place, staged.octets));
        let group = Group { writes: records.chain(heads).collect(), heads: self.heads };
        self.core.put(&group).map_err(|error| Unwritten { error: error.into(), group: Some(group.into()) })
    }
}

/// Where a shard's head lies.
pub(crate) fn head_place(shard: Shard) -> (Space, Vec<u8>) {
    (Space::Heads, shard.number().to_be_bytes().to_vec())
}

impl Expect {
    fn may_conflict(self) -> bool {
        match self {
            Self::Absent | Self::Version(_) => true,
            Self::Anything | Self::Sure(_) => false,
        }
    }

    fn holds(self, there: Option<u64>) -> bool {
        match self {
            Self::Anything | Self::Sure(_) => true,
            Self::Absent => there.is_none(),
            Self::Version(version) => there == Some(version.0),
        }
    }
}
