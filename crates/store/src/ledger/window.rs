//! "Once" (DESIGN A5): what was seen of a sender's message, for a time, in a bounded table.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;
use impp_model::Proof;

use super::hashing::DigestMap;
use super::{End, OnceKey, Seq, Timestamp};

/// The bounds of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// How long an outcome is remembered, up to an eighth more.
    pub keep: Duration,
    /// Remembered outcomes; beyond, the oldest eighth is forgotten early, and counted.
    pub outcomes: usize,
    /// Messages of held senders without an outcome; beyond, new ones are not entered and repeats of them not found.
    pub held: usize,
}

impl Default for WindowLimits {
    /// Ten minutes, as `bounce_window`; some 20 octets for each outcome.
    fn default() -> Self {
        Self { keep: Duration::from_secs(600), outcomes: 500_000, held: 500_000 }
    }
}

/// What the window knows of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is new, and entered as held.
    New,
    /// It is under way, in the ledger if there is a number.
    Pending(Option<Seq>),
    /// It has ended.
    Done(End),
}

/// What is under way, and the outcomes in boxes that are forgotten as a whole: an outcome costs its key and an octet, and memory
/// that was filled in one time is given back in one time.
pub(super) struct Window {
    limits: WindowLimits,
    /// The place in the ledger of what is under way, if it is there.
    pending: DigestMap<OnceKey, Option<Seq>>,
    /// The oldest in front; the last one is being filled.
    boxes: VecDeque<Outcomes>,
    held: usize,
    /// Outcomes in all boxes.
    outcomes: usize,
    /// Forgotten before their time for want of room.
    pub(super) evicted: u64,
}

/// How many boxes the bounds of the window make: each holds so great a part of what is remembered, and of its time.
const BOXES: usize = 8;

/// Outcomes that were noted one after the other.
struct Outcomes {
    /// When the first of them is forgotten, and when all are.
    first: Timestamp,
    until: Timestamp,
    ends: HashTable<Ended>,
}

/// A message that has ended and not failed. Octets, so that nothing lies between one and the next.
struct Ended {
    key: [u8; 16],
    end: Kept,
}

/// The ends that answer repeats.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kept {
    Recipient,
    Server,
    HandedOver,
}

impl Kept {
    /// Of what failed nothing is kept.
    fn of(end: &End) -> Option<Self> {
        match end {
            End::Delivered(Proof::Recipient) => Some(Self::Recipient),
            End::Delivered(Proof::Server) => Some(Self::Server),
            End::HandedOver => Some(Self::HandedOver),
            End::Failed(_) | End::Expired => None,
        }
    }

    fn end(self) -> End {
        match self {
            Self::Recipient => End::Delivered(Proof::Recipient),
            Self::Server => End::Delivered(Proof::Server),
            Self::HandedOver => End::HandedOver,
        }
    }
}

impl End {
    /// Whether a repeat is to hear of this end; what failed may come again as new.
    pub(super) fn answers_repeats(&self) -> bool {
        Kept::of(self).is_some()
    }
}

impl Outcomes {
    fn new(until: Timestamp) -> Self {
        Self { first: until, until, ends: HashTable::new() }
    }

    /// Whether it holds its part of `room`, or nearly so and would have to grow.
    fn is_full(&self, room: usize) -> bool {
        let count = self.ends.len();
        count >= room || (count == self.ends.capacity() && 2 * count >= room)
    }

    fn find(&self, key: OnceKey) -> Option<Kept> {
        self.ends.find(key.hash(), |ended| ended.key == key.key()).map(|ended| ended.end)
    }

    fn note(&mut self, key: OnceKey, end: Kept, until: Timestamp) {
        self.until = self.until.max(until);
        let ended = Ended { key: key.key(), end };
        self.ends.insert_unique(key.hash(), ended, |ended| OnceKey::of_octets(ended.key).hash());
    }
}

impl Window {
    pub(super) fn new(limits: WindowLimits) -> Self {
        let (pending, boxes) = (DigestMap::default(), VecDeque::new());
        Self { limits, pending, boxes, held: 0, outcomes: 0, evicted: 0 }
    }

    /// Looks a message up; a new one is entered as held.
    pub(super) fn enter(&mut self, key: OnceKey, now: Timestamp) -> Seen {
        if let Some(seq) = self.pending.get(&key) {
            return Seen::Pending(*seq);
        }
        let kept = self.boxes.iter().rev().filter(|outcomes| outcomes.until > now);
        if let Some(end) = kept.into_iter().find_map(|outcomes| outcomes.find(key)) {
            return Seen::Done(end.end());
        }
        if self.held < self.limits.held {
            self.pending.insert(key, None);
            self.held += 1;
        }
        Seen::New
    }

    /// A held message ends without an outcome to remember, so that it may come again.
    pub(super) fn withdraw(&mut self, key: OnceKey) {
        if let Some(None) = self.pending.get(&key) {
            self.leave(key);
        }
    }

    /// The message is in the ledger.
    pub(super) fn spooled(&mut self, key: OnceKey, seq: Seq) {
        let before = self.pending.insert(key, Some(seq));
        self.held -= usize::from(before == Some(None));
    }

    /// The append failed: it is held as before.
    pub(super) fn unspooled(&mut self, key: OnceKey, seq: Seq) {
        if let Some(known) = self.pending.get_mut(&key).filter(|known| **known == Some(seq)) {
            *known = None;
            self.held += 1;
        }
    }

    /// The message has ended.
    pub(super) fn done(&mut self, key: OnceKey, end: &End, until: Timestamp) {
        self.leave(key);
        let Some(end) = Kept::of(end) else { return };
        let (room, span) = (self.limits.outcomes.div_ceil(BOXES), self.limits.keep / BOXES as u32);
        if self.boxes.back().is_none_or(|last| last.is_full(room) || until.since(last.first) >= span) {
            self.boxes.push_back(Outcomes::new(until));
        }
        if let Some(outcomes) = self.boxes.back_mut() {
            outcomes.note(key, end, until);
            self.outcomes += 1;
        }
    }

    fn leave(&mut self, key: OnceKey) {
        self.held -= usize::from(self.pending.remove(&key) == Some(None));
    }

    /// When an end that is noted now is to be forgotten.
    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        now.after(self.limits.keep)
    }

    /// Forgets the boxes that are over time or over the bound.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let bound = self.limits.outcomes;
        while let Some(gone) = self.boxes.front().filter(|oldest| self.outcomes > bound || oldest.until <= now) {
            let count = gone.ends.len();
            self.evicted += if gone.until > now { count as u64 } else { 0 };
            self.outcomes -= count;
            self.boxes.pop_front();
        }
        // After a burst the table of what is under way would stay as large as that was.
        if self.pending.capacity() > SPARE && self.pending.len() < self.pending.capacity() / 8 {
            self.pending.shrink_to(SPARE.max(2 * self.pending.len()));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.outcomes
    }
}

/// Places for messages under way that stay: a second's at full speed.
const SPARE: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::Proof;

    const KEEP: Duration = Duration::from_secs(10);
    const DONE: End = End::Delivered(Proof::Server);

    fn window(outcomes: usize, held: usize) -> Window {
        Window::new(WindowLimits { keep: KEEP, outcomes, held })
    }

    fn key(number: u8) -> OnceKey {
        OnceKey::from_key(&[number; 16]).unwrap()
    }

    #[test]
    fn a_message_is_new_once_then_pending_then_done_then_forgotten() {
        let mut window = window(10, 10);
        let now = Timestamp(1000);
        assert_eq!(window.enter(key(1), now), Seen::New);
        assert_eq!(window.enter(key(1), now), Seen::Pending(None));
        window.spooled(key(1), Seq(7));
        assert_eq!(window.enter(key(1), now), Seen::Pending(Some(Seq(7))));
        window.done(key(1), &DONE, window.until(now));
        assert_eq!(window.enter(key(1), now), Seen::Done(DONE));
        window.sweep(now);
        assert_eq!(window.len(), 1);
        let later = now.after(KEEP);
        window.sweep(later);
        assert_eq!(window.len(), 0);
        assert_eq!(window.enter(key(1), later), Seen::New);
        assert_eq!((window.evicted, window.held), (0, 1));
    }

    #[test]
    fn what_failed_is_new_again_and_only_once() {
        let (mut window, now) = (window(10, 10), Timestamp(1000));
        assert_eq!(window.enter(key(1), now), Seen::New);
        window.done(key(1), &End::Expired, window.until(now));
        assert_eq!((window.len(), window.enter(key(1), now)), (0, Seen::New));
        assert_eq!(window.enter(key(1), now), Seen::Pending(None), "its second try is under way");
        window.withdraw(key(1));
        assert_eq!(window.enter(key(1), now), Seen::New);
        assert_eq!(window.held, 1);
    }

    #[test]
    fn an_outcome_costs_its_key_and_little_more() {
        let (mut window, now) = (window(500_000, 10), Timestamp(1000));
        for number in 0..500_000_u128 {
            // Halves of hashes are spread; these are made to be.
            let key = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            window.done(OnceKey::of_octets(key.to_be_bytes()), &DONE, window.until(now));
        }
        window.sweep(now);
        let octets: usize = window.boxes.iter().map(|outcomes| outcomes.ends.allocation_size()).sum();
        assert_eq!((window.len(), window.evicted), (500_000, 0));
        println!("{} octets an outcome", octets / window.len());
        assert!(octets / window.len() <= 21, "{octets}");
        window.sweep(now.after(KEEP));
        assert_eq!((window.len(), window.boxes.len()), (0, 0));
    }

    #[test]
    fn outcomes_go_box_by_box_and_none_before_its_time() {
        let (mut window, key) =
            (window(1_000, 10), |number: u64| OnceKey::new(&"a@b.example".parse().unwrap(), &number.to_string()));
        for number in 0..100 {
            window.done(key(number), &DONE, Timestamp(10_000 + number * 100));
        }
        for number in 0..100_u64 {
            let now = Timestamp(10_000 + number * 100);
            window.sweep(now);
            let known = |other: u64| window.boxes.iter().any(|outcomes| outcomes.find(key(other)).is_some());
            assert!((number + 1..100).all(known), "{number}");
            assert!((0..number.saturating_sub(13)).all(|other| !known(other)), "{number}");
        }
        assert_eq!(window.evicted, 0);
    }

    #[test]
    fn the_bounds_hold() {
        let mut window = window(2, 1);
        let now = Timestamp(1000);
        for number in 0..4 {
            window.done(key(number), &DONE, window.until(now));
        }
        window.sweep(now);
        assert_eq!((window.len(), window.evicted), (2, 2));
        assert_eq!(window.enter(key(8), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New, "no room to remember it");
        window.withdraw(key(8));
        assert_eq!(window.held, 0);
    }
}
