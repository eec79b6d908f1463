//! What a hop can bear (DESIGN A5): how fast one that has returned is given what waited for it, at most twice as fast as it was
//! served before; and when one that answers has too much before it to take more.

use crate::flow::Flow;
use impp_model::Outcome;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
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
/// As long as a hop of which nothing is known answers, its pace doubles after this time: some seconds of confirmations at the
/// pace before, and from the floor to ten thousand a second in a quarter of a minute.
const DOUBLING: Duration = Duration::from_secs(2);
/// Doublings at the most: fifty thousand a second is no limit any more.
const MAX_DOUBLINGS: i32 = 10;
/// What may be tried at once: so much of a second's share.
const BURST: f64 = 0.1;
/// Messages that may follow for each that is tried, while tries lag: so the backlog shrinks by half of what is tried, and a hop
/// that is drained twice as fast as it was served takes as many as before.
const FOLLOWING: f64 = 0.5;
/// Followers that may come at once.
const MAX_FOLLOWING: f64 = 64.0;
/// Operations under way at a hop that are not too many, however slowly it answers: a burst.
const UNDER_WAY: u32 = 4_096;
/// What is under way beyond may take so much of the time that a sender waits.
const SHARE: f64 = 0.25;

#[derive(Debug, Default)]
struct Pace {
    /// Starts of windows with what was delivered live in them, oldest first; one of an earlier process begins at zero.
    live: VecDeque<(Timestamp, u32)>,
    /// When the tries began that nothing has broken off since.
    since: Option<Timestamp>,
    /// What was delivered live in the best window before the tries began that go on.
    before: Option<u32>,
    /// Tries that may be made at `filled`.
    room: f64,
    filled: Timestamp,
    /// Confirmations of late.
    flow: Flow,
    /// Operations handed on for senders that wait.
    under_way: u32,
    /// Whether tries lag behind a backlog that goes before others may come.
    is_behind: bool,
    /// Messages that may follow those that wait all the same.
    following: f64,
}

impl Paces {
    /// Takes note of an operation that did not come out of the ledger.
    pub(crate) fn delivered(&self, hop: &str, outcome: &Outcome, now: Timestamp) {
        if !matches!(outcome, Outcome::Success(_) | Outcome::HandedOver) {
            return;
        }
        self.change(hop, |pace| {
            pace.count(now);
            pace.flow.note(now);
        });
    }

    /// Takes note of an operation that came out of the ledger and was confirmed.
    pub(crate) fn drained(&self, hop: &str, now: Timestamp) {
        self.change(hop, |pace| pace.flow.note(now));
    }

    /// An operation of a sender that waits is handed on.
    pub(crate) fn handed_on(&self, hop: &str) {
        self.change(hop, |pace| pace.under_way = pace.under_way.saturating_add(1));
    }

    /// One that was handed on has ended.
    pub(crate) fn came_back(&self, hop: &str) {
        // None are known if the hops were forgotten meanwhile.
        self.change(hop, |pace| pace.under_way = pace.under_way.saturating_sub(1));
    }

    /// Whether so much is under way at a hop that answers that one more would hardly be confirmed while its sender waits.
    pub(crate) fn is_full(&self, hop: &str, now: Timestamp, hold: Duration) -> bool {
        self.0.lock().get(hop).is_some_and(|pace| pace.is_full(now, hold))
    }

    /// Whether one more message may go behind those of its pair that wait, `lag` being how long the first has been due. It may
    /// unless the hop answers and leaves what is due waiting for longer than `hold`: then only so many may that the rest goes.
    /// That begins when `many` wait, and lasts until nothing waits for long.
    pub(crate) fn may_follow(&self, hop: &str, lag: Duration, many: bool, now: Timestamp, hold: Duration) -> bool {
        self.0.lock().get_mut(hop).is_none_or(|pace| pace.may_follow(lag, many, now, hold))
    }

    /// Whether one more of those that wait for a hop may be tried; then it is counted.
    pub(crate) fn admit(&self, hop: &str, now: Timestamp) -> bool {
        self.change(hop, |pace| pace.admit(now))
    }

    fn change<T>(&self, hop: &str, change: impl FnOnce(&mut Pace) -> T) -> T {
        let mut hops = self.0.lock();
        match hops.get_mut(hop) {
            Some(pace) => change(pace),
            None => change(entry(&mut hops, hop)),
        }
    }

    /// What each hop took in its best window, to be known after a restart: with a hop's name, in its order.
    pub(crate) fn most(&self) -> BTreeMap<Box<str>, u32> {
        self.0.lock().iter().filter_map(|(hop, pace)| Some((hop.clone(), pace.most()?))).collect()
    }

    /// Those that an earlier process knew.
    pub(crate) fn restore(most: BTreeMap<Box<str>, u32>) -> Self {
        let pace = |most| Pace { live: VecDeque::from([(Timestamp::default(), most)]), ..Pace::default() };
        Self(Mutex::new(most.into_iter().take(MAX_HOPS).map(|(hop, most)| (hop, pace(most))).collect()))
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
        // What is delivered live beside a backlog says nothing about what the hop could bear before.
        if now.since(self.filled) > WINDOW {
            self.before = self.most();
        }
        let since = *self.since.get_or_insert(now);
        let limit = self.limit(now.since(since));
        let more = limit * now.since(self.filled).as_secs_f64();
        self.room = (self.room + more).min((limit * BURST).max(1.0));
        self.filled = now;
        let admitted = self.room >= 1.0;
        if admitted {
            self.room -= 1.0;
            self.following = (self.following + FOLLOWING).min(MAX_FOLLOWING);
        }
        admitted
    }

    fn is_full(&self, now: Timestamp, hold: Duration) -> bool {
        let rate = self.flow.rate(now);
        let bearable = f64::from(rate) * hold.as_secs_f64() * SHARE;
        rate > 0 && self.under_way >= UNDER_WAY && f64::from(self.under_way) > bearable
    }

    fn may_follow(&mut self, lag: Duration, many: bool, now: Timestamp, hold: Duration) -> bool {
        let lags = self.flow.lasting(now).is_some_and(|lasting| lag.min(lasting) > hold);
        self.is_behind = lags && (many || self.is_behind);
        let may = !self.is_behind || self.following >= 1.0;
        if self.is_behind && may {
            self.following -= 1.0;
        }
        may
    }

    /// What was delivered live in the best window.
    fn most(&self) -> Option<u32> {
        self.live.iter().map(|(_, count)| *count).max()
    }

    /// Tries a second.
    fn limit(&self, tried_for: Duration) -> f64 {
        match self.before {
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
    fn what_a_hop_took_is_known_after_a_restart_until_it_is_used_anew() {
        let first = Paces::default();
        for ms in 0..5_000 {
            first.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(1_000 + ms));
        }
        assert!(first.admit("never delivered to", Timestamp(1_000)));
        let most = first.most();
        assert_eq!(most, BTreeMap::from([(HOP.into(), 5_000)]));
        let paces = Paces::restore(most);
        assert!((1_900..=2_200).contains(&seconds(&paces, 9_000_000, 1)[0]), "1,000 a second before");
        for window in 0..WINDOWS as u64 {
            paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(9_100_000 + window * 5_000));
        }
        assert_eq!(paces.most(), BTreeMap::from([(HOP.into(), 1)]));
    }

    #[test]
    fn a_hop_of_which_nothing_is_known_is_tried_slowly_then_faster_until_it_breaks_off() {
        let paces = Paces::default();
        let admitted = seconds(&paces, 1_000, 6);
        assert!(admitted[0] <= 56 && (95..=110).contains(&admitted[2]) && admitted[4] >= 190, "{admitted:?}");
        paces.broken_off(HOP);
        assert!(seconds(&paces, 7_000, 1)[0] <= 71);
        paces.delivered("other", &Outcome::Indeterminant, Timestamp(1));
        assert_eq!(paces.0.lock().len(), 1);
    }

    #[test]
    fn what_is_delivered_beside_a_backlog_does_not_slow_it_down() {
        let paces = Paces::default();
        let admitted = seconds(&paces, 9_000_000, 4)[3];
        paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(9_004_000));
        assert!(seconds(&paces, 9_004_000, 1)[0] >= admitted);
        assert!(seconds(&paces, 9_020_000, 1)[0] <= 56, "after a rest it is known how little it took");
    }

    #[test]
    fn behind_a_backlog_that_an_answering_hop_leaves_lying_half_as_many_may_follow_as_are_tried() {
        let (paces, hold, late) = (Paces::default(), Duration::from_secs(2), Duration::from_secs(60));
        let follow = |now| (0..100).filter(|_| paces.may_follow(HOP, late, true, Timestamp(now), hold)).count();
        assert_eq!(follow(1_000), 100, "nothing is known of the hop");
        assert!(paces.admit(HOP, Timestamp(1_000)));
        assert_eq!(follow(1_000), 100, "it has not answered");
        for now in (1_000..=3_000).step_by(100) {
            paces.drained(HOP, Timestamp(now));
            assert_eq!(follow(now), 100, "it has just begun to answer");
        }
        paces.drained(HOP, Timestamp(3_001));
        assert!(paces.may_follow(HOP, hold, true, Timestamp(3_001), hold), "nothing waits for long");
        assert!(paces.may_follow(HOP, late, false, Timestamp(3_001), hold), "few wait");
        assert_eq!(follow(3_001), 0);
        assert!(
            !paces.may_follow(HOP, late, false, Timestamp(3_001), hold),
            "few are left, and it goes on until they are gone"
        );
        let tried = seconds(&paces, 3_001, 1)[0];
        paces.drained(HOP, Timestamp(4_000));
        assert_eq!(follow(4_000), tried.div_ceil(2));
        assert_eq!(follow(6_000), 100, "it is silent again");
    }

    #[test]
    fn a_hop_that_answers_takes_no_more_than_it_confirms_in_time() {
        let (paces, hold) = (Paces::default(), Duration::from_secs(2));
        let full = |now| paces.is_full(HOP, Timestamp(now), hold);
        (0..3 * UNDER_WAY).for_each(|_| paces.handed_on(HOP));
        assert!(!full(1_000), "a hop that is silent is another matter: what it has fails, and is kept");
        for _ in 0..10_000 {
            paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(1_000));
        }
        assert!(full(1_500), "half a second takes 5,000 of 12,288");
        (0..2 * UNDER_WAY).for_each(|_| paces.came_back(HOP));
        assert!(!full(1_500));
        paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(2_000));
        paces.delivered(HOP, &Outcome::Success(Proof::Server), Timestamp(3_000));
        assert!(full(3_000), "it has become slow");
        paces.came_back(HOP);
        assert!(!full(3_000), "a burst is no backlog");
        assert!(!full(9_000));
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
