//! All pairs: found by their addresses, by their presentity, and by when something is due.
//!
//! There may be hundreds of thousands: addresses and instances are kept once, and numbers stand for them.

use super::PresenceLimits;
use super::pair::Pair;
use super::people::{Key, People};
use super::watch::{Sides, Watch};
use adapter_api::InstanceName;
use impp_model::Address;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use store::Timestamp;

/// A pair and what goes with it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) watch: Watch,
    /// When it is looked at again; set by [`Pairs::rearm`].
    due: Timestamp,
    /// The instance the watcher's operations come in through.
    pub(super) near: Place,
    /// The instance that reaches the presentity, once known.
    pub(super) far: Option<Place>,
    pub(super) sides: Sides,
}

/// Stands for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(NonZeroU16);

/// Every pair.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    people: People,
    places: Vec<InstanceName>,
    numbers: BTreeMap<Key, u32>,
    entries: Slab<Entry>,
    dues: BTreeSet<(Timestamp, Key)>,
}

impl Entry {
    pub(super) fn new(near: Place, far: Option<Place>, sides: Sides, watch: Watch) -> Self {
        Self { watch, due: Timestamp::NEVER, near, far, sides }
    }
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn contains(&self, pair: &Pair) -> bool {
        self.get(pair).is_some()
    }

    pub(super) fn get(&self, pair: &Pair) -> Option<&Entry> {
        let number = self.numbers.get(&self.people.key(pair)?)?;
        self.entries.get(*number as usize)
    }

    pub(super) fn get_mut(&mut self, pair: &Pair) -> Option<&mut Entry> {
        let number = self.numbers.get(&self.people.key(pair)?)?;
        self.entries.get_mut(*number as usize)
    }

    /// Every pair, the watchers of one presentity together.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Pair, &Entry)> {
        let entry = |(key, number): (&Key, &u32)| Some((self.people.pair(*key)?, self.entries.get(*number as usize)?));
        self.numbers.iter().filter_map(entry)
    }

    /// Every entry, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(super) fn watchers_of(&self, target: &Address) -> Vec<Pair> {
        let Some(target) = self.people.number(target) else { return Vec::new() };
        let all = Key { target, watcher: 0 }..=Key { target, watcher: u32::MAX };
        self.numbers.range(all).filter_map(|(key, _)| self.people.pair(*key)).collect()
    }

    /// What bounds a new pair would break; the reason, for a person.
    pub(super) fn full(&self, pair: &Pair, limits: &PresenceLimits) -> Option<&'static str> {
        self.people.full(pair, limits)
    }

    /// Takes a pair that is not there, or in place of what there is.
    pub(super) fn insert(&mut self, pair: &Pair, entry: Entry) {
        let entry = Entry { due: Timestamp::NEVER, ..entry };
        self.remove(pair);
        // The bounds on pairs are far below.
        let number = u32::try_from(self.entries.insert(entry)).unwrap_or(u32::MAX);
        self.numbers.insert(self.people.enter(pair), number);
    }

    pub(super) fn remove(&mut self, pair: &Pair) -> Option<Entry> {
        let key = self.people.key(pair)?;
        let number = self.numbers.remove(&key)?;
        let entry = self.entries.try_remove(number as usize)?;
        self.dues.remove(&(entry.due, key));
        self.people.leave(key);
        Some(entry)
    }

    /// Sets when a pair is looked at again: when its machine wants, and not before `earliest`.
    pub(super) fn rearm(&mut self, pair: &Pair, earliest: Timestamp) {
        let Some(key) = self.people.key(pair) else { return };
        let Some(entry) = self.numbers.get(&key).and_then(|number| self.entries.get_mut(*number as usize)) else {
            return;
        };
        let due = entry.watch.poll_timeout().max(earliest);
        let before = std::mem::replace(&mut entry.due, due);
        if due == before {
            return;
        }
        self.dues.remove(&(before, key));
        if due != Timestamp::NEVER {
            self.dues.insert((due, key));
        }
    }

    /// When the next pair is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// A pair that is due; it is not again until [`rearm`](Self::rearm).
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Pair> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.dues.pop_first()?;
        if let Some(entry) = self.numbers.get(&key).and_then(|number| self.entries.get_mut(*number as usize)) {
            entry.due = Timestamp::NEVER;
        }
        self.people.pair(key)
    }

    /// What stands for an instance.
    pub(super) fn place(&mut self, name: &InstanceName) -> Place {
        let at = self.places.iter().position(|known| known == name).unwrap_or_else(|| {
            self.places.push(name.clone());
            self.places.len() - 1
        });
        // A configuration has a handful of instances.
        Place(u16::try_from(at + 1).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MAX))
    }

    /// The instance that a place stands for.
    pub(super) fn name(&self, place: Place) -> InstanceName {
        self.places.get(usize::from(place.0.get()) - 1).cloned().unwrap_or_else(|| "".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::watch::{Authorization, Known, Near};
    use adapter_api::testkit::memory;
    use impp_model::{Basic, Device, LangText, PresenceInfo, PresenceTuple, Show};

    fn entry(pairs: &mut Pairs, until: u64) -> Entry {
        let sides = Sides { refreshed: false, checked: false, polls: true, devices: false };
        let near = vec![Near { id: "n".into(), until: Timestamp(until) }];
        let watch = Watch::restored(Authorization::Granted, near, Timestamp::NEVER, None, Timestamp::NEVER);
        let place = pairs.place(&"office".into());
        Entry::new(place, None, sides, watch)
    }

    #[global_allocator]
    static ALLOCATOR: memory::Counting = memory::Counting;

    /// As many as fill what the vectors reserve: what they reserve beyond is address space and nothing else.
    const MANY: isize = 65_536;

    /// Octets of a pair: with those of its dialog (`adapter-sip`) at most 600.
    const MOST: isize = 335;

    // checks: REQ-2.2.2
    #[test]
    fn what_is_kept_for_each_pair_is_small() {
        let mut pairs = Pairs::default();
        let tuple = PresenceTuple::new(Device::new("desk").ok(), Basic::Open);
        let notes = vec![LangText { language: Some("en".into()), text: "in a meeting".to_owned() }];
        let tuples = vec![PresenceTuple { show: Some(Show::Away), priority: Some(5), notes, ..tuple }];
        let info = PresenceInfo { tuples, ..PresenceInfo::default() };
        let ((), octets) = memory::held(|| {
            for number in 0..MANY {
                let addresses =
                    [format!("romeo{number}@sip.example"), format!("juliet{number}@xmpp.example")].map(|it| it.parse());
                let [Ok(watcher), Ok(target)] = addresses else { panic!("they are addresses") };
                let pair = Pair::new(&watcher, &target);
                // Half of the due times are those of the others, as after a start.
                let due = Timestamp(u64::try_from(number).unwrap() % 32_768);
                let near = vec![Near { id: format!("{number:022x}").into(), until: due }];
                let state = Some(Known::from(&info));
                let watch = Watch::restored(Authorization::Granted, near, Timestamp::NEVER, state, Timestamp::NEVER);
                let sides = Sides { refreshed: false, checked: false, polls: true, devices: false };
                let place = pairs.place(&"office".into());
                pairs.insert(&pair, Entry::new(place, Some(place), sides, watch));
                pairs.rearm(&pair, Timestamp(0));
            }
        });
        println!("{} octets for each pair, {} of them the entry", octets / MANY, std::mem::size_of::<Entry>());
        assert!(octets / MANY <= MOST, "{}", octets / MANY);
        assert_eq!(pairs.len(), usize::try_from(MANY).unwrap());
    }

    #[test]
    fn pairs_are_found_by_presentity_and_by_due_time_and_leave_nothing_behind() {
        let mut pairs = Pairs::default();
        let names = [
            ("a@w.example", "x@t.example", 30),
            ("b@w.example", "x@t.example", 10),
            ("a@w.example", "y@t.example", 20),
        ];
        let all = names.map(|(watcher, target, due)| {
            let pair = Pair::new(&watcher.parse().unwrap(), &target.parse().unwrap());
            let entry = entry(&mut pairs, due);
            pairs.insert(&pair, entry);
            pairs.rearm(&pair, Timestamp(0));
            pair
        });
        assert_eq!((pairs.len(), pairs.watchers_of(&all[0].target)), (3, vec![all[0].clone(), all[1].clone()]));
        assert_eq!(pairs.name(pairs.get(&all[0]).unwrap().near).as_str(), "office");
        assert_eq!(pairs.next_due(), Some(Timestamp(10)));
        assert_eq!(pairs.pop_due(Timestamp(20)), Some(all[1].clone()));
        assert_eq!(pairs.pop_due(Timestamp(20)), Some(all[2].clone()));
        assert_eq!(pairs.pop_due(Timestamp(20)), None);
        for pair in &all {
            assert!(pairs.remove(pair).is_some() && !pairs.contains(pair));
        }
        assert_eq!((pairs.next_due(), pairs.iter().count(), pairs.entries.len()), (None, 0, 0));
    }
}
