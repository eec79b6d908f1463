//! The ledger against a simple book, under random steps, slow disks and crashes.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Proof};
use proptest::prelude::*;
use store::{Class, End, Entry, Ledger, Limits, MemoryStore, Near, Origin, Seq, Shard, State, Timestamp, Urgency};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

#[derive(Debug, Clone)]
enum Step {
    Append { pair: u8, journal: bool },
    Claim { which: usize },
    Postpone { which: usize, reached: bool },
    Settle { which: usize },
    Hold,
    Release,
    Checkpoint,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, any::<bool>()).prop_map(|(pair, journal)| Step::Append { pair, journal }),
        6 => (0..8_usize).prop_map(|which| Step::Claim { which }),
        3 => (0..8_usize, any::<bool>()).prop_map(|(which, reached)| Step::Postpone { which, reached }),
        4 => (0..8_usize).prop_map(|which| Step::Settle { which }),
        1 => Just(Step::Hold),
        2 => Just(Step::Release),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ]
}

/// What the ledger has told, and what was asked of it.
#[derive(Default)]
struct Book {
    /// The pair of each entry whose append is durable.
    appended: BTreeMap<Seq, u8>,
    ending: BTreeSet<Seq>,
    ended: BTreeSet<Seq>,
    /// Those that may have reached the far side.
    sent: BTreeSet<Seq>,
    /// Whether the entry was among them before its present claim.
    sent_before: BTreeMap<Seq, bool>,
    crashed: bool,
    wrong: Vec<String>,
}

impl Book {
    fn claimed(&mut self, seq: Seq, repeat: bool) {
        let pair = self.appended.get(&seq).copied();
        let open = |(earlier, of): (&Seq, &u8)| *earlier < seq && Some(*of) == pair && !self.ended.contains(earlier);
        if self.appended.iter().any(open) {
            self.wrong.push(format!("{seq} overtakes"));
        }
        if self.ended.contains(&seq) {
            self.wrong.push(format!("{seq} is tried after its end"));
        }
        let before = !self.sent.insert(seq);
        if before && !repeat {
            self.wrong.push(format!("{seq} is an unflagged repeat"));
        }
        self.sent_before.insert(seq, repeat);
    }
}

struct Run {
    store: Arc<MemoryStore>,
    ledger: Arc<Ledger>,
    book: Arc<Mutex<Book>>,
    starts: u64,
}

impl Run {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let ledger = Ledger::open(store.clone(), Shard::all(), Limits::default(), NOW).unwrap().0;
        Self { store, ledger, book: Arc::default(), starts: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { pair, journal } => self.append(pair, journal),
            Step::Claim { which } => self.claim(which),
            Step::Postpone { which, reached } => self.postpone(which, reached),
            Step::Settle { which } => self.settle(which),
            Step::Hold => self.store.hold(),
            Step::Release => self.store.release(),
            Step::Checkpoint => self.ledger.checkpoint(NOW, true),
            Step::Crash => self.crash(),
        }
        self.look();
    }

    fn append(&self, pair: u8, journal: bool) {
        let book = Arc::clone(&self.book);
        let done = move |result: Result<Seq, _>| {
            let mut book = book.lock().unwrap();
            let seq = result.unwrap();
            book.appended.insert(seq, pair);
            if journal {
                book.sent.insert(seq);
                book.sent_before.insert(seq, false);
            }
        };
        let class = if journal { Class::Journal } else { Class::Spool };
        self.ledger.append(&entry(pair, class), Urgency::Urgent, done).unwrap();
    }

    fn claim(&self, which: usize) {
        let due = self.ledger.due(NOW, usize::MAX);
        let Some(item) = due.get(which % due.len().max(1)) else { return };
        let (book, seq) = (Arc::clone(&self.book), item.seq);
        let done = move |result: Result<store::Claimed, _>| book.lock().unwrap().claimed(seq, result.unwrap().repeat);
        self.ledger.claim(seq, done).unwrap();
    }

    fn under_way(&self, which: usize) -> Option<Seq> {
        let mut items = self.ledger.list(None, usize::MAX);
        items.retain(|item| item.state == State::Claimed);
        items.get(which % items.len().max(1)).map(|item| item.seq)
    }

    fn postpone(&self, which: usize, reached: bool) {
        let Some(seq) = self.under_way(which) else { return };
        self.ledger.postpone(seq, NOW, reached, None).unwrap();
        let mut book = self.book.lock().unwrap();
        if !reached && book.sent_before.get(&seq) == Some(&false) {
            book.sent.remove(&seq);
        }
    }

    fn settle(&self, which: usize) {
        let Some(seq) = self.under_way(which) else { return };
        self.book.lock().unwrap().ending.insert(seq);
        let book = Arc::clone(&self.book);
        let done = move |result: Result<Option<Seq>, store::LedgerError>| {
            result.unwrap();
            book.lock().unwrap().ended.insert(seq);
        };
        self.ledger.settle(seq, End::Delivered(Proof::Server), NOW, Urgency::Urgent, done).unwrap();
    }

    fn crash(&mut self) {
        let (store, opened) = self.store.reopen().unwrap();
        assert!(opened.is_sound(), "{opened:?}");
        // What waits for the disk is lost with the process, and its completions with it.
        std::mem::forget(std::mem::replace(&mut self.store, Arc::new(store)));
        self.starts += 1;
        let later = NOW.after(Duration::from_secs(self.starts));
        self.ledger = Ledger::open(self.store.clone(), Shard::all(), Limits::default(), later).unwrap().0;
        let mut book = self.book.lock().unwrap();
        book.crashed = true;
        let there: BTreeSet<Seq> = self.ledger.list(None, usize::MAX).into_iter().map(|item| item.seq).collect();
        for seq in book.appended.keys() {
            assert!(there.contains(seq) || book.ending.contains(seq), "{seq} is lost");
            assert!(!there.contains(seq) || !book.ended.contains(seq), "{seq} is back");
        }
        // An end that nobody has heard of counts when its entry is gone.
        let silent: Vec<_> = book.ending.iter().filter(|seq| !there.contains(seq)).copied().collect();
        book.ended.extend(silent);
        let back: BTreeSet<_> = book.ending.intersection(&there).copied().collect();
        book.ending.retain(|seq| !back.contains(seq));
    }

    fn look(&self) {
        let book = self.book.lock().unwrap();
        assert_eq!(book.wrong, [""; 0]);
        let totals = self.ledger.totals();
        assert_eq!(totals.pending as usize, book.appended.keys().filter(|seq| !book.ended.contains(seq)).count());
        assert!(totals.delivered as usize <= book.ended.len());
        if !book.crashed {
            assert_eq!(
                (totals.accepted() as usize, totals.delivered as usize),
                (book.appended.len(), book.ended.len())
            );
        }
    }
}

fn entry(pair: u8, class: Class) -> Entry {
    let operation = Operation::Message(Box::new(MessageOperation {
        source: Endpoint::bare(format!("u{pair}@sip.example.com").parse().unwrap()),
        destination: Endpoint::bare("juliet@example.org".parse().unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t".into(),
        message: InstantMessage::new(Content::text("hi")),
    }));
    Entry {
        trace: 0,
        operation,
        origin: Origin::Peer,
        near: Near { instance: "sip".into(), reply: Bytes::new() },
        hop: None,
        class,
        created: NOW,
        expires: NOW.after(Duration::from_secs(60)),
        warn: None,
        next_try: NOW,
        attempts: 0,
        uncertain: false,
        once: None,
    }
}

proptest! {
    #[test]
    fn the_ledger_agrees_with_the_book(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.store.release();
        run.look();
        run.crash();
    }
}
