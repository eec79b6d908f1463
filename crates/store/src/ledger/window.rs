//! "Once" (DESIGN A5): what was seen of a sender's message, for a time, in a bounded table.

use std::collections::VecDeque;
use std::time::Duration;

use super::hashing::DigestMap;
use super::{End, OnceKey, Seq, Timestamp};

/// The bounds of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// How long an outcome is remembered.
    pub keep: Duration,
    /// Remembered outcomes; beyond, the oldest is forgotten early, and counted.
    pub outcomes: usize,
    /// Messages of held senders without an outcome; beyond, new ones are not entered and repeats of them not found.
    pub held: usize,
}

impl Default for WindowLimits {
    /// Ten minutes, as `bounce_window`; some 100 octets each.
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

pub(super) struct Window {
    limits: WindowLimits,
    known: DigestMap<OnceKey, Known>,
    /// The ends in the order in which they were noted, with when to forget them.
    order: VecDeque<(Timestamp, OnceKey)>,
    held: usize,
    /// Forgotten before their time for want of room.
    pub(super) evicted: u64,
}

enum Known {
    /// Under way.
    Held,
    /// In the ledger.
    Entry(Seq),
    /// It has ended and not failed.
    Done(End, Timestamp),
}

impl End {
    /// Whether a repeat is to hear of this end; what failed may come again as new.
    pub(super) fn answers_repeats(&self) -> bool {
        match self {
            Self::Delivered(_) | Self::HandedOver => true,
            Self::Failed(_) | Self::Expired => false,
        }
    }
}

impl Window {
    pub(super) fn new(limits: WindowLimits) -> Self {
        Self { limits, known: DigestMap::default(), order: VecDeque::new(), held: 0, evicted: 0 }
    }

    /// Looks a message up; a new one is entered as held.
    pub(super) fn enter(&mut self, key: OnceKey, now: Timestamp) -> Seen {
        match self.known.get(&key) {
            Some(Known::Held) => return Seen::Pending(None),
            Some(Known::Entry(seq)) => return Seen::Pending(Some(*seq)),
            Some(Known::Done(end, until)) if *until > now => return Seen::Done(end.clone()),
            Some(Known::Done(..)) | None => {}
        }
        if self.held < self.limits.held {
            self.known.insert(key, Known::Held);
            self.held += 1;
        }
        Seen::New
    }

    /// A held message ends without an outcome to remember, so that it may come again.
    pub(super) fn withdraw(&mut self, key: OnceKey) {
        if matches!(self.known.get(&key), Some(Known::Held)) {
            self.known.remove(&key);
            self.held -= 1;
        }
    }

    /// The message is in the ledger.
    pub(super) fn spooled(&mut self, key: OnceKey, seq: Seq) {
        let before = self.known.insert(key, Known::Entry(seq));
        self.left(before.as_ref());
    }

    /// The append failed: it is held as before.
    pub(super) fn unspooled(&mut self, key: OnceKey, seq: Seq) {
        if matches!(self.known.get(&key), Some(Known::Entry(other)) if *other == seq) {
            self.known.insert(key, Known::Held);
            self.held += 1;
        }
    }

    /// The message has ended.
    pub(super) fn done(&mut self, key: OnceKey, end: End, until: Timestamp) {
        let before = if end.answers_repeats() {
            self.order.push_back((until, key));
            self.known.insert(key, Known::Done(end, until))
        } else {
            self.known.remove(&key)
        };
        self.left(before.as_ref());
    }

    fn left(&mut self, before: Option<&Known>) {
        if matches!(before, Some(Known::Held)) {
            self.held -= 1;
        }
    }

    /// When an end that is noted now is to be forgotten.
    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        now.after(self.limits.keep)
    }

    /// Forgets at most `limit` ends that are over time or over the bound.
    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) {
        for _ in 0..limit {
            let over = self.order.len() > self.limits.outcomes;
            let Some((noted, key)) = self.order.pop_front_if(|(until, _)| over || *until <= now) else { break };
            // Another end may have been noted since, with a place of its own.
            if matches!(self.known.get(&key), Some(Known::Done(_, until)) if *until == noted) {
                self.evicted += u64::from(noted > now);
                self.known.remove(&key);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

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
        window.done(key(1), DONE, window.until(now));
        assert_eq!(window.enter(key(1), now), Seen::Done(DONE));
        window.sweep(now, 10);
        assert_eq!(window.len(), 1);
        let later = now.after(KEEP);
        window.sweep(later, 10);
        assert_eq!(window.len(), 0);
        assert_eq!(window.enter(key(1), later), Seen::New);
        assert_eq!((window.evicted, window.held), (0, 1));
    }

    #[test]
    fn what_failed_is_new_again_and_only_once() {
        let (mut window, now) = (window(10, 10), Timestamp(1000));
        assert_eq!(window.enter(key(1), now), Seen::New);
        window.done(key(1), End::Expired, window.until(now));
        assert_eq!((window.len(), window.enter(key(1), now)), (0, Seen::New));
        assert_eq!(window.enter(key(1), now), Seen::Pending(None), "its second try is under way");
        window.withdraw(key(1));
        assert_eq!(window.enter(key(1), now), Seen::New);
        assert_eq!(window.held, 1);
    }

    #[test]
    fn the_bounds_hold() {
        let mut window = window(2, 1);
        let now = Timestamp(1000);
        for number in 0..4 {
            window.done(key(number), DONE, window.until(now));
        }
        window.sweep(now, 10);
        assert_eq!((window.len(), window.evicted), (2, 2));
        assert_eq!(window.enter(key(8), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New, "no room to remember it");
        window.withdraw(key(8));
        assert_eq!(window.held, 0);
    }
}
