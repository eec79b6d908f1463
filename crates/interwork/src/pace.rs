//! How fast a hop that has returned is given what waited for it: at most twice as fast as it was served before (DESIGN A5).

use impp_model::Outcome;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use store::Timestamp;

/// The pace of each hop.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<HashMap<Box<str>, Pace>>);

/// Hops remembered; beyond, all are forgotten, and start again slowly.
const MAX_HOPS: usize = 4_096;
/// What is delivered is counted in windows of this length.
const WINDOW: Duration = Duration::from_secs(5);
/// Windows remembered, of those in which anything was delivered: the last minute of use, however long ago.
const WINDOWS: usize = 12;
/// Tries a second that any hop can bear, though it has hardly been used.
const FLOOR: f64 = 50.0;
/// As long as a hop of which nothing is known answers, its pace doubles after this time.
const DOUBLING: Duration = Duration::from_secs(5);
/// Doublings at the most: fifty thousand a second is no limit any more.
const MAX_DOUBLINGS: i32 = 10;
/// What may be tried at once: so much of a second's share.
const BURST: f64 = 0.1;

#[derive(Debug, Default)]
struct Pace {
    /// Starts of windows with what was delivered live in them, oldest first.
    live: VecDeque<(Timestamp, u32)>,
    /// When the tries began that nothing has broken off since.
    since: Option<Timestamp>,
    /// Tries that may be made at `filled`.
    room: f64,
    filled: Timestamp,
}

impl Paces {
    /// Takes note of an operation that did not come out of the ledger.
    pub(crate) fn delivered(&self, hop: &str, outcome: &Outcome, now: Timestamp) {
        if !matches!(outcome, Outcome::Success(_) | Outcome::HandedOver) {
            return;
        }
        let mut hops = self.0.lock();
        match hops.get_mut(hop) {
            Some(pace) => pace.count(now),
            None => entry(&mut hops, hop).count(now),
        }
    }

    /// Whether one more of those that wait for a hop may be tried; then it is counted.
    pub(crate) fn admit(&self, hop: &str, now: Timestamp) -> bool {
        let mut hops = self.0.lock();
        match hops.get_mut(hop) {
            Some(pace) => pace.admit(now),
            None => entry(&mut hops, hop).admit(now),
        }
    }

    /// A try failed in a way that may pass: whoever was tried faster and faster is tried slowly again.
    pub(crate) fn broken_off(&self, hop: &str) {
        if let Some(pace) = self.0.lock().get_mut(hop) {
            pace.since = None;
        }
    }
}

fn entry<'a>(hops: &'a mut HashMap<Box<str>, Pace>, hop: &str) -> &'a mut Pace {
    if hops.len() >= MAX_HOPS {
        hops.clear();
    }
    hops.entry(hop.into()).or_default()
}

impl Pace {
    fn count(&mut self, now: Timestamp) {
        match self.live.back_mut() {
            Some((start, count)) if now.since(*start) < WINDOW => *count += 1,
            Some(_) | None => {
                if self.live.len() >= WINDOWS {
                    self.live.pop_front();
                }
                self.live.push_back((now, 1));
            }
        }
    }

    fn admit(&mut self, now: Timestamp) -> bool {
        let since = *self.since.get_or_insert(now);
        let limit = self.limit(now.since(since));
        let more = limit * now.since(self.filled).as_secs_f64();
        self.room = (self.room + more).min((limit * BURST).max(1.0));
        self.filled = now;
        let admitted = self.room >= 1.0;
        if admitted {
            self.room -= 1.0;
        }
        admitted
    }

    /// Tries a second.
    fn limit(&self, tried_for: Duration) -> f64 {
        match self.live.iter().map(|(_, count)| *count).max() {
            Some(most) => (2.0 * f64::from(most) / WINDOW.as_secs_f64()).max(FLOOR),
            None => {
                let doublings = i32::try_from(tried_for.as_secs() / DOUBLING.as_secs()).unwrap_or(MAX_DOUBLINGS);
                FLOOR * 2f64.powi(doublings.min(MAX_DOUBLINGS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::Proof;

    const HOP: &str = "sip b.example";

    /// Those admitted in each of some seconds, asked every 5 ms.
    fn seconds(paces: &Paces, from: u64, count: u64) -> Vec<usize> {
        let second = |second: u64| {
            let times = (0..1000).step_by(5).map(|ms| Timestamp(from + second * 1000 + ms));
            times.map(|now| std::iter::from_fn(|| paces.admit(HOP, now).then_some(())).count()).sum()
        };
        (0..count).map(second).collect()
    }

    #[test]
    fn twice_the_rate_before_and_no_more() {
        let paces = Paces::default();
        for ms in (0..20_000).step_by(10) {
            paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(1_000 + ms));
        }
        for admitted in seconds(&paces, 9_000_000, 5) {
            assert!((180..=220).contains(&admitted), "{admitted} at 100 a second before");
        }
    }

    #[test]
    fn a_hop_of_which_nothing_is_known_is_tried_slowly_then_faster_until_it_breaks_off() {
        let paces = Paces::default();
        let admitted = seconds(&paces, 1_000, 6);
        assert!(admitted[0] <= 56 && admitted[5] >= 95, "{admitted:?}");
        paces.broken_off(HOP);
        assert!(seconds(&paces, 7_000, 1)[0] <= 61);
        paces.delivered("other", &Outcome::Indeterminant, Timestamp(1));
        assert_eq!(paces.0.lock().len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let paces = Paces::default();
        for number in 0..2 * MAX_HOPS {
            assert!(paces.admit(&number.to_string(), Timestamp(1_000)));
        }
        assert!(paces.0.lock().len() <= MAX_HOPS);
    }
}
