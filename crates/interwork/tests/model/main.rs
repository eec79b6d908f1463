//! The delivery machine against a simple model: random steps of senders, far sides, links, disk, clock and crashes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test's own data"
)]

mod book;
#[path = "../common/mod.rs"]
mod common;

use adapter_api::{Delivery, HubCore, PeerState, settle_channel};
use book::{Answer, Book, Fate, Number};
use common::{PLENTY, Shelf, Table, World, from_sip, from_xmpp, text_of, world_with};
use impp_model::{
    Address, Cause, DateTime, Disposition, DispositionOperation, Endpoint, Failure, MaxForwards, Operation, Outcome,
    Proof, Side,
};
use interwork::DeliveryLimits;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};
use tokio::sync::oneshot::{Receiver, error::TryRecvError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Senders and addressees: the first three by SIP, which waits for answers, the others by XMPP, which does not.
const PAIRS: [(&str, &str); 5] = [
    ("a@sip.example", "b@xmpp.example"),
    ("a@sip.example", "c@xmpp.example"),
    ("d@sip.example", "b@xmpp.example"),
    ("b@xmpp.example", "a@sip.example"),
    ("c@xmpp.example", "a@sip.example"),
];
const FIRST_XMPP: usize = 3;
const EXPIRY: Duration = Duration::from_secs(240);
/// Between looks while time passes: shorter than any time that the machine knows, but for the write-ahead.
const LOOK: Duration = Duration::from_millis(500);
/// Between looks of the machine, and ours.
const LATE: u64 = 5;
/// How long a message's outcome is remembered, less what a look may be late.
const WINDOW: u64 = 595;
/// How long senders repeat what a dead process left unanswered.
const REPEATED_FOR: Duration = Duration::from_secs(32);

#[derive(Debug, Clone)]
enum Step {
    /// Something new from one of the pairs.
    Send(usize),
    /// A sender repeats what it sent.
    SendAgain(usize),
    /// A far side answers.
    Answer(usize, Answer),
    /// An adapter forgets a delivery.
    Forget(usize),
    /// The link of a network breaks or comes back.
    Break(bool),
    Mend(bool),
    /// Time passes; adapters keep the deadlines they were given.
    Wait(u64),
    /// The same, and an adapter keeps none.
    Hang,
    /// An addressee's server sends an error about what it had accepted.
    LateError(usize),
    /// The disk is slow, then not.
    Stall,
    Flow,
    /// An operator takes something out of the queue, or has it tried.
    Delete(usize),
    Retry(usize),
    /// The gateway stops in order and starts, or dies and starts.
    Restart,
    Crash,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Delivered(Proof::Server)),
        1 => Just(Answer::Delivered(Proof::Recipient)),
        1 => Just(Answer::HandedOver),
        2 => Just(Answer::Final),
        3 => Just(Answer::Refused),
        2 => Just(Answer::Silent),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..PAIRS.len()).prop_map(Step::Send),
        2 => any::<usize>().prop_map(Step::SendAgain),
        10 => (any::<usize>(), answer()).prop_map(|(which, answer)| Step::Answer(which, answer)),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Break),
        2 => any::<bool>().prop_map(Step::Mend),
        3 => (1..60_u64).prop_map(Step::Wait),
        2 => (100..40_000_u64).prop_map(Step::Wait),
        1 => (100_000..300_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Hang),
        2 => any::<usize>().prop_map(Step::LateError),
        1 => Just(Step::Stall),
        2 => Just(Step::Flow),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => any::<usize>().prop_map(Step::Retry),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

/// What an adapter holds: a message, or the gateway's own word.
struct Hand {
    number: Option<Number>,
    delivery: Delivery,
}

/// Who waits for what becomes of a message.
struct Waiting {
    number: Number,
    is_first: bool,
    outcome: Receiver<Outcome>,
}

struct Run {
    world: World,
    running: JoinHandle<()>,
    limits: Limits,
    delivery: DeliveryLimits,
    book: Book,
    hands: Vec<Hand>,
    waiting: Vec<Waiting>,
    broken: [bool; 2],
    is_slow: bool,
    /// Since when the end of what is over its time was to be expected.
    overdue: BTreeMap<Number, u64>,
    untold: u64,
    /// Refused before anything was done with them, for the ledger was full: no books are kept of such.
    turned_away: usize,
    life: u32,
    start: Instant,
    /// When the last process died and this one began; none if it ended in order.
    crashed: Option<Instant>,
    sent: usize,
}

impl Run {
    fn new(records: usize, write_ahead: bool) -> Self {
        let limits = Limits { records, ..Limits::default() };
        let write_ahead_after = if write_ahead { Duration::ZERO } else { Duration::from_millis(20) };
        let delivery = DeliveryLimits {
            expiry: EXPIRY,
            warn_after: Duration::ZERO,
            write_ahead_after,
            ..DeliveryLimits::default()
        };
        let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
        let world = world_with(Table::new(0), PLENTY, store, clock, limits, delivery);
        Self {
            running: world.run(),
            world,
            limits,
            delivery,
            book: Book::default(),
            hands: Vec::new(),
            waiting: Vec::new(),
            broken: [false; 2],
            is_slow: false,
            overdue: BTreeMap::new(),
            untold: 0,
            turned_away: 0,
            life: 0,
            start: Instant::now(),
            crashed: None,
            sent: 0,
        }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(pair) => {
                self.sent += 1;
                let text = format!("p{pair} n{}", self.sent);
                self.send(pair, &text);
            }
            Step::SendAgain(which) => self.send_again(which),
            Step::Answer(which, answer) => self.answer(which, answer),
            Step::Forget(which) => {
                if let Some(hand) = self.pick(which) {
                    self.end(hand, Answer::Silent, Outcome::Indeterminant);
                }
            }
            Step::Break(side) => self.broken[usize::from(side)] = true,
            Step::Mend(side) => self.mend(side),
            Step::Wait(millis) => self.wait(Duration::from_millis(millis)).await,
            Step::Hang => self.hang().await,
            Step::LateError(which) => self.late_error(which).await,
            Step::Stall => {
                self.world.store.hold();
                self.is_slow = true;
            }
            Step::Flow => self.flow(),
            Step::Delete(which) => self.delete(which),
            Step::Retry(which) => self.retry(which),
            Step::Restart => self.restart().await,
            Step::Crash => self.crash(),
        }
        self.look();
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn submit(&self, pair: usize, text: &str) -> Receiver<Outcome> {
        let (from, to) = PAIRS[pair];
        let by = if pair < FIRST_XMPP { from_sip() } else { from_xmpp() };
        self.world.submit(from, to, text, by)
    }

    fn send(&mut self, pair: usize, text: &str) {
        let number = self.book.sent(pair, PAIRS[pair].0, text, self.second());
        let outcome = self.submit(pair, text);
        self.waiting.push(Waiting { number, is_first: true, outcome });
    }

    fn send_again(&mut self, which: usize) {
        if self.book.messages.is_empty() {
            return;
        }
        let text = self.book.messages[which % self.book.messages.len()].text.clone();
        let number = self.book.newest(&text);
        let message = &self.book.messages[number];
        let pair = message.pair;
        match (message.fate, message.ended) {
            // Until the disk has its end, it is not over.
            _ if self.book.unsafe_ends.contains(&number) => {}
            (Fate::Refused | Fate::Owed, _) => self.send(pair, &text),
            // What had not been stored is forgotten with its life, and everything in its time.
            (Fate::Arrived(_) | Fate::HandedOver, Some((life, at)))
                if life != self.life || self.second() >= at + WINDOW => {}
            // RFC 3261 §17.1.2.2: who has no answer repeats for 64 times T1, and the dead process may have sent it on.
            (Fate::Lost, _) if self.crashed.is_some_and(|at| at.elapsed() < REPEATED_FOR) => {
                let before = message.may_have_arrived();
                self.send(pair, &text);
                self.book.messages.last_mut().unwrap().before = before;
            }
            (Fate::Lost, _) => {}
            (Fate::Open | Fate::Accepted | Fate::Arrived(_) | Fate::HandedOver, _) => {
                let outcome = self.submit(pair, &text);
                self.waiting.push(Waiting { number, is_first: false, outcome });
            }
        }
    }

    fn pick(&mut self, which: usize) -> Option<Hand> {
        (!self.hands.is_empty()).then(|| self.hands.remove(which % self.hands.len()))
    }

    fn answer(&mut self, which: usize, answer: Answer) {
        let Some(hand) = self.pick(which) else { return };
        let far = |cause| Outcome::from(Failure::new(Side::Far, cause));
        let outcome = match answer {
            Answer::Delivered(proof) => Outcome::Success(proof),
            Answer::HandedOver => Outcome::HandedOver,
            Answer::Final => far(Cause::NotFound),
            Answer::Refused => far(if which.is_multiple_of(2) { Cause::LinkDown } else { Cause::ResourceConstraint }),
            Answer::Silent => far(if which.is_multiple_of(2) { Cause::Unconfirmed } else { Cause::RemoteTimeout }),
        };
        // The gateway's own word always arrives in the end: who refuses it is another test's matter.
        match (hand.number, answer) {
            (None, Answer::Final) => self.end(hand, Answer::HandedOver, Outcome::HandedOver),
            _ => self.end(hand, answer, outcome),
        }
    }

    /// Notes what the far side said, then has the hub hear it.
    fn end(&mut self, hand: Hand, answer: Answer, outcome: Outcome) {
        match hand.number {
            Some(number) => self.book.answered(number, answer, self.life, self.second(), self.is_slow),
            None => self.hear_word(&hand.delivery, answer),
        }
        hand.delivery.settle(outcome);
        self.look();
    }

    /// The gateway's own word about failures reaches a sender.
    fn hear_word(&mut self, delivery: &Delivery, answer: Answer) {
        if !matches!(answer, Answer::Delivered(_) | Answer::HandedOver) {
            return;
        }
        match &*delivery.operation {
            Operation::Message(word) => {
                let to = word.destination.address.to_string();
                let (sender, _) = PAIRS.iter().find(|(sender, _)| *sender == to).unwrap();
                for line in word.message.content.as_text().unwrap().lines() {
                    let more = line.strip_prefix("The same is true of ").and_then(|rest| rest.strip_suffix(" more."));
                    *self.book.told.entry(sender).or_default() += more.map_or(1, |more| more.parse().unwrap());
                }
            }
            Operation::Disposition(word) => {
                let text = word.message_id.as_ref().unwrap().as_str();
                let sender = self.book.messages[self.book.newest(text)].sender;
                *self.book.told.entry(sender).or_default() += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn mend(&mut self, side: bool) {
        self.broken[usize::from(side)] = false;
        let adapter = if side { "xmpp" } else { "sip" };
        self.world.core.peer_changed(&adapter.into(), "sip.example", PeerState::Up);
    }

    fn flow(&mut self) {
        self.world.store.release();
        self.is_slow = false;
        self.book.unsafe_ends.clear();
    }

    /// Time passes; what an adapter has not settled by its deadline it settles as unconfirmed.
    async fn wait(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            let deadline = self.hands.iter().map(|hand| Instant::from_std(hand.delivery.deadline)).min();
            let pause = [Some(end), deadline, Some(Instant::now() + LOOK)].into_iter().flatten().min().unwrap();
            tokio::time::sleep_until(pause.max(Instant::now() + Duration::from_millis(1))).await;
            self.look();
            self.keep_deadlines();
        }
    }

    fn keep_deadlines(&mut self) {
        let now = Instant::now().into_std();
        while let Some(late) = self.hands.iter().position(|hand| hand.delivery.deadline <= now) {
            let hand = self.hands.remove(late);
            self.end(hand, Answer::Silent, Failure::new(Side::Far, Cause::Unconfirmed).into());
        }
    }

    /// An adapter that hangs: the hub answers for it, and what it says in the end comes too late.
    async fn hang(&mut self) {
        let Some(at) = self.hands.iter().position(|hand| hand.number.is_some()) else { return };
        let Hand { number, delivery } = self.hands.remove(at);
        let deadline = Instant::from_std(delivery.deadline);
        while Instant::now() < deadline {
            self.wait(LOOK.min(deadline - Instant::now())).await;
        }
        // From some moment in the next seconds on.
        self.book.answered(number.unwrap(), Answer::Silent, self.life, self.second(), self.is_slow);
        self.wait(Duration::from_secs(2)).await;
        delivery.settle(Outcome::Success(Proof::Server));
    }

    async fn late_error(&mut self, which: usize) {
        if self.book.messages.is_empty() {
            return;
        }
        let number = which % self.book.messages.len();
        let (life, now, book) = (self.life, self.second(), &self.book);
        let message = &book.messages[number];
        let fresh = message.ended.is_some_and(|(of, at)| of == life && now < at + WINDOW);
        let can_be = matches!(message.fate, Fate::Arrived(Proof::Server) | Fate::HandedOver) && fresh;
        if !can_be || message.reversed || self.is_slow || book.by_text[&message.text].len() > 1 {
            return;
        }
        let (pair, text) = (message.pair, message.text.clone());
        let (from, to) = PAIRS[pair];
        let (settle, outcome) = settle_channel();
        let by = if pair < FIRST_XMPP { from_xmpp() } else { from_sip() };
        self.world.core.submit(Operation::Disposition(Box::new(word(to, from, &text))), by, settle);
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)), "{text}: a late error is not heard");
        self.book.messages[number].reversed = true;
        *self.book.owed.entry(from).or_default() += 1;
    }

    /// What lies in the ledger: numbers of entries with the texts of messages.
    fn ledger(&self) -> Vec<(store::Seq, String)> {
        let ledger = self.world.core.ledger();
        let entry = |item: store::Item| match ledger.get(item.seq).ok()?.operation {
            Operation::Message(message) if item.origin == store::Origin::Peer => {
                Some((item.seq, message.message.content.as_text()?.to_owned()))
            }
            _ => None,
        };
        ledger.list(None, usize::MAX).into_iter().filter_map(entry).collect()
    }

    fn delete(&mut self, which: usize) {
        let entries = self.ledger();
        let Some((seq, text)) = entries.get(which % entries.len().max(1)) else { return };
        if self.world.core.give_up(*seq).is_ok() {
            let number = self.book.newest(text);
            self.book.ended(number, Fate::Owed, self.life, self.second(), self.is_slow);
        }
    }

    fn retry(&mut self, which: usize) {
        let entries = self.ledger();
        if let Some((seq, _)) = entries.get(which % entries.len().max(1)) {
            // One that is under way can't be hurried.
            let _ = self.world.core.retry(*seq);
        }
    }

    async fn restart(&mut self) {
        self.flow();
        let core = self.world.core.clone();
        let stopping = tokio::spawn(async move { core.drain(Duration::from_millis(100)).await });
        sleep(Duration::from_millis(150)).await;
        self.look();
        stopping.await.unwrap();
        while let Some(hand) = self.pick(0) {
            self.end(hand, Answer::Refused, Failure::new(Side::Ours, Cause::ShuttingDown).into());
        }
        self.look();
        assert!(self.waiting.is_empty(), "a sender has heard nothing at the end");
        let core = &self.world.core;
        core.ledger().end(core.timestamp());
        self.crash();
        self.crashed = None;
    }

    fn crash(&mut self) {
        self.look();
        self.running.abort();
        self.broken = [false; 2];
        self.is_slow = false;
        self.waiting.clear();
        // What the adapters held dies with them, and says nothing to the dead.
        self.hands.drain(..).for_each(std::mem::forget);
        self.life += 1;
        let store = Arc::new(self.world.store.reopen().unwrap().0);
        let world = world_with(Table::new(0), PLENTY, store, self.world.clock, self.limits, self.delivery);
        std::mem::forget(std::mem::replace(&mut self.world, world));
        let found: BTreeSet<String> = self.ledger().into_iter().map(|(_, text)| text).collect();
        self.book.crashed(&found);
        self.untold = self.world.core.ledger().totals().untold;
        self.running = self.world.run();
        self.crashed = Some(Instant::now());
    }

    /// Takes note of everything that has happened.
    fn look(&mut self) {
        loop {
            let mut something = self.hear();
            // Whoever waits behind it is handed on in the same moment.
            self.look_for_expired();
            for (side, shelf) in [self.world.sip.clone(), self.world.xmpp.clone()].into_iter().enumerate() {
                something |= self.look_at(side, &shelf);
            }
            if !something {
                break;
            }
        }
        let totals = self.world.core.ledger().totals();
        assert_eq!(totals.accepted(), totals.settled() + totals.pending);
        // A crash may take the last second of what was counted, but not what was seen.
        self.book.untold += totals.untold.saturating_sub(self.untold) as usize;
        self.untold = totals.untold;
    }

    fn look_at(&mut self, side: usize, shelf: &Shelf) -> bool {
        let taken = shelf.take();
        let (something, mut refused) = (!taken.is_empty(), Vec::new());
        for delivery in taken {
            let is_own = match &*delivery.operation {
                Operation::Message(message) => message.source.address.to_string().starts_with("gateway@"),
                _ => true,
            };
            let number = (!is_own).then(|| self.book.handed(&text_of(&delivery), delivery.repeat, delivery.edition));
            let hands = if self.broken[side] { &mut refused } else { &mut self.hands };
            hands.push(Hand { number, delivery });
        }
        // All that came in one go is there before the first is answered.
        for hand in refused {
            self.end(hand, Answer::Refused, Failure::new(Side::Far, Cause::LinkDown).into());
        }
        something
    }

    /// What was accepted ends when its time is over, unless it is being tried.
    fn look_for_expired(&mut self) {
        let now = self.second();
        let over = |message: &book::Message| {
            message.fate == Fate::Accepted && !message.in_hands() && now >= message.sent + EXPIRY.as_secs()
        };
        if self.is_slow || !self.book.messages.iter().any(over) {
            return self.overdue.clear();
        }
        let there: BTreeSet<String> = self.ledger().into_iter().map(|(_, text)| text).collect();
        for number in 0..self.book.messages.len() {
            let message = &self.book.messages[number];
            if over(message) && !there.contains(&message.text) {
                self.book.ended(number, Fate::Owed, self.life, now, false);
            } else if over(message) {
                let since = *self.overdue.entry(number).or_insert(now);
                assert!(now <= since + LATE, "{message:?} does not expire");
            } else {
                self.overdue.remove(&number);
            }
        }
    }

    /// Lets the senders' answers be written down.
    fn hear(&mut self) -> bool {
        let (life, at) = (self.life, self.second());
        let mut heard = Vec::new();
        self.waiting.retain_mut(|waiting| match waiting.outcome.try_recv() {
            Ok(outcome) => {
                heard.push((waiting.number, waiting.is_first, outcome));
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => panic!("a sender is forgotten"),
        });
        // The first of a message before those who repeated it.
        heard.sort_by_key(|(_, is_first, _)| !is_first);
        for (number, is_first, outcome) in &heard {
            if *is_first {
                self.turned_away += usize::from(is_turned_away(outcome));
                self.book.heard(*number, outcome, (life, at), self.is_slow);
                continue;
            }
            let message = &self.book.messages[*number];
            let same = match message.fate {
                Fate::Arrived(proof) => *outcome == Outcome::Success(proof),
                Fate::HandedOver => *outcome == Outcome::HandedOver,
                Fate::Refused => matches!(outcome, Outcome::Failure(_)),
                Fate::Open | Fate::Accepted | Fate::Owed | Fate::Lost => false,
            };
            // Once it is in the ledger a repeat is answered so, whatever the first waits for.
            assert!(same || *outcome == Outcome::Indeterminant, "{}: {outcome:?} to a repeat", message.text);
        }
        !heard.is_empty()
    }

    /// Everything comes to its end: nothing is broken, and each far side says yes.
    async fn finish(&mut self) {
        self.flow();
        self.mend(false);
        self.mend(true);
        let end = Instant::now() + 3 * EXPIRY;
        loop {
            self.look();
            while let Some(hand) = self.pick(0) {
                self.end(hand, Answer::Delivered(Proof::Server), Outcome::Success(Proof::Server));
            }
            let ledger = self.world.core.ledger();
            if self.waiting.is_empty() && ledger.counts().entries == 0 && self.world.core.held() == 0 {
                break;
            }
            assert!(Instant::now() < end, "it does not come to rest: {:?}", ledger.list(None, 9));
            sleep(LOOK / 2).await;
        }
        self.book.close(self.limits.records >= PLENTY);
        self.agree();
        self.running.abort();
    }

    /// The ledger's own counts agree with the book, as long as no crash took the last second of them.
    fn agree(&self) {
        if self.book.crashes > 0 {
            return;
        }
        let count = |is: fn(&Fate) -> bool| self.book.messages.iter().filter(|message| is(&message.fate)).count();
        let totals = self.world.core.ledger().totals();
        assert_eq!(totals.delivered as usize, count(|fate| matches!(fate, Fate::Arrived(_))));
        assert_eq!(totals.handed_over as usize, count(|fate| matches!(fate, Fate::HandedOver)));
        let failed = (totals.failed + totals.expired) as usize + self.turned_away;
        assert_eq!(failed, count(|fate| matches!(fate, Fate::Refused | Fate::Owed)));
        assert_eq!(totals.reversed as usize, self.book.messages.iter().filter(|message| message.reversed).count());
        assert_eq!(totals.pending, 0);
    }
}

/// Whether the ledger's bound was the reason that a message was not even begun.
fn is_turned_away(outcome: &Outcome) -> bool {
    let texts = ["nothing can be stored at present", "nothing more can be stored for the next hop"];
    let is_one = |text: &str| texts.contains(&text);
    matches!(outcome, Outcome::Failure(failure) if failure.side == Side::Ours && failure.text.as_deref().is_some_and(is_one))
}

fn word(from: &str, to: &str, id: &str) -> DispositionOperation {
    let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
    DispositionOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some(id.into()),
        trans_id: "late".into(),
        accepted: DateTime::from_epoch(0, 0).unwrap(),
        disposition: Disposition::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound))),
        and_earlier: false,
        return_path: None,
    }
}

/// As many as the environment asks for, else what fits into a gate.
fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").map_or(96, |_| ProptestConfig::default().cases)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::default() })]
    #[test]
    fn the_delivery_machine_agrees_with_the_book(
        steps in prop::collection::vec(step(), 1..80),
        records in prop_oneof![4 => Just(1_000_usize), 1 => Just(3)],
        write_ahead in any::<bool>(),
    ) {
        play(&steps, records, write_ahead);
    }
}

fn play(steps: &[Step], records: usize, write_ahead: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(records, write_ahead);
        for step in steps {
            run.step(step).await;
        }
        run.finish().await;
    });
}

// The ledger has no room for the journal of one and has room again for that of the next: that must not stand before it.
#[test]
fn what_the_journal_refused_stands_before_what_it_takes_later() {
    let delivered = |which| Step::Answer(which, Answer::Delivered(Proof::Server));
    let (send, wait) = (Step::Send, Step::Wait);
    let full = [send(0), send(1), wait(10), send(1), Step::Restart, Step::Retry(0), wait(28), delivered(0)];
    let refused = [Step::Delete(1), send(0), send(3), Step::Answer(0, Answer::Refused), wait(4232), delivered(2)];
    let room = [send(3), send(0), send(2), delivered(2), Step::Restart];
    play(&[&full[..], &refused, &room].concat(), 3, false);
}
