//! Points in time that survive a restart, and a clock that does not jump.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since the beginning of 1970, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later than every other.
    pub const NEVER: Self = Self(u64::MAX);

    /// This long after; at most [`Self::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier`; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Wall-clock time that runs evenly: read once, carried on by the monotonic clock.
///
/// Setting the machine's clock moves nothing in a running process; a restart sees the new time.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    started: Instant,
    wall: Timestamp,
}

impl SteadyClock {
    /// A clock that starts at the wall clock's time.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), wall: Timestamp(0).after(since_epoch) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The time at `instant`; for instants before the clock started, the time of its start.
    pub fn at(&self, instant: Instant) -> Timestamp {
        self.wall.after(instant.saturating_duration_since(self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_follows_the_monotonic_one() {
        let clock = SteadyClock::start();
        let later = clock.started + Duration::from_secs(90);
        assert_eq!(clock.at(later).since(clock.wall), Duration::from_secs(90));
        assert_eq!(clock.wall.since(clock.at(later)), Duration::ZERO);
        assert_eq!(Timestamp::NEVER.after(Duration::from_secs(1)), Timestamp::NEVER);
    }
}
