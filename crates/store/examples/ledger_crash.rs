//! The process that `tests/crash.rs` kills: appends, claims, postpones and settles as fast as it can, and says what it was told.
//!
//! `ledger_crash FOLDER SEED`. A line is written when its step is durable, but `end`, which is written before the settlement
//! begins: `append SEQ PAIR NUMBER`, `claim SEQ`, `end SEQ`, `settle SEQ`.
#![allow(clippy::unwrap_used, reason = "an example ends where something fails")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use impp_model::{Cause, Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Proof};
use store::{
    Claimed, Class, DataDir, End, Entry, FjallStore, Ledger, LedgerError, Limits, Near, OnceKey, Options, Origin, Seq,
    Shard, SteadyClock, Urgency,
};

const PAIRS: u64 = 7;
const IN_FLIGHT: usize = 300;
/// Entries in the ledger from which on more are drained than come in.
const BACKLOG: usize = 2_000;

/// Lets the main thread wait for room.
#[derive(Default)]
struct Gate {
    under_way: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn enter(&self) {
        *self.changed.wait_while(self.under_way.lock().unwrap(), |n| *n >= IN_FLIGHT).unwrap() += 1;
    }

    fn leave(&self) {
        *self.under_way.lock().unwrap() -= 1;
        self.changed.notify_one();
    }
}

/// One load on one ledger.
#[derive(Clone)]
struct Load {
    ledger: Arc<Ledger>,
    gate: Arc<Gate>,
    clock: SteadyClock,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let mut random: u64 = arguments.next().unwrap().parse().unwrap();
    let options = Options { disk_reserve: 0, ..Options::default() };
    let (store, _) = FjallStore::open(DataDir::open(&folder).unwrap(), &options).unwrap();
    let clock = SteadyClock::start();
    let limits = Limits { behind: usize::MAX, ..Limits::default() };
    let (ledger, _) = Ledger::open(Arc::new(store), Shard::all(), limits, clock.now()).unwrap();
    let load = Load { ledger, gate: Arc::default(), clock };
    let first = clock.now().0 << 16;
    for number in first.. {
        // The generator of Numerical Recipes, for choices only.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let choice = random >> 16 & 7;
        load.append(number, choice);
        if choice < 2 || load.ledger.counts().entries > BACKLOG {
            load.work_off(choice);
        }
        load.ledger.checkpoint(clock.now(), false);
    }
}

impl Load {
    fn append(&self, number: u64, choice: u64) {
        self.gate.enter();
        let class = if choice.is_multiple_of(2) { Class::Spool } else { Class::Journal };
        let urgency = if choice < 4 { Urgency::Urgent } else { Urgency::WriteBehind };
        let pair = number % PAIRS;
        let load = self.clone();
        let done = move |result: Result<Seq, LedgerError>| {
            let seq = result.unwrap();
            say(&format!("append {seq} {pair} {number}"));
            match class {
                Class::Spool => load.gate.leave(),
                Class::Journal if choice == 1 => {
                    let now = load.clock.now();
                    load.ledger.postpone(seq, now, true, Some(Cause::Unconfirmed)).unwrap();
                    load.gate.leave();
                }
                Class::Journal => load.settle(seq, urgency),
            }
        };
        self.ledger.append(&self.entry(pair, number, class), urgency, done).unwrap();
    }

    /// Tries what is due: a part of it is postponed, the rest ends.
    fn work_off(&self, choice: u64) {
        for item in self.ledger.due(self.clock.now(), 8) {
            self.gate.enter();
            let load = self.clone();
            let done = move |result: Result<Claimed, LedgerError>| {
                let seq = result.unwrap().seq;
                say(&format!("claim {seq}"));
                if choice == 0 {
                    let later = load.clock.now().after(Duration::from_millis(20));
                    load.ledger.postpone(seq, later, true, None).unwrap();
                    load.gate.leave();
                } else {
                    load.settle(seq, Urgency::Urgent);
                }
            };
            self.ledger.claim(item.seq, done).unwrap();
        }
    }

    fn settle(&self, seq: Seq, urgency: Urgency) {
        say(&format!("end {seq}"));
        let gate = Arc::clone(&self.gate);
        let done = move |result: Result<_, LedgerError>| {
            result.unwrap();
            say(&format!("settle {seq}"));
            gate.leave();
        };
        self.ledger.settle(seq, End::Delivered(Proof::Server), self.clock.now(), urgency, done).unwrap();
    }

    fn entry(&self, pair: u64, number: u64, class: Class) -> Entry {
        let source: impp_model::Address = format!("user{pair}@sip.example.com").parse().unwrap();
        let now = self.clock.now();
        let once = Some(OnceKey::new(&source, &number.to_string()));
        let operation = Operation::Message(Box::new(MessageOperation {
            source: Endpoint::bare(source),
            destination: Endpoint::bare("juliet@example.org".parse().unwrap()),
            max_forwards: MaxForwards::INITIAL,
            trans_id: number.to_string().into(),
            message: InstantMessage::new(Content::text("x".repeat((number % 300) as usize))),
        }));
        Entry {
            trace: number,
            operation,
            origin: Origin::Peer,
            near: Near { instance: "sip".into(), reply: Bytes::new() },
            hop: None,
            class,
            created: now,
            expires: now.after(Duration::from_secs(86_400)),
            warn: None,
            next_try: now,
            attempts: 0,
            uncertain: false,
            once,
        }
    }
}

/// Writes a line at once, in one piece.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}
