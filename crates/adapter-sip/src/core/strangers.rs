//! SEC-006: datagrams from sources that may be forged are answered seldom, so that nobody is flooded with the answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use transport::site_of;

/// How many answers each unproven source may still have.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    known: BTreeMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    since: Instant,
}

/// Answers at once: a client that tries several things at its start.
const BURST: u32 = 50;

/// Time for one more answer.
const REFILL: Duration = Duration::from_millis(100);

/// Sources remembered; a flood of forged ones must not fill the memory.
const MAX_KNOWN: usize = 4096;

impl Strangers {
    /// Whether one more datagram from there is answered.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = site_of(source);
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&source) {
            self.known.retain(|_, bucket| !bucket.is_full(now));
            if self.known.len() >= MAX_KNOWN {
                return false;
            }
        }
        let bucket = self.known.entry(source).or_insert(Bucket { left: BURST, since: now });
        bucket.refill(now);
        let admitted = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        admitted
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let units = now.saturating_duration_since(self.since).as_millis() / REFILL.as_millis();
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        if self.left.saturating_add(units) >= BURST {
            (self.left, self.since) = (BURST, now);
        } else {
            self.left += units;
            self.since += REFILL * units;
        }
    }

    fn is_full(mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    // checks: SEC-006
    #[test]
    fn a_source_has_a_burst_and_then_a_trickle() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!((0..60).filter(|_| strangers.admit(one, now)).count(), 50);
        assert!(strangers.admit(other, now), "others are not affected");
        let later = now + REFILL * 3;
        assert_eq!((0..60).filter(|_| strangers.admit(one, later)).count(), 3);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..60).filter(|_| strangers.admit(one, much_later)).count(), 50);
    }

    #[test]
    fn rfc4291_s2_5_4_a_host_has_no_more_answers_for_having_many_addresses() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let from = |network: u16, host: u16| Ipv6Addr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]).into();
        assert_eq!((0..60).filter(|host| strangers.admit(from(1, *host), now)).count(), 50);
        assert!(strangers.admit(from(2, 0), now), "another network is not affected");
        assert_eq!(strangers.known.len(), 2);
    }

    #[test]
    fn a_flood_of_sources_is_bounded_and_ends() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let source = |n: u32| IpAddr::from(n.to_be_bytes());
        assert_eq!((0..5000).filter(|n| strangers.admit(source(*n), now)).count(), MAX_KNOWN);
        assert!(strangers.admit(source(9999), now + Duration::from_secs(60)));
        assert!(strangers.known.len() <= MAX_KNOWN);
    }
}
