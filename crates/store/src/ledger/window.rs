//! "Once" (DESIGN A5): what was seen of a sender's message, for a time, in a bounded table.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entry::Stored;
use super::hashing::DigestMap;
use super::{End, OnceKey, Seq, Timestamp};
use crate::api::Expect;
use crate::key::{Shard, Version};

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

/// An end as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredEnd {
    pub(super) end: End,
    pub(super) until: Timestamp,
}

enum Known {
    /// Under way, perhaps after an earlier end that does not count any more.
    Held(Option<Box<Done>>),
    Entry {
        seq: Seq,
        /// Whether a record of an earlier end may exist.
        stored: bool,
    },
    Done(Done),
}

struct Done {
    end: End,
    until: Timestamp,
    stored: Option<(Shard, Stored)>,
}

impl Done {
    /// Whether a repeat is to hear of this end.
    fn counts(&self, now: Timestamp) -> bool {
        self.until > now && !matches!(self.end, End::Failed(_) | End::Expired)
    }
}

/// A stored end that may go.
pub(super) struct Forgotten {
    pub(super) shard: Shard,
    pub(super) key: OnceKey,
    pub(super) expect: Expect,
}

impl Window {
    pub(super) fn new(limits: WindowLimits) -> Self {
        Self { limits, known: DigestMap::default(), order: VecDeque::new(), held: 0, evicted: 0 }
    }

    /// Looks a message up; a new one is entered as held, and so is one that failed before: its sender tries again.
    pub(super) fn enter(&mut self, key: OnceKey, now: Timestamp) -> Seen {
        match self.known.get(&key) {
            Some(Known::Held(_)) => return Seen::Pending(None),
            Some(Known::Entry { seq, .. }) => return Seen::Pending(Some(*seq)),
            Some(Known::Done(done)) if done.counts(now) => return Seen::Done(done.end.clone()),
            Some(Known::Done(_)) | None => {}
        }
        if self.held < self.limits.held {
            // Its record, if it has one, is still to be deleted in its time.
            let earlier = match self.known.remove(&key) {
                Some(Known::Done(done)) => Some(Box::new(done)),
                Some(Known::Held(_) | Known::Entry { .. }) | None => None,
            };
            self.known.insert(key, Known::Held(earlier));
            self.held += 1;
        }
        Seen::New
    }

    /// A held message ends without an outcome to remember, so that it may come again.
    pub(super) fn withdraw(&mut self, key: OnceKey) {
        if !matches!(self.known.get(&key), Some(Known::Held(_))) {
            return;
        }
        self.held -= 1;
        if let Some(Known::Held(Some(earlier))) = self.known.remove(&key) {
            self.known.insert(key, Known::Done(*earlier));
        }
    }

    /// The message is in the ledger.
    pub(super) fn spooled(&mut self, key: OnceKey, seq: Seq) {
        let stored = match self.known.get(&key) {
            Some(Known::Done(done)) => done.stored.is_some(),
            Some(Known::Held(earlier)) => earlier.as_ref().is_some_and(|earlier| earlier.stored.is_some()),
            Some(Known::Entry { stored, .. }) => *stored,
            None => false,
        };
        let before = self.known.insert(key, Known::Entry { seq, stored });
        self.left(before.as_ref());
    }

    /// The append failed: it is held as before.
    pub(super) fn unspooled(&mut self, key: OnceKey, seq: Seq) {
        if matches!(self.known.get(&key), Some(Known::Entry { seq: other, .. }) if *other == seq) {
            self.known.insert(key, Known::Held(None));
            self.held += 1;
        }
    }

    /// A record of the end is about to be written: tells what is there before it.
    pub(super) fn ending(&mut self, key: OnceKey) -> Expect {
        match self.known.get_mut(&key) {
            Some(Known::Entry { stored, .. }) if !*stored => {
                // Should a twin of the message be in the ledger, it must look.
                *stored = true;
                Expect::Sure(None)
            }
            Some(Known::Done(Done { stored: Some((_, stored)), .. })) => {
                *stored = Stored::Unknown;
                Expect::Anything
            }
            Some(Known::Held(_) | Known::Entry { .. } | Known::Done(_)) | None => Expect::Anything,
        }
    }

    /// The message has ended. `stored` says where a record of it exists.
    pub(super) fn done(&mut self, key: OnceKey, end: End, until: Timestamp, stored: Option<(Shard, Version)>) {
        let stored = stored.map(|(shard, version)| (shard, Stored::As(version)));
        let before = self.known.remove(&key);
        self.left(before.as_ref());
        let earlier = match before {
            Some(Known::Held(Some(earlier))) => earlier.stored,
            Some(Known::Done(earlier)) => earlier.stored,
            Some(Known::Held(None) | Known::Entry { .. }) | None => None,
        };
        self.known.insert(key, Known::Done(Done { end, until, stored: stored.or(earlier) }));
        self.order.push_back((until, key));
    }

    fn left(&mut self, before: Option<&Known>) {
        if matches!(before, Some(Known::Held(_))) {
            self.held -= 1;
        }
    }

    /// When an end that is noted now is to be forgotten.
    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        now.after(self.limits.keep)
    }

    /// Forgets at most `limit` ends that are over time or over the bound; those stored are for the caller to delete.
    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        for _ in 0..limit {
            let over = self.order.len() > self.limits.outcomes;
            match self.order.front() {
                Some((until, _)) if over || *until <= now => {}
                Some(_) | None => break,
            }
            let Some((noted, key)) = self.order.pop_front() else { break };
            // Another end may have been noted since, with a place of its own.
            let forget = |stored: Option<(Shard, Stored)>| {
                stored.map(|(shard, stored)| Forgotten { shard, key, expect: stored.expect() })
            };
            match self.known.get_mut(&key) {
                Some(Known::Done(done)) if done.until == noted => {
                    self.evicted += u64::from(done.until > now);
                    forgotten.extend(forget(done.stored));
                    self.known.remove(&key);
                }
                Some(Known::Held(earlier)) if earlier.as_ref().is_some_and(|earlier| earlier.until == noted) => {
                    forgotten.extend(earlier.take().and_then(|earlier| forget(earlier.stored)));
                }
                Some(Known::Done(_) | Known::Held(_) | Known::Entry { .. }) | None => {}
            }
        }
        forgotten
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
        window.done(key(1), DONE, window.until(now), Some((Shard::new(0).unwrap(), Version(1))));
        assert_eq!(window.enter(key(1), now), Seen::Done(DONE));
        assert!(window.sweep(now, 10).is_empty());
        let later = now.after(KEEP);
        assert_eq!(window.sweep(later, 10).len(), 1);
        assert_eq!(window.enter(key(1), later), Seen::New);
        assert_eq!((window.evicted, window.held), (0, 1));
    }

    #[test]
    fn what_failed_is_new_again_and_only_once() {
        let (mut window, now) = (window(10, 10), Timestamp(1000));
        assert_eq!(window.enter(key(1), now), Seen::New);
        window.done(key(1), End::Expired, window.until(now), Some((Shard::new(0).unwrap(), Version(1))));
        assert_eq!(window.enter(key(1), now), Seen::New);
        assert_eq!(window.enter(key(1), now), Seen::Pending(None), "its second try is under way");
        window.withdraw(key(1));
        assert_eq!(window.enter(key(1), now), Seen::New);
        assert_eq!(window.sweep(now.after(KEEP), 10).len(), 1, "the record of the first end goes in its time");
        assert_eq!(window.enter(key(1), now.after(KEEP)), Seen::Pending(None));
        assert_eq!(window.held, 1);
    }

    #[test]
    fn the_bounds_hold() {
        let mut window = window(2, 1);
        let now = Timestamp(1000);
        for number in 0..4 {
            window.done(
                key(number),
                DONE,
                window.until(now),
                Shard::new(u16::from(number) * 16).map(|shard| (shard, Version(1))),
            );
        }
        assert_eq!(window.sweep(now, 10).len(), 1);
        assert_eq!((window.len(), window.evicted), (2, 2));
        assert_eq!(window.enter(key(8), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New);
        assert_eq!(window.enter(key(9), now), Seen::New, "no room to remember it");
        window.withdraw(key(8));
        assert_eq!(window.held, 0);
    }
}
