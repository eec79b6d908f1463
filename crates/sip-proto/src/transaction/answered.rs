//! RFC 3261 §17.2.2: requests answered over an unreliable transport, kept for Timer J in as few octets as it takes.

use super::{Key, OCTETS_PER_ANSWER, timers::GRAIN};
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The answered requests, in boxes that go as a whole when Timer J has ended for all of a box: up to an eighth later than for
/// its first.
///
/// Most answers are made of their request and a few words that many have in common. Such a brief one costs no more than what
/// tells its request from others.
#[derive(Debug)]
pub(super) struct Answered<R, A> {
    boxes: VecDeque<Kept<R, A>>, // the oldest in front, the last one is being filled
    count: usize,
    octets: usize,
    limit: usize,
    lifetime: Duration,
}

/// Requests that were answered one after the other.
#[derive(Debug)]
struct Kept<R, A> {
    begins: Instant,
    ends: Instant,
    by_key: HashTable<Place>,
    merge_keys: HashTable<[u8; 8]>,
    answers: Vec<Answer<R, A>>,
    octets: usize,
}

/// A request. Octets, so that nothing lies between one and the next.
#[derive(Debug)]
struct Place {
    key: [u8; 16],
    answer: [u8; 4], // its place among the answers
}

/// What a request was answered.
#[derive(Debug)]
pub(super) enum Answer<R, A> {
    /// These octets, and where to.
    Whole(Box<(Box<[u8]>, R)>),
    /// What its caller makes of any copy of the request with this.
    Brief(Box<A>),
}

/// So great a part of the limit, and of Timer J, is one box.
const BOXES: usize = 8;
/// Of so many answers before it a brief one may be the same.
const LOOKED_AT: usize = 16;

impl<R, A: Clone + PartialEq> Answered<R, A> {
    /// An empty table that wants no more than `limit` records.
    pub(super) fn new(lifetime: Duration, limit: usize) -> Self {
        Self { boxes: VecDeque::new(), count: 0, octets: 0, limit, lifetime }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there is room for the answers to `unanswered` requests and to one more.
    pub(super) fn has_room(&self, unanswered: usize) -> bool {
        self.len() + unanswered < self.limit && self.octets < self.limit.saturating_mul(OCTETS_PER_ANSWER)
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        self.answer(key).is_some()
    }

    pub(super) fn knows_merged(&self, merge_key: &Key) -> bool {
        // Half of a key: a request that is taken for a copy of another is refused, and that once in the life of a machine.
        let half = merge_key.hash().to_ne_bytes();
        self.boxes.iter().rev().any(|kept| kept.merge_keys.find(merge_key.hash(), |other| *other == half).is_some())
    }

    /// What a request was answered.
    pub(super) fn answer(&self, key: &Key) -> Option<&Answer<R, A>> {
        let octets = key.octets();
        self.boxes.iter().rev().find_map(|kept| {
            let place = kept.by_key.find(key.hash(), |place| place.key == octets)?;
            kept.answers.get(u32::from_ne_bytes(place.answer) as usize)
        })
    }

    /// Keeps the octets of an answer until Timer J fires.
    pub(super) fn keep(&mut self, key: Key, merge_key: Option<Key>, route: R, response: &[u8], now: Instant) {
        let octets = response.len();
        let whole = Answer::Whole(Box::new((response.into(), route)));
        self.keep_as(key, merge_key, now, |kept| kept.add(whole, octets));
    }

    /// Keeps what an answer is made of.
    pub(super) fn keep_brief(&mut self, key: Key, merge_key: Option<Key>, brief: &A, now: Instant) {
        self.keep_as(key, merge_key, now, |kept| {
            let same = |answer: &Answer<R, A>| matches!(answer, Answer::Brief(known) if **known == *brief);
            match kept.answers.iter().rev().take(LOOKED_AT).position(same) {
                Some(back) => kept.answers.len() - 1 - back,
                None => kept.add(Answer::Brief(Box::new(brief.clone())), OCTETS_PER_BRIEF),
            }
        });
    }

    fn keep_as(
        &mut self,
        key: Key,
        merge_key: Option<Key>,
        now: Instant,
        answer: impl FnOnce(&mut Kept<R, A>) -> usize,
    ) {
        let (room, span) = (self.limit.div_ceil(BOXES), self.lifetime / BOXES as u32);
        if self.boxes.back().is_none_or(|last| last.is_full(room) || now >= last.begins + span) {
            self.boxes.push_back(Kept::new(now));
        }
        let Some(last) = self.boxes.back_mut() else { return };
        let before = last.octets;
        // A box has room for far fewer than a number can count.
        let answer = (answer(last) as u32).to_ne_bytes();
        last.by_key.insert_unique(key.hash(), Place { key: key.octets(), answer }, |place| Key::hash_of(&place.key));
        if let Some(merge_key) = merge_key {
            let half = merge_key.hash().to_ne_bytes();
            last.merge_keys.insert_unique(merge_key.hash(), half, |half| u64::from_ne_bytes(*half));
        }
        last.ends = now + self.lifetime;
        self.octets += last.octets - before;
        self.count += 1;
    }

    /// Forgets those whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(kept) = self.boxes.pop_front_if(|kept| kept.ends <= now) {
            self.count -= kept.by_key.len();
            self.octets -= kept.octets;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.boxes.front().map(|kept| kept.ends + GRAIN)
    }

    /// Octets of memory that the records take, with what lies ready for further ones.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let tables = |kept: &Kept<R, A>| {
            kept.by_key.allocation_size()
                + kept.merge_keys.allocation_size()
                + kept.answers.capacity() * size_of::<Answer<R, A>>()
                + kept.answers.len() * size_of::<(Box<[u8]>, R)>()
        };
        self.boxes.iter().map(tables).sum::<usize>() + self.octets
    }
}

impl<R, A> Kept<R, A> {
    fn new(now: Instant) -> Self {
        let (by_key, merge_keys) = (HashTable::new(), HashTable::new());
        Self { begins: now, ends: now, by_key, merge_keys, answers: Vec::new(), octets: 0 }
    }

    /// Whether it holds its part of `room`, or nearly so and would have to grow.
    fn is_full(&self, room: usize) -> bool {
        let count = self.by_key.len();
        count >= room || (count == self.by_key.capacity() && 2 * count >= room)
    }

    fn add(&mut self, answer: Answer<R, A>, octets: usize) -> usize {
        self.octets += octets;
        self.answers.push(answer);
        self.answers.len() - 1
    }
}

/// What a brief answer counts that no other has in common with it.
const OCTETS_PER_BRIEF: usize = 256;

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

    type Table = Answered<Route, u16>;

    fn keep(table: &mut Table, number: u32, now: Instant) -> (Key, Key) {
        let (number, keys) = (number.to_be_bytes(), Keys::new([1, 2]));
        let (key, merge_key) =
            (keys.server(&number, b"host", None, b"MESSAGE", b"c", 1), keys.merged(b"tag", &number, b"1 MESSAGE"));
        table.keep(key, Some(merge_key), route(), &RESPONSE, now);
        (key, merge_key)
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_each_is_known_for_timer_j_and_no_longer() {
        let (mut table, begin) = (Table::new(LIFETIME, 1_000), origin());
        let second = |number: u32| begin + Duration::from_secs(number.into());
        let kept: Vec<_> = (0..100).map(|number| keep(&mut table, number, second(number))).collect();
        assert!(kept.iter().all(|(key, merge_key)| table.knows(key) && table.knows_merged(merge_key)));
        // A box takes four seconds' answers, and its last one is of the third.
        assert_eq!(table.poll_timeout(), Some(second(3) + LIFETIME + GRAIN));
        for number in 0..100_u32 {
            table.handle_timeout(second(number) + LIFETIME - Duration::from_millis(1));
            let known = |at: u32| table.knows(&kept[at as usize].0) && table.knows_merged(&kept[at as usize].1);
            assert!((number..100).all(known), "{number}");
            assert!(number < 4 || !known(number - 4), "an eighth of Timer J later it is gone: {number}");
        }
        let Some(Answer::Whole(whole)) = table.answer(&kept[99].0) else { panic!("the last is kept") };
        assert_eq!(**whole, (RESPONSE.into(), route()));
        table.handle_timeout(second(99) + LIFETIME);
        assert_eq!((table.len(), table.octets, table.poll_timeout()), (0, 0, None));
    }

    /// What is the same for many costs each of them next to nothing.
    #[test]
    fn thirty_thousand_brief_answers_a_second_fit_for_timer_j_in_forty_mebibytes() {
        let (mut table, begin, keys) = (Table::new(LIFETIME, MAX_ANSWERED), origin(), Keys::new([1, 2]));
        for number in 0..960_000_u32 {
            let (octets, now) = (number.to_be_bytes(), begin + Duration::from_micros(u64::from(number) * 33));
            let (key, merge_key) = (keys.client(&octets, b"MESSAGE"), keys.merged(b"tag", &octets, b"1 MESSAGE"));
            table.keep_brief(key, Some(merge_key), &if number % 3 == 0 { 200 } else { 202 }, now);
        }
        let answer = |number: u32| match table.answer(&keys.client(&number.to_be_bytes(), b"MESSAGE")) {
            Some(Answer::Brief(status)) => **status,
            other => panic!("{number}: {other:?}"),
        };
        assert_eq!((answer(3), answer(4), answer(959_999)), (200, 202, 202));
        assert_eq!((table.len(), table.has_room(0)), (960_000, true));
        println!("{} octets of memory for a brief answer", table.memory() / table.len());
        assert!(table.memory() <= 40 << 20, "{}", table.memory());
    }

    #[test]
    fn brief_answers_that_nobody_shares_count_against_the_limit() {
        let (mut table, now, keys) = (Table::new(LIFETIME, 100), origin(), Keys::new([1, 2]));
        let mut kept = 0_u16;
        while table.has_room(0) {
            table.keep_brief(keys.client(&kept.to_be_bytes(), b""), None, &kept, now);
            kept += 1;
        }
        assert_eq!((kept, table.octets), (100, 100 * OCTETS_PER_BRIEF));
        let whole = (0..100).filter(|number: &u16| matches!(table.answer(&keys.client(&number.to_be_bytes(), b"")), Some(Answer::Brief(status)) if **status == *number));
        assert_eq!(whole.count(), 100);
    }

    /// An eighth of the second's load and of the limit, for speed.
    #[test]
    fn thirty_thousand_whole_answers_a_second_fit_for_timer_j_in_half_a_gibibyte() {
        let (mut table, now) = (Table::new(LIFETIME, MAX_ANSWERED / 8), origin());
        let count = 30_000 / 8 * LIFETIME.as_secs() as u32;
        for number in 0..count {
            keep(&mut table, number, now);
        }
        assert!(table.has_room(0));
        let each = table.memory() / count as usize;
        println!("{each} octets of memory for an answered transaction");
        assert!(each <= 512, "{each} octets an answered transaction");
    }

    #[test]
    fn neither_many_nor_long_answers_go_beyond_the_limit() {
        let (mut table, now) = (Table::new(LIFETIME, 10), origin());
        for number in 0..8 {
            keep(&mut table, number, now);
        }
        assert_eq!((table.has_room(1), table.has_room(2)), (true, false));
        let key = Keys::new([1, 2]).server(b"long", b"host", None, b"MESSAGE", b"c", 1);
        table.keep(key, None, route(), &[b'x'; 10 * OCTETS_PER_ANSWER], now);
        assert!(!table.has_room(0));
        table.handle_timeout(now + LIFETIME);
        assert!(table.has_room(9));
    }
}
