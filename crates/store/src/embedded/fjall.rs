//! The store on disk: one thread writes, everyone's batches of the moment with one fsync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::open::{OpenError, open};
use crate::api::{Batch, Completion, EngineError, Record, Store, StoreError, Urgency, with_causes};
use crate::core::{Core, Group, Kind, Request, Unwritten, tell};
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
/// Between tries to open a failed engine again.
const REOPEN_AFTER: Duration = Duration::from_secs(5);
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
    shared: Arc<Shared<FjallEngine>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A store and its writer's thread.
struct Shared<E> {
    core: Core<E>,
    queue: Queue,
    disk_reserve: u64,
    /// Octets free when last looked at.
    free: AtomicU64,
    /// When that was.
    looked: Mutex<Instant>,
    /// Known once it runs.
    writer: OnceLock<ThreadId>,
    /// While the engine has failed.
    failure: RwLock<Option<Arc<EngineError>>>,
    /// [`REOPEN_AFTER`], but for tests.
    reopen_after: Duration,
    _data_dir: Option<DataDir>,
}

impl FjallStore {
    /// Opens the store of `data_dir`, or makes it; looks at every record, and takes what is found as its state.
    pub fn open(data_dir: DataDir, options: &Options) -> Result<(Self, Opened), OpenError> {
        let (core, opened) = Self::core(&data_dir, options, false)?;
        let shared = Arc::new(Shared::new(core, options.disk_reserve, REOPEN_AFTER, Some(data_dir)));
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

impl<E: Engine> Shared<E> {
    fn new(core: Core<E>, disk_reserve: u64, reopen_after: Duration, data_dir: Option<DataDir>) -> Self {
        let free = core.engine.free().unwrap_or(u64::MAX);
        if free < disk_reserve {
            warn_of_shortage(free, disk_reserve);
        }
        Self {
            core,
            queue: Queue::new(),
            disk_reserve,
            free: AtomicU64::new(free),
            looked: Mutex::new(Instant::now()),
            writer: OnceLock::new(),
            failure: RwLock::default(),
            reopen_after,
            _data_dir: data_dir,
        }
    }

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
            let (results, written) = self.core.write(group);
            let error = match written {
                Ok(()) => None,
                Err(Unwritten { error, group: Some(group) }) => self.mend(&group, error).err(),
                Err(Unwritten { error, group: None }) => Some(error),
            };
            tell(results, error.as_ref());
        }
    }

    /// After a failed write: tries to write the group until that succeeds or the store is closed. Nobody is told anything of it
    /// meanwhile, for it may be on the disk or not.
    fn mend(&self, group: &Group, failed: StoreError) -> Result<(), StoreError> {
        let StoreError::Failed(cause) = &failed else { return Err(failed) };
        tracing::error!(
            error = with_causes(&**cause),
            "the store cannot write, and refuses what is new: free space on the disk of gateway.data_dir, or mend it; the \
             store is then opened again within seconds"
        );
        *self.failure.write() = Some(cause.clone());
        while !self.queue.rest(self.reopen_after) {
            if self.core.engine.free().is_some_and(|free| free < self.disk_reserve) {
                continue;
            }
            match self.core.write_again(group) {
                Ok(()) => {
                    *self.failure.write() = None;
                    tracing::warn!("the store writes again; nothing was lost");
                    return Ok(());
                }
                Err(error) => self.still_failed(error),
            }
        }
        Err(failed)
    }

    fn still_failed(&self, error: EngineError) {
        let mut failure = self.failure.write();
        let (before, after) = (failure.as_deref().map(|error| with_causes(error)), with_causes(&error));
        if before.as_ref() != Some(&after) {
            tracing::error!(error = after, "the store cannot be opened again yet; it is tried every few seconds");
        }
        *failure = Some(Arc::new(error));
    }

    fn admit(&self, batch: &mut Batch) -> Result<(), StoreError> {
        if let Some(failure) = self.failure().filter(|_| !batch.essential) {
            return Err(failure);
        }
        match self.shortage().filter(|_| !batch.essential) {
            Some(shortage) => Err(shortage),
            None => self.core.prepare(batch),
        }
    }

    /// While the disk is down to the reserve.
    fn shortage(&self) -> Option<StoreError> {
        let reserve = self.disk_reserve;
        if self.free.load(Ordering::Relaxed) >= reserve {
            return None;
        }
        // While everything is refused the writer has nothing to do and does not look.
        self.look(Instant::now());
        let free = self.free.load(Ordering::Relaxed);
        (free < reserve).then_some(StoreError::DiskReserve { free, reserve })
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure.read().clone().map(StoreError::Failed)
    }

    /// Looks at the free space, if that was not done just before.
    fn look(&self, now: Instant) {
        let mut looked = self.looked.lock();
        if now.saturating_duration_since(*looked) >= FREE_INTERVAL {
            *looked = now;
            let (free, reserve) = (self.core.engine.free().unwrap_or(u64::MAX), self.disk_reserve);
            let before = self.free.swap(free, Ordering::Relaxed);
            if free < reserve && before >= reserve {
                warn_of_shortage(free, reserve);
            } else if free >= reserve && before < reserve {
                tracing::warn!(
                    free,
                    reserve,
                    "there is space on the disk of gateway.data_dir again; the store takes what is new"
                );
            }
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

fn warn_of_shortage(free: u64, reserve: u64) {
    tracing::warn!(
        free,
        reserve,
        "the disk of gateway.data_dir is down to gateway.limits.disk_reserve: the store refuses what is new until there is \
         space; what it holds goes on"
    );
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

    fn failure(&self) -> Option<StoreError> {
        self.shared.failure()
    }

    fn refuses(&self) -> Option<StoreError> {
        let busy = || self.shared.queue.is_full().then_some(StoreError::Busy);
        self.shared.failure().or_else(|| self.shared.shortage()).or_else(busy)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::MemoryEngine;

    /// Soon, so that a test need not wait.
    const SOON: Duration = Duration::from_millis(1);

    type Running = (Arc<Shared<MemoryEngine>>, JoinHandle<()>);

    fn running() -> Running {
        let (core, _) = open(MemoryEngine::default(), None, None, false, &AtomicU64::default()).unwrap();
        let shared = Arc::new(Shared::new(core, 0, SOON, None));
        let for_writer = shared.clone();
        (shared, thread::spawn(move || for_writer.run()))
    }

    fn put(shared: &Shared<MemoryEngine>, key: &str, essential: bool) -> tokio::sync::oneshot::Receiver<Told> {
        let (done, told) = Completion::channel();
        let mut batch = Batch::new(Shard::new(0).unwrap(), Fence(0));
        batch.essential = essential;
        batch.put(Table::State, key, "1");
        match shared.admit(&mut batch) {
            Ok(()) => shared.push(Kind::Write(batch), Urgency::Urgent, done),
            Err(error) => done.call(Err(error)),
        }
        told
    }

    type Told = Result<crate::api::Committed, StoreError>;

    /// Breaks the engine, and waits until a group has met with that.
    fn break_it(shared: &Shared<MemoryEngine>) -> tokio::sync::oneshot::Receiver<Told> {
        shared.core.engine.set_free(0);
        shared.core.engine.fail();
        let told = put(shared, "first", true);
        while shared.failure().is_none() {
            thread::yield_now();
        }
        told
    }

    fn holds(shared: &Shared<MemoryEngine>, key: &str) -> bool {
        shared.core.get(Shard::new(0).unwrap(), Table::State, key.as_bytes()).unwrap().is_some()
    }

    #[test]
    fn a_failed_write_waits_and_is_made_when_there_is_space_again() {
        let (shared, writer) = running();
        let mut first = break_it(&shared);
        assert!(matches!(put(&shared, "new", false).blocking_recv(), Ok(Err(StoreError::Failed(_)))));
        let mut second = put(&shared, "second", true);
        assert!(first.try_recv().is_err() && second.try_recv().is_err(), "told before it is known");
        assert!(!holds(&shared, "first"));
        shared.core.engine.set_free(u64::MAX - 1);
        assert!(first.blocking_recv().unwrap().is_ok() && second.blocking_recv().unwrap().is_ok());
        assert!(shared.failure().is_none());
        assert!(put(&shared, "new", false).blocking_recv().unwrap().is_ok());
        assert!(holds(&shared, "first") && holds(&shared, "second") && holds(&shared, "new"));
        shared.queue.close();
        writer.join().unwrap();
        let survey = open(shared.core.engine.copy(), None, None, true, &AtomicU64::default()).unwrap().1;
        assert!(survey.is_sound(), "{survey:?}");
    }

    #[test]
    fn a_disk_down_to_the_reserve_is_told_and_what_ends_is_taken() {
        let (core, _) = open(MemoryEngine::default(), None, None, false, &AtomicU64::default()).unwrap();
        core.engine.set_free(99);
        let shared = Arc::new(Shared::new(core, 100, SOON, None));
        let for_writer = shared.clone();
        let writer = thread::spawn(move || for_writer.run());
        let reserve = StoreError::DiskReserve { free: 99, reserve: 100 }.to_string();
        assert_eq!(shared.shortage().map(|shortage| shortage.to_string()), Some(reserve));
        assert!(matches!(put(&shared, "new", false).blocking_recv(), Ok(Err(StoreError::DiskReserve { .. }))));
        assert!(put(&shared, "end", true).blocking_recv().unwrap().is_ok());
        assert!(shared.failure().is_none(), "nothing is broken");
        shared.core.engine.set_free(100);
        *shared.looked.lock() -= FREE_INTERVAL;
        assert!(shared.shortage().is_none());
        assert!(put(&shared, "new", false).blocking_recv().unwrap().is_ok());
        shared.queue.close();
        writer.join().unwrap();
    }

    #[test]
    fn a_store_that_is_closed_while_broken_tells_those_who_wait() {
        let (shared, writer) = running();
        let (first, second) = (break_it(&shared), put(&shared, "second", true));
        shared.queue.close();
        assert!(matches!(first.blocking_recv(), Ok(Err(StoreError::Failed(_)))));
        assert!(matches!(second.blocking_recv(), Ok(Err(StoreError::Failed(_)))));
        writer.join().unwrap();
    }

    #[test]
    fn an_engine_that_has_lost_a_durable_write_is_not_written_to() {
        let (shared, writer) = running();
        assert!(put(&shared, "before", false).blocking_recv().unwrap().is_ok());
        let mut first = break_it(&shared);
        let (space, head) = crate::core::head_place(Shard::new(0).unwrap());
        assert!(shared.core.engine.lose(space, &head));
        shared.core.engine.set_free(u64::MAX - 1);
        let lost = |failure: &StoreError| matches!(failure, StoreError::Failed(e) if matches!(**e, EngineError::Lost));
        while !shared.failure().as_ref().is_some_and(lost) {
            thread::yield_now();
        }
        assert!(first.try_recv().is_err());
        shared.queue.close();
        assert!(matches!(first.blocking_recv(), Ok(Err(StoreError::Failed(_)))));
        writer.join().unwrap();
    }
}
