use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use impp_model::Domain;

use crate::protocol::{Protocol, Service};
use crate::resolution::Resolution;

/// What a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    /// The domain asked about.
    pub domain: Domain,
    /// The service looked for.
    pub service: Service,
    /// The protocol that the operation came by.
    pub source: Option<Protocol>,
}

/// Decisions kept for as long as the answers they rest on may be kept, refusals too.
///
/// Holds at most [`CAPACITY`](Self::CAPACITY) decisions; beyond that the one that ends soonest goes first.
#[derive(Debug, Default)]
pub struct DecisionCache {
    entries: BTreeMap<CacheKey, Entry>,
    by_expiry: BTreeSet<(Instant, CacheKey)>,
}

#[derive(Debug)]
struct Entry {
    expires_at: Instant,
    resolution: Arc<Resolution>,
}

impl DecisionCache {
    /// How many decisions are kept: some ten megabytes, and more domains than a gateway talks to in an hour.
    pub const CAPACITY: usize = 10_000;

    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many decisions are held, outdated ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The decision, if it still holds.
    pub fn get(&self, key: &CacheKey, now: Instant) -> Option<Arc<Resolution>> {
        self.entries.get(key).filter(|entry| now < entry.expires_at).map(|entry| entry.resolution.clone())
    }

    /// Keeps a decision made at `now` until its answers expire; one that may not be kept replaces the old one by none.
    pub fn put(&mut self, key: CacheKey, resolution: Arc<Resolution>, now: Instant) {
        self.remove(&key);
        if resolution.ttl.is_zero() {
            return;
        }
        self.make_room(now);
        let expires_at = now + resolution.ttl.min(MAX_TTL);
        self.by_expiry.insert((expires_at, key.clone()));
        self.entries.insert(key, Entry { expires_at, resolution });
    }

    /// Forgets one decision, for example because none of its targets could be reached.
    pub fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_expiry.remove(&(entry.expires_at, key.clone()));
        }
    }

    /// Forgets all, for example after the configuration changed.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.by_expiry.clear();
    }

    fn make_room(&mut self, now: Instant) {
        while let Some((expires_at, _)) = self.by_expiry.first()
            && (*expires_at <= now || self.entries.len() >= Self::CAPACITY)
        {
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.entries.remove(&key);
            }
        }
    }
}

/// A record with a longer life is asked for again all the same, so that a mistake in it is not kept for ever.
const MAX_TTL: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(domain: &str) -> CacheKey {
        CacheKey { domain: Domain::parse(domain).unwrap(), service: Service::Im, source: None }
    }

    fn resolution(ttl: u64) -> Arc<Resolution> {
        let mut resolution = Resolution::not_fully_qualified();
        resolution.ttl = Duration::from_secs(ttl);
        Arc::new(resolution)
    }

    #[allow(clippy::disallowed_methods, reason = "an `Instant` has no other origin; all times are relative to it")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_decision_lives_as_long_as_its_answers() {
        let (mut cache, start) = (DecisionCache::new(), origin());
        cache.put(key("a.example"), resolution(30), start);
        assert!(cache.get(&key("a.example"), after(start, 29)).is_some());
        assert!(cache.get(&key("a.example"), after(start, 30)).is_none());
        assert!(cache.get(&CacheKey { service: Service::Pres, ..key("a.example") }, start).is_none());
    }

    #[test]
    fn a_decision_without_life_is_not_kept_and_ends_the_old_one() {
        let (mut cache, start) = (DecisionCache::new(), origin());
        cache.put(key("a.example"), resolution(30), start);
        cache.put(key("a.example"), resolution(0), start);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_long_life_is_cut() {
        let (mut cache, start) = (DecisionCache::new(), origin());
        cache.put(key("a.example"), resolution(u64::from(u32::MAX)), start);
        assert!(cache.get(&key("a.example"), start + MAX_TTL).is_none());
    }

    #[test]
    fn the_capacity_is_never_exceeded_and_the_soonest_to_end_goes_first() {
        let (mut cache, start) = (DecisionCache::new(), origin());
        for number in 0..=DecisionCache::CAPACITY {
            let ttl = if number == 7 { 1 } else { 60 };
            cache.put(key(&format!("d{number}.example")), resolution(ttl), start);
        }
        assert_eq!(cache.len(), DecisionCache::CAPACITY);
        assert!(cache.get(&key("d7.example"), start).is_none());
        cache.put(key("late.example"), resolution(60), after(start, 60));
        assert_eq!(cache.len(), 1);
        cache.clear();
        assert!(cache.is_empty());
    }
}
