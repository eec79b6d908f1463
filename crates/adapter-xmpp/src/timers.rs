//! When what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// One time for each key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    at: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.at.insert(key.clone(), at),
            None => self.at.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        self.order.extend(at.map(|at| (at, key)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one key whose time has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<K> {
        let (_, key) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        self.set(key.clone(), None);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_key_has_its_latest_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut timers = Timers::default();
        timers.set("a", Some(now + second * 3));
        timers.set("b", Some(now + second * 2));
        timers.set("a", Some(now + second));
        timers.set("c", Some(now));
        timers.set("c", None);
        assert_eq!(timers.next(), Some(now + second));
        assert_eq!(timers.due(now), None);
        assert_eq!([timers.due(now + second * 2), timers.due(now + second * 2)], [Some("a"), Some("b")]);
        assert_eq!(timers.next(), None);
    }
}
