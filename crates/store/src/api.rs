//! The [`Store`] trait (DESIGN A9): batches of one shard, each durable before its completion hears of it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::key::{Fence, Shard, Table, Version};

/// Octets of a key: several times the longest identifier that any protocol here has.
pub const MAX_KEY: usize = 4096;
/// Octets of a value: above the largest message that any adapter takes.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;
/// Operations of one batch: far above what one message needs, and small against one group commit.
pub const MAX_OPERATIONS: usize = 4096;

/// Keyed records that survive a crash, in shards that one owner each may write.
///
/// Batches take effect in the order of the calls of [`commit`](Self::commit). Readers see only what is durable.
pub trait Store: Send + Sync {
    /// Writes a batch, all or nothing. `done` is called exactly once, when it is durable or refused; perhaps before this
    /// returns, perhaps on the store's own thread: it must be short and must not wait.
    fn commit(&self, batch: Batch, urgency: Urgency, done: Completion);

    /// One record.
    fn get(&self, shard: Shard, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError>;

    /// At most `limit` records whose keys start with `prefix`, in key order, those after the key `after`.
    fn scan(
        &self,
        shard: Shard,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Record)>, StoreError>;

    /// Makes the holder of `fence` the owner of `shard`, durably; batches under an older token are refused from then on.
    ///
    /// Waits for the disk. Refused unless `fence` is greater than the shard's token.
    fn acquire(&self, shard: Shard, fence: Fence) -> Result<(), StoreError>;

    /// Why nothing can be written at present. Until that is over all but essential batches are refused, and what was on its
    /// way to the disk waits.
    fn failure(&self) -> Option<StoreError>;

    /// Why nothing new is taken at present, if so: it has failed, the disk is down to the reserve, which what is stored needs
    /// to come to its end, or more waits for the disk than may.
    fn refuses(&self) -> Option<StoreError>;

    /// The shard's token and its latest version.
    fn position(&self, shard: Shard) -> (Fence, Version);
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The write that made it so.
    pub version: Version,
    /// What was put.
    pub value: Bytes,
}

/// Changes to records of one shard that take effect together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The shard of all of them.
    pub shard: Shard,
    /// The token under which the caller owns it.
    pub fence: Fence,
    /// Whether it is taken even when the queue is full or the disk nearly so: what concludes or frees something may not be
    /// refused. The caller sees to it that such batches are bounded.
    pub essential: bool,
    /// The changes, in order.
    pub operations: Vec<Operation>,
}

impl Batch {
    /// A batch without changes.
    pub fn new(shard: Shard, fence: Fence) -> Self {
        Self { shard, fence, essential: false, operations: Vec::new() }
    }

    /// The same batch, taken even when room is short; see [`Batch::essential`].
    #[must_use]
    pub fn essential(mut self) -> Self {
        self.essential = true;
        self
    }

    /// Puts a record, whatever was there.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.push(table, key, Expect::Anything, Some(value.into()));
    }

    /// Puts a record if the one there is as expected (compare and set).
    pub fn put_if(&mut self, table: Table, key: impl Into<Vec<u8>>, expect: Expect, value: impl Into<Vec<u8>>) {
        self.push(table, key, expect, Some(value.into()));
    }

    /// Deletes a record, if it is there.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.push(table, key, Expect::Anything, None);
    }

    /// Deletes a record if it is as expected.
    pub fn delete_if(&mut self, table: Table, key: impl Into<Vec<u8>>, expect: Expect) {
        self.push(table, key, expect, None);
    }

    fn push(&mut self, table: Table, key: impl Into<Vec<u8>>, expect: Expect, value: Option<Vec<u8>>) {
        self.operations.push(Operation { table, key: key.into(), expect, value });
    }

    /// Octets of keys and values.
    pub fn size(&self) -> usize {
        self.operations.iter().map(|o| o.key.len() + o.value.as_ref().map_or(0, Vec::len)).sum()
    }
}

/// One change of a [`Batch`].
#[derive(Debug, Clone)]
pub struct Operation {
    /// Where.
    pub table: Table,
    /// Which record.
    pub key: Vec<u8>,
    /// What must be there now.
    pub expect: Expect,
    /// What is there then; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything or nothing.
    Anything,
    /// No such record.
    Absent,
    /// The record as this write left it.
    Version(Version),
    /// The record as this write left it, or none: the caller is its only writer and knows. A store need not look; a wrong
    /// word shows as a gap at the next start.
    Sure(Option<Version>),
}

/// How soon a batch goes to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// With the next group, which starts at least [`WRITE_BEHIND`](crate::WRITE_BEHIND) after the one before.
    WriteBehind,
    /// As soon as the disk is free; what waits goes with it.
    Urgent,
}

/// A batch that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version of the last change; the others count down from it.
    pub last: Version,
}

/// Called once with what became of a batch; dropped uncalled, it hears [`StoreError::Closed`].
pub struct Completion(Option<Callback>);

type Callback = Box<dyn FnOnce(Result<Committed, StoreError>) + Send>;

impl Completion {
    /// A completion that calls `done`, which must be short and must not wait.
    pub fn new(done: impl FnOnce(Result<Committed, StoreError>) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    /// A completion and where to wait for it, with or without a runtime.
    pub fn channel() -> (Self, oneshot::Receiver<Result<Committed, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        // An error means that nobody waits.
        (Self::new(move |result| drop(sender.send(result))), receiver)
    }

    pub(crate) fn call(mut self, result: Result<Committed, StoreError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreError::Closed));
        }
    }
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Completion")
    }
}

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another owner has taken the shard.
    #[error("shard {shard} belongs to owner {current}, not {held}")]
    Fenced {
        /// The shard.
        shard: Shard,
        /// The token of the caller.
        held: Fence,
        /// The token of the owner.
        current: Fence,
    },
    /// A record was not as a change expected; nothing was written.
    #[error("change {change} of the batch found another record than expected")]
    Conflict {
        /// Which change of the batch, from 0.
        change: usize,
    },
    /// The queue of batches is full; nothing was written.
    #[error("the store's queue is full")]
    Busy,
    /// The disk has less free than is kept for concluding what is stored; nothing was written.
    #[error("only {free} octets free where {reserve} are kept in reserve")]
    DiskReserve {
        /// Free octets.
        free: u64,
        /// The reserve in octets.
        reserve: u64,
    },
    /// Over [`MAX_KEY`], [`MAX_VALUE`] or [`MAX_OPERATIONS`]; nothing was written.
    #[error("a {what} of {size}, over {limit}")]
    TooLarge {
        /// `key`, `value` or `batch`.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A record is there and can't be trusted.
    #[error("a damaged record in table {}: {damage}", table.name())]
    Damaged {
        /// Where it is.
        table: Table,
        /// What is wrong.
        damage: Damage,
    },
    /// The disk or the engine failed. What was under way may or may not be durable; nothing more is taken until the engine
    /// is opened again.
    #[error("the storage engine failed")]
    Failed(#[source] Arc<EngineError>),
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Shorter than its header, or of an unknown form.
    #[error("no header")]
    Header,
    /// Its checksum is another.
    #[error("wrong checksum")]
    Checksum,
    /// The key does not open it.
    #[error("sealed with another key, or changed")]
    Seal,
    /// Its octets are sound, their meaning is not known to this version.
    #[error("not understood")]
    Content,
}

/// What the storage engine says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// From `fjall`.
    #[error("fjall: {0}")]
    Fjall(fjall::Error),
    /// From the file system.
    #[error("file system")]
    Io(#[source] io::Error),
    /// fjall panicked over its files: it does so over some kinds of damage to a journal.
    #[error("fjall cannot make sense of its files")]
    Panicked,
    /// Its files are being opened again.
    #[error("its files could not be opened again yet")]
    Closed,
    /// What lies on the disk is neither what was there before the failed write nor what is there after it.
    #[error("it has lost writes that it had called durable")]
    Lost,
    /// Asked for by a test.
    #[error("injected failure")]
    Injected,
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        if let fjall::Error::Io(error) = error { Self::Io(error) } else { Self::Fjall(error) }
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

/// An error and its causes, for one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Commits and waits for the disk. For start-up, tests and commands; never within a runtime's thread or a completion.
pub fn commit_and_wait(store: &dyn Store, batch: Batch) -> Result<Committed, StoreError> {
    let (done, result) = std::sync::mpsc::sync_channel(1);
    let done = Completion::new(move |outcome| drop(done.send(outcome)));
    store.commit(batch, Urgency::Urgent, done);
    result.recv().unwrap_or(Err(StoreError::Closed))
}
