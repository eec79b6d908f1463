//! RFC 3261 §17.2.2: requests answered over an unreliable transport, kept for Timer J in as few octets as it takes.

use super::{Key, OCTETS_PER_ANSWER, timers::GRAIN};
use bytes::Bytes;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The answered requests in the order of their answers, which is the order in which Timer J ends them.
///
/// A record is found by its number: the place in the queue, counted from the first one ever kept.
#[derive(Debug)]
pub(super) struct Answered<R> {
    records: VecDeque<Record<R>>,
    ended: u32, // how many have left the queue, wrapping: the number of the first one in it
    by_key: HashTable<u32>,
    by_merge_key: HashTable<u32>,
    octets: usize,
    limit: usize,
    lifetime: Duration,
}

#[derive(Debug)]
struct Record<R> {
    key: Key,
    merge_key: Option<Key>,
    route: R,
    response: Box<[u8]>,
    ends: Instant,
}

impl<R: Clone> Answered<R> {
    /// An empty table that wants no more than `limit` records.
    pub(super) fn new(lifetime: Duration, limit: usize) -> Self {
        let (by_key, by_merge_key) = (HashTable::new(), HashTable::new());
        Self { records: VecDeque::new(), ended: 0, by_key, by_merge_key, octets: 0, limit, lifetime }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is room for the answers to `unanswered` requests and to one more.
    pub(super) fn has_room(&self, unanswered: usize) -> bool {
        self.len() + unanswered < self.limit && self.octets < self.limit.saturating_mul(OCTETS_PER_ANSWER)
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        self.find(&self.by_key, key, |record| Some(record.key)).is_some()
    }

    pub(super) fn knows_merged(&self, merge_key: &Key) -> bool {
        self.find(&self.by_merge_key, merge_key, |record| record.merge_key).is_some()
    }

    /// What a request was answered, and where to.
    pub(super) fn response(&self, key: &Key) -> Option<(Bytes, R)> {
        let record = self.find(&self.by_key, key, |record| Some(record.key))?;
        Some((Bytes::copy_from_slice(&record.response), record.route.clone()))
    }

    /// Keeps an answer until Timer J fires.
    pub(super) fn keep(&mut self, key: Key, merge_key: Option<Key>, route: R, response: &[u8], now: Instant) {
        // Room for as many as the limit has is far below what a number can count.
        let number = self.ended.wrapping_add(self.records.len() as u32);
        self.octets += response.len();
        self.records.push_back(Record { key, merge_key, route, response: response.into(), ends: now + self.lifetime });
        let (records, ended) = (&self.records, self.ended);
        let at = |number: &u32| records.get(number.wrapping_sub(ended) as usize);
        self.by_key.insert_unique(key.hash(), number, |number| at(number).map_or(0, |record| record.key.hash()));
        if let Some(merge_key) = merge_key {
            self.by_merge_key.insert_unique(merge_key.hash(), number, |number| {
                at(number).and_then(|record| record.merge_key).map_or(0, Key::hash)
            });
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(record) = self.records.pop_front_if(|record| record.ends <= now) {
            self.octets -= record.response.len();
            remove(&mut self.by_key, record.key, self.ended);
            if let Some(merge_key) = record.merge_key {
                remove(&mut self.by_merge_key, merge_key, self.ended);
            }
            self.ended = self.ended.wrapping_add(1);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.records.front().map(|record| record.ends + GRAIN)
    }

    /// Octets of memory that the records take, with what lies ready for further ones.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let tables = self.by_key.allocation_size() + self.by_merge_key.allocation_size();
        self.records.capacity() * size_of::<Record<R>>() + tables + self.octets
    }

    fn find(&self, table: &HashTable<u32>, key: &Key, of: impl Fn(&Record<R>) -> Option<Key>) -> Option<&Record<R>> {
        let at = |number: &u32| self.records.get(number.wrapping_sub(self.ended) as usize);
        at(table.find(key.hash(), |number| at(number).and_then(&of) == Some(*key))?)
    }
}

fn remove(table: &mut HashTable<u32>, key: Key, number: u32) {
    if let Ok(found) = table.find_entry(key.hash(), |found| *found == number) {
        found.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testkit::origin;
    use crate::transaction::{Keys, MAX_ANSWERED};
    use std::net::SocketAddr;

    /// What a caller keeps of a route over UDP, with the octets of a 200 to a MESSAGE over one hop.
    type Route = (usize, SocketAddr);
    const RESPONSE: [u8; 340] = [b'x'; 340];
    const LIFETIME: Duration = Duration::from_secs(32);

    fn route() -> Route {
        (0, SocketAddr::from(([127, 0, 0, 1], 5060)))
    }

    fn keep(table: &mut Answered<Route>, number: u32, now: Instant) -> (Key, Key) {
        let (number, keys) = (number.to_be_bytes(), Keys::new([1, 2]));
        let (key, merge_key) =
            (keys.server(&number, b"host", None, b"MESSAGE"), keys.merged(b"tag", &number, b"1 MESSAGE"));
        table.keep(key, Some(merge_key), route(), &RESPONSE, now);
        (key, merge_key)
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_each_is_known_for_timer_j_and_no_longer() {
        let (mut table, begin) = (Answered::new(LIFETIME, 1_000), origin());
        // Numbers run over in the middle.
        table.ended = u32::MAX - 50;
        let kept: Vec<_> = (0..100).map(|n| keep(&mut table, n, begin + Duration::from_millis(n.into()))).collect();
        assert!(kept.iter().all(|(key, merge_key)| table.knows(key) && table.knows_merged(merge_key)));
        assert_eq!(table.poll_timeout(), Some(begin + LIFETIME + GRAIN));
        table.handle_timeout(begin + LIFETIME + Duration::from_millis(69));
        let known: Vec<_> =
            kept.iter().map(|(key, merge_key)| (table.knows(key), table.knows_merged(merge_key))).collect();
        assert_eq!(known, [[(false, false); 70].as_slice(), &[(true, true); 30]].concat());
        assert_eq!(table.response(&kept[99].0), Some((Bytes::from_static(&RESPONSE), route())));
        table.handle_timeout(begin + LIFETIME + LIFETIME);
        assert_eq!((table.len(), table.octets, table.poll_timeout()), (0, 0, None));
    }

    /// An eighth of the second's load and of the limit, for speed.
    #[test]
    fn thirty_thousand_a_second_fit_for_timer_j_in_half_a_gibibyte() {
        let (mut table, now) = (Answered::new(LIFETIME, MAX_ANSWERED / 8), origin());
        let count = 30_000 / 8 * LIFETIME.as_secs() as u32;
        for number in 0..count {
            keep(&mut table, number, now);
        }
        assert!(table.has_room(0));
        let each = table.memory() / count as usize;
        println!("{each} octets of memory for an answered transaction");
        assert!(each <= OCTETS_PER_ANSWER, "{each} octets an answered transaction");
    }

    #[test]
    fn neither_many_nor_long_answers_go_beyond_the_limit() {
        let (mut table, now) = (Answered::new(LIFETIME, 10), origin());
        for number in 0..8 {
            keep(&mut table, number, now);
        }
        assert_eq!((table.has_room(1), table.has_room(2)), (true, false));
        let key = Keys::new([1, 2]).server(b"long", b"host", None, b"MESSAGE");
        table.keep(key, None, route(), &[b'x'; 10 * OCTETS_PER_ANSWER], now);
        assert!(!table.has_room(0));
        table.handle_timeout(now + LIFETIME);
        assert!(table.has_room(9));
    }
}
