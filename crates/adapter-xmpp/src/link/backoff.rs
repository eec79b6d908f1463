//! How long to wait before the next connection.

use std::time::Duration;

/// Pauses that double from try to try, each shortened by chance so that many gateways do not return together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

/// A server that restarts is back soon, and messages with two seconds to live wait for it.
const FIRST: Duration = Duration::from_millis(200);

/// A server that stays away is not asked more often.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

impl Backoff {
    /// The pause after one more failure; `chance` is drawn evenly from 0 to 1.
    // RFC 6120 §3.3: randomised and growing.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// A connection has served: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: XST-034
    #[test]
    fn rfc6120_s3_3_pauses_grow_to_a_limit_and_vary() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
        assert_eq!(backoff.next(0.0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.next(0.5), FIRST.mul_f64(0.75));
    }
}
