//! RFC 3261 §A: the timer values, and queues of deadlines that all lie equally far ahead.

use super::Handle;
use super::slab::KEPT;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The timer values from which all others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// The estimated round-trip time.
    pub t1: Duration,
    /// The longest interval between retransmissions.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// Timers F and J: how long a transaction may take.
    pub fn lifetime(&self) -> Duration {
        self.t1 * 64
    }

    /// The values of Timer E in their order, the last one repeating: T1 doubled up to T2.
    pub(super) fn intervals(&self) -> Vec<Duration> {
        let mut intervals = Vec::new();
        let mut interval = self.t1;
        while interval < self.t2 {
            intervals.push(interval);
            interval *= 2;
        }
        intervals.push(self.t2);
        intervals
    }

    /// RFC 4320 §4.1: when Timer E of the sender reaches T2, the time for 100.
    pub(super) fn trying_after(&self) -> Duration {
        self.intervals().iter().filter(|interval| **interval < self.t2).sum()
    }
}

/// How late a finished transaction may be forgotten: one wake-up then serves all that have ended meanwhile.
pub(super) const GRAIN: Duration = Duration::from_millis(100);

/// Deadlines in the order of their setting; valid because all lie `delay` ahead and time does not go back.
///
/// An entry is never removed early: its owner checks, when it comes up, whether it still means anything.
#[derive(Debug)]
pub(super) struct Deadlines {
    delay: Duration,
    queue: VecDeque<(Instant, Handle)>,
}

impl Deadlines {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, queue: VecDeque::new() }
    }

    pub(super) fn arm(&mut self, handle: Handle, now: Instant) {
        self.queue.push_back((now + self.delay, handle));
    }

    /// The next handle whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Handle> {
        let due = self.queue.front().is_some_and(|(at, _)| *at <= now);
        due.then(|| self.pop()).flatten().map(|(_, handle)| handle)
    }

    fn pop(&mut self) -> Option<(Instant, Handle)> {
        let first = self.queue.pop_front();
        // After a rush its room is given back.
        if self.queue.capacity() > KEPT && self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(KEPT.max(self.queue.len() * 2));
        }
        first
    }

    /// The first deadline that still means something; those before it are forgotten.
    pub(super) fn next(&mut self, live: impl Fn(Handle) -> bool) -> Option<Instant> {
        while let Some((at, handle)) = self.queue.front() {
            if live(*handle) {
                return Some(*at);
            }
            self.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rush_has_taken_is_given_back() {
        let (mut queue, now) = (Deadlines::new(Duration::ZERO), crate::transaction::testkit::origin());
        (0..10 * KEPT).for_each(|number| queue.arm(Handle::from_bits(number as u64), now));
        for number in 0..10 * KEPT {
            assert_eq!(queue.pop_due(now), Some(Handle::from_bits(number as u64)));
        }
        assert!(queue.queue.capacity() <= KEPT);
    }

    // checks: SIP-001, SIP-043
    #[test]
    fn rfc3261_s17_1_2_2_intervals_double_up_to_t2() {
        let millis: Vec<_> = Timers::default().intervals().iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [500, 1000, 2000, 4000]);
        assert_eq!(Timers::default().trying_after(), Duration::from_millis(3500));
        assert_eq!(Timers::default().lifetime(), Duration::from_secs(32));
    }
}
