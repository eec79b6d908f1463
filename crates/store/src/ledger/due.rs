//! Who is to be tried: the first of each pair while it waits, hop by hop. No I/O, no clock.
//!
//! Sorted by hop, so that a backlog whose hop's pace holds it back is neither looked through nor in the others' way.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::btree_set::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::{Seq, Timestamp};

/// When an entry is due, and which.
pub(super) type Place = (Timestamp, Seq);
/// The next hop that it waits for, if routing found one.
pub(super) type Hop = Option<Arc<str>>;

/// All places; at most one for each pair.
#[derive(Default)]
pub(super) struct Dues {
    hops: BTreeMap<Hop, BTreeSet<Place>>,
}

impl Dues {
    pub(super) fn insert(&mut self, hop: Hop, place: Place) {
        self.hops.entry(hop).or_default().insert(place);
    }

    pub(super) fn remove(&mut self, hop: Hop, place: Place) {
        if let Entry::Occupied(mut places) = self.hops.entry(hop) {
            places.get_mut().remove(&place);
            if places.get().is_empty() {
                places.remove();
            }
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.hops.values().filter_map(BTreeSet::first).map(|(when, _)| *when).min()
    }

    /// How long the first of a hop has been due.
    pub(super) fn lag(&self, hop: &Hop, now: Timestamp) -> Duration {
        let first = self.hops.get(hop).and_then(BTreeSet::first);
        first.map_or(Duration::ZERO, |(when, _)| now.since(*when))
    }

    /// At most `limit` of those due: of each hop the longest due first, the hops in turn, each until `admit` lets no more pass.
    pub(super) fn take(&self, now: Timestamp, limit: usize, mut admit: impl FnMut(Option<&str>) -> bool) -> Vec<Seq> {
        let due = |(hop, places)| (hop, BTreeSet::range(places, ..=(now, Seq(u64::MAX))));
        let mut turns: Vec<(&Hop, _)> = self.hops.iter().map(due).collect();
        let mut taken = Vec::new();
        while !turns.is_empty() {
            turns.retain_mut(|(hop, places)| {
                if taken.len() >= limit {
                    return false;
                }
                // Asked only for one that is there.
                let Some((_, seq)) = places.next() else { return false };
                let admitted = admit(hop.as_deref());
                taken.extend(admitted.then_some(*seq));
                admitted
            });
        }
        taken
    }

    /// Those that are not due yet and of which no hop is known.
    pub(super) fn later_without_hop(&self, now: Timestamp) -> impl Iterator<Item = Seq> {
        let after = (Bound::Excluded((now, Seq(u64::MAX))), Bound::Unbounded);
        self.hops.get(&None).into_iter().flat_map(move |places| places.range(after)).map(|(_, seq)| *seq)
    }

    /// Those that are not due yet, of one hop or of all.
    pub(super) fn later(&self, hop: Option<&str>, now: Timestamp) -> Vec<Seq> {
        let after = (Bound::Excluded((now, Seq(u64::MAX))), Bound::Unbounded);
        let hops = self.hops.iter().filter(|(of, _)| hop.is_none() || of.as_deref() == hop);
        hops.flat_map(|(_, places)| places.range(after)).map(|(_, seq)| *seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Shard;

    fn place(at: u64, number: u64) -> Place {
        (Timestamp(at), Seq::new(Shard::new(0).unwrap(), number))
    }

    #[test]
    fn hops_take_turns_and_one_that_is_held_back_is_passed_over() {
        let mut dues = Dues::default();
        for number in 0..10 {
            dues.insert(Some("slow".into()), place(number, number));
        }
        dues.insert(Some("quick".into()), place(5, 20));
        dues.insert(None, place(6, 21));
        dues.insert(Some("quick".into()), place(99, 22));
        let numbers = |taken: Vec<Seq>| taken.into_iter().map(Seq::order).collect::<Vec<_>>();
        assert_eq!(numbers(dues.take(Timestamp(8), 5, |_| true)), [21, 20, 0, 1, 2]);
        let mut asked = 0;
        let slow_refused = |hop: Option<&str>| {
            asked += 1;
            hop != Some("slow")
        };
        assert_eq!(numbers(dues.take(Timestamp(8), 100, slow_refused)), [21, 20]);
        assert_eq!(asked, 3, "a backlog is not looked through");
        assert_eq!(numbers(dues.later(Some("quick"), Timestamp(8))), [22]);
        assert_eq!(dues.lag(&Some("slow".into()), Timestamp(8)), Duration::from_millis(8));
        assert_eq!((dues.lag(&Some("none".into()), Timestamp(8)), dues.lag(&None, Timestamp(5))), Default::default());
        assert_eq!((dues.later(None, Timestamp(8)).len(), dues.next()), (2, Some(Timestamp(0))));
        for number in 0..10 {
            dues.remove(Some("slow".into()), place(number, number));
        }
        assert_eq!((dues.next(), dues.hops.len()), (Some(Timestamp(5)), 2));
    }
}
