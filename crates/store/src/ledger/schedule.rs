//! When to try again (DESIGN A5): back-off with jitter, Retry-After obeyed.

use std::time::Duration;

use super::Timestamp;

/// The times between tries: doubled from `first` up to `cap`, each shortened at random by up to half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// After the first try.
    pub first: Duration,
    /// The longest.
    pub cap: Duration,
}

impl Default for Schedule {
    /// From a second, in which a restart may be over, to five minutes, after which a sender is warned (DESIGN A5).
    fn default() -> Self {
        Self { first: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

impl Schedule {
    /// When to try again after `attempts` tries, of which the last ended at `now`.
    ///
    /// `retry_after` is what the far side asked for: never sooner. `random` is any number, new for each call.
    #[must_use]
    pub fn next_try(&self, attempts: u32, retry_after: Option<Duration>, now: Timestamp, random: u64) -> Timestamp {
        let doublings = attempts.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.cap).max(self.first.min(self.cap));
        let jittered = full / 2 + share(full / 2, random);
        // Everyone whom a peer sent away for the same time would come back at the same moment.
        let asked = retry_after.map(|asked| asked.saturating_add(share(asked / 10, random)));
        now.after(jittered.max(asked.unwrap_or_default()))
    }
}

/// The part of `whole` that `random` stands for.
fn share(whole: Duration, random: u64) -> Duration {
    let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn pause(attempts: u32, retry_after: Option<u64>, random: u64) -> u64 {
        let next = Schedule::default().next_try(attempts, retry_after.map(Duration::from_secs), NOW, random);
        next.since(NOW).as_millis() as u64
    }

    #[test]
    fn it_doubles_from_a_second_to_five_minutes() {
        let longest: Vec<_> = (1..=11).map(|attempts| pause(attempts, None, u64::MAX)).collect();
        assert_eq!(longest, [999, 1999, 3999, 7999, 15_999, 31_999, 63_999, 127_999, 255_999, 299_999, 299_999]);
        let shortest: Vec<_> = [1, 2, 10, u32::MAX].map(|attempts| pause(attempts, None, 0)).into();
        assert_eq!(shortest, [500, 1000, 150_000, 150_000]);
    }

    #[test]
    fn what_the_far_side_asks_for_is_never_undercut() {
        assert_eq!(pause(1, Some(120), 0), 120_000);
        assert_eq!(pause(1, Some(120), u64::MAX), 131_999);
        assert_eq!(pause(10, Some(1), 0), 150_000);
    }
}
