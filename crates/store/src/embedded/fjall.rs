//! The store on disk: one thread writes, everyone's batches of the moment with one fsync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::open::{OpenError, open};
use crate::api::{Batch, Completion, Record, Store, StoreError, Urgency};
use crate::core::{Core, Kind, Request};
use crate::data_dir::DataDir;
use crate::engine::{Engine, FjallEngine, Space};
use crate::key::{Fence, Shard, Table, Version};
use crate::ledger::is_readable;
use crate::queue::{Queue, Refused};
use crate::seal::SealKey;
use crate::survey::Opened;
use crate::watermark::Watermark;

/// How often the free space is looked at: at full speed some 50 MiB are written in between.
const FREE_INTERVAL: Duration = Duration::from_secs(1);
/// The usual [`Options::disk_reserve`] in octets: the engine's journals and one round of its compaction.
pub const DISK_RESERVE: u64 = 256 * 1024 * 1024;

/// The engine's folder in that of the store.
const ENGINE: &str = "fjall";
/// The watermark's file there.
const WATERMARK: &str = "watermark";

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seals every value.
    pub key: Option<SealKey>,
    /// Octets that stay free on the disk for concluding what is stored; when there are fewer, only essential batches are
    /// taken.
    pub disk_reserve: u64,
    /// Counts the records that opening or checking looks at, for whoever shows how far it has come.
    pub looked: Arc<AtomicU64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { key: None, disk_reserve: DISK_RESERVE, looked: Arc::default() }
    }
}

/// What a check of a closed store found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// What opening it would find.
    pub opened: Opened,
    /// Sound records of the ledger that this version does not understand.
    pub unreadable: u64,
}

/// The store of one process, on fjall in a [`DataDir`].
///
/// Dropping it closes it. The directory stays locked until then; whoever opens it again in the same process calls
/// [`close`](Self::close) first, so that no completion holds it any longer.
pub struct FjallStore {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    core: Core<FjallEngine>,
    queue: Queue,
    disk_reserve: u64,
    /// Octets free when last looked at.
    free: AtomicU64,
    /// When that was.
    looked: Mutex<Instant>,
    /// Known once it runs.
    writer: OnceLock<ThreadId>,
    _data_dir: DataDir,
}

impl FjallStore {
    /// Opens the store of `data_dir`, or makes it; looks at every record, and takes what is found as its state.
    pub fn open(data_dir: DataDir, options: &Options) -> Result<(Self, Opened), OpenError> {
        let (core, opened) = Self::core(&data_dir, options, false)?;
        let free = core.engine.free().unwrap_or(u64::MAX);
        let shared = Arc::new(Shared {
            core,
            queue: Queue::new(),
            disk_reserve: options.disk_reserve,
            free: AtomicU64::new(free),
            looked: Mutex::new(Instant::now()),
            writer: OnceLock::new(),
            _data_dir: data_dir,
        });
        let for_writer = Arc::clone(&shared);
        let writer = thread::Builder::new().name("store".to_owned()).spawn(move || for_writer.run())?;
        Ok((Self { shared, writer: Mutex::new(Some(writer)) }, opened))
    }

    /// Writes what was taken and takes nothing more. When this returns every completion has been called and dropped.
    ///
    /// Waits for the disk. Called by a completion it does not wait.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && thread::current().id() != writer.thread().id()
            && writer.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }

    /// Writes a closed store anew, so that what was deleted from it leaves the files, and damaged records that were put aside
    /// go. Needs the space of both; a crash leaves one of them.
    pub fn rewrite(data_dir: &DataDir) -> Result<(), OpenError> {
        data_dir.replace(|next| {
            let open = |folder: &Path| -> Result<FjallEngine, OpenError> {
                let (watermark, _) = Watermark::open(&folder.join(WATERMARK))?;
                Ok(FjallEngine::open(&folder.join(ENGINE), watermark)?)
            };
            let (old, new) = (open(&data_dir.store())?, open(next)?);
            for space in Space::all().filter(|space| *space != Space::Damaged) {
                old.copy_space(space, &new)?;
            }
            Ok(())
        })
    }

    /// Looks at every record and changes none (the engine itself completes what a crash left of its last write).
    pub fn check(data_dir: &DataDir, options: &Options) -> Result<Checked, OpenError> {
        let (core, opened) = Self::core(data_dir, options, true)?;
        let mut checked = Checked { opened, unreadable: 0 };
        for table in Table::ALL {
            core.each(table, |value| checked.unreadable += u64::from(!is_readable(table, value)))?;
        }
        Ok(checked)
    }

    fn core(data_dir: &DataDir, options: &Options, read_only: bool) -> Result<(Core<FjallEngine>, Opened), OpenError> {
        let folder = data_dir.store();
        let (watermark, noted) = Watermark::open(&folder.join(WATERMARK))?;
        let engine = FjallEngine::open(&folder.join(ENGINE), watermark)?;
        let noted = noted.as_ref().map(<[u64; Shard::COUNT as usize]>::as_slice);
        let (core, mut opened) = open(engine, options.key.as_ref(), noted, read_only, &options.looked)?;
        opened.migrated_from = data_dir.migrated_from();
        Ok((core, opened))
    }
}

impl Shared {
    /// The writer's thread. Should the engine panic, what waits and what comes hears that the store is closed.
    fn run(&self) {
        self.writer.get_or_init(|| thread::current().id());
        if catch_unwind(AssertUnwindSafe(|| self.write())).is_err() {
            tracing::error!("the storage engine panicked; the store is closed");
            self.queue.close();
            while self.queue.take(Instant::now()).is_some() {}
        }
    }

    fn write(&self) {
        let mut taken = Instant::now();
        while let Some(group) = self.queue.take(taken) {
            taken = Instant::now();
            self.look(taken);
            self.core.apply(group);
        }
    }

    fn admit(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let reserve = self.disk_reserve;
        if self.free.load(Ordering::Relaxed) < reserve && !batch.essential {
            // While everything is refused the writer has nothing to do and does not look.
            self.look(Instant::now());
            let free = self.free.load(Ordering::Relaxed);
            if free < reserve {
                return Err(StoreError::DiskReserve { free, reserve });
            }
        }
        self.core.prepare(batch)
    }

    /// Looks at the free space, if that was not done just before.
    fn look(&self, now: Instant) {
        let mut looked = self.looked.lock();
        if now.saturating_duration_since(*looked) >= FREE_INTERVAL {
            *looked = now;
            self.free.store(self.core.engine.free().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn push(&self, kind: Kind, urgency: Urgency, done: Completion) {
        let by_writer = self.writer.get() == Some(&thread::current().id());
        match self.queue.push(Request { kind, done }, urgency, by_writer) {
            Ok(()) => {}
            Err(Refused::Full(request)) => request.done.call(Err(StoreError::Busy)),
            Err(Refused::Closed(request)) => request.done.call(Err(StoreError::Closed)),
        }
    }
}

impl Store for FjallStore {
    fn commit(&self, mut batch: Batch, urgency: Urgency, done: Completion) {
        match self.shared.admit(&mut batch) {
            Ok(()) => self.shared.push(Kind::Write(batch), urgency, done),
            Err(error) => done.call(Err(error)),
        }
    }

    fn get(&self, shard: Shard, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError> {
        self.shared.core.get(shard, table, key)
    }

    fn scan(
        &self,
        shard: Shard,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Record)>, StoreError> {
        self.shared.core.scan(shard, table, prefix, after, limit)
    }

    fn acquire(&self, shard: Shard, fence: Fence) -> Result<(), StoreError> {
        let (sender, result) = std::sync::mpsc::sync_channel(1);
        // An error means that nobody waits.
        let done = Completion::new(move |outcome| drop(sender.send(outcome)));
        self.shared.push(Kind::Acquire(shard, fence), Urgency::Urgent, done);
        result.recv().unwrap_or(Err(StoreError::Closed)).map(drop)
    }

    fn position(&self, shard: Shard) -> (Fence, Version) {
        self.shared.core.position(shard)
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        self.close();
    }
}
