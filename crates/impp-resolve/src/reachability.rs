use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Remembers which servers failed lately, so that the others are tried before them (RFC 3263 §4.3).
///
/// One for all domains of an adapter: a server that is down is down for every domain that names it. `K` is what it is known
/// by; where it fails one domain and serves another, that is both. Nothing is left out for good: if all failed, all are tried.
#[derive(Debug)]
pub struct Reachability<K = SocketAddr> {
    down_until: BTreeMap<K, Instant>,
}

/// Servers remembered; a hostile domain that names many must not fill the memory.
const MAX_REMEMBERED: usize = 4096;

/// How long a server that failed is tried last: long against one message, short against a restart.
const DOWN: Duration = Duration::from_secs(30);

impl<K> Default for Reachability<K> {
    fn default() -> Self {
        Self { down_until: BTreeMap::new() }
    }
}

impl<K: Ord> Reachability<K> {
    /// Notes that a server answered.
    pub fn up(&mut self, server: K) {
        self.down_until.remove(&server);
    }

    /// Notes that a server could not be reached, did not answer, or said that it is overloaded.
    pub fn down(&mut self, server: K, now: Instant) {
        if self.down_until.len() >= MAX_REMEMBERED {
            self.down_until.retain(|_, until| *until > now);
        }
        if self.down_until.len() < MAX_REMEMBERED || self.down_until.contains_key(&server) {
            self.down_until.insert(server, now + DOWN);
        }
    }

    /// Whether a server failed lately.
    pub fn is_down(&self, server: K, now: Instant) -> bool {
        self.down_until.get(&server).is_some_and(|until| *until > now)
    }

    /// The order in which to try: as given, but those that failed lately behind the others; `None` if as given is right.
    pub fn reorder<T: Clone>(&self, items: &[T], server: impl Fn(&T) -> K, now: Instant) -> Option<Vec<T>> {
        if self.down_until.is_empty() || items.len() < 2 {
            return None;
        }
        let (down, up): (Vec<T>, Vec<T>) = items.iter().cloned().partition(|item| self.is_down(server(item), now));
        (!down.is_empty() && !up.is_empty()).then(|| up.into_iter().chain(down).collect())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;

    fn server(number: u16) -> SocketAddr {
        ([192, 0, 2, 1], number).into()
    }

    // checks: AR-12, AR-23
    #[test]
    fn rfc3263_s4_3_what_failed_lately_is_tried_last_and_never_left_out() {
        let (mut known, now) = (Reachability::default(), Instant::now());
        let list = [server(1), server(2), server(3)];
        let order = |known: &Reachability, now| known.reorder(&list, |server| *server, now);
        assert_eq!(order(&known, now), None);
        known.down(server(1), now);
        assert_eq!(order(&known, now), Some(vec![server(2), server(3), server(1)]));
        assert_eq!(order(&known, now + DOWN), None);
        known.down(server(2), now);
        known.down(server(3), now);
        assert_eq!(order(&known, now), None);
        known.up(server(2));
        assert_eq!(order(&known, now), Some(vec![server(2), server(1), server(3)]));
    }

    #[test]
    fn memory_is_bounded_and_the_living_stay() {
        let (mut known, now) = (Reachability::default(), Instant::now());
        for number in 0..=u16::try_from(MAX_REMEMBERED).unwrap() {
            known.down(server(number), now);
        }
        assert_eq!(known.down_until.len(), MAX_REMEMBERED);
        assert!(known.is_down(server(0), now));
        known.down(server(60_000), now + DOWN);
        assert_eq!(known.down_until.len(), 1);
    }
}
