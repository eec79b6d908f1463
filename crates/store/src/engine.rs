//! What stores octets: an ordered map with atomic, durable batches. Two of them: `fjall`, and memory for tests.

mod fjall;
mod memory;

pub(crate) use self::fjall::FjallEngine;
pub(crate) use memory::MemoryEngine;

use std::ops::ControlFlow;

use crate::api::EngineError;
use crate::key::Table;

/// A key space of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// The shards' heads, by shard number.
    Heads,
    /// What the store notes about itself.
    Meta,
    /// Damaged records that a start has put aside: the table's number, then the engine's key.
    Damaged,
    /// Records.
    Table(Table),
}

impl Space {
    /// Every key space, in the order of [`Self::index`].
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Heads, Self::Meta, Self::Damaged].into_iter().chain(Table::ALL.map(Self::Table))
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Heads => 0,
            Self::Meta => 1,
            Self::Damaged => 2,
            Self::Table(table) => 3 + table.index(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Meta => "meta",
            Self::Damaged => "damaged",
            Self::Table(table) => table.name(),
        }
    }
}

/// A key and its new octets; `None` deletes.
pub(crate) type Write = ((Space, Vec<u8>), Option<Vec<u8>>);

/// An ordered map of octets in several key spaces.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Shows the octets of `key` to `look`, if it is there.
    fn read<T>(&self, space: Space, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, EngineError>;

    /// Shows keys that start with `prefix` and their octets, in order, those after the key `after`, until told to stop.
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError>;

    /// Applies all of `writes` or nothing; they are durable when this returns. After an error nothing more is taken
    /// until it is [opened again](Self::reopen).
    fn apply(&self, writes: &[Write]) -> Result<(), EngineError>;

    /// Lets go of its files and opens them again, after an error; what is there then is whole batches.
    fn reopen(&self) -> Result<(), EngineError>;

    /// Octets free where the data lie; `None` when that is unknown or has no bound.
    fn free(&self) -> Option<u64>;

    /// Notes, without forcing it to disk, up to which versions the shards are durable.
    fn note_watermark(&self, _last: &[u64]) {}
}
