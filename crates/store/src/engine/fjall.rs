//! `fjall`: one database, one tree for each key space, one journal.

use std::ops::{Bound, ControlFlow};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Space, Write};
use crate::api::EngineError;
use crate::watermark::Watermark;

/// Octets of the block cache: reads are of what was just written, or one scan at the start.
const CACHE: u64 = 32 * 1024 * 1024;
/// Octets of journals before the engine writes its trees out; bounds disk use and the time that a start takes.
const JOURNALS: u64 = 256 * 1024 * 1024;
/// Octets of a tree that are held in memory before they are written out.
const MEMTABLE: u64 = 32 * 1024 * 1024;

/// Threads of the engine for writing trees out and compacting them. With more than one, fjall 3.1 keeps the first for writing
/// out, and that one spins through the queue of tasks for as long as another compacts.
const WORKERS: usize = 1;

/// Records of one write of a copy.
const COPIED: usize = 256;

/// The engine of [`FjallStore`](crate::FjallStore).
pub(crate) struct FjallEngine {
    database: Database,
    /// By [`Space::index`].
    spaces: Vec<Keyspace>,
    folder: PathBuf,
    watermark: Watermark,
}

impl FjallEngine {
    /// Opens or makes the database in `folder`.
    pub(crate) fn open(folder: &Path, watermark: Watermark) -> Result<Self, EngineError> {
        let open = || {
            let builder = Database::builder(folder).cache_size(CACHE).max_journaling_size(JOURNALS);
            builder.worker_threads(WORKERS).open()
        };
        let database = catch_unwind(open).map_err(|_| EngineError::Panicked)??;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let spaces = Space::all().map(|space| database.keyspace(space.name(), options)).collect::<Result<_, _>>()?;
        Ok(Self { database, spaces, folder: folder.to_owned(), watermark })
    }

    /// Puts all that is in a key space into the same one of `other`.
    pub(crate) fn copy_space(&self, space: Space, other: &Self) -> Result<(), EngineError> {
        let mut writes: Vec<Write> = Vec::new();
        for guard in self.space(space).iter() {
            let (key, octets) = guard.into_inner()?;
            writes.push(((space, key.to_vec()), Some(octets.to_vec())));
            if writes.len() >= COPIED {
                other.apply(std::mem::take(&mut writes))?;
            }
        }
        other.apply(writes)
    }

    fn space(&self, space: Space) -> &Keyspace {
        self.spaces.get(space.index()).expect("open() made one for each Space::all()")
    }
}

impl Engine for FjallEngine {
    fn read<T>(&self, space: Space, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, EngineError> {
        Ok(self.space(space).get(key)?.map(|octets| look(&octets)))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        mut look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        for guard in self.space(space).range::<&[u8], _>((from, Bound::Unbounded)) {
            let (key, octets) = guard.into_inner()?;
            if !key.starts_with(prefix) || look(&key, &octets).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: impl IntoIterator<Item = Write>) -> Result<(), EngineError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for ((space, key), octets) in writes {
            match octets {
                Some(octets) => batch.insert(self.space(space), key, octets),
                None => batch.remove(self.space(space), key),
            }
        }
        Ok(batch.commit()?)
    }

    fn free(&self) -> Option<u64> {
        let status = rustix::fs::statvfs(&self.folder).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn note_watermark(&self, last: &[u64]) {
        self.watermark.note(last);
    }
}
