//! How fast the ledger is: fills a backlog, then appends and settles on top of it, then drains; prints rates and CPU time.
//! Beside it the engine alone, with records of the same size, in groups of the same size, with the same number of fsyncs.
//!
//! `cargo run --release -p store --example ledger_rate -- [FOLDER] [ENTRIES]`, in a new folder below the working directory.
#![allow(clippy::unwrap_used, reason = "an example ends where something fails")]
#![allow(clippy::print_stdout, reason = "it speaks on standard output")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use impp_model::{Address, Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Proof};
use store::{
    Class, DataDir, End, Entry, FjallStore, Ledger, Limits, Near, OnceKey, Options, Origin, Seq, Shard, SteadyClock,
    Urgency, WindowLimits,
};

const PAIRS: usize = 5_000;
const IN_FLIGHT: usize = 4_000;
const TEXT: usize = 700;
/// Octets of an entry's record.
const RECORD: usize = 1035;
/// Records of one durable write: as many as the store takes.
const GROUP: usize = 1024;

/// Counts what is under way and lets the main thread wait for room.
#[derive(Default)]
struct Gate {
    under_way: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    /// Waits, when the limit is reached, until half of it is free.
    fn enter(&self, limit: usize) {
        let mut under_way = self.under_way.lock().unwrap();
        if *under_way >= limit {
            under_way = self.changed.wait_while(under_way, |n| *n > limit / 2).unwrap();
        }
        *under_way += 1;
    }

    fn leave(&self) {
        let mut under_way = self.under_way.lock().unwrap();
        *under_way -= 1;
        if *under_way == 0 || *under_way == IN_FLIGHT / 2 {
            self.changed.notify_one();
        }
    }

    fn wait_empty(&self) {
        drop(self.changed.wait_while(self.under_way.lock().unwrap(), |n| *n > 0).unwrap());
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "ledger_rate.data".to_owned()));
    let entries: usize = arguments.next().map_or(200_000, |number| number.parse().unwrap());
    let clock = SteadyClock::start();
    let (store, _) = FjallStore::open(DataDir::open(&folder).unwrap(), &Options::default()).unwrap();
    let window = WindowLimits { keep: Duration::from_secs(5), ..WindowLimits::default() };
    let limits = Limits { window, ..Limits::default() };
    let store = Arc::new(store);
    let (ledger, _) = Ledger::open(store.clone(), Shard::all(), limits, clock.now()).unwrap();
    let addresses =
        |name| (0..PAIRS).map(|n| format!("{name}{n}@sip.example.com").parse().unwrap()).collect::<Vec<_>>();
    println!("{:<28}{:>10}{:>12}{:>16}", "", "number", "a second", "CPU us each");
    engine_alone(&folder.with_extension("engine"), entries);
    fill(&ledger, &addresses("romeo"), clock, entries);
    turnover(&ledger, &addresses("benvolio"), clock, entries);
    drain(&ledger, clock);
    let totals = ledger.totals();
    assert_eq!((totals.accepted(), totals.pending), (2 * entries as u64, 0));
    ledger.checkpoint(clock.now(), true);
    store.close();
    drop((ledger, store));
    let started = Instant::now();
    let (store, opened) = FjallStore::open(DataDir::open(&folder).unwrap(), &Options::default()).unwrap();
    println!("reopened in {:.2} s, sound: {}", started.elapsed().as_secs_f64(), opened.is_sound());
    let (started, store) = (Instant::now(), Arc::new(store));
    drop(Ledger::open(store.clone(), Shard::all(), limits, clock.now()).unwrap());
    println!("its ledger read in {:.2} s", started.elapsed().as_secs_f64());
    store.close();
    std::fs::remove_dir_all(folder).unwrap();
}

/// Enqueues and acknowledges in the bare engine, beside a backlog.
fn engine_alone(folder: &Path, entries: usize) {
    let database = fjall::Database::builder(folder).cache_size(32 << 20).worker_threads(1).open().unwrap();
    let queue = database.keyspace("queue", fjall::KeyspaceCreateOptions::default).unwrap();
    let key = |number: usize| [(number % PAIRS).to_be_bytes(), number.to_be_bytes()].concat();
    let groups =
        |from: usize| (from..from + entries).step_by(GROUP).map(move |at| at..(at + GROUP).min(from + entries));
    let enqueue = |numbers: std::ops::Range<usize>| {
        let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
        numbers.for_each(|number| batch.insert(&queue, key(number), vec![b'x'; RECORD]));
        batch.commit().unwrap();
    };
    groups(0).for_each(enqueue);
    measure("engine alone, enqueue + ack", entries, || {
        for numbers in groups(entries) {
            enqueue(numbers.clone());
            let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
            numbers.for_each(|number| batch.remove(&queue, key(number)));
            batch.commit().unwrap();
        }
    });
    drop((queue, database));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Appends to the spool.
fn fill(ledger: &Arc<Ledger>, addresses: &[Address], clock: SteadyClock, entries: usize) {
    measure("append, backlog grows", entries, || {
        let gate = Arc::new(Gate::default());
        for number in 0..entries {
            gate.enter(IN_FLIGHT);
            let entry = entry(addresses, number, clock, Class::Spool);
            let gate = Arc::clone(&gate);
            ledger
                .append(&entry, Urgency::Urgent, move |result| {
                    result.unwrap();
                    gate.leave();
                })
                .unwrap();
        }
        gate.wait_empty();
    });
}

/// Appends and settles, beside the backlog.
fn turnover(ledger: &Arc<Ledger>, others: &[Address], clock: SteadyClock, entries: usize) {
    measure("append + settle on it", entries, || {
        let gate = Arc::new(Gate::default());
        for number in 0..entries {
            gate.enter(IN_FLIGHT);
            // Other pairs: one that is in the spool takes no more than a hundred.
            let entry = entry(others, number + entries, clock, Class::Journal);
            let (to_settle, gate) = (Arc::clone(ledger), Arc::clone(&gate));
            let append = ledger.append(&entry, Urgency::WriteBehind, move |result| {
                settle(&to_settle, result.unwrap(), clock, Urgency::WriteBehind, gate);
            });
            append.unwrap();
            upkeep(ledger, clock, number);
        }
        gate.wait_empty();
    });
}

/// Claims and settles everything, each pair in order.
fn drain(ledger: &Arc<Ledger>, clock: SteadyClock) {
    let entries = ledger.counts().entries;
    measure("claim + settle, drain", entries, || {
        let gate = Arc::new(Gate::default());
        let done = Arc::new(AtomicUsize::new(0));
        while done.load(Ordering::Acquire) < entries {
            let due: Vec<_> = ledger.due(clock.now(), IN_FLIGHT).into_iter().map(|item| item.seq).collect();
            due.iter().for_each(|_| gate.enter(2 * IN_FLIGHT));
            let (to_settle, settled, ended) = (Arc::clone(ledger), Arc::clone(&gate), Arc::clone(&done));
            ledger.claim_all(due, move |seq, claimed| {
                claimed.unwrap();
                ended.fetch_add(1, Ordering::AcqRel);
                settle(&to_settle, seq, clock, Urgency::Urgent, Arc::clone(&settled));
            });
            upkeep(ledger, clock, 0);
            gate.wait_empty();
        }
    });
}

fn settle(ledger: &Arc<Ledger>, seq: Seq, clock: SteadyClock, urgency: Urgency, gate: Arc<Gate>) {
    let end = End::Delivered(Proof::Server);
    ledger
        .settle(seq, end, clock.now(), urgency, move |result| {
            result.unwrap();
            gate.leave();
        })
        .unwrap();
}

fn upkeep(ledger: &Arc<Ledger>, clock: SteadyClock, number: usize) {
    if number.is_multiple_of(1024) {
        ledger.checkpoint(clock.now(), false);
    }
}

fn entry(addresses: &[Address], number: usize, clock: SteadyClock, class: Class) -> Entry {
    let source = addresses.get(number % addresses.len()).unwrap().clone();
    let destination: Address = "juliet@example.org".parse().unwrap();
    let now = clock.now();
    let once = Some(OnceKey::new(&source, &number.to_string()));
    let operation = Operation::Message(Box::new(MessageOperation {
        source: Endpoint::bare(source),
        destination: Endpoint::bare(destination),
        max_forwards: MaxForwards::INITIAL,
        trans_id: format!("z9hG4bK{number}").into(),
        message: InstantMessage::new(Content::text("x".repeat(TEXT))),
    }));
    Entry {
        trace: number as u64,
        operation,
        origin: Origin::Peer,
        near: Near { instance: "sip".into(), reply: Bytes::from_static(&[0; 64]) },
        hop: Some("tcp:192.0.2.1:5060".into()),
        class,
        created: now,
        expires: now.after(Duration::from_secs(86_400)),
        warn: Some(now.after(Duration::from_secs(300))),
        next_try: now,
        attempts: 0,
        uncertain: false,
        once,
    }
}

fn measure(what: &str, number: usize, work: impl FnOnce()) {
    let (started, used) = (Instant::now(), cpu());
    work();
    let (took, used) = (started.elapsed().as_secs_f64(), (cpu() - used).as_secs_f64());
    let number_f = number as f64;
    println!("{what:<28}{number:>10}{:>12.0}{:>16.2}", number_f / took, used * 1e6 / number_f);
}

/// Processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    let ticks: u64 = [11, 12].iter().map(|field| fields.get(*field).unwrap().parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
