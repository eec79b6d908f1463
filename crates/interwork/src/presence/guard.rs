//! Caps: how many pairs a watcher, a presentity and a domain may have.

use super::PresenceLimits;
use super::pair::Pair;
use impp_model::{Address, Domain};
use std::collections::HashMap;

/// How many pairs each has.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    watchers: HashMap<Address, usize>,
    presentities: HashMap<Address, usize>,
    domains: HashMap<Domain, usize>,
}

impl Guard {
    /// What is full, if anything is: the reason, for a person.
    pub(crate) fn full(&self, pair: &Pair, limits: &PresenceLimits) -> Option<&'static str> {
        let count = |map: &HashMap<Address, usize>, key| map.get(key).copied().unwrap_or(0);
        if count(&self.watchers, &pair.watcher) >= limits.per_watcher {
            return Some("this watcher watches too many already");
        }
        if count(&self.presentities, &pair.target) >= limits.per_presentity {
            return Some("too many watch this presentity already");
        }
        let of_domain = self.domains.get(pair.watcher.domain()).copied().unwrap_or(0);
        (of_domain >= limits.per_domain).then_some("too many watchers of this domain")
    }

    pub(crate) fn enter(&mut self, pair: &Pair) {
        *self.watchers.entry(pair.watcher.clone()).or_default() += 1;
        *self.presentities.entry(pair.target.clone()).or_default() += 1;
        *self.domains.entry(pair.watcher.domain().clone()).or_default() += 1;
    }

    pub(crate) fn leave(&mut self, pair: &Pair) {
        decrease(&mut self.watchers, &pair.watcher);
        decrease(&mut self.presentities, &pair.target);
        decrease(&mut self.domains, pair.watcher.domain());
    }
}

fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PRS-063
    #[test]
    fn rfc3857_s4_7_1_each_bound_holds_and_frees() {
        let pair = |watcher: &str, target: &str| Pair::new(&watcher.parse().unwrap(), &target.parse().unwrap());
        let limits = PresenceLimits { per_watcher: 2, per_presentity: 2, per_domain: 3, ..PresenceLimits::default() };
        let mut guard = Guard::default();
        let [first, second] = [pair("a@w.example", "x@t.example"), pair("a@w.example", "y@t.example")];
        for pair in [&first, &second] {
            assert_eq!(guard.full(pair, &limits), None);
            guard.enter(pair);
        }
        assert!(
            guard.full(&pair("a@w.example", "z@t.example"), &limits).is_some_and(|why| why.contains("this watcher"))
        );
        guard.enter(&pair("b@w.example", "x@t.example"));
        assert!(guard.full(&pair("c@v.example", "x@t.example"), &limits).is_some_and(|why| why.contains("presentity")));
        assert!(guard.full(&pair("c@w.example", "z@t.example"), &limits).is_some_and(|why| why.contains("domain")));
        guard.leave(&first);
        assert_eq!(guard.full(&pair("a@w.example", "z@t.example"), &limits), None);
    }
}
