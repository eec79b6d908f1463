//! Everybody who watches or is watched, each once, and how many pairs each has: what bounds them.

use super::PresenceLimits;
use super::pair::Pair;
use hashbrown::{DefaultHashBuilder, HashTable};
use impp_model::{Address, Domain};
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

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
    domains: Slab<Members>,
    /// Their numbers.
    of_name: HashMap<Domain, u32>,
}

/// Somebody; there may be hundreds of thousands.
#[derive(Debug)]
struct Person {
    local: Box<str>,
    domain: u32,
    watches: u32,
    watched: u32,
}

/// A domain, how many of its people there are, and how many pairs they have as watchers.
#[derive(Debug)]
struct Members {
    name: Domain,
    people: usize,
    watch: usize,
}

/// An address that is looked for.
struct Wanted<'a> {
    local: &'a str,
    domain: u32,
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.domain);
        state.write(self.local.as_bytes());
    }
}

impl Person {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { local: &self.local, domain: self.domain }
    }
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
        let of_domain = self.of_name.get(pair.watcher.domain()).and_then(|domain| self.domains.get(*domain as usize));
        of_domain.is_some_and(|it| it.watch >= limits.per_domain).then_some("too many watchers of this domain")
    }

    /// The number of somebody known.
    pub(super) fn number(&self, address: &Address) -> Option<u32> {
        let domain = *self.of_name.get(address.domain())?;
        let same = |number: &u32| {
            let person = self.known.get(*number as usize);
            person.is_some_and(|person| person.domain == domain && *person.local == *address.local())
        };
        self.numbers.find(self.hasher.hash_one(Wanted { local: address.local(), domain }), same).copied()
    }

    /// The key of a pair both of whose ends are known.
    pub(super) fn key(&self, pair: &Pair) -> Option<Key> {
        Some(Key { target: self.number(&pair.target)?, watcher: self.number(&pair.watcher)? })
    }

    /// The pair of a key.
    pub(super) fn pair(&self, key: Key) -> Option<Pair> {
        let address = |number: u32| {
            let person = self.known.get(number as usize)?;
            // It was one when it came.
            Address::new(&person.local, self.domains.get(person.domain as usize)?.name.clone()).ok()
        };
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
            if let Some(members) = self.domains.get_mut(person.domain as usize) {
                members.watch += 1;
            }
        }
        key
    }

    /// Counts a pair no longer.
    pub(super) fn leave(&mut self, key: Key) {
        if let Some(person) = self.known.get_mut(key.target as usize) {
            person.watched -= 1;
        }
        if let Some(person) = self.known.get_mut(key.watcher as usize) {
            person.watches -= 1;
            if let Some(members) = self.domains.get_mut(person.domain as usize) {
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
        let domain = self.join(address.domain());
        let person = Person { local: address.local().into(), domain, watches: 0, watched: 0 };
        let own = self.hasher.hash_one(person.wanted());
        // The bounds on pairs are far below.
        let number = u32::try_from(self.known.insert(person)).unwrap_or(u32::MAX);
        let (known, hasher) = (&self.known, &self.hasher);
        let hash = |number: &u32| known.get(*number as usize).map_or(0, |person| hasher.hash_one(person.wanted()));
        self.numbers.insert_unique(own, number, hash);
        number
    }

    /// Counts one more of a domain.
    fn join(&mut self, domain: &Domain) -> u32 {
        let domains = &mut self.domains;
        let number = *self.of_name.entry(domain.clone()).or_insert_with(|| {
            let number = domains.insert(Members { name: domain.clone(), people: 0, watch: 0 });
            u32::try_from(number).unwrap_or(u32::MAX)
        });
        if let Some(members) = domains.get_mut(number as usize) {
            members.people += 1;
        }
        number
    }

    /// Forgets who has no pair left.
    fn part(&mut self, number: u32) {
        if self.known.get(number as usize).is_none_or(|person| person.watches + person.watched > 0) {
            return;
        }
        let person = self.known.remove(number as usize);
        if let Ok(entry) = self.numbers.find_entry(self.hasher.hash_one(person.wanted()), |other| *other == number) {
            entry.remove();
        }
        let domain = person.domain as usize;
        let Some(members) = self.domains.get_mut(domain) else { return };
        members.people -= 1;
        if members.people == 0 {
            self.of_name.remove(&self.domains.remove(domain).name);
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
        let left = [people.known.len(), people.numbers.len(), people.domains.len(), people.of_name.len()];
        assert_eq!(left, [0; 4]);
    }
}
