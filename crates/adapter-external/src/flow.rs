//! Numbered frames: each arrives once and in order, over any number of connections, and no more than the receiver allows.

use crate::Reason;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames that may be under way before the receiver says more.
pub(crate) const WINDOW: u64 = 1024;

/// The receiver tells after so many frames: seldom enough to cost nothing, often enough to keep the sender going.
const TELL_EVERY: u64 = WINDOW / 4;

/// Numbered frames on their way out, kept until the other side has taken them.
#[derive(Debug)]
pub(crate) struct Outbox<F> {
    /// The number of the first of `frames`.
    first: u64,
    frames: VecDeque<F>,
    allowed: u64,
    /// The highest number that any connection was given.
    written: u64,
}

impl<F: Clone> Outbox<F> {
    /// An outbox that may send frames up to `allowed`.
    pub(crate) fn new(allowed: u64) -> Self {
        Self { first: 1, frames: VecDeque::new(), allowed, written: 0 }
    }

    /// Adds a frame; gives its number.
    pub(crate) fn push(&mut self, frame: F) -> u64 {
        self.frames.push_back(frame);
        self.first + self.frames.len() as u64 - 1
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether a frame was ever given to a connection.
    pub(crate) fn was_written(&self, number: u64) -> bool {
        number <= self.written
    }

    /// The frame to write behind `after`, if one is there and allowed.
    pub(crate) fn next(&mut self, after: u64) -> Option<(u64, F)> {
        let number = self.first.max(after + 1);
        if number > self.allowed {
            return None;
        }
        let frame = self.frames.get(usize::try_from(number - self.first).ok()?)?.clone();
        self.written = self.written.max(number);
        Some((number, frame))
    }

    /// Puts another frame in the place of one that was never written.
    pub(crate) fn replace(&mut self, number: u64, frame: F) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(kept) = place.and_then(|place| self.frames.get_mut(place)) {
            *kept = frame;
        }
    }

    /// Whether a receipt takes or allows more than the one before.
    pub(crate) fn moves(&self, number: u64, allowed: u64) -> bool {
        number >= self.first || allowed > self.allowed
    }

    /// The other side has taken the frames up to `number`, and allows those up to `allowed`.
    pub(crate) fn received(&mut self, number: u64, allowed: u64) -> Result<(), Reason> {
        if number > self.written {
            return Err(Reason::Unsolicited { of: number });
        }
        while self.first <= number && self.frames.pop_front().is_some() {
            self.first += 1;
        }
        self.allowed = self.allowed.max(allowed);
        Ok(())
    }
}

/// Which frames of the other side were taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    taken: u64,
    told: u64,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { taken: 0, told: 0 }
    }

    /// The number of the last frame that was taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The highest number that the other side may use; tell it.
    pub(crate) fn tell(&mut self) -> u64 {
        self.told = self.taken;
        self.told + WINDOW
    }

    /// Whether it is time to tell.
    pub(crate) fn wants_to_tell(&self) -> bool {
        self.taken >= self.told + TELL_EVERY
    }

    /// Whether there is anything to tell.
    pub(crate) fn has_news(&self) -> bool {
        self.taken > self.told
    }

    /// Takes a frame by its number: true if it is new, false if it was taken before.
    pub(crate) fn take(&mut self, number: u64) -> Result<bool, Reason> {
        if number > self.told + WINDOW {
            return Err(Reason::Flood);
        }
        if number > self.taken + 1 {
            return Err(Reason::Malformed(format!("frame {number} after frame {}", self.taken)));
        }
        let new = number == self.taken + 1;
        if new {
            self.taken = number;
        }
        Ok(new)
    }
}

/// Frames between two beats that carry no message and move nothing on: more than most networks have changes to tell.
const MAX_SIGNALS: u32 = 4096;

/// How many such frames have come. Those that credits count wait, and their sender with them; of the others there are too many at
/// some point. What carries messages costs its sender as much as us.
#[derive(Debug)]
pub(crate) struct Pace {
    beat: Duration,
    since: Instant,
    signals: u32,
    /// When the numbered ones so far are through, at the pace of so many a beat.
    through: Instant,
}

impl Pace {
    pub(crate) fn new(beat: Duration, now: Instant) -> Self {
        Self { beat, since: now, signals: 0, through: now }
    }

    /// How long a numbered one has to wait: those of one beat pass at once, more than that at their pace.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.through = self.through.max(now) + self.beat / MAX_SIGNALS;
        self.through.saturating_duration_since(now).saturating_sub(self.beat)
    }

    /// Counts one without a number; false if it is one too many.
    pub(crate) fn signal(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= self.beat {
            (self.since, self.signals) = (now, 0);
        }
        self.signals += 1;
        self.signals <= MAX_SIGNALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_kept_until_taken_and_written_again_after_a_break() {
        let mut outbox = Outbox::new(2);
        assert_eq!([outbox.push('a'), outbox.push('b'), outbox.push('c')], [1, 2, 3]);
        assert_eq!((outbox.next(0), outbox.next(1), outbox.next(2)), (Some((1, 'a')), Some((2, 'b')), None));
        assert!(outbox.was_written(2) && !outbox.was_written(3));
        outbox.received(1, 5).unwrap();
        assert_eq!((outbox.next(1), outbox.next(2), outbox.next(3)), (Some((2, 'b')), Some((3, 'c')), None));
        assert_eq!(outbox.next(0), Some((2, 'b')));
        assert_eq!(outbox.received(4, 9), Err(Reason::Unsolicited { of: 4 }));
        assert_eq!(outbox.len(), 2);
    }

    #[test]
    fn each_frame_is_taken_once_in_order_and_within_the_window() {
        let mut inbox = Inbox::new();
        assert_eq!(inbox.tell(), WINDOW);
        assert_eq!((inbox.take(1), inbox.take(1), inbox.take(2)), (Ok(true), Ok(false), Ok(true)));
        assert!(matches!(inbox.take(4), Err(Reason::Malformed(_))));
        assert_eq!(inbox.take(WINDOW + 1), Err(Reason::Flood));
        assert!(inbox.has_news() && !inbox.wants_to_tell());
        assert_eq!(inbox.tell(), WINDOW + 2);
        assert_eq!(inbox.taken(), 2);
    }

    #[test]
    fn signals_are_counted_between_beats() {
        let (beat, begun) = (Duration::from_secs(5), Instant::now());
        let mut pace = Pace::new(beat, begun);
        assert!((0..MAX_SIGNALS).all(|_| pace.signal(begun)));
        assert!(!pace.signal(begun) && !pace.signal(begun + beat / 2));
        assert!(pace.signal(begun + beat));
    }

    #[test]
    fn numbered_signals_pass_at_once_for_a_beat_and_then_at_their_pace() {
        let (beat, begun) = (Duration::from_secs(5), Instant::now());
        let mut pace = Pace::new(beat, begun);
        assert!((0..MAX_SIGNALS).all(|_| pace.wait(begun).is_zero()));
        let one = beat / MAX_SIGNALS;
        assert!([pace.wait(begun), pace.wait(begun + one)].iter().all(|wait| !wait.is_zero() && *wait <= one));
        assert!((0..MAX_SIGNALS).all(|_| pace.wait(begun + 2 * beat).is_zero()), "what was not used is not kept");
        assert!(!pace.wait(begun + 2 * beat).is_zero());
    }
}
