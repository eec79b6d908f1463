//! `fjall`: one database, one tree for each key space, one journal.

use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;

use super::{Engine, Space, Write};
use crate::api::EngineError;
use crate::key::Table;
use crate::watermark::Watermark;

/// Octets of the block cache: reads are of what was just written, of the ledger in its order, or one scan at the start.
const CACHE: u64 = 8 * 1024 * 1024;
/// Octets of journals before the engine writes its trees out; bounds disk use and the time that a start takes: some 10 ms of
/// CPU time for each MiB, sixfold in a debug build. It is the least that the engine takes.
const JOURNALS: u64 = 64 * 1024 * 1024;
/// Octets of a tree that are held in memory before they are written out, and once more while they are: what changes at the rate
/// of messages is nearly always deleted before that.
const MEMTABLE: u64 = 32 * 1024 * 1024;
/// The same of a tree whose records stay, or are few: with [`MEMTABLE`] it would be most of the memory of 100,000 subscriptions.
const SMALL_MEMTABLE: u64 = 8 * 1024 * 1024;

/// Threads of the engine for writing trees out and compacting them. With more than one, fjall 3.1 keeps the first for writing
/// out, and that one spins through the queue of tasks for as long as another compacts.
const WORKERS: usize = 1;

/// Records of one write of a copy.
const COPIED: usize = 256;

/// The engine of [`FjallStore`](crate::FjallStore).
pub(crate) struct FjallEngine {
    /// `None` while it can't be opened again. Read recursively: who looks at one record may ask for another.
    files: RwLock<Option<Files>>,
    folder: PathBuf,
    watermark: Watermark,
}

struct Files {
    database: Database,
    /// By [`Space::index`].
    spaces: Vec<Keyspace>,
}

impl Files {
    fn open(folder: &Path) -> Result<Self, EngineError> {
        let open = || {
            let builder = Database::builder(folder).cache_size(CACHE).max_journaling_size(JOURNALS);
            builder.worker_threads(WORKERS).open()
        };
        let database = catch_unwind(open).map_err(|_| EngineError::Panicked)??;
        let options = |space| KeyspaceCreateOptions::default().max_memtable_size(memtable(space));
        let spaces = Space::all().map(|space| database.keyspace(space.name(), || options(space)));
        let spaces = spaces.collect::<Result<_, _>>()?;
        Ok(Self { database, spaces })
    }

    fn space(&self, space: Space) -> &Keyspace {
        self.spaces.get(space.index()).expect("open() made one for each Space::all()")
    }
}

impl FjallEngine {
    /// Opens or makes the database in `folder`.
    pub(crate) fn open(folder: &Path, watermark: Watermark) -> Result<Self, EngineError> {
        let files = RwLock::new(Some(Files::open(folder)?));
        Ok(Self { files, folder: folder.to_owned(), watermark })
    }

    /// Puts all that is in a key space into the same one of `other`.
    pub(crate) fn copy_space(&self, space: Space, other: &Self) -> Result<(), EngineError> {
        let files = self.files.read_recursive();
        let files = files.as_ref().ok_or(EngineError::Closed)?;
        let mut writes: Vec<Write> = Vec::new();
        for guard in files.space(space).iter() {
            let (key, octets) = guard.into_inner()?;
            writes.push(((space, key.to_vec()), Some(octets.to_vec())));
            if writes.len() >= COPIED {
                other.apply(&std::mem::take(&mut writes))?;
            }
        }
        other.apply(&writes)
    }
}

impl Engine for FjallEngine {
    fn read<T>(&self, space: Space, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, EngineError> {
        let files = self.files.read_recursive();
        let files = files.as_ref().ok_or(EngineError::Closed)?;
        Ok(files.space(space).get(key)?.map(|octets| look(&octets)))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        mut look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let files = self.files.read_recursive();
        let files = files.as_ref().ok_or(EngineError::Closed)?;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        // Without an end the engine would walk over everything deleted behind the prefix, in search of the next record.
        let end = behind(prefix);
        if end.as_deref().zip(after).is_some_and(|(end, after)| end <= after) {
            return Ok(());
        }
        let until = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for guard in files.space(space).range::<&[u8], _>((from, until)) {
            let (key, octets) = guard.into_inner()?;
            if look(&key, &octets).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), EngineError> {
        let files = self.files.read_recursive();
        let files = files.as_ref().ok_or(EngineError::Closed)?;
        let mut batch = files.database.batch().durability(Some(PersistMode::SyncData));
        for ((space, key), octets) in writes {
            match octets {
                Some(octets) => batch.insert(files.space(*space), key.as_slice(), octets.as_slice()),
                None => batch.remove(files.space(*space), key.as_slice()),
            }
        }
        Ok(batch.commit()?)
    }

    fn reopen(&self) -> Result<(), EngineError> {
        let mut files = self.files.write();
        // First, for the folder is locked while it is open; a failed engine may panic over what it can't write at its end.
        let old = files.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(old))));
        *files = Some(Files::open(&self.folder)?);
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        let status = rustix::fs::statvfs(&self.folder).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn note_watermark(&self, last: &[u64]) {
        self.watermark.note(last);
    }
}

/// How much of a key space is held in memory before it is written out.
fn memtable(space: Space) -> u64 {
    match space {
        Space::Table(Table::Ledger | Table::Progress | Table::Window | Table::Trace) => MEMTABLE,
        // Of the heads, which every commit changes, nearly nothing is left to be written.
        Space::Table(Table::State | Table::Totals) | Space::Heads | Space::Meta | Space::Damaged => SMALL_MEMTABLE,
    }
}

/// The first key behind all that begin with `prefix`, unless these are the last there can be.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|octet| *octet < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_a_prefix() {
        for (prefix, end) in [(&[1][..], Some(vec![2])), (&[1, 255, 255], Some(vec![2])), (&[255], None), (&[], None)] {
            assert_eq!(behind(prefix), end);
        }
    }

    #[test]
    fn a_scan_shows_its_prefix_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (watermark, _) = Watermark::open(&folder.path().join("watermark")).unwrap();
        let engine = FjallEngine::open(&folder.path().join("engine"), watermark).unwrap();
        let keys = [&[0, 255][..], &[1], &[1, 0], &[1, 255, 255], &[2], &[255], &[255, 255, 7]];
        let writes = keys.map(|key| ((Space::Meta, key.to_vec()), Some(vec![0])));
        engine.apply(&writes).unwrap();
        let scan = |prefix: &[u8], after: Option<&[u8]>| {
            let mut seen = Vec::new();
            let look = |key: &[u8], _: &[u8]| {
                seen.push(key.to_vec());
                ControlFlow::Continue(())
            };
            engine.scan(Space::Meta, prefix, after, look).unwrap();
            seen
        };
        assert_eq!(scan(&[1], None), [&[1][..], &[1, 0], &[1, 255, 255]]);
        assert_eq!(scan(&[1], Some(&[1, 0])), [&[1, 255, 255][..]]);
        assert_eq!(scan(&[255], None), [&[255][..], &[255, 255, 7]]);
        assert_eq!(scan(&[], None).len(), keys.len());
    }
}
