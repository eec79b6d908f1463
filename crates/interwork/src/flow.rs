//! How many things happen a second, and for how long they have gone on happening.

use std::time::Duration;
use store::Timestamp;

/// What is counted together; a pause of two such times is an end.
const SECOND: Duration = Duration::from_secs(1);

/// Counts by the second.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Since when there was no pause.
    since: Timestamp,
    /// When the second that is counted began; none if nothing ever happened.
    second: Option<Timestamp>,
    count: u32,
    /// In the second before.
    before: u32,
}

impl Flow {
    /// One more.
    pub(crate) fn note(&mut self, now: Timestamp) {
        let age = self.second.map(|second| now.since(second));
        match age {
            Some(age) if age < SECOND => {
                self.count = self.count.saturating_add(1);
                return;
            }
            Some(age) if age < 2 * SECOND => self.before = self.count,
            Some(_) | None => {
                self.before = 0;
                self.since = now;
            }
        }
        (self.second, self.count) = (Some(now), 1);
    }

    /// How many a second there are of late; none after a pause.
    pub(crate) fn rate(&self, now: Timestamp) -> u32 {
        match self.second.map(|second| now.since(second)) {
            Some(age) if age < SECOND => self.count.max(self.before),
            Some(age) if age < 2 * SECOND => self.count,
            Some(_) | None => 0,
        }
    }

    /// For how long it has gone on without a pause; `None` if it does not.
    pub(crate) fn lasting(&self, now: Timestamp) -> Option<Duration> {
        (self.rate(now) > 0).then(|| now.since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_counts_and_two_without_anything_end_it() {
        let mut flow = Flow::default();
        assert_eq!((flow.rate(Timestamp(0)), flow.lasting(Timestamp(0))), (0, None));
        for _ in 0..5 {
            flow.note(Timestamp(10_000));
        }
        assert_eq!(
            (flow.rate(Timestamp(10_999)), flow.rate(Timestamp(11_999)), flow.rate(Timestamp(12_000))),
            (5, 5, 0)
        );
        flow.note(Timestamp(11_500));
        assert_eq!((flow.rate(Timestamp(11_500)), flow.rate(Timestamp(12_600))), (5, 1));
        assert_eq!(flow.lasting(Timestamp(12_600)), Some(Duration::from_millis(2_600)));
        flow.note(Timestamp(13_500));
        assert_eq!(
            (flow.rate(Timestamp(13_500)), flow.lasting(Timestamp(14_000))),
            (1, Some(Duration::from_millis(500)))
        );
    }
}
