//! The archive hook: operations told to a consumer outside, in their order, with a declared answer to its absence.
//!
//! Each operation is told when it is taken and when it ends. The consumer reads batches; what it has not taken stays here,
//! within bounds. What that means for the operations themselves is [`WhenAway`].

use crate::core::{Core, now};
use crate::waiting::Waiting;
use adapter_api::{InstanceName, Provenance, TraceId};
use impp_model::{Address, Cause, Failure, Kind, Operation, Outcome, Side};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// What becomes of operations while the consumer takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAway {
    /// They pass; what finds no room here is not archived, and counted.
    Continue,
    /// They pass; who reads the batches keeps them on disk. Without room here, as with a full disk, they are refused.
    Spool,
    /// No message passes before the consumer has taken it; those that wait too long are refused. Other kinds are only told.
    Block,
}

/// One thing that is told.
#[derive(Debug)]
pub struct Record {
    /// When it happened.
    pub at: SystemTime,
    /// The operation's trace.
    pub trace: TraceId,
    /// The operation's kind.
    pub kind: Kind,
    /// Whose it is.
    pub from: Address,
    /// Whom it is for.
    pub to: Address,
    /// What.
    pub event: ArchiveEvent,
}

impl Record {
    fn new(trace: TraceId, operation: &Operation, event: ArchiveEvent) -> Self {
        let (from, to) = (operation.source().address.clone(), operation.destination().address.clone());
        Self { at: SystemTime::now(), trace, kind: operation.kind(), from, to, event }
    }
}

/// What happened to an operation.
#[derive(Debug)]
pub enum ArchiveEvent {
    /// It was admitted, from this instance and this peer of it, with what it says.
    Taken(InstanceName, Arc<str>, Arc<Operation>),
    /// It was stored, or ended: the event in its trace, and what its sender heard.
    Ended(&'static str, Outcome),
}

/// Records on their way to the consumer.
#[derive(Debug)]
pub struct Archive {
    kinds: Vec<Kind>,
    when_away: WhenAway,
    queue: Mutex<VecDeque<Entry>>,
    news: Notify,
    archived: AtomicU64,
    lost: AtomicU64,
    up: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    /// What goes on when the consumer has taken the record.
    blocked: Option<Waiting>,
}

/// Records that wait for the consumer: five seconds at two thousand a second. Where nothing may be lost, ends of messages that were
/// told when they were taken are told beyond it: there are no more of them than such messages.
const ROOM: usize = 10_000;

/// Whether an operation may go on.
enum Pass {
    At(Box<Waiting>),
    Later,
    Full(Box<Waiting>),
}

impl Archive {
    /// An archive of operations of these kinds.
    pub fn new(kinds: Vec<Kind>, when_away: WhenAway) -> Self {
        Self {
            kinds,
            when_away,
            queue: Mutex::default(),
            news: Notify::new(),
            archived: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            up: AtomicBool::new(true),
        }
    }

    /// What becomes of operations while the consumer is away.
    pub fn when_away(&self) -> WhenAway {
        self.when_away
    }

    /// Waits for records and gives the first of them, at most `most`; they stay here until [`Core::archived`]. Cancel-safe.
    pub async fn batch(&self, most: usize) -> Vec<Arc<Record>> {
        loop {
            let batch: Vec<_> = self.queue.lock().iter().take(most).map(|entry| entry.record.clone()).collect();
            if !batch.is_empty() {
                return batch;
            }
            self.news.notified().await;
        }
    }

    /// Notes whether the consumer takes what it is given.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    /// Whether it does.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// How many records wait here, how many the consumer took, and how many it never will.
    pub fn counts(&self) -> (usize, u64, u64) {
        (self.queue.lock().len(), self.archived.load(Relaxed), self.lost.load(Relaxed))
    }

    fn wants(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    fn take(&self, record: Record, waiting: Waiting) -> Pass {
        let (record, mut queue) = (Arc::new(record), self.queue.lock());
        let full = queue.len() >= ROOM;
        let (entry, pass) = match self.when_away {
            WhenAway::Continue if full => {
                self.lost.fetch_add(1, Relaxed);
                return Pass::At(Box::new(waiting));
            }
            WhenAway::Spool | WhenAway::Block if full => return Pass::Full(Box::new(waiting)),
            WhenAway::Continue | WhenAway::Spool => (Entry { record, blocked: None }, Pass::At(Box::new(waiting))),
            WhenAway::Block => (Entry { record, blocked: Some(waiting) }, Pass::Later),
        };
        queue.push_back(entry);
        drop(queue);
        self.news.notify_one();
        pass
    }

    /// Tells of what nothing waits for; without room only what `passes`, where nothing may be lost.
    fn tell(&self, record: Record, passes: bool) {
        let mut queue = self.queue.lock();
        if queue.len() >= ROOM && !(passes && self.when_away != WhenAway::Continue) {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        queue.push_back(Entry { record: Arc::new(record), blocked: None });
        drop(queue);
        self.news.notify_one();
    }

    /// The first `count` are gone from here; what waited for them.
    fn remove(&self, count: usize) -> Vec<Waiting> {
        let mut queue = self.queue.lock();
        let count = count.min(queue.len());
        queue.drain(..count).filter_map(|entry| entry.blocked).collect()
    }

    /// What has waited for longer than `patience`.
    fn overdue(&self, patience: Duration, now: Instant) -> Vec<Waiting> {
        let is_late = |waiting: &mut Waiting| now.saturating_duration_since(waiting.since) > patience;
        let mut queue = self.queue.lock();
        queue.iter_mut().filter_map(|entry| entry.blocked.take_if(is_late)).collect()
    }

    fn is_holding(&self) -> bool {
        self.when_away == WhenAway::Block && self.queue.lock().iter().any(|entry| entry.blocked.is_some())
    }
}

impl Core {
    /// Has operations told to an archive from now on; the first one stays.
    pub fn archive_to(&self, archive: Arc<Archive>) {
        // An error means that there is one.
        let _ = self.archive.set(archive);
    }

    /// The archive, if there is one.
    pub fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.get()
    }

    /// The first `count` records are the consumer's.
    pub fn archived(&self, count: usize) {
        let Some(archive) = self.archive.get() else { return };
        archive.archived.fetch_add(count as u64, Relaxed);
        archive.remove(count).into_iter().for_each(|waiting| self.route(waiting));
    }

    /// The first `count` records are given up.
    pub fn not_archived(&self, count: usize) {
        let Some(archive) = self.archive.get() else { return };
        archive.lost.fetch_add(count as u64, Relaxed);
        archive.remove(count).into_iter().for_each(|waiting| self.route(waiting));
    }

    /// Tells the archive of what was admitted, and routes it when it may go on.
    pub(crate) fn archive_and_route(&self, waiting: Waiting) {
        let Some(archive) = self.archive.get().filter(|archive| archive.wants(waiting.operation.kind())) else {
            return self.route(waiting);
        };
        let event = ArchiveEvent::Taken(waiting.near.clone(), waiting.peer.clone(), waiting.operation.clone());
        match archive.take(Record::new(waiting.trace, &waiting.operation, event), waiting) {
            Pass::At(waiting) => self.route(*waiting),
            Pass::Later => {}
            Pass::Full(waiting) => {
                self.counters.queue_full();
                self.turn_away(
                    *waiting,
                    Failure::new(Side::Ours, Cause::Overload).with_text("the archive has no room"),
                );
            }
        }
    }

    /// Tells the archive of an operation that is no message, and passes at once.
    pub(crate) fn archive_other(&self, trace: TraceId, operation: &Operation, provenance: &Provenance) {
        let kind = operation.kind();
        if let Some(archive) = self.archive.get().filter(|archive| kind != Kind::Message && archive.wants(kind)) {
            let whole = Arc::new(operation.clone());
            let event = ArchiveEvent::Taken(provenance.adapter.clone(), provenance.peer.clone(), whole);
            archive.tell(Record::new(trace, operation, event), false);
        }
    }

    /// Tells the archive what became of an operation, and whether that was `admitted`.
    pub(crate) fn archive_end(
        &self,
        trace: TraceId,
        what: &'static str,
        outcome: &Outcome,
        operation: &Operation,
        admitted: bool,
    ) {
        let kind = operation.kind();
        let Some(archive) = self.archive.get().filter(|archive| archive.wants(kind)) else { return };
        let event = ArchiveEvent::Ended(what, outcome.clone());
        // Other kinds are not held, so nothing bounds how many there are.
        archive.tell(Record::new(trace, operation, event), admitted && kind == Kind::Message);
    }

    /// Refuses what has waited too long for the archive.
    pub(crate) fn sweep_archive(&self) {
        let Some(archive) = self.archive.get().filter(|archive| archive.when_away == WhenAway::Block) else { return };
        for waiting in archive.overdue(self.config.delivery.hold_timeout, now()) {
            let failure = Failure::new(Side::Ours, Cause::Overload).with_text("the archive has not taken it");
            self.refuse(waiting, failure);
        }
    }

    pub(crate) fn waits_for_archive(&self) -> bool {
        self.archive.get().is_some_and(|archive| archive.is_holding())
    }
}
