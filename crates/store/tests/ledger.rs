//! The ledger's promises, on a store in memory that can be slow, broken or restarted at will.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use impp_model::{
    Cause, Content, Endpoint, Failure, InstantMessage, MaxForwards, MessageOperation, Operation, Proof, Receipts, Side,
};
use store::{
    Batch, Claimed, Class, Completion, Conclusion, End, Entry, Fence, Ledger, LedgerError, Limits, MemoryStore, Near,
    OnceKey, Origin, Pair, Recall, Record, Recovered, Seen, Seq, Shard, State, Store, StoreError, Table, Timestamp,
    Totals, Urgency, Version, WindowLimits,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DELIVERED: End = End::Delivered(Proof::Server);

/// A ledger and its store.
struct Lab {
    store: Arc<MemoryStore>,
    ledger: Arc<Ledger>,
}

impl Lab {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::open(MemoryStore::new(), limits, NOW).0
    }

    fn open(store: MemoryStore, limits: Limits, now: Timestamp) -> (Self, Recovered) {
        let store = Arc::new(store);
        let (ledger, recovered) = Ledger::open(store.clone(), Shard::all(), limits, now).unwrap();
        (Self { store, ledger }, recovered)
    }

    /// What a crash at this moment leaves.
    fn crash(&self, now: Timestamp) -> (Self, Recovered) {
        let (store, opened) = self.store.reopen().unwrap();
        assert!(opened.is_sound(), "{opened:?}");
        Self::open(store, Limits::default(), now)
    }

    fn append(&self, entry: &Entry) -> Result<Seq, LedgerError> {
        let told = Told::new();
        self.ledger.append(entry, Urgency::Urgent, told.call())?;
        told.take()
    }

    fn claim(&self, seq: Seq) -> Result<Claimed, LedgerError> {
        let told = Told::new();
        self.ledger.claim(seq, told.call())?;
        told.take()
    }

    fn settle(&self, seq: Seq, end: End) -> Result<(), LedgerError> {
        let told = Told::new();
        self.ledger.settle(seq, end, NOW, Urgency::Urgent, told.call())?;
        told.take().map(drop)
    }

    fn due(&self, now: Timestamp) -> Vec<Seq> {
        self.ledger.due(now, 1000).into_iter().map(|item| item.seq).collect()
    }

    fn totals(&self) -> Totals {
        self.ledger.totals()
    }
}

/// What a completion was told.
struct Told<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Told<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn call(&self) -> impl FnOnce(T) + Send + 'static {
        let slot = Arc::clone(&self.0);
        move |told| assert!(slot.lock().unwrap().replace(told).is_none())
    }

    fn is_told(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    fn take(&self) -> T {
        self.0.lock().unwrap().take().expect("the completion was called")
    }
}

fn entry(source: &str, text: &str) -> Entry {
    let operation = Operation::Message(Box::new(MessageOperation {
        source: Endpoint::bare(format!("{source}@sip.example.com").parse().unwrap()),
        destination: Endpoint::bare("juliet@example.org".parse().unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t1".into(),
        message: InstantMessage::new(Content::text(text)),
    }));
    Entry {
        trace: 7,
        operation,
        origin: Origin::Peer,
        near: Near { instance: "sip".into(), reply: Bytes::from_static(b"reply") },
        hop: Some("link:office".into()),
        class: Class::Spool,
        created: NOW,
        expires: NOW.after(Duration::from_secs(3600)),
        warn: None,
        next_try: NOW,
        attempts: 0,
        uncertain: false,
        once: None,
    }
}

fn journal(source: &str, text: &str) -> Entry {
    Entry { class: Class::Journal, ..entry(source, text) }
}

fn seconds(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn not_found() -> End {
    End::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound)))
}

#[test]
fn nothing_is_accepted_before_it_is_durable() {
    let lab = Lab::new();
    lab.store.hold();
    let told = Told::new();
    let seq = lab.ledger.append(&entry("romeo", "hi"), Urgency::Urgent, told.call()).unwrap();
    assert!(!told.is_told());
    assert_eq!((lab.totals().accepted(), lab.due(NOW)), (0, vec![]));
    assert_eq!(lab.crash(NOW).1.entries, 0);
    lab.store.release();
    assert_eq!(told.take().unwrap(), seq);
    assert_eq!((lab.totals().accepted(), lab.due(NOW)), (1, vec![seq]));
    let (again, recovered) = lab.crash(NOW);
    assert_eq!((recovered.entries, recovered.uncertain), (1, 0));
    assert_eq!(again.ledger.get(seq).unwrap(), entry("romeo", "hi"));
}

#[test]
fn an_append_that_fails_leaves_nothing() {
    let lab = Lab::new();
    lab.store.fail();
    let refused = lab.append(&entry("romeo", "hi")).unwrap_err();
    assert!(refused.is_overload());
    assert_eq!((lab.ledger.counts().entries, lab.ledger.counts().octets, lab.totals()), (0, 0, Totals::default()));
}

#[test]
fn a_pair_goes_one_after_the_other_and_pairs_do_not_wait_for_each_other() {
    let lab = Lab::new();
    let first = lab.append(&entry("romeo", "1")).unwrap();
    let second = lab.append(&entry("romeo", "2")).unwrap();
    let other = lab.append(&entry("mercutio", "1")).unwrap();
    assert_eq!(lab.due(NOW), [first, other]);
    assert!(matches!(lab.claim(second), Err(LedgerError::NotFirst(_))));
    assert_eq!(lab.claim(first).unwrap().entry, entry("romeo", "1"));
    assert_eq!(lab.due(NOW), [other]);
    assert!(matches!(lab.claim(first), Err(LedgerError::WrongState { state: State::Claimed, .. })));
    lab.ledger.postpone(first, seconds(10), false, Some(Cause::LinkDown)).unwrap();
    assert_eq!(lab.due(seconds(9)), [other]);
    assert_eq!(lab.due(seconds(10)), [other, first]);
    lab.claim(first).unwrap();
    lab.settle(first, DELIVERED).unwrap();
    assert_eq!(lab.due(NOW), [second, other]);
}

#[test]
fn the_next_of_a_pair_waits_until_the_end_is_durable() {
    let lab = Lab::new();
    let first = lab.append(&entry("romeo", "1")).unwrap();
    let second = lab.append(&entry("romeo", "2")).unwrap();
    lab.claim(first).unwrap();
    lab.store.hold();
    let told = Told::new();
    lab.ledger.settle(first, DELIVERED, NOW, Urgency::Urgent, told.call()).unwrap();
    assert_eq!((lab.due(NOW), lab.totals().delivered, lab.totals().pending), (vec![], 0, 2));
    lab.store.release();
    assert!(told.take().is_ok());
    assert_eq!((lab.due(NOW), lab.totals().delivered, lab.totals().pending), (vec![second], 1, 1));
}

#[test]
fn a_claim_is_durable_before_it_is_given() {
    let lab = Lab::new();
    let seq = lab.append(&entry("romeo", "1")).unwrap();
    lab.store.hold();
    let told = Told::new();
    lab.ledger.claim(seq, told.call()).unwrap();
    assert!(!told.is_told());
    assert_eq!(lab.crash(NOW).1.uncertain, 0);
    lab.store.release();
    let claimed = told.take().unwrap();
    assert_eq!((claimed.attempts, claimed.repeat), (1, false));
    let (again, recovered) = lab.crash(NOW);
    assert_eq!(recovered.uncertain, 1);
    let claimed = again.claim(seq).unwrap();
    assert_eq!((claimed.attempts, claimed.repeat), (2, true));
}

#[test]
fn a_try_that_did_not_reach_the_far_side_is_no_repeat() {
    let lab = Lab::new();
    let seq = lab.append(&entry("romeo", "1")).unwrap();
    lab.claim(seq).unwrap();
    lab.ledger.postpone(seq, NOW, false, Some(Cause::LinkDown)).unwrap();
    assert_eq!(lab.ledger.item(seq).unwrap().last, Some(Cause::LinkDown));
    let (lab, _) = lab.crash(NOW);
    let claimed = lab.claim(seq).unwrap();
    assert_eq!((claimed.repeat, claimed.edition), (false, 1));
    lab.ledger.postpone(seq, NOW, true, Some(Cause::Unconfirmed)).unwrap();
    assert!(lab.claim(seq).unwrap().repeat);
    lab.ledger.postpone(seq, NOW, false, None).unwrap();
    let (lab, _) = lab.crash(NOW);
    let claimed = lab.claim(seq).unwrap();
    assert_eq!(
        (claimed.repeat, claimed.edition, claimed.attempts),
        (true, 1, 4),
        "the ids of the one that may have arrived"
    );
}

#[test]
fn a_journalled_one_is_under_way_and_waits_only_after_a_crash() {
    let lab = Lab::new();
    let seq = lab.append(&journal("romeo", "1")).unwrap();
    assert_eq!(lab.due(seconds(9)), []);
    assert_eq!(lab.ledger.pair(Pair::of(&entry("romeo", "").operation)), (1, false));
    let (again, recovered) = lab.crash(NOW);
    assert_eq!((recovered.uncertain, again.due(NOW)), (1, vec![seq]));
    assert!(again.claim(seq).unwrap().repeat);
    lab.settle(seq, DELIVERED).unwrap();
    assert_eq!(lab.crash(NOW).1.entries, 0);
}

#[test]
fn a_journalled_one_can_end_or_wait_before_its_append_is_durable() {
    let lab = Lab::new();
    lab.store.hold();
    let (appended, told) = (Told::new(), Told::new());
    let ended = lab.ledger.append(&journal("romeo", "1"), Urgency::WriteBehind, appended.call()).unwrap();
    lab.ledger.settle(ended, DELIVERED, NOW, Urgency::WriteBehind, told.call()).unwrap();
    let postponed = lab.ledger.append(&journal("tybalt", "1"), Urgency::WriteBehind, |_| {}).unwrap();
    lab.ledger.postpone(postponed, seconds(1), false, None).unwrap();
    lab.store.release();
    assert!(appended.take().is_ok() && told.take().is_ok());
    assert_eq!((lab.due(seconds(1)), lab.totals().accepted(), lab.totals().delivered), (vec![postponed], 2, 1));
    assert!(!lab.claim(postponed).unwrap().repeat);
    assert_eq!(lab.crash(NOW).1.entries, 1);
}

#[test]
fn the_equation_holds_through_ends_and_crashes() {
    let lab = Lab::new();
    let ends = [DELIVERED, End::HandedOver, not_found(), End::Expired];
    for (number, end) in ends.into_iter().enumerate() {
        let seq = lab.append(&entry(&format!("u{number}"), "1")).unwrap();
        lab.claim(seq).unwrap();
        lab.settle(seq, end).unwrap();
    }
    lab.ledger.end_held(None, DELIVERED, NOW);
    lab.append(&Entry { origin: Origin::Gateway, ..entry("gateway", "notice") }).unwrap();
    lab.append(&entry("romeo", "waits")).unwrap();
    lab.ledger.count_reversed();
    let expected = Totals { delivered: 2, handed_over: 1, failed: 1, expired: 1, pending: 1, reversed: 1, untold: 0 };
    assert_eq!((lab.totals(), lab.totals().accepted()), (expected, 6));
    lab.ledger.checkpoint(NOW, false);
    lab.ledger.end_held(None, DELIVERED, NOW);
    lab.ledger.checkpoint(NOW, false);
    let (again, _) = lab.crash(NOW);
    assert_eq!(again.totals(), expected, "what was settled within the second is gone from both sides");
    lab.ledger.checkpoint(seconds(1), false);
    assert_eq!(lab.crash(NOW).0.totals().delivered, 3);
}

#[test]
fn an_end_in_order_is_told_from_a_crash() {
    let first = Lab::new();
    assert!(first.ledger.begin(NOW), "nobody was there before");
    let (second, _) = first.crash(NOW);
    assert!(!second.ledger.begin(NOW));
    second.ledger.end(NOW);
    // Who only looks after the store changes nothing.
    let (visitor, _) = second.crash(NOW);
    visitor.ledger.checkpoint(NOW, true);
    let (third, _) = visitor.crash(NOW);
    assert!(third.ledger.begin(NOW));
    third.ledger.checkpoint(NOW, true);
    let (visitor, _) = third.crash(NOW);
    visitor.ledger.checkpoint(NOW, true);
    assert!(!visitor.crash(NOW).0.ledger.begin(NOW));
}

#[test]
fn a_notice_and_the_end_it_tells_are_one_commit() {
    let lab = Lab::new();
    let seq = lab.append(&entry("romeo", "1")).unwrap();
    lab.claim(seq).unwrap();
    lab.store.hold();
    let notice = Entry { origin: Origin::Gateway, ..entry("gateway", "not delivered") };
    let told = Told::new();
    lab.ledger
        .settle(seq, Conclusion { notice: Some(&notice), ..not_found().into() }, NOW, Urgency::Urgent, told.call())
        .unwrap();
    assert_eq!(lab.crash(NOW).1.entries, 1);
    lab.store.release();
    let number = told.take().unwrap().unwrap();
    assert_eq!(lab.due(NOW), [number]);
    let (again, recovered) = lab.crash(NOW);
    assert_eq!((recovered.entries, again.ledger.get(number).unwrap()), (1, notice));
    assert_eq!(again.totals().pending, 0);
}

/// A message that waits for this hop.
fn waits_for(hop: &str, source: &str) -> Entry {
    Entry { hop: Some(hop.into()), ..entry(source, "1") }
}

#[test]
fn the_bounds_refuse_and_give_room_again() {
    let lab = Lab::with(Limits { records: 2, ..Limits::default() });
    let first = lab.append(&waits_for("x", "a")).unwrap();
    lab.append(&waits_for("y", "b")).unwrap();
    assert!(matches!(lab.append(&waits_for("z", "c")), Err(LedgerError::Full { records: 2, .. })));
    lab.claim(first).unwrap();
    lab.settle(first, DELIVERED).unwrap();
    lab.append(&waits_for("z", "c")).unwrap();

    let lab = Lab::with(Limits { octets: 3000, ..Limits::default() });
    lab.append(&entry("a", &"x".repeat(1000))).unwrap();
    assert!(matches!(lab.append(&entry("b", &"x".repeat(1000))), Err(LedgerError::Full { records: 1, .. })));
    assert!(lab.ledger.refuses().is_none(), "a smaller one has room");
}

#[test]
fn a_full_ledger_says_so_until_there_is_some_room_and_takes_what_is_under_way() {
    let lab = Lab::with(Limits { records: 40, ..Limits::default() });
    let waits = |number: u32| lab.append(&waits_for(&number.to_string(), &number.to_string())).unwrap();
    let entries: Vec<_> = (0..40).map(waits).collect();
    let is_full = || matches!(lab.ledger.refuses(), Some(LedgerError::Full { .. }));
    assert!(is_full());
    let under_way = lab.append(&journal("romeo", "live")).unwrap();
    assert_eq!(lab.ledger.entries(), 41, "refused before it was sent on, or never");
    lab.settle(under_way, DELIVERED).unwrap();
    let end = |seq| {
        lab.claim(seq).unwrap();
        lab.settle(seq, DELIVERED).unwrap();
    };
    end(entries[0]);
    assert!(is_full(), "each end would be told");
    lab.append(&waits_for("other", "other")).unwrap();
    entries[1..=2].iter().for_each(|seq| end(*seq));
    assert!(!is_full());
    // Limits that were lowered are reached from the start.
    let counts_only = Lab::with(Limits { records: 0, ..Limits::default() });
    assert!(counts_only.ledger.refuses().is_none(), "nothing is to be stored");
}

#[test]
fn one_hop_leaves_as_much_room_for_all_others_as_it_takes() {
    let lab = Lab::with(Limits { records: 40, ..Limits::default() });
    let fill = |hop: &str| {
        let taken = |number: &u32| lab.append(&waits_for(hop, &format!("{hop}{number}"))).is_ok();
        (0..40).take_while(taken).count()
    };
    assert!(lab.ledger.refuses_for("dead").is_none());
    assert_eq!((fill("dead"), fill("dead too"), fill("healthy")), (20, 10, 5));
    let refused = lab.append(&waits_for("dead", "another")).unwrap_err();
    assert!(matches!(refused, LedgerError::HopFull { records: 20, .. }) && refused.is_overload(), "{refused}");
    assert!(lab.ledger.refuses_for("dead").is_some() && lab.ledger.refuses_for("new").is_none());
    assert!(lab.ledger.refuses().is_none(), "the ledger has room");
    let crowded = lab.ledger.crowded();
    let hops: Vec<_> = crowded.iter().map(|hop| (hop.hop.as_deref(), hop.entries)).collect();
    assert_eq!(hops, [(Some("dead"), 20), (Some("dead too"), 10), (Some("healthy"), 5)]);
    // What no hop is known of has a share, too; the gateway's own words and what is under way keep to none.
    let unrouted = |number: &u32| lab.append(&Entry { hop: None, ..entry(&format!("n{number}"), "1") }).is_ok();
    assert_eq!((0..40).take_while(unrouted).count(), 3);
    lab.append(&Entry { origin: Origin::Gateway, ..waits_for("dead", "gateway") }).unwrap();
    lab.append(&Entry { class: Class::Journal, ..waits_for("dead", "live") }).unwrap();
    assert_eq!(lab.ledger.entries(), 40);
}

#[test]
fn of_many_hops_that_fill_the_ledger_together_none_is_named() {
    let lab = Lab::with(Limits { records: 40, ..Limits::default() });
    for number in (0..40).map(|number: u32| number.to_string()) {
        lab.append(&waits_for(&number, &number)).unwrap();
    }
    assert!(lab.ledger.refuses().is_some() && lab.ledger.refuses_for("0").is_some());
    assert!(lab.ledger.crowded().is_empty(), "each has one entry, and the ledger says that it is full");
}

#[test]
fn octets_are_shared_as_entries_are_and_a_restart_knows_the_shares() {
    let lab = Lab::with(Limits { octets: 40_000, ..Limits::default() });
    let large = |hop: &str, number: u32| {
        let large = entry(&format!("{hop}{number}"), &"x".repeat(1000));
        lab.append(&Entry { hop: Some(hop.into()), ..large }).is_ok()
    };
    let dead = (0..40).take_while(|number| large("dead", *number)).count();
    assert!(large("healthy", 0));
    let octets = lab.ledger.crowded()[0].octets;
    assert!((18_000..=22_000).contains(&octets) && dead > 5, "{dead} entries, {octets} octets");
    let again = Ledger::open(Arc::new(lab.store.reopen().unwrap().0), Shard::all(), limits_of(40_000), NOW).unwrap().0;
    assert_eq!(again.crowded(), lab.ledger.crowded());
    // Enough of it ends, and it has room again.
    let seqs: Vec<_> = lab.due(NOW);
    for seq in &seqs[..dead / 2] {
        lab.claim(*seq).unwrap();
        lab.settle(*seq, DELIVERED).unwrap();
    }
    assert!(lab.ledger.refuses_for("dead").is_none() && lab.ledger.crowded().is_empty());
}

fn limits_of(octets: u64) -> Limits {
    Limits { octets, ..Limits::default() }
}

#[test]
fn behind_one_in_the_spool_at_most_the_limit_waits() {
    let lab = Lab::with(Limits { behind: 2, ..Limits::default() });
    let live: Vec<_> = (0..4).map(|_| lab.append(&journal("romeo", "live")).unwrap()).collect();
    lab.ledger.postpone(live[0], NOW, true, None).unwrap();
    assert!(matches!(lab.append(&entry("romeo", "5")), Err(LedgerError::PairFull { limit: 2 })));
    for seq in &live[1..3] {
        lab.settle(*seq, DELIVERED).unwrap();
    }
    lab.append(&entry("romeo", "5")).unwrap();
    assert!(matches!(lab.append(&entry("romeo", "6")), Err(LedgerError::PairFull { .. })));
    lab.append(&entry("mercutio", "1")).unwrap();
}

#[test]
fn order_survives_a_restart_and_a_clock_that_went_back() {
    let lab = Lab::new();
    let mut order: Vec<_> = (0..5).map(|n| lab.append(&entry("romeo", &n.to_string())).unwrap()).collect();
    lab.ledger.checkpoint(NOW, false);
    let back = Duration::from_secs(500_000);
    let earlier = Timestamp(NOW.0 - back.as_millis() as u64);
    let (lab, recovered) = lab.crash(earlier);
    assert_eq!(recovered.clock_back, Some(back));
    order.push(lab.append(&Entry { next_try: earlier, ..entry("romeo", "5") }).unwrap());
    // All are due at once, and have no more time than they were taken in with.
    let (soon, over) = (earlier, earlier.after(Duration::from_secs(3600)));
    assert!(lab.ledger.list(None, 5).iter().all(|item| item.expires == over && item.created == earlier));
    for (n, seq) in order.iter().enumerate() {
        assert_eq!(lab.due(soon), [*seq]);
        assert_eq!(lab.claim(*seq).unwrap().entry.operation, entry("romeo", &n.to_string()).operation);
        lab.settle(*seq, DELIVERED).unwrap();
    }
}

#[test]
fn what_has_expired_is_given_once_and_not_while_it_is_under_way() {
    let lab = Lab::new();
    let [first, second] = ["1", "2"].map(|text| lab.append(&entry("romeo", text)).unwrap());
    lab.claim(first).unwrap();
    assert_eq!(lab.ledger.take_expired(seconds(3599), 9), []);
    assert_eq!(lab.ledger.take_expired(seconds(3600), 9), [second]);
    lab.settle(second, End::Expired).unwrap();
    assert_eq!(lab.ledger.take_expired(seconds(3600), 9), []);
    lab.ledger.postpone(first, seconds(9999), true, None).unwrap();
    assert_eq!(lab.ledger.take_expired(seconds(3600), 9), [first]);
    assert_eq!(lab.due(seconds(9999)), []);
    // Not settled: the next start gives it out again.
    assert_eq!(lab.crash(NOW).0.ledger.take_expired(seconds(3600), 9), [first]);
}

#[test]
fn a_sender_is_warned_once() {
    let lab = Lab::new();
    let seq = lab.append(&Entry { warn: Some(seconds(300)), ..entry("romeo", "1") }).unwrap();
    assert_eq!(lab.ledger.take_warnings(seconds(299), 9), []);
    assert_eq!(lab.ledger.next(), Some(NOW));
    assert_eq!(lab.ledger.take_warnings(seconds(300), 9), [seq]);
    assert_eq!(lab.ledger.take_warnings(seconds(301), 9), []);
    let (lab, _) = lab.crash(seconds(302));
    assert_eq!(lab.ledger.take_warnings(seconds(302), 9), []);
    lab.claim(seq).unwrap();
    lab.settle(seq, DELIVERED).unwrap();
    let left = |table| lab.store.scan(seq.shard().unwrap(), table, b"", None, 9).unwrap().len();
    assert_eq!([Table::Ledger, Table::Progress, Table::Window].map(left), [0, 0, 0]);
}

#[test]
fn a_hop_that_returns_wakes_its_own() {
    let lab = Lab::new();
    let later = |source, hop: &str| Entry { next_try: seconds(100), hop: Some(hop.into()), ..entry(source, "1") };
    let [a, b] = [("a", "x"), ("b", "y")].map(|(source, hop)| lab.append(&later(source, hop)).unwrap());
    assert_eq!(lab.due(NOW), []);
    assert_eq!(lab.ledger.wake(Some("x"), NOW), 1);
    assert_eq!(lab.due(NOW), [a]);
    assert_eq!(lab.ledger.wake(None, NOW), 1);
    assert_eq!(lab.due(NOW), [a, b]);
}

#[test]
fn an_operator_lists_retries_and_takes() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|s| lab.append(&Entry { next_try: seconds(9), ..entry(s, "1") }).unwrap());
    let listed: Vec<_> = lab.ledger.list(None, 9).into_iter().map(|item| item.seq).collect();
    assert_eq!((listed.len(), lab.ledger.list(Some(listed[0]), 9).len()), (2, 1));
    lab.ledger.retry(b, NOW).unwrap();
    assert_eq!(lab.due(NOW), [b]);
    lab.ledger.take(a).unwrap();
    assert!(matches!(lab.ledger.take(a), Err(LedgerError::WrongState { .. })));
    assert!(matches!(lab.ledger.retry(a, NOW), Err(LedgerError::WrongState { .. })));
    lab.settle(a, not_found()).unwrap();
    assert!(matches!(lab.ledger.get(a), Err(LedgerError::Unknown(_))));
}

#[test]
fn a_repeat_is_recognised_while_it_waits_after_it_ended_and_after_a_crash() {
    let lab = Lab::new();
    let key = OnceKey::new(&"romeo@sip.example.com".parse().unwrap(), "id-1");
    assert_eq!(lab.ledger.enter(key, NOW), Seen::New);
    assert_eq!(lab.ledger.enter(key, NOW), Seen::Pending(None));
    let seq = lab.append(&Entry { once: Some(key), ..entry("romeo", "1") }).unwrap();
    assert_eq!(lab.ledger.enter(key, NOW), Seen::Pending(Some(seq)));
    let (lab, _) = lab.crash(NOW);
    assert_eq!(lab.ledger.enter(key, NOW), Seen::Pending(Some(seq)));
    lab.claim(seq).unwrap();
    lab.settle(seq, DELIVERED).unwrap();
    assert_eq!(lab.ledger.enter(key, NOW), Seen::Done(DELIVERED));
    let (lab, recovered) = lab.crash(NOW);
    assert_eq!((recovered.outcomes, lab.ledger.enter(key, NOW)), (1, Seen::Done(DELIVERED)));
    lab.ledger.checkpoint(seconds(600), false);
    assert_eq!(lab.ledger.enter(key, seconds(600)), Seen::New);
    assert_eq!(lab.crash(NOW).1.outcomes, 0);
}

#[test]
fn what_a_late_error_needs_survives_a_crash_and_is_given_once() {
    let lab = Lab::new();
    let message = entry("romeo", "1");
    let key = OnceKey::new(&"romeo@sip.example.com".parse().unwrap(), "id-1");
    let recall = Recall {
        trace: message.trace,
        near: "sip".into(),
        source: message.operation.source().clone(),
        destination: message.operation.destination().clone(),
        message_id: Some("id-1".into()),
        trans_id: "t".into(),
        created: NOW,
        receipts: Receipts::default(),
        return_path: None,
    };
    let settle = |lab: &Lab| {
        let seq = lab.append(&message).unwrap();
        lab.claim(seq).unwrap();
        let conclusion = Conclusion { recall: Some((key, recall.clone())), ..DELIVERED.into() };
        let told = Told::new();
        lab.ledger.settle(seq, conclusion, NOW, Urgency::Urgent, told.call()).unwrap();
    };
    settle(&lab);
    let (lab, _) = lab.crash(NOW);
    assert_eq!(lab.ledger.recall(key, NOW, |_| true), Some(recall.clone()));
    assert_eq!(lab.ledger.recall(key, NOW, |_| true), None);
    let (lab, _) = lab.crash(NOW);
    assert_eq!(lab.ledger.recall(key, NOW, |_| true), None, "its record is gone, too");
    settle(&lab);
    lab.ledger.checkpoint(seconds(600), false);
    assert_eq!(lab.crash(NOW).0.ledger.recall(key, NOW, |_| true), None, "swept");
}

#[test]
fn held_messages_are_in_the_window_without_the_disk() {
    let lab =
        Lab::with(Limits { window: WindowLimits { outcomes: 1, ..WindowLimits::default() }, ..Limits::default() });
    let key = |id| OnceKey::new(&"romeo@sip.example.com".parse().unwrap(), id);
    for id in ["1", "2"] {
        assert_eq!(lab.ledger.enter(key(id), NOW), Seen::New);
        lab.ledger.end_held(Some(key(id)), DELIVERED, NOW);
    }
    lab.ledger.checkpoint(NOW, false);
    assert_eq!(lab.ledger.enter(key("2"), NOW), Seen::Done(DELIVERED));
    assert_eq!((lab.ledger.enter(key("1"), NOW), lab.ledger.counts().window_evicted), (Seen::New, 1));
    lab.ledger.withdraw(key("1"));
    assert_eq!(lab.ledger.enter(key("1"), NOW), Seen::New);
}

#[test]
fn an_unreadable_entry_can_be_settled_and_does_not_block_its_pair() {
    let lab = Lab::new();
    let [first, second] = ["1", "2"].map(|text| lab.append(&entry("romeo", text)).unwrap());
    assert!(lab.store.flip(first.shard().unwrap(), Table::Ledger, &first.0.to_be_bytes()));
    assert!(matches!(lab.claim(first), Err(LedgerError::Unreadable(_))));
    assert_eq!(lab.due(NOW), []);
    lab.settle(first, not_found()).unwrap();
    assert_eq!(lab.due(NOW), [second]);
}

#[test]
fn a_broken_disk_loses_nothing_that_was_accepted() {
    let lab = Lab::new();
    let seq = lab.append(&entry("romeo", "1")).unwrap();
    lab.store.fail();
    assert!(matches!(lab.claim(seq), Err(LedgerError::Store(StoreError::Failed(_)))));
    assert_eq!(lab.ledger.item(seq).unwrap().state, State::Waiting);
    lab.ledger.take(seq).unwrap();
    let notice = entry("gateway", "notice");
    let told = Told::new();
    lab.ledger
        .settle(seq, Conclusion { notice: Some(&notice), ..DELIVERED.into() }, NOW, Urgency::Urgent, told.call())
        .unwrap();
    assert!(told.take().is_err());
    assert_eq!((lab.totals().delivered, lab.totals().pending, lab.ledger.counts().entries), (0, 1, 1));
    let (again, recovered) = lab.crash(NOW);
    assert_eq!((recovered.entries, again.due(NOW)), (1, vec![seq]));
}

#[test]
fn a_younger_owner_shuts_the_older_out() {
    let lab = Lab::new();
    let seq = lab.append(&entry("romeo", "1")).unwrap();
    let (younger, _) = Ledger::open(lab.store.clone(), Shard::all(), Limits::default(), NOW).unwrap();
    let refused = lab.append(&entry("romeo", "2"));
    assert!(matches!(refused, Err(LedgerError::Store(StoreError::Fenced { .. }))));
    assert!(matches!(lab.claim(seq), Err(LedgerError::Store(StoreError::Fenced { .. }))));
    assert_eq!(younger.due(NOW, 9).len(), 1);
}

#[test]
fn a_shard_that_is_not_owned_is_refused() {
    let pair = Pair::of(&entry("romeo", "").operation);
    let others = Shard::all().filter(|shard| *shard != pair.shard());
    let (ledger, _) = Ledger::open(Arc::new(MemoryStore::new()), others, Limits::default(), NOW).unwrap();
    let refused = ledger.append(&entry("romeo", "1"), Urgency::Urgent, |_| {});
    assert!(matches!(refused, Err(LedgerError::NotOwned(shard)) if shard == pair.shard()));
}

#[test]
fn progress_without_an_entry_is_swept_at_the_start() {
    let lab = Lab::new();
    let shard = Shard::new(0).unwrap();
    let mut batch = Batch::new(shard, lab.store.position(shard).0);
    batch.put(Table::Progress, 1_u64.to_be_bytes(), "rest");
    store::commit_and_wait(&*lab.store, batch).unwrap();
    let (lab, recovered) = lab.crash(NOW);
    assert_eq!(recovered.entries, 0);
    assert_eq!(lab.store.scan(shard, Table::Progress, b"", None, 9).unwrap(), []);
}

#[test]
fn hostile_or_future_records_are_counted_and_kept() {
    let lab = Lab::new();
    let shard = Shard::new(3).unwrap();
    let mut batch = Batch::new(shard, lab.store.position(shard).0);
    batch.put(Table::Ledger, 3_u64.to_be_bytes(), "no entry");
    batch.put(Table::Window, "odd key", "no end");
    let (done, told) = Completion::channel();
    lab.store.commit(batch, Urgency::Urgent, done);
    assert!(told.blocking_recv().unwrap().is_ok());
    let (lab, recovered) = lab.crash(NOW);
    assert_eq!((recovered.entries, recovered.unreadable), (0, 1));
    let kept: Option<Record> = lab.store.get(shard, Table::Ledger, &3_u64.to_be_bytes()).unwrap();
    assert!(kept.is_some_and(|record| record.version > Version(0)));
    assert!(lab.store.position(shard).0 > Fence(1));
}
