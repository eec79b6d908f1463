//! Everybody who watches or is watched, each once, and how many pairs each has: what bounds them.

use super::PresenceLimits;
use super::pair::Pair;
use hashbrown::{DefaultHashBuilder, HashTable};
use impp_model::{Address, Domain};
use slab::Slab;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// A pair by the numbers of its ends; ordered so that the watchers of one presentity lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) target: u32,
    pub(super) watcher: u32,
}

/// Everybody, with a number each while he has a pair.
#[derive(Debug, Default)]
pub(super) struct People {
    known: Slab<Person>,
    /// Numbers by address.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    domains: HashMap<Domain, Members>,
}

#[derive(Debug)]
struct Person {
    address: Address,
    watches: u32,
    watched: u32,
}

/// How many people of a domain there are, and how many pairs they have as watchers.
#[derive(Debug, Default)]
struct Members {
    people: usize,
    watch: usize,
}

impl People {
    /// What is full, if anything is: the reason, for a person.
    pub(super) fn full(&self, pair: &Pair, limits: &PresenceLimits) -> Option<&'static str> {
        let count = |address| self.number(address).and_then(|number| self.known.get(number as usize));
        if count(&pair.watcher).is_some_and(|person| person.watches as usize >= limits.per_watcher) {
            return Some("this watcher watches too many already");
        }
        if count(&pair.target).is_some_and(|person| person.watched as usize >= limits.per_presentity) {
            return Some("too many watch this presentity already");
        }
        let of_domain = self.domains.get(pair.watcher.domain()).map_or(0, |members| members.watch);
        (of_domain >= limits.per_domain).then_some("too many watchers of this domain")
    }

    /// The number of somebody known.
    pub(super) fn number(&self, address: &Address) -> Option<u32> {
        let same = |number: &u32| self.known.get(*number as usize).is_some_and(|person| person.address == *address);
        self.numbers.find(self.hasher.hash_one(address), same).copied()
    }

    /// The key of a pair both of whose ends are known.
    pub(super) fn key(&self, pair: &Pair) -> Option<Key> {
        Some(Key { target: self.number(&pair.target)?, watcher: self.number(&pair.watcher)? })
    }

    /// The pair of a key.
    pub(super) fn pair(&self, key: Key) -> Option<Pair> {
        let address = |number: u32| self.known.get(number as usize).map(|person| person.address.clone());
        Some(Pair { target: address(key.target)?, watcher: address(key.watcher)? })
    }

    /// Counts a pair that was not there.
    pub(super) fn enter(&mut self, pair: &Pair) -> Key {
        let key = Key { target: self.meet(&pair.target), watcher: self.meet(&pair.watcher) };
        if let Some(person) = self.known.get_mut(key.target as usize) {
            person.watched += 1;
        }
        if let Some(person) = self.known.get_mut(key.watcher as usize) {
            person.watches += 1;
        }
        self.domains.entry(pair.watcher.domain().clone()).or_default().watch += 1;
        key
    }

    /// Counts a pair no longer.
    pub(super) fn leave(&mut self, key: Key) {
        if let Some(person) = self.known.get_mut(key.target as usize) {
            person.watched -= 1;
        }
        if let Some(person) = self.known.get_mut(key.watcher as usize) {
            person.watches -= 1;
            if let Some(members) = self.domains.get_mut(person.address.domain()) {
                members.watch -= 1;
            }
        }
        self.part(key.target);
        self.part(key.watcher);
    }

    fn meet(&mut self, address: &Address) -> u32 {
        if let Some(number) = self.number(address) {
            return number;
        }
        // One text for all of a domain.
        let own = self.domains.get_key_value(address.domain()).map_or(address.domain(), |(domain, _)| domain).clone();
        self.domains.entry(own.clone()).or_default().people += 1;
        let person = Person { address: address.with_domain(own), watches: 0, watched: 0 };
        // The bounds on pairs are far below.
        let number = u32::try_from(self.known.insert(person)).unwrap_or(u32::MAX);
        let (known, hasher) = (&self.known, &self.hasher);
        let hash = |number: &u32| known.get(*number as usize).map_or(0, |person| hasher.hash_one(&person.address));
        self.numbers.insert_unique(hasher.hash_one(address), number, hash);
        number
    }

    /// Forgets who has no pair left.
    fn part(&mut self, number: u32) {
        if self.known.get(number as usize).is_none_or(|person| person.watches + person.watched > 0) {
            return;
        }
        let person = self.known.remove(number as usize);
        if let Ok(entry) = self.numbers.find_entry(self.hasher.hash_one(&person.address), |other| *other == number) {
            entry.remove();
        }
        if let Some(members) = self.domains.get_mut(person.address.domain()) {
            members.people -= 1;
            if members.people == 0 {
                self.domains.remove(person.address.domain());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(watcher: &str, target: &str) -> Pair {
        Pair::new(&watcher.parse().unwrap(), &target.parse().unwrap())
    }

    // checks: PRS-063
    #[test]
    fn rfc3857_s4_7_1_each_bound_holds_and_frees() {
        let limits = PresenceLimits { per_watcher: 2, per_presentity: 2, per_domain: 3, ..PresenceLimits::default() };
        let mut people = People::default();
        let [first, second] = [pair("a@w.example", "x@t.example"), pair("a@w.example", "y@t.example")];
        for pair in [&first, &second] {
            assert_eq!(people.full(pair, &limits), None);
            people.enter(pair);
        }
        assert!(
            people.full(&pair("a@w.example", "z@t.example"), &limits).is_some_and(|why| why.contains("this watcher"))
        );
        people.enter(&pair("b@w.example", "x@t.example"));
        assert!(
            people.full(&pair("c@v.example", "x@t.example"), &limits).is_some_and(|why| why.contains("presentity"))
        );
        assert!(people.full(&pair("c@w.example", "z@t.example"), &limits).is_some_and(|why| why.contains("domain")));
        people.leave(people.key(&first).unwrap());
        assert_eq!(people.full(&pair("a@w.example", "z@t.example"), &limits), None);
    }

    #[test]
    fn whoever_has_no_pair_left_is_forgotten_and_numbers_are_used_again() {
        let mut people = People::default();
        let keys =
            [people.enter(&pair("a@w.example", "x@t.example")), people.enter(&pair("x@t.example", "a@w.example"))];
        assert_eq!((keys[0].target, keys[0].watcher), (keys[1].watcher, keys[1].target));
        people.leave(keys[0]);
        assert_eq!(people.pair(keys[1]), Some(pair("x@t.example", "a@w.example")));
        people.leave(keys[1]);
        assert_eq!((people.known.len(), people.numbers.len(), people.domains.len()), (0, 0, 0));
    }
}
